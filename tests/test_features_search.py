"""Neighbours by comparing all, by an index, and the pairs on which groups and similarity disagree."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from tiny.vectors import like_embeddings, unit

from vfm_course.errors import UserError
from vfm_course.features import search
from vfm_course.features.search import approximate_neighbours, exact_neighbours, extreme_pairs, recall

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def vectors():
    return like_embeddings(3000, seed=0)


def test_recall_counts_true_neighbours_in_any_order():
    exact = np.array([[1, 2], [3, 4]])
    assert recall(exact, exact) == recall(exact[:, ::-1], exact) == 1
    assert recall(np.array([[2, 9], [-1, -1]]), exact) == 0.25


def test_the_index_finds_nearly_all_and_more_effort_finds_more(vectors):
    exact, cosines = exact_neighbours(vectors, 5)
    found, values = approximate_neighbours(vectors, 5)
    assert found.shape == values.shape == (3000, 5)
    assert recall(found, exact) > 0.97
    assert np.abs(values[:, 0] - cosines[:, 0]).mean() < 1e-3
    hasty, careful = (recall(approximate_neighbours(vectors, 5, effort)[0], exact) for effort in (6, 200))
    assert hasty < careful and careful > 0.995


def test_the_index_never_gives_a_row_itself_and_orders_best_first(vectors):
    copies = np.concatenate([vectors[:300], vectors[:300]])
    found, values = approximate_neighbours(copies, 4)
    assert (found != np.arange(600)[:, None]).all() and (np.diff(values, axis=1) <= 0).all()
    assert (found[:, 0] == (np.arange(600) + 300) % 600).mean() > 0.97  # a copy is a neighbour
    for row, (others, cosines) in enumerate(zip(found, values, strict=True)):
        assert len(set(others)) == 4 and np.allclose(copies[others] @ copies[row], cosines, atol=1e-5)


@pytest.mark.parametrize("find", [exact_neighbours, approximate_neighbours])
def test_fewer_rows_than_neighbours(vectors, find):
    assert find(vectors[:1], 3)[0].shape == (1, 0)
    found, values = find(vectors[:3], 5)
    assert sorted(found[0]) == [1, 2] and values.shape == (3, 2)


def test_the_index_refuses_rows_that_are_not_of_length_one(vectors):
    with pytest.raises(UserError, match="Row 0 has the length 2"):
        approximate_neighbours(2 * vectors[:20], 3)


def test_blocks_of_any_size_give_the_same(vectors, monkeypatch):
    few, groups = vectors[:200], np.arange(200) % 3
    whole = exact_neighbours(few, 3), extreme_pairs(few, groups, 7)
    for cells in (1, 7 * 200, 199 * 200):
        monkeypatch.setattr(search, "CELLS", cells)
        (indices, _), pairs = exact_neighbours(few, 3), extreme_pairs(few, groups, 7)
        assert (indices == whole[0][0]).all()
        for found, wanted in zip(pairs, whole[1], strict=True):
            assert [pair[:2] for pair in found] == [pair[:2] for pair in wanted]


def test_pairs_against_every_pair(vectors):
    few, groups = vectors[:60], np.arange(60) // 5 % 4
    cosines = few @ few.T
    every = [(i, j, float(cosines[i, j])) for i in range(60) for j in range(i + 1, 60)]
    far, near = extreme_pairs(few, groups, 6)
    same = sorted((p for p in every if groups[p[0]] == groups[p[1]]), key=lambda p: p[2])[:6]
    other = sorted((p for p in every if groups[p[0]] != groups[p[1]]), key=lambda p: -p[2])[:6]
    assert [p[:2] for p in far] == [p[:2] for p in same] and [p[:2] for p in near] == [p[:2] for p in other]
    assert extreme_pairs(few, np.zeros(60), 6)[1] == [] and extreme_pairs(few, np.arange(60), 6)[0] == []
    assert extreme_pairs(few, groups, 0) == ([], [])


def test_ten_thousand_copies_are_no_trouble():
    """All pairs tie: the first in the order of the files are taken, without a list of fifty million."""
    same = unit(np.ones((10_000, 4)))
    far, near = extreme_pairs(same, np.zeros(10_000), 3)
    assert [pair[:2] for pair in far] == [(0, 1), (0, 2), (0, 3)] and near == []


@pytest.mark.parametrize("order", ["faiss, torch", "torch, faiss"])
def test_faiss_and_torch_share_a_process_with_several_threads(order):
    """Both bring an OpenMP library of their own."""
    code = f"""
import {order}
import numpy as np
torch.set_num_threads(2)
faiss.omp_set_num_threads(2)
from vfm_course.features.search import approximate_neighbours
for _ in range(3):
    x = torch.nn.functional.normalize(torch.randn(600, 32) @ torch.randn(32, 32))
    approximate_neighbours(x.numpy(), 3)
print("fine")
"""
    environment = {key: value for key, value in os.environ.items() if key != "OMP_NUM_THREADS"}
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.stdout == "fine\n" and done.returncode == 0, done.stderr


def test_the_toolkit_says_when_it_used_the_index(tmp_path, monkeypatch):
    from vfm_course import toolkit
    from vfm_course.features.cache import VectorCache

    def run():
        return toolkit.run(ROOT / "data" / "images", ["a cat", "a car"], tier="pocket", cache=cache)

    cache = VectorCache(tmp_path / "cache.sqlite")
    exact = run()
    assert not any("HNSW" in note for note in exact.notes)
    monkeypatch.setattr(toolkit, "INDEX_FROM", 48)
    indexed = run()
    assert any("HNSW" in note for note in indexed.notes)
    pairs = list(zip(exact.rows, indexed.rows, strict=True))
    assert sum(one.neighbours[0][0] == other.neighbours[0][0] for one, other in pairs) >= 46
