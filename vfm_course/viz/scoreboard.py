"""What was measured, beside what the learner guessed before and what textbooks say: one row a job."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import matplotlib.pyplot as plt

from vfm_course.errors import UserError
from vfm_course.viz import panels
from vfm_course.viz.inside import COLOURS
from vfm_course.viz.pictures import PLAIN
from vfm_course.viz.pictures import RIGHT as GREEN
from vfm_course.viz.pictures import WRONG as RED
from vfm_course.viz.tree import fold

Score = tuple[float, float, float]  # value, and the 95 % interval's low and high end
Measured = Mapping[str, Mapping[str, Score]]  # job in words -> model -> score
Named = Mapping[str, str | None]  # job in words -> model, or None

RIGHT, CLOSE, WRONG, NONE = "right", "too close to call", "wrong", "no guess"
# Colours of the verdicts; the signs tell them apart without.
SIGNS = {RIGHT: ("✓", GREEN), CLOSE: ("≈", "#8A6D00"), WRONG: ("✗", RED), NONE: ("–", PLAIN)}
MARKS = "osD^vPX*"


def best_of(scores: Mapping[str, Score]) -> str:
    """The model with the highest value, the first of equals.

    Raises:
        UserError: nothing was measured.
    """
    if not scores:
        raise UserError("No model was measured on this job: give at least one score.")
    return max(scores, key=lambda model: scores[model][0])


def verdict(scores: Mapping[str, Score], guess: str | None) -> str:
    """Whether a guessed model is the best at a job, as far as the intervals tell.

    Args:
        scores: model -> (value, low, high), the ends of its 95 % interval.

    Returns:
        `right`: it has the highest value, and no other interval reaches into its own; `too close to call`: it is not
        so clear, but its interval and that of the best one meet; `wrong`; `no guess` for None.

    Raises:
        UserError: the guess was not measured on this job.
    """
    if guess is None:
        return NONE
    if guess not in scores:
        raise UserError(f"{guess!r} was not measured on this job: choose from {', '.join(scores)}.")
    best = best_of(scores)
    low = scores[best][1]
    rivals = [model for model, score in scores.items() if model != best and score[2] >= low]
    if guess == best:
        return CLOSE if rivals else RIGHT
    return CLOSE if guess in rivals else WRONG


def verdicts(measured: Measured, named: Named) -> dict[str, str]:
    """The verdict on each job's model; a job without one is no guess.

    Raises:
        UserError: a model is named that was not measured, or for a job that is none.
    """
    for job in named:
        if job not in measured:
            raise UserError(f"There is no job {job!r}: choose from {', '.join(map(repr, measured))}.")
    found = {}
    for job, scores in measured.items():
        try:
            found[job] = verdict(scores, named.get(job))
        except UserError as error:
            raise UserError(f"{job}: {error}") from error
    return found


def scoreboard_text(measured: Measured, predicted: Named, textbook: Named) -> str:
    """A table in plain text, a line a job: the best model and its value, the guess and the textbook with verdicts."""
    guesses, books = verdicts(measured, predicted), verdicts(measured, textbook)
    lines = [("job", "best", "your guess", "textbook")]
    for job, scores in measured.items():
        best = best_of(scores)
        lines.append((job, f"{best} {scores[best][0]:.3f}", _said(predicted.get(job), guesses[job]),
                      _said(textbook.get(job), books[job])))  # fmt: skip
    widths = [max(len(line[column]) for line in lines) for column in range(4)]
    padded = ["  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines]
    padded.insert(1, "  ".join("-" * width for width in widths))
    return "\n".join(padded)


def _said(model: str | None, judged: str) -> str:
    return judged if model is None else f"{model}: {judged}"


def scoreboard(measured: Measured, predicted: Named, textbook: Named, file: Path | None = None) -> None:
    """One row a job: every model's value with its 95 % interval, the guess ringed, the textbook's in a square.

    Args:
        measured: job -> model -> (value, low, high), from 0 to 1. predicted: job -> the learner's guess, or None.
        textbook: job -> the model that the textbook names, or None.

    Raises:
        UserError: nothing measured, or a model or job named that was not measured.
    """
    if not measured:
        raise UserError("There is nothing on the board: measure at least one job.")
    guesses, books = verdicts(measured, predicted), verdicts(measured, textbook)
    models = list(dict.fromkeys(model for scores in measured.values() for model in scores))
    looks = {model: (COLOURS[n % len(COLOURS)], MARKS[n // len(COLOURS) % 2 * 4 + n % 4])
             for n, model in enumerate(models)}  # fmt: skip
    step = 0.17  # inches between two models, as `row` is of a job
    jobs = [fold(job, 1.95, 9) for job in measured]
    row = 0.24 + max(step * max(2, *map(len, measured.values())), 0.15 * max(job.count("\n") for job in jobs))
    figure, axis = plt.subplots(figsize=(panels.PAGE, row * len(measured) + 1.25))
    top, bottom = 1 - 0.72 / figure.get_figheight(), 0.5 / figure.get_figheight()
    figure.subplots_adjust(left=0.2, right=0.63, top=top, bottom=bottom)
    for line, (job, scores) in enumerate(measured.items()):
        if line % 2:
            axis.axhspan(line - 0.5, line + 0.5, color="#F4F4F4", zorder=0)
        for number, model in enumerate(sorted(scores, key=models.index)):
            value, low, high = scores[model]
            y = line + (number - (len(scores) - 1) / 2) * step / row
            colour, mark = looks[model]
            axis.plot([low, high], [y, y], color=colour, linewidth=1.6, zorder=2)
            axis.plot(value, y, mark, color=colour, markersize=5, zorder=3, gid=f"{job}: {model}")
            if model == predicted.get(job):
                _around(axis, value, y, "o", 9.5, "guess")
            if model == textbook.get(job):
                _around(axis, value, y, "D", 10.5, "textbook")
        for x, named, judged in ((1.03, predicted, guesses), (1.45, textbook, books)):
            sign, colour = SIGNS[judged[job]]
            text = judged[job] if named.get(job) is None else f"{named[job]}\n{judged[job]}"
            where = {"transform": axis.get_yaxis_transform(), "va": "center", "fontsize": 9}
            axis.text(x, line, sign, color=colour, weight="bold", **{**where, "fontsize": 13})
            axis.text(x + 0.06, line, text, color=colour, **where)
    for x, head in ((1.03, "your guess"), (1.45, "the textbook")):
        axis.text(x, 1 + 0.1 / (row * len(measured)), head, transform=axis.transAxes, fontsize=9, weight="bold")
    axis.set(xlim=(0, 1), ylim=(len(measured) - 0.5, -0.5), xlabel="value, with its 95 % interval")
    axis.set_yticks(range(len(measured)), jobs, fontsize=9)
    axis.tick_params(axis="y", length=0)
    axis.grid(axis="x", color="#DDDDDD", linewidth=0.7)
    axis.set_axisbelow(True)
    axis.spines[["top", "right", "left"]].set_visible(False)
    for model, (colour, mark) in looks.items():
        axis.plot([], [], marker=mark, color=colour, markersize=5, linewidth=1.6, label=model)
    for label, mark, size in (("your guess", "o", 9.5), ("the textbook", "D", 8)):
        axis.plot([], [], mark, color="none", markeredgecolor="black", markersize=size, label=label)
    figure.legend(*axis.get_legend_handles_labels(), loc="upper left", bbox_to_anchor=(0.01, 0.995), fontsize=9,
                  ncols=len(models) + 2, frameon=False, columnspacing=1.4, handletextpad=0.5)  # fmt: skip
    panels.finish(figure, file)


def _around(axis: plt.Axes, x: float, y: float, mark: str, size: float, gid: str) -> None:
    """A ring for the guess, a diamond for the textbook; neither hides the other, nor what it is around."""
    axis.plot(x, y, mark, markersize=size, markerfacecolor="none", markeredgecolor="black", zorder=4, clip_on=False,
              markeredgewidth=1.2, gid=gid)  # fmt: skip
