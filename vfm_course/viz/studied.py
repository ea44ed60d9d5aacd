"""Figures of the stored pretraining studies: every run a dot, the mean over seeds a line."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

from vfm_course.viz import panels
from vfm_course.viz.adapting import COLOURS, MARKERS

GREY = "#888888"
CALLED = {"mae": "MAE", "clip": "CLIP", "ijepa": "I-JEPA", "dino": "DINO", "random": "untrained", "pixels": "pixels"}
LOOK = {  # a model keeps its colour and marker in every figure
    name: (colour, marker, "--" if name in ("random", "pixels") else "-")
    for name, colour, marker in zip(CALLED, (*COLOURS[:4], GREY, GREY), MARKERS, strict=True)
}
ASKED = {  # of the study `noise`: what a probe finds, its axis
    "concept": "concept, named right",
    "position": "position, R²",
    "texture": "kind of texture, named right",
    "noise": "the noise itself, R² a pixel",
}

ANCHORED = {False: ("", "-"), True: ("anchored", "--"), "early": ("anchored early", ":")}  # how called, and its line


def noise_kept(rows: Sequence[dict], asked: Sequence[str] = tuple(ASKED), file: Path | None = None) -> None:
    """What features tell about concept, place, texture and noise against the amount of noise, a panel each.

    Args:
        rows: of the study `noise`.
        asked: keys of ASKED.
    """
    figure, axes = plt.subplots(1, len(asked), figsize=(3.3 * len(asked), 3.4), layout="constrained", squeeze=False)
    for axis, key in zip(axes[0], asked, strict=True):
        for name in dict.fromkeys(row["model"] for row in rows):
            some = [row for row in rows if row["model"] == name and key in row["told"]]
            colour, marker, line = LOOK[name]
            points = [(row["amount"], row["told"][key]["value"]) for row in some]
            _with_mean(axis, points, colour, marker, line, CALLED[name])
        chance = next(row["told"][key]["chance"] for row in rows if key in row["told"])
        axis.axhline(chance, color="black", linestyle=":", linewidth=1)
        axis.set_title(ASKED[key], fontsize=10)
        axis.set_xlabel("noise, deviation in grey levels")
        axis.grid(alpha=0.3)
    axes[0, 0].legend(frameon=False, fontsize=8)
    panels.finish(figure, file)


def _with_mean(axis: plt.Axes, points: Sequence[tuple], colour: str, marker: str, line: str, name: str) -> None:
    """Every (x, y) as a small dot, and the mean at each x as a line."""
    xs = sorted({x for x, _ in points})
    means = [np.mean([y for at, y in points if at == x]) for x in xs]
    axis.plot(xs, means, line, marker=marker, color=colour, label=name, markersize=5)
    axis.plot(*zip(*points, strict=True), ".", color=colour, alpha=0.5, markersize=5)


def gram_matrices(rows: Sequence[dict], objective: str, file: Path | None = None) -> None:
    """The cosines of all patches of one picture while a run goes on; the other rows with Gram anchoring."""
    found = {row["anchored"]: row["seen"] for row in rows if row["objective"] == objective and row["seed"] == 0}
    chosen = [seen["images"] for seen in found[False]]
    figure, axes = panels.grid(len(found), len(chosen), named_rows=True, side=2.0)
    for row, (anchored, seen) in zip(axes, found.items(), strict=True):
        panels.name_row(row[0], ANCHORED[anchored][0] or "free")
        at = {each["images"]: each for each in seen}
        for axis, images in zip(row, chosen, strict=True):
            shown = axis.imshow(at[images]["gram"], vmin=0, vmax=1, cmap="viridis")
            axis.set_title(f"{images:,} images", fontsize=8)
    figure.colorbar(shown, ax=axes, shrink=0.7, label="cosine")
    figure.suptitle(f"{CALLED[objective]}: who resembles whom among the 36 patches of one picture", fontsize=10)
    panels.finish(figure, file)


def gram_curves(rows: Sequence[dict], file: Path | None = None) -> None:
    """What the whole picture and its patches are good for while runs go on, free and with Gram anchoring."""
    asked = {"concept": "whole picture: concept named right", "correspondence": "patches: found in another view",
             "likeness": "mean cosine of two patches"}  # fmt: skip
    figure, axes = plt.subplots(1, len(asked), figsize=(11, 3.4), layout="constrained")
    for axis, (key, what) in zip(axes, asked.items(), strict=True):
        for objective in dict.fromkeys(row["objective"] for row in rows):
            for anchored, (said, line) in ANCHORED.items():
                some = [row for row in rows if (row["objective"], row["anchored"]) == (objective, anchored)]
                if not some:
                    continue
                points = [(seen["images"] / 1000, seen[key]["value"]) for row in some for seen in row["seen"]]
                colour, marker, _ = LOOK[objective]
                name = f"{CALLED[objective]}{said and ', ' + said}"
                _with_mean(axis, points, colour, marker if anchored else ".", line, name)
        axis.set_title(what, fontsize=10)
        axis.set_xlabel("thousand images seen")
        axis.grid(alpha=0.3)
    axes[0].legend(frameon=False, fontsize=8)
    panels.finish(figure, file)


def scaling(rows: Sequence[dict], laws: Mapping[str, Callable], file: Path | None = None) -> None:
    """Loss on unseen pairs against size, pairs and images, with the laws fitted to all but the largest of each.

    Args:
        rows: of the study `scaling`.
        laws: axis ("width", "pairs", "images") -> the fitted law, x (n,) -> loss (n,).
    """
    titles = {"width": "parameters of the encoder", "pairs": "different pictures", "images": "images seen"}
    figure, axes = plt.subplots(1, 3, figsize=(11, 3.6), layout="constrained", sharey=True)
    for axis, (name, title) in zip(axes, titles.items(), strict=True):
        points = sorted(
            (row["parameters" if name == "width" else name], row["loss"]) for row in rows if row["axis"] == name
        )
        last = points[-1][0]
        known, held_out = ([point for point in points if (point[0] == last) == late] for late in (False, True))
        axis.plot(*zip(*known, strict=True), "o", color=COLOURS[0], markersize=4, label="fitted")
        axis.plot(*zip(*held_out, strict=True), "D", color=COLOURS[1], markersize=5, label="held out")
        xs = np.geomspace(points[0][0], 2 * last, 60)
        axis.plot(xs, laws[name](xs), color="black", linewidth=1, label="power law")
        axis.set(xscale="log", yscale="log", xlabel=title)
        axis.grid(alpha=0.3, which="both")
    ticks = [
        tick
        for tick in (2, 2.25, 2.5, 2.75, 3, 3.5, 4, 4.5, 5, 5.5, 6)
        if axes[0].get_ylim()[0] < tick < axes[0].get_ylim()[1]
    ]
    axes[0].set_yticks(ticks, [f"{tick:g}" for tick in ticks])
    axes[0].minorticks_off()
    axes[0].set_ylabel("contrastive loss on unseen pairs")
    axes[0].legend(frameon=False, fontsize=8)
    panels.finish(figure, file)


def curation(rows: Sequence[dict], file: Path | None = None) -> None:
    """Zero-shot accuracy after the same number of images on what each way of curating leaves; a dot a seed."""
    ways = list(dict.fromkeys(row["way"] for row in rows))
    figure, axis = plt.subplots(figsize=(9.5, 0.42 * len(ways) + 0.9), layout="constrained")
    for place, way in enumerate(reversed(ways)):
        some = [row for row in rows if row["way"] == way]
        values = [row["zero_shot"]["value"] for row in some]
        axis.barh(place, np.mean(values), color=COLOURS[0], alpha=0.35)
        axis.plot(values, [place] * len(values), "o", color=COLOURS[0], markersize=4)
        right = np.mean([row["right"] for row in some])
        pairs = np.mean([row["pairs"] for row in some])
        said = f"{pairs:,.0f} pairs, {right:.0%} of captions right"
        axis.text(max(values) + 0.01, place, said, va="center", fontsize=8)
    axis.set_yticks(range(len(ways)), reversed(ways))
    axis.set_xlabel("named right without a label, of 1,024 unseen pictures")
    axis.set_xlim(0, 1.9 * max(row["zero_shot"]["value"] for row in rows))  # room for what stands beside the bars
    axis.axvline(some[0]["zero_shot"]["chance"], color="black", linestyle=":", linewidth=1)
    axis.grid(axis="x", alpha=0.3)
    panels.finish(figure, file)
