"""`embed`: every kind of source, feature and encoder; kept, resumed and written as it says."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from vfm_course.errors import UserError
from vfm_course.families.load import load
from vfm_course.features import patches
from vfm_course.features.cache import VectorCache
from vfm_course.features.embed import embed
from vfm_course.features.encoders import Encoder
from vfm_course.features.images import read_picture

ROOT = Path(__file__).resolve().parents[1]
IMAGES = ROOT / "data" / "images"
DRAWN = sorted(IMAGES.glob("*.jpg"))
ENCODERS = ["dinov2", "clip", "siglip", "mae", "ijepa", "supervised", "clip-signs"]


@pytest.fixture
def cache(tmp_path):
    return VectorCache(tmp_path / "cache.sqlite")


@pytest.fixture
def pictures():
    return [read_picture(path, 64).image for path in DRAWN[:6]]


@pytest.fixture
def no_model(monkeypatch):
    def load(*_):
        raise AssertionError("a model was loaded")

    return lambda: monkeypatch.setattr("vfm_course.features.encoders.load", load)


class Dataset:
    """As torch has them: (image, label)."""

    def __init__(self, items):
        self.items, self.read = items, []

    def __len__(self):
        return len(self.items)

    def __getitem__(self, at):
        self.read.append(at)
        if isinstance(self.items[at], Exception):
            raise self.items[at]
        return self.items[at]


@pytest.mark.parametrize("name", ENCODERS)
def test_every_kind_is_what_the_model_says_and_one_pass_gives_all(cache, no_model, name):
    loaded = load(name, "pocket", "cpu")
    grid, whole = patches.read(loaded, [read_picture(path, 64).image for path in DRAWN])
    found = {of: embed(IMAGES, name, of, cache=cache) for of in ("patches", "whole", "mean")}
    assert [found[of].computed for of in found] == [48, 0, 0]
    tokens = grid.flatten(1, 2)
    unit = torch.nn.functional.normalize(whole, dim=1)
    assert found["patches"].vectors.dtype == np.float16 and found["whole"].vectors.dtype == np.float32
    assert found["patches"].vectors.shape == tokens.shape
    assert np.allclose(found["patches"].vectors, tokens, rtol=1e-3, atol=1e-3)
    assert np.allclose(found["mean"].vectors, tokens.mean(dim=1), atol=1e-5)
    assert np.allclose(found["whole"].vectors, unit, atol=1e-5)
    no_model()
    again = embed(IMAGES, name, "patches", cache=cache)
    assert again.computed == 0 and (again.vectors == found["patches"].vectors).all()


def test_every_source_gives_the_same(cache, pictures, tmp_path):
    paths = DRAWN[:6]
    sources = {
        "paths": paths,
        "strings": [str(path) for path in paths],
        "images": pictures,
        "opened": [Image.open(path) for path in paths],
        "arrays": [np.asarray(picture) for picture in pictures],
        "array": np.stack([np.asarray(picture.resize((64, 64))) for picture in pictures]),
        "tensor": torch.stack([torch.from_numpy(np.array(p.resize((64, 64)))).permute(2, 0, 1) for p in pictures]),
        "floats": [torch.from_numpy(np.array(picture)).permute(2, 0, 1) / 255 for picture in pictures],
        "dataset": Dataset([(picture, number % 2) for number, picture in enumerate(pictures)]),
        "hub": Dataset([{"image": picture, "label": str(n)} for n, picture in enumerate(pictures)]),
        "labelled paths": [(path, torch.tensor(7)) for path in paths],
    }
    found = {name: embed(source, cache=cache, batch_size=4) for name, source in sources.items()}
    for name, one in found.items():
        assert np.einsum("nd,nd->n", one.vectors, found["paths"].vectors).min() > 0.99, name
        assert len(one.names) == 6 and not one.skipped
        assert one.paths == (paths if name in ("paths", "strings") else None)
    assert found["strings"].computed == found["arrays"].computed == found["tensor"].computed == 0  # known by content
    assert found["paths"].labels is None and found["paths"].names[0] == str(paths[0])
    assert found["dataset"].labels == [0, 1, 0, 1, 0, 1] and found["hub"].labels == list("012345")
    assert found["labelled paths"].labels == [7] * 6 and found["images"].names == list("012345")


def test_items_that_are_no_pictures_are_skipped_with_their_reason(cache, pictures):
    items = [pictures[0], "nowhere.jpg", None, KeyError("lost"), pictures[1], torch.randn(3, 8, 8), np.zeros((2, 2, 5)),
             Image.new("RGB", (3000, 1)), np.zeros((4, 4, 3), np.int64)]  # fmt: skip
    found = embed(Dataset([(item, n) if not isinstance(item, Exception) else item for n, item in enumerate(items)]),
                  cache=cache)  # fmt: skip
    assert found.names == ["0", "4"] and found.labels == [0, 4] and found.vectors.shape == (2, 128)
    assert [name for name, _ in found.skipped] == ["1", "2", "3", "5", "6", "7", "8"]
    reasons = dict(found.skipped)
    assert reasons["1"].startswith("gone") and "NoneType" in reasons["2"] and reasons["3"] == "KeyError: 'lost'"
    assert "before they are normalised" in reasons["5"] and "shape (2, 2, 5)" in reasons["6"]
    assert reasons["7"].startswith("a strip") and "int64" in reasons["8"]


def test_what_a_processor_does_not_take_is_skipped_alone(cache, pictures, monkeypatch):
    prepare = Encoder.prepare

    def picky(self, images):
        if any(image.size == (7, 7) for image in images):
            raise ValueError("too small\nfor me")
        return prepare(self, images)

    monkeypatch.setattr(Encoder, "prepare", picky)
    found = embed([pictures[0], Image.new("RGB", (7, 7)), pictures[1]], cache=cache)
    assert found.skipped == [("1", "cannot be prepared: too small")] and found.names == ["0", "2"]
    assert np.allclose(found.vectors, embed(pictures[:2], cache=cache).vectors)


def test_a_dataset_is_read_as_it_is_needed(cache, pictures):
    dataset = Dataset([Image.fromarray(np.asarray(pictures[0]) ^ np.uint8(n)) for n in range(200)])
    ahead = []
    embed(dataset, cache=cache, batch_size=8, show=lambda done, total: ahead.append(len(dataset.read) - done))
    assert max(ahead) <= 100 and len(dataset.read) == 200  # a dozen batches, whatever the size


KILLED = """
import os, signal, sys
from vfm_course.features.embed import embed
embed(sys.argv[1], of="patches", batch_size=8,
      show=lambda done, total: os.kill(os.getpid(), signal.SIGKILL) if done >= 16 else None)
"""


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="no SIGKILL here")
def test_a_killed_run_goes_on(tmp_path):
    environment = os.environ | {"VFM_CACHE": str(tmp_path)}
    killed = subprocess.run([sys.executable, "-c", KILLED, str(IMAGES)], cwd=ROOT, env=environment, timeout=200)
    assert killed.returncode == -signal.SIGKILL
    shown = []
    cache = VectorCache(tmp_path / "embeddings.sqlite")
    found = embed(IMAGES, of="patches", cache=cache, show=lambda *now: shown.append(now))
    assert 16 <= 48 - found.computed < 48 and shown[0] == (48 - found.computed, 48) and shown[-1] == (48, 48)
    assert (found.vectors == embed(IMAGES, of="patches", cache=tmp_path / "other.sqlite").vectors).mean() > 0.99


def test_vectors_on_the_disk(cache, tmp_path, monkeypatch):
    out = tmp_path / "x.npy"
    found = embed(IMAGES, of="patches", cache=cache, out=out)
    assert isinstance(found.vectors, np.memmap) and [path.name for path in tmp_path.glob("x*")] == ["x.npy"]
    memory = embed(IMAGES, of="patches", cache=cache)
    assert (np.load(out) == memory.vectors).all() and memory.computed == 0
    monkeypatch.setattr("psutil.virtual_memory", lambda: type("Memory", (), {"available": 1000}))
    with pytest.raises(UserError, match=r"more than the free memory: .*out='vectors.npy'"):
        embed(IMAGES, of="patches", cache=cache)


def test_a_model_of_ones_own_has_its_own_vectors(cache):
    loaded = load("dinov2", "pocket", "cpu")
    trained = embed(DRAWN[:4], loaded, cache=cache)
    assert np.allclose(trained.vectors, embed(DRAWN[:4], "dinov2", tier="pocket", cache=cache).vectors, atol=1e-5)
    first, second = (embed(DRAWN[:4], patches.untrained(loaded, seed), cache=cache) for seed in (0, 1))
    assert first.computed == second.computed == 4 and not np.allclose(first.vectors, second.vectors, atol=0.01)
    assert embed(DRAWN[:4], patches.untrained(loaded, 1), cache=cache).computed == 0
    ratio = load("mae", "pocket", "cpu")
    before = ratio.model.config.mask_ratio
    embed(DRAWN[:4], ratio, cache=cache)
    assert ratio.model.config.mask_ratio == before > 0


def test_torch_keeps_its_threads(cache):
    torch.set_num_threads(2)
    try:
        two = embed(IMAGES, cache=cache, batch_size=8)
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(1)
    assert two.computed == 48


@pytest.mark.parametrize(
    ("more", "sentence"),
    [
        ({"encoder": "sam"}, "gives no feature of a whole picture"),
        ({"encoder": "dinov9"}, "dinov9"),
        ({"of": "all"}, "no kind of feature 'all'"),
        ({"engine": "spark"}, "no engine 'spark'"),
        ({"tier": "large"}, "no tier 'large'"),
        ({"batch_size": 0}, "must be 1 or more"),
        ({"out": "vectors.txt"}, r"ends in \.npy"),
        ({"source": "nowhere"}, "no folder 'nowhere'"),
        ({"source": []}, "at least one"),
        ({"source": 7}, "A int cannot be embedded"),
        ({"source": Image.new("RGB", (8, 8))}, "give a folder, a list"),
        ({"source": np.zeros((8, 8, 3), np.uint8)}, "no set of pictures"),
        ({"source": ["nowhere.jpg"]}, "None of the 1 pictures could be used; nowhere.jpg: gone"),
    ],
)
def test_a_mistake_is_one_sentence(cache, more, sentence):
    with pytest.raises(UserError, match=sentence) as caught:
        embed(**{"source": IMAGES, "cache": cache} | more)
    assert "\n" not in str(caught.value)


def test_an_empty_folder_and_a_missing_ray(cache, tmp_path, monkeypatch):
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="holds no pictures"):
        embed(tmp_path / "empty", cache=cache)
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(UserError, match=r'pip install "vfm-course\[scale\]"'):
        embed(IMAGES, cache=cache, engine="ray")
