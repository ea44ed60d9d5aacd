"""What a frozen model sees: its patches as colour, its attention, its paintings, its map of pictures, its masks.

Every function takes models as `load` gives them and pictures of any size, and shows a figure, or writes it into `file`.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import matplotlib.pyplot as plt
import numpy as np
from PIL import Image

from vfm_course.features.attention import cls_attention
from vfm_course.features.painting import paint
from vfm_course.features.patches import called, in_view, main_components, patch_grid, whole_features
from vfm_course.features.plane import neighbours_agree, plane
from vfm_course.masks.prompted import prompted_masks
from vfm_course.viz import panels

if TYPE_CHECKING:
    from vfm_course.families.load import Loaded

# Okabe and Ito's colours, told apart with any colour vision; with more groups than colours the marker changes too.
COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#000000", "#B8A800")
MARKERS = "o^sDvP"
HIDDEN = 0.5  # the grey of a hidden patch


def components(
    models: Sequence[Loaded],
    images: Sequence[Image.Image],
    hide_background: bool = False,
    smooth: bool = False,
    file: Path | None = None,
) -> None:
    """The first three principal components of patch features as colour, a row a model (Oquab et al. 2023, figure 1).

    Dark to light is the first component, blue to yellow the second, green to red the third. Within a row the same
    colour means the same to the model; between rows colours cannot be compared.

    Args:
        hide_background: black where the first component says so, see `main_components`.
        smooth: interpolate between patches instead of showing each as a square.
    """
    figure, axes = panels.grid(1 + len(models), len(images), named_rows=True, gap=0.05)
    for axis, image in zip(axes[0], images, strict=True):
        axis.imshow(image)
    panels.name_row(axes[0, 0], "picture")
    for row, loaded in zip(axes[1:], models, strict=True):
        found = main_components(patch_grid(loaded, images), hide_background)
        for axis, image, colours in zip(row, images, found.colours, strict=True):
            panels.spread(axis, in_view(loaded, image), colours, smooth)
        shares = ", ".join(f"{100 * float(share):.0f}" for share in found.explained)
        rows, columns = found.colours.shape[1:3]
        panels.name_row(row[0], f"{called(loaded)}\n{columns} x {rows} patches\nvariance\n{shares} %")
    split = "\nblack: one side of a first component; the other side by components of its own" if hide_background else ""
    title = "Patch features by principal components: 1 dark to light, 2 blue to yellow, 3 green to red"
    figure.suptitle(title + split, fontsize=9)
    panels.finish(figure, file)


def attention(
    loaded: Loaded,
    images: Sequence[Image.Image],
    things: Sequence[np.ndarray] | None = None,
    layer: int = -1,
    file: Path | None = None,
) -> None:
    """Where the CLS token looks, averaged and head by head, a row a picture; bright patches get more of it.

    Args:
        things: masks bool (H, W), if they are known: titles then say which share of the attention to patches lies on
            the thing, beside the share of the area that it covers, which is what looking everywhere alike would give.
        layer: counted from 0, or from the end.
    """
    found = cls_attention(loaded, images, layer)
    heads = found.patches.shape[1]
    figure, axes = panels.grid(len(images), 2 + heads)
    for number, (row, image) in enumerate(zip(axes, images, strict=True)):
        seen, thing = in_view(loaded, image), _seen(loaded, things, number)
        row[0].imshow(seen)
        if thing is not None:
            panels.title_area(row[0], thing)
        maps = [found.patches[number].mean(dim=0), *found.patches[number]]
        for axis, share in zip(row[1:], maps, strict=True):
            panels.heat(axis, seen, share, thing)
    names = ["picture", "mean of heads", *(f"head {number + 1}" for number in range(heads))]
    for axis, name in zip(axes[0], names, strict=True):
        axis.set_title(f"{name}\n{axis.get_title()}".strip(), fontsize=8)
    figure.suptitle(f"{called(loaded)}: attention of CLS to the patches, {_name_layer(layer)}", fontsize=10)
    panels.finish(figure, file)


def mean_attention(
    models: Sequence[Loaded],
    images: Sequence[Image.Image],
    things: Sequence[np.ndarray] | None = None,
    layer: int = -1,
    file: Path | None = None,
) -> None:
    """Where the CLS tokens of several models look, mean of their heads, a row a model; see `attention`."""
    figure, axes = panels.grid(1 + len(models), len(images), named_rows=True)
    panels.name_row(axes[0, 0], "picture")
    for number, (axis, image) in enumerate(zip(axes[0], images, strict=True)):
        axis.imshow(image)
        if things is not None:
            panels.title_area(axis, Image.fromarray(things[number]))
    for row, loaded in zip(axes[1:], models, strict=True):
        shares = cls_attention(loaded, images, layer).patches.mean(dim=1)
        for number, (axis, image) in enumerate(zip(row, images, strict=True)):
            panels.heat(axis, in_view(loaded, image), shares[number], _seen(loaded, things, number))
        panels.name_row(row[0], called(loaded))
    figure.suptitle(f"Attention of CLS to the patches, {_name_layer(layer)}, mean of heads", fontsize=10)
    panels.finish(figure, file)


def reconstructions(
    mae: Loaded,
    images: Sequence[Image.Image],
    seed: int = 0,
    mask_ratio: float | None = None,
    file: Path | None = None,
) -> None:
    """What MAE is shown and what it paints, a row a picture (He et al. 2022, figure 2); see `paint`."""
    found = paint(mae, images, seed, mask_ratio)
    normalised = mae.model.config.norm_pix_loss
    rows, columns = found.hidden.shape[1:]
    height, width = found.picture.shape[2:]
    hidden = np.kron(found.hidden.numpy(), np.ones((1, height // rows, width // columns), dtype=bool))
    shown = np.where(hidden[:, None], HIDDEN, found.picture.numpy())
    parts = {"picture": found.picture, f"{100 * (1 - hidden.mean()):.0f} % of patches\nare visible": shown}
    if normalised:
        parts["given away:\neach patch's true mean"] = found.given
    parts |= {
        "painted, the visible\n(never judged) too": found.painted,
        "painted, the visible\nput back": found.pasted,
    }
    figure, axes = panels.grid(len(images), len(parts))
    for column, (title, pictures) in enumerate(parts.items()):
        axes[0, column].set_title(title, fontsize=8)
        for axis, picture in zip(axes[:, column], pictures, strict=True):
            axis.imshow(np.asarray(picture).transpose(1, 2, 0), interpolation="nearest")
    zeros = " (all zeros: 1)" if normalised else ""
    for axis, error in zip(axes[:, -2], found.error, strict=True):
        axis.set_xlabel(f"loss {error:.2f}{zeros}", fontsize=8)
    note = "\neach painted patch un-normalised with the true patch's own mean and deviation" if normalised else ""
    figure.suptitle(f"{called(mae)}: hidden patches and what is painted there{note}", fontsize=10)
    panels.finish(figure, file)


def maps(
    models: Sequence[Loaded],
    images: Sequence[Image.Image],
    groups: dict[str, Sequence[str]],
    method: str = "umap",
    seed: int = 0,
    file: Path | None = None,
) -> None:
    """Pictures as points, near where a model says alike, a row a model, coloured by one kind of group a column.

    Args:
        groups: what the colours stand for -> the group of each picture, such as concept and style.
        method: `umap`, or `pca`, which is quick; see `plane`. The titles' shares are of neighbours in all dimensions.
    """
    size = (4.6 * len(groups) + 1.2, 4.0 * len(models) + 0.3)
    figure, axes = plt.subplots(len(models), len(groups), figsize=size, squeeze=False, layout="constrained")
    for row, loaded in zip(axes, models, strict=True):
        vectors = whole_features(loaded, images)
        points = plane(vectors, method, seed)
        for axis, (kind, names) in zip(row, groups.items(), strict=True):
            names = np.asarray(names)
            for number, name in enumerate(sorted(set(names.tolist()))):
                colour, marker = COLOURS[number % len(COLOURS)], MARKERS[number // len(COLOURS) % len(MARKERS)]
                axis.scatter(*points[names == name].T, s=14, color=colour, marker=marker, linewidths=0, label=name)
            agree, chance = (100 * share for share in neighbours_agree(vectors, names))
            text = (
                f"{called(loaded)}: {agree:.0f} % of the 10 nearest pictures\nshare the {kind} (chance {chance:.0f} %)"
            )
            axis.set_title(text, fontsize=9)
            axis.set(xticks=[], yticks=[])
    for axis in axes[0]:
        axis.legend(loc="center left", bbox_to_anchor=(1, 0.5), fontsize=8, frameon=False, handletextpad=0.2)
    figure.suptitle(f"{len(images)} pictures by the feature of the whole picture, {method.upper()}", fontsize=10)
    panels.finish(figure, file)


def clicks(
    sam: Loaded,
    images: Sequence[Image.Image],
    points: Sequence[Sequence[float]],
    things: Sequence[np.ndarray] | None = None,
    file: Path | None = None,
) -> None:
    """SAM's three masks of a click (x, y), a row a picture, the one it expects most of first.

    Args:
        things: masks bool (H, W) of what was meant, if they are known: titles then say the true IoU too.
    """
    figure, axes = panels.grid(len(images), 3, side=2.3)
    for number, (row, image, point) in enumerate(zip(axes, images, points, strict=True)):
        found = prompted_masks(sam, image, click=point)
        for axis, mask, expected in zip(row, found.masks, found.expected, strict=True):
            panels.spotlight(axis, image, mask)
            axis.plot(*point, "*", markersize=14, color="#F0E442", markeredgecolor="black")
            thing = None if things is None else things[number]
            axis.set_title(panels.both_ious(mask, expected, thing), fontsize=9)
    figure.suptitle(f"{called(sam)}: three masks for one click (star), in colour what is inside", fontsize=10)
    panels.finish(figure, file)


def boxes(
    sam: Loaded,
    images: Sequence[Image.Image],
    prompts: Sequence[Sequence[float]],
    things: Sequence[np.ndarray] | None = None,
    file: Path | None = None,
) -> None:
    """SAM's best mask, by its own word, of a box (left, top, right, bottom), a column a picture; see `clicks`."""
    found = [prompted_masks(sam, image, box=box) for image, box in zip(images, prompts, strict=True)]
    meant = [None] * len(found) if things is None else things
    cut_out(
        images,
        [each.masks[0] for each in found],
        prompts,
        [panels.both_ious(each.masks[0], each.expected[0], thing) for each, thing in zip(found, meant, strict=True)],
        f"{called(sam)}: the mask for a box (dashed), in colour what is inside",
        file,
    )


def cut_out(
    images: Sequence[Image.Image],
    masks: Sequence[np.ndarray],
    prompts: Sequence[Sequence[float]],
    texts: Sequence[str],
    title: str = "",
    file: Path | None = None,
) -> None:
    """Masks bool (H, W) with the boxes (left, top, right, bottom) that asked for them, each under its own words."""
    figure, axes = panels.grid(1, len(images), side=2.3)
    for axis, image, mask, box, text in zip(axes[0], images, masks, prompts, texts, strict=True):
        panels.spotlight(axis, image, mask)
        panels.frame(axis, box)
        axis.set_title(text, fontsize=9)
    figure.suptitle(title, fontsize=10)
    panels.finish(figure, file)


def _name_layer(layer: int) -> str:
    return "last layer" if layer == -1 else f"layer {layer}"


def _seen(loaded: Loaded, things: Sequence[np.ndarray] | None, number: int) -> Image.Image | None:
    """The part of a known thing that reaches the model."""
    return None if things is None else in_view(loaded, Image.fromarray(things[number]))
