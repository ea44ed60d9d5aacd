"""The index: exact, HNSW and IVF against every cosine; odd collections; files."""

import os

import numpy as np
import pytest
from tiny.vectors import like_embeddings, unit

from vfm_course.errors import UserError
from vfm_course.features import index as module
from vfm_course.features.index import build_index, load_index, recall_curve
from vfm_course.features.search import recall

KINDS = ("exact", "hnsw", "ivf")


@pytest.fixture(scope="module")
def rows():
    """The last 100 are the queries."""
    return like_embeddings(4100, seed=1)


@pytest.fixture(scope="module")
def truth(rows):
    cosines = rows[4000:] @ rows[:4000].T
    best = np.argsort(-cosines, axis=1)[:, :10]
    return best, np.take_along_axis(cosines, best, axis=1)


def test_exact_is_every_cosine_sorted(rows, truth):
    found, cosines = build_index(rows[:4000]).search(rows[4000:], 10)
    assert (found == truth[0]).mean() > 0.999 and np.allclose(cosines, truth[1], atol=1e-5)
    assert found.dtype == np.int64 and cosines.dtype == np.float32


@pytest.mark.parametrize("kind", ["hnsw", "ivf"])
def test_cosines_are_those_of_the_rows_found_and_best_first(rows, truth, kind):
    found, cosines = build_index(rows[:4000], kind).search(rows[4000:], 10)
    assert recall(found, truth[0]) > (0.8 if kind == "ivf" else 0.97)
    assert (np.diff(cosines, axis=1) <= 0).all()
    for query, others, values in zip(rows[4000:], found, cosines, strict=True):
        assert np.allclose(rows[others] @ query, values, atol=1e-5) and len(set(others)) == 10


def test_ivf_finds_more_with_every_probe_and_all_with_all_lists(rows, truth):
    index = build_index(rows[:4000], "ivf")
    assert index.inner.nlist == round(4 * 4000**0.5)
    shares = [recall(index.search(rows[4000:], 10, probes)[0], truth[0]) for probes in (1, 2, 4, 16, 64)]
    assert all(one < other for one, other in zip(shares, shares[1:], strict=False))
    assert shares[0] < 0.8 and shares[-1] > 0.98
    assert recall(index.search(rows[4000:], 10, 10_000)[0], truth[0]) == 1  # more probes than lists


def test_the_effort_given_at_building_is_the_one_used(rows):
    for kind, low, high in (("ivf", 1, 16), ("hnsw", 4, 64)):
        index = build_index(rows[:4000], kind, effort=low)
        own, asked, more = (index.search(rows[4000:], 3, effort)[0] for effort in (None, low, high))
        assert (own == asked).all() and (own != more).any()


@pytest.mark.parametrize("kind", KINDS)
def test_few_rows_and_more_neighbours_than_rows(rows, kind):
    for n in (1, 2):
        found, cosines = build_index(rows[:n], kind).search(rows[:1], 4)
        assert sorted(found[0, :n]) == list(range(n)) and found[0, 0] == 0
        assert (found[0, n:] == -1).all() and np.isneginf(cosines[0, n:]).all()
        assert cosines[0, 0] == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_copies_only(kind):
    same = unit(np.ones((300, 8)))
    found, cosines = build_index(same, kind).search(same[:2], 5)
    assert np.allclose(cosines, 1, atol=1e-5) and all(len(set(row)) == 5 for row in found)


@pytest.mark.parametrize("kind", KINDS)
def test_a_memmap_is_read_in_blocks(rows, kind, tmp_path, monkeypatch):
    np.save(tmp_path / "rows.npy", rows[:700].astype(np.float64))
    monkeypatch.setattr(module, "BLOCK", 256)
    seen, checked = [], module._checked
    monkeypatch.setattr(module, "_checked", lambda block, *a: seen.append(len(block)) or checked(block, *a))
    index = build_index(np.load(tmp_path / "rows.npy", mmap_mode="r"), kind, lists=4)
    # IVF's sample comes first: PER_LIST rows a list.
    assert seen == ([200] if kind == "ivf" else []) + [256, 256, 188]
    found, _ = index.search(rows[:700], 1)
    assert len(index) == 700 and (found[:, 0] == np.arange(700)).mean() > 0.99


def test_the_sample_of_ivf_is_bounded(rows, monkeypatch):
    seen, checked = [], module._checked
    monkeypatch.setattr(module, "_checked", lambda block, *a: seen.append(len(block)) or checked(block, *a))
    monkeypatch.setattr(module, "SAMPLE", 500)
    build_index(rows[:4000], "ivf", lists=40)
    assert seen[0] == 500


def test_rows_can_be_added_later(rows):
    index = build_index(rows[:50], "hnsw")
    index.add(rows[50:80])
    assert index.search(rows[60:61], 1)[0][0, 0] == 60 and len(index) == 80


def test_more_lists_than_rows_become_as_many(rows, capfd):
    index = build_index(rows[:20], "ivf", lists=500)
    assert index.inner.nlist == 20 and index.search(rows[:20], 1)[0][:, 0].tolist() == list(range(20))
    assert build_index(rows[:200], "ivf").inner.nlist == round(4 * 200**0.5)
    assert capfd.readouterr() == ("", "")  # faiss warns of few rows, if it is let


def _with(rows: np.ndarray, value: float) -> np.ndarray:
    rows = rows[:9].copy()
    rows[7] *= value
    return rows


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda rows: rows[:0], "the collection is empty"),
        (lambda rows: rows[0], "rows of a matrix"),
        (lambda rows: _with(rows, 0.9), "Row 7 has the length 0.9"),
        (lambda rows: _with(rows, 0), "Row 7 has the length 0:"),
        (lambda rows: _with(rows, np.nan), "Row 7 holds something that is no finite number"),
        (lambda rows: _with(rows, np.inf), "Row 7 holds something that is no finite number"),
    ],
)
def test_bad_rows_are_one_sentence(rows, kind, change, sentence):
    with pytest.raises(UserError, match=sentence):
        build_index(change(rows), kind)


@pytest.mark.parametrize("kind", KINDS)
def test_bad_questions_are_one_sentence(rows, kind):
    index = build_index(rows[:30], kind)
    for queries, k, effort, sentence in (
        (rows[:2], 0, None, "1 or more, not 0"),
        (rows[:2, :5], 3, None, "rows of 96 numbers, and these have 5"),
        (_with(rows, 2), 3, None, "Query 7 has the length 2"),
        (_with(rows, np.nan), 3, None, "Query 7 holds"),
        (rows[0], 3, None, "rows of a matrix"),
        (rows[:2], 3, 0, "effort of a search is 1 or more"),
    ):
        with pytest.raises(UserError, match=sentence):
            index.search(queries, k, effort)
    assert index.search(rows[:0], 3)[0].shape == (0, 3)
    with pytest.raises(UserError, match="have 5"):
        index.add(rows[:2, :5])
    with pytest.raises(UserError, match="choose from exact, hnsw, ivf"):
        build_index(rows, "tree")
    with pytest.raises(UserError, match="1 list or more"):
        build_index(rows, "ivf", lists=0)


@pytest.mark.parametrize("kind", KINDS)
def test_saved_and_loaded_answers_the_same(rows, kind, tmp_path):
    import faiss

    path = tmp_path / "an index é.bin"
    index = build_index(rows[:900], kind, effort=7)
    index.save(path)
    again = load_index(path)
    assert (again.kind, again.effort, len(again), again.width) == (kind, index.effort, 900, 96)
    for one, other in zip(index.search(rows[4000:], 5), again.search(rows[4000:], 5), strict=True):
        assert (one == other).all()
    assert faiss.read_index(str(path)).ntotal == 900 and os.listdir(tmp_path) == [path.name]


@pytest.mark.parametrize("kind", KINDS)
def test_a_damaged_file_is_one_sentence(rows, kind, tmp_path):
    import faiss

    path = tmp_path / "index.bin"
    build_index(rows[:300], kind).save(path)
    whole = path.read_bytes()
    flipped = bytearray(whole)
    flipped[len(whole) // 2] ^= 1
    foreign = tmp_path / "foreign.bin"
    faiss.write_index(faiss.IndexFlatL2(4), str(foreign))
    for content in (b"", whole[:30], whole[:-1], whole + b"x", bytes(flipped), b"PK" * 500, foreign.read_bytes()):
        path.write_bytes(content)
        with pytest.raises(UserError, match="damaged or was not written by this course"):
            load_index(path)


def test_files_that_cannot_be_opened(rows, tmp_path):
    index = build_index(rows[:30])
    with pytest.raises(UserError, match="cannot be read: No such file"):
        load_index(tmp_path / "none.bin")
    with pytest.raises(UserError, match="cannot be read"):
        load_index(tmp_path)
    with pytest.raises(UserError, match="cannot be written"):
        index.save(tmp_path / "none" / "index.bin")


def test_a_full_disk_leaves_what_was_there(rows, tmp_path, monkeypatch):
    import faiss

    path = tmp_path / "index.bin"
    index = build_index(rows[:30])
    index.save(path)
    before = path.read_bytes()

    def full(inner, writer):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(faiss, "write_index", full)
    with pytest.raises(UserError, match="No space left"):
        index.save(path)
    assert path.read_bytes() == before and os.listdir(tmp_path) == ["index.bin"]


def test_the_curve(rows):
    efforts = {"hnsw": (4, 128), "ivf": (1, 8, 300)}
    records = recall_curve(rows[:4000], rows[4000:], 5, efforts)
    assert [(r["kind"], r["effort"]) for r in records] == [("exact", None), ("hnsw", 4), ("hnsw", 128), ("ivf", 1),
                                                            ("ivf", 8), ("ivf", 300)]  # fmt: skip
    shares = [r["recall"] for r in records]
    assert shares[0] == 1 and shares[1] < shares[2] and shares[3] < shares[4] < shares[5] == 1
    assert all(r["seconds"] > 0 and r["build_seconds"] > 0 for r in records)
    assert records[3]["seconds"] < records[5]["seconds"]  # one list of 253, against all of them
    assert [r["recall"] for r in recall_curve(rows[:3], rows[:2], 10, {})] == [1]
    with pytest.raises(UserError, match="at least one"):
        recall_curve(rows, rows[:0])
    with pytest.raises(UserError, match="no index 'tree'"):
        recall_curve(rows, rows[:2], 5, {"tree": (1,)})
