"""The scenes that questions are about, drawn once into the cache: pixels for the encoder, graphs for the questions."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from vfm_course.paths import cache_dir
from vfm_course.vlm.kept import keep
from vfm_course.world.concepts import CONCEPTS
from vfm_course.world.palette import BACKGROUNDS, COLOURS
from vfm_course.world.scene import STYLES, Scene, SceneObject
from vfm_course.world.vqa import LEAST_VISIBLE, OBJECTS, SEEDS, vqa_world

SIZE = 64  # pixels a side
CHUNK = 500
_COLOURS = tuple(COLOURS)


@dataclass(frozen=True)
class DrawnScenes:
    """Scenes of one split: `images` uint8 (N, 3, 64, 64), and `graphs`, N scenes without pixels and masks."""

    images: np.ndarray
    graphs: list[Scene]

    def __len__(self) -> int:
        return len(self.graphs)


def drawn_scenes(split: str, n: int) -> DrawnScenes:
    """The first n scenes of a split ("train", "validation", "test") less those with a thing that is mostly hidden.

    Drawn at the first call, mapped from the cache's file afterwards.
    """
    folder = cache_dir() / "vqa_scenes" / f"{split}_{n}"
    if not folder.is_dir():
        _render(folder, split, n)
    parts = [np.load(folder / f"{name}.npy") for name in ("tables", "backgrounds", "numbers")]
    graphs = [_scene(*each) for each in zip(*parts, strict=True)]
    return DrawnScenes(np.load(folder / "images.npy", mmap_mode="r"), graphs)


def _render(folder: Path, split: str, n: int) -> None:
    tasks = [(split, start, min(CHUNK, n - start)) for start in range(0, n, CHUNK)]
    keep(folder, ("images", "tables", "backgrounds", "numbers"), _draw, tasks, f"Drawing {n} scenes")


def _draw(task: tuple[str, int, int]) -> tuple[np.ndarray, ...]:
    split, start, n = task
    found = [scene for scene in vqa_world(SEEDS[split], SIZE).sample(n, start)
             if min(thing.visible for thing in scene.objects) >= LEAST_VISIBLE]  # fmt: skip
    # Nothing may be left of a short chunk.
    images = np.array([scene.image.transpose(2, 0, 1) for scene in found], np.uint8).reshape(-1, 3, SIZE, SIZE)
    tables = np.full((len(found), OBJECTS[1], 10), -1, dtype=np.float32)
    for row, scene in zip(tables, found, strict=True):
        for place, thing in zip(row, scene.objects, strict=False):
            place[:] = (CONCEPTS.index(thing.concept), _COLOURS.index(thing.colour), STYLES.index(thing.style),
                        *thing.centre, thing.extent, *thing.box)  # fmt: skip
    backgrounds = np.array([BACKGROUNDS.index(scene.background) for scene in found], dtype=np.uint8)
    return images, tables, backgrounds, np.array([scene.index for scene in found], np.int64)


_NOTHING = np.zeros((SIZE, SIZE, 3), dtype=np.uint8)


def _scene(table: np.ndarray, background: int, number: int) -> Scene:
    things = []
    for depth, (concept, colour, style, x, y, extent, *box) in enumerate(table[table[:, 0] >= 0].tolist()):
        things.append(SceneObject(
            CONCEPTS[int(concept)], _COLOURS[int(colour)], STYLES[int(style)], (x, y), extent, angle=0, flipped=False,
            depth=depth, box=tuple(map(int, box)), visible=1.0, mask=_NOTHING[..., 0],
        ))  # fmt: skip
    return Scene(_NOTHING, tuple(things), BACKGROUNDS[background], 0.0, 0, int(number))
