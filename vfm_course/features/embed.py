"""`embed(folder)`: the features of any number of pictures, by this machine or by a cluster, kept between runs."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, closing, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from vfm_course.errors import UserError
from vfm_course.features.cache import KnownFile, VectorCache
from vfm_course.features.encoders import KINDS, Encoder
from vfm_course.features.pieces import Piece, looked_at
from vfm_course.features.sources import Files, Items, source_of
from vfm_course.features.stream import BATCH, open_cache, side_of

if TYPE_CHECKING:
    from vfm_course.families.load import Loaded

ENGINES = ("local", "ray")


@dataclass
class Embedded:
    """What came out, in the order of the source.

    `vectors` is float32 (N, D), or float16 (N, P, width) of patches; `names` of the N pictures, and their `paths` where
    they are files; `labels` where the source has them, else None; `skipped` holds (name, reason) of what is no usable
    picture; `computed` counts the pictures that a model had to look at.
    """

    vectors: np.ndarray
    names: list[str]
    paths: list[Path] | None
    labels: list[Any] | None
    skipped: list[tuple[str, str]]
    computed: int


def embed(
    source: Any,
    encoder: str | Loaded = "dinov2",
    of: str = "whole",
    *,
    tier: str | None = None,
    device: str | None = None,
    batch_size: int = BATCH,
    cache: VectorCache | Path | str | None = None,
    engine: str = "local",
    workers: int | None = None,
    out: Path | str | None = None,
    show: Callable[[int, int], None] | None = None,
) -> Embedded:
    """The features of pictures by one frozen encoder, read as a stream: memory does not grow with their number.

    What the cache holds of a picture's content is not computed again: a run that was killed goes on where it was. A
    pass for one kind of feature keeps the whole's and the mean's too, and a later call for those runs no model.

    Args:
        source: a folder; a list of paths; a list of PIL images or of arrays, or one array uint8 (N, H, W, 3); or a
            dataset with a length that gives an image or (image, label, ...) by number, from threads. An image may be a
            tensor (3, H, W), uint8 or from 0 to 1.
        encoder: dinov2, clip, siglip, mae, ijepa or supervised; on the hub also a size such as `dinov2-base`; or what
            `load` gave, with weights of any origin.
        of: `whole`: rows of length one, the CLS token (DINOv2, MAE, supervised), the joint space of pictures and texts
            (CLIP, SigLIP), the mean patch (I-JEPA). `mean`: the mean patch token, float32. `patches`: all patch
            tokens, row by row from the top left, in half precision: float16.
        tier, device: as for `load`.
        batch_size: pictures that are read, and saved, together.
        cache: a cache, or the file of one; the user's if not given.
        engine: `local`, or `ray` to share files out among the workers of a Ray cluster: a running one, else one on
            this machine. Every worker must find the files under the same paths.
        workers: of the engine; as many as there are cores, or GPUs, if not given.
        out: a file `x.npy` for the vectors, which are then mapped from the disk and not held in memory.
        show: called with (pictures done, pictures in all).

    Raises:
        UserError: nothing to embed or nothing usable; an unknown encoder, kind or engine; an encoder without such
            features (SAM); Ray is missing; vectors that do not fit into memory or cannot be written.
    """
    _check(of, engine, batch_size, workers)
    out = _checked_file(out)
    model = Encoder(encoder, tier, device) if isinstance(encoder, str) else Encoder.of(encoder)
    kinds = ("whole", "mean", "patches") if of == "patches" else ("whole", "mean")
    keys = {kind: model.key_of(kind) for kind in kinds}
    pictures = source_of(source)
    with _opened(cache) as kept:
        known = [kept.known(path) for path in pictures.paths] if pictures.paths is not None else [None] * len(pictures)
        items: list[bytes | None] = [file.item if file and kept.has(keys[of], file.item) else None for file in known]
        del known
        todo = [number for number, item in enumerate(items) if item is None]
        labels: dict[int, Any] = {}
        skipped: list[tuple[int, str]] = []
        done, computed = len(items) - len(todo), 0
        if show:
            show(done, len(items))
        for piece in _pieces(engine, pictures, todo, model, kinds, of, kept, batch_size, workers):
            fresh = [piece.seen[number].key for number in piece.fresh]
            for kind, rows in piece.vectors.items():
                kept.put(keys[kind], zip(fresh, rows, strict=True), KINDS[kind])
            if pictures.paths is not None:  # last, for it says that the vectors are there
                kept.remember({pictures.paths[n]: KnownFile(seen.key, seen.drawn) for n, seen in piece.seen.items()})
            for number, seen in piece.seen.items():
                items[number] = seen.key
                if seen.label is not None:
                    labels[number] = seen.label
            skipped += piece.skipped
            computed += len(piece.fresh)
            done += len(piece.seen) + len(piece.skipped)
            if show:
                show(done, len(items))
        told = [(pictures.names[number], why) for number, why in sorted(skipped)]
        usable = [number for number, item in enumerate(items) if item is not None]
        if not usable:
            raise UserError(f"None of the {len(items)} pictures could be used; {told[0][0]}: {told[0][1]}.")
        vectors = _gathered([items[number] for number in usable], model, of, kept, out)
    return Embedded(
        vectors,
        [pictures.names[number] for number in usable],
        None if pictures.paths is None else [pictures.paths[number] for number in usable],
        [labels.get(number) for number in usable] if labels else None,
        told,
        computed,
    )


def _pieces(
    engine: str,
    pictures: Files | Items,
    todo: Sequence[int],
    model: Encoder,
    kinds: Sequence[str],
    of: str,
    kept: VectorCache,
    batch_size: int,
    workers: int | None,
) -> Iterator[Piece]:
    """Every picture of `todo` once, read and looked at by the engine."""
    if not todo:
        return iter(())
    key = model.key_of(of)
    if engine == "ray":
        from vfm_course.features.scale import shared_out

        return shared_out(pictures, todo, model, kinds, batch_size, kept, key, workers)
    return looked_at(
        pictures,
        todo,
        model,
        kinds,
        batch_size,
        has=lambda item: kept.has(key, item),
        side=lambda: side_of(model, kept),
        threads=workers,
    )


def _gathered(items: Sequence[bytes], model: Encoder, of: str, kept: VectorCache, out: Path | None) -> np.ndarray:
    """Rows straight into one matrix, in memory or in the file `out`, which is whole or not there.

    Raises:
        UserError: it does not fit, or cannot be written.
    """
    import psutil

    key = model.key_of(of)
    first = kept.get(key, items[0], KINDS[of])
    # The mean is as wide as a patch, and kept with them.
    shape = first.shape if of != "patches" else (-1, len(kept.get(model.key_of("mean"), items[0])))
    row = first.reshape(shape)
    shape, size = (len(items), *row.shape), len(items) * row.nbytes
    if out is None:
        if size > psutil.virtual_memory().available:
            raise UserError(
                f"These vectors take {size / 2**30:.1f} GB, more than the free memory: call again with "
                "out='vectors.npy' to have them on the disk (nothing is computed twice)."
            )
        matrix = np.empty(shape, row.dtype)
        _fill(matrix, items, key, of, kept)
        return matrix
    partial = out.with_name(f"{out.name}.partial")
    try:
        matrix = np.lib.format.open_memmap(partial, mode="w+", dtype=row.dtype, shape=shape)
        _fill(matrix, items, key, of, kept)
        matrix.flush()
        del matrix
        partial.replace(out)
    except OSError as error:
        partial.unlink(missing_ok=True)
        raise UserError(f"{str(out)!r} cannot be written: {error.strerror or error}.") from error
    return np.load(out, mmap_mode="r")


def _fill(matrix: np.ndarray, items: Sequence[bytes], key: str, of: str, kept: VectorCache) -> None:
    for at, item in enumerate(items):
        matrix[at] = kept.get(key, item, KINDS[of]).reshape(matrix.shape[1:])


def _opened(cache: VectorCache | Path | str | None) -> AbstractContextManager[VectorCache]:
    if isinstance(cache, VectorCache):
        return nullcontext(cache)
    return closing(open_cache(None if cache is None else Path(cache)))


def _check(of: str, engine: str, batch_size: int, workers: int | None) -> None:
    if of not in KINDS:
        raise UserError(f"There is no kind of feature {of!r}: choose one of {', '.join(KINDS)}.")
    if engine not in ENGINES:
        raise UserError(f"There is no engine {engine!r}: choose local (this machine) or ray (a cluster).")
    if batch_size < 1 or (workers is not None and workers < 1):
        raise UserError("The batch size and the number of workers must be 1 or more.")


def _checked_file(out: Path | str | None) -> Path | None:
    """Before anything is computed."""
    if out is None:
        return None
    out = Path(out)
    if out.suffix != ".npy" or not out.parent.is_dir():
        raise UserError(
            f"{str(out)!r} is no place for vectors: name a file that ends in .npy, in a folder that exists."
        )
    return out
