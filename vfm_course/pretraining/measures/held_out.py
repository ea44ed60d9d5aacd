"""The scenes that everything is measured on, and all that is true of them."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import numpy as np
import torch

from vfm_course.pretraining import encoder
from vfm_course.pretraining.scenes import PROBE_SEED, TEST_SEED, TRAIN_SEED, VALIDATION_SEED
from vfm_course.world import BACKGROUNDS, COLOURS, CONCEPTS, STYLES, World
from vfm_course.world.captions import TEMPLATES, caption

SEEDS = 3  # of the probes: each learns from labelled scenes of its own
LABELLED, VALIDATION, TEST = 2_000, 1_000, 2_000  # scenes; LABELLED for each seed
MASKED, MASK_SIZE, MASK_OBJECTS = 300, 96, (1, 4)  # scenes for SAM: larger, with up to four things

WORDS = {"concept": CONCEPTS, "background": BACKGROUNDS, "colour": tuple(COLOURS), "style": STYLES}


@dataclass(frozen=True)
class Drawn:
    """Scenes with one thing each.

    `images` is uint8 (N, 3, H, W), `masks` bool (N, H, W), `labels` holds numbers (N,) by their kind (the keys of
    WORDS), `centres` (N, 2) is where the thing is, x and y as shares of the frame, and `captions` says everything.
    """

    images: torch.Tensor
    masks: torch.Tensor
    labels: dict[str, torch.Tensor]
    centres: torch.Tensor
    captions: list[str]

    def __len__(self) -> int:
        return len(self.images)


def draw(seed: int, n: int, start: int = 0, size: int = encoder.SIZE, show: Callable[[], None] | None = None) -> Drawn:
    """Scenes `start` to `start + n - 1` of a world; `show` is called after each."""
    images, masks, centres, captions = [], [], [], []
    labels: dict[str, list[int]] = {kind: [] for kind in WORDS}
    for number, scene in enumerate(World(seed, size).sample(n, start), start):
        thing = scene.main
        images.append(scene.image.transpose(2, 0, 1))
        masks.append(thing.mask)
        centres.append(thing.centre)
        for kind, words in WORDS.items():
            labels[kind].append(words.index(getattr(scene if kind == "background" else thing, kind)))
        captions.append(caption(scene, "full", TEMPLATES[number % len(TEMPLATES)]))
        if show:
            show()
    return Drawn(
        torch.from_numpy(np.stack(images)),
        torch.from_numpy(np.stack(masks)),
        {kind: torch.tensor(numbers) for kind, numbers in labels.items()},
        torch.tensor(centres, dtype=torch.float32) / size,
        captions,
    )


@dataclass(frozen=True)
class Splits:
    """`labelled` has one part a seed of the probe; settings are chosen on `validation`, `test` is looked at once."""

    labelled: list[Drawn]
    validation: Drawn
    test: Drawn


@cache
def splits() -> Splits:
    """All scenes, drawn once a process: half a minute on one core."""
    from rich.progress import track

    wanted = [(PROBE_SEED, LABELLED, seed * LABELLED) for seed in range(SEEDS)]
    wanted += [(VALIDATION_SEED, VALIDATION, 0), (TEST_SEED, TEST, 0)]
    *labelled, validation, test = (draw(*each) for each in track(wanted, "Drawing held-out scenes"))
    return Splits(labelled, validation, test)


@cache
def masked_scenes() -> tuple[torch.Tensor, list[list[np.ndarray]]]:
    """For SAM: images uint8 (N, 3, 96, 96), and for each scene the masks of its things, bool (96, 96)."""
    scenes = World(TEST_SEED, MASK_SIZE, objects=MASK_OBJECTS).sample(MASKED)
    images = np.stack([scene.image.transpose(2, 0, 1) for scene in scenes])
    return torch.from_numpy(images), [[thing.mask for thing in scene.objects] for scene in scenes]


def about() -> dict:
    """What was measured on, for the record; `digest` changes when the same seeds draw other pictures."""
    drawn = [World(TEST_SEED, encoder.SIZE).scene(number).image.tobytes() for number in range(16)]
    return {
        "size": encoder.SIZE,
        "seeds": {
            "pretraining": TRAIN_SEED,
            "labelled": PROBE_SEED,
            "validation": VALIDATION_SEED,
            "test": TEST_SEED,
        },
        "labelled": f"{SEEDS} disjoint sets of {LABELLED} scenes, one a seed of the probe",
        "validation": VALIDATION,
        "test": TEST,
        "masks": f"{MASKED} scenes of the test world at {MASK_SIZE} px with {MASK_OBJECTS[0]} to {MASK_OBJECTS[1]} "
        "things",
        "digest": hashlib.sha256(b"".join(drawn)).hexdigest(),
    }
