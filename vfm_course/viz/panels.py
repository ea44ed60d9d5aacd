"""Pieces of figures that show pictures in rows: grids without ticks, values over a picture, masks, and files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import matplotlib.pyplot as plt
import numpy as np
from PIL import Image

if TYPE_CHECKING:
    import torch

WIDTHS = (1200, 1000, 850, 700)  # pixels of a written figure, the first that makes a small enough file
LARGEST = 150_000  # bytes
PAGE = 11.0  # inches: a figure of many columns has narrower ones
OUTLINE = "#D81B60"


def grid(
    rows: int, columns: int, named_rows: bool = False, side: float = 1.75, gap: float = 0.2
) -> tuple[plt.Figure, np.ndarray]:
    """Axes (rows, columns) without ticks and frames, of `side` inches or less; `gap` more between rows for titles."""
    side = max(1.1, min(side, PAGE / columns))
    size = (side * columns + 1.1 * named_rows, (side + gap) * rows + 0.5)
    figure, axes = plt.subplots(rows, columns, figsize=size, squeeze=False, layout="constrained")
    for axis in axes.flat:
        axis.set(xticks=[], yticks=[])
        axis.spines[:].set_visible(False)
    return figure, axes


def name_row(axis: plt.Axes, text: str) -> None:
    """Text at the left of a row's first axes."""
    axis.set_ylabel(text, rotation=0, fontsize=8, ha="right", va="center", labelpad=6)


def spread(axis: plt.Axes, image: Image.Image, values: torch.Tensor, smooth: bool = False, **how) -> None:
    """Patches' values (rows, columns) or colours (rows, columns, 3), stretched to the picture's size."""
    kind = "bilinear" if smooth else "nearest"
    axis.imshow(values.numpy(), extent=(0, image.width, image.height, 0), interpolation=kind, **how)


def heat(axis: plt.Axes, image: Image.Image, share: torch.Tensor, thing: Image.Image | None = None) -> None:
    """Attention (rows, columns) over the picture in grey; with a known thing's mask, how much of it lies there."""
    share = share / share.sum()
    axis.imshow(image.convert("L"), cmap="gray", vmin=0, vmax=255, extent=(0, image.width, image.height, 0))
    # Attention that is the same everywhere must look dark, and not as bright as a peak.
    top = max(float(share.max()), 4 / share.numel())
    spread(axis, image, share, smooth=True, cmap="inferno", alpha=0.65, vmin=0, vmax=top)
    if thing is not None:
        small = thing.convert("L").resize(tuple(share.shape[::-1]), Image.Resampling.BOX)  # half covered counts half
        on_it = float((share.numpy() * np.asarray(small) / 255).sum())
        axis.set_title(f"{100 * on_it:.0f} % on thing", fontsize=8)


def title_area(axis: plt.Axes, thing: Image.Image) -> None:
    """How much of the picture a thing's mask covers."""
    axis.set_title(f"{100 * np.asarray(thing).mean():.0f} % of area", fontsize=8)


def both_ious(mask: torch.Tensor, expected: torch.Tensor, thing: np.ndarray | None) -> str:
    """The IoU that a model expects of its mask (H, W), and the true one where it is known what was meant, in words."""
    text = f"expects IoU {expected:.2f}"
    if thing is not None:
        both, either = (mask.numpy() & thing).sum(), (mask.numpy() | thing).sum()
        text += f", true {both / max(1, either):.2f}"
    return text


def spotlight(axis: plt.Axes, image: Image.Image, mask: np.ndarray | torch.Tensor) -> None:
    """A mask bool (H, W): inside the picture as it is, outside pale and grey, an outline between them."""
    mask = np.asarray(mask)
    pale = 0.35 * np.asarray(image.convert("L"), dtype=float)[..., None] / 255 + 0.6
    axis.imshow(np.where(mask[..., None], np.asarray(image) / 255, pale))
    if mask.any() and not mask.all():
        axis.contour(mask, [0.5], colors=OUTLINE, linewidths=1.5)


def frame(axis: plt.Axes, box: Sequence[float]) -> None:
    """A dashed box (left, top, right, bottom) in the picture's pixels."""
    left, top, right, bottom = box
    axis.add_patch(plt.Rectangle((left, top), right - left, bottom - top, fill=False, linestyle="--", linewidth=1.8))


def finish(figure: plt.Figure, file: Path | None) -> None:
    """Shows the figure, or writes it as a JPEG of at most 1200 pixels a row and 150 kB."""
    if file is None:
        plt.show()
        return
    for width in WIDTHS:
        figure.savefig(file, dpi=min(150.0, width / figure.get_figwidth()), pil_kwargs={"quality": 85})
        if file.stat().st_size <= LARGEST:
            break
    plt.close(figure)
