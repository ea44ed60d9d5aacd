"""Which part of an architecture a parameter belongs to, told by its name in transformers."""

import re

# The first pattern that is found in the name decides; the order is part of the meaning.
PARTS: tuple[tuple[str, str], ...] = (
    ("linear head", r"^linear_head\."),
    ("cross-attention layers", r"gated_cross_attn_layers"),
    ("language model", r"^lm_head|^language_model|^model\.(language_model|text_model|layers|embed_tokens|norm)\."),
    (
        "connector",
        r"multi_modal_projector|connector|\.merger\.|^qformer|^query_tokens|^language_projection|perceiver_resampler",
    ),
    ("text tower", r"^text_model|^text_projection|^text_encoder|^model\.text_(backbone|projection)"),
    ("scale and bias of the loss", r"^logit_(scale|bias)$"),
    ("memory", r"memory|no_object_pointer|occlusion|^mask_downsample|object_pointer|^temporal_positional"),
    ("prompt encoder", r"^prompt_encoder|^geometry_encoder|^shared_image_embedding"),
    ("mask decoder", r"^mask_decoder"),
    ("detector", r"^detr_|^dot_product|^model\.(encoder|decoder|enc_output|query_position|level|input_proj)"),
    ("depth head", r"^neck|^head"),
    ("predictor", r"^predictor"),
    ("pixel decoder", r"^decoder"),
    ("neck", r"\.neck\."),
    ("image head", r"^vision_model\.head|^visual_projection"),
    ("positions", r"position_?embedding|pos_embed|positional_embedding|position_embeddings"),
    ("patch embedding", r"patch_embed|embeddings\.projection"),
    ("special tokens", r"cls_token|mask_token|register_tokens|class_embedding"),
    ("blocks", r"\.(layers?|blocks|encoder|transformer|global_transformer)\.|^layers\.|conv_encoder"),
    ("norms", r"norm|layrnorm"),
)
OTHER = "other"
# Along a picture's way: these first, then what reads them.
ENCODER = ("patch embedding", "positions", "special tokens", "blocks", "norms", "neck", "image head")


def part_of(name: str) -> str:
    """The part that a parameter's name belongs to; `other` where no pattern fits."""
    return next((part for part, pattern in PARTS if re.search(pattern, name)), OTHER)


def count_parts(named: dict[str, int]) -> dict[str, int]:
    """Parameters of each part, from the number of elements of each named parameter.

    Layers that hold cross-attention beside their other weights (Llama-3.2-Vision's) count as a whole.
    """
    crossed = {
        match[0] for name in named if (match := re.match(r".*language_model\.layers\.\d+\.(?=cross_attn)", name))
    }
    totals: dict[str, int] = {}
    for name, number in named.items():
        own = re.match(r".*language_model\.layers\.\d+\.", name)
        part = "cross-attention layers" if own and own[0] in crossed else part_of(name)
        totals[part] = totals.get(part, 0) + number
    order = [*ENCODER, *(part for part, _ in reversed(PARTS) if part not in ENCODER), OTHER]
    return dict(sorted(totals.items(), key=lambda item: order.index(item[0])))
