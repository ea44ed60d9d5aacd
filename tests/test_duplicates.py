"""Near-duplicates: what is found of altered pictures, groups against every pair, and the command."""

import csv
import hashlib
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageOps

from vfm_course.errors import UserError
from vfm_course.features import duplicates, search
from vfm_course.features.cache import VectorCache
from vfm_course.features.duplicates import (
    THRESHOLD,
    embed_for_duplicates,
    file_sizes,
    keep,
    kept_for,
    near_duplicates,
    pair_cosines,
    size_ranks,
)
from vfm_course.world import World
from vfm_course.world.marker import MARKER

ROOT = Path(__file__).resolve().parents[1]
SCENES = 150


def unit(rows: np.ndarray) -> np.ndarray:
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def cut(image: Image.Image, share: float) -> Image.Image:
    edge = round(share * image.width)
    return image.crop((edge, edge, image.width - edge, image.height - edge))


ALTERED = {  # how, and the JPEG's quality
    "original": (lambda image: image, 95),
    "copy": (lambda image: image, 95),
    "half": (lambda image: image.resize((112, 112)), 95),
    "twice": (lambda image: image.resize((448, 448)), 95),
    "quality 50": (lambda image: image, 50),
    "cut 2 %": (lambda image: cut(image, 0.02), 95),
    "cut 4 %": (lambda image: cut(image, 0.04), 95),
    "mirrored": (ImageOps.mirror, 95),
}


@pytest.fixture(scope="module")
def altered(tmp_path_factory):
    """Held-out scenes, each as it is and altered: {how: vectors (SCENES, D)}. The threshold was set on seed 901."""
    folder = tmp_path_factory.mktemp("altered")
    worlds = World(902, 224, difficulty=0.5), World(903, 224, difficulty=0.5, objects=(1, 3))
    for number in range(SCENES):
        image = Image.fromarray(worlds[number % 2].scene(number).image)
        for how, (alter, quality) in ALTERED.items():
            alter(image).save(folder / f"{how} {number:04}.jpg", quality=quality, comment=MARKER)
    cache = VectorCache(folder / "cache.sqlite")
    found = embed_for_duplicates(folder, "pocket", cache=cache)
    cache.close()
    assert found.skipped == [] and len(found.paths) == SCENES * len(ALTERED)
    vectors = found.vectors["dinov2"]
    places = {path.stem: row for row, path in enumerate(found.paths)}
    return {how: vectors[[places[f"{how} {number:04}"] for number in range(SCENES)]] for how in ALTERED}


def test_the_default_threshold_finds_what_it_says(altered):
    """The figures of `near_duplicates`' docstring."""
    vectors = np.concatenate(list(altered.values()))
    scene = np.arange(len(vectors)) % SCENES
    part = np.arange(len(vectors)) + len(vectors)
    for number, group in enumerate(near_duplicates(vectors)):
        part[list(group.rows)] = number
        assert len(set(scene[list(group.rows)])) == 1  # no two scenes in one group: every pair is a true one
    found = {
        how: float((part[:SCENES] == part[number * SCENES : (number + 1) * SCENES]).mean())
        for number, how in enumerate(ALTERED)
    }
    direct = {
        how: float(((altered["original"] * rows).sum(axis=1) >= THRESHOLD).mean()) for how, rows in altered.items()
    }
    assert all(direct[how] == 1 for how in ("copy", "half", "twice", "quality 50")), direct
    assert 0.9 <= direct["cut 2 %"] < 1, direct
    assert 0.4 <= direct["cut 4 %"] <= 0.7, direct
    assert 0.2 <= direct["mirrored"] < 0.5, direct
    assert all(found[how] >= direct[how] for how in ALTERED)


def test_a_lower_threshold_joins_different_scenes():
    """Plain scenes are the most alike: the figures of THRESHOLD's comment."""
    from vfm_course.features.encoders import Encoder

    encoder, world = Encoder("dinov2", "pocket"), World(901, 64, difficulty=0)
    scenes = [Image.fromarray(world.scene(number).image) for number in range(600)]
    vectors = np.concatenate([encoder.embed(encoder.prepare(scenes[i : i + 50])) for i in range(0, 600, 50)])
    assert near_duplicates(vectors) == [] and near_duplicates(vectors, 0.92) != []


@pytest.fixture(scope="module")
def clumps():
    """Vectors with clumps of 1 to 6 around a third of them, shuffled, and the number of each one's clump."""
    rng = np.random.default_rng(0)
    centres = unit(rng.normal(size=(300, 32)))
    label = np.concatenate([np.arange(300), *(np.arange(0, 300, 3)[: 100 - 20 * i] for i in range(5))])
    label = rng.permutation(label)
    return unit(centres[label] + 0.015 * rng.normal(size=(len(label), 32))), label


def brute(vectors: np.ndarray, threshold: float) -> list[tuple[int, ...]]:
    """Groups by walking from row to row over the whole matrix."""
    near = vectors @ vectors.T >= threshold
    left, groups = set(range(len(vectors))), []
    while left:
        waiting, group = [min(left)], set()
        while waiting:
            row = waiting.pop()
            group.add(row)
            waiting += [int(other) for other in np.flatnonzero(near[row]) if int(other) not in group]
        left -= group
        groups.append(tuple(sorted(group)))
    return sorted((group for group in groups if len(group) > 1), key=lambda group: (-len(group), group))


@pytest.mark.parametrize("kind", ["auto", "exact", "ivf", "hnsw"])
def test_groups_are_those_of_the_whole_matrix(clumps, kind):
    vectors, label = clumps
    groups = near_duplicates(vectors, 0.9, kind)
    wanted = brute(vectors, 0.9)
    assert len(wanted) == 100 and [group.rows for group in groups] == wanted
    for group in groups:
        assert len(set(label[list(group.rows)])) == 1 and len(group.links) == len(group.rows) - 1
        cosines = [cosine for _, _, cosine in group.links]
        assert cosines == sorted(cosines, reverse=True) and min(cosines) >= 0.9
        for i, j, cosine in group.links:
            assert i < j and cosine == pytest.approx(float(vectors[i] @ vectors[j]), abs=1e-5)
        # Of all pairs' cosines the best one is a link.
        assert cosines[0] == pytest.approx(pair_cosines(vectors, group)[np.triu_indices(len(group.rows), 1)].max())


def test_chains_are_one_group_of_which_several_are_kept():
    angles = np.arange(9) * 0.2
    chain = np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)  # neighbours: cos 0.2 = 0.98
    (group,) = near_duplicates(chain, 0.95)
    assert group.rows == tuple(range(9)) and pair_cosines(chain, group).min() < 0
    assert [link[:2] for link in sorted(group.links)] == [(i, i + 1) for i in range(8)]
    kept = kept_for(chain, [group])
    assert keep(chain, [group]).tolist() == [0, 2, 4, 6, 8] and kept.tolist() == [0, 0, 2, 2, 4, 4, 6, 6, 8]
    assert all(chain[row] @ chain[kept[row]] >= 0.95 for row in range(9))
    assert keep(chain, [group], rank=[0, 1, 0, 0, 1, 0, 0, 1, 0]).tolist() == [1, 4, 7]


def test_small_blocks_and_few_edges_give_the_same(clumps, monkeypatch):
    vectors, _ = clumps
    whole = near_duplicates(vectors, 0.9)
    monkeypatch.setattr(duplicates, "EDGES", 3)
    for cells in (1, 50 * len(vectors)):
        monkeypatch.setattr(search, "CELLS", cells)
        again = near_duplicates(vectors, 0.9)
        assert [group.rows for group in again] == [group.rows for group in whole]
        assert [len(group.links) for group in again] == [len(group.links) for group in whole]


def test_from_some_size_on_an_index_is_used(clumps, monkeypatch):
    used = []
    monkeypatch.setattr(duplicates, "_index_edges", lambda vectors, limit, kind: used.append(kind) or iter([]))
    monkeypatch.setattr(duplicates, "EXACT_UP_TO", 300)
    assert near_duplicates(clumps[0][:300], 0.9) != [] and used == []
    assert near_duplicates(clumps[0][:301], 0.9) == [] and used == ["ivf"]


def test_copies_hang_together_whatever_an_index_finds():
    few = unit(np.random.default_rng(4).normal(size=(3, 8)))
    one, other, cosines = duplicates._copies(few[[0, 1, 0, 2, 1, 0]])
    assert list(zip(one.tolist(), other.tolist(), strict=True)) == [(0, 2), (1, 4), (0, 5)]
    assert cosines.tolist() == [1, 1, 1] and len(duplicates._copies(few)[0]) == 0


@pytest.mark.parametrize("kind", ["exact", "ivf", "hnsw"])
def test_all_copies_few_rows_and_a_threshold_of_one(kind, tmp_path):
    rng = np.random.default_rng(3)
    few = unit(rng.normal(size=(3, 700)))
    assert near_duplicates(few[:0], kind=kind) == near_duplicates(few[:1], kind=kind) == []
    assert near_duplicates(few[:2], kind=kind) == near_duplicates(few, 1, kind) == []
    two = few[[0, 0, 1]]
    (pair,) = near_duplicates(two, 1, kind)
    assert pair.rows == (0, 1) and pair.links[0][2] == pytest.approx(1, abs=1e-5)
    assert keep(two, [pair]).tolist() == [0, 2] and keep(two, [pair], [1, 2, 0]).tolist() == [1, 2]
    assert near_duplicates(unit(few[[0, 0]] + [[0], [0.01]]), 1, kind) == []  # nearly is not one
    (all_of_them,) = near_duplicates(np.repeat(few[:1], 2000, axis=0), 1, kind)
    assert all_of_them.rows == tuple(range(2000)) and len(all_of_them.links) == 1999
    assert len(keep(np.repeat(few[:1], 2000, axis=0), [all_of_them])) == 1
    np.save(tmp_path / "rows.npy", two)
    assert near_duplicates(np.load(tmp_path / "rows.npy", mmap_mode="r"), 1, kind) == [pair]


def test_mistakes_are_one_sentence(clumps):
    vectors, _ = clumps
    for threshold in (0, -1, 1.01, float("nan")):
        with pytest.raises(UserError, match="above 0 and at most 1"):
            near_duplicates(vectors, threshold)
    with pytest.raises(UserError, match="no index 'tree'"):
        near_duplicates(vectors, kind="tree")
    with pytest.raises(UserError, match="Row 0 has the length 2"):
        near_duplicates(2 * vectors)
    with pytest.raises(UserError, match="Row 5 holds"):
        near_duplicates(np.where(np.arange(len(vectors))[:, None] == 5, np.nan, vectors))


def command(folder: Path, *more: str) -> subprocess.CompletedProcess:
    line = [sys.executable, "-m", "vfm_course.cli", "duplicates", str(folder), *more]
    return subprocess.run(line, cwd=ROOT, capture_output=True, text=True, timeout=200)


@pytest.fixture
def folder(tmp_path):
    """Two cats, of which one is there three times, and a car that is there twice; one file is damaged."""
    pictures = tmp_path / "my photos é"
    (pictures / "old").mkdir(parents=True)
    for name in ("cat_02", "cat_03", "car_01"):
        (pictures / f"{name}.jpg").write_bytes((ROOT / "data" / "images" / f"{name}.jpg").read_bytes())
    (pictures / "old" / "car.jpg").write_bytes((pictures / "car_01.jpg").read_bytes())
    with Image.open(pictures / "cat_02.jpg") as cat:
        cat.resize((112, 112)).save(pictures / "a small cat.jpg", comment=MARKER)
        cat.save(pictures / "b pale cat.jpg", quality=50, comment=MARKER)
    (pictures / "broken.jpg").write_bytes((pictures / "cat_02.jpg").read_bytes()[:300])
    return pictures


def contents(folder: Path) -> dict[Path, str]:
    return {path: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.rglob("*") if path.is_file()}


def test_the_command_lists_groups_and_deletes_nothing(folder, tmp_path):
    before = contents(folder)
    done = command(folder, "--out", str(tmp_path / "found.csv"))
    assert done.returncode == 0, done.stderr
    assert contents(folder) == before
    for part in ("1 of 7 files skipped; broken.jpg: damaged", "Group 1: 3 pictures", "Group 2: 2 pictures",
                 "old/car.jpg (224 x 224, 18.3 kB): 1.0000 like car_01.jpg",
                 "2 groups; without near-duplicates 3 of 6 pictures are left. Nothing was deleted."):  # fmt: skip
        assert part in done.stdout, done.stdout
    assert "drawn world" not in done.stdout
    with (tmp_path / "found.csv").open(encoding="utf-8", newline="") as file:
        lines = list(csv.DictReader(file))
    assert [(line["group"], line["file"], line["keep"], line["like"]) for line in lines] == [
        ("1", "cat_02.jpg", "yes", ""),  # the largest, not the first
        ("1", "a small cat.jpg", "no", "cat_02.jpg"),
        ("1", "b pale cat.jpg", "no", "cat_02.jpg"),
        ("2", "car_01.jpg", "yes", ""),
        ("2", "old/car.jpg", "no", "car_01.jpg"),
    ]
    assert lines[1]["width"] == "112" and 0.95 <= float(lines[1]["cosine"]) <= 1
    assert int(lines[0]["bytes"]) == (folder / "cat_02.jpg").stat().st_size


def test_the_threshold_and_photographs(folder):
    for path in folder.glob("*cat*"):
        path.unlink()
    Image.new("RGB", (40, 60), "red").save(folder / "photo.png")
    done = command(folder, "--threshold", "0.02")
    assert "1 of these 3 pictures are not from the drawn world" in done.stdout and "--tier hub" in done.stdout
    (folder / "car_01.jpg").unlink()
    done = command(folder)
    assert "0 groups; without near-duplicates 2 of 2 pictures are left" in done.stdout


def test_a_mistake_of_the_command_is_one_sentence(folder, tmp_path):
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "x.png").touch()
    for place, more, sentence in (
        (folder, ["--threshold", "1.5"], "--threshold"),
        (folder, ["--threshold", "nan"], "--threshold"),
        (folder, ["--out", "no/such/folder/x.csv"], "There is no folder"),
        (folder, ["--tier", "moon"], "--tier"),
        (tmp_path / "none", [], "There is no folder"),
        (tmp_path / "bad", [], "None of the 1 files in"),
    ):
        done = command(place, *more)
        assert done.returncode == 2 and sentence in done.stderr and "Traceback" not in done.stderr, done.stderr


def test_sizes_decide_and_a_file_that_is_gone_is_last(folder):
    paths = [folder / name for name in ("gone.jpg", "a small cat.jpg", "b pale cat.jpg", "cat_02.jpg")]
    vectors = np.tile(unit(np.ones((1, 4))), (4, 1))
    groups = near_duplicates(vectors)
    sizes = file_sizes(paths, groups)
    assert sizes[0] == (0, 0, 0) and sizes[1][:2] == (112, 112) and sizes[3][:2] == (224, 224)
    assert np.argsort(size_ranks(sizes, 4)).tolist() == [0, 1, 2, 3]
    equal = size_ranks({0: (2, 3, 9), 2: (3, 2, 9)}, 3)
    assert equal[0] == equal[2] > equal[1]
