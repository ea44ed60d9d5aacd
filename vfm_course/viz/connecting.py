"""Figures of notebook 04: what connectors earn and cost, and where queries look."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

from vfm_course.connectors.cost import ConnectorCost
from vfm_course.intervals import crossed_interval
from vfm_course.viz import panels
from vfm_course.viz.adapting import COLOURS, MARKERS
from vfm_course.viz.answering import heat

CALLED = {
    "linear": "linear (LLaVA)",
    "mlp": "MLP (LLaVA-1.5)",
    "prefix": "linear, prefix LM (PaliGemma)",
    "qformer": "Q-Former (BLIP-2)",
    "gated": "resampler + gates (Flamingo)",
}
HALF_OPEN = "half-open gates (Flamingo)"  # where a run has an `alpha`
QUERIES = 16  # of a Q-Former where a run does not say
LOOK = dict(zip((*CALLED, HALF_OPEN), zip(COLOURS, MARKERS, strict=True), strict=True))


def called(row: Mapping) -> str:
    """A run's connector in words."""
    name = HALF_OPEN if row.get("alpha") else CALLED[row["connector"]]
    count = f", {row['queries']} {'query' if row['queries'] == 1 else 'queries'}" if row.get("queries") else ""
    also = {"noted": ", notes", "stage_one": ", stage one", "tune_lm": ", LM tuned"}
    return name + count + "".join(words for what, words in also.items() if row.get(what))


def _look(row: Mapping) -> tuple[str, str]:
    """Colour and marker of a run's connector."""
    return LOOK[HALF_OPEN if row.get("alpha") else row["connector"]]


def table(rows: Sequence[Mapping], hits: Sequence[np.ndarray], costs: Sequence[ConnectorCost]) -> None:
    """Prints a line a case: its costs, and its share of right answers with a 95 % interval over runs and questions;
    with a single run the interval speaks of the questions alone.

    Args:
        rows: of a study. hits: bool (questions,) for each row. costs: for each row.
    """
    names = [called(row) for row in rows]
    print(f"{'':<46}{'tokens':>7}{'trained':>11}{'cache':>10}{'right, %':>10}   95 %           runs")
    for name in dict.fromkeys(names):
        own = [i for i, each in enumerate(names) if each == name]
        mean, low, high = crossed_interval([hits[i] for i in own])
        cost, trained = costs[own[0]], rows[own[0]]["trained"]
        cache = f"{cost.kv_cache_bytes / 1024:.0f} KiB"
        print(f"{name:<46}{cost.visual_tokens:>7}{trained:>11,}{cache:>10}{100 * mean:>10.1f}"
              f"   {100 * low:.1f} to {100 * high:.1f} {len(own):>6}")  # fmt: skip


def differences(rows: Sequence[Mapping], hits: Sequence[np.ndarray], baseline: str) -> None:
    """Prints how many points more or fewer each case gets than `baseline`, with a 95 % interval over what they share:
    the same seeds and the same questions. With a single seed it speaks of the questions alone.

    Args:
        rows: of a study. hits: bool (questions,) for each row. baseline: as `called` names it.
    """
    by_name: dict[str, dict[int, np.ndarray]] = {}
    for row, right in zip(rows, hits, strict=True):
        by_name.setdefault(called(row), {})[row["seed"]] = right.astype(float)
    for name, found in by_name.items():
        seeds = sorted(set(found) & set(by_name.get(baseline, ())))
        if name == baseline or not seeds:
            continue
        mean, low, high = crossed_interval([found[seed] - by_name[baseline][seed] for seed in seeds])
        said = "better" if low > 0 else "worse" if high < 0 else "not told apart"
        runs = f"{len(seeds)} pair{'s' * (len(seeds) > 1)} of runs"
        print(f"{name:<46}{100 * mean:>+6.1f} points ({100 * low:+.1f} to {100 * high:+.1f}), {runs}: {said}")


def against(
    rows: Sequence[Mapping],
    hits: Sequence[np.ndarray],
    costs: Mapping[str, Sequence[float]],
    blind: float,
    logarithmic: Sequence[str] = (),
    file: Path | None = None,
) -> None:
    """Accuracy against several costs, a panel each; every run a dot, a case's mean a marker with its 95 % interval.

    Args:
        rows: of a study. hits: bool (questions,) for each row.
        costs: what the axis says -> the cost of each row.
        blind: share of right answers, from 0 to 1, of a model that never looks: a dashed line.
        logarithmic: the costs with a logarithmic axis.
    """
    figure, axes = plt.subplots(1, len(costs), figsize=(2.75 * len(costs), 3.7), layout="constrained", sharey=True,
                                squeeze=False)  # fmt: skip
    names = [called(row) for row in rows]
    for axis, (what, values) in zip(axes[0], costs.items(), strict=True):
        for name in dict.fromkeys(names):
            own = [i for i, each in enumerate(names) if each == name]
            row = rows[own[0]]
            colour, marker = _look(row)
            filled = not row.get("stage_one")
            x, y = [values[i] for i in own], [100 * hits[i].mean() for i in own]
            mean, low, high = (100 * share for share in crossed_interval([hits[i] for i in own]))
            axis.plot(x, y, ".", color=colour, alpha=0.5, markersize=5)
            axis.errorbar(np.mean(x), mean, [[mean - low], [high - mean]], fmt=marker, color=colour, label=name,
                          markersize=8, markerfacecolor=colour if filled else "white", capsize=3)  # fmt: skip
        axis.axhline(100 * blind, color="black", linestyle="--", linewidth=1, label="never looks")
        if what in logarithmic:
            axis.set_xscale("log")
        else:
            axis.set_xlim(-0.07 * max(values), 1.1 * max(values))
        axis.set_xlabel(what)
        axis.grid(alpha=0.3)
    axes[0, 0].set_ylabel("answers right, %")
    figure.legend(
        *axes[0, 0].get_legend_handles_labels(), loc="outside upper center", ncols=3, frameon=False, fontsize=9
    )
    panels.finish(figure, file)


def by_queries(rows: Sequence[Mapping], hits: Sequence[np.ndarray], blind: float, file: Path | None = None) -> None:
    """Accuracy against the number of queries: every run a dot, the mean of a number with its 95 % interval.

    Args:
        rows: of a study; `queries` is 16 where it is not given. hits: bool (questions,) for each row.
        blind: share of right answers, from 0 to 1, of a model that never looks: a dashed line.
    """
    figure, axis = plt.subplots(figsize=(5.6, 3.5), layout="constrained")
    counts = [row.get("queries") or QUERIES for row in rows]
    colour, marker = LOOK["qformer"]
    axis.plot(counts, [100 * right.mean() for right in hits], ".", color=colour, alpha=0.5, markersize=5)
    shown = sorted(set(counts))
    means = [crossed_interval([right for count, right in zip(counts, hits, strict=True) if count == one])
             for one in shown]  # fmt: skip
    mean, low, high = 100 * np.array(means).T
    axis.errorbar(shown, mean, [mean - low, high - mean], fmt=f"-{marker}", color=colour, capsize=3, linewidth=1)
    axis.axhline(100 * blind, color="black", linestyle="--", linewidth=1)
    axis.annotate("never looks", (shown[-1], 100 * blind), (0, 4), textcoords="offset points", ha="right", fontsize=9)
    axis.set_xscale("log", base=2)
    axis.set_xticks(shown, [str(count) for count in shown])
    axis.set_xlabel("queries, and so visual tokens")
    axis.set_ylabel("answers right, %")
    axis.grid(alpha=0.3)
    panels.finish(figure, file)


def by_kind(rows: Sequence[Mapping], references: Mapping[str, Mapping[str, float]], file: Path | None = None) -> None:
    """Share of right answers by kind of question: the mean over seeds for each connector, and reference lines.

    Args:
        rows: of a study. references: a name -> accuracy by kind, such as those of a model that never looks.
    """
    kinds = [kind for kind in rows[0]["accuracy"] if kind not in ("all", "vqa")]
    names = dict.fromkeys(called(row) for row in rows)
    means = {name: {kind: float(np.mean([row["accuracy"][kind] for row in rows if called(row) == name]))
                    for kind in kinds} for name in names}  # fmt: skip
    heat(means | dict(references), file)


def learning(rows: Sequence[Mapping], file: Path | None = None) -> None:
    """Share of right tokens in the answers over a training, seed by seed; the first stages are left out."""
    figure, axis = plt.subplots(figsize=(6.4, 3.7), layout="constrained")
    for row in rows:
        last = max(point.get("stage", -1) for point in row["curve"])
        points = [point for point in row["curve"] if point.get("stage") == last]
        colour, _ = _look(row)
        line = ":" if row.get("stage_one") else "-" if row.get("tune_lm") else "--"
        x, y = [point["samples"] for point in points], [100 * point["right"] for point in points]
        axis.plot(x, y, line, color=colour, label=called(row) if row["seed"] == 0 else None, linewidth=1.4)
    axis.set_xlabel("pictures seen, each with several questions")
    axis.set_ylabel("tokens of answers right, %")
    axis.legend(frameon=False, fontsize=8)
    axis.grid(alpha=0.3)
    panels.finish(figure, file)


def looks(image: np.ndarray, attention: np.ndarray, columns: int = 9, file: Path | None = None) -> None:
    """Where each query looks: its attention over the patches, each on a scale of its own, brighter where there is more.

    Args:
        image: uint8 (H, W, 3). attention: (Q, side, side), a query's shares of the patches.
    """
    count = len(attention)
    rows = -(-(count + 1) // columns)
    figure, axes = panels.grid(rows, columns, side=1.3)
    axes.flat[0].imshow(image)
    axes.flat[0].set_title("picture", fontsize=8)
    grey = image.mean(axis=2)
    for number, (axis, share) in enumerate(zip(axes.flat[1:], attention, strict=False)):
        axis.imshow(grey, cmap="gray", vmin=0, vmax=255, extent=(0, 1, 1, 0))
        axis.imshow(share, cmap="inferno", alpha=0.65, extent=(0, 1, 1, 0), interpolation="bilinear", vmin=0)
        axis.set_title(f"query {number}", fontsize=8)
    for axis in axes.flat[count + 1 :]:
        axis.axis("off")
    panels.finish(figure, file)


def masks(allowed: Mapping[str, np.ndarray], queries: int, file: Path | None = None) -> None:
    """Who may look at whom: a row looks at the columns that are dark.

    Args:
        allowed: a task -> bool (Q + T, Q + T). queries: Q, which come first.
    """
    figure, axes = plt.subplots(1, len(allowed), figsize=(3.1 * len(allowed), 3.3), layout="constrained", squeeze=False)
    for axis, (task, table) in zip(axes[0], allowed.items(), strict=True):
        table = np.asarray(table)
        words = len(table) - queries
        names = [f"q{i + 1}" for i in range(queries)] + [f"w{i + 1}" for i in range(words)]
        axis.imshow(table, cmap="Blues", vmin=0, vmax=1.4)
        axis.set_xticks(range(len(table)), names, fontsize=7)
        axis.set_yticks(range(len(table)), names, fontsize=7)
        for edge in np.arange(len(table) - 1) + 0.5:
            axis.axhline(edge, color="white", linewidth=1)
            axis.axvline(edge, color="white", linewidth=1)
        axis.axhline(queries - 0.5, color="black", linewidth=1)
        axis.axvline(queries - 0.5, color="black", linewidth=1)
        axis.set_title(task, fontsize=10)
        axis.set_xlabel("is looked at", fontsize=8)
    axes[0, 0].set_ylabel("looks", fontsize=8)
    panels.finish(figure, file)
