"""A folder through several encoders at once: each file is read once, a few batches are in memory, nothing twice."""

from __future__ import annotations

import os
import sqlite3
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from vfm_course.errors import UserError
from vfm_course.features.cache import KnownFile, VectorCache, content_key
from vfm_course.features.encoders import Encoder
from vfm_course.features.images import Unreadable, fault, read_picture
from vfm_course.world.marker import is_drawn

if TYPE_CHECKING:
    import torch

BATCH = 32
AHEAD = 3  # batches that are read while the models work on another

Part, Done = TypeVar("Part"), TypeVar("Done")


@dataclass
class Embeddings:
    """What came out of a folder.

    `vectors[name]` is float32 (N, D) with rows of length one, in the order of `paths`; `drawn` says of each picture
    whether it comes from the drawn world; `skipped` holds files that are no usable pictures, with the reason;
    `computed` counts the pictures that a model had to look at.
    """

    paths: list[Path]
    vectors: dict[str, np.ndarray]
    drawn: list[bool]
    skipped: list[tuple[Path, str]]
    computed: int


@dataclass
class Batch:
    """Files as read: `known` for the usable ones and, for each encoder, the pictures that it has not seen yet.

    `pixels[name]` is (B, 3, H, W), `items[name]` the content's keys of its B rows.
    """

    known: dict[Path, KnownFile]
    skipped: list[tuple[Path, str]]
    items: dict[str, list[bytes]]
    pixels: dict[str, torch.Tensor]


def embed_folder(
    paths: list[Path],
    encoders: list[Encoder],
    cache: VectorCache,
    batch_size: int = BATCH,
    show: Callable[[int, int], None] | None = None,
) -> Embeddings:
    """Embeds every picture with every encoder; what the cache holds of a picture's content is not computed again.

    Args:
        show: called with (files done, files in all).

    Raises:
        UserError: not even a single picture fits into memory.
    """
    known = {path: cache.known(path) for path in paths}
    unread = [path for path in paths if known[path] is None or _missing(known[path].item, encoders, cache)]
    done, computed = len(paths) - len(unread), 0
    skipped: list[tuple[Path, str]] = []
    if show:
        show(done, len(paths))
    for batch in _read_ahead(unread, encoders, cache, batch_size):
        for encoder in encoders:
            if encoder.name in batch.pixels:
                vectors = _embed(encoder, batch.pixels[encoder.name])
                cache.put(encoder.key, zip(batch.items[encoder.name], vectors, strict=True))
        cache.remember(batch.known)  # last, for it says that the vectors are there
        known |= batch.known
        skipped += batch.skipped
        computed += max(map(len, batch.items.values()), default=0)
        done += len(batch.known) + len(batch.skipped)
        if show:
            show(done, len(paths))
    unusable = {path for path, _ in skipped}
    usable = [path for path in paths if path not in unusable]
    matrices = {encoder.name: _gather(encoder, [known[path].item for path in usable], cache) for encoder in encoders}
    return Embeddings(usable, matrices, [known[path].drawn for path in usable], sorted(skipped), computed)


def _missing(item: bytes, encoders: list[Encoder], cache: VectorCache) -> list[Encoder]:
    """The encoders whose vector of this content is not in the cache."""
    return [encoder for encoder in encoders if not cache.has(encoder.key, item)]


def _gather(encoder: Encoder, items: list[bytes], cache: VectorCache) -> np.ndarray:
    """Rows straight into one matrix: the folder's embeddings are in memory once."""
    if not items:
        return np.zeros((0, 0), dtype=np.float32)
    first = cache.get(encoder.key, items[0])
    matrix = np.empty((len(items), len(first)), dtype=np.float32)
    for row, item in enumerate(items):
        matrix[row] = cache.get(encoder.key, item)
    return matrix


def _read_ahead(paths: list[Path], encoders: list[Encoder], cache: VectorCache, batch_size: int) -> Iterator[Batch]:
    """Batches in order, read by threads while the models work: Pillow lets go of the interpreter while it decodes."""
    parts = [paths[start : start + batch_size] for start in range(0, len(paths), batch_size)]
    return ahead(parts, lambda part: _read(part, encoders, cache), min(4, os.cpu_count() or 1), AHEAD)


def ahead(parts: Iterable[Part], work: Callable[[Part], Done], threads: int, waiting: int) -> Iterator[Done]:
    """`work(part)` in the order of the parts, done by threads; `waiting` parts at most are begun and not yet taken."""
    begun: deque[Future[Done]] = deque()
    with ThreadPoolExecutor(threads) as pool:
        try:
            for part in parts:
                begun.append(pool.submit(work, part))
                if len(begun) > waiting:
                    yield begun.popleft().result()
            while begun:
                yield begun.popleft().result()
        finally:  # an error or Ctrl-C: what has not begun is not begun
            pool.shutdown(wait=True, cancel_futures=True)


def _read(paths: list[Path], encoders: list[Encoder], cache: VectorCache) -> Batch:
    """Reads files; a picture known under another name is not even decoded, and no model is loaded for it."""
    batch = Batch({}, [], {}, {})
    pixels: dict[str, list[torch.Tensor]] = {}
    for path in paths:
        try:
            item = content_key(path)
            missing = _missing(item, encoders, cache)
            if missing:
                picture = read_picture(path, max(side_of(encoder, cache) for encoder in encoders))
                prepared = {encoder.name: encoder.prepare([picture.image]) for encoder in missing}
            batch.known[path] = KnownFile(item, picture.drawn if missing else is_drawn(path))
        except UserError:  # of loading a model: not this picture's fault
            raise
        except Unreadable as error:
            batch.skipped.append((path, str(error)))
        except OSError as error:
            batch.skipped.append((path, fault(error)))
        except (ValueError, RuntimeError) as error:  # what a processor does not take
            batch.skipped.append((path, f"cannot be prepared: {str(error).splitlines()[0]}"))
        else:
            for encoder in missing:
                batch.items.setdefault(encoder.name, []).append(item)
                pixels.setdefault(encoder.name, []).append(prepared[encoder.name])
    if pixels:
        import torch

        batch.pixels = {name: torch.cat(tensors) for name, tensors in pixels.items()}
    return batch


def side_of(encoder: Encoder, cache: VectorCache) -> int:
    """Kept in the cache, so that a damaged file does not load the models again at every run."""
    side = cache.get(encoder.key, b"side")
    if side is None:
        side = np.array([encoder.side])
        cache.put(encoder.key, [(b"side", side)])
    return int(side[0])


def _embed(encoder: Encoder, pixels: torch.Tensor) -> np.ndarray:
    return np.concatenate(fitting(encoder, encoder.embed, pixels))


def fitting(encoder: Encoder, look: Callable[[torch.Tensor], Done], pixels: torch.Tensor) -> list[Done]:
    """`[look(pixels)]`, or the answers to its halves, for as long as the whole does not fit into memory.

    Raises:
        UserError: not even a single picture does.
    """
    import torch

    try:
        return [look(pixels)]
    except (torch.OutOfMemoryError, RuntimeError) as error:
        if not isinstance(error, torch.OutOfMemoryError) and "allocate memory" not in str(error):
            raise
        if len(pixels) == 1:
            raise UserError(
                f"{encoder.name} ({encoder.tier} tier) does not fit into memory even for one picture: close other "
                "programs, or use the pocket tier."
            ) from error
    half = len(pixels) // 2
    return [*fitting(encoder, look, pixels[:half]), *fitting(encoder, look, pixels[half:])]


def open_cache(path: Path | None = None) -> VectorCache:
    """The user's cache, or the one in the file `path`.

    Raises:
        UserError: it cannot be written.
    """
    try:
        return VectorCache(path)
    except (OSError, sqlite3.Error) as error:
        advice = "set VFM_CACHE to a folder that you can write" if path is None else "name another file"
        raise UserError(f"The cache cannot be opened ({error}): {advice}.") from error
