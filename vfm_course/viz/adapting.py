"""What adapting gains and what it costs, drawn from the rows of `adapt.table`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

from vfm_course.adapt.table import Row
from vfm_course.viz import panels

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")  # told apart by the colour-blind too
MARKERS = "osD^vP"
FEWEST = 1e-5  # share at which a way is drawn that trains nothing: a logarithm has no zero


def costs(rows: Sequence[Row], file: Path | None = None) -> None:
    """Accuracy against the share of trained parameters, and against the seconds that adapting took; one task.

    A colour a model, the way written beside each point, bars for the 95 % interval, a dotted line where chance lies.
    """
    figure, axes = plt.subplots(1, 2, figsize=(11, 4.6), layout="constrained", sharey=True)
    models = list(dict.fromkeys(row.model for row in rows))
    places = {"trained share of all parameters": lambda row: max(row.share, FEWEST), "seconds, reading included":
              lambda row: row.seconds}  # fmt: skip
    for axis, (what, place) in zip(axes, places.items(), strict=True):
        for model, colour, marker in zip(models, COLOURS, MARKERS, strict=False):
            some = [row for row in rows if row.model == model]
            xs, values = [place(row) for row in some], np.array([row.accuracy for row in some])
            spread = np.abs(values[:, 1:].T - values[:, 0])
            axis.errorbar(xs, values[:, 0], spread, fmt=marker, color=colour, markersize=7, label=model, capsize=2)
            for (x, y), names in _together(xs, values[:, 0], [row.method for row in some]).items():
                axis.annotate(names, (x, y), (4, 5), textcoords="offset points", fontsize=8, color=colour,
                              rotation=40, rotation_mode="anchor")  # fmt: skip
        axis.axhline(rows[0].chance, color="grey", linestyle=":", linewidth=1)
        axis.set_xscale("log")
        axis.set_xlabel(what)
        axis.margins(x=0.3)  # room for the names
        axis.grid(alpha=0.3)
    axes[1].set_xticks(*_round_seconds(axes[1].get_xlim()))
    axes[1].minorticks_off()
    axes[0].minorticks_off()
    axes[0].set_xticks([FEWEST, 1e-3, 1e-2, 1e-1, 1], ["none", "0.1 %", "1 %", "10 %", "100 %"])
    axes[0].set_ylim(0, 1.3)  # room for the names of what is near 1
    axes[0].set_yticks([0, 0.2, 0.4, 0.6, 0.8, 1])
    axes[0].set_ylabel(f"named right, of {rows[0].labels:,} labels learnt")
    axes[0].text(FEWEST, rows[0].chance + 0.01, "chance", fontsize=8, color="grey")
    axes[0].legend(frameon=False, fontsize=9, loc="center left")
    panels.finish(figure, file)


def _together(xs: Sequence[float], ys: Sequence[float], names: Sequence[str]) -> dict[tuple[float, float], str]:
    """Points (x, y) with a name each; one so near to an earlier one that names would overlap shares its place."""
    found: dict[tuple[float, float], str] = {}
    for x, y, name in zip(xs, ys, names, strict=True):
        near = next((at for at in found if abs(np.log10(x / at[0])) < 0.12 and abs(y - at[1]) < 0.03), None)
        if near is None:
            found[float(x), float(y)] = name
        else:
            found[near] += f", {name}"
    return found


def _round_seconds(limits: tuple[float, float]) -> tuple[list[float], list[str]]:
    ticks = [tick for tick in (0.1, 0.3, 1, 3, 10, 30, 100, 300, 1000, 3000) if limits[0] <= tick <= limits[1]]
    return ticks, [f"{tick:g} s" for tick in ticks]


def learning_curves(rows: Sequence[Row], classes: int, names: Mapping | None = None, file: Path | None = None) -> None:
    """Accuracy against labels a class, a line for each model and way, with the 95 % interval as a band.

    Args:
        names: (model, method) -> what the legend calls the line; lines that it leaves out are left out.
    """
    if names is None:
        names = {(row.model, row.method): f"{row.model}, {row.method}" for row in rows}
    figure, axis = plt.subplots(figsize=(8, 4.4), layout="constrained")
    for (which, name), colour, marker in zip(names.items(), COLOURS, MARKERS, strict=False):
        some = sorted((row for row in rows if (row.model, row.method) == which), key=lambda row: row.labels)
        xs, values = [row.labels / classes for row in some], np.array([row.accuracy for row in some])
        axis.plot(xs, values[:, 0], marker=marker, color=colour, label=name)
        axis.fill_between(xs, values[:, 1], values[:, 2], color=colour, alpha=0.15, linewidth=0)
    axis.axhline(rows[0].chance, color="grey", linestyle=":", linewidth=1, label="chance")
    ticks = sorted({row.labels / classes for row in rows})
    axis.set_xscale("log")
    axis.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    axis.minorticks_off()
    axis.set(xlabel="labels a class", ylabel="named right (95 % interval)", ylim=(0, 1.03))
    axis.grid(alpha=0.3)
    axis.legend(frameon=False, fontsize=9)
    panels.finish(figure, file)


def by_task(rows: Mapping[str, Sequence[Row]], file: Path | None = None) -> None:
    """Accuracy of several ways on many tasks, a line a task, a marker a way, a tick where chance lies.

    Args:
        rows: way -> one row a task; tasks are ordered by the first way's accuracy.
    """
    first = next(iter(rows.values()))
    order = {row.task: place for place, row in enumerate(sorted(first, key=lambda row: row.accuracy[0]))}
    figure, axis = plt.subplots(figsize=(9, 0.36 * len(order) + 1.2), layout="constrained")
    shift = np.linspace(-0.2, 0.2, len(rows))
    for (name, some), colour, marker, up in zip(rows.items(), COLOURS, MARKERS, shift, strict=False):
        values = np.array([row.accuracy for row in some])
        ys = [order[row.task] + up for row in some]
        spread = np.abs(values[:, 1:].T - values[:, 0])
        axis.errorbar(values[:, 0], ys, xerr=spread, fmt=marker, color=colour, label=name, markersize=5, linewidth=1)
    for row in first:
        axis.plot(row.chance, order[row.task], "|", color="grey", markersize=14, label="chance" if
                  order[row.task] == 0 else None)  # fmt: skip
    axis.set_yticks(list(order.values()), [task.removeprefix("parcel: ") for task in order])
    axis.set_xlim(0, 1.02)
    axis.set_xlabel("named right (95 % interval)")
    axis.grid(axis="x", alpha=0.3)
    axis.legend(frameon=False, fontsize=9, loc="upper left")
    panels.finish(figure, file)


def shifts(rows: Mapping[str, Sequence[Row]], file: Path | None = None) -> None:
    """How far accuracy falls on pictures unlike the training's: means over tasks, a group of bars a kind of picture.

    What is drawn is the share of the way from chance to 1, so that tasks of two and of seven classes can be averaged:
    0 is guessing, 1 is perfect.
    """
    kinds = ["as in training", *dict.fromkeys(kind for some in rows.values() for row in some for kind in row.shifted)]
    figure, axis = plt.subplots(figsize=(8, 3.6), layout="constrained")
    width = 0.8 / len(rows)
    for number, ((name, some), colour) in enumerate(zip(rows.items(), COLOURS, strict=False)):
        heights = [np.mean([above_chance(row, kind) for row in some if kind in row.shifted or kind == kinds[0]])
                   for kind in kinds]  # fmt: skip
        places = np.arange(len(kinds)) + (number - (len(rows) - 1) / 2) * width
        axis.bar_label(axis.bar(places, heights, width, color=colour, label=name), fmt="%.2f", fontsize=8)
    axis.set_xticks(range(len(kinds)), kinds)
    axis.set_ylabel("from guessing (0) to perfect (1),\nmean over tasks")
    axis.set_ylim(min(0, axis.get_ylim()[0]), 1.05)
    axis.legend(frameon=False, fontsize=9)
    panels.finish(figure, file)


def above_chance(row: Row, kind: str) -> float:
    """(accuracy - chance) / (1 - chance) on the pictures of one kind, or on the test pictures for any other name."""
    value = row.shifted.get(kind, row.accuracy)[0]
    return (value - row.chance) / (1 - row.chance)
