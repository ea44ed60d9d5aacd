"""Figures of notebook 05: what models answer, how fast, and what they say when there is nothing to say."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

from vfm_course.viz import panels
from vfm_course.viz.adapting import COLOURS, MARKERS

Interval = tuple[float, float, float]  # mean, low, high


def heat(shares: Mapping[str, Mapping[str, float]], file: Path | None = None) -> None:
    """A table of shares as colours: a row a model, a column a kind of question.

    Args:
        shares: model -> kind -> share from 0 to 1; the columns are those of the first row, without "all" and "vqa".
    """
    kinds = [kind for kind in next(iter(shares.values())) if kind not in ("all", "vqa")]
    table = [[100 * each[kind] for kind in kinds] for each in shares.values()]
    figure, axis = plt.subplots(figsize=(1.1 * len(kinds) + 2.6, 0.42 * len(table) + 1.1), layout="constrained")
    axis.imshow(table, cmap="YlGn", vmin=0, vmax=100, aspect="auto")
    for i, line in enumerate(table):
        for j, value in enumerate(line):
            colour = "white" if value > 75 else "black"
            axis.text(j, i, f"{value:.0f}", ha="center", va="center", fontsize=9, color=colour)
    axis.set_xticks(range(len(kinds)), kinds, fontsize=9)
    axis.set_yticks(range(len(table)), list(shares), fontsize=9)
    axis.set_title("answers right, %", fontsize=10)
    panels.finish(figure, file)


def times(lengths: Sequence[int], seconds: Mapping[str, Sequence[float]], file: Path | None = None) -> None:
    """Time to write an answer against its length, a line each way of doing it.

    Args:
        lengths: tokens of the answer. seconds: name -> one number for each length.
    """
    figure, axis = plt.subplots(figsize=(5.6, 3.5), layout="constrained")
    for (name, values), colour, marker in zip(seconds.items(), COLOURS, MARKERS, strict=False):
        axis.plot(lengths, values, marker=marker, color=colour, label=name)
    axis.set(xlabel="tokens of the answer", ylabel="seconds", ylim=(0, None))
    axis.grid(alpha=0.3)
    axis.legend(frameon=False)
    panels.finish(figure, file)


def chains(lines: Mapping[str, Mapping[int, Interval]], file: Path | None = None) -> None:
    """Share of right answers against the number of relations to be followed, with 95 % intervals.

    Args:
        lines: model -> length -> (mean, low, high), shares from 0 to 1.
    """
    figure, axis = plt.subplots(figsize=(6, 3.7), layout="constrained")
    for number, (name, found) in enumerate(lines.items()):
        lengths = np.array(sorted(found)) + 0.05 * (number - (len(lines) - 1) / 2)  # side by side, to be told apart
        mean, low, high = (100 * np.array([found[length][i] for length in sorted(found)]) for i in range(3))
        axis.errorbar(lengths, mean, [mean - low, high - mean], marker=MARKERS[number], color=COLOURS[number],
                      label=name, capsize=3)  # fmt: skip
    axis.set_xticks(sorted(next(iter(lines.values()))))
    axis.set(xlabel="relations in a chain", ylabel="answers right, %", ylim=(0, 100))
    axis.grid(alpha=0.3)
    axis.legend(frameon=False, fontsize=8)
    panels.finish(figure, file)


def refusals(rates: Mapping[str, Mapping[str, Interval]], file: Path | None = None) -> None:
    """How often each model says that there is no answer, where there is none and where there is one.

    Args:
        rates: model -> kind of question -> (mean, low, high), shares from 0 to 1.
    """
    kinds = list(next(iter(rates.values())))
    figure, axis = plt.subplots(figsize=(6.4, 3.2), layout="constrained")
    width = 0.8 / len(kinds)
    for number, kind in enumerate(kinds):
        values = 100 * np.array([found[kind] for found in rates.values()])
        places = np.arange(len(rates)) + (number - (len(kinds) - 1) / 2) * width
        spread = [values[:, 0] - values[:, 1], values[:, 2] - values[:, 0]]
        bars = axis.bar(places, values[:, 0], width, yerr=spread, color=COLOURS[number], label=kind, capsize=3)
        axis.bar_label(bars, fmt="%.0f", fontsize=8, padding=2)
    axis.set_xticks(range(len(rates)), list(rates))
    axis.set(ylabel="says “unanswerable”, %", ylim=(0, 105))
    axis.legend(frameon=False, fontsize=8)
    panels.finish(figure, file)
