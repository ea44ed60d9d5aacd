"""Nearest neighbours: exact in blocks, or by an index, so that memory does not grow with the square of the folder."""

from __future__ import annotations

import numpy as np

CELLS = 2**22  # cosines held at once: 16 MB, however many pictures there are


def exact_neighbours(vectors: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """The k most similar other rows of each row.

    Args:
        vectors: float32 (N, D), rows of length one.
        k: how many; N - 1 at most are found.

    Returns:
        indices (N, k) and cosines (N, k), best first. A row is never its own neighbour, by index and not by rank: a
        copy of it may be.
    """
    n = len(vectors)
    k = min(k, n - 1)
    indices = np.empty((n, max(k, 0)), dtype=np.int64)
    cosines = np.empty((n, max(k, 0)), dtype=np.float32)
    if k < 1:
        return indices, cosines
    for start, stop in blocks(n):
        block = vectors[start:stop] @ vectors.T
        block[np.arange(stop - start), np.arange(start, stop)] = -np.inf
        best = np.argpartition(block, n - k, axis=1)[:, n - k :]
        values = np.take_along_axis(block, best, axis=1)
        order = np.lexsort((best, -values), axis=1)  # ties in the order of the files
        indices[start:stop] = np.take_along_axis(best, order, axis=1)
        cosines[start:stop] = np.take_along_axis(values, order, axis=1)
    return indices, cosines


def approximate_neighbours(vectors: np.ndarray, k: int, effort: int | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Like `exact_neighbours`, by an HNSW index: time grows about as N log N, and a few neighbours are missed.

    Args:
        vectors: float32 (N, D), rows of length one.
        k: how many; N - 1 at most are found.
        effort: candidates kept on the way, k + 1 at least; more is slower and misses less. `index.EFFORT` if not given.

    Returns:
        indices (N, k) and cosines (N, k), best first; where a row's search ended early, the missing places hold -1 and
        -inf. `recall` measures what is missed.

    Raises:
        UserError: rows that are not of length one.
    """
    from vfm_course.features.index import build_index

    n = len(vectors)
    k = max(0, min(k, n - 1))
    indices = np.empty((n, k), dtype=np.int64)
    cosines = np.empty((n, k), dtype=np.float32)
    if k < 1:
        return indices, cosines
    index = build_index(vectors, "hnsw", effort)
    for start, stop in blocks(n):
        found, values = index.search(vectors[start:stop], k + 1)
        values[found == np.arange(start, stop)[:, None]] = -np.inf  # behind all others
        order = np.argsort(-values, axis=1, kind="stable")[:, :k]
        best = np.take_along_axis(values, order, axis=1)
        indices[start:stop] = np.where(np.isinf(best), -1, np.take_along_axis(found, order, axis=1))
        cosines[start:stop] = best
    return indices, cosines


def recall(found: np.ndarray, exact: np.ndarray) -> float:
    """Recall@k: the share of the true neighbours `exact` (N, k) that `found` (N, k) holds, in any order."""
    hits = sum(len(np.intersect1d(one, other)) for one, other in zip(found, exact, strict=True))
    return hits / exact.size if exact.size else 1.0


def extreme_pairs(
    vectors: np.ndarray, groups: np.ndarray, n: int
) -> tuple[list[tuple[int, int, float]], list[tuple[int, int, float]]]:
    """Where groups and similarity disagree most, in blocks.

    Args:
        vectors: float32 (N, D), rows of length one.
        groups: (N,) a number for each row, such as its label's.
        n: how many pairs each way at most.

    Returns:
        The n pairs (i, j, cosine) of one group that are least alike, and the n of two groups that are most alike, each
        i < j, the most extreme first.
    """
    far: list[tuple[int, int, float]] = []
    near: list[tuple[int, int, float]] = []
    for start, stop in blocks(len(vectors)):
        block = vectors[start:stop] @ vectors[start:].T  # a row's pairs with later rows only
        later = np.arange(stop - start)[:, None] < np.arange(len(vectors) - start)[None, :]
        same = groups[start:stop, None] == groups[None, start:]
        far = _lowest(far, block, later & same, start, n)
        near = _lowest(near, np.negative(block, out=block), later & ~same, start, n)
    return far, [(i, j, -value) for i, j, value in near]


def blocks(n: int) -> list[tuple[int, int]]:
    """Row ranges (start, stop) such that rows times n is CELLS at most."""
    rows = max(1, CELLS // max(n, 1))
    return [(start, min(start + rows, n)) for start in range(0, n, rows)]


def _lowest(
    kept: list[tuple[int, int, float]], block: np.ndarray, allowed: np.ndarray, start: int, n: int
) -> list[tuple[int, int, float]]:
    """The n lowest of the pairs kept so far and of the allowed values in the block (B, M) from row `start` on."""
    if n == 0:
        return []
    if len(kept) == n:  # nearly nothing in a later block is lower than the n lowest of the earlier ones
        allowed &= block < kept[-1][2]
    flat = np.flatnonzero(allowed)
    values = block.ravel()[flat]
    if len(values) > n:  # of equal values those first in the order of the files
        last = np.partition(values, n - 1)[n - 1]
        lower, equal = np.flatnonzero(values < last), np.flatnonzero(values == last)
        best = np.concatenate([lower, equal[: n - len(lower)]])
        flat, values = flat[best], values[best]
    rows, columns = np.divmod(flat, block.shape[1])
    new = zip((rows + start).tolist(), (columns + start).tolist(), values.tolist(), strict=True)
    return sorted([*kept, *new], key=lambda pair: (pair[2], pair))[:n]
