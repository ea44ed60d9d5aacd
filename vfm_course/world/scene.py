"""What is in a picture: the scene graph, complete enough to ask any question about it."""

from dataclasses import dataclass, field

import numpy as np

from vfm_course.world.concepts import SUPERCLASS_OF

STYLES = ("flat", "inked", "outlined", "grainy")


@dataclass(frozen=True)
class SceneObject:
    """One drawn thing.

    `box` is (left, top, right, bottom) in pixels around the visible part, right and bottom exclusive; `mask` is the
    visible part, bool (H, W); `centre` (x, y) and `extent` (longest side as share of the frame) are as drawn, before
    other things cover it; `depth` 0 is nearest; `visible` is the share of its area that nothing covers.
    """

    concept: str
    colour: str
    style: str
    centre: tuple[float, float]
    extent: float
    angle: int
    flipped: bool
    depth: int
    box: tuple[int, int, int, int]
    visible: float
    mask: np.ndarray = field(repr=False, compare=False)
    defect: str | None = None

    @property
    def superclass(self) -> str:
        """The family of the concept: animal, vehicle, food, building or household."""
        return SUPERCLASS_OF[self.concept]


@dataclass(frozen=True)
class Scene:
    """A picture and all that is true of it: `image` is uint8 (H, W, 3), objects run from nearest to farthest."""

    image: np.ndarray = field(repr=False, compare=False)
    objects: tuple[SceneObject, ...]
    background: str
    light: float
    noise: int
    index: int

    @property
    def main(self) -> SceneObject:
        """The nearest object: in a one-object scene, the object."""
        return self.objects[0]

    def relations(self) -> list[tuple[int, str, int]]:
        """Triples (subject, relation, object) over object indices: left/right of, above, below, in front of, behind.

        Left/right and above/below hold where the centres differ by at least an eighth of the frame.
        """
        found = []
        margin = self.image.shape[1] / 8
        for i, one in enumerate(self.objects):
            for j, other in enumerate(self.objects):
                if i == j:
                    continue
                dx, dy = other.centre[0] - one.centre[0], other.centre[1] - one.centre[1]
                if abs(dx) >= margin:
                    found.append((i, "left of" if dx > 0 else "right of", j))
                if abs(dy) >= margin:
                    found.append((i, "above" if dy > 0 else "below", j))
                found.append((i, "in front of" if one.depth < other.depth else "behind", j))
        return found

    def foreground(self) -> np.ndarray:
        """Union of all masks, bool (H, W)."""
        return np.any([thing.mask for thing in self.objects], axis=0)

    def distances(self) -> np.ndarray:
        """How far away what each pixel shows is, float32 (H, W); `inf` where it shows the background.

        The unit is the distance at which a thing fills the frame, so that a thing is at 1 / extent. True of a scene
        only if its things are all of the same true size: draw it with `World(perspective=True)`.
        """
        found = np.full(self.image.shape[:2], np.inf, dtype=np.float32)
        for thing in self.objects:
            found[thing.mask] = 1 / thing.extent
        return found
