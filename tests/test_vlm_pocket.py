"""The command that trains the pocket models that answer: what it saves, what it tells, what it refuses."""

import json
import re
import sys
from types import SimpleNamespace

import pytest
import torch
import transformers

from vfm_course.errors import UserError
from vfm_course.families.load import load
from vfm_course.paths import data_dir
from vfm_course.pretraining.recipes import language
from vfm_course.vlm import pocket, teach
from vfm_course.vlm.notes import NoteEmbedding
from vfm_course.vlm.pocket import Blip2School
from vfm_course.vlm.published.blip2 import blip2_tower_config
from vfm_course.vlm.teach import Plan, School
from vfm_course.vlm.train import Curve
from vfm_course.vlm.variants import build
from vfm_course.world.palette import COLOURS
from vfm_course.world.vqa import vqa_set
from vfm_course.world.vqa_files import frozen

SCENES, DOCUMENTS, QUESTIONS = 40, 64, 20
CLASSES = {
    "llava-1.5": "LlavaForConditionalGeneration",
    "blip2": "Blip2ForConditionalGeneration",
    "flamingo": "IdeficsForVisionText2Text",
    "paligemma": "PaliGemmaForConditionalGeneration",
}


@pytest.fixture(scope="module", autouse=True)
def folders(tmp_path_factory):
    """A data folder of this file's own, with the parts that are trained upon, and a cache."""
    own = tmp_path_factory.mktemp("data")
    (own / "checkpoints").mkdir()
    for part in ("vqa", "checkpoints/clip-scenes", "checkpoints/language"):
        (own / part).symlink_to(data_dir() / part)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("VFM_CACHE", str(tmp_path_factory.mktemp("cache")))
        patch.setenv("VFM_DATA", str(own))
        patch.setattr(teach, "NOTED", 64)
        patch.setattr(pocket, "School", lambda scenes: small(School))
        patch.setattr(pocket, "Blip2School", lambda scenes: small(Blip2School))
        patch.setattr(pocket, "vqa_set", lambda split, n: vqa_set(split, n // 20))
        patch.setattr(pocket, "frozen", lambda split: frozen(split)[:QUESTIONS])
        yield own


def small(kind: type[School]) -> School:
    """Few scenes and documents, a language model that has read nothing, and notes of its width."""
    school = kind(SCENES, DOCUMENTS)
    torch.manual_seed(0)
    school.lm = transformers.LlamaForCausalLM(language.language_config()).eval().requires_grad_(False)
    school.notes = NoteEmbedding(128).requires_grad_(False)
    return school


@pytest.fixture(scope="module")
def tower(folders):
    """BLIP-2's tower with random weights, in the place where the trained one is looked for."""
    torch.manual_seed(1)
    transformers.Blip2VisionModel(blip2_tower_config()).save_pretrained(pocket.tower_folder())


def run(monkeypatch, *arguments: str) -> None:
    monkeypatch.setattr(sys, "argv", ["pocket", *arguments])
    threads = torch.get_num_threads()
    pocket.main()
    torch.set_num_threads(threads)


@pytest.mark.parametrize("name", CLASSES)
def test_a_model_is_trained_saved_asked_and_told_of(name, folders, tower, monkeypatch, capsys):
    run(monkeypatch, name, "--samples", "128", "--seed", "3")
    folder = folders / "checkpoints" / name
    loaded = load(name, "pocket", "cpu")
    assert type(loaded.model).__name__ == CLASSES[name]
    assert not list(folder.glob("*.bin")) and (folder / "model.safetensors").stat().st_mode & 0o777 == 0o644

    assert "_name_or_path" not in (folder / "config.json").read_text()  # would name a folder of this machine

    record = json.loads((folder / "record.json").read_text())
    assert (record["model"], record["seed"], record["plan"]["samples"]) == (name, 3, 128)
    assert record["plan"]["noted"] and record["plan"]["tune_lm"]
    assert record["trained"] == record["connector"] + record["language_model"] and record["connector"] > 0
    balanced = record["scores"]["balanced"]
    said = pocket.ask(name, frozen("balanced")[:QUESTIONS])
    right = [answer == question.answer for answer, question in zip(said, frozen("balanced"), strict=False)]
    assert balanced["all"] == pytest.approx(sum(right) / QUESTIONS)
    assert balanced["low"] <= balanced["all"] <= balanced["high"]
    told = (folder / "README.md").read_text()
    assert f"{balanced['all']:.3f} right" in told and f"{record['trained']:,} weights trained" in told
    assert re.search(rf"^{name}: [\d,]+ samples, loss \d", capsys.readouterr().out, re.M)


def test_a_card_is_written_again_without_training(folders, tower, monkeypatch):
    folder = folders / "checkpoints" / "llava-1.5"
    run(monkeypatch, "llava-1.5", "--samples", "64")
    weights, told = (folder / "model.safetensors").read_bytes(), (folder / "README.md").read_text()
    (folder / "README.md").unlink()
    monkeypatch.setattr(pocket, "make", None)  # would be called, would it train
    run(monkeypatch, "llava-1.5", "--cards")
    assert (folder / "README.md").read_text() == told and (folder / "model.safetensors").read_bytes() == weights


def test_captions_are_true_as_far_as_the_things_they_name_are_there(monkeypatch):
    questions, asked = frozen("balanced")[:3], []
    things = [pocket.scene_of(question).objects for question in questions]
    first, third = things[0][1], things[2][0]
    lie = next(
        colour for colour in COLOURS if (colour, third.concept) not in {(e.colour, e.concept) for e in things[2]}
    )
    monkeypatch.setattr(pocket, "load", lambda *what: SimpleNamespace(model=None, processor=None))

    def say(model, processor, images, texts, max_new_tokens, form):
        asked.extend(form(text) for text in texts)
        return [f"a striped {first.colour} {first.concept} left of a {lie} {third.concept}",
                "nothing red on a checked background",
                f"a {lie} {third.concept} and a {third.colour} {third.concept}"]  # fmt: skip

    monkeypatch.setattr(pocket, "answers", say)
    own = (lie, third.concept) in {(each.colour, each.concept) for each in things[0]}
    assert pocket.captioned("any", questions) == pytest.approx((2 + own) / 4) and asked == ["Caption:"] * 3
    monkeypatch.setattr(pocket, "answers", lambda *what, **more: ["", "a cat", "red"])
    assert pocket.captioned("any", questions) == 0.0


def test_scores_are_those_of_the_answers(monkeypatch):
    monkeypatch.setattr(pocket, "captioned", lambda name, questions: 0.25)
    wrong = {1, 2, 7}  # of the pairs (0, 1), (2, 3) and (6, 7) one side each
    monkeypatch.setattr(pocket, "ask", lambda name, questions: [
        "nothing" if number in wrong else question.answer for number, question in enumerate(questions)])  # fmt: skip
    found = pocket.examined("any")
    assert found["captioned"] == 0.25
    for split in ("balanced", "unbalanced"):
        assert found[split]["all"] == pytest.approx(1 - 3 / QUESTIONS)
    assert found["balanced"]["pairs"] == pytest.approx(1 - 3 / (QUESTIONS / 2)) and "pairs" not in found["unbalanced"]


def test_a_record_counts_what_was_trained():
    lm = small(School).lm
    own = sum(weight.numel() for weight in lm.parameters())
    for tuned in (False, True):
        plan = Plan("linear", 8, tune_lm=tuned)
        made = pocket.record("any", plan, 0, build("linear", lm), Curve([{"loss": 1.0}], 90.0))
        assert made["connector"] == 128 * 128 + 128 and made["language_model"] == own and made["minutes"] == 1.5
        assert made["trained"] == made["connector"] + tuned * own


def test_an_unknown_name_trains_nothing(monkeypatch):
    monkeypatch.setattr(pocket, "make", None)
    with pytest.raises(UserError, match="There is no plan for 'llava': choose from llava-1.5, blip2"):
        run(monkeypatch, "llava", "--samples", "8")


def test_blip2_without_its_tower_says_how_to_make_it(tmp_path, monkeypatch):
    monkeypatch.setenv("VFM_CACHE", str(tmp_path))
    with pytest.raises(UserError, match="vfm-course pretrain blip2-tower --out"):
        _ = small(Blip2School).vision


def test_every_plan_has_a_way_to_be_saved_and_told_of():
    assert set(pocket.PLANS) == set(pocket.SAVE) == set(pocket.TAUGHT) == set(pocket.EYES) == set(CLASSES)
