"""BLIP-2's class (Li et al. 2023): a Q-Former and one linear layer in front of a language model that reads from left to
right.

What has to be bent is the encoder: `Blip2VisionModel` has no layer norm between its embeddings and its layers, where
CLIP has one, and gives its last hidden states *with* the final norm. So no copy of CLIP's tower is equal, and BLIP-2
has a tower of its own, trained to see what CLIP sees: `from_clip` is where that training starts. From the tower's last
hidden states on, all is equal.
"""

import os

import torch
import transformers
from torch import nn

from vfm_course.connectors.projector import LinearProjector
from vfm_course.connectors.qformer import QFormer
from vfm_course.pretraining import encoder
from vfm_course.vlm.model import PrefixVLM
from vfm_course.vlm.published.shared import expect_lm, expect_tower, finish, renamed, require, save
from vfm_course.vlm.tokenizer import IMAGE_ID, vlm_tokenizer

NAMES = [
    (r"^norm\.", "layernorm."),
    (r"^layers\.", "encoder.layer."),
    (r"self_attention\.(query|key|value)", r"attention.attention.\1"),
    (r"self_attention\.output", "attention.output.dense"),
    (r"self_attention\.norm", "attention.output.LayerNorm"),
    (r"cross_attention\.(query|key|value)", r"crossattention.attention.\1"),
    (r"cross_attention\.output", "crossattention.output.dense"),
    (r"cross_attention\.norm", "crossattention.output.LayerNorm"),
    (r"query_feed_forward\.up", "intermediate_query.dense"),
    (r"query_feed_forward\.down", "output_query.dense"),
    (r"query_feed_forward\.norm", "output_query.LayerNorm"),
]


def qformer_config(qformer: QFormer) -> transformers.Blip2QFormerConfig:
    """Its sizes, without dropout: ours has none."""
    first = qformer.layers[0]
    looking = [i for i, layer in enumerate(qformer.layers) if layer.cross_attention is not None]
    return transformers.Blip2QFormerConfig(
        hidden_size=qformer.hidden,
        num_hidden_layers=len(qformer.layers),
        num_attention_heads=first.self_attention.heads,
        intermediate_size=first.query_feed_forward.up.out_features,
        cross_attention_frequency=looking[1] if len(looking) > 1 else len(qformer.layers),
        encoder_hidden_size=qformer.vision_width,
        layer_norm_eps=qformer.norm.eps,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
    )


def to_blip2(vision: transformers.Blip2VisionModel, model: PrefixVLM) -> transformers.Blip2ForConditionalGeneration:
    """Our model with its encoder as BLIP-2; logits are equal.

    In a batch, its processor pads between the image and the text: `generate` numbers the places so that padding takes
    none, but a plain `forward` does not, so that padded rows are equal to ours in `generate` alone.

    Args:
        vision: its last hidden states (the final norm applied) are what `model` was trained on.
        model: a Llama behind `nn.Sequential(QFormer, LinearProjector)`. What the Q-Former has for text is left out.

    Raises:
        UserError: parts that BLIP-2 has not.
    """
    expect_tower(vision, transformers.Blip2VisionModel)
    expect_lm(model.lm)
    parts = list(model.connector) if isinstance(model.connector, nn.Sequential) else []
    require([type(part) for part in parts] == [QFormer, LinearProjector],
            "BLIP-2's connector is nn.Sequential(QFormer, LinearProjector).")  # fmt: skip
    require(not model.prefix_lm and model.skip == 0, "BLIP-2 reads from left to right and skips no image token.")
    qformer, projector = parts
    config = transformers.Blip2Config(
        vision_config=vision.config.to_dict(),
        qformer_config=qformer_config(qformer).to_dict(),
        text_config=model.lm.config.to_dict(),  # model_type "llama": so it becomes a decoder-only language model
        num_query_tokens=qformer.num_queries,
        image_token_index=IMAGE_ID,
    )
    theirs = transformers.Blip2ForConditionalGeneration(config)
    theirs.vision_model.load_state_dict(vision.state_dict())
    weights = {name: tensor for name, tensor in renamed(qformer, NAMES).items() if "text_feed_forward" not in name}
    with torch.no_grad():
        theirs.query_tokens.copy_(weights.pop("query_tokens"))
    theirs.qformer.load_state_dict(weights)
    theirs.language_projection.load_state_dict(projector.linear.state_dict())
    theirs.language_model.load_state_dict(model.lm.state_dict())
    finish(theirs.language_model)  # it is the one that generates
    return finish(theirs)


def blip2_processor(vision: transformers.Blip2VisionModel, queries: int) -> transformers.Blip2Processor:
    """BLIP's image processor, which cuts nothing off, and the pocket's tokenizer.

    The tokenizer puts `<begin>` in front of the text, and the processor the image's tokens in front of that.
    """
    side = vision.config.image_size
    images = transformers.BlipImageProcessor(size={"height": side, "width": side}, **encoder.CLIP)
    return transformers.Blip2Processor(images, vlm_tokenizer(), num_query_tokens=queries)


def save_blip2(
    vision: transformers.Blip2VisionModel, model: PrefixVLM, folder: str | os.PathLike, half: bool = False
) -> None:
    """Writes a folder that `Blip2ForConditionalGeneration` and `AutoProcessor` load; `half` rounds to float16."""
    theirs = to_blip2(vision, model)
    save(theirs, blip2_processor(vision, model.connector[0].num_queries), folder, half)


def blip2_tower_config() -> transformers.Blip2VisionConfig:
    """BLIP-2's tower at the pocket's size, with CLIP's epsilon; queries, keys and values with biases."""
    return transformers.Blip2VisionConfig(**encoder.VIT, hidden_act="gelu", layer_norm_eps=1e-5, qkv_bias=True)


@torch.no_grad()
def from_clip(
    clip_vision: transformers.CLIPVisionModel, pixel_values: torch.Tensor | None = None
) -> transformers.Blip2VisionModel:
    """A tower of BLIP-2 that begins with CLIP's weights, to be trained to see what CLIP sees.

    All layers are copied, and the final norm, new, is the plain one. CLIP's norm behind the embeddings has no place:
    without `pixel_values` it is left out; with them it goes into the embeddings as the linear map that it would be, did
    all patches deviate alike (the class token, which is the same for every image, comes out exactly). The target is
    CLIP's last hidden state under a plain layer norm; on drawn scenes the mean squared error at the start was 0.17
    without and 0.04 with pixels.

    Args:
        pixel_values: a hundred or so of normalised images (B, 3, H, W), whose patches tell the mean deviation.

    Raises:
        UserError: no CLIP encoder.
    """
    expect_tower(clip_vision, transformers.CLIPVisionModel)
    sizes = {name: getattr(clip_vision.config, name) for name in (*encoder.VIT, "hidden_act", "layer_norm_eps")}
    tower = transformers.Blip2VisionModel(transformers.Blip2VisionConfig(**sizes, qkv_bias=True))
    ours, width = clip_vision.state_dict(), tower.config.hidden_size
    state = _embeddings(clip_vision, pixel_values)
    state |= {"post_layernorm.weight": torch.ones(width), "post_layernorm.bias": torch.zeros(width)}
    for name, tensor in ours.items():
        if not name.startswith("encoder.") or ".k_proj." in name or ".v_proj." in name:
            continue
        if ".q_proj." in name:
            fused = [ours[name.replace("q_proj", part)] for part in ("q_proj", "k_proj", "v_proj")]
            state[name.replace("q_proj", "qkv")] = torch.cat(fused)
        else:
            state[name.replace("out_proj", "projection")] = tensor
    tower.load_state_dict(state)
    return tower.eval()


def _embeddings(clip_vision: nn.Module, pixel_values: torch.Tensor | None) -> dict[str, torch.Tensor]:
    """Class token, positions and patches, with CLIP's norm in them where there are images to measure it on."""
    embeddings, norm = clip_vision.embeddings, clip_vision.pre_layrnorm
    cls, places = embeddings.class_embedding, embeddings.position_embedding.weight
    patches, bias = embeddings.patch_embedding.weight, torch.zeros_like(cls)
    if pixel_values is not None:
        deviation = (embeddings(pixel_values)[:, 1:].var(dim=-1, unbiased=False) + norm.eps).sqrt()
        gain, first = norm.weight / deviation.mean(), norm(cls + places[0])
        patches = (patches - patches.mean(dim=0)) * gain[:, None, None, None]
        places = (places - places.mean(dim=-1, keepdim=True)) * gain
        cls, bias = first - places[0], norm.bias
    return {
        "embeddings.class_embedding": cls.view(1, 1, -1),
        "embeddings.position_embedding": places[None],
        "embeddings.patch_embedding.weight": patches,
        "embeddings.patch_embedding.bias": bias,
    }
