"""The logistics example in small: thirteen perception tasks on the same pictures of parcels on a belt.

One pass of one encoder serves them all. Every label is what the drawn world knows of the scene; where it would be a
matter of taste (a parcel that lies in the middle is neither left nor right), the picture is left out of that task.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np

from vfm_course.adapt.task import Part, Task
from vfm_course.errors import UserError
from vfm_course.world import BACKGROUNDS, COLOURS, DEFECTS, STYLES, Scene, World

PARCEL_WORLD = 20_010  # worlds of this number and the next two, twenty numbers further for each seed
NEW_PACKAGING = "outlined"  # a drawing style that no training picture has
KNOWN_PACKAGING = tuple(style for style in STYLES if style != NEW_PACKAGING)
PACKAGING, LIGHTING = "new packaging", "failing lamp"  # the two kinds of shifted pictures


@dataclass(frozen=True)
class Question:
    """One thing to be told of a parcel.

    `label` gives the name of the class, or None where the picture is left out. `balance` leaves out pictures of the
    more frequent classes until all have as many. `undefined` names the shifted pictures that have no label.
    """

    classes: tuple[str, ...]
    label: Callable[[Scene], str | None]
    unchanged_by: tuple[str, ...] = ()
    balance: bool = False
    undefined: tuple[str, ...] = ()


def _between(value: float, low: float, high: float, below: str, above: str) -> str | None:
    """`below` up to `low`, `above` from `high` on, None between."""
    return below if value <= low else above if value >= high else None


def _share(scene: Scene, axis: int) -> float:
    return scene.main.centre[axis] / scene.image.shape[0]


def _gap(scene: Scene) -> float:
    """From the visible parcel to the nearest edge of the picture, as a share of its side."""
    left, top, right, bottom = scene.main.box
    side = scene.image.shape[0]
    return min(left, top, side - right, side - bottom) / side


# No augmentation by light: robustness to light never trained on is one of the things to be measured.
QUESTIONS = {
    "defect": Question(DEFECTS, lambda scene: scene.main.defect, ("flip",)),
    "damaged": Question(
        ("intact", "damaged"),
        lambda scene: "intact" if scene.main.defect == "intact" else "damaged",
        ("flip",),
        balance=True,
    ),
    "colour": Question(tuple(COLOURS), lambda scene: scene.main.colour, ("flip", "crop")),
    "packaging": Question(KNOWN_PACKAGING, lambda scene: scene.main.style, ("flip", "crop"), undefined=(PACKAGING,)),
    "belt": Question(BACKGROUNDS, lambda scene: scene.background, ("flip", "crop")),
    "side": Question(("left", "right"), lambda scene: _between(_share(scene, 0), 0.46, 0.54, "left", "right")),
    "lane": Question(
        ("upper", "lower"), lambda scene: _between(_share(scene, 1), 0.46, 0.54, "upper", "lower"), ("flip",)
    ),
    "size": Question(
        ("small", "large"), lambda scene: _between(scene.main.extent, 0.62, 0.75, "small", "large"), ("flip",)
    ),
    "at the edge": Question(
        ("at the edge", "clear"), lambda scene: _between(_gap(scene), 0.03, 0.08, "at the edge", "clear"), ("flip",),
        balance=True,
    ),
    "tilt": Question(
        ("upright", "tilted"), lambda scene: _between(abs(scene.main.angle), 5, 12, "upright", "tilted"), ("flip",),
        balance=True,
    ),
    "label side": Question(
        ("right of the tape", "left of the tape"),
        lambda scene: "left of the tape" if scene.main.flipped else "right of the tape",
    ),
    "camera": Question(
        ("clean", "noisy"), lambda scene: _between(scene.noise, 8, 18, "clean", "noisy"), ("flip",),
        undefined=(LIGHTING,),
    ),
    "light": Question(
        ("even", "slanted"), lambda scene: _between(abs(scene.light), 0.35, 0.65, "even", "slanted"), ("flip",),
        undefined=(LIGHTING,),
    ),
}  # fmt: skip


def parcel_tasks(
    seed: int = 0, sizes: tuple[int, int, int] = (1500, 500, 800), side: int = 64, names: Sequence[str] | None = None
) -> dict[str, Task]:
    """The parcel tasks by name, all cut from the same pictures.

    Each has `shifted` pictures of two kinds that its training never had, where its label is still defined:
    `new packaging`, parcels in the drawing style NEW_PACKAGING, half as many as `test` has; `failing lamp`, the test
    parcels once more, dark and lit from one side.

    Args:
        seed: other parcels for another one.
        sizes: parcels in `train`, `validation` and `test`; a task may leave some out.
        side: of the square pictures, in pixels.
        names: of QUESTIONS; all if not given.

    Raises:
        UserError: there is no task of such a name.
    """
    unknown = [name for name in names or () if name not in QUESTIONS]
    if unknown:
        raise UserError(f"There is no parcel task {unknown[0]!r}: choose from {', '.join(QUESTIONS)}.")
    drawn = parcels(seed, tuple(sizes), side)
    return {name: _task(name, QUESTIONS[name], drawn) for name in names or QUESTIONS}


@cache
def parcels(seed: int, sizes: tuple[int, int, int], side: int) -> dict[str, tuple[list[Scene], np.ndarray]]:
    """The scenes behind the tasks and their pictures, uint8 (N, side, side, 3): train, validation, test and the two
    kinds of shifted ones. Drawn once a process."""
    found = {}
    for number, (name, n) in enumerate(zip(("train", "validation", "test"), sizes, strict=True)):
        known, new = [], []
        wanted_new = (n + 1) // 2 if name == "test" else 0
        for scene in World(PARCEL_WORLD + 20 * seed + number, side, concepts=("parcel",), defects=True).stream():
            (new if scene.main.style == NEW_PACKAGING else known).append(scene)
            if len(known) >= n and len(new) >= wanted_new:
                break
        known, new = known[:n], new[:wanted_new]
        found[name] = known, np.stack([scene.image for scene in known])
    found[PACKAGING] = new, np.stack([scene.image for scene in new])
    found[LIGHTING] = known, np.stack([failing_lamp(scene) for scene in known])
    return found


def failing_lamp(scene: Scene) -> np.ndarray:
    """The scene's picture, uint8 (H, W, 3), with some of its light: nine tenths at one side, four tenths at the other.

    Which of the four sides is bright depends on the scene's number. All three channels lose the same share, so that
    colours stay what they are.
    """
    size = scene.image.shape[0]
    ramp = np.linspace(0.9, 0.4, size, dtype=np.float32)
    ramp = ramp if scene.index % 2 else ramp[::-1]
    lamp = ramp[:, None, None] if scene.index // 2 % 2 else ramp[None, :, None]
    return (scene.image * lamp).astype(np.uint8)


def _task(name: str, question: Question, drawn: dict[str, tuple[list[Scene], np.ndarray]]) -> Task:
    parts = {
        part: _part(question, *scenes) for part, scenes in drawn.items() if part not in question.undefined
    }  # fmt: skip
    shifted = {part: parts.pop(part) for part in (PACKAGING, LIGHTING) if part in parts}
    return Task(f"parcel: {name}", question.classes, *parts.values(), shifted, question.unchanged_by)


def _part(question: Question, scenes: list[Scene], images: np.ndarray) -> Part:
    said = [question.label(scene) for scene in scenes]
    rows = np.array([row for row, name in enumerate(said) if name is not None])
    labels = np.array([question.classes.index(said[row]) for row in rows])
    if question.balance:
        fewest = np.bincount(labels, minlength=len(question.classes)).min()
        firsts = [np.flatnonzero(labels == each)[:fewest] for each in range(len(question.classes))]
        kept = np.sort(np.concatenate(firsts))
        rows, labels = rows[kept], labels[kept]
    return Part(images[rows], labels)
