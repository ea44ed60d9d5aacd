"""A map of pictures to walk about on: one picture, where it lies, and its nearest others in all dimensions."""

from __future__ import annotations

import html
from collections.abc import Sequence
from typing import TYPE_CHECKING

import matplotlib.pyplot as plt
import numpy as np
from PIL import Image

from vfm_course.errors import UserError
from vfm_course.features.patches import called, whole_features
from vfm_course.features.plane import METHODS, neighbours_agree, plane
from vfm_course.viz import panels
from vfm_course.viz.explorer import _png
from vfm_course.viz.inside import COLOURS, MARKERS
from vfm_course.viz.pictures import PLAIN, RIGHT, WRONG

if TYPE_CHECKING:
    import ipywidgets as widgets

    from vfm_course.families.load import Loaded

NEAREST = 6


def nearest(vectors: np.ndarray, number: int, k: int = NEAREST) -> list[tuple[int, float]]:
    """The k other rows of (N, D) most like row `number`, the most like first, each with its cosine."""
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True).clip(1e-12)
    cosine = unit @ unit[number]
    order = np.argsort(-cosine, kind="stable")
    return [(int(other), float(cosine[other])) for other in order if other != number][:k]


def draw_map_with_neighbours(
    loaded: Loaded,
    images: Sequence[Image.Image],
    groups_names: Sequence[str],
    number: int = 0,
    method: str = "pca",
    seed: int = 0,
    kind: str = "group",
    vectors: np.ndarray | None = None,
    points: np.ndarray | None = None,
) -> plt.Figure:
    """The map with one picture as a star, and at its right the picture and its six nearest others by cosine.

    Args:
        loaded: a model as `load` gives it.
        groups_names: the group of each picture, which colours it; neighbours of the same group are framed green.
        number: of the picture, counted from 0.
        method, seed: see `plane`.
        kind: what the groups are, such as concept or drawing style.
        vectors, points: the features (N, D) and their plane (N, 2), where they are known already.

    Raises:
        UserError: no such picture or method, fewer than four pictures, or not one group a picture.
    """
    if len(groups_names) != len(images):
        raise UserError(f"There are {len(images)} pictures and {len(groups_names)} names of a {kind}: give one each.")
    if not 0 <= number < len(images):
        raise UserError(f"There is no picture {number}: choose one from 0 to {len(images) - 1}.")
    vectors = whole_features(loaded, images) if vectors is None else vectors
    points = plane(vectors, method, seed) if points is None else points
    found, names = nearest(vectors, number), np.asarray(groups_names)
    figure = plt.figure(figsize=(panels.PAGE, 5.4), layout="constrained")
    left, right = figure.subfigures(1, 2, width_ratios=(1.25, 1))
    _map(left.subplots(), points, names, number, [other for other, _ in found], method)
    shares, chance = neighbours_agree(vectors, names, NEAREST)
    left.suptitle(
        f"{called(loaded)}: {len(images)} pictures by {method.upper()}, {vectors.shape[1]} dimensions in two\n"
        f"{100 * shares:.0f} % of the {len(found)} nearest in all dimensions share the {kind} "
        f"(chance {100 * chance:.0f} %)",
        fontsize=10,
    )  # fmt: skip
    same = sum(names[other] == names[number] for other, _ in found)
    right.suptitle(f"Picture {number} and its nearest: {same} of {len(found)} of the same {kind}", fontsize=10)
    cells = right.add_gridspec(3, 3, height_ratios=(1.35, 1, 1))
    _picture(right.add_subplot(cells[0, :]), images[number], f"★ {number}: {names[number]}", PLAIN, "-")
    for place, (other, cosine) in enumerate(found):
        alike = names[other] == names[number]
        colour, line = (RIGHT, "-") if alike else (WRONG, ":")
        axis = right.add_subplot(cells[1 + place // 3, place % 3])
        _picture(axis, images[other], f"{other}: {names[other]}\ncosine {cosine:.2f}", colour, line)
    return figure


def _map(axis: plt.Axes, points: np.ndarray, names: np.ndarray, number: int, others: list[int], method: str) -> None:
    """Points in their groups' colours; the picture a star, its neighbours ringed and joined to it."""
    for place, name in enumerate(sorted(set(names.tolist()))):
        colour, marker = COLOURS[place % len(COLOURS)], MARKERS[place // len(COLOURS) % len(MARKERS)]
        axis.scatter(*points[names == name].T, s=14, color=colour, marker=marker, linewidths=0, label=name)
        if name == names[number]:
            star = colour
    for other in others:
        axis.plot(*points[[number, other]].T, color=PLAIN, linewidth=0.7, zorder=2)
    axis.scatter(*points[others].T, s=60, facecolors="none", edgecolors="black", linewidths=1.1, zorder=3)
    axis.plot(*points[number], "*", markersize=19, color=star, markeredgecolor="black", zorder=4)
    axis.set(xticks=[], yticks=[])
    axis.set_xlabel(f"{method.upper()} 1 (no unit)", fontsize=8)
    axis.set_ylabel(f"{method.upper()} 2 (no unit)", fontsize=8)
    axis.legend(loc="center left", bbox_to_anchor=(1, 0.5), fontsize=8, frameon=False, handletextpad=0.2)


def _picture(axis: plt.Axes, image: Image.Image, title: str, colour: str, line: str) -> None:
    axis.imshow(image)
    axis.set(xticks=[], yticks=[])
    axis.set_title(title, fontsize=8)
    axis.spines[:].set(color=colour, linewidth=3, linestyle=line)


class Maps:
    """Features and planes of the same pictures by several models, each worked out once, when it is first asked for."""

    def __init__(self, models: Sequence[Loaded], images: Sequence[Image.Image], seed: int = 0):
        self.models = {called(loaded): loaded for loaded in models}
        if len(self.models) < len(models):
            raise UserError(f"Two models have one name among {', '.join(map(called, models))}: give each of them once.")
        self.images, self.seed = list(images), seed
        self.vectors: dict[str, np.ndarray] = {}
        self.points: dict[tuple[str, str], np.ndarray] = {}

    def known(self, name: str, method: str) -> bool:
        """Whether a map is there already."""
        return (name, method) in self.points

    def draw(self, name: str, groups_names: Sequence[str], number: int, method: str, kind: str) -> plt.Figure:
        """`draw_map_with_neighbours` of what is kept."""
        if name not in self.vectors:
            self.vectors[name] = whole_features(self.models[name], self.images)
        if not self.known(name, method):
            self.points[name, method] = plane(self.vectors[name], method, self.seed)
        kept = {"vectors": self.vectors[name], "points": self.points[name, method]}
        return draw_map_with_neighbours(
            self.models[name], self.images, groups_names, number, method, self.seed, kind, **kept
        )


def map_explorer(
    models: Sequence[Loaded], images: Sequence[Image.Image], groups: dict[str, Sequence[str]], seed: int = 0
) -> widgets.VBox:
    """Choose a model, a way into the plane, what colours mean and a picture; see where it lies and what is near it.

    Args:
        models: as `load` gives them. groups: what colours stand for -> the group of each picture, such as concept.
        seed: of UMAP, which takes some seconds the first time and is kept.

    Returns:
        The box, to be the last line of a cell: model, method, colour, picture, a message, and the figure.

    Raises:
        UserError: no model, no picture, nothing to colour by, or two models of one name.
    """
    import ipywidgets as widgets

    for there, what in ((models, "model"), (images, "picture"), (groups, "kind of group to colour by")):
        if not there:
            raise UserError(f"There is nothing to explore: give at least one {what}.")
    maps, wide = Maps(models, images, seed), widgets.Layout(width="34em")
    choices = {
        "name": widgets.Dropdown(options=list(maps.models), description="model", layout=wide),
        "method": widgets.Dropdown(options=list(METHODS), value="pca", description="method", layout=wide),
        "kind": widgets.Dropdown(options=list(groups), description="colour by", layout=wide),
        "number": widgets.IntSlider(0, 0, len(images) - 1, description="picture", continuous_update=False, layout=wide),
    }
    message = widgets.HTML()
    picture = widgets.Image(format="png", layout=widgets.Layout(max_width="100%"))

    def show(name: str, method: str, kind: str, number: int) -> None:
        if not maps.known(name, method):
            message.value = f"{html.escape(name)} looks at {len(images)} pictures; {method.upper()} lays them out …"
        try:
            figure = maps.draw(name, groups[kind], number, method, kind)
        except UserError as error:
            message.value = html.escape(str(error))
            return
        picture.value, message.value = _png(figure), ""

    def changed(_: object) -> None:
        show(**{key: widget.value for key, widget in choices.items()})

    for widget in choices.values():
        widget.observe(changed, "value")
    changed(None)
    return widgets.VBox([*choices.values(), message, picture])
