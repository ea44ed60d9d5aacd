"""The steps of one picture through each architecture, for `flops.count`: encoder, connector, language model."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from vfm_course.families.flops import Stage, tower_flops, zeros
from vfm_course.families.systems import Size


def _pixels(size: Size) -> torch.Tensor:
    return zeros(1, 3, size.side, size.side)


def _ids(length: int) -> torch.Tensor:
    return zeros(1, length, dtype=torch.long)


def _less(extra: int | None) -> Callable[[Any], int]:
    """Reads tokens off an output, without CLS and registers."""
    return lambda out: (out if isinstance(out, torch.Tensor) else out.last_hidden_state).shape[1] - (extra or 0)


def _reading(model: nn.Module, tokens: int, label: str = "language model reads {} tokens") -> Stage:
    """A decoder over a picture's tokens, each attending to all (a mask of zeros) as an upper bound of causal ones."""
    decoder = model.model if hasattr(model, "model") else model.language_model
    decoder = next((getattr(decoder, n) for n in ("language_model", "text_model") if hasattr(decoder, n)), decoder)
    embedded, mask = zeros(1, tokens, decoder.config.hidden_size), zeros(1, 1, tokens, tokens)
    # Positions are given, or they would be looked up in the mask's values; Qwen's have three axes.
    turned = "Qwen2VL" in type(decoder).__name__ or "Qwen2_5_VL" in type(decoder).__name__
    known = {"position_ids": zeros(3, 1, tokens, dtype=torch.long) if turned else _ids(tokens)}
    known["attention_mask"] = {"full_attention": mask} if turned else mask
    return Stage(label.format(tokens), lambda: decoder(inputs_embeds=embedded, use_cache=False, **known))


def _encoder(model: nn.Module, size: Size) -> list[Stage]:
    tower = model.vit if type(model).__name__ == "ViTMAEForPreTraining" else model
    if tower is not model:
        tower.config.mask_ratio = 0.0  # as for features: every patch is seen
    return [Stage("encoder", lambda: tower(_pixels(size)), tokens=_less(size.extra_tokens))]


def _video(model: nn.Module, size: Size) -> list[Stage]:
    clip = zeros(1, size.frames, 3, size.side, size.side)
    return [Stage("encoder", lambda: model(clip, skip_predictor=True), tokens=_less(size.extra_tokens))]


def _two_towers(model: nn.Module, size: Size) -> list[Stage]:
    length = model.config.text_config.max_position_embeddings
    pixels = _pixels(size)
    return [
        Stage("image tower", lambda: model.get_image_features(pixels), tokens=_less(size.extra_tokens)),
        Stage(f"text tower, one text of {length} tokens", lambda: model.text_model(_ids(length))),
    ]


def _naflex(model: nn.Module, size: Size) -> list[Stage]:
    config, text = model.config.vision_config, _two_towers(model, size)[1]
    work = (size.patches, size.patches, config.hidden_size, config.num_hidden_layers)
    return [Stage("image tower", formula=lambda: tower_flops(model.vision_model.encoder, *work)), text]


def _click() -> dict[str, torch.Tensor]:
    return {"input_points": zeros(1, 1, 1, 2), "input_labels": zeros(1, 1, 1, dtype=torch.int32)}


def _sam(model: nn.Module, size: Size) -> list[Stage]:
    cells = size.side // size.patch_size
    seen = {"image_embeddings": zeros(1, 256, cells, cells)}
    return [
        Stage(
            "image encoder",
            lambda: model.vision_encoder(_pixels(size)),
            tokens=lambda output: output.last_hidden_state[0, 0].numel(),
        ),
        Stage("masks of one click", lambda: model(**seen, **_click())),
    ]


def _sam2(model: nn.Module, size: Size) -> list[Stage]:
    cells = size.side // size.patch_size
    scales = [zeros(1, 256 // 2 ** (3 - n) if n < 2 else 256, cells * s, cells * s) for n, s in enumerate((4, 2, 1))]
    return [
        Stage(
            "image encoder",
            lambda: model.vision_encoder(_pixels(size)),
            tokens=lambda output: output.fpn_hidden_states[-1][0, 0].numel(),
        ),
        Stage("masks of one click", lambda: model._single_frame_forward(image_embeddings=scales, **_click())),
    ]


def _sam3(model: nn.Module, size: Size) -> list[Stage]:
    length = model.config.text_config.max_position_embeddings
    return [
        Stage(
            "image encoder",
            lambda: model.vision_encoder(_pixels(size)),
            tokens=_less(size.extra_tokens),
        ),
        Stage(f"text encoder, one phrase of {length} tokens", lambda: model.text_encoder(_ids(length))),
    ]


def _grounding(model: nn.Module, size: Size) -> list[Stage]:
    inner, side = model.model, size.side
    strides = (8, 16, 32, 64)
    places, queries = sum((-(-side // stride)) ** 2 for stride in strides), model.config.num_queries

    def detect() -> int:
        # Deformable attention looks at a few places only: its context counts as none. Its values are made of all.
        values = 2 * model.config.decoder_layers * model.config.d_model**2 * places
        return tower_flops(inner.encoder, places, 0, 0, 0) + tower_flops(inner.decoder, queries, 0, 0, 0) + values

    mask = zeros(1, side, side, dtype=torch.long)
    return [
        Stage("Swin backbone", lambda: inner.backbone(zeros(1, 3, side, side), mask)),
        Stage(f"encoder over {places:,} places, decoder with {queries} queries", formula=detect),
    ]


def _depth(model: nn.Module, size: Size) -> list[Stage]:
    cells, tokens = size.side // size.patch_size, _less(size.extra_tokens)
    levels = len(model.config.neck_hidden_sizes)
    maps = [zeros(1, size.patches + size.extra_tokens, model.config.reassemble_hidden_size) for _ in range(levels)]
    return [
        Stage(
            "encoder",
            lambda: model.backbone(_pixels(size)),
            tokens=lambda output: tokens(output.feature_maps[-1]),
        ),
        Stage("depth head", lambda: model.head(model.neck(maps, cells, cells), cells, cells)),
    ]


def _blip2(model: nn.Module, size: Size) -> list[Stage]:
    seen = zeros(1, size.patches + size.extra_tokens, model.config.vision_config.hidden_size)
    asked = zeros(1, size.queries, model.config.qformer_config.hidden_size)
    read = zeros(1, size.queries, model.config.text_config.hidden_size)
    return [
        Stage("vision encoder", lambda: model.vision_model(_pixels(size))),
        Stage(
            "Q-Former",
            lambda: model.language_projection(model.qformer(asked, encoder_hidden_states=seen)[0]),
            tokens=_less(0),
        ),
        Stage(f"language model reads {size.queries} tokens", lambda: model.language_model(inputs_embeds=read)),
    ]


def _tower_and_projector(model: nn.Module, size: Size) -> list[Stage]:
    inner, width = model.model, model.config.vision_config.hidden_size
    out = size.patches // size.merge
    patches = zeros(1, out, width * size.merge)
    return [
        Stage("vision encoder", lambda: inner.vision_tower(_pixels(size))),
        Stage("connector", lambda: inner.multi_modal_projector(patches), tokens=_less(0)),
        _reading(model, out),
    ]


def _idefics(model: nn.Module, size: Size) -> list[Stage]:
    inner, width, words = model.model, model.config.vision_config.embed_dim, 32
    seen = zeros(1, size.patches + size.extra_tokens, width)
    text = {"inputs_embeds": zeros(1, words, model.config.hidden_size), "use_cache": False}
    image = {"image_encoder_embeddings": seen[None], "image_attention_mask": zeros(1, words, 1, dtype=torch.long) + 1}
    return [
        Stage("vision encoder", lambda: inner.vision_model(_pixels(size))),
        Stage("perceiver resampler", lambda: inner.perceiver_resampler(seen), tokens=_less(0)),
        Stage(f"language model reads {words} words and looks at the picture", lambda: inner(**text, **image)),
    ]


def _qwen(model: nn.Module, size: Size) -> list[Stage]:
    visual, config = model.model.visual, model.config.vision_config
    width = getattr(config, "embed_dim", None) or config.hidden_size
    full = len(getattr(config, "fullatt_block_indexes", range(config.depth)))
    window = min((getattr(config, "window_size", 0) // config.patch_size) ** 2 or size.patches, size.patches)

    def look() -> int:
        everywhere = tower_flops(visual.blocks, size.patches, size.patches, width, full)
        windows = 4 * size.patches * window * width * (config.depth - full)
        embedding = tower_flops(visual.patch_embed, size.patches, 0, 0, 0)
        return everywhere + windows + embedding

    out = size.patches // size.merge
    merged = zeros(size.patches, width)
    return [
        Stage("vision encoder", formula=look),
        Stage("connector", lambda: visual.merger(merged), tokens=lambda output: output.shape[0]),
        _reading(model, out),
    ]


def _molmo(model: nn.Module, size: Size) -> list[Stage]:
    pixels = zeros(1, size.patches, 3 * size.patch_size**2)
    return [Stage("vision encoder, one crop", lambda: model.model.vision_tower(pixels))]


def _mllama(model: nn.Module, size: Size) -> list[Stage]:
    inner, config, words = model.model, model.config, 32
    tiles, width = config.vision_config.max_num_tiles, config.text_config.hidden_size
    each = size.patches + size.extra_tokens
    pixels = zeros(1, 1, tiles, 3, size.side, size.side)
    shape = {"aspect_ratio_ids": _ids(1) + 1, "aspect_ratio_mask": zeros(1, 1, tiles, dtype=torch.long) + 1}
    seen = zeros(tiles, each, config.vision_config.vision_output_dim)
    text = {"attention_mask": zeros(1, 1, words, words), "position_ids": _ids(words), "use_cache": False}
    image = {"cross_attention_states": zeros(1, tiles * each, width)}
    reader = inner.language_model
    return [
        Stage(f"vision encoder, {tiles} tiles", lambda: inner.vision_model(pixels, **shape)),
        Stage("connector", lambda: inner.multi_modal_projector(seen), tokens=_less(size.extra_tokens)),
        Stage(
            f"language model reads {words} words and looks at {tiles} tiles",
            lambda: reader(inputs_embeds=zeros(1, words, width), **text, **image),
        ),
    ]


def _idefics3(model: nn.Module, size: Size) -> list[Stage]:
    inner, config = model.model, model.config.vision_config
    work = (size.patches, size.patches, config.hidden_size, config.num_hidden_layers)
    seen = zeros(1, size.patches, config.hidden_size)
    return [
        Stage("vision encoder", formula=lambda: tower_flops(inner.vision_model, *work)),
        Stage("connector", lambda: inner.connector(seen), tokens=_less(0)),
        _reading(model, size.patches // size.merge),
    ]


STAGES: dict[str, Callable[[nn.Module, Size], list[Stage]]] = {
    "Dinov2Model": _encoder,
    "DINOv3ViTModel": _encoder,
    "ViTMAEForPreTraining": _encoder,
    "IJepaModel": _encoder,
    "VJEPA2Model": _video,
    "CLIPModel": _two_towers,
    "SiglipModel": _two_towers,
    "Siglip2Model": _naflex,
    "SamModel": _sam,
    "Sam2VideoModel": _sam2,
    "Sam3Model": _sam3,
    "GroundingDinoForObjectDetection": _grounding,
    "DepthAnythingForDepthEstimation": _depth,
    "Blip2ForConditionalGeneration": _blip2,
    "LlavaForConditionalGeneration": _tower_and_projector,
    "InternVLForConditionalGeneration": _tower_and_projector,
    "PaliGemmaForConditionalGeneration": _tower_and_projector,
    "IdeficsForVisionText2Text": _idefics,
    "Qwen2VLForConditionalGeneration": _qwen,
    "Qwen2_5_VLForConditionalGeneration": _qwen,
    "Molmo2ForConditionalGeneration": _molmo,
    "MllamaForConditionalGeneration": _mllama,
    "Idefics3ForConditionalGeneration": _idefics3,
}


def stages_of(model: nn.Module, size: Size) -> list[Stage]:
    """The steps of one picture through a model that stands on the meta device."""
    return STAGES[type(model).__name__](model, size)
