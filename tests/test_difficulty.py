"""The drawn world needs learning and can be learnt: the stored numbers, and the script that measured them."""

import json
from pathlib import Path

import pytest
import torch

from vfm_course.world.difficulty import augment, card, pixel_probe, scenes, small_cnn, train_cnn

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def record() -> dict:
    return json.loads((ROOT / "data" / "world" / "difficulty.json").read_text())


def test_pixels_are_poor_but_above_chance(record):
    assert 2 * record["chance"] < record["pixels_linear_4000_labels"] < 0.35
    assert 2 * record["chance"] < record["pixels_linear_all_labels"] < 0.35


def test_a_small_network_is_good_with_every_seed(record):
    assert len(record["cnn"]) >= 3
    assert min(record["cnn"]) >= 0.95


def test_the_card_quotes_the_stored_numbers(record):
    assert (ROOT / "data" / "world" / "README.md").read_text() == card(record)
    assert f"{record['pixels_linear_4000_labels']:.3f}" in card(record)


def test_the_script_learns_something_in_seconds():
    torch.set_num_threads(2)
    train, test = scenes(1, 1500, 32), scenes(2, 300, 32)
    assert train[0].shape == (1500, 3, 32, 32) and train[0].dtype == torch.uint8
    short = train_cnn(train, test, samples=8_000, seed=0)
    assert short > 0.25, "chance is 0.0625"
    assert train_cnn(train, test, samples=64, seed=0) < short
    assert pixel_probe(train, test, 1e-2) < 0.35


def test_the_same_seed_trains_the_same_network():
    train, test = scenes(1, 200, 32), scenes(2, 200, 32)
    assert train_cnn(train, test, 640, seed=3) == train_cnn(train, test, 640, seed=3)


def test_augmentation_keeps_shape_and_changes_pixels():
    images, _ = scenes(1, 8, 32)
    out = augment(images, torch.Generator().manual_seed(0))
    assert out.shape == images.shape and out.abs().max() <= 1.001
    assert not torch.allclose(out, images.float() / 127.5 - 1)
    assert small_cnn()(out).shape == (8, 16)
