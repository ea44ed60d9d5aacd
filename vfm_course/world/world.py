"""An endless, numbered supply of drawn scenes: scene i of a seed is the same picture everywhere, in any order."""

from collections.abc import Iterator
from itertools import count

import numpy as np
from PIL import Image

from vfm_course.errors import UserError
from vfm_course.world import render
from vfm_course.world.concepts import CONCEPTS, DEFECTS, DRAWERS, parcel
from vfm_course.world.palette import BACKGROUNDS, COLOURS, paint_background
from vfm_course.world.scene import STYLES, Scene, SceneObject


class World:
    """Draws scenes.

    Args:
        seed: two worlds of different seeds share no scene; use one seed a split.
        size: side of the square pictures in pixels, at least 16.
        objects: how many objects a scene holds, a number or (fewest, most).
        concepts: names to draw from, all sixteen if not given.
        difficulty: 1 is the course's setting; 0 leaves out distractors, noise and light, upright and large.
        defects: draw parcels with the logistics example's defects instead of intact ones.
        perspective: all things of a scene have the same true size, so that a farther one is smaller: its distance is
            proportional to 1 / extent (`Scene.distances`). Nothing is drawn at random for it.
    """

    def __init__(
        self,
        seed: int = 0,
        size: int = 64,
        objects: int | tuple[int, int] = 1,
        concepts: tuple[str, ...] = CONCEPTS,
        difficulty: float = 1.0,
        defects: bool = False,
        perspective: bool = False,
    ):
        unknown = [name for name in concepts if name not in DRAWERS]
        if unknown:
            raise UserError(f"The drawn world has no {unknown[0]!r}: choose from {', '.join(CONCEPTS)}.")
        if size < 16:
            raise UserError(f"Pictures of {size} pixels are too small to show anything: use 16 or more.")
        self.seed, self.size, self.concepts = seed, size, tuple(concepts)
        self.fewest, self.most = (objects, objects) if isinstance(objects, int) else objects
        if not 1 <= self.fewest <= self.most <= 6:
            raise UserError(f"A scene holds 1 to 6 objects, not {objects}.")
        self.difficulty, self.defects, self.perspective = difficulty, defects, perspective

    def sample(self, n: int, start: int = 0) -> list[Scene]:
        """Scenes `start` to `start + n - 1`."""
        return [self.scene(start + offset) for offset in range(n)]

    def stream(self, start: int = 0) -> Iterator[Scene]:
        """Scenes without end, from number `start` on."""
        return (self.scene(index) for index in count(start))

    def scene(self, index: int, concept: str | None = None) -> Scene:
        """Scene number `index`; `concept` fixes what the nearest object is; nothing else changes but its drawing."""
        rng = np.random.default_rng([self.seed, index])
        size = self.size
        background = BACKGROUNDS[rng.integers(len(BACKGROUNDS))]
        light = float(rng.uniform(-1, 1)) * self.difficulty
        noise = int(rng.integers(0, 27) * self.difficulty)
        number = int(rng.integers(self.fewest, self.most + 1))
        clutter = int(rng.integers(0, 6) * self.difficulty)
        plans: list[dict] = []
        for _ in range(number):
            plans.append(self._plan(rng, number, plans))
        if self.perspective:
            self._into_perspective(plans)
        if concept is not None:
            plans[-1]["concept"] = concept
        for plan in plans:
            if plan["concept"] != "parcel":
                plan["defect"] = None

        painted = np.clip(paint_background(background, size, rng), 0, 255).astype(np.uint8)
        big = (size * render.OVERSAMPLING,) * 2
        canvas = Image.fromarray(painted).resize(big, Image.Resampling.NEAREST)
        for _ in range(clutter):
            render.draw_distractor(canvas, rng)
        masks = [self._draw(canvas, plan, rng) for plan in plans]  # farthest first
        image = np.asarray(canvas.reduce(render.OVERSAMPLING))
        image = render.light_and_noise(image, light, noise, rng)

        things = []
        covered = np.zeros((size, size), dtype=bool)
        for depth, (plan, mask) in enumerate(zip(reversed(plans), reversed(masks), strict=True)):
            visible = mask & ~covered
            covered |= mask
            things.append(SceneObject(**plan, depth=depth, box=_box(visible), mask=visible,
                                      visible=float(visible.sum() / max(1, mask.sum()))))  # fmt: skip
        return Scene(image, tuple(things), background, light, noise, index)

    def _plan(self, rng: np.random.Generator, number: int, placed: list[dict]) -> dict:
        """Everything about one object except its pixels; it keeps clear of the centres of those already placed."""
        largest = 0.95 if number == 1 else 0.62 if number < 4 else 0.45
        smallest = (0.42 if number == 1 else 0.3) if self.difficulty else largest * 0.8
        extent = float(rng.uniform(smallest, largest))
        room = max(0.0, 1 - extent) / 2
        x, y = (0.5 + float(rng.uniform(-room, room)) for _ in range(2))
        for _ in range(60):
            if all(self._apart(x, y, extent, other) for other in placed):
                break
            extent = max(0.2, extent * 0.97)  # a crowded frame has smaller things
            x, y = (0.5 + float(rng.uniform(extent - 1, 1 - extent)) / 2 for _ in range(2))
        concept = self.concepts[rng.integers(len(self.concepts))]
        defect = DEFECTS[rng.integers(len(DEFECTS))]
        return {
            "concept": concept,
            "colour": list(COLOURS)[rng.integers(len(COLOURS))],
            "style": STYLES[rng.integers(len(STYLES))],
            "centre": (x * self.size, y * self.size),
            "extent": extent,
            "angle": int(rng.integers(-20, 21) * self.difficulty),
            "flipped": bool(rng.random() < 0.5),
            "defect": defect if self.defects else "intact",  # taken away again from what is no parcel
        }

    def _apart(self, x: float, y: float, extent: float, other: dict) -> bool:
        """Whether two objects overlap so little that a person still sees both."""
        dx, dy = x - other["centre"][0] / self.size, y - other["centre"][1] / self.size
        return max(abs(dx), abs(dy)) >= 0.25 * (extent + other["extent"])

    def _into_perspective(self, plans: list[dict]) -> None:
        """Deals the extents out again, the smallest to the farthest, and moves in what the frame would cut off.

        A large thing in front can hide a small one: all are made smaller until no middle lies behind a nearer thing's
        box. One factor for all, and no random number, so that the scene is otherwise that of the world without it.
        """
        extents = np.sort([plan["extent"] for plan in plans])  # farthest first, as the plans are
        centres = np.array([plan["centre"] for plan in plans]) / self.size
        while True:
            inside = np.clip(centres, extents[:, None] / 2, 1 - extents[:, None] / 2)
            apart = np.abs(inside[:, None] - inside[None]).max(axis=2)
            if all(apart[far, near] >= extents[near] / 2 for near in range(len(plans)) for far in range(near)):
                break
            extents = extents * 0.97
        for plan, extent, (x, y) in zip(plans, extents.tolist(), inside.tolist(), strict=True):
            plan["extent"], plan["centre"] = extent, (x * self.size, y * self.size)

    def _draw(self, canvas: Image.Image, plan: dict, rng: np.random.Generator) -> np.ndarray:
        # A generator of its own for the shape: what is drawn must not shift the random numbers of what follows.
        shape_rng, grain_rng = rng.spawn(2)
        name = plan["concept"]
        parts = parcel(shape_rng, plan["defect"]) if name == "parcel" else DRAWERS[name](shape_rng)
        over = render.OVERSAMPLING
        centre = (plan["centre"][0] * over, plan["centre"][1] * over)
        placed = render.place(parts, centre, plan["extent"] * canvas.width / 2, plan["angle"], plan["flipped"])
        silhouette = render.draw_object(canvas, placed, plan["colour"], plan["style"], grain_rng)
        return np.asarray(silhouette.reduce(over)) >= 128


def _box(mask: np.ndarray) -> tuple[int, int, int, int]:
    """Box around the true pixels; (0, 0, 0, 0) when nothing is visible."""
    if not mask.any():
        return (0, 0, 0, 0)
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    return (int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1)
