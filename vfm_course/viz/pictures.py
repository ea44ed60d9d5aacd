"""Pictures in rows and grids: a folder at a glance, neighbours, pairs, masks."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import matplotlib.pyplot as plt
import numpy as np
from PIL import Image

if TYPE_CHECKING:
    import torch

RIGHT, WRONG, PLAIN = "#2e7d32", "#c62828", "#666666"


def group_of(name: str) -> str:
    """`cat_03.jpg` -> `cat`: what a person would say is in the file."""
    return Path(name).stem.rsplit("_", 1)[0]


def contact_sheet(images: Sequence[Image.Image], names: Sequence[str], columns: int = 12) -> None:
    """All pictures small, each with its file's name."""
    rows = -(-len(images) // columns)
    figure, axes = plt.subplots(rows, columns, figsize=(1.05 * columns, 1.25 * rows), squeeze=False)
    for axis in axes.flat:
        axis.axis("off")
    for axis, image, name in zip(axes.flat, images, names, strict=False):
        axis.imshow(image)
        axis.set_title(name, fontsize=7)
    figure.tight_layout(pad=0.3)
    plt.show()


def as_the_model_sees(image: Image.Image, tensors: dict[str, tuple[torch.Tensor, int]]) -> None:
    """A picture beside what reaches each model: (pixels (3, H, W), patch size), stretched to the visible range."""
    figure, axes = plt.subplots(1, 1 + len(tensors), figsize=(3.1 * (1 + len(tensors)), 3.3))
    axes[0].imshow(image)
    axes[0].set_title(f"the file, {image.width} x {image.height} px", fontsize=9)
    for axis, (name, (pixels, patch_size)) in zip(axes[1:], tensors.items(), strict=True):
        shown = pixels.permute(1, 2, 0).numpy()
        axis.imshow((shown - shown.min()) / (shown.max() - shown.min()))
        height, width = shown.shape[:2]
        for edge in range(0, width + 1, patch_size):
            axis.axvline(edge - 0.5, color="white", linewidth=0.5)
        for edge in range(0, height + 1, patch_size):
            axis.axhline(edge - 0.5, color="white", linewidth=0.5)
        count = (height // patch_size) * (width // patch_size)
        axis.set_title(f"{name}: {width} x {height} px, {count} patches", fontsize=9)
    for axis in axes:
        axis.axis("off")
    figure.tight_layout()
    plt.show()


def neighbour_rows(
    images: Sequence[Image.Image],
    names: Sequence[str],
    found: dict[str, torch.Tensor],
    similarity: dict[str, torch.Tensor],
    queries: Sequence[int],
) -> None:
    """Queries on the left, their neighbours by each model to the right; a green frame where the file names agree.

    Args:
        found: neighbours' indices (N, k) of each model. similarity: (N, N) of each model.
    """
    k = next(iter(found.values())).shape[1]
    columns = 1 + len(found) * k
    figure, axes = plt.subplots(
        len(queries), columns, figsize=(1.25 * columns, 1.5 * len(queries)), squeeze=False, layout="constrained"
    )
    for row, query in zip(axes, queries, strict=True):
        _framed(row[0], images[query], names[query], PLAIN)
        for block, (model, indices) in enumerate(found.items()):
            for place, other in enumerate(indices[query].tolist()):
                colour = RIGHT if group_of(names[other]) == group_of(names[query]) else WRONG
                cosine = similarity[model][query, other]
                _framed(row[1 + block * k + place], images[other], f"{model} {cosine:.2f}", colour)
    plt.show()


def pairs(images: Sequence[Image.Image], names: Sequence[str], rows: dict[str, Sequence[tuple]]) -> None:
    """Pairs of pictures side by side, a row for each kind of disagreement.

    Args:
        rows: title -> pairs (i, j, text); a row without pairs says so.
    """
    most = max(1, *(len(found) for found in rows.values()))
    figure = plt.figure(figsize=(1.35 * 2 * most, 2.2 * len(rows)), layout="constrained")
    for part, (title, found) in zip(figure.subfigures(len(rows), 1), rows.items(), strict=True):
        part.suptitle(title if found else f"{title}: none", fontsize=10, fontweight="bold", x=0.01, ha="left")
        axes = part.subplots(1, 2 * most)
        for axis in axes:
            axis.axis("off")
        for number, (i, j, text) in enumerate(found):
            for axis, image, shown in ((axes[2 * number], i, names[i]), (axes[2 * number + 1], j, names[j])):
                axis.axis("on")
                _framed(axis, images[image], shown, PLAIN)
            axes[2 * number].set_xlabel(text, fontsize=7, loc="left")
    plt.show()


def side_by_side(pictures: dict[str, Image.Image | np.ndarray | torch.Tensor], height: float = 3.0) -> None:
    """A few pictures with a title each."""
    figure, axes = plt.subplots(1, len(pictures), figsize=(height * len(pictures), height + 0.3), squeeze=False)
    for axis, (title, picture) in zip(axes[0], pictures.items(), strict=True):
        axis.imshow(np.asarray(picture))
        axis.set_title(title, fontsize=9)
        axis.axis("off")
    figure.tight_layout()
    plt.show()


def rows(found: dict[str, Sequence[Image.Image]], side: float = 1.45) -> None:
    """Pictures in rows, best first, each row under its own words."""
    columns = max(map(len, found.values()))
    figure, axes = plt.subplots(
        len(found), columns, figsize=(side * columns, (side + 0.3) * len(found)), squeeze=False, layout="constrained"
    )
    for row, (words, images) in zip(axes, found.items(), strict=True):
        row[0].set_title(words, fontsize=10, loc="left")
        for axis in row:
            axis.axis("off")
        for axis, image in zip(row, images, strict=False):
            axis.imshow(image)
    plt.show()


def maps(images: Sequence[Image.Image], found: dict[str, torch.Tensor], what: str, side: float = 1.6) -> None:
    """Pictures, and below each what is true or said of its places, one scale of colours for all.

    Args:
        found: name -> values (N, rows, columns), stretched to the picture's size; NaN stays white.
        what: the scale's label, with its unit.
    """
    low = min(float(values[~values.isnan()].min()) for values in found.values())
    high = max(float(values[~values.isnan()].max()) for values in found.values())
    size = (side * len(images) + 1.8, (side + 0.1) * (1 + len(found)))
    figure, axes = plt.subplots(1 + len(found), len(images), figsize=size, squeeze=False, layout="constrained")
    for axis in axes.flat:
        axis.set(xticks=[], yticks=[])
    for axis, image in zip(axes[0], images, strict=True):
        axis.imshow(image)
    for row, (name, values) in zip(axes[1:], found.items(), strict=True):
        row[0].set_ylabel(name, fontsize=9)
        for axis, each in zip(row, values, strict=True):
            shown = axis.imshow(each, vmin=low, vmax=high, cmap="viridis")
    figure.colorbar(shown, ax=axes, shrink=0.6, label=what)
    plt.show()


def _framed(axis: plt.Axes, image: Image.Image, title: str, colour: str) -> None:
    axis.imshow(image)
    axis.set_title(title, fontsize=7)
    axis.set_xticks([])
    axis.set_yticks([])
    for side in axis.spines.values():
        side.set(color=colour, linewidth=2)
