"""The language model without eyes, and the cards of the frozen parts."""

import copy
import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from tiny.same_weights import scatter
from transformers import LlamaForCausalLM

from vfm_course.families import load
from vfm_course.families.load import pocket_folder
from vfm_course.pretraining.publish import publish
from vfm_course.pretraining.recipes.language import language_config
from vfm_course.pretraining.regions import box_shares
from vfm_course.vlm import parts
from vfm_course.vlm.notes import NoteEmbedding, load_notes, loose, save_notes, squared
from vfm_course.vlm.prompts import question_prompt
from vfm_course.vlm.tokenizer import END
from vfm_course.vlm.told import read, tell
from vfm_course.world.placed_text import placed_text
from vfm_course.world.vqa import scene_of, vqa_world
from vfm_course.world.vqa_files import frozen


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


@torch.no_grad()
def test_what_is_read_stands_in_front_of_the_question(lm):
    """Greedy answers by hand, of random weights."""
    chaos = replace(lm, model=copy.deepcopy(lm.model))
    scatter(chaos.model, scale=0.15)
    words, said = chaos.model.get_input_embeddings(), set()
    for seed in range(8):
        visual = torch.randn(1, 16, 128, generator=torch.Generator().manual_seed(seed))
        line = chaos.processor(question_prompt("Is there a cat?"))["input_ids"]
        begun = len(line)
        while len(line) < begun + 5 and line[-1] != END:
            seen = torch.cat([visual, words(torch.tensor([line]))], dim=1)
            line.append(int(chaos.model(inputs_embeds=seen).logits[0, -1].argmax()))
        own = chaos.processor.decode(line[begun:], skip_special_tokens=True).strip()
        assert read(chaos, "Is there a cat?", visual, most=5) == own
        said.add(own)
    assert len(said) == 8


def test_the_table_of_the_language_model_is_of_what_it_was_told(lm, monkeypatch):
    questions = frozen("balanced")[:24]
    torch.manual_seed(0)
    notes = NoteEmbedding(128).requires_grad_(False)
    monkeypatch.setattr(parts, "frozen", lambda split: questions)
    monkeypatch.setattr(parts, "load_notes", lambda folder: notes)
    monkeypatch.setattr(parts, "score", lambda said, asked: said)
    found, rng = parts.language(), np.random.default_rng(0)
    scenes = [scene_of(question) for question in questions]
    words = lm.model.get_input_embeddings()
    said = {"told in words": [tell(lm, each.text, placed_text(scene), parts.MOST)
                              for each, scene in zip(questions, scenes, strict=True)],
            "told nothing": [tell(lm, each.text, most=parts.MOST) for each in questions]}  # fmt: skip
    for kind, tables in (("loose", loose(scenes, rng)), ("squared", squared(scenes))):
        seen = notes(words, torch.from_numpy(tables))
        said[f"told in {kind} notes"] = [read(lm, each.text, seen[row : row + 1], most=parts.MOST)
                                         for row, each in enumerate(questions)]  # fmt: skip
    assert found == said and len({tuple(each) for each in said.values()}) > 2


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


def test_a_card_tells_of_what_was_read_before():
    record = {"parameters": 5, "seed": 0, "images_seen": 60_000, "images_asked": 60_000, "minutes": 17.0, "curve": []}
    record |= {"before": {"images_seen": 120_000, "minutes": 40.5}, "scores": {"told": {"all": 0.5}}}
    told = parts.card("language", record)
    assert "120,000 documents read in 40.5 minutes and then 60,000 documents read in 17.0 minutes" in told
    assert "`vfm-course pretrain language`, then `vfm-course pretrain language-more`" in told


def test_a_run_that_went_on_is_published_with_what_came_before(tmp_path):
    reader = LlamaForCausalLM(language_config())
    notes = NoteEmbedding(128)
    for name, seen in (("language", 800), ("language-more", 400)):
        reader.save_pretrained(tmp_path / name)
        save_notes(notes, tmp_path / name)
        record = {"recipe": name, "seen": seen, "images": seen, "seconds": 90.0, "seed": 0, "curve": [{"images": 8}]}
        (tmp_path / name / "training.json").write_text(json.dumps(record))
    record = publish(tmp_path / "language-more", tmp_path / "out")
    assert (record["model"], record["images_seen"]) == ("language", 400)
    assert record["before"] == {"images_seen": 800, "minutes": 1.5}
    assert torch.equal(load_notes(tmp_path / "out").nothing, notes.nothing)
    assert "before" not in publish(tmp_path / "language", tmp_path / "out")
