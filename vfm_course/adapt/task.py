"""A labelled task: pictures and classes in three disjoint parts, to learn from, to choose settings on, to be judged by.

Every way of adapting gets the same task, so that what differs is the way alone.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from PIL import Image

from vfm_course.errors import UserError
from vfm_course.world import CONCEPTS, World

HARMLESS = ("flip", "crop", "light")  # what augmentation there is
CONCEPT_WORLD = 20_000  # worlds of this number and the next two, twenty numbers further for each seed


class Chosen(Sequence):
    """Some pictures of a sequence, by their numbers; a sequence that decodes when it is asked still does."""

    def __init__(self, images: Sequence, rows: Sequence[int]):
        self.images, self.rows = images, [int(row) for row in rows]

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, number: int):
        return self.images[self.rows[number]]


@dataclass(frozen=True, eq=False)
class Part:
    """Labelled pictures.

    Args:
        images: uint8 (N, H, W, 3), or a sequence of PIL pictures of any size.
        labels: whole numbers (N,), each the number of a class.

    Raises:
        UserError: other shapes or kinds.
    """

    images: np.ndarray | Sequence = field(repr=False)
    labels: np.ndarray = field(repr=False)

    def __post_init__(self) -> None:
        labels = np.asarray(self.labels)
        if labels.ndim != 1 or labels.dtype.kind not in "iu":
            raise UserError(f"Labels are whole numbers (N,), not {labels.dtype} {labels.shape}.")
        images = self.images
        if isinstance(images, np.ndarray) and (images.ndim != 4 or images.shape[-1] != 3 or images.dtype != np.uint8):
            raise UserError(f"Pictures are uint8 (N, height, width, 3), not {images.dtype} {images.shape}.")
        if len(images) != len(labels):
            raise UserError(f"There are {len(images)} pictures and {len(labels)} labels: each picture needs one.")
        object.__setattr__(self, "labels", labels.astype(np.int64))

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, rows: Sequence[int]) -> Part:
        """Some of the pictures, in the order of `rows`."""
        rows = np.asarray(rows, dtype=np.int64)
        images = self.images[rows] if isinstance(self.images, np.ndarray) else Chosen(self.images, rows)
        return Part(images, self.labels[rows])

    @cached_property
    def digests(self) -> list[bytes]:
        """16 bytes a picture that say whether two pictures are the same, pixel by pixel."""
        return [digest(picture(self.images, row)) for row in range(len(self))]


def picture(images: np.ndarray | Sequence, row: int) -> Image.Image:
    """One picture of a part, in RGB."""
    image = images[row]
    return Image.fromarray(image) if isinstance(image, np.ndarray) else image.convert("RGB")


def digest(image: Image.Image) -> bytes:
    """16 bytes of a picture's size and pixels."""
    return hashlib.blake2b(repr(image.size).encode() + image.tobytes(), digest_size=16).digest()


@dataclass(frozen=True, eq=False)
class Task:
    """Pictures, and which of several classes each belongs to.

    Args:
        name: what a table calls it.
        classes: names; label i means `classes[i]`.
        train, validation, test: no picture is in two of them (`leaks` says whether that is so). Settings are chosen on
            `validation`; `test` is for the last look.
        shifted: more pictures to be judged by, of a kind that `train` does not have, by the name of the difference.
        unchanged_by: what of `HARMLESS` may be done to a picture without making its label wrong. Ways that train more
            than a head do it; none of it by default, since no mirrored picture is left of what it was right of.

    Raises:
        UserError: a label without a class, a class without a training picture, or an unknown augmentation.
    """

    name: str
    classes: tuple[str, ...]
    train: Part
    validation: Part
    test: Part
    shifted: dict[str, Part] = field(default_factory=dict)
    unchanged_by: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "classes", tuple(self.classes))
        for name, part in self.parts().items():
            if not len(part):
                raise UserError(f"The task {self.name!r} has no pictures in its part {name!r}.")
            if part.labels.min() < 0 or part.labels.max() >= len(self.classes):
                raise UserError(
                    f"The labels of {self.name!r} are 0 to {len(self.classes) - 1}, one a class; "
                    f"{name!r} has {part.labels.min()} to {part.labels.max()}."
                )
        lacking = sorted(set(range(len(self.classes))) - set(self.train.labels.tolist()))
        if lacking:
            raise UserError(f"The task {self.name!r} has no training picture of {self.classes[lacking[0]]!r}.")
        unknown = [each for each in self.unchanged_by if each not in HARMLESS]
        if unknown:
            raise UserError(f"There is no augmentation {unknown[0]!r}: choose from {', '.join(HARMLESS)}.")

    def parts(self) -> dict[str, Part]:
        """All parts by name."""
        return {"train": self.train, "validation": self.validation, "test": self.test, **self.shifted}

    @property
    def chance(self) -> float:
        """Accuracy on `test` of always saying its most frequent class."""
        return float(np.bincount(self.test.labels).max() / len(self.test))

    def few(self, n_per_class: int, seed: int = 0) -> Task:
        """The same task with so many training pictures a class, drawn at random; all else stays.

        Raises:
            UserError: a class has fewer.
        """
        counts = np.bincount(self.train.labels, minlength=len(self.classes))
        if not 1 <= n_per_class <= counts.min():
            name = self.classes[int(counts.argmin())]
            raise UserError(
                f"{self.name!r} has 1 to {counts.min()} training pictures a class to choose from "
                f"({name!r} has the fewest), not {n_per_class}."
            )
        rows = few_rows(self.train.labels, n_per_class, seed)
        return dataclasses.replace(self, train=self.train.take(rows))

    @cached_property
    def digest(self) -> str:
        """Changes with any picture, label, class name or part."""
        found = hashlib.blake2b(repr((self.classes, self.unchanged_by)).encode(), digest_size=16)
        for name, part in self.parts().items():
            found.update(name.encode() + b"".join(part.digests) + part.labels.tobytes())
        return found.hexdigest()


def few_rows(labels: np.ndarray, shots: int, seed: int) -> np.ndarray:
    """Numbers of `shots` random rows of each label, sorted by label."""
    order = np.random.default_rng(seed).permutation(len(labels))
    return np.concatenate([order[labels[order] == each][:shots] for each in np.unique(labels)])


def leaks(task: Task) -> list[tuple[str, int, str, int]]:
    """Pictures that are in two parts at once, pixel by pixel: (part, row, other part, row). Empty is good."""
    found, seen = [], {}
    for name, part in task.parts().items():
        for row, each in enumerate(part.digests):
            first = seen.setdefault(each, (name, row))
            if first[0] != name:
                found.append((*first, name, row))
    return found


def concept_task(seed: int = 0, sizes: tuple[int, int, int] = (1000, 500, 1000), side: int = 64) -> Task:
    """Which of the drawn world's sixteen concepts a picture shows.

    Args:
        seed: other pictures for another one.
        sizes: pictures in `train`, `validation` and `test`; about a sixteenth of them a concept.
        side: of the square pictures, in pixels.
    """
    parts = []
    for number, n in enumerate(sizes):
        scenes = World(CONCEPT_WORLD + 20 * seed + number, side).sample(n)
        labels = [CONCEPTS.index(scene.main.concept) for scene in scenes]
        parts.append(Part(np.stack([scene.image for scene in scenes]), np.array(labels)))
    return Task("concept", CONCEPTS, *parts, unchanged_by=HARMLESS)
