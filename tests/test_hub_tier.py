"""The hub tier without the hub: tiny random checkpoints of the published ones' classes, in the hub's file layout."""

import dataclasses
import re
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from huggingface_hub.errors import (
    GatedRepoError,
    HfHubHTTPError,
    LocalEntryNotFoundError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)
from PIL import Image
from tiny import clip, dinov2, sam, siglip

from vfm_course.errors import UserError
from vfm_course.families import load
from vfm_course.families.catalog import CATALOG
from vfm_course.features.cache import VectorCache
from vfm_course.features.encoders import Encoder
from vfm_course.features.images import find_images
from vfm_course.features.search import exact_neighbours
from vfm_course.features.stream import embed_folder
from vfm_course.toolkit import run

ROOT = Path(__file__).resolve().parents[1]
LABELS = ["a cat", "a car", "a banana"]


@pytest.fixture(scope="session")
def checkpoints(tmp_path_factory):
    """A folder for each, with the files that the hub has: no processor_config.json, which only newer savers write."""
    folders = {}
    for make in (dinov2, clip, siglip, sam):
        torch.manual_seed(0)
        folder = folders[make.__name__] = tmp_path_factory.mktemp(make.__name__)
        make(folder)
        assert not (folder / "processor_config.json").exists() and (folder / "model.safetensors").exists()
    return folders


@pytest.fixture
def hub(checkpoints, monkeypatch):
    """`tier="hub"` finds these folders in place of the published checkpoints."""
    for name, folder in checkpoints.items():
        monkeypatch.setitem(CATALOG, name, dataclasses.replace(CATALOG[name], hub_id=str(folder)))


@pytest.fixture
def offline(monkeypatch):
    """`offline(error)`: every download raises `error`; with an empty cache, so that nothing is found there."""

    def fail_with(error: Exception, cache: Path) -> None:
        def download(*_, **__):
            raise error

        monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(cache))
        monkeypatch.setattr("transformers.utils.hub.hf_hub_download", download)
        monkeypatch.setattr("transformers.utils.hub.snapshot_download", download)

    return fail_with


@pytest.mark.parametrize(
    ("name", "model", "processor"),
    [
        ("dinov2", "Dinov2Model", "BitImageProcessor"),
        ("clip", "CLIPModel", "CLIPProcessor"),
        ("siglip", "SiglipModel", "SiglipProcessor"),
        ("sam", "SamModel", "SamProcessor"),
    ],
)
def test_classes_are_those_of_the_published_checkpoints(hub, name, model, processor):
    loaded = load(name, tier="hub", device="cpu")
    assert type(loaded.model).__name__ == model and type(loaded.processor).__name__ == processor
    assert loaded.known_words is None and loaded.revision == CATALOG[name].revision
    assert not loaded.model.training and next(loaded.model.parameters()).dtype == torch.float32
    tokenizer = getattr(loaded.processor, "tokenizer", None)
    assert type(tokenizer).__name__ == {"clip": "CLIPTokenizer", "siglip": "SiglipTokenizer"}.get(name, "NoneType")


@pytest.mark.parametrize(("name", "width"), [("dinov2", 32), ("clip", 24), ("siglip", 32)])
def test_features(hub, tmp_path, name, width):
    paths = find_images(ROOT / "data" / "images")[:5]
    encoder = Encoder(name, "hub", "cpu")
    assert encoder.side == 224
    found = embed_folder(paths, [encoder], VectorCache(tmp_path / "cache.sqlite"), batch_size=2)
    vectors = found.vectors[name]
    assert vectors.shape == (5, width) and np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    assert exact_neighbours(vectors, 1)[1].max() < 0.99999  # it looks at the pictures


def test_clip_texts_are_read_word_by_word(hub):
    encoder = Encoder("clip", "hub", "cpu")
    ids = encoder.loaded.processor(text=["A photo of a cat"], return_tensors="pt")["input_ids"][0].tolist()
    tokens = encoder.loaded.processor.tokenizer.convert_ids_to_tokens(ids)
    assert tokens == ["<|startoftext|>", "a</w>", "photo</w>", "of</w>", "a</w>", "cat</w>", "<|endoftext|>"]
    alone, longer = encoder.embed_texts(["a cat"]), encoder.embed_texts(["a cat", "a photo of a photo of a car"])
    assert np.allclose(alone[0], longer[0], atol=1e-5)  # padding changes nothing
    assert encoder.embed_texts(["a cat " * 100]).shape == (1, 24)  # longer than the context: cut


def test_siglip_texts_are_padded_as_in_its_training_and_the_padding_is_read(hub):
    encoder = Encoder("siglip", "hub", "cpu")
    processor = encoder.loaded.processor
    inputs = processor(text=["a cat"], padding="max_length", return_tensors="pt")
    assert inputs["input_ids"].shape == (1, 64) and inputs["input_ids"][0, -1] == processor.tokenizer.pad_token_id
    with torch.inference_mode():
        wanted = encoder.loaded.model.get_text_features(input_ids=inputs["input_ids"]).pooler_output
    wanted = torch.nn.functional.normalize(wanted, dim=1).numpy()
    assert np.allclose(encoder.embed_texts(["a cat"]), wanted, atol=1e-6)
    assert np.allclose(encoder.embed_texts(["a cat", "a banana on the road"])[:1], wanted, atol=1e-5)
    assert np.allclose(encoder.embed_texts(["A cat!"]), wanted, atol=1e-6)  # without capitals and punctuation


@pytest.mark.parametrize("model", ["clip", "siglip"])
def test_the_toolkit_end_to_end(hub, tmp_path, model):
    cache = VectorCache(tmp_path / "cache.sqlite")
    report = run(ROOT / "data" / "images", LABELS, model=model, tier="hub", cache=cache)
    assert (len(report.rows), report.computed, report.tier, report.notes) == (48, 48, "hub", [])
    scores = np.array([row.values for row in report.rows])
    # The scores that the published model's own forward pass gives.
    loaded = load(model, "hub", "cpu")
    images = [Image.open(row.path).convert("RGB") for row in report.rows[:4]]
    texts = [f"a photo of {label}" for label in LABELS]
    padding = "max_length" if model == "siglip" else True
    inputs = loaded.processor(text=texts, images=images, padding=padding, return_tensors="pt")
    with torch.inference_mode():
        logits = loaded.model(**inputs).logits_per_image
    wanted = logits.sigmoid() if model == "siglip" else logits.softmax(1)
    assert np.allclose(scores[:4], wanted.numpy(), atol=2e-3)
    assert run(ROOT / "data" / "images", LABELS, model=model, tier="hub", cache=cache).computed == 0


def test_any_word_may_be_a_label_and_photographs_are_not_doubted(hub, tmp_path):
    folder = tmp_path / "photos"
    folder.mkdir()
    rng = np.random.default_rng(0)
    for name in "abcd":
        Image.fromarray(rng.integers(0, 255, (300, 400, 3), dtype=np.uint8)).save(folder / f"{name}.jpg")
    report = run(folder, ["a zebra", "Żółw"], tier="hub", cache=VectorCache(tmp_path / "cache.sqlite"))
    assert len(report.rows) == 4 and report.notes == []


def test_automatic_masks(hub):
    from vfm_course.masks.automatic import automatic_masks

    image = Image.open(ROOT / "data" / "images" / "cat_01.jpg").convert("RGB").resize((90, 60))
    masks = automatic_masks(image, load("sam", "hub", "cpu"), grid=3)
    assert masks.dtype == torch.bool and 1 <= len(masks) <= 9 and masks.shape[1:] == (60, 90)


def test_masks_in_the_page(hub, tmp_path, monkeypatch):
    from vfm_course.commands.toolkit import Model, Tier, toolkit

    monkeypatch.setenv("VFM_CACHE", str(tmp_path))
    folder = tmp_path / "pictures"
    folder.mkdir()
    for path in find_images(ROOT / "data" / "images")[:4]:
        (folder / path.name).symlink_to(path)
    for masks in (False, True):
        page = tmp_path / f"{masks}.html"
        toolkit(folder, "a cat, a car", model=Model.clip, neighbors=2, tier=Tier.hub, masks=masks, html=page)
    plain, masked = (
        re.findall(r"data:image/jpeg[^)]*", (tmp_path / name).read_text(encoding="utf-8"))
        for name in ("False.html", "True.html")
    )
    assert len(masked) == 4 and not set(plain) & set(masked)


def answered(kind: type[HfHubHTTPError], status: int) -> HfHubHTTPError:
    return kind("as the hub would say it", response=SimpleNamespace(status_code=status, headers={}, request=None))


@pytest.mark.parametrize("name", ["dinov2", "clip", "siglip", "sam"])
@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (ConnectionError("no route to host"), "could not be fetched from the hub and is not in its cache"),
        (LocalEntryNotFoundError("no network, not in the cache"), "could not be fetched from the hub"),
        (answered(GatedRepoError, 403), "is gated: accept its licence"),
        (answered(GatedRepoError, 401), "is gated: accept its licence"),
        (answered(HfHubHTTPError, 401), "is gated: accept its licence"),
        (answered(RepositoryNotFoundError, 404), "is not on the hub any more"),
        (answered(RevisionNotFoundError, 404), "is not on the hub any more"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else "",
)
def test_what_the_hub_refuses_is_one_sentence(offline, tmp_path, name, error, sentence):
    offline(error, tmp_path)
    with pytest.raises(UserError, match=sentence) as caught:
        load(name, tier="hub")
    text = str(caught.value)
    assert CATALOG[name].hub_id in text and "\n" not in text and text.endswith(".")
