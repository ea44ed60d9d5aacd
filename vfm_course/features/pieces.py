"""Pictures through one encoder, a few at a time: threads read ahead, and each core looks at pictures of its own."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from vfm_course.errors import UserError
from vfm_course.families.load import default_device
from vfm_course.features.encoders import Encoder
from vfm_course.features.sources import Files, Items, reason
from vfm_course.features.stream import ahead, fitting

if TYPE_CHECKING:
    import torch
    from PIL import Image

READERS = 4
TOKENS = 2048  # in one pass on a CPU: more fall out of its cache, fewer leave it waiting for Python
LEAST = 4  # pictures in the last parts, so that no core is left alone with a large one


@dataclass(frozen=True)
class Seen:
    """What was found out about a picture: its content's key, its label, whether it is drawn."""

    key: bytes
    label: Any = None
    drawn: bool = False


@dataclass
class Piece:
    """Some pictures by their numbers: `seen` the usable ones, `skipped` the others with the reason.

    `vectors[kind]` holds a row for each number in `fresh`, whose content was new; `pixels` (B, 3, H, W) are theirs
    until the model has looked at them.
    """

    seen: dict[int, Seen] = field(default_factory=dict)
    skipped: list[tuple[int, str]] = field(default_factory=list)
    fresh: list[int] = field(default_factory=list)
    pixels: torch.Tensor | None = None
    vectors: dict[str, Sequence[np.ndarray]] = field(default_factory=dict)


def looked_at(
    source: Files | Items,
    numbers: Sequence[int],
    encoder: Encoder,
    kinds: Sequence[str],
    batch_size: int,
    has: Callable[[bytes], bool] = lambda key: False,
    side: Callable[[], int] | None = None,
    threads: int | None = None,
) -> Iterator[Piece]:
    """Reads pictures and lets the encoder look at those whose content is not had yet, in the order of `numbers`.

    On a CPU each of `threads` (as many as torch may use) looks at a part of its own: one product spread over all cores
    makes every core wait for the slowest, dozens of times a picture. A GPU looks at one part after another.

    Raises:
        UserError: the model cannot be had, or a single picture does not fit into memory.
    """
    import torch

    readers = min(READERS, os.cpu_count() or 1)
    on_cpu = (encoder.device or default_device()).startswith("cpu")
    lookers = (threads or torch.get_num_threads()) if on_cpu else 1

    def read(part: Sequence[int]) -> Piece:
        return _read(source, part, encoder, has, side or (lambda: encoder.side))

    def look(piece: Piece) -> Piece:
        if piece.pixels is not None:
            piece.vectors, piece.pixels = _look(encoder, kinds, piece.pixels, on_cpu), None
        return piece

    parts = _parts(numbers, batch_size, lookers)
    with _one_thread_each(), closing(ahead(parts, read, readers, readers)) as pieces:
        yield from ahead(pieces, look, lookers, lookers)


def _parts(numbers: Sequence[int], batch_size: int, workers: int) -> Iterator[Sequence[int]]:
    """Batches, smaller ones towards the end, so that all workers are done at about the same time."""
    start = 0
    while start < len(numbers):
        size = max(min(LEAST, batch_size), min(batch_size, (len(numbers) - start) // (2 * workers)))
        yield numbers[start : start + size]
        start += size


def _read(
    source: Files | Items,
    numbers: Sequence[int],
    encoder: Encoder,
    has: Callable[[bytes], bool],
    side: Callable[[], int],
) -> Piece:
    """A picture whose content is had is not even decoded, and no model is loaded for it."""
    piece, images = Piece(), {}
    for number in numbers:
        try:
            item = source.item(number)
            if not has(item.key):
                images[number] = item.read(side())
            piece.seen[number] = Seen(item.key, item.label, item.drawn())
        except UserError:  # of loading a model: not this picture's fault
            raise
        except Exception as error:  # a dataset of anyone's raises anything
            images.pop(number, None)
            piece.skipped.append((number, reason(error)))
    if images:
        piece.pixels = _prepared(encoder, images, piece)
    piece.fresh = list(images)
    return piece


def _prepared(encoder: Encoder, images: dict[int, Image.Image], piece: Piece) -> torch.Tensor | None:
    """Pixels (B, 3, H, W) of all `images`, without those that the model's processor does not take."""
    import torch

    try:
        return encoder.prepare(list(images.values()))
    except UserError:
        raise
    except (ValueError, RuntimeError):  # of one of them
        pixels = []
    for number, image in list(images.items()):
        try:
            pixels.append(encoder.prepare([image]))
        except (ValueError, RuntimeError) as error:
            piece.skipped.append((number, f"cannot be prepared: {str(error).splitlines()[0]}"))
            del piece.seen[number], images[number]
    return torch.cat(pixels) if pixels else None


def _look(encoder: Encoder, kinds: Sequence[str], pixels: torch.Tensor, on_cpu: bool) -> dict[str, np.ndarray]:
    """Each kind of feature of pixels (B, 3, H, W), a row for each picture."""
    from vfm_course.features.patches import grid_of

    rows, columns = grid_of(encoder.loaded, pixels)
    step = max(1, TOKENS // (rows * columns)) if on_cpu else len(pixels)
    found = []
    for start in range(0, len(pixels), step):
        found += fitting(encoder, lambda some: encoder.look(some, kinds), pixels[start : start + step])
    return {kind: np.concatenate([one[kind] for one in found]) for kind in kinds}


@contextmanager
def _one_thread_each() -> Iterator[None]:
    """Torch's products and resizings by the thread that asks for them alone."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
