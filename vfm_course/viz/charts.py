"""Matrices, bars and curves, with labels and units."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import matplotlib.pyplot as plt
import numpy as np
from PIL import Image

from vfm_course.viz.pictures import PLAIN, RIGHT, WRONG

if TYPE_CHECKING:
    import torch

INK = "#1565c0"


def similarity_matrices(matrices: dict[str, torch.Tensor], groups: Sequence[str]) -> None:
    """Cosine matrices (N, N) side by side; lines and names mark the groups, which must be in order."""
    figure, axes = plt.subplots(1, len(matrices), figsize=(6.2 * len(matrices), 5.6), layout="constrained")
    starts = [i for i in range(len(groups)) if i == 0 or groups[i] != groups[i - 1]]
    ends = [*starts[1:], len(groups)]
    for axis, (name, matrix) in zip(np.atleast_1d(axes), matrices.items(), strict=True):
        shown = axis.imshow(matrix, vmin=-1, vmax=1, cmap="RdBu_r")
        axis.set_title(f"{name}: cosine of every pair of pictures", fontsize=10)
        middles = [(start + end - 1) / 2 for start, end in zip(starts, ends, strict=True)]
        axis.set_xticks(middles, [groups[start] for start in starts], rotation=90, fontsize=8)
        axis.set_yticks(middles, [groups[start] for start in starts], fontsize=8)
        for start in starts[1:]:
            axis.axhline(start - 0.5, color="white", linewidth=0.6)
            axis.axvline(start - 0.5, color="white", linewidth=0.6)
    figure.colorbar(shown, ax=axes, shrink=0.8, label="cosine similarity")
    plt.show()


def label_bars(
    images: Sequence[Image.Image], scores: Sequence[torch.Tensor], labels: Sequence[str], most: int = 5, title: str = ""
) -> None:
    """Pictures with the scores (L,) of their best labels as bars from 0 to 1."""
    draw_label_bars(images, scores, labels, most, title)
    plt.show()


def draw_label_bars(
    images: Sequence[Image.Image], scores: Sequence[torch.Tensor], labels: Sequence[str], most: int = 5, title: str = ""
) -> plt.Figure:
    """The figure that `label_bars` shows."""
    size = (max(4.0, 2.5 * len(images)), 4.2)
    figure, axes = plt.subplots(2, len(images), figsize=size, squeeze=False, layout="constrained")
    for column, (image, score) in enumerate(zip(images, scores, strict=True)):
        axes[0, column].imshow(image)
        axes[0, column].axis("off")
        best = score.argsort(descending=True)[:most].tolist()
        axis = axes[1, column]
        axis.barh([labels[i] for i in best], [float(score[i]) for i in best], color=INK)
        axis.set_xlim(0, 1)
        axis.invert_yaxis()
        axis.tick_params(labelsize=8)
        axis.set_xlabel("score", fontsize=8)
    figure.suptitle(title, fontsize=10)
    return figure


def shares_with_intervals(
    rows: dict[str, dict[str, tuple[float, float, float]]], chance: dict[str, float], what: str
) -> None:
    """Groups of bars with 95 % intervals, one group a question, one bar a model, and a line where chance lies.

    Args:
        rows: model -> question -> (mean, low, high). chance: question -> share. what: the axis' label.
    """
    figure, axis = plt.subplots(figsize=(9, 3.6), layout="constrained")
    width = 0.8 / len(rows)
    colours = plt.get_cmap("viridis")(np.linspace(0.15, 0.85, len(rows)))
    for number, (model, answers) in enumerate(rows.items()):
        values = np.array([answers[question] for question in chance])
        places = np.arange(len(chance)) + (number - (len(rows) - 1) / 2) * width
        spread = np.abs(values[:, 1:].T - values[:, 0])
        bars = axis.bar(places, values[:, 0], width, yerr=spread, label=model, color=colours[number], ecolor=PLAIN)
        axis.bar_label(bars, fmt="%.2f", fontsize=7, padding=2)
    for place, share in enumerate(chance.values()):
        label = "chance" if place == 0 else None
        axis.plot([place - 0.45, place + 0.45], [share, share], color=WRONG, linestyle="--", label=label)
    axis.set_xticks(range(len(chance)), list(chance))
    axis.set_ylim(0, 1.05)
    axis.set_ylabel(what)
    axis.legend(frameon=False, fontsize=8, ncols=3)
    plt.show()


def curves(
    lines: dict[str, tuple[Sequence[float], Sequence[float]]], x: str, y: str, log: bool = True, title: str = ""
) -> None:
    """Named lines (xs, ys), on logarithmic axes if `log`."""
    figure, axis = plt.subplots(figsize=(6.5, 3.8), layout="constrained")
    for (name, (xs, ys)), marker in zip(lines.items(), "osd^vx" * len(lines), strict=False):
        axis.plot(xs, ys, marker=marker, label=name)
    if log:
        axis.set_xscale("log")
        axis.set_yscale("log")
    axis.set_xlabel(x)
    axis.set_ylabel(y)
    axis.set_title(title, fontsize=10)
    axis.grid(alpha=0.3)
    axis.legend(frameon=False, fontsize=9)
    plt.show()


def two_scores(labels: Sequence[str], scores: dict[str, Sequence[float]], title: str = "") -> None:
    """Groups of bars: for each label one bar a model, from 0 to 1."""
    figure, axis = plt.subplots(figsize=(1.2 * len(labels) + 3, 3.2), layout="constrained")
    width = 0.8 / len(scores)
    for number, (name, values) in enumerate(scores.items()):
        places = np.arange(len(labels)) + (number - (len(scores) - 1) / 2) * width
        bars = axis.bar(places, values, width, label=name, color=(INK, RIGHT, PLAIN)[number % 3])
        axis.bar_label(bars, fmt="%.2f", fontsize=8)  # a bar of height 0 is an answer too
    axis.set_xticks(range(len(labels)), labels)
    axis.set_ylim(0, 1.1)
    axis.set_ylabel("score")
    axis.set_title(title, fontsize=10)
    axis.legend(frameon=False, fontsize=9)
    plt.show()
