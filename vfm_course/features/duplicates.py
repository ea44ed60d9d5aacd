"""Near-duplicates: pictures that are copies of each other, resized, compressed anew or cut a little."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from vfm_course.errors import UserError
from vfm_course.features.search import blocks

if TYPE_CHECKING:
    from vfm_course.features.cache import VectorCache
    from vfm_course.features.stream import Embeddings

THRESHOLD = 0.95  # above all pairs of different drawn scenes; some plain ones come above 0.92
EXACT_UP_TO = 50_000  # rows: comparing all takes a quarter of a minute on one core, and of twice as many a minute
NEAR = 32  # rows that an index looks up for each row
ROUNDING = 1e-5  # of a cosine in float32: copies are found at a threshold of 1 too
EDGES = 2**20  # links held before the superfluous ones are dropped


@dataclass(frozen=True)
class Group:
    """Rows that hang together by cosines of `threshold` or more.

    `rows` in ascending order. `links` are the pairs (i, j, cosine), i < j, best first, that hold the group together:
    of all its pairs the strongest that join M rows, M - 1 of them. Two rows of a group may be less alike than the
    threshold when others stand between them; `pair_cosines` gives all.
    """

    rows: tuple[int, ...]
    links: tuple[tuple[int, int, float], ...]
    threshold: float


def near_duplicates(vectors: np.ndarray, threshold: float = THRESHOLD, kind: str = "auto") -> list[Group]:
    """Groups of rows that are connected by pairs at or above the threshold.

    The default was measured with the pocket DINOv2 on drawn scenes of 224 pixels. Of held-out scenes it finds all
    copies that are as they were, of half or twice the side, or saved as JPEG of quality 50; 9 in 10 of those that lost
    2 % at each edge, half of those that lost 4 %, and less than half of the mirrored ones. It joined no two scenes. For
    other models and pictures, look at the groups before you trust it.

    Args:
        vectors: (N, D), rows of length one.
        threshold: lowest cosine of a pair, above 0 and 1 at most; rounding in the sixth digit is forgiven.
        kind: exact compares every pair; ivf and hnsw look up NEAR rows for each row by an index, which now and then
            misses one, and may part a group that is larger than NEAR. auto is exact up to EXACT_UP_TO rows and ivf from
            there on. Memory does not grow with the square of N in any of them.

    Returns:
        Groups of two rows or more, the largest first, then in the order of their first rows.

    Raises:
        UserError: a threshold outside its range, no such kind, or rows that are not of length one.
    """
    from vfm_course.features.index import check_rows

    if not 0 < threshold <= 1:
        raise UserError(f"The threshold is a cosine above 0 and at most 1, not {threshold}.")
    n = len(vectors)
    check_rows(vectors)
    if n < 2:
        return []
    if kind == "auto":
        kind = "exact" if n <= EXACT_UP_TO else "ivf"
    limit = threshold - ROUNDING
    forest = _no_edges()
    waiting = [forest]
    for edges in _exact_edges(vectors, limit) if kind == "exact" else _index_edges(vectors, limit, kind):
        waiting.append(edges)
        if sum(len(some[0]) for some in waiting) > len(forest[0]) + EDGES:
            forest = _strongest(waiting, n)
            waiting = [forest]
    return _groups(_strongest(waiting, n), n, threshold)


def pair_cosines(vectors: np.ndarray, group: Group) -> np.ndarray:
    """Cosines (M, M) of every two rows of a group, in the order of its rows."""
    rows = np.asarray(vectors[list(group.rows)], dtype=np.float32)
    return rows @ rows.T


def kept_for(vectors: np.ndarray, groups: list[Group], rank: Sequence[float] | None = None) -> np.ndarray:
    """Which row is kept in each row's place.

    In each group the row of the highest rank is kept, and what is not like it is looked through again: so each row that
    goes has a kept one that is like it, and a chain of pictures that slowly change keeps several.

    Args:
        vectors: (N, D), the rows that the groups were found in.
        rank: (N,), higher is better, such as a picture's pixels; the first row of a group if not given or equal.

    Returns:
        int64 (N,): a row that is kept has its own number.
    """
    kept = np.arange(len(vectors))
    for group in groups:
        rows = np.array(group.rows)
        if rank is not None:
            rows = rows[np.argsort(-np.asarray(rank, dtype=np.float64)[rows], kind="stable")]
        matrix = np.asarray(vectors[rows], dtype=np.float32)
        left = np.arange(len(rows))
        while len(left):
            first, left = left[0], left[1:]
            alike = matrix[left] @ matrix[first] >= group.threshold - ROUNDING
            kept[rows[left[alike]]] = rows[first]
            left = left[~alike]
    return kept


def keep(vectors: np.ndarray, groups: list[Group], rank: Sequence[float] | None = None) -> np.ndarray:
    """Rows to keep, ascending, without near-duplicates; arguments as of `kept_for`."""
    return np.flatnonzero(kept_for(vectors, groups, rank) == np.arange(len(vectors)))


def embed_for_duplicates(
    folder: Path,
    tier: str | None = None,
    device: str | None = None,
    cache: VectorCache | None = None,
    show: Callable[[int, int], None] | None = None,
) -> Embeddings:
    """Every picture of a folder through DINOv2; `show` is called with (files done, files in all).

    Raises:
        UserError: no pictures, none readable, or a checkpoint that is not to be had.
    """
    from vfm_course.features.encoders import Encoder
    from vfm_course.features.images import find_images
    from vfm_course.features.stream import embed_folder, open_cache

    paths = find_images(folder)
    with nullcontext(cache) if cache else closing(open_cache()) as known:
        found = embed_folder(paths, [Encoder("dinov2", tier, device)], known, show=show)
    if not found.paths:
        name, reason = found.skipped[0]
        more = f" ({name.name}: {reason}{', and so on' if len(paths) > 1 else ''})"
        raise UserError(f"None of the {len(paths)} files in {str(folder)!r} could be used{more}.")
    return found


def file_sizes(paths: list[Path], groups: list[Group]) -> dict[int, tuple[int, int, int]]:
    """Width, height and bytes of the files whose rows are in groups; zeros of one that is gone by now."""
    from PIL import Image

    sizes = {}
    for row in (row for group in groups for row in group.rows):
        try:
            with Image.open(paths[row]) as picture:
                sizes[row] = (*picture.size, paths[row].stat().st_size)
        except OSError:
            sizes[row] = (0, 0, 0)
    return sizes


def size_ranks(sizes: dict[int, tuple[int, int, int]], n: int) -> np.ndarray:
    """Ranks (N,) for `kept_for`: more pixels first, then more bytes.

    What was resized, cut or compressed anew has fewer of the one or of the other, so that the original is kept where it
    is still there; of equal files the first in the order of their names. A copy that was enlarged wins wrongly.
    """
    facts = {row: (width * height, count) for row, (width, height, count) in sizes.items()}
    order = {fact: place for place, fact in enumerate(sorted(set(facts.values())), start=1)}
    ranks = np.zeros(n)
    for row, fact in facts.items():
        ranks[row] = order[fact]
    return ranks


def _no_edges() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    return np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0, np.float32)


def _exact_edges(vectors: np.ndarray, limit: float) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Pairs (i, j, cosine) at or above the limit, i < j, in blocks."""
    vectors = np.asarray(vectors, dtype=np.float32)
    for start, stop in blocks(len(vectors)):
        block = vectors[start:stop] @ vectors[start:].T  # pairs with later rows only
        rows, columns = np.divmod(np.flatnonzero(block >= limit), block.shape[1])
        later = rows < columns
        rows, columns = rows[later], columns[later]
        yield rows + start, columns + start, block[rows, columns]


def _index_edges(vectors: np.ndarray, limit: float, kind: str) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Like `_exact_edges`, of each row's NEAR most similar rows."""
    from vfm_course.features.index import BLOCK, build_index

    yield _copies(vectors)  # more of them than NEAR only find each other by luck
    index = build_index(vectors, kind)
    for start in range(0, len(vectors), BLOCK):
        found, cosines = index.search(vectors[start : start + BLOCK], NEAR)
        own = np.arange(start, start + len(found))[:, None]
        rows, columns = np.nonzero((cosines >= limit) & (found != own))
        here, there = rows + start, found[rows, columns]
        yield np.minimum(here, there), np.maximum(here, there), cosines[rows, columns]


def _copies(vectors: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Each row that is equal to an earlier one to the last bit, with the first of these."""
    first: dict[int, int] = {}
    pairs = [(first.setdefault(hash(row.tobytes()), number), number) for number, row in enumerate(vectors)]
    one, other = np.array([pair for pair in pairs if pair[0] != pair[1]], dtype=np.int64).reshape(-1, 2).T
    same = np.array([np.array_equal(vectors[i], vectors[j]) for i, j in zip(one, other, strict=True)], dtype=bool)
    return one[same], other[same], np.ones(int(same.sum()), np.float32)


def _strongest(
    edges: list[tuple[np.ndarray, np.ndarray, np.ndarray]], n: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Of all these links those of the strongest forest: the same groups, N - 1 links at most."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import minimum_spanning_tree

    one, other, cosines = (np.concatenate(parts) for parts in zip(*edges, strict=True))
    if len(one) == 0:
        return one, other, cosines
    _, first = np.unique(one * n + other, return_index=True)  # an index finds most pairs from both sides
    one, other, cosines = one[first], other[first], cosines[first]
    lengths = 2 - cosines.astype(np.float64)  # above zero, for a zero is no link to scipy
    tree = minimum_spanning_tree(coo_array((lengths, (one, other)), shape=(n, n)).tocsr()).tocoo()
    rows, columns = np.minimum(tree.row, tree.col), np.maximum(tree.row, tree.col)
    return rows.astype(np.int64), columns.astype(np.int64), (2 - tree.data).astype(np.float32)


def _groups(forest: tuple[np.ndarray, np.ndarray, np.ndarray], n: int, threshold: float) -> list[Group]:
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    one, other, cosines = forest
    _, part = connected_components(coo_array((np.ones(len(one)), (one, other)), shape=(n, n)), directed=False)
    members: dict[int, list[int]] = {}
    links: dict[int, list[tuple[int, int, float]]] = {}
    for row in np.unique(np.concatenate([one, other])).tolist():
        members.setdefault(int(part[row]), []).append(row)
    for i, j, cosine in zip(one.tolist(), other.tolist(), cosines.tolist(), strict=True):
        links.setdefault(int(part[i]), []).append((i, j, cosine))
    groups = [
        Group(tuple(rows), tuple(sorted(links[number], key=lambda link: (-link[2], link))), threshold)
        for number, rows in members.items()
    ]
    return sorted(groups, key=lambda group: (-len(group.rows), group.rows))
