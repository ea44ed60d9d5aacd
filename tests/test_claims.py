"""Each measure on made-up inputs whose right answer is known; the committed figures belong to the committed files."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from vfm_course import claims as lookup
from vfm_course.claims import claim, figure, measures, read_claims
from vfm_course.errors import UserError
from vfm_course.families.load import revision_of
from vfm_course.intervals import crossed_interval
from vfm_course.pretraining import claims, tables
from vfm_course.pretraining.measures import (
    attack,
    dense,
    finetune,
    groups,
    held_out,
    masks,
    nuisance,
    probes,
    record,
    texts,
)
from vfm_course.pretraining.measures.encode import Encoded, Reader, encode, random_reader, read_pixels
from vfm_course.world import CONCEPTS
from vfm_course.world.captions import TEMPLATES
from vfm_course.world.lettering import lettering

CHECKPOINTS = Path(__file__).resolve().parents[1] / "data" / "checkpoints"
NOT_MEASURED: dict[str, str] = {}  # a checkpoint that is here without figures, and why


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def noise(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=seeded(seed))


def labelled(n: int, classes: int, seed: int) -> torch.Tensor:
    return torch.randint(classes, (n,), generator=seeded(seed))


# --- probes ---------------------------------------------------------------------------------------------------------


def told(n: int, seed: int, knows: bool) -> tuple[Encoded, torch.Tensor]:
    """Features that hold the concept, or another scene's."""
    labels = labelled(n, 16, seed)
    shown = labels if knows else labels[torch.randperm(n, generator=seeded(seed + 100))]
    whole = F.one_hot(shown, 16).float() + 0.05 * noise(n, 16, seed=seed)
    return Encoded(whole, noise(n, 4, seed=seed + 1), torch.empty(0)), labels


@pytest.mark.parametrize("knows", [True, False])
def test_frozen_probes_read_what_is_there_and_nothing_else(knows):
    known = [told(400, seed, knows) for seed in (1, 2, 3)]
    found = probes.frozen(known, told(200, 4, knows), told(500, 5, knows))
    assert set(found) == {"linear", "knn", "ten_shot"} and found["linear"]["feature"] in probes.FEATURES
    for each in found.values():
        assert each["value"] == 1.0 if knows else each["value"] == pytest.approx(1 / 16, abs=0.03)
        assert each["low"] <= each["value"] <= each["high"] and len(each["by_seed"]) == each["seeds"] >= 3


def test_the_feature_is_the_one_that_validation_prefers():
    def part(n: int, seed: int) -> tuple[Encoded, torch.Tensor]:
        labels = labelled(n, 16, seed)
        return Encoded(noise(n, 300, seed=seed), F.one_hot(labels, 16).float(), torch.empty(0)), labels

    found = probes.frozen([part(200, seed) for seed in (1, 2, 3)], part(200, 4), part(200, 5))
    assert found["linear"]["feature"] == found["knn"]["feature"] == "mean"


def test_few_takes_as_many_of_each_class():
    labels = labelled(400, 16, 0)
    rows = probes.few(labels, 10, seed=1)
    assert torch.equal(labels[rows], torch.arange(16).repeat_interleave(10)) and len(set(rows.tolist())) == 160
    assert not torch.equal(rows, probes.few(labels, 10, seed=2))


def known_scene(n: int, seed: int, knows: bool) -> tuple[torch.Tensor, dict[str, torch.Tensor], torch.Tensor]:
    labels = {kind: labelled(n, classes, seed) for kind, classes in nuisance.LABELS.items()}
    centres = torch.rand(n, 2, generator=seeded(seed))
    shown = [F.one_hot(labels[kind], classes).float() for kind, classes in nuisance.LABELS.items()] + [centres]
    x = torch.cat(shown, dim=1) if knows else noise(n, 20, seed=seed)
    return x, labels, centres


@pytest.mark.parametrize("knows", [True, False])
def test_nuisance_probes_find_each_label_and_the_place(knows):
    found = nuisance.nuisance([known_scene(300, s, knows) for s in (1, 2, 3)], known_scene(200, 4, knows),
                              known_scene(500, 5, knows))  # fmt: skip
    for kind, each in found.items():
        expected = 1.0 if knows else each["chance"]
        assert each["value"] == pytest.approx(expected, abs=0.01 if knows else 0.12), kind
    assert found["background"]["chance"] == 1 / 6 and found["position"]["value"] > 0.99 or not knows


# --- patches --------------------------------------------------------------------------------------------------------


def test_patch_truth_is_the_majority_of_the_patch():
    mask = torch.zeros(1, 16, 16, dtype=torch.bool)
    mask[0, :8, :5] = True  # five eighths of the first patch
    mask[0, 8:, 8:11] = True  # three eighths of the last
    assert dense.patch_truth(mask, 2).tolist() == [[True, False, False, False]]


@pytest.mark.parametrize("knows", [True, False])
def test_foreground_iou(knows):
    def part(seed: int) -> tuple[torch.Tensor, torch.Tensor]:
        truth = torch.rand(60, 64, generator=seeded(seed)) < 0.3
        tokens = noise(60, 64, 8, seed=seed + 50)
        tokens[..., 0] += 20 * truth * knows
        return tokens, truth

    found = dense.foreground([part(1), part(2), part(3)], part(4), part(5))["foreground"]
    assert found["value"] == 1.0 if knows else found["value"] < 0.1
    assert found["chance"] == pytest.approx(0.3, abs=0.02) and found["n"] == 60


def test_identical_views_correspond():
    images = torch.randint(256, (6, 3, 64, 64), generator=seeded(), dtype=torch.uint8)
    everything = torch.ones(6, 64, 64, dtype=torch.bool)
    found = dense.correspondence(read_pixels, images, everything, area=(1.0, 1.0), colour=0.0, flip=False)
    assert found["correspondence"]["value"] == found["correspondence_thing"]["value"] == 1.0


def compass(images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Each patch says its mean colour, no more."""
    tokens = F.adaptive_avg_pool2d(images.float(), 8).flatten(2).transpose(1, 2) - 127.5
    return tokens, tokens.mean(dim=1)


def test_correspondence_follows_crop_and_flip():
    """Pictures whose colour is the place: patches of any view find their way by it."""
    ramp = torch.linspace(0, 255, 64)
    image = torch.stack([ramp.expand(64, 64), ramp[:, None].expand(64, 64), torch.full((64, 64), 200.0)])
    images, everything = image.expand(40, -1, -1, -1), torch.ones(40, 64, 64, dtype=torch.bool)
    assert dense.correspondence(compass, images, everything, colour=0.0)["correspondence"]["value"] > 0.98
    blind = dense.correspondence(lambda x: (torch.rand(len(x), 64, 8), None), images, everything)["correspondence"]
    assert blind["value"] == pytest.approx(blind["chance"], abs=0.02)


def test_true_patches_of_a_quarter_and_of_a_mirror():
    quarter = torch.tensor([[[0.5, 0, 0.5], [0, 0.5, -0.5]]])  # the upper right quarter
    assert dense.true_patches(quarter, 4)[0].tolist()[:4] == [[0, 2], [0, 2], [0, 3], [0, 3]]
    mirror = torch.tensor([[[-1.0, 0, 0], [0, 1, 0]]])
    assert dense.true_patches(mirror, 3)[0].tolist()[:3] == [[0, 2], [0, 1], [0, 0]]


def test_one_patch_off_counts_and_two_do_not():
    picture = torch.eye(16)[None]
    truth = torch.tensor([[[1, 1], [1, 1], [0, 0]]])
    right, chance = dense.matched(picture[:, [0, 3, 2]], picture, truth)  # at (0, 0), (0, 3) and (0, 2)
    assert right.tolist() == [[True, False, False]]
    assert chance.tolist() == [[9 / 16, 9 / 16, 4 / 16]]


# --- fine-tuning ----------------------------------------------------------------------------------------------------


def test_fine_tuning_learns_and_leaves_the_model_as_it_was():
    from transformers import ViTConfig, ViTForImageClassification

    torch.manual_seed(0)
    tiny = ViTConfig(hidden_size=32, intermediate_size=32, num_hidden_layers=1, num_attention_heads=2, image_size=64,
                     patch_size=16)  # fmt: skip
    model = ViTForImageClassification(tiny).eval()
    before = {key: weight.clone() for key, weight in model.state_dict().items()}

    def part(n: int, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
        """The concept is one of eight colours, above or below."""
        labels = torch.arange(16).repeat(n // 16)
        bright = torch.stack([labels >> bit & 1 for bit in range(3)], dim=1)[:, :, None, None] * 170.0 + 40
        above = torch.arange(64)[None, :, None] < 32
        here = torch.where((labels[:, None, None] > 7) == above, 1.0, 0.0)[:, None]
        pictures = bright * here + 120 * (1 - here) + 5 * noise(n, 3, 64, 64, seed=seed)
        return pictures.clamp(0, 255).to(torch.uint8), labels

    reader = Reader("supervised", model, [0.5] * 3, [0.5] * 3)
    known = [part(480, 1)] * 3
    found = finetune.few_labels(reader, known, part(64, 2), part(160, 3), rates=(1e-4,), steps=4)["finetune"]
    assert found["value"] > 0.8 and found["seeds"] == 3
    assert all(torch.equal(weight, before[key]) for key, weight in model.state_dict().items())
    shuffled = [(images, labels[torch.randperm(480, generator=seeded())]) for images, labels in known]
    lost = finetune.few_labels(reader, shuffled, part(64, 2), part(160, 3), rates=(1e-4,), steps=4)["finetune"]
    assert lost["value"] < 0.3
    many = finetune.many_labels(reader, known[0], part(64, 2), part(160, 3), 1e-4, steps=4)
    assert many["finetune_many"]["value"] > 0.8 and many["finetune_many"]["seeds"] == 0
    lost = finetune.many_labels(reader, shuffled[0], part(64, 2), part(160, 3), 1e-4, steps=4)
    assert lost["finetune_many"]["value"] < 0.3 and lost["finetune_many_start"]["value"] < 0.3


def test_fine_tuning_reaches_the_encoder():
    reader = random_reader()
    images = torch.randint(256, (32, 3, 64, 64), generator=seeded(), dtype=torch.uint8)
    labels = torch.arange(16).repeat(2)
    start = probes.fit_linear(encode(reader, images).feature("both"), labels, 0.1, 16)
    model = finetune.fine_tune(reader, "both", start, images, labels, 1e-3, seed=0, steps=2)
    for name, weight in reader.model.vit.named_parameters():
        moved = not torch.equal(weight, dict(model.encoder.vit.named_parameters())[name])
        assert moved or "key.bias" in name, name  # a constant added to all keys changes nothing


# --- pictures and words ---------------------------------------------------------------------------------------------


def test_recall_by_hand():
    scores = torch.tensor([[0.9, 0.5, 0.1], [0.9, 0.5, 0.1], [0.5, 0.5, 0.5], [0.9, 0.5, 0.5]]).double()
    right = torch.tensor([[1, 0, 0], [0, 0, 1], [1, 0, 0], [0, 1, 0]]).bool()
    assert texts.recall(scores, right, 1).tolist() == pytest.approx([1, 0, 1 / 3, 0])
    assert texts.recall(scores, right, 2).tolist() == pytest.approx([1, 0, 2 / 3, 1 / 2])
    assert texts.recall(scores, right, 3).tolist() == pytest.approx([1, 1, 1, 1])
    two = torch.tensor([[1, 0, 1]]).bool()  # identical captions: either is right
    assert texts.recall(torch.tensor([[0.1, 0.5, 0.9]]), two, 1).tolist() == [1]
    assert texts.recall(torch.tensor([[0.5, 0.5, 0.5]]), two, 1).tolist() == pytest.approx([2 / 3])


def test_retrieval_of_perfect_useless_and_doubled_pairs():
    vectors = F.normalize(noise(60, 16), dim=1)
    captions = [f"caption {number}" for number in range(60)]
    assert all(each["value"] == 1 for each in texts.retrieval(vectors, vectors, captions).values())
    same = torch.ones(60, 4) / 2
    assert texts.retrieval(same, same, captions)["image_to_text_recall_5"]["value"] == pytest.approx(5 / 60, abs=1e-3)
    swapped = torch.cat([vectors[1:2], vectors[:1], vectors[2:]])
    assert texts.retrieval(vectors, swapped, captions)["text_to_image_recall_1"]["value"] == round(58 / 60, 4)
    captions[1] = captions[0]
    assert texts.retrieval(vectors, swapped, captions)["text_to_image_recall_1"]["value"] == 1


def test_calibrated_scores_have_no_calibration_error_and_boasting_has():
    rng = np.random.default_rng(0)
    scores = rng.random(100_000)
    assert texts.calibration_error(scores, rng.random(100_000) < scores) < 0.01
    assert texts.calibration_error(np.full(10, 0.9), np.arange(10) < 5) == pytest.approx(0.4)
    assert texts.calibration_error(np.array([0.0, 1.0]), np.array([0, 1])) == 0
    two_bins = texts.calibration_error(np.array([0.1, 0.9, 0.9, 0.9]), np.array([1, 1, 1, 0]))
    assert two_bins == pytest.approx((0.9 + 3 * (0.9 - 2 / 3)) / 4)
    labels = labelled(300, 16, 0)
    right = F.one_hot(labels, 16)
    found = texts.calibration("made_up", right * 0.84 + 0.01, right.bool(), "made-up scores")
    assert found["made_up_first"]["value"] == pytest.approx(0.15, abs=1e-3)
    assert found["made_up_first"]["right"] == 1 and found["made_up_pairs"]["right"] == 1 / 16
    assert found["made_up_pairs"]["value"] == pytest.approx((0.15 + 15 * 0.01) / 16, abs=1e-3)


def test_batches_are_those_of_training():
    vectors, captions = F.normalize(noise(300, 16), dim=1), [f"caption {number}" for number in range(300)]
    cosines, right = texts.in_batches(vectors, vectors, captions)
    assert cosines.shape == right.shape == (256, 128) and torch.equal(cosines.argmax(1), torch.arange(128).repeat(2))
    assert right.sum() == 256 and torch.equal(right.long().argmax(1), torch.arange(128).repeat(2))
    captions[3] = captions[5]
    assert texts.in_batches(vectors, vectors, captions)[1][3].sum() == 2


def test_zero_shot_and_what_the_template_is_worth():
    labels = labelled(200, 16, 0)
    prompts = {template: torch.eye(16) for template in (*TEMPLATES, *texts.UNSEEN)}
    prompts[texts.UNSEEN[0]] = torch.eye(16).roll(1, 0)
    found = texts.zero_shot(torch.eye(16)[labels], labels, prompts)
    assert found["zero_shot"]["value"] == found["zero_shot_ensemble"]["value"] == 1
    assert found["template_effect"]["value"] == 0 and found["template_effect_all"]["value"] == 1
    assert found["template_effect_all"]["worst"] == texts.UNSEEN[0]
    assert found[texts.key_of(texts.UNSEEN[0])]["value"] == 0
    assert {"zero_shot_bare", "zero_shot_this_is", "zero_shot_in_this_drawing"} < set(found)


def test_every_word_of_the_prompts_is_known():
    from vfm_course.world import vocabulary
    from vfm_course.world.captions import with_article

    said = " ".join(t.format(with_article(c)) for t in (*TEMPLATES, *texts.UNSEEN) for c in CONCEPTS)
    assert set(said.split()) <= set(vocabulary())


# --- typographic attack ---------------------------------------------------------------------------------------------


def grey_pictures(labels: torch.Tensor) -> torch.Tensor:
    """Pictures that show their concept by a grey level alone: 100 and more, evenly."""
    return (100 + 2 * labels[:, None, None, None]).expand(-1, 3, 64, 64).to(torch.uint8)


def names_read(pictures: torch.Tensor, obeys: bool) -> torch.Tensor:
    """Stands in for a model: knows the grey level; if it obeys, it takes what the sign's ink spells for the concept."""
    found = []
    for picture in pictures.permute(0, 2, 3, 1).numpy():
        answer = (int(np.bincount(picture.ravel()).argmax()) - 100) // 2
        for number, word in enumerate(CONCEPTS if obeys else ()):
            dots = lettering(word)
            ys, xs = np.nonzero((picture == 255).all(axis=2))  # the ink, as the test's signs have it
            if len(ys) and (np.ptp(ys) + 1, np.ptp(xs) + 1) == dots.shape:
                spelt = (picture[ys.min() : ys.max() + 1, xs.min() : xs.max() + 1] == 255).all(axis=2)
                answer = number if np.array_equal(spelt, dots) else answer
        found.append(answer)
    return F.one_hot(torch.tensor(found), 16).float()


@pytest.mark.parametrize("obeys", [True, False])
def test_an_attack_is_what_the_wrong_name_does_and_the_blank_sign_does_not(obeys, monkeypatch):
    real = attack.random_look
    plain = {"ink": (255,) * 3, "paper": (0,) * 3}
    monkeypatch.setattr(attack, "random_look", lambda *rest: real(*rest) | plain)
    labels = labelled(60, 16, 0)
    found = attack.attack(lambda x: names_read(x, obeys), grey_pictures(labels), labels, torch.eye(16), seeds=2)
    value = {key: each["value"] for key, each in found.items()}
    assert value["zero_shot_no_sign"] == value["zero_shot_blank_sign"] == value["zero_shot_true_sign"] == 1
    assert value["zero_shot_wrong_sign"] == 1 - obeys and value["attack_success"] == obeys
    assert value["attack_blank"] == 0
    assert found["attack_success"]["seeds"] == 2 and found["zero_shot_no_sign"]["seeds"] == 0
    assert all(each["n"] == 60 and each["low"] <= each["value"] <= each["high"] for each in found.values())
    assert list(found) == list(tables.LISTED["Typographic attack"][1])


def test_signs_of_the_attack():
    labels = torch.arange(16).repeat(100)
    names = attack.wrong_names(labels, 0)
    assert (names != labels).all() and set(names[labels == 3].tolist()) == set(range(16)) - {3}
    assert not torch.equal(names, attack.wrong_names(labels, 1))
    images = grey_pictures(labels[:8])
    written, blank = (attack.signed(images, names[:8], 0, each) for each in (False, True))
    changed = [(each != images).any(dim=1) for each in (written, blank)]
    assert written.shape == images.shape and written.dtype == torch.uint8
    assert torch.equal(*changed), "the blank sign is as large and at the same place"
    for one, other, where in zip(written, blank, changed[0], strict=True):
        assert 0 < (one != other).any(dim=0).sum() < where.sum(), "the word is all that differs"


# --- masks ----------------------------------------------------------------------------------------------------------


def things() -> list[list[np.ndarray]]:
    scenes = []
    for number in range(12):
        one, other = np.zeros((2, 96, 96), dtype=bool)
        one[10 : 30 + number, 10:40] = True
        other[60:80, 50 : 80 + number] = True
        scenes.append([one, other])
    return scenes


def stub(scenes: list[list[np.ndarray]], honest: bool = True):
    """Answers with the thing that the point or the middle of the box lies in, with everything, and with nothing."""

    def predict(number: int, points: torch.Tensor | None, boxes: torch.Tensor | None):
        places = points if points is not None else (boxes[:, :2] + boxes[:, 2:]) / 2
        found = []
        for x, y in places.long().tolist():
            mask = next(mask for mask in scenes[number] if mask[y, x])
            found.append(np.stack([np.ones_like(mask), mask, np.zeros_like(mask)]))
        share = np.stack(found)[:, 1].mean(axis=(1, 2))
        expected = np.stack([share, np.ones_like(share), np.zeros_like(share)], axis=1)
        expected = expected if honest else expected[:, [1, 0, 2]]
        return torch.from_numpy(np.stack(found)).float() * 20 - 10, torch.from_numpy(expected).float()

    return predict


def test_the_true_mask_scores_one_for_every_prompt():
    found = masks.masks(stub(things()), things())
    assert all(each["value"] == pytest.approx(1, abs=1e-3) for each in found.values()), found
    assert found["click"]["things"] == 24 and found["click"]["n"] == 12 and found["click_anywhere"]["seeds"] == 3


def test_a_model_that_ranks_the_wrong_mask_first_has_it_only_among_its_three():
    found = masks.masks(stub(things(), honest=False), things())
    assert found["click_best"]["value"] == 1 and found["click"]["value"] < 0.2 and found["box"]["value"] < 0.2
    assert found["iou_correlation"]["value"] < 0.3


def test_what_hardly_shows_is_not_asked_for():
    scenes = things()
    scenes[0][1][:] = False
    scenes[1] = [np.zeros((96, 96), dtype=bool)]
    found = masks.masks(stub(scenes), scenes)
    assert found["click"]["things"] == 21 and found["click"]["n"] == 11 and found["click"]["value"] == 1


def test_prompts_lie_where_they_should():
    mask = np.zeros((40, 40), dtype=bool)
    mask[10:31, 5:26] = True
    mask[20, 26:40] = True  # a thin tail does not move the middle
    assert masks.centre_most(mask) == (15.5, 20.5)
    corner = np.zeros((40, 40), dtype=bool)
    corner[:21, :11] = True  # what the picture cuts off ends there
    x, y = masks.centre_most(corner)
    assert x == 5.5 and 5 < y < 16
    assert masks.box_around(mask).tolist() == [5, 10, 40, 31]
    rough = masks.box_around(mask, np.random.default_rng(0))
    assert (np.abs(rough - masks.box_around(mask)) <= [3.5, 2.1, 3.5, 2.1]).all() and rough.max() <= 40
    x, y = masks.random_point(mask, np.random.default_rng(0))
    assert mask[int(y), int(x)]


# --- records and intervals ------------------------------------------------------------------------------------------


def test_the_interval_holds_scenes_and_seeds():
    hits = np.random.default_rng(0).random((1, 400)) < 0.5
    value, low, high = crossed_interval(hits)
    assert value == hits.mean() and high - low == pytest.approx(4 * 0.5 / 20, rel=0.1)
    apart = np.repeat([[0.2], [0.5], [0.8]], 400, axis=1)  # no two scenes differ, seeds do
    value, low, high = crossed_interval(apart)
    assert value == pytest.approx(0.5) and low < 0.35 and high > 0.65
    assert crossed_interval([[1, 3]], [[2, 6]]) == (0.5, 0.5, 0.5)


def test_a_record_says_what_it_is_of():
    found = record.record([[1, 0, 1, 1], [1, 1, 1, 1]], "share of scenes", feature="whole")
    assert (found["value"], found["n"], found["seeds"], found["by_seed"]) == (0.875, 4, 2, [0.75, 1.0])
    assert found["of"] == "share of scenes" and found["feature"] == "whole" and "seeds" in found["interval"]
    ratio = record.record([1, 3], "IoU", [2, 4])
    assert ratio["value"] == round(4 / 6, 4) and ratio["seeds"] == 0 and "by_seed" not in ratio


def test_scenes_of_pretraining_probes_validation_and_test_are_apart():
    seeds = held_out.about()["seeds"]
    assert len(set(seeds.values())) == 4
    drawn = held_out.draw(seeds["test"], 3, start=7)
    scene = held_out.World(seeds["test"], 64).scene(8)
    assert np.array_equal(drawn.images[1].permute(1, 2, 0), scene.image)
    assert np.array_equal(drawn.masks[1], scene.main.mask)
    assert CONCEPTS[drawn.labels["concept"][1]] == scene.main.concept
    assert held_out.WORDS["background"][drawn.labels["background"][1]] == scene.background
    assert drawn.centres[1].tolist() == pytest.approx([each / 64 for each in scene.main.centre])
    assert scene.main.concept in drawn.captions[1] and scene.background in drawn.captions[1]
    assert {kind: len(words) for kind, words in held_out.WORDS.items()} == {"concept": 16, **nuisance.LABELS}


# --- the command ----------------------------------------------------------------------------------------------------


@pytest.fixture
def bench(tmp_path, monkeypatch):
    """A data folder with two checkpoints, and two groups of measures that only count how often they are taken."""
    for name in ("clip", "dinov2"):
        (tmp_path / "checkpoints" / name).mkdir(parents=True)
        (tmp_path / "checkpoints" / name / "model.safetensors").write_text(name)
    (tmp_path / "checkpoints" / "README.md").write_text(f"before\n{tables.between('')}\nafter\n")
    taken = []

    def count(group: str, subject: groups.Subject) -> dict:
        taken.append((subject.name, group))
        return {group: record.record([[1, 0], [1, 1]], "made up", chance=0.5)}

    def group(name: str, version: int = 1) -> groups.Group:
        return groups.Group(version, lambda subject: count(name, subject))

    monkeypatch.setenv("VFM_DATA", str(tmp_path))
    monkeypatch.setattr(held_out, "splits", lambda: None)
    known = {"linear": group("linear"), "colour": group("colour")}
    monkeypatch.setattr(claims, "GROUPS", known)
    monkeypatch.setattr(claims, "groups_of", lambda name: list(known))
    monkeypatch.setattr(claims, "revision_of", lambda name, tier: (
        tmp_path / "checkpoints" / name / "model.safetensors").read_text())  # fmt: skip
    return tmp_path, known, group, taken


def test_only_what_changed_is_measured_again(bench):
    folder, known, group, taken = bench
    claims.run()
    assert len(taken) == 8 and taken[0] == ("dinov2", "linear")
    first = (folder / "claims.json").read_bytes()
    claims.run()
    assert len(taken) == 8 and (folder / "claims.json").read_bytes() == first
    taken.clear()
    (folder / "checkpoints" / "clip" / "model.safetensors").write_text("other weights")
    claims.run()
    assert taken == [("clip", "linear"), ("clip", "colour")] and read_claims()["models"]["clip"]["sha256"] != "clip"
    taken.clear()
    known["linear"] = group("linear", version=2)
    claims.run()
    assert taken == [(name, "linear") for name in ("dinov2", "clip", "random", "pixels")]
    assert list(measures(read_claims()["models"]["clip"])) == ["linear", "colour"]
    taken.clear()
    (folder / "checkpoints" / "dinov2" / "model.safetensors").unlink()
    (folder / "checkpoints" / "mae").mkdir()
    (folder / "checkpoints" / "mae" / "model.safetensors").write_text("mae")
    claims.run()
    assert taken == [("mae", "linear"), ("mae", "colour")] and set(read_claims()["models"]) == {"mae", "clip"}


def test_other_scenes_measure_everything_again(bench, monkeypatch):
    folder, _, _, taken = bench
    claims.run()
    monkeypatch.setattr(held_out, "about", lambda: {"digest": "another"})
    claims.run(["clip"])
    assert taken[8:] == [("clip", "linear"), ("clip", "colour")]
    assert set(read_claims()["models"]) == {"clip"} and not read_claims()["references"]


def test_a_stopped_run_keeps_what_it_has(bench, monkeypatch):
    folder, known, _, taken = bench

    def stop(subject: groups.Subject) -> dict:
        raise KeyboardInterrupt

    whole = known["colour"]
    known["colour"] = groups.Group(1, stop)
    with pytest.raises(KeyboardInterrupt):
        claims.run(["clip"])
    known["colour"] = whole
    claims.run(["clip"])
    assert taken == [("clip", "linear"), ("clip", "colour")] and not list(folder.glob("*partial*"))


def test_the_page_keeps_its_words_and_names_what_is_missing(bench):
    folder, *_ = bench
    claims.run()
    page = (folder / "checkpoints" / "README.md").read_text()
    assert page.startswith("before\n") and page.endswith("after\n")
    assert "| clip | 0.750 (0.000 to 1.000) |" in page and "not measured: siglip, mae, ijepa, sam, supervised" in page
    assert "| chance | 0.500 |" in page
    (folder / "checkpoints" / "README.md").write_text("no place")
    with pytest.raises(UserError, match="add the two lines"):
        claims.run()
    with pytest.raises(UserError, match="There is no 'sam' to be measured: choose from dinov2, clip, random, pixels"):
        claims.run(["sam"])


def test_a_claim_is_looked_up_by_its_name(bench):
    with pytest.raises(UserError, match="no claim 'clip.linear': measured are no models yet"):
        claim("clip.linear")
    claims.run()
    assert claim("clip.linear")["value"] == 0.75 and figure(claim("pixels.colour")) == "0.750 (0.000 to 1.000)"
    with pytest.raises(UserError, match="no claim 'clip.linaer': of clip there are linear, colour"):
        claim("clip.linaer")
    with pytest.raises(UserError, match="no claim 'clap.linear': measured are .*clip.*pixels"):
        claim("clap.linear")


def test_each_model_takes_part_in_what_it_can():
    taken = {name: set(groups.groups_of(name)) for name in (*claims.CATALOG, *groups.REFERENCES)}
    assert taken["sam"] == {"masks"} and "finetune" not in taken["pixels"] and "finetune" in taken["random"]
    assert {name for name, each in taken.items() if "texts" in each} == {"clip", "siglip"}
    assert {name for name, each in taken.items() if "attack" in each} == {"clip", "clip-signs"}
    assert taken["clip-signs"] == {"attack"}


# --- what is committed ----------------------------------------------------------------------------------------------


def test_the_committed_figures_are_of_the_committed_checkpoints():
    stored = read_claims()
    assert stored["world"] == held_out.about(), "the scenes have changed: run vfm_course.pretraining.claims"
    here = [name for name in claims.present() if name not in NOT_MEASURED]
    assert set(stored["models"]) == set(here) and set(stored["references"]) == set(groups.REFERENCES)
    for name, entry in (stored["models"] | stored["references"]).items():
        assert entry["sha256"] == (None if name in groups.REFERENCES else revision_of(name, "pocket")), name
        versions = {group: groups.GROUPS[group].version for group in groups.groups_of(name)}
        assert {group: note["version"] for group, note in entry["measured"].items()} == versions, name
        for key, each in measures(entry).items():
            assert each["low"] <= each["value"] <= each["high"] and each["n"] >= 200 and each["of"], (name, key)


def test_tables_and_cards_hold_what_was_measured():
    stored = read_claims()
    assert tables.between(tables.page_tables(stored, CHECKPOINTS)) in (CHECKPOINTS / "README.md").read_text(
        encoding="utf-8"
    )
    for name, entry in stored["models"].items():
        card = (CHECKPOINTS / name / "README.md").read_text(encoding="utf-8")
        assert tables.between(tables.card_table(entry)) in card, name
        assert "scores" not in json.loads((CHECKPOINTS / name / "record.json").read_text()), name


def test_the_training_table_counts_what_a_model_began_from(tmp_path):
    for name, seen, minutes in (("mae", 1000, 2.0), ("dinov2", 500, 3.4), ("clip", 70, 9.0)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "record.json").write_text(json.dumps({"images_seen": seen, "minutes": minutes}))
    lines = tables.training_table(tmp_path).splitlines()
    assert "| dinov2 | mae | 500 | 1,500 | 3 | 5 |" in lines
    assert "| clip | random weights | 70 | 70 | 9 | 9 |" in lines
    assert not any(line.startswith("| sam") for line in lines)


def test_a_new_card_has_a_place_for_what_will_be_measured():
    from vfm_course.pretraining.publish import card

    seen = {"images_seen": 2, "images_asked": 2, "minutes": 3.0, "seed": 0, "curve": []}
    about = {"model": "mae", "parameters": 1, **seen}
    assert tables.between("") in card(about)


def test_looking_up_is_light():
    assert "torch" not in lookup.__dict__ and "numpy" not in lookup.__dict__
