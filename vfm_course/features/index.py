"""Search in a collection of unit vectors: exact, along a graph (HNSW), or in the nearest of many lists (IVF)."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import numpy as np

from vfm_course.errors import UserError
from vfm_course.features.search import recall

if TYPE_CHECKING:
    import faiss

KINDS = ("exact", "hnsw", "ivf")
LINKS = 32  # of each row in an HNSW graph; more: slower to build, higher recall
EFFORT = 64  # HNSW: rows looked at while a row is searched for or put in place; more: slower, higher recall
PROBES = 16  # IVF: lists looked into; more: slower, higher recall
STEPS = {"hnsw": (16, 32, 64, 128, 256), "ivf": (1, 2, 4, 8, 16, 32, 64)}  # of `recall_curve`
BLOCK = 2**14  # rows copied or searched for at once: 25 MB at 384 numbers a row
PER_LIST = 50  # rows a list is trained on
SAMPLE = 2**17  # rows that all lists together are trained on at most: 200 MB at 384 numbers a row
TOLERANCE = 1e-3  # of a row's length
MARK = b"vfm_course index"
TRAILER = len(MARK) + 32  # bytes; SHA-256 has 32


@dataclass
class Index:
    """A collection that can be searched; `build_index` and `load_index` make one.

    `kind` is exact, hnsw or ivf; `effort` is HNSW's candidates or IVF's lists looked into, None for exact;
    `inner` is faiss' own index.
    """

    kind: str
    effort: int | None
    inner: faiss.Index

    def __len__(self) -> int:
        return self.inner.ntotal

    @property
    def width(self) -> int:
        """Numbers a row."""
        return self.inner.d

    def add(self, vectors: np.ndarray) -> None:
        """Appends rows (N, D), in blocks: of a memmap a block is in memory at a time, beside what the index keeps.

        IVF's lists stay as they were trained.

        Raises:
            UserError: the rows are not as wide as the others, not of length one, or not numbers.
        """
        _check_shape(vectors, self.width)
        for start in range(0, len(vectors), BLOCK):
            self.inner.add(_checked(vectors[start : start + BLOCK], range(start, len(vectors))))

    def search(self, queries: np.ndarray, k: int, effort: int | None = None) -> tuple[np.ndarray, np.ndarray]:
        """The k rows most similar to each query.

        Args:
            queries: (Q, D), rows of length one.
            k: how many.
            effort: in place of the index' own; more is slower and misses less. HNSW keeps k candidates at least, and
                IVF has no more lists than it has. Exact search takes no notice of it.

        Returns:
            indices int64 (Q, k) and cosines float32 (Q, k), best first; -1 and -inf where no row is left or was found.

        Raises:
            UserError: k or effort is below 1; the queries are of another width, not of length one, or not numbers.
        """
        if k < 1:
            raise UserError(f"k is how many neighbours to find, 1 or more, not {k}.")
        _check_shape(queries, self.width)
        parameters = self._parameters(self.effort if effort is None else _chosen_effort(self.kind, effort), k)
        indices = np.empty((len(queries), k), dtype=np.int64)
        cosines = np.empty((len(queries), k), dtype=np.float32)
        for start in range(0, len(queries), BLOCK):
            block = _checked(queries[start : start + BLOCK], range(start, len(queries)), "Query")
            values, found = self.inner.search(block, k, params=parameters)
            values = np.where(found < 0, -np.inf, values)
            order = np.lexsort((found, -values), axis=1)  # ties in the order of the rows
            indices[start : start + BLOCK] = np.take_along_axis(found, order, axis=1)
            cosines[start : start + BLOCK] = np.take_along_axis(values, order, axis=1)
        return indices, cosines

    def save(self, path: Path) -> None:
        """Writes the index as faiss does, and behind that a checksum; the file is written whole or not at all.

        `faiss.read_index` reads it too.

        Raises:
            UserError: the file cannot be written.
        """
        import faiss

        partial = path.with_name(path.name + ".partial")
        digest = hashlib.sha256()
        try:
            with partial.open("wb") as file:

                def write(data: bytes) -> None:
                    digest.update(data)
                    file.write(data)

                faiss.write_index(self.inner, faiss.PyCallbackIOWriter(write))
                file.write(MARK + digest.digest())
            os.replace(partial, path)
        except (OSError, RuntimeError) as error:
            reason = getattr(error, "strerror", None) or "the disk may be full"
            raise UserError(f"The index cannot be written to {str(path)!r}: {reason}.") from None
        finally:
            partial.unlink(missing_ok=True)

    def _parameters(self, effort: int | None, k: int) -> faiss.SearchParameters | None:
        import faiss

        if self.kind == "hnsw":
            return faiss.SearchParametersHNSW(efSearch=max(effort, k))
        if self.kind == "ivf":
            return faiss.SearchParametersIVF(nprobe=min(effort, self.inner.nlist))
        return None


def build_index(vectors: np.ndarray, kind: str = "exact", effort: int | None = None, lists: int | None = None) -> Index:
    """An index of these rows.

    exact: every row is compared. hnsw: each row is linked to rows near it, and a search walks along the links towards
    the query. ivf: rows are sorted into lists by the nearest of as many centres, and a search looks into the lists
    whose centres are nearest; the centres are found by k-means on a sample of the rows, seeded, SAMPLE rows at most.

    Args:
        vectors: (N, D), rows of length one, float32 or what becomes it; a memmap is read block by block.
        kind: exact, hnsw or ivf.
        effort: hnsw's candidates while building and searching (EFFORT if not given), or ivf's lists looked into
            (PROBES).
        lists: of ivf, about 4 sqrt(N) if not given. More than N become N without a word: each list begins with a row
            of its own, and more lists would stay empty.

    Raises:
        UserError: no rows; rows that are not of length one or not numbers; no such kind; effort or lists below 1.
    """
    import faiss

    if kind not in KINDS:
        raise UserError(f"There is no index {kind!r}: choose from {', '.join(KINDS)}.")
    _check_shape(vectors)
    n, width = vectors.shape
    if n == 0:
        raise UserError("An index needs at least one row to find: the collection is empty.")
    effort = _chosen_effort(kind, effort)
    if kind == "exact":
        inner = faiss.IndexFlatIP(width)
    elif kind == "hnsw":
        inner = faiss.IndexHNSWFlat(width, LINKS, faiss.METRIC_INNER_PRODUCT)
        inner.hnsw.efConstruction = inner.hnsw.efSearch = effort
    else:
        if lists is not None and lists < 1:
            raise UserError(f"An ivf index needs 1 list or more, not {lists}.")
        inner = _trained(vectors, min(n, lists or round(4 * n**0.5)))
        inner.nprobe = effort
    index = Index(kind, effort, inner)
    index.add(vectors)
    return index


def load_index(path: Path) -> Index:
    """An index that `Index.save` wrote.

    Raises:
        UserError: the file is missing, damaged, or another program's.
    """
    import faiss

    try:
        with path.open("rb") as file:
            body = file.seek(0, os.SEEK_END) - TRAILER
            # Checked first, for faiss believes what it reads: a damaged link would be followed out of the memory.
            if body < 0 or not _sound(file, body):
                raise UserError(f"{str(path)!r} is damaged or was not written by this course: build the index again.")
            file.seek(0)
            inner = faiss.read_index(faiss.PyCallbackIOReader(file.read))
    except OSError as error:
        raise UserError(f"The index {str(path)!r} cannot be read: {error.strerror or error}.") from None
    if isinstance(inner, faiss.IndexHNSWFlat):
        return Index("hnsw", inner.hnsw.efSearch, inner)
    if isinstance(inner, faiss.IndexIVFFlat):
        return Index("ivf", inner.nprobe, inner)
    return Index("exact", None, inner)


def check_rows(vectors: np.ndarray) -> None:
    """Refuses what cannot be compared by cosine, looking at a block at a time.

    Raises:
        UserError: not a matrix, or a row that is not of length one or not numbers.
    """
    _check_shape(vectors)
    for start in range(0, len(vectors), BLOCK):
        _checked(vectors[start : start + BLOCK], range(start, len(vectors)))


def recall_curve(
    vectors: np.ndarray, queries: np.ndarray, k: int = 10, efforts: Mapping[str, Sequence[int]] | None = None
) -> list[dict]:
    """What each kind of index finds and how long it takes, effort by effort.

    Where rows are copies of each other their cosines tie, and an index that finds another copy counts as wrong.

    Args:
        vectors: (N, D), rows of length one.
        queries: (Q, D), rows of length one.
        k: neighbours of each query; N at most.
        efforts: the efforts to try for each kind; STEPS if not given.

    Returns:
        Records with `kind`, `effort` (None for exact, which comes first), `recall` (0 to 1, against exact), `seconds`
        (a query, all of them given at once, the best of three runs) and `build_seconds`.

    Raises:
        UserError: as `build_index` and `Index.search`; no queries.
    """
    if len(queries) == 0:
        raise UserError("Recall is measured on queries: give at least one.")
    k = min(k, len(vectors))
    records: list[dict] = []
    truth = None
    for kind, steps in ({"exact": (None,)} | dict(STEPS if efforts is None else efforts)).items():
        start = time.perf_counter()
        index = build_index(vectors, kind)
        built = time.perf_counter() - start
        for effort in steps:
            runs = []
            for _ in range(3):
                start = time.perf_counter()
                found, _ = index.search(queries, k, effort)
                runs.append((time.perf_counter() - start) / len(queries))
            truth = found if truth is None else truth
            record = {"kind": kind, "effort": effort, "recall": recall(found, truth)}
            records.append(record | {"seconds": min(runs), "build_seconds": built})
    return records


def _chosen_effort(kind: str, effort: int | None) -> int | None:
    if effort is not None and effort < 1:
        raise UserError(f"The effort of a search is 1 or more, not {effort}.")
    if kind == "exact":
        return None
    return effort or (EFFORT if kind == "hnsw" else PROBES)


def _trained(vectors: np.ndarray, lists: int) -> faiss.IndexIVFFlat:
    """Empty lists around centres that k-means finds."""
    import faiss

    n, width = vectors.shape
    inner = faiss.IndexIVFFlat(faiss.IndexFlatIP(width), width, lists, faiss.METRIC_INNER_PRODUCT)
    inner.cp.min_points_per_centroid = 1  # or faiss warns of small collections
    inner.cp.max_points_per_centroid = SAMPLE  # the sample is drawn here
    some = min(n, max(lists, min(SAMPLE, PER_LIST * lists)))
    # In order, for a memmap is on a disk.
    rows = np.sort(np.random.default_rng(0).choice(n, some, replace=False))
    inner.train(_checked(vectors[rows], rows))
    return inner


def _check_shape(vectors: np.ndarray, width: int | None = None) -> None:
    if vectors.ndim != 2:
        raise UserError(f"Vectors are the rows of a matrix (N, D); these have the shape {vectors.shape}.")
    if width is not None and vectors.shape[1] != width:
        raise UserError(f"The index holds rows of {width} numbers, and these have {vectors.shape[1]}.")


def _checked(rows: np.ndarray, numbers: Sequence[int] | np.ndarray, name: str = "Row") -> np.ndarray:
    """The block (B, D) as float32; `numbers` says which rows they are."""
    rows = np.ascontiguousarray(rows, dtype=np.float32)
    lengths = np.sqrt(np.einsum("nd,nd->n", rows, rows))
    wrong = np.flatnonzero(~(np.abs(lengths - 1) <= TOLERANCE))
    if len(wrong):
        number, length = numbers[wrong[0]], lengths[wrong[0]]
        if not np.isfinite(length):
            raise UserError(f"{name} {number} holds something that is no finite number.")
        raise UserError(f"{name} {number} has the length {length:.3g}: divide each row by its length first.")
    return rows


def _sound(file: BinaryIO, body: int) -> bool:
    """Whether the trailer is this course's and fits the `body` bytes before it."""
    digest = hashlib.sha256()
    file.seek(0)
    while (left := body - file.tell()) and (data := file.read(min(left, 2**20))):
        digest.update(data)
    return file.read() == MARK + digest.digest()
