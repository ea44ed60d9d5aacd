"""The language model without eyes, and the cards of the frozen parts."""

import json

import numpy as np
import pytest
import torch

from vfm_course.families import load
from vfm_course.families.load import pocket_folder
from vfm_course.pretraining.regions import box_shares
from vfm_course.vlm import parts
from vfm_course.vlm.notes import load_notes, loose
from vfm_course.vlm.told import read, tell
from vfm_course.world.placed_text import placed_text
from vfm_course.world.vqa import vqa_world


@pytest.fixture(scope="module")
def lm():
    return load("language", "pocket", "cpu")


def test_it_answers_what_it_is_told_and_not_what_it_is_not(lm):
    scenes = [scene for scene in vqa_world(4002).sample(40)]
    told, blind, truth = [], [], []
    for scene in scenes:
        question = f"Is there a {scene.objects[0].concept}?".replace("a apple", "an apple")
        told.append(tell(lm, question, placed_text(scene)) == "yes")
        other = next(name for name in ("cat", "car", "cup", "house", "fish", "banana")
                     if name not in [thing.concept for thing in scene.objects])  # fmt: skip
        truth.append(tell(lm, f"Is there a {other}?", placed_text(scene)) == "no")
        blind.append(tell(lm, question) == "yes")
    assert sum(told) >= 36 and sum(truth) >= 36
    assert sum(blind) < 36  # so it is the words that it goes by


def test_an_answer_is_cut_where_it_is_said_to(lm):
    assert len(tell(lm, "What is there?", "a red cat of size 7 at 3 12", most=2).split()) == 2


def test_it_answers_to_notes_as_to_words(lm):
    notes, rng = load_notes(pocket_folder("language")), np.random.default_rng(0)
    scenes = [scene for scene in vqa_world(4002).sample(40)]
    there, colours, asked = [], [], 0
    for scene in scenes:
        names = [thing.concept for thing in scene.objects]
        seen = notes(lm.model.get_input_embeddings(), torch.from_numpy(loose([scene], rng)))
        there.append(read(lm, f"Is there a {names[0]}?".replace("a apple", "an apple"), seen) == "yes")
        if names.count(names[0]) == 1:
            asked += 1
            colours.append(read(lm, f"What colour is the {names[0]}?", seen) == scene.objects[0].colour)
    empty = notes(lm.model.get_input_embeddings(), torch.full((1, 16, 5), -1))
    assert sum(there) >= 36 and sum(colours) >= 0.9 * asked > 20
    assert read(lm, "Is there a cat?", empty) == "no"


def test_the_boxes_shares_are_areas():
    whole, quarter, sliver = box_shares(torch.tensor([[0, 0, 64, 64], [8, 16, 16, 24], [4, 0, 12, 8]]), 8, 64)
    assert torch.allclose(whole, torch.full((64,), 1 / 64))
    assert quarter.argmax() == 2 * 8 + 1 and quarter.max() == 1
    assert sliver.nonzero().flatten().tolist() == [0, 1] and sliver[0] == 0.5


@pytest.mark.parametrize("name", list(parts.ABOUT))
def test_a_card_says_what_was_measured(name, tmp_path, monkeypatch):
    record = {"parameters": 12345, "seed": 3, "images_seen": 6000, "images_asked": 7000, "minutes": 1.5,
              "curve": [{"images": 6000, "loss": 0.25}]}  # fmt: skip
    (tmp_path / "record.json").write_text(json.dumps(record))
    interval = {"value": 0.91, "low": 0.87, "high": 0.95}
    monkeypatch.setattr(parts, "eyes", lambda: {"concept": interval})
    monkeypatch.setattr(parts, "language", lambda: {"told": {"colour": 0.42, "all": 0.42, "vqa": 0.6}})
    parts.write(name, tmp_path)
    said = (tmp_path / "README.md").read_text()
    assert "12,345" in said and "seed (3)" in said and "| 6,000 | 0.250 |" in said
    assert ("0.910 (0.870 to 0.950)" if name == "clip-scenes" else "| told | 0.42 | 0.42 |") in said
    assert "scores" in json.loads((tmp_path / "record.json").read_text())
