"""The lab's photographs: Oxford-IIIT Pet (Parkhi et al. 2012), 37 breeds of cats and dogs, as a task."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from vfm_course.adapt.task import HARMLESS, Chosen, Part, Task, concept_task
from vfm_course.errors import UserError
from vfm_course.families.load import chosen_tier
from vfm_course.paths import cache_dir

if TYPE_CHECKING:
    from PIL import Image
    from torchvision.datasets import OxfordIIITPet

VALIDATION = 0.2  # of the official training pictures


class Decoded(Sequence):
    """The pictures of a torchvision dataset, each decoded when it is asked for: 7,000 at once would take 3 GB."""

    def __init__(self, dataset: OxfordIIITPet):
        self.dataset = dataset

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, number: int) -> Image.Image:
        return self.dataset[number][0]


def pet_task(root: Path | None = None, download: bool = True, seed: int = 0) -> Task:
    """Which of 37 breeds a photograph shows: 3,680 pictures to learn from and to choose on, 3,669 to be judged by.

    Args:
        root: the folder that holds, or will hold, `oxford-iiit-pet`; the course's cache folder if not given.
        download: fetch the pictures (800 MB) where they are missing.
        seed: of which fifth of the training pictures the settings are chosen on.

    Raises:
        UserError: the pictures are not there and cannot be fetched, or the folder is damaged.
    """
    from torchvision.datasets import OxfordIIITPet

    folder = Path(root or cache_dir())
    try:
        known, test = (OxfordIIITPet(folder, split, download=download) for split in ("trainval", "test"))
    except (OSError, RuntimeError, ValueError) as error:
        raise UserError(
            f"Oxford-IIIT Pet is not in {folder.name}/oxford-iiit-pet, or is damaged there, and could not be fetched "
            f"({str(error).splitlines()[0] if str(error) else type(error).__name__}): connect once, or stay on the "
            "pocket tier. After an interrupted download, delete that folder first."
        ) from error
    labels, asked = (np.array(each._labels) for each in (known, test))  # torchvision has no public name for them
    order = np.random.default_rng(seed).permutation(len(labels))
    aside = np.concatenate([_first_share(order[labels[order] == each]) for each in np.unique(labels)])
    kept = np.setdiff1d(order, aside)
    pictures = Decoded(known)
    return Task(
        "pets", tuple(known.classes), Part(Chosen(pictures, kept), labels[kept]),
        Part(Chosen(pictures, aside), labels[aside]), Part(Decoded(test), asked), unchanged_by=HARMLESS,
    )  # fmt: skip


def lab_task(tier: str | None = None) -> Task:
    """What notebook 02 adapts to: the drawn world's sixteen concepts in the pocket, photographs of pets on the hub."""
    return concept_task() if chosen_tier(tier) == "pocket" else pet_task()


def _first_share(rows: np.ndarray) -> np.ndarray:
    return rows[: max(1, round(VALIDATION * len(rows)))]
