"""Nearest neighbours: exact in blocks, so that memory does not grow with the square of the folder."""

from __future__ import annotations

import numpy as np

BLOCK = 1024  # rows compared at once: 40 MB for ten thousand pictures


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
    for start in range(0, n, BLOCK):
        rows = slice(start, min(start + BLOCK, n))
        block = vectors[rows] @ vectors.T
        block[np.arange(rows.stop - start), np.arange(start, rows.stop)] = -np.inf
        best = np.argpartition(-block, k - 1, axis=1)[:, :k]
        values = np.take_along_axis(block, best, axis=1)
        order = np.lexsort((best, -values), axis=1)  # ties in the order of the files
        indices[rows] = np.take_along_axis(best, order, axis=1)
        cosines[rows] = np.take_along_axis(values, order, axis=1)
    return indices, cosines


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
    for start in range(0, len(vectors), BLOCK):
        stop = min(start + BLOCK, len(vectors))
        block = vectors[start:stop] @ vectors.T
        later = np.arange(len(vectors))[None, :] > np.arange(start, stop)[:, None]
        same = groups[start:stop, None] == groups[None, :]
        far += _lowest(np.where(later & same, block, np.inf), n, start)
        near += [(i, j, -value) for i, j, value in _lowest(np.where(later & ~same, -block, np.inf), n, start)]
        far = sorted(far, key=lambda pair: (pair[2], pair))[:n]
        near = sorted(near, key=lambda pair: (-pair[2], pair))[:n]
    return far, near


def _lowest(values: np.ndarray, n: int, start: int) -> list[tuple[int, int, float]]:
    flat = values.ravel()
    n = min(n, flat.size)
    best = np.argpartition(flat, n - 1)[:n] if n else []
    return [(start + int(p // values.shape[1]), int(p % values.shape[1]), float(flat[p])) for p in best
            if np.isfinite(flat[p])]  # fmt: skip
