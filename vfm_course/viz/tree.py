"""`draw_tree(choose(frozen=True))`: the questions of `families.choose` as a figure, with the way that was taken.

Yes leads to the right and no leads down, everywhere: the first column is the trunk, read from top to bottom.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.colors import to_rgb
from matplotlib.font_manager import FontProperties
from matplotlib.patches import FancyBboxPatch
from matplotlib.textpath import TextPath

from vfm_course.errors import UserError
from vfm_course.families.choose import NODES, ROOT, Choice, Leaf, Question
from vfm_course.families.systems import SYSTEMS
from vfm_course.viz import panels
from vfm_course.viz.inside import COLOURS

# The groups of the records; every figure of families colours them alike.
GROUP_COLOURS = dict(zip(("features", "image and text", "masks, boxes, depth", "language"), COLOURS[:4], strict=True))
INK, GREY = "#222222", "#666666"
PALE = 0.28  # opacity of what is not on the way

# All in inches: boxes lie in columns and rows, a row for each leaf.
LEFT, TOP, ROW = 0.1, 0.62, 0.55
COLUMNS = (0.1, 2.7, 5.25, 7.8)
BOX_WIDTH, BOX_HEIGHT, CHIP_HEIGHT = 2.12, 0.4, 0.27
NO_AT = 0.3  # from a box's left edge: where its no leaves it
QUESTION_SIZE, LEAF_SIZE, SMALL = 7.5, 8.5, 7.0  # points


@dataclass(frozen=True)
class Place:
    """Where a node stands: column and row, counted from 0."""

    column: int
    row: int

    @property
    def left(self) -> float:
        return COLUMNS[self.column]

    @property
    def middle(self) -> float:
        return TOP + ROW * (self.row + 0.5)


@cache
def inches(text: str, size: float, weight: str = "normal") -> float:
    """How wide a line of text is at so many points."""
    return TextPath((0, 0), text, size=size, prop=FontProperties(weight=weight)).get_extents().width / 72


def fold(text: str, width: float, size: float, weight: str = "normal") -> str:
    """Text broken into as few lines of at most `width` inches as do, about equally long."""
    lines = _fill(text, width, size, weight)
    while width > 0 and len(narrower := _fill(text, width := width - 0.05, size, weight)) == len(lines):
        lines = narrower
    return "\n".join(lines)


def _fill(text: str, width: float, size: float, weight: str) -> list[str]:
    def advance(word: str) -> float:  # with the room that its first and last letter take to their sides
        return inches(f"n{word}n", size, weight) - inches("nn", size, weight)

    lines, used = [""], 0.0
    for word in text.split():
        longer = used + advance(f" {word}") if lines[-1] else advance(word)
        if lines[-1] and longer > width:
            lines, used = [*lines, word], advance(word)
        else:
            lines[-1], used = f"{lines[-1]} {word}".strip(), longer
    return lines


def tint(colour: str, share: float = 0.22) -> np.ndarray:
    """A colour mixed with white, to write on."""
    return 1 - share * (1 - np.array(to_rgb(colour)))


def places() -> dict[str, Place]:
    """Column and row of every node: yes one column to the right, no below all that yes leads to."""
    found: dict[str, Place] = {}

    def put(key: str, column: int, row: int) -> int:
        """Places a node and what follows; returns the next free row."""
        found[key] = Place(column, row)
        node = NODES[key]
        if isinstance(node, Leaf):
            return row + 1
        return put(node.no, column, put(node.yes, column + 1, row))

    put(ROOT, 0, 0)
    return found


def way(taken: Choice) -> list[str]:
    """The nodes from the root to the leaf that `choose` came to."""
    keys = [ROOT]
    for _, answer in taken.path:
        node = NODES[keys[-1]]
        keys.append(node.yes if answer else node.no)
    return keys


def draw_tree(taken: Choice | None = None, file: Path | None = None) -> None:
    """The decision tree: questions in boxes, answers coloured by their family's group, each with its reason.

    Args:
        taken: what `choose(...)` answers: its way is drawn strongly and the rest pale.
        file: written instead of shown.

    Raises:
        UserError: `taken` is something else.
    """
    if taken is not None and not isinstance(taken, Choice):
        raise UserError(f"draw_tree takes what choose(...) answers, such as choose(frozen=True), and not {taken!r}.")
    where = places()
    on_way = set(where) if taken is None else set(way(taken))
    height = TOP + ROW * (1 + max(place.row for place in where.values())) + 0.1
    figure = plt.figure(figsize=(panels.PAGE, height))
    axis = figure.add_axes((0, 0, 1, 1))
    axis.set(xlim=(0, panels.PAGE), ylim=(height, 0))
    axis.axis("off")
    for key, place in where.items():
        node, strong = NODES[key], key in on_way
        if isinstance(node, Leaf):
            _leaf(axis, node, place, 1 if strong else PALE)
            continue
        _question(axis, node, place, 1 if strong else PALE)
        for follower, answer in ((node.yes, "yes"), (node.no, "no")):
            marked = taken is not None and strong and follower in on_way
            alpha = 1 if strong and follower in on_way else PALE
            room = CHIP_HEIGHT if isinstance(NODES[follower], Leaf) else BOX_HEIGHT
            _branch(axis, place, where[follower], room, answer, alpha, marked)
    _headings(axis, taken)
    panels.finish(figure, file)


def _question(axis: plt.Axes, node: Question, place: Place, alpha: float) -> None:
    trunk = place.column == 0
    axis.add_patch(
        FancyBboxPatch(
            (place.left, place.middle - BOX_HEIGHT / 2), BOX_WIDTH, BOX_HEIGHT,
            boxstyle="round,pad=0,rounding_size=0.07", facecolor="#E3E3E3" if trunk else "#F7F7F7", edgecolor=INK,
            linewidth=1.8 if trunk else 0.8, alpha=alpha, zorder=2, gid=f"question {node.need}",
        )
    )  # fmt: skip
    weight = "bold" if trunk else "normal"
    text = fold(node.text, BOX_WIDTH - 0.16, QUESTION_SIZE, weight)
    size = QUESTION_SIZE if text.count("\n") < 2 else SMALL
    axis.text(place.left + 0.08, place.middle, fold(node.text, BOX_WIDTH - 0.16, size, weight), fontsize=size,
              weight=weight, color=INK, va="center", alpha=alpha, linespacing=1.1, zorder=3)  # fmt: skip


def _leaf(axis: plt.Axes, leaf: Leaf, place: Place, alpha: float) -> None:
    """A chip for each system, a plus between two, and the reason in small letters."""
    x = place.left
    for number, name in enumerate(leaf.systems):
        if number:
            axis.text(x + 0.09, place.middle, "+", fontsize=10, ha="center", va="center", color=INK, alpha=alpha)
            x += 0.18
        x += chip(axis, x, place.middle, name, alpha)
    width = min(3.4, panels.PAGE - 0.1 - (x + 0.1))
    axis.text(x + 0.1, place.middle, fold(leaf.reason, width, SMALL), fontsize=SMALL, color=GREY, va="center",
              alpha=alpha, linespacing=1.1)  # fmt: skip


def chip(axis: plt.Axes, x: float, y: float, name: str, alpha: float = 1) -> float:
    """A system's title on its group's colour, `x` at the left and `y` in the middle; returns its width."""
    system = SYSTEMS[name]
    colour, width = GROUP_COLOURS[system.group], inches(system.title, LEAF_SIZE, "bold") + 0.18
    axis.add_patch(
        FancyBboxPatch(
            (x, y - CHIP_HEIGHT / 2), width, CHIP_HEIGHT, boxstyle="round,pad=0,rounding_size=0.1",
            facecolor=tint(colour), edgecolor=colour, linewidth=1.4, alpha=alpha, zorder=2, gid=f"system {name}",
        )
    )  # fmt: skip
    axis.text(x + width / 2, y, system.title, fontsize=LEAF_SIZE, weight="bold", color=INK, ha="center", va="center",
              alpha=alpha, zorder=3)  # fmt: skip
    return width


def _branch(axis: plt.Axes, one: Place, other: Place, height: float, answer: str, alpha: float, marked: bool) -> None:
    """An arrow to the right for yes, down for no to a box of a `height`; the trunk and a way taken are thicker."""
    if answer == "yes":
        start, end = (one.left + BOX_WIDTH, one.middle), (other.left, other.middle)
        word = {"x": (start[0] + end[0]) / 2 - 0.02, "y": one.middle - 0.03, "ha": "center", "va": "bottom"}
    else:
        x = one.left + NO_AT
        start, end = (x, one.middle + BOX_HEIGHT / 2), (x, other.middle - height / 2)
        word = {"x": x + 0.05, "y": start[1] + 0.015, "ha": "left", "va": "top"}
    thick = 3.0 if marked else 2.4 if answer == "no" and one.column == 0 else 1.0
    style = {"arrowstyle": "-|>", "color": INK, "linewidth": thick, "alpha": alpha, "shrinkA": 0, "shrinkB": 0}
    axis.annotate("", end, start, arrowprops={**style, "mutation_scale": 8 + 2 * thick}, zorder=1)
    axis.text(s=answer, fontsize=SMALL, weight="bold" if marked else "normal", color=INK, alpha=alpha, **word)


def _headings(axis: plt.Axes, taken: Choice | None) -> None:
    title = "Which family? Read from the top left: yes leads to the right, no leads down."
    axis.text(LEFT, 0.2, title, fontsize=11, weight="bold", color=INK, va="center")
    told = "The thick column on the left is the order that decides; every answer stands beside its reason."
    if taken is not None:
        stated = ", ".join(f"{need}: {'yes' if answer else 'no'}" for need, answer in taken.path)
        told = f"Taken: {stated}."
    axis.text(LEFT, 0.43, told, fontsize=8.5, color=GREY, va="center")
    x, y = COLUMNS[0] + NO_AT + 0.35, TOP + 2.3 * ROW
    axis.text(x, y, "An answer's colour is its group:", fontsize=8, color=GREY, va="center")
    for number, (group, colour) in enumerate(GROUP_COLOURS.items()):
        at = y + 0.27 * (number + 1)
        axis.add_patch(
            FancyBboxPatch((x, at - 0.075), 0.25, 0.15, boxstyle="round,pad=0,rounding_size=0.05",
                           facecolor=tint(colour), edgecolor=colour, linewidth=1.4)
        )  # fmt: skip
        axis.text(x + 0.34, at, group, fontsize=8, color=INK, va="center")
