"""The giants as figures: who stands on whose shoulders, and what decides how much work one picture is."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.patches import FancyBboxPatch, Rectangle
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter
from matplotlib.transforms import Bbox

from vfm_course.errors import UserError
from vfm_course.families.anatomy import Anatomy, anatomy
from vfm_course.families.parts import ENCODER
from vfm_course.families.systems import SYSTEMS, System, short
from vfm_course.viz import panels
from vfm_course.viz.tree import GREY, GROUP_COLOURS, INK, fold, inches, tint

# What each group learns from, as the heads of the files of records and their signals say; from top to bottom.
LANES = {
    "masks, boxes, depth": "say where: from masks, boxes, depth",
    "features": "from images or videos alone: no labels, no text",
    "image and text": "from image-text pairs: one scores the other",
    "language": "answer in words: an encoder, a connector and a language model",
}

INSIDE, GOES_ON, HANDS_OVER = "is a part of it", "its recipe goes on", "hands its boxes to it"
STYLES = {INSIDE: "-", GOES_ON: (0, (4, 2)), HANDS_OVER: (0, (1, 1.5))}
# (from, to, how). Each is stated in the record of the younger one, or where the comment says.
BORROWED = (
    ("dinov2", "depth-anything", INSIDE),  # objective and note
    ("vjepa2", "vjepa2-ac", INSIDE),  # signal and note: the encoder, frozen
    ("clip", "llava", INSIDE),  # objective
    ("clip", "llava-1.5", INSIDE),  # objective; clip-large-336's note: "the eyes of LLaVA-1.5"
    ("siglip", "paligemma", INSIDE),  # objective and note
    ("siglip", "smolvlm", INSIDE),  # objective
    ("dinov2", "dinov3", GOES_ON),  # objective
    ("siglip", "siglip2", GOES_ON),  # objective
    ("sam", "sam2", GOES_ON),  # syllabus 1: one family, then video
    ("sam2", "sam3", GOES_ON),  # syllabus 1: one family, then noun phrases
    ("ijepa", "vjepa2", GOES_ON),  # syllabus 3: I-JEPA (images), V-JEPA, V-JEPA 2
    ("llava", "llava-1.5", GOES_ON),  # syllabus 4: one linear layer, then a two-layer MLP
    ("qwen2-vl", "qwen2.5-vl", GOES_ON),  # reach_for_when
    ("grounding-dino", "sam", HANDS_OVER),  # reach_for_when; syllabus 1
)

# Inches on the map.
MARGIN, MONTH = 1.75, 0.146
BOX_HEIGHT, SUB_ROW, LANE_GAP, HEAD, PAD = 0.36, 0.53, 0.32, 0.95, 0.09
# The row in its lane, counted from 0, of those that arrows join; the others take the first that is free.
ROWS = {
    "grounding-dino": 0, "sam": 1, "sam2": 1, "sam3": 1, "depth-anything": 2,
    "dinov2": 0, "dinov3": 0, "ijepa": 1, "vjepa2": 1, "vjepa2-ac": 2,
    "clip": 0, "siglip": 0, "siglip2": 0,
    "llava": 0, "llava-1.5": 0, "paligemma": 0, "smolvlm": 0, "qwen2-vl": 1, "qwen2.5-vl": 2,
}  # fmt: skip

DEFAULT = (
    "dinov2-small", "dinov2-base", "dinov2-large", "dinov2-giant", "dinov3-7b", "clip-base", "clip-large",
    "clip-large-336", "siglip-base", "siglip-so400m", "mae-base", "ijepa-huge", "sam-base", "sam-huge", "sam2-large",
    "vjepa2-large",
)  # fmt: skip


def published(system: System) -> date:
    """Year and month of the paper, by its number on arXiv: 2304.07193 is of April 2023."""
    return date(2000 + int(system.arxiv[:2]), int(system.arxiv[2:4]), 1)


def map_places() -> dict[str, tuple[float, float, float]]:
    """Where each system's box lies on the map, in inches: (left, top, width); left edges stand at the month."""
    found, top = {}, HEAD
    for lane in LANES:
        rows: list[list[tuple[float, float]]] = []
        for system in sorted((s for s in SYSTEMS.values() if s.group == lane), key=lambda s: s.name not in ROWS):
            left = MARGIN + MONTH * (12 * (published(system).year - 2021) + published(system).month - 1)
            width = max(inches(system.title, 8, "bold"), inches("Sep 2024", 7)) + 0.16
            row = ROWS.get(system.name, 0)
            while row < len(rows) and any(left < end + 0.1 and start < left + width + 0.1 for start, end in rows[row]):
                row += 1
            rows += [[] for _ in range(row + 1 - len(rows))]
            rows[row].append((left, left + width))
            found[system.name] = (left, top + SUB_ROW * row, width)
        top += SUB_ROW * len(rows) + LANE_GAP
    return found


def family_map(file: Path | None = None) -> None:
    """Every system of the records by the month of its paper, in lanes by what it learns from, and what is borrowed."""
    places = map_places()
    height = max(top for _, top, _ in places.values()) + SUB_ROW + 0.5
    figure = plt.figure(figsize=(panels.PAGE, height))
    axis = figure.add_axes((0, 0, 1, 1))
    axis.set(xlim=(0, panels.PAGE), ylim=(height, 0))
    axis.axis("off")
    _lanes(axis, places, height)
    for one, other, how in BORROWED:
        _borrowing(axis, places, one, other, how)
    for name, (left, top, width) in places.items():
        system = SYSTEMS[name]
        colour = GROUP_COLOURS[system.group]
        axis.add_patch(
            FancyBboxPatch((left, top), width, BOX_HEIGHT, boxstyle="round,pad=0,rounding_size=0.05", zorder=3,
                           facecolor=tint(colour), edgecolor=colour, linewidth=1.2, gid=f"system {name}")
        )  # fmt: skip
        at = {"x": left + 0.08, "va": "center", "zorder": 4}
        axis.text(y=top + 0.115, s=system.title, fontsize=8, weight="bold", color=INK, **at)
        axis.text(y=top + 0.26, s=f"{published(system):%b %Y}", fontsize=7, color=GREY, **at)
    axis.text(0.1, 0.2, "Who stands on whose shoulders", fontsize=11, weight="bold", color=INK, va="center")
    x = 0.1
    for how, style in STYLES.items():
        axis.annotate("", (x + 0.5, 0.47), (x, 0.47),
                      arrowprops={"arrowstyle": "-|>", "linestyle": style, "color": INK, "linewidth": 1.3})  # fmt: skip
        axis.text(x + 0.58, 0.47, how, fontsize=8, color=INK, va="center")
        x += 0.85 + inches(how, 8)
    panels.finish(figure, file)


def _lanes(axis: plt.Axes, places: dict[str, tuple[float, float, float]], height: float) -> None:
    """Lanes with their names, and a line at the start of each year."""
    foot = height - 0.4
    for lane, told in LANES.items():
        tops = [places[name][1] for name, system in SYSTEMS.items() if system.group == lane]
        top, bottom = min(tops) - PAD, max(tops) + BOX_HEIGHT + PAD
        axis.add_patch(
            Rectangle((0.05, top), panels.PAGE - 0.1, bottom - top, color=tint(GROUP_COLOURS[lane], 0.07), zorder=0)
        )
        text = fold(told, MARGIN - 0.3, 7.5)
        name = fold(lane, MARGIN - 0.3, 9, "bold")
        tall = 0.15 * (1 + name.count("\n")) + 0.04
        y = max(top + 0.05, (top + bottom) / 2 - (tall + 0.125 * (1 + text.count("\n"))) / 2)
        axis.text(0.12, y, name, fontsize=9, weight="bold", color=INK, va="top")
        axis.text(0.12, y + tall, text, fontsize=7.5, color=GREY, va="top")
    for year in range(2021, 2027):
        x = MARGIN + MONTH * 12 * (year - 2021)
        axis.plot([x, x], [HEAD - 0.15, foot], color="#BBBBBB", linewidth=0.8, zorder=0.5)
        axis.text(x + 0.03, foot + 0.1, f"January {year}" if year == 2021 else year, fontsize=8, color=GREY)
    notes = {"y": foot + 0.28, "fontsize": 8, "color": GREY}
    axis.text(0.12, s="Arrows: what the records name as borrowed, and versions of one family.", **notes)
    axis.text(panels.PAGE - 0.1, s="month of the paper on arXiv (a box's left edge)", ha="right", **notes)


def _borrowing(axis: plt.Axes, places: dict, one: str, other: str, how: str) -> None:
    """An arrow from a box to another: along a row, between two rows, or through the gap between two lanes."""
    (left, top, width), (to_left, to_top, to_width) = places[one], places[other]
    lane, colour = SYSTEMS[one].group, GROUP_COLOURS[SYSTEMS[one].group]
    down = to_top > top
    edge, to_edge = top + BOX_HEIGHT * down, to_top + BOX_HEIGHT * (not down)  # the sides that face one another
    if to_top == top:
        corners = [(left + width, top + BOX_HEIGHT / 2), (to_left, to_top + BOX_HEIGHT / 2)]
    elif SYSTEMS[other].group == lane:
        x = min(max(left + width / 2, to_left + 0.12), left + width - 0.08)
        corners = [(x, edge), (max(x, to_left + 0.12), to_edge)]
    else:
        lenders = sorted({a for a, b, _ in BORROWED if SYSTEMS[a].group == lane != SYSTEMS[b].group},
                         key=lambda name: -places[name][0])  # fmt: skip
        level = edge + (PAD + 0.08 + 0.09 * lenders.index(one)) * (1 if down else -1)
        x, to_x = left + min(0.3, width / 2), to_left + min(0.3, to_width / 2)
        corners = [(x, edge), (x, level), (to_x, level), (to_x, to_edge)]
    axis.plot(*zip(*corners[:-1], strict=True), color=colour, linewidth=1.4, zorder=2)
    style = {"arrowstyle": "-|>", "linestyle": STYLES[how], "color": colour, "linewidth": 1.4, "mutation_scale": 11}
    axis.annotate("", corners[-1], corners[-2], zorder=2, arrowprops={**style, "shrinkA": 0, "shrinkB": 0})


def encoder_of(found: Anatomy) -> tuple[int, int, float]:
    """Parameters, tokens and GFLOPs of the part that looks at the picture: no text tower, decoder or language model.

    Raises:
        UserError: it has no single number of tokens, as Grounding DINO, or could not be counted.
    """
    parameters = sum(number for part, number in found.parts.items() if part in ENCODER)
    tokens, (flops, *_) = found.size.patches, found.flops.values() or (0,)
    if not (parameters and tokens and flops):
        raise UserError(f"{found.size.full_name} has no single number of tokens a picture: leave it out of the chart.")
    return parameters, tokens, flops / 1e9


def anatomy_chart(names: Sequence[str] = DEFAULT, file: Path | None = None) -> None:
    """Image encoders at real size: work on one picture against parameters, and per parameter against tokens.

    Args:
        names: as `anatomy` takes them. A bubble's area on the left is its tokens; the dotted lines are 2 operations (a
            multiplication, an addition) for each parameter and token. What lies above its line is attention.
    """
    if not names:
        raise UserError("There is nothing to draw: give at least one name, such as 'dinov2-base'.")
    found = [anatomy(name) for name in dict.fromkeys(names)]
    parameters, tokens, gflops = np.array([encoder_of(one) for one in found]).T
    groups = [one.system.group for one in found]
    figure, axes = plt.subplots(1, 2, figsize=(panels.PAGE, 6), width_ratios=(1.8, 1), layout="constrained")
    areas, each = np.maximum(0.3 * tokens, 12), 1e9 * gflops / parameters
    for axis, xs, ys, sizes in ((axes[0], parameters, gflops, areas), (axes[1], tokens, each, 45)):
        axis.scatter(xs, ys, sizes, [GROUP_COLOURS[group] for group in groups], alpha=0.55, linewidths=0, zorder=3)
        axis.set(xscale="log", yscale="log", xlim=(xs.min() / 2, xs.max() * 2.5), ylim=(ys.min() / 2, ys.max() * 7))
        for side in (axis.xaxis, axis.yaxis):
            side.set_major_locator(LogLocator(subs=(1, 3)))
            side.set_major_formatter(FuncFormatter(lambda number, _: f"{number:,.0f}"))
            side.set_minor_formatter(NullFormatter())
    axes[0].xaxis.set_major_formatter(FuncFormatter(lambda number, _: short(round(number))))
    axes[0].set(xlabel="parameters of the image encoder", ylabel="work on one picture or clip (GFLOPs)")
    axes[1].set(xlabel="tokens of one picture or clip", ylabel="FLOPs for each parameter")
    axes[0].set_title("Alike in parameters, far apart in work: a bubble's area is its tokens", fontsize=10)
    axes[1].set_title("Divided by the parameters, tokens remain", fontsize=10)
    for group in dict.fromkeys(groups):
        axes[1].scatter([], [], s=45, color=GROUP_COLOURS[group], alpha=0.55, linewidths=0, label=group)
    axes[1].legend(loc="lower right", fontsize=8, frameon=False)
    figure.suptitle("The giants' image encoders at real size, counted on torch's meta device", fontsize=11)
    figure.draw_without_rendering()  # from here on places in pixels are known
    clips = [f"\n{one.size.frames} frames" if one.size.frames > 1 else "" for one in found]
    texts = [one.size.full_name + clip for one, clip in zip(found, clips, strict=True)]
    taken = [*_alike(axes[0], parameters, gflops), *_lines(axes[0], tokens)]
    _label(axes[0], np.stack([parameters, gflops], 1), np.sqrt(areas / np.pi), texts, taken)
    _per_parameter(axes[1], [one.system.title for one in found], tokens, each)
    panels.finish(figure, file)


def _per_parameter(axis: plt.Axes, titles: Sequence[str], tokens: np.ndarray, each: np.ndarray) -> None:
    """The line of 2 FLOPs for each token, and the systems' titles beside it, once for each number of tokens."""
    ends = np.array(axis.get_xlim())
    axis.plot(ends, 2 * ends, ":", color=GREY, linewidth=1, zorder=1, scalex=False, scaley=False)
    told = "dotted: 2 FLOPs for each token;\nabove it: tokens attend to tokens"
    note = axis.text(0.04, 0.97, told, transform=axis.transAxes, fontsize=8, color=GREY, va="top")
    points, texts = [], []
    for number in sorted(set(tokens.tolist())):
        here = np.flatnonzero(tokens == number)
        points.append((number, each[here].max()))
        texts.append(f"{number:,.0f}: " + fold(", ".join(dict.fromkeys(titles[n] for n in here)), 1.9, 8))
    _label(axis, np.array(points), np.full(len(points), 4.5), texts, [note.get_window_extent()])


def _alike(axis: plt.Axes, parameters: np.ndarray, gflops: np.ndarray) -> list[Bbox]:
    """Grey bands where three or more have the same parameters within a tenth; on top, how far apart their work is."""
    places, rest = [], sorted(zip(parameters.tolist(), gflops.tolist(), strict=True))
    while rest:
        band = [one for one in rest if one[0] < 1.1 * rest[0][0]]
        rest = rest[len(band) :]
        if len(band) > 2:
            (low, *_, high), work = zip(*band, strict=True)
            axis.axvspan(low / 1.04, high * 1.04, color="#EEEEEE", zorder=0)
            text = f"about {short(int(float(f'{(low + high) / 2:.2g}')))}:\nwork 1 : {max(work) / min(work):.0f}"
            looks = {"fontsize": 8, "color": INK, "ha": "center", "va": "top", "linespacing": 1.15}
            shown = axis.text(np.sqrt(low * high), 0.98, text, transform=axis.get_xaxis_transform(), **looks)
            shown.set_bbox({"facecolor": "white", "linewidth": 0, "pad": 1})
            places.append(shown.get_window_extent())
    return places


def _lines(axis: plt.Axes, tokens: np.ndarray) -> list[Bbox]:
    """Dotted lines of 2 FLOPs for each parameter and token; those whose texts would touch are left out."""
    (low, high), (floor, _), places, last = axis.get_xlim(), axis.get_ylim(), [], 0.0
    for number in sorted(set(tokens.tolist())):
        if number < 1.9 * last:
            continue
        last, law = number, 2e-9 * number
        axis.plot(
            [low, high], [law * low, law * high], ":", color=GREY, linewidth=1, zorder=1, scalex=False, scaley=False
        )
        x = max(low, floor / law)
        width, height = np.diff(axis.transData.transform([(x, law * x), (2 * x, law * 2 * x)]), axis=0)[0]
        steep = np.arctan2(height, width)
        along = (8 * np.cos(steep) - 2 * np.sin(steep), 8 * np.sin(steep))
        shown = axis.annotate(f"{number:,.0f} tokens", (x, law * x), along, textcoords="offset points", fontsize=7.5,
                              color=GREY, rotation=np.degrees(steep), rotation_mode="anchor", va="bottom")  # fmt: skip
        places.append(shown.get_window_extent())
    return places


def _label(axis: plt.Axes, points: np.ndarray, radii: np.ndarray, texts: Sequence[str], taken: list[Bbox]) -> None:
    """Names beside bubbles (N, 2) of `radii` points, where nothing stands yet; a thin line leads to those far off."""
    scale, room = axis.figure.dpi / 72, axis.bbox
    centres = axis.transData.transform(points)
    taken = taken + [Bbox([c - 0.85 * scale * r, c + 0.85 * scale * r]) for c, r in zip(centres, radii, strict=True)]
    turns = np.radians([0, 180, 90, 270, 45, 315, 135, 225, 20, 340, 160, 200])
    for point, centre, radius, text in zip(points, centres, radii, texts, strict=True):
        looks = {
            "textcoords": "offset points",
            "fontsize": 8,
            "color": INK,
            "ha": "center",
            "va": "center",
            "zorder": 4,
        }
        shown = axis.annotate(text, point, (0, 0), **looks)
        size = np.array(shown.get_window_extent().size)
        shown.remove()
        tries = [(far, np.array([np.cos(a), np.sin(a)])) for far in (3, 9, 16, 24, 34, 46, 60) for a in turns]
        for far, way in tries:
            middle = way * (scale * (radius + far) + size / 2)
            box = Bbox([centre + middle - size / 2, centre + middle + size / 2])
            inside = room.x0 < box.x0 and box.x1 < room.x1 and room.y0 < box.y0 and box.y1 < room.y1
            if inside and not box.padded(2).count_overlaps(taken):
                break
        line = {"arrowstyle": "-", "color": GREY, "linewidth": 0.6, "shrinkA": 0} if far > 9 else None
        axis.annotate(text, point, middle / scale, arrowprops=line, multialignment="left", **looks)
        taken.append(box)
