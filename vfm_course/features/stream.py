"""A folder through several encoders at once: each file is read once, a few batches are in memory, nothing twice."""

from __future__ import annotations

import os
import sqlite3
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from vfm_course.errors import UserError
from vfm_course.features.cache import KnownFile, VectorCache, content_key
from vfm_course.features.encoders import Encoder
from vfm_course.features.images import Unreadable, read_picture

if TYPE_CHECKING:
    import torch

BATCH = 32
AHEAD = 3  # batches that are read while the model works on another


@dataclass
class Embeddings:
    """What came out of a folder.

    `vectors[name]` is float32 (N, D) with rows of length one, in the order of `paths`; `drawn` says of each picture
    whether it comes from the drawn world; `skipped` holds files that are no usable pictures, with the reason.
    """

    paths: list[Path]
    vectors: dict[str, np.ndarray]
    drawn: list[bool]
    skipped: list[tuple[Path, str]]
    computed: int


@dataclass
class Batch:
    """Files read and prepared for the models that need them."""

    paths: list[Path]
    items: list[bytes]
    drawn: list[bool]
    pixels: dict[str, torch.Tensor]
    skipped: list[tuple[Path, str]]


def embed_folder(
    paths: list[Path],
    encoders: list[Encoder],
    cache: VectorCache,
    batch_size: int = BATCH,
    show: Callable[[int, int], None] | None = None,
) -> Embeddings:
    """Embeds every picture with every encoder; what the cache holds is not computed again.

    Args:
        show: called with (files done, files in all).

    Raises:
        UserError: not even a single picture fits into memory.
    """
    known = {path: cache.known(path) for path in paths}
    missing = [path for path in paths if not _complete(known[path], encoders, cache)]
    done = len(paths) - len(missing)
    skipped: list[tuple[Path, str]] = []
    if show:
        show(done, len(paths))
    for batch in _read_ahead(missing, encoders, batch_size):
        for encoder in encoders:
            if batch.paths:
                vectors = _embed(encoder, batch.pixels[encoder.name])
                cache.put(encoder.key, zip(batch.items, vectors, strict=True))
        # Last, for it says that the vectors are there.
        cache.remember(zip(batch.paths, batch.items, batch.drawn, strict=True))
        known |= {path: KnownFile(*found) for path, *found in zip(batch.paths, batch.items, batch.drawn, strict=True)}
        skipped += batch.skipped
        done += len(batch.paths) + len(batch.skipped)
        if show:
            show(done, len(paths))
    unusable = {path for path, _ in skipped}
    usable = [path for path in paths if path not in unusable]
    matrices = {encoder.name: _gather(encoder, [known[path].item for path in usable], cache) for encoder in encoders}
    drawn = [known[path].drawn for path in usable]
    return Embeddings(usable, matrices, drawn, sorted(skipped), len(missing) - len(skipped))


def _complete(known: KnownFile | None, encoders: list[Encoder], cache: VectorCache) -> bool:
    return known is not None and all(cache.get(encoder.key, known.item) is not None for encoder in encoders)


def _gather(encoder: Encoder, items: list[bytes], cache: VectorCache) -> np.ndarray:
    """Rows straight into one matrix: the folder's embeddings are in memory once."""
    if not items:
        return np.zeros((0, 0), dtype=np.float32)
    first = cache.get(encoder.key, items[0])
    matrix = np.empty((len(items), len(first)), dtype=np.float32)
    for row, item in enumerate(items):
        matrix[row] = cache.get(encoder.key, item)
    return matrix


def _read_ahead(paths: list[Path], encoders: list[Encoder], batch_size: int) -> Iterator[Batch]:
    """Batches in order, read by threads while the model works: Pillow lets go of the interpreter while it decodes."""
    if not paths:
        return
    for encoder in encoders:
        encoder.loaded  # noqa: B018  (loaded here once, and not by several threads at the same time)
    side = max(encoder.side for encoder in encoders)
    parts = iter([paths[start : start + batch_size] for start in range(0, len(paths), batch_size)])
    waiting: deque[Future[Batch]] = deque()
    with ThreadPoolExecutor(min(4, os.cpu_count() or 1)) as pool:
        try:
            for part in parts:
                waiting.append(pool.submit(_read, part, encoders, side))
                if len(waiting) > AHEAD:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:  # an error or Ctrl-C: what has not begun is not begun
            pool.shutdown(wait=True, cancel_futures=True)


def _read(paths: list[Path], encoders: list[Encoder], side: int) -> Batch:
    batch = Batch([], [], [], {}, [])
    pixels: dict[str, list[torch.Tensor]] = {encoder.name: [] for encoder in encoders}
    for path in paths:
        try:
            picture = read_picture(path, side)
            item = content_key(path)
        except (Unreadable, OSError) as error:
            batch.skipped.append((path, str(error)))
            continue
        try:
            prepared = {encoder.name: encoder.prepare([picture.image]) for encoder in encoders}
        except (ValueError, RuntimeError) as error:  # a strip one pixel wide, for instance
            batch.skipped.append((path, f"cannot be prepared: {str(error).splitlines()[0]}"))
            continue
        for name, tensor in prepared.items():
            pixels[name].append(tensor)
        batch.paths.append(path)
        batch.items.append(item)
        batch.drawn.append(picture.drawn)
    if batch.paths:
        import torch

        batch.pixels = {name: torch.cat(parts) for name, parts in pixels.items()}
    return batch


def _embed(encoder: Encoder, pixels: torch.Tensor) -> np.ndarray:
    """Halves the batch for as long as it does not fit into memory."""
    import torch

    try:
        return encoder.embed(pixels)
    except (torch.OutOfMemoryError, RuntimeError) as error:
        if not isinstance(error, torch.OutOfMemoryError) and "allocate memory" not in str(error):
            raise
        if len(pixels) == 1:
            raise UserError(
                f"{encoder.name} ({encoder.tier} tier) does not fit into memory even for one picture: close other "
                "programs, or use the pocket tier."
            ) from error
    half = len(pixels) // 2
    return np.concatenate([_embed(encoder, pixels[:half]), _embed(encoder, pixels[half:])])


def open_cache() -> VectorCache:
    """The user's cache.

    Raises:
        UserError: it cannot be written.
    """
    try:
        return VectorCache()
    except (OSError, sqlite3.Error) as error:
        advice = "set VFM_CACHE to a folder that you can write"
        raise UserError(f"The cache cannot be opened ({error}): {advice}.") from error
