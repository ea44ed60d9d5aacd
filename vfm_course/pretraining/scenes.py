"""Scenes rendered once into files that every recipe reads: the renderer is never what training waits for."""

import os
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from vfm_course.paths import cache_dir
from vfm_course.pretraining.tokenizer import CONTEXT, world_tokenizer
from vfm_course.world import CONCEPTS, World
from vfm_course.world.captions import random_caption

# Four worlds without a common scene: pretraining; probes learn, choose their settings, and are judged.
TRAIN_SEED, PROBE_SEED, TEST_SEED, VALIDATION_SEED = 1000, 1001, 1002, 1003
CAPTIONS = 8  # different captions stored for each scene
CHUNK = 500


@dataclass(frozen=True)
class Scenes:
    """Rendered scenes: `images` uint8 (N, 3, H, W), `segments` uint8 (N, H, W) with 0 for the background and i + 1 for
    object i, `concepts` (N,) of the nearest object, `captions` token numbers (N, 8, 24)."""

    images: np.ndarray
    segments: np.ndarray
    concepts: np.ndarray
    captions: np.ndarray

    def __len__(self) -> int:
        return len(self.concepts)


def scenes(n: int, size: int, objects: tuple[int, int] = (1, 1), seed: int = TRAIN_SEED) -> Scenes:
    """Scenes 0 to n - 1 of a world, rendered at the first call and mapped from the cache's file afterwards."""
    folder = cache_dir() / "scenes" / f"seed{seed}_{size}px_{objects[0]}to{objects[1]}_{n}"
    if not folder.is_dir():
        _render(folder, n, size, objects, seed)
    return Scenes(**{name: np.load(folder / f"{name}.npy", mmap_mode="r") for name in Scenes.__dataclass_fields__})


def _render(folder: Path, n: int, size: int, objects: tuple[int, int], seed: int) -> None:
    """Writes into a folder beside it and renames at the end: a killed run leaves nothing half done."""
    from rich.progress import track

    partial = folder.with_name(f"{folder.name}.partial{os.getpid()}")
    partial.mkdir(parents=True)
    shapes = {
        "images": (n, 3, size, size),
        "segments": (n, size, size),
        "concepts": (n,),
        "captions": (n, CAPTIONS, CONTEXT),
    }
    files = {
        name: np.lib.format.open_memmap(partial / f"{name}.npy", mode="w+", dtype=np.uint8, shape=shape)
        for name, shape in shapes.items()
    }
    tokenizer = world_tokenizer()
    row = 0
    tasks = [(seed, size, objects, start, min(CHUNK, n - start)) for start in range(0, n, CHUNK)]
    for images, segments, concepts, captions in track(_chunks(tasks), f"Drawing {n} scenes", total=len(tasks)):
        rows = slice(row, row + len(concepts))
        files["images"][rows], files["segments"][rows], files["concepts"][rows] = images, segments, concepts
        tokens = tokenizer(captions, padding="max_length", truncation=True, return_tensors="np")["input_ids"]
        files["captions"][rows] = tokens.reshape(len(concepts), CAPTIONS, CONTEXT)
        row = rows.stop
    for file in files.values():
        file.flush()
    try:
        os.rename(partial, folder)
    except OSError:  # another run was faster, and its files are the same
        if not folder.is_dir():
            raise


def _chunks(tasks: list[tuple]) -> Iterator[tuple]:
    if len(tasks) < 4:
        yield from map(_draw, tasks)
        return
    with ProcessPoolExecutor() as pool:
        yield from pool.map(_draw, tasks)


def _draw(task: tuple) -> tuple[np.ndarray, np.ndarray, np.ndarray, list[str]]:
    seed, size, objects, start, n = task
    images = np.empty((n, 3, size, size), dtype=np.uint8)
    segments = np.zeros((n, size, size), dtype=np.uint8)
    concepts = np.empty(n, dtype=np.uint8)
    said = []
    for row, scene in enumerate(World(seed, size, objects=objects).sample(n, start)):
        images[row] = scene.image.transpose(2, 0, 1)
        for number, thing in enumerate(scene.objects, start=1):
            segments[row][thing.mask] = number
        concepts[row] = CONCEPTS.index(scene.main.concept)
        rng = np.random.default_rng([seed, start + row, 7])
        said += [random_caption(scene, rng) for _ in range(CAPTIONS)]
    return images, segments, concepts, said
