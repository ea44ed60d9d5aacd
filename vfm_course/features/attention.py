"""Where the CLS token of a frozen vision transformer looks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from PIL import Image

from vfm_course.errors import UserError
from vfm_course.features.patches import AT_ONCE, WITHOUT_CLS, extra_tokens, grid_of, mae_unhidden, prepare

if TYPE_CHECKING:
    from vfm_course.families.load import Loaded


@dataclass(frozen=True)
class Attention:
    """How one layer's CLS token shares out its attention, head by head.

    `patches` (B, heads, rows, columns); `rest` (B, heads), what it keeps for itself and gives to registers. For each
    picture and head all shares together sum to 1.
    """

    patches: torch.Tensor
    rest: torch.Tensor


@torch.inference_mode()
def cls_attention(loaded: Loaded, images: Sequence[Image.Image], layer: int = -1) -> Attention:
    """Attention from CLS to patches, as in DINO's figure 1 (Caron et al. 2021).

    It shows what is mixed into CLS at this layer, not why the model decides as it does. MAE looks at the whole picture
    here, nothing hidden.

    Args:
        loaded: dinov2, clip, mae or supervised.
        images: pictures of any size.
        layer: counted from 0, or from the end: -1 is the last.

    Raises:
        UserError: the model has no CLS token (I-JEPA, SigLIP), no feature of the whole picture (SAM), or fewer layers.
    """
    if loaded.name in WITHOUT_CLS or loaded.name == "sam":
        has = {
            "siglip": "a learned question of its pooling head looks at the patches",
            "ijepa": "the mean of its patches stands for the picture",
            "sam": "it answers prompts patch by patch",
        }[loaded.name]
        raise UserError(f"{loaded.name} has no CLS token ({has}): choose dinov2, clip, mae or supervised.")
    rows = []
    for start in range(0, max(1, len(images)), AT_ONCE):
        pixels = prepare(loaded, images[start : start + AT_ONCE])
        layers = _attentions(loaded, pixels)
        if not -len(layers) <= layer < len(layers):
            raise UserError(f"{loaded.name} has {len(layers)} layers: choose one from 0 to {len(layers) - 1}.")
        rows.append(layers[layer][:, :, 0].float().cpu())  # (B, heads, tokens), the row of CLS
    row, extra = torch.cat(rows), extra_tokens(loaded.name, loaded.model)
    return Attention(row[:, :, extra:].unflatten(2, grid_of(loaded, pixels)), row[:, :, :extra].sum(dim=2))


def _attentions(loaded: Loaded, pixels: torch.Tensor) -> tuple[torch.Tensor, ...]:
    """Of each layer (B, heads, tokens, tokens). Only the plain implementation keeps them; the fast one is put back."""
    model = loaded.model
    before = model.config._attn_implementation
    model.set_attn_implementation("eager")
    try:
        if loaded.name == "mae":
            return mae_unhidden(model, pixels, output_attentions=True).attentions
        encoder = {"clip": "vision_model", "supervised": "vit"}.get(loaded.name)
        encoder = getattr(model, encoder) if encoder else model
        return encoder(pixel_values=pixels, output_attentions=True).attentions
    finally:
        model.set_attn_implementation(before)
