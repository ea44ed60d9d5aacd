"""What a frozen encoder says patch by patch, by one call for every model, and its main directions as colours."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from PIL import Image

from vfm_course.errors import UserError

if TYPE_CHECKING:
    import numpy as np

    from vfm_course.families.load import Loaded

AT_ONCE = 64  # pictures a forward pass
WITHOUT_CLS = ("ijepa", "siglip")
UNTRAINED = "random weights"


def features(name: str, model: torch.nn.Module, pixels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """What an encoder says of pictures, patch by patch and as a whole.

    Args:
        name: dinov2, mae, ijepa, clip, clip-signs, siglip or supervised.
        pixels: (B, 3, H, W) as the model's own processor gives them.

    Returns:
        Patch tokens (B, N, width), row by row from the top left, and the feature of the whole picture (B, D): the CLS
        token after the last norm (DINOv2, MAE, supervised), the mean of the patches (I-JEPA, which has no CLS token),
        the place in the joint space of pictures and texts (CLIP; SigLIP, by its attention pooling).
    """
    if name in ("clip", "clip-signs", "siglip"):
        answer = model.get_image_features(pixel_values=pixels)
        return answer.last_hidden_state[:, extra_tokens(name, model) :], answer.pooler_output
    if name == "ijepa":
        tokens = model(pixel_values=pixels).last_hidden_state
        return tokens, tokens.mean(dim=1)
    if name == "mae":
        tokens = mae_tokens(model, pixels)
    else:
        backbone = model.vit if name == "supervised" else model
        tokens = backbone(pixel_values=pixels).last_hidden_state
    return tokens[:, extra_tokens(name, model) :], tokens[:, 0]


def mae_tokens(model: torch.nn.Module, pixels: torch.Tensor) -> torch.Tensor:
    """CLS and all patches (B, 1 + N, width) of a ViTMAEForPreTraining, nothing hidden, in the picture's own order."""
    return mae_unhidden(model, pixels).last_hidden_state


def mae_unhidden(model: torch.nn.Module, pixels: torch.Tensor, **asked):
    """The whole answer of a ViTMAEForPreTraining's encoder with nothing hidden; `asked` goes to it as it is.

    It hides and shuffles patches in evaluation mode too: the ratio is set to 0 for this call, and the noise by which it
    sorts them is ascending, so that it sorts them into the order they are in.
    """
    side = model.config.patch_size
    n = (pixels.shape[-2] // side) * (pixels.shape[-1] // side)
    ordered = torch.arange(n, dtype=torch.float32, device=pixels.device).expand(len(pixels), -1)
    ratio, model.config.mask_ratio = model.config.mask_ratio, 0.0
    try:
        return model.vit(pixel_values=pixels, noise=ordered, **asked)
    finally:
        model.config.mask_ratio = ratio


def extra_tokens(name: str, model: torch.nn.Module) -> int:
    """How many tokens stand before the patches: CLS and, in DINOv2 with registers and DINOv3, the registers."""
    return 0 if name in WITHOUT_CLS else 1 + getattr(vision_config(model), "num_register_tokens", 0)


def vision_config(model: torch.nn.Module):
    """The configuration of the image encoder; CLIP and SigLIP have one of the texts beside it."""
    return getattr(model.config, "vision_config", model.config)


def prepare(loaded: Loaded, images: Sequence[Image.Image]) -> torch.Tensor:
    """Pictures of any size -> pixels (B, 3, H, W) on the model's device, as its own processor gives them."""
    if not images:
        raise UserError("There is no picture to look at: give at least one.")
    return loaded.processor(images=list(images), return_tensors="pt")["pixel_values"].to(loaded.device)


def in_view(loaded: Loaded, image: Image.Image) -> Image.Image:
    """The part of a picture that reaches the model, at the picture's own resolution.

    DINOv2's and CLIP's processors shrink the short side and cut out the middle; the others squeeze the whole picture
    into a square.
    """
    processor = getattr(loaded.processor, "image_processor", loaded.processor)
    size = processor.size or {}
    if not getattr(processor, "do_center_crop", False) or "shortest_edge" not in size:
        return image
    scale = min(image.size) / size["shortest_edge"]
    width, height = (min(scale * processor.crop_size[side], full)
                     for side, full in zip(("width", "height"), image.size, strict=True))  # fmt: skip
    left, top = (image.width - width) / 2, (image.height - height) / 2
    return image.crop((round(left), round(top), round(left + width), round(top + height)))


def grid_of(loaded: Loaded, pixels: torch.Tensor) -> tuple[int, int]:
    """Rows and columns of patches in pixels (B, 3, H, W)."""
    side = vision_config(loaded.model).patch_size
    rows, columns = (side, side) if isinstance(side, int) else side
    return pixels.shape[-2] // rows, pixels.shape[-1] // columns


@torch.inference_mode()
def patch_grid(loaded: Loaded, images: Sequence[Image.Image]) -> torch.Tensor:
    """Patch tokens (B, rows, columns, width) of pictures, on the CPU in float32.

    Raises:
        UserError: no picture, or a model that is no encoder of pictures (SAM).
    """
    return read(loaded, images)[0]


@torch.inference_mode()
def whole_features(loaded: Loaded, images: Sequence[Image.Image]) -> np.ndarray:
    """The feature of each whole picture, float32 (B, D): what `features` says it is for each model."""
    return read(loaded, images)[1].numpy()


@torch.inference_mode()
def read(loaded: Loaded, images: Sequence[Image.Image]) -> tuple[torch.Tensor, torch.Tensor]:
    """`patch_grid` and `whole_features` in one pass, in batches."""
    if loaded.name == "sam":
        raise UserError("SAM answers prompts and has no feature of a whole picture: use one of the other models.")
    grids, wholes = [], []
    for start in range(0, max(1, len(images)), AT_ONCE):
        pixels = prepare(loaded, images[start : start + AT_ONCE])
        tokens, whole = features(loaded.name, loaded.model, pixels)
        grids.append(tokens.float().cpu().unflatten(1, grid_of(loaded, pixels)))
        wholes.append(whole.float().cpu())
    return torch.cat(grids), torch.cat(wholes)


def untrained(loaded: Loaded, seed: int = 0) -> Loaded:
    """The same network with random weights, named so: what its shape alone makes of a picture."""
    model = type(loaded.model)(copy.deepcopy(loaded.model.config))
    draw_weights(model, seed)
    model = model.eval().requires_grad_(False).to(loaded.device)
    return dataclasses.replace(loaded, model=model, revision=UNTRAINED)


@torch.no_grad()
def draw_weights(model: torch.nn.Module, seed: int = 0) -> None:
    """Random weights in place, as ViTs usually begin; drawn here, since every version of transformers draws others."""
    generator = torch.Generator().manual_seed(seed)
    for weight in model.parameters():
        # all others are biases of 0 and scales of 1, but for CLIP's CLS token, which is a vector
        if weight.ndim > 1 or weight.unique().numel() > 1:
            weight.copy_(0.02 * torch.randn(weight.shape, generator=generator))


def called(loaded: Loaded) -> str:
    """What a figure calls a model."""
    return f"{loaded.name}, untrained" if loaded.revision == UNTRAINED else loaded.name


def patch_medians(values: np.ndarray, patch_size: int) -> torch.Tensor:
    """What is true of each pixel (H, W), patch by patch: float32 (rows, columns), the median of the finite values.

    NaN where not more than half of the patch's pixels are finite. What does not fill a patch at the edge is left out.
    """
    rows, columns = values.shape[0] // patch_size, values.shape[1] // patch_size
    cut = torch.as_tensor(values[: rows * patch_size, : columns * patch_size], dtype=torch.float32)
    cut = cut.view(rows, patch_size, columns, patch_size).transpose(1, 2).flatten(2)
    known = cut.isfinite()
    medians = torch.where(known, cut, torch.nan).nanmedian(dim=2).values
    return torch.where(known.float().mean(dim=2) > 0.5, medians, torch.nan)


@dataclass(frozen=True)
class Components:
    """Patches as colours.

    `colours` (B, rows, columns, 3) from 0 to 1; `foreground` bool (B, rows, columns), all true unless the background
    was to be hidden; `explained` (3,), the share of the variance of the coloured patches in each component.
    """

    colours: torch.Tensor
    foreground: torch.Tensor
    explained: torch.Tensor


def main_components(grid: torch.Tensor, hide_background: bool = False) -> Components:
    """The first three principal components of patch tokens as colour, as in DINOv2's figure 1 (Oquab et al. 2023).

    One PCA over the patches of all pictures together: the same colour in two pictures means that the model says the
    same of both patches, as far as three components tell. Each runs between the patches' 2nd and 98th percentile.

    Args:
        grid: patch tokens (B, rows, columns, width) of one model.
        hide_background: first split the patches by the sign of the first component, then colour the side that is seen
            less at the pictures' edges by a PCA of its own. The paper calls that side the foreground; nothing tells the
            model what a thing is, so that it may be another split.
    """
    patches = grid.flatten(0, 2).double()
    foreground = torch.ones(len(patches), dtype=torch.bool)
    if hide_background:
        first = _project(patches, 1)[0][:, 0].view(grid.shape[:3])
        edge = torch.ones(grid.shape[1:3], dtype=torch.bool)
        edge[1:-1, 1:-1] = False
        at_the_edge = (first[:, edge] > 0).float().mean() / max(1e-9, float((first > 0).float().mean()))
        foreground = (first < 0 if at_the_edge > 1 else first > 0).flatten()
        if foreground.sum() < 4:  # nothing to split: all patches are alike
            foreground[:] = True
    scores, explained = _project(patches[foreground], 3)
    low, high = scores.quantile(0.02, dim=0), scores.quantile(0.98, dim=0)
    flat = high - low < 1e-9  # a direction in which all are alike has no colour of its own
    scores = torch.where(flat, 0.5, (scores - low) / (high - low).clamp(min=1e-9)).clamp(0, 1)
    colours = torch.zeros(len(patches), 3)
    colours[foreground] = as_colours(scores.float())
    return Components(colours.view(*grid.shape[:3], 3), foreground.view(grid.shape[:3]), explained.float())


def as_colours(scores: torch.Tensor) -> torch.Tensor:
    """Three numbers from 0 to 1 -> red, green and blue (..., 3): dark to light, blue to yellow, green to red.

    The paper takes the numbers as red, green and blue themselves. Here the first two, which hold most, can be told
    apart without telling red from green.
    """
    light, yellow, red = (0.25 + 0.55 * scores[..., 0], 0.8 * scores[..., 1] - 0.4, 0.8 * scores[..., 2] - 0.4)
    colours = [light + 0.5 * yellow + 0.7 * red, light + 0.25 * yellow - 0.36 * red, light - 0.9 * yellow]
    return torch.stack(colours, dim=-1).clamp(0, 1)


def _project(patches: torch.Tensor, n: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Scores (M, n) on the first n principal components and their shares of the variance (n,), with fixed signs."""
    centred = patches - patches.mean(dim=0)
    _, sizes, directions = torch.linalg.svd(centred, full_matrices=False)
    kept = min(n, len(sizes))
    directions = directions[:kept]
    # A component is known up to its sign: the largest loading is made positive, so that every run has the same colours.
    largest = directions.gather(1, directions.abs().argmax(dim=1, keepdim=True))
    scores, shares = patches.new_zeros(len(patches), n), patches.new_zeros(n)
    scores[:, :kept] = centred @ (directions * largest.sign()).T
    shares[:kept] = sizes[:kept].square() / sizes.square().sum().clamp(min=1e-12)
    return scores, shares
