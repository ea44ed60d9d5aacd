"""What short runs see and say, as pictures: paintings, blocks, and matches between two views."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import torch
from PIL import Image

from vfm_course.objectives.mae import patchify
from vfm_course.pretraining import encoder
from vfm_course.pretraining.short.learners import ShortMae
from vfm_course.pretraining.short.vit import PATCH, SIDE
from vfm_course.viz import panels
from vfm_course.viz.adapting import COLOURS

HIDDEN = 0.55  # grey of what is not shown, from 0 to 1


def to_pictures(pixels: torch.Tensor) -> np.ndarray:
    """Normalised pixels (B, 3, H, W) -> what they show, float (B, H, W, 3) from 0 to 1."""
    mean, std = (torch.tensor(encoder.IMAGENET[key])[:, None, None] for key in ("image_mean", "image_std"))
    return (pixels * std + mean).clamp(0, 1).permute(0, 2, 3, 1).numpy()


def from_patches(patches: torch.Tensor) -> torch.Tensor:
    """Patches (B, N, patch * patch * 3) -> pixels (B, 3, H, W), the reverse of `patchify`."""
    side = round(patches.shape[1] ** 0.5)
    grid = patches.view(len(patches), side, side, PATCH, PATCH, 3)
    return grid.permute(0, 5, 1, 3, 2, 4).reshape(len(patches), 3, side * PATCH, side * PATCH)


@torch.no_grad()
def paintings(learner: ShortMae, pixels: torch.Tensor, seed: int = 0, file: Path | None = None) -> None:
    """Pictures (B, 3, 48, 48), what MAE is shown of them, and what it paints into the hidden patches.

    Each painted patch is given the true patch's own mean and deviation: the loss never asks for these.
    """
    predicted, mask = learner.paint(pixels, torch.Generator().manual_seed(seed))
    true = patchify(pixels, PATCH)
    deviation, mean = torch.std_mean(true, dim=-1, keepdim=True)
    hidden = mask.bool()[:, :, None]
    painted = from_patches(torch.where(hidden, predicted * deviation + mean, true))
    flat = from_patches(torch.where(hidden, mean.expand_as(true), true))
    shown = to_pictures(pixels)
    gone = from_patches(hidden.float().expand_as(true)).permute(0, 2, 3, 1).numpy()
    rows = {
        "picture": shown,
        "visible": shown * (1 - gone) + HIDDEN * gone,
        "true means": to_pictures(flat),
        "painted": to_pictures(painted),
    }
    figure, axes = panels.grid(len(rows), len(pixels), named_rows=True, side=1.2, gap=0.02)
    for row, (name, pictures) in zip(axes, rows.items(), strict=True):
        panels.name_row(row[0], name)
        for axis, picture in zip(row, pictures, strict=True):
            axis.imshow(picture)
    panels.finish(figure, file)


def blocks(
    pixels: torch.Tensor, contexts: Sequence[torch.Tensor], targets: Sequence[torch.Tensor], file: Path | None = None
) -> None:
    """Pictures (B, 3, 48, 48): what the context encoder sees of each, and which blocks it is asked about.

    Args:
        contexts: patch numbers (C,) of each picture.
        targets: patch numbers (K, T) of each picture.
    """
    shown = to_pictures(pixels)
    figure, axes = panels.grid(2, len(shown), named_rows=True, side=1.5, gap=0.02)
    panels.name_row(axes[0, 0], "seen")
    panels.name_row(axes[1, 0], "asked for")
    for column, (picture, context, asked) in enumerate(zip(shown, contexts, targets, strict=True)):
        axes[0, column].imshow(_only(picture, context))
        axes[1, column].imshow(_only(picture, asked.flatten()))
        for block, colour in zip(asked, COLOURS, strict=False):
            top, left = int(block.min()) // SIDE, int(block.min()) % SIDE
            bottom, right = int(block.max()) // SIDE + 1, int(block.max()) % SIDE + 1
            corners = np.array([(left, top), (right, top), (right, bottom), (left, bottom), (left, top)]) * PATCH - 0.5
            axes[1, column].plot(*corners.T, color=colour, linewidth=2)
    panels.finish(figure, file)


def _only(picture: np.ndarray, numbers: torch.Tensor) -> np.ndarray:
    """A picture (H, W, 3) with all patches grey that are not in `numbers`."""
    seen = np.zeros(SIDE * SIDE)
    seen[numbers.numpy()] = 1
    mask = np.kron(seen.reshape(SIDE, SIDE), np.ones((PATCH, PATCH)))[..., None]
    return picture * mask + HIDDEN * (1 - mask)


def matches(
    picture: Image.Image,
    view: Image.Image,
    found: Mapping[str, torch.Tensor],
    truth: torch.Tensor,
    asked: Sequence[int],
    file: Path | None = None,
) -> None:
    """Where patches of a view are found in the whole picture, a panel a model: green is right or next to it.

    Args:
        found: model -> number of the picture's nearest patch for each patch of the view (P,).
        truth: rows and columns (P, 2) where they come from.
        asked: the patches of the view for which a line is drawn.
    """
    side = round(len(truth) ** 0.5)
    figure, axes = plt.subplots(1, len(found), figsize=(3.7 * len(found), 2.6), layout="constrained", squeeze=False)
    height = view.height
    canvas = np.ones((height, height * 2 + 8, 3))
    canvas[:, :height], canvas[:, height + 8 :] = np.asarray(view) / 255, np.asarray(picture) / 255
    cell = height / side
    for axis, (name, nearest) in zip(axes[0], found.items(), strict=True):
        axis.imshow(canvas)
        hits = 0
        for patch in asked:
            row, column = divmod(patch, side)
            place = divmod(int(nearest[patch]), side)
            right = max(abs(place[0] - int(truth[patch, 0])), abs(place[1] - int(truth[patch, 1]))) <= 1
            hits += right
            xs = [(column + 0.5) * cell, height + 8 + (place[1] + 0.5) * cell]
            ys = [(row + 0.5) * cell, (place[0] + 0.5) * cell]
            axis.plot(
                xs, ys, "o-" if right else "x:", color=COLOURS[2] if right else COLOURS[1], linewidth=1, markersize=4
            )
        axis.set_title(f"{name}: {hits} of {len(asked)} right", fontsize=10)
        axis.axis("off")
    panels.finish(figure, file)
