"""Embeddings laid out in a plane, to be looked at."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from vfm_course.errors import UserError

METHODS = ("umap", "pca")


def plane(vectors: np.ndarray, method: str = "umap", seed: int = 0, neighbours: int = 15) -> np.ndarray:
    """Puts each row in a plane, float32 (N, 2).

    UMAP (McInnes et al. 2018) keeps near what is near and cares little for what is far: sizes of islands and distances
    between them mean nothing, and islands may appear in noise. PCA keeps large distances, and takes no time.

    Args:
        vectors: (N, D); their directions count, not their lengths.
        method: `umap` or `pca`.
        seed: of UMAP's random steps; the same seed gives the same plane on the same machine.
        neighbours: how many pictures UMAP takes for near ones.

    Raises:
        UserError: no such method, or fewer than four pictures.
    """
    if method not in METHODS:
        raise UserError(f"There is no method {method!r}: choose umap or pca.")
    if len(vectors) < 4:
        raise UserError(f"{len(vectors)} pictures make no map: give at least four.")
    vectors = np.asarray(vectors, dtype=np.float32)
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True).clip(1e-12)
    centred = unit - unit.mean(axis=0)
    _, _, directions = np.linalg.svd(centred, full_matrices=False)
    if method == "pca":
        largest = directions[np.arange(2), np.abs(directions[:2]).argmax(axis=1)]
        return centred @ (directions[:2] * np.sign(largest)[:, None]).T
    from umap import UMAP

    # One job: with a seed UMAP allows no more, and warns if it has to say so.
    reducer = UMAP(n_neighbors=min(neighbours, len(unit) - 1), min_dist=0.3, init="pca", random_state=seed, n_jobs=1)
    return reducer.fit_transform(unit).astype(np.float32)


def neighbours_agree(vectors: np.ndarray, groups: Sequence[str], k: int = 10) -> tuple[float, float]:
    """The share of the k most similar other rows (by cosine, in all D dimensions) of the same group; and by chance."""
    vectors, groups = np.asarray(vectors, dtype=np.float32), np.asarray(groups)
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True).clip(1e-12)
    cosine = unit @ unit.T
    np.fill_diagonal(cosine, -np.inf)
    nearest = np.argsort(-cosine, axis=1, kind="stable")[:, : min(k, len(unit) - 1)]
    same = groups[:, None] == groups[None, :]
    by_chance = (same.sum() - len(same)) / (len(same) * (len(same) - 1))
    return float(np.take_along_axis(same, nearest, axis=1).mean()), float(by_chance)
