"""The toolkit as a user runs it, on drawn pictures and on odd files."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from vfm_course.errors import UserError
from vfm_course.families import load
from vfm_course.features.images import Unreadable, read_picture
from vfm_course.features.search import exact_neighbours, extreme_pairs
from vfm_course.toolkit import parse_labels

ROOT = Path(__file__).resolve().parents[1]
LABELS = "a cat, a car, a banana"


def toolkit(folder: Path, *more: str, labels: str = LABELS) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "vfm_course.cli", "toolkit", str(folder), "--labels", labels, *more]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=200)


@pytest.fixture
def folder(tmp_path):
    pictures = tmp_path / "my photos é"
    pictures.mkdir()
    for name in ("cat_02", "cat_03", "car_01", "car_02", "banana_01"):
        (pictures / f"{name}.jpg").write_bytes((ROOT / "data" / "images" / f"{name}.jpg").read_bytes())
    return pictures


def test_labels_neighbours_and_files(folder, tmp_path):
    done = toolkit(folder, *(f"--{kind}={tmp_path / f'r.{kind}'}" for kind in ("json", "csv", "html")))
    assert done.returncode == 0, done.stderr
    assert 'cat_02.jpg -> "a cat" (' in done.stdout and "Note:" not in done.stdout
    found = json.loads((tmp_path / "r.json").read_text(encoding="utf-8"))
    for image in found["images"]:
        assert image["label"] == f"a {image['file'].split('_')[0]}"
        assert sum(image["scores"].values()) == pytest.approx(1, abs=1e-4)
        near = [neighbour["file"] for neighbour in image["neighbors"]]
        assert len(near) == 3 and image["file"] not in near
    assert len((tmp_path / "r.csv").read_text(encoding="utf-8").splitlines()) == 6
    page = (tmp_path / "r.html").read_text(encoding="utf-8")
    assert page.count("data:image/jpeg") == 5 and "src=" not in page


def test_odd_files_are_named_and_photographs_are_not_trusted(folder):
    (folder / "empty.png").touch()
    (folder / "broken.jpg").write_bytes((folder / "cat_02.jpg").read_bytes()[:300])
    (folder / "text.bmp").write_text("no picture")
    Image.new("RGB", (40, 60), "red").save(folder / "photo.PNG")
    done = toolkit(folder, labels="a cat, a car, a zebra")
    assert done.returncode == 0, done.stderr
    for sentence in ("1 of these 6 pictures are not", "--tier hub", "zebra (in 'a zebra', which is left out)",
                     "3 of 9 files skipped",
                     "empty.png: empty", "text.bmp: not a picture", "broken.jpg: damaged"):  # fmt: skip
        assert sentence in done.stdout, sentence
    assert '-> "a zebra"' not in done.stdout


@pytest.mark.parametrize(
    ("labels", "more", "sentence"),
    [
        ("a cat", [], "nothing to choose from"),
        ("a cat, A  cat", [], "twice"),
        (" , ", [], "No labels"),
        ("a cat, a zebra", [], "Too few labels are left"),
        (LABELS, ["--template", "no place"], "must hold {} once"),
        (LABELS, ["--template", "a {x} of {}"], "no other braces"),
        (LABELS, ["--masks"], "--html FILE"),
        (LABELS, ["--json", "no/such/folder/x.json"], "There is no folder"),
    ],
)
def test_a_mistake_is_one_sentence(folder, labels, more, sentence):
    done = toolkit(folder, *more, labels=labels)
    assert done.returncode == 2 and sentence in done.stderr and "Traceback" not in done.stderr


def test_a_pipe_that_lacks_letters_of_a_name(folder, monkeypatch):
    monkeypatch.setenv("PYTHONIOENCODING", "cp1252")
    (folder / "cat_02.jpg").rename(folder / "\u590f.jpg")
    done = toolkit(folder)
    assert done.returncode == 0 and '?.jpg -> "a cat"' in done.stdout, done.stderr


def test_no_pictures(tmp_path):
    assert "holds no pictures" in toolkit(tmp_path).stderr
    assert toolkit(tmp_path / "missing").returncode == 2


def test_a_second_run_computes_nothing(folder, tmp_path):
    from vfm_course.features.cache import VectorCache
    from vfm_course.toolkit import run

    cache = VectorCache(tmp_path / "cache.sqlite")
    first = run(folder, parse_labels(LABELS, "clip"), tier="pocket", cache=cache)
    second = run(folder, parse_labels(LABELS, "clip"), tier="pocket", cache=cache)
    assert (first.computed, second.computed) == (5, 0) and first.rows == second.rows


def test_picture_kinds(tmp_path):
    """Upright, in RGB, and bright where the file is bright."""
    turned = Image.new("RGB", (20, 10), "white")
    exif = turned.getexif()
    exif[0x0112] = 6
    turned.save(tmp_path / "turned.jpg", exif=exif)
    Image.fromarray(np.full((8, 8), 30000, np.uint16)).save(tmp_path / "deep.png")
    Image.new("CMYK", (8, 8), (0, 0, 0, 0)).save(tmp_path / "print.jpg")
    Image.new("RGBA", (8, 8), (0, 0, 0, 0)).save(tmp_path / "clear.png")
    assert read_picture(tmp_path / "turned.jpg", 64).image.size == (10, 20)
    assert read_picture(tmp_path / "deep.png", 64).image.getpixel((0, 0)) == (116, 116, 116)
    assert min(read_picture(tmp_path / "print.jpg", 64).image.getpixel((4, 4))) > 250
    assert read_picture(tmp_path / "clear.png", 64).image.getpixel((4, 4)) == (255, 255, 255)
    with pytest.raises(Unreadable, match="gone"):
        read_picture(tmp_path / "none.png", 64)


def test_neighbours_and_pairs_agree_with_the_whole_matrix():
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(1500, 8)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    whole = vectors @ vectors.T
    np.fill_diagonal(whole, -2)
    indices, cosines = exact_neighbours(vectors, 3)
    assert (indices[:, 0] == whole.argmax(1)).all() and np.allclose(cosines[:, 0], whole.max(1), atol=1e-5)
    groups = rng.integers(0, 3, 1500)
    far, near = extreme_pairs(vectors, groups, 2)
    same = (groups[:, None] == groups) & ~np.eye(1500, dtype=bool)
    assert far[0][2] == pytest.approx(whole[same].min(), abs=1e-5)
    assert near[0][2] == pytest.approx(whole[~same].max(), abs=1e-5)


def test_hub_without_network_and_unknown_names_are_one_sentence():
    with pytest.raises(UserError, match="could not be fetched"):
        load("clip", tier="hub")
    with pytest.raises(UserError, match="no checkpoint 'dino9'"):
        load("dino9")
    with pytest.raises(UserError, match="no tier"):
        load("clip", tier="moon")
