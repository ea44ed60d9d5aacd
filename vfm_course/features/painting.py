"""What MAE paints where patches were hidden (He et al. 2022)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from PIL import Image

from vfm_course.errors import UserError
from vfm_course.features.patches import prepare
from vfm_course.objectives.mae import patchify

if TYPE_CHECKING:
    from vfm_course.families.load import Loaded


@dataclass(frozen=True)
class Painted:
    """Pictures from 0 to 1, each (B, 3, H, W) in the model's own resolution, and what was hidden.

    `picture` is what the processor gives; `hidden` bool (B, rows, columns); `painted` is the decoder's answer for all
    patches; `pasted` the same with the visible patches put back. `given` is each patch's true mean, one number for all
    colours: what un-normalising gives away to a decoder that answers zero. `error` (B,) is the mean squared error on
    hidden patches in the units of the loss: where pixels are normalised, 1 for that zero answer.
    """

    picture: torch.Tensor
    hidden: torch.Tensor
    painted: torch.Tensor
    pasted: torch.Tensor
    given: torch.Tensor
    error: torch.Tensor


@torch.inference_mode()
def paint(loaded: Loaded, images: Sequence[Image.Image], seed: int = 0, mask_ratio: float | None = None) -> Painted:
    """Hides patches at random and lets the model's decoder paint them.

    A model trained with `norm_pix_loss` answers with patches of mean 0 and variance 1. Its answer is un-normalised with
    each *true* patch's own mean and standard deviation, one number for all three colours, which the model does not
    know: trust the pattern and the hue inside a patch, not its brightness and contrast.

    Args:
        loaded: mae, pocket or hub.
        images: pictures of any size.
        seed: which patches are hidden.
        mask_ratio: the share of patches hidden; as in training (0.75) if not given.

    Raises:
        UserError: not MAE, no picture, or a share that is not between 0 and 1.
    """
    if loaded.name != "mae":
        raise UserError(f"{loaded.name} paints no pixels: only mae has a decoder for them.")
    model = loaded.model
    ratio = model.config.mask_ratio if mask_ratio is None else mask_ratio
    if not 0 < ratio < 1:
        raise UserError(f"A mask_ratio of {ratio} hides nothing or everything: choose a share between 0 and 1.")
    pixels = prepare(loaded, images)
    side = model.config.patch_size
    rows, columns = pixels.shape[-2] // side, pixels.shape[-1] // side
    noise = torch.rand(len(pixels), rows * columns, generator=torch.Generator().manual_seed(seed)).to(pixels.device)
    before, model.config.mask_ratio = model.config.mask_ratio, ratio
    try:
        answer = model(pixel_values=pixels, noise=noise)
    finally:
        model.config.mask_ratio = before
    patches = patchify(pixels, side)
    variance, mean = torch.var_mean(patches, dim=-1, keepdim=True)
    std = (variance + 1e-6).sqrt()
    hidden, painted = answer.mask.bool(), answer.logits
    scale = std if model.config.norm_pix_loss else torch.ones_like(std)
    if model.config.norm_pix_loss:
        painted = painted * std + mean
    error = ((painted - patches) / scale).square().mean(dim=-1)
    pasted = torch.where(hidden[..., None], painted, patches)

    def shown(values: torch.Tensor) -> torch.Tensor:
        return _visible(loaded, unpatchify(values, rows, side)).cpu()

    return Painted(
        _visible(loaded, pixels).cpu(),
        hidden.unflatten(1, (rows, columns)).cpu(),
        *(shown(values) for values in (painted, pasted, mean.expand_as(patches))),
        ((error * hidden).sum(dim=1) / hidden.sum(dim=1)).cpu(),
    )


def unpatchify(patches: torch.Tensor, rows: int, side: int) -> torch.Tensor:
    """Patches (B, N, side * side * 3), row by row, -> pictures (B, 3, H, W): what `patchify` did, undone."""
    grid = patches.unflatten(1, (rows, -1)).unflatten(3, (side, side, 3))  # (B, rows, columns, y, x, 3)
    return grid.permute(0, 5, 1, 3, 2, 4).flatten(4, 5).flatten(2, 3)


def _visible(loaded: Loaded, pixels: torch.Tensor) -> torch.Tensor:
    """The processor's normalisation undone: (B, 3, H, W) from 0 to 1."""
    mean, std = (pixels.new_tensor(values)[:, None, None] for values in (loaded.processor.image_mean,
                                                                        loaded.processor.image_std))  # fmt: skip
    return (pixels * std + mean).clamp(0, 1)
