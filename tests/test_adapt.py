"""Ways of adapting, on a made-up encoder in which much can go wrong, on the pocket's classes and on the hub's."""

import ast
import dataclasses
import json
import subprocess
import sys
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image
from tiny import clip, dinov2
from torch import nn
from torch.nn import functional as F

from vfm_course.adapt import frozen, table
from vfm_course.adapt.adapted import Adapted
from vfm_course.adapt.adapter import adapter
from vfm_course.adapt.augment import augment
from vfm_course.adapt.classifier import WARM_UP, batches, copy_encoder
from vfm_course.adapt.frozen import class_means, knn, linear
from vfm_course.adapt.full import full
from vfm_course.adapt.linear import fit_linear, nearest
from vfm_course.adapt.lora import lora, merged
from vfm_course.adapt.memory import peak_growth
from vfm_course.adapt.methods import METHODS
from vfm_course.adapt.parcels import LIGHTING, PACKAGING, QUESTIONS, parcel_tasks, parcels
from vfm_course.adapt.reading import Said, encoder_weights, forget, read_images, read_part
from vfm_course.adapt.roles import blocks, projections
from vfm_course.adapt.table import Row, as_text, compare
from vfm_course.adapt.task import Part, Task, concept_task, leaks
from vfm_course.errors import UserError
from vfm_course.families import load
from vfm_course.families.anatomy import anatomy, build
from vfm_course.families.catalog import CATALOG
from vfm_course.families.load import Loaded
from vfm_course.families.systems import find
from vfm_course.intervals import crossed_interval
from vfm_course.schedule import schedule
from vfm_course.world import CONCEPTS, STYLES, World

ADAPT = Path(__file__).resolve().parents[1] / "vfm_course" / "adapt"
WIDTH, LAYERS, PATCH, SIDE = 24, 2, 8, 16
INSIDE = {"lora": lora, "adapter": adapter, "full": full}


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.norm = nn.LayerNorm(WIDTH)
        self.q_proj, self.k_proj, self.v_proj = (nn.Linear(WIDTH, WIDTH) for _ in range(3))
        self.dropout, self.mlp = nn.Dropout(0.5), nn.Sequential(nn.Linear(WIDTH, WIDTH), nn.GELU())

    def forward(self, tokens):
        x = self.norm(tokens)
        seen = F.scaled_dot_product_attention(self.q_proj(x), self.k_proj(x), self.v_proj(x))
        return self.dropout(tokens + seen + self.mlp(x))


class Config(SimpleNamespace):
    def to_dict(self):
        return vars(self)


class Encoder(nn.Module):
    """A CLS token and four patches; BatchNorm and Dropout, which would show that it was not left in evaluation mode."""

    def __init__(self):
        super().__init__()
        self.config = Config(patch_size=PATCH)
        self.embed, self.bn = nn.Conv2d(3, WIDTH, PATCH, PATCH), nn.BatchNorm2d(WIDTH)
        self.cls, self.unused = nn.Parameter(torch.randn(1, 1, WIDTH)), nn.Parameter(torch.randn(WIDTH))
        self.blocks = nn.ModuleList(Block() for _ in range(LAYERS))
        self.read = 0
        self.with_graph = []

    def forward(self, pixel_values):
        self.read += len(pixel_values)
        patches = self.bn(self.embed(pixel_values))
        self.with_graph.append(patches.requires_grad)
        tokens = torch.cat([self.cls.expand(len(patches), -1, -1), patches.flatten(2).transpose(1, 2)], dim=1)
        for block in self.blocks:
            tokens = block(tokens)
        return SimpleNamespace(last_hidden_state=tokens)


def processor(images, return_tensors):
    return {"pixel_values": torch.stack([torch.from_numpy(np.array(each)).permute(2, 0, 1) / 127.5 - 1
                                         for each in images])}  # fmt: skip


@pytest.fixture(autouse=True)
def no_collection(monkeypatch):
    """Searching for garbage before each row would take a quarter of these tests' time."""
    monkeypatch.setattr(table, "gc", SimpleNamespace(collect=lambda: None))


@pytest.fixture
def loaded() -> Loaded:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = Encoder().eval().requires_grad_(False)
    return Loaded("made up", "pocket", model, processor, "no file", "cpu")


def pictures(n: int, seed: int, says: bool = True) -> Part:
    """Pictures that are red, green or blue all over, as their label says, or as another's does."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(3, size=n)
    labels[:3] = range(3)
    images = rng.integers(60, 190, (n, SIDE, SIDE, 3))
    images[np.arange(n), :, :, labels if says else rng.integers(3, size=n)] += 60
    return Part(images.astype(np.uint8), labels)


def made_up(says: bool = True, n: int = 60, test: int = 300) -> Task:
    return Task(
        "made up", ("red", "green", "blue"), pictures(n, 1, says), pictures(60, 2, says), pictures(test, 3, says)
    )


def crossed(n: int, seed: int) -> Part:
    """Whether the upper left and the lower right patch are alike: no linear head on the mean of patches can say."""
    rng = np.random.default_rng(seed)
    images, one, other = rng.integers(90, 160, (n, SIDE, SIDE, 3)), rng.integers(2, size=n), rng.integers(2, size=n)
    images[:, :PATCH, :PATCH, 0] += 90 * one[:, None, None] - 45
    images[:, PATCH:, PATCH:, 2] += 90 * other[:, None, None] - 45
    return Part(images.clip(0, 255).astype(np.uint8), (one == other).astype(int))


def accuracy(adapted: Adapted, part: Part) -> float:
    found = adapted.predict(part.images)
    assert found.shape == (len(part),) and found.dtype == np.int64
    return float((found == part.labels).mean())


def quick(name: str) -> partial:
    """A method of this name, with few steps where it has any."""
    return partial(METHODS[name], **({"steps": 3, "batch": 8} if name in INSIDE else {}))


# --- tasks ----------------------------------------------------------------------------------------------------------


def test_few_takes_as_many_of_each_class_and_leaves_the_rest():
    task = made_up()
    drawn = task.few(5, seed=1)
    assert np.bincount(drawn.train.labels).tolist() == [5, 5, 5] and len(set(drawn.train.digests)) == 15
    where = [task.train.digests.index(each) for each in drawn.train.digests]
    assert (task.train.labels[where] == drawn.train.labels).all()
    assert drawn.test is task.test and drawn.validation is task.validation
    assert task.few(5, seed=1).digest == drawn.digest != task.few(5, seed=2).digest
    with pytest.raises(UserError, match="1 to .* training pictures a class"):
        task.few(60)


def test_a_task_says_what_is_wrong_with_it():
    images, labels = np.zeros((4, 8, 8, 3), np.uint8), np.array([0, 1, 0, 1])
    good = Part(images, labels)
    for broken, sentence in (
        (lambda: Part(images, labels[:3]), "4 pictures and 3 labels"),
        (lambda: Part(images, labels / 2), "whole numbers"),
        (lambda: Part(images.transpose(0, 3, 1, 2), labels), "height, width, 3"),
        (lambda: Part(images / 255, labels), "uint8"),
        (lambda: Task("t", ("a",), good, good, good), "labels of 't' are 0 to 0"),
        (lambda: Task("t", ("a", "b", "c"), good, good, good), "no training picture of 'c'"),
        (lambda: Task("t", ("a", "b"), good, good, good.take([])), "no pictures in its part 'test'"),
        (lambda: Task("t", ("a", "b"), good, good, good, unchanged_by=("turn",)), "no augmentation 'turn'"),
    ):
        with pytest.raises(UserError, match=sentence):
            broken()


def test_a_leak_is_found_whatever_form_the_picture_has():
    task = made_up()
    assert leaks(task) == []
    again = [Image.fromarray(each) for each in task.test.images]
    again[7] = Image.fromarray(task.train.images[11])
    leaky = dataclasses.replace(task, test=Part(again, task.test.labels))
    assert leaks(leaky) == [("train", 11, "test", 7)]
    assert leaky.digest != task.digest
    assert dataclasses.replace(task, test=Part(list(task.test.images), task.test.labels)).digest == task.digest


def test_concepts_are_those_of_the_scenes():
    task = concept_task(seed=3, sizes=(96, 30, 40), side=32)
    assert [len(part) for part in task.parts().values()] == [96, 30, 40] and leaks(task) == []
    for number, part in enumerate((task.train, task.validation, task.test)):
        scenes = World(20_060 + number, 32).sample(len(part))
        assert all(np.array_equal(each.image, image) for each, image in zip(scenes, part.images, strict=True))
        assert [task.classes[label] for label in part.labels] == [scene.main.concept for scene in scenes]
    assert task.classes == CONCEPTS and not set(task.test.digests) & set(concept_task(4, (96, 9, 40), 32).test.digests)


# --- parcels --------------------------------------------------------------------------------------------------------

SIZES = (300, 100, 120)


def true_of(scene) -> dict[str, tuple[str, bool]]:
    """For each task: what is true, and whether it is beyond doubt."""
    thing, size = scene.main, scene.image.shape[0]
    rows, columns = np.nonzero(thing.mask)
    gap = min(rows.min(), columns.min(), size - 1 - rows.max(), size - 1 - columns.max()) / size
    (x, y), light = (each / size for each in thing.centre), abs(scene.light)
    return {
        "defect": (thing.defect, True),
        "damaged": ("damaged" if thing.defect in ("torn", "dented", "wet") else "intact", True),
        "colour": (thing.colour, True),
        "packaging": (thing.style, True),
        "belt": (scene.background, True),
        "side": ("left" if x < 0.5 else "right", abs(x - 0.5) > 0.03),
        "lane": ("upper" if y < 0.5 else "lower", abs(y - 0.5) > 0.03),
        "size": ("small" if thing.extent < 0.7 else "large", not 0.63 < thing.extent < 0.74),
        "at the edge": ("at the edge" if gap < 0.05 else "clear", not 0.04 < gap < 0.07),
        "tilt": ("upright" if abs(thing.angle) < 8 else "tilted", not 5 < abs(thing.angle) < 12),
        "label side": (("left" if thing.flipped else "right") + " of the tape", True),
        "camera": ("clean" if scene.noise < 12 else "noisy", not 8 < scene.noise < 18),
        "light": ("even" if light < 0.5 else "slanted", not 0.4 < light < 0.6),
    }


@pytest.fixture(scope="module")
def tasks() -> dict[str, Task]:
    return parcel_tasks(sizes=SIZES)


def test_parcels_are_labelled_as_the_scenes_say(tasks):
    drawn = parcels(0, SIZES, 64)
    known = {Part(images[i : i + 1], [0]).digests[0]: scene for scenes, images in drawn.values()
             for i, scene in enumerate(scenes)}  # fmt: skip
    assert len(tasks) == len(QUESTIONS) == 13 and set(true_of(drawn["test"][0][0])) == set(tasks)
    for name, task in tasks.items():
        for part in task.parts().values():
            assert len(part) >= 15, name
            for digest, label in zip(part.digests, part.labels, strict=True):
                wanted, sure = true_of(known[digest])[name]
                assert sure and task.classes[label] == wanted, (name, wanted)
        assert leaks(task) == [] and set(task.train.labels.tolist()) == set(range(len(task.classes)))


def test_all_parcel_tasks_are_on_the_same_pictures(tasks):
    for part, n in zip(("train", "validation", "test"), SIZES, strict=True):
        all_of_it = set(tasks["defect"].parts()[part].digests)
        assert len(all_of_it) == n
        assert all(set(task.parts()[part].digests) <= all_of_it for task in tasks.values())


def test_where_no_answer_is_more_frequent_by_much(tasks):
    for name in ("damaged", "at the edge", "tilt"):
        assert all(len(set(np.bincount(part.labels))) == 1 for part in tasks[name].parts().values()), name
    assert all(task.chance < 1.5 / len(task.classes) for task in tasks.values())


def test_shifted_parcels_have_what_no_training_picture_has(tasks):
    drawn = parcels(0, SIZES, 64)
    styles = {part: {scene.main.style for scene in scenes} for part, (scenes, _) in drawn.items()}
    for part in ("train", "validation", "test"):
        assert styles[part] == {"flat", "inked", "grainy"}
    assert styles[PACKAGING] == {"outlined"} and len(drawn[PACKAGING][0]) == SIZES[2] // 2
    scenes, dark = drawn[LIGHTING]
    assert scenes == drawn["test"][0]
    for scene, image in zip(scenes, dark, strict=True):
        left = image.astype(float) / np.maximum(scene.image, 1)
        bright = scene.image.min(axis=2) > 60
        assert left[bright].min() > 0.36 and left[bright].max() <= 0.9 and np.ptp(left[bright]) > 0.3
    whole = np.stack([scene.image for scene in scenes]).astype(float)
    halves = (np.s_[:, :32], np.s_[:, 32:], np.s_[:, :, :32], np.s_[:, :, 32:])  # upper, lower, left, right
    kept = [dark[half].sum(axis=(1, 2, 3)) / whole[half].sum(axis=(1, 2, 3)) for half in halves]
    assert set(np.argmax(kept, axis=0)) == {0, 1, 2, 3}
    assert set(tasks["packaging"].shifted) == {LIGHTING} and "outlined" not in tasks["packaging"].classes
    assert set(tasks["light"].shifted) == set(tasks["camera"].shifted) == {PACKAGING}
    assert all(len(task.shifted) == 2 for name, task in tasks.items() if name not in ("packaging", "light", "camera"))


def test_no_augmentation_makes_a_label_wrong(tasks):
    for name in ("side", "label side"):
        assert "flip" not in tasks[name].unchanged_by
    for name in ("side", "lane", "size", "at the edge", "defect"):
        assert "crop" not in tasks[name].unchanged_by
    assert all("light" not in task.unchanged_by for task in tasks.values())  # or its shift would be trained on
    assert set(STYLES) - set(tasks["packaging"].classes) == {"outlined"}
    with pytest.raises(UserError, match="no parcel task 'weight'"):
        parcel_tasks(sizes=SIZES, names=["weight"])


# --- frozen ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", [knn, class_means, linear])
def test_what_the_features_say_is_read_and_nothing_else(loaded, method):
    good = made_up()
    assert accuracy(method(loaded, good), good.test) > 0.95
    other = made_up(says=False, test=900)
    assert accuracy(method(loaded, other), other.test) == pytest.approx(1 / 3, abs=0.06)


def test_settings_are_chosen_on_validation_and_never_on_test(loaded):
    task = made_up()
    wrong = dataclasses.replace(task, test=Part(task.test.images, (task.test.labels + 1) % 3))
    for method in (knn, class_means, linear):
        found = method(loaded, wrong)
        assert found.settings["validation"] > 0.9 and found.settings == method(loaded, task).settings
    asked = Part(task.validation.images, np.zeros(60, int))  # where all is 0, the strongest decay guesses best
    uneven = dataclasses.replace(task, train=task.train.take([0, 1, 2, *np.flatnonzero(task.train.labels == 0)[3:]]))
    assert linear(loaded, dataclasses.replace(uneven, validation=asked), decays=(1e-4, 1e6)).settings["decay"] == 1e6
    assert linear(loaded, uneven, decays=(1e-4, 1e6)).settings["decay"] == 1e-4


@pytest.mark.parametrize("name", METHODS)
def test_the_feature_is_the_one_that_validation_prefers(loaded, monkeypatch, name):
    def said(kind: str):
        def read(_, part: Part) -> Said:
            noise = torch.randn(len(part), 300, generator=torch.Generator().manual_seed(int(part.images.sum())))
            rows = {"whole": noise, "mean": noise} | {kind: F.one_hot(torch.from_numpy(part.labels), 4).float()}
            return Said(**rows, seconds=1, memory=0)

        return read

    for kind in ("whole", "mean"):
        monkeypatch.setattr(frozen, "read_part", said(kind))
        if name in INSIDE:
            assert frozen.linear_start(loaded, made_up()).feature == kind
        else:
            assert METHODS[name](loaded, made_up()).settings["feature"] == kind


def test_one_pass_of_the_encoder_serves_every_head_and_task(loaded):
    task = made_up()
    for method in (knn, class_means, linear):
        method(loaded, task).predict(task.test.images)
    other = dataclasses.replace(task, train=Part(list(task.train.images), (task.train.labels + 1) % 3))
    cost = linear(loaded, other)
    assert loaded.model.read == 60 + 60 + 300 and not any(loaded.model.with_graph)
    assert cost.seconds > cost.reading > 0 and knn(loaded, task).reading == cost.reading
    assert knn(loaded, task).seconds > cost.reading  # though it was read before
    assert not read_part(loaded, task.train).whole.requires_grad
    forget()
    read_part(loaded, task.train.take([0, 1, 1]))
    assert loaded.model.read == 420 + 2  # the same picture twice is read once


def test_other_weights_read_everything_again(loaded):
    task = made_up()
    before = read_part(loaded, task.train).whole
    with torch.no_grad():
        loaded.model.embed.weight.mul_(1.5)
    after = read_part(loaded, task.train).whole
    assert not torch.allclose(before, after) and loaded.model.read == 120
    assert torch.equal(after[:2], read_images(loaded, task.train.images[:2]).whole)


def test_the_linear_head_is_the_best_there_is_and_only_it_is_in_the_optimiser(loaded, monkeypatch):
    seen = []
    kind = torch.optim.LBFGS
    monkeypatch.setattr(torch.optim, "LBFGS", lambda weights, **k: seen.append(weights) or kind(weights, **k))
    task = made_up()
    x, labels = read_part(loaded, task.train).mean, torch.from_numpy(task.train.labels)
    head = fit_linear(x, labels, 0.01, 3)
    assert [tuple(each.shape) for each in seen[0]] == [(3, WIDTH), (3,)]
    weight, bias = (each.clone().requires_grad_(True) for each in (head.weight, head.bias))
    loss = F.cross_entropy((x - x.mean(0)) / (x.std(0) + 1e-6) @ weight.T + bias, labels)
    (loss + 0.01 * weight.square().sum()).backward()
    assert max(weight.grad.abs().max(), bias.grad.abs().max()) < 1e-3


def test_near_neighbours_outvote_many_that_are_farther():
    known = F.normalize(torch.tensor([[1.0, 0.0], [1.0, 0.9], [0.9, 1.0]]), dim=1)
    labels, asked = torch.tensor([0, 1, 1]), torch.tensor([[1.0, 0.05]])
    assert nearest(known, labels, asked, 2, k=3, temperature=0.07).tolist() == [0]
    assert nearest(known, labels, asked, 2, k=3, temperature=10).tolist() == [1]
    assert nearest(known, labels, asked, 2, k=1, temperature=10).tolist() == [0]


def test_fewer_pictures_than_neighbours(loaded):
    task = made_up().few(1)
    assert knn(loaded, task).settings["k"] == 1 and knn(loaded, task, ks=(50,)).settings["k"] == 3


# --- inside the encoder ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", METHODS)
def test_the_model_that_is_given_is_not_touched(loaded, name):
    model = loaded.model.train().requires_grad_(True)  # as a learner may have left it
    model.blocks[0].eval()
    before = {key: value.clone() for key, value in model.state_dict().items()}
    modes = [module.training for module in model.modules()]
    task = dataclasses.replace(made_up(), unchanged_by=("flip", "crop", "light"))
    quick(name)(loaded, task, 0).predict(task.test.images)
    assert all(torch.equal(before[key], value) for key, value in model.state_dict().items())
    assert [module.training for module in model.modules()] == modes
    assert all(weight.grad is None and weight.requires_grad for weight in model.parameters())
    assert not any(module._forward_hooks for module in model.modules())


@pytest.mark.parametrize("method", [lora, adapter, full])
def test_training_begins_at_the_linear_head(loaded, method):
    task = made_up()
    start, found = linear(loaded, task), method(loaded, task, steps=1, rates=1e-12)
    assert found.settings["feature"] == start.settings["feature"] and found.reading == start.reading
    assert (found.predict(task.test.images) == start.predict(task.test.images)).all()
    pixels = processor(list(task.test.images), "pt")["pixel_values"]
    said = read_part(loaded, task.test).feature(start.settings["feature"])
    head = fit_linear(read_part(loaded, task.train).feature(start.settings["feature"]),
                      torch.from_numpy(task.train.labels), start.settings["decay"], 3)  # fmt: skip
    with torch.no_grad():
        assert torch.allclose(found.model(pixels), head.logits(said), atol=1e-4)


@pytest.mark.parametrize("method", [lora, adapter, full])
def test_what_no_head_can_say_is_learnt_inside(loaded, method):
    task = Task("crossed", ("different", "alike"), crossed(400, 1), crossed(200, 2), crossed(300, 3))
    assert accuracy(linear(loaded, task, feature="mean"), task.test) < 0.7
    found = method(loaded, task, feature="mean", steps=150, rates=1e-2)
    assert accuracy(found, task.test) > 0.85
    assert found.seconds > 0 and found.settings["rate"] == 1e-2


def test_the_rate_is_the_one_that_validation_prefers(loaded):
    task = Task("crossed", ("different", "alike"), crossed(200, 1), crossed(200, 2), crossed(100, 3))
    found = [full(loaded, task, rates=rates, steps=60, feature="mean") for rates in ((1e-2, 1e-7), (1e-7,), (1e-2,))]
    assert [each.settings["rate"] for each in found] == [1e-2, 1e-7, 1e-2]
    assert found[0].settings["validation"] == found[2].settings["validation"] > found[1].settings["validation"]
    with pytest.raises(UserError, match="learning rate above 0"):
        full(loaded, task, rates=())


def test_merged_lora_is_a_plain_encoder_that_says_the_same(loaded):
    task = made_up()
    found = lora(loaded, task, steps=20, rates=1e-2)
    plain = merged(found)
    pixels = processor(list(task.test.images), "pt")["pixel_values"]
    with torch.no_grad():
        assert torch.allclose(plain.model(pixels), found.model(pixels), atol=1e-4)
    assert (plain.predict(task.test.images) == found.predict(task.test.images)).all()
    changed = {name for name, weight in plain.model.encoder.named_parameters()
               if not torch.equal(weight, dict(loaded.model.named_parameters())[name])}  # fmt: skip
    assert changed == {f"blocks.{i}.{role}_proj.weight" for i in range(LAYERS) for role in "qv"}
    assert set(plain.model.encoder.state_dict()) == set(loaded.model.state_dict())
    assert any("lora" in name for name, _ in found.model.named_parameters())  # what was given is as it was
    with pytest.raises(UserError, match="Only what `lora` has adapted"):
        merged(linear(loaded, task))


def test_trained_numbers_are_those_of_the_formulas(loaded):
    task, classes = made_up(), 3
    of_encoder = sum(weight.numel() for weight in loaded.model.parameters())
    for feature, width in (("whole", WIDTH), ("mean", WIDTH), ("both", 2 * WIDTH)):
        head = classes * width + classes
        found = linear(loaded, task, feature=feature)
        assert (found.trained, found.total, found.share) == (head, of_encoder + head, head / (of_encoder + head))
        found = lora(loaded, task, feature=feature, rank=3, steps=1)
        assert found.trained == 2 * LAYERS * 3 * (WIDTH + WIDTH) + head and found.total == of_encoder + found.trained
        found = adapter(loaded, task, feature=feature, size=5, steps=1)
        assert found.trained == LAYERS * (2 * WIDTH * 5 + 5 + WIDTH) + head
        assert found.total == of_encoder + found.trained
        found = full(loaded, task, feature=feature, steps=1)
        assert (found.trained, found.total) == (of_encoder + head - WIDTH, of_encoder + head)  # one is never used
    assert class_means(loaded, task, feature="both").trained == classes * 2 * WIDTH
    assert knn(loaded, task).trained == 0 and knn(loaded, task).total == of_encoder
    more = lora(loaded, task, rank=1, roles=("query", "key", "value"), feature="mean", steps=1)
    assert more.trained == 3 * LAYERS * 2 * WIDTH + classes * (WIDTH + 1)


def test_only_what_the_method_trains_is_in_the_optimiser(loaded, monkeypatch):
    given = []
    loaded.model.requires_grad_(True)  # as a learner may have left it
    kind = torch.optim.AdamW
    monkeypatch.setattr(torch.optim, "AdamW", lambda groups, **k: given.append(groups) or kind(groups, **k))
    task = made_up()
    for name, method in INSIDE.items():
        model = method(loaded, task, steps=7, rates=1e-3).model
        named = {id(weight): key for key, weight in model.named_parameters()}
        inside = {named[id(weight)] for group in given[-1] for weight in group["params"]}
        wanted = {key for key in named.values() if key.startswith("head.")}
        assert len(wanted) == 2
        wanted |= {key for key in named.values() if {"lora": "lora_", "adapter": "adapters.", "full": "encoder."}[name]
                   in key}  # fmt: skip
        assert inside == wanted and len(wanted) > 2, name
        decayed = {named[id(weight)] for group in given[-1] if group["weight_decay"] for weight in group["params"]}
        assert {group["lr"] for group in given[-1]} == {1e-3 * schedule(6 / 7, WARM_UP)}
        assert "head.weight" in decayed and not any(key.endswith(("bias", "norm.weight", "cls")) for key in decayed)


@pytest.mark.parametrize("method", [lora, adapter, full])
def test_batch_norm_and_dropout_stay_as_in_use(loaded, method):
    task = made_up()
    found = method(loaded, task, steps=5, rates=1e-2)
    encoder = dict(found.model.named_modules())
    [norm] = [module for module in encoder.values() if isinstance(module, nn.BatchNorm2d)]
    assert torch.equal(norm.running_mean, loaded.model.bn.running_mean) and norm.num_batches_tracked == 0
    assert torch.equal(norm.running_var, loaded.model.bn.running_var)
    first = found.predict(task.test.images)
    found.model.train()  # as a learner may call it
    assert not norm.training and (found.predict(task.test.images) == first).all()
    assert not any(weight.requires_grad or weight.grad is not None for weight in found.model.parameters())


def test_no_graph_is_kept_below_the_first_trained_weight(loaded):
    task = made_up()
    for method, graph in ((lora, False), (adapter, False), (full, True)):
        model = method(loaded, task, steps=2, rates=1e-3).model
        [encoder] = [module for module in model.modules() if isinstance(module, Encoder)]
        assert any(encoder.with_graph) == graph, method


@pytest.mark.parametrize("method", [lora, adapter, full])
def test_the_same_seed_gives_the_same_weights(loaded, method):
    task = dataclasses.replace(made_up(), unchanged_by=("flip", "crop", "light"))
    torch.manual_seed(5)
    drawn = torch.rand(3)
    torch.manual_seed(5)
    one = method(loaded, task, 1, steps=4, rates=1e-2)
    assert torch.equal(torch.rand(3), drawn)  # what the caller draws is what it would have drawn
    again, other = (method(loaded, task, seed, steps=4, rates=1e-2) for seed in (1, 2))
    same = zip(one.model.parameters(), again.model.parameters(), strict=True)
    assert all(torch.equal(a, b) for a, b in same)
    assert not torch.equal(one.model.head.weight, other.model.head.weight)
    assert (one.predict(task.test.images) == again.predict(task.test.images)).all()


def test_a_wrong_setting_is_one_sentence(loaded):
    task = made_up()
    for broken, sentence in (
        (lambda: lora(loaded, task, rank=0), "rank is at least 1"),
        (lambda: lora(loaded, task, roles=("query", "soul")), "no role 'soul'"),
        (lambda: lora(loaded, task, roles=("output",)), "Encoder has no linear output layer"),
        (lambda: adapter(loaded, task, size=0), "at least 1 number"),
        (lambda: linear(loaded, task, feature="cls"), "no feature 'cls'"),
        (lambda: knn(dataclasses.replace(loaded, name="sam"), task), "SAM answers prompts"),
        (lambda: full(dataclasses.replace(loaded, name="sam"), task), "SAM answers prompts"),
    ):
        with pytest.raises(UserError, match=sentence):
            broken()


# --- views and steps ------------------------------------------------------------------------------------------------


def test_views_are_what_was_asked_for_and_no_more():
    pixels = torch.randn(200, 3, 8, 12, generator=torch.Generator().manual_seed(0))
    assert torch.equal(augment(pixels, (), torch.Generator()), pixels)
    flipped = augment(pixels, ("flip",), torch.Generator().manual_seed(0))
    mirrored = torch.tensor([torch.allclose(a, b.flip(2), atol=1e-4) for a, b in zip(flipped, pixels, strict=True)])
    left = torch.tensor([torch.allclose(a, b, atol=1e-4) for a, b in zip(flipped, pixels, strict=True)])
    assert (mirrored ^ left).all() and 60 < mirrored.sum() < 140
    lit = augment(pixels, ("light",), torch.Generator().manual_seed(0))
    line = torch.stack([torch.corrcoef(torch.stack([a.flatten(), b.flatten()]))[0, 1]
                        for a, b in zip(lit, pixels, strict=True)])  # fmt: skip
    assert line.min() > 0.999 and (lit - pixels).abs().mean() > 0.05
    ramp = torch.linspace(-1, 1, 12).expand(200, 3, 8, 12)
    cropped = augment(ramp, ("crop",), torch.Generator().manual_seed(0))
    slope = (cropped[:, 0, 0, 6] - cropped[:, 0, 0, 5]) / (2 / 11)  # how much of the width a view shows
    assert 0.6**0.5 - 0.01 < slope.min() < 0.82 and 0.95 < slope.max() < 1.01
    assert (cropped[:, 0, 0, 5] + cropped[:, 0, 0, 6]).std() > 0.05  # not always the middle


def test_every_picture_is_seen_once_before_any_comes_again():
    for n, batch in ((7, 3), (3, 8), (16, 16)):
        seen = torch.cat(list(batches(n, batch, 21, torch.Generator().manual_seed(0))))
        assert len(seen) == 21 * batch
        counts = [torch.bincount(seen[: end * n], minlength=n).unique().tolist() for end in range(1, len(seen) // n)]
        assert counts == [[end] for end in range(1, len(seen) // n)]


def test_the_rate_rises_then_falls():
    rates = [schedule(step / 200, WARM_UP) for step in range(200)]
    top = int(np.argmax(rates))
    assert 15 <= top <= 25 and rates[top] > 0.99 and rates[0] < 0.05 and rates[-1] < 0.02
    assert rates[:top] == sorted(rates[:top]) and rates[top:] == sorted(rates[top:], reverse=True)


# --- real classes ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["dinov2", "clip", "mae", "siglip", "supervised"])
def test_the_pocket_models_parts_are_found(name):
    model = load(name, tier="pocket", device="cpu").model
    names = projections(model)
    assert len(names) == 12 and not any("text" in each or "decoder" in each or "head" in each for each in names)
    assert all(model.get_submodule(each).weight.shape == (128, 128) for each in names)
    assert len(projections(model, ("query", "key", "value", "output"))) == 24
    assert len(blocks(model)) == 6 and len({type(block) for block in blocks(model)}) == 1
    reads = encoder_weights(model)
    assert not any(each.startswith(("classifier", "text", "decoder", "logit")) for each in reads)
    assert 1_190_000 < sum(weight.numel() for weight in reads.values()) < 1_450_000
    copied = copy_encoder(model)
    apart = {key: weight.data_ptr() != dict(model.named_parameters())[key].data_ptr()
             for key, weight in copied.named_parameters()}  # fmt: skip
    assert apart == {key: key in reads for key, _ in model.named_parameters()}


@pytest.mark.parametrize("name", ["dinov2", "clip", "mae"])
def test_every_way_on_a_pocket_model(name):
    loaded = load(name, tier="pocket", device="cpu")
    task = concept_task(sizes=(160, 40, 60)).few(2)
    before = {key: value.clone() for key, value in loaded.model.state_dict().items()}
    counts = {}
    for method in METHODS:
        found = quick(method)(loaded, task, 0, feature="mean")
        counts[method] = found.trained
        assert set(found.predict(task.test.images[:8])) <= set(range(16))
    assert all(torch.equal(before[key], value) for key, value in loaded.model.state_dict().items())
    head = 16 * 129
    assert counts["lora"] == 2 * 6 * 8 * 256 + head and counts["adapter"] == 6 * (2 * 128 * 16 + 144) + head
    assert counts["linear"] == head and counts["full"] > 1_190_000


def test_the_headline_at_real_size():
    dino, picture_of_clip = (build(find(name)[1]) for name in ("dinov2-base", "clip-base"))
    head = 768 * 10 + 10
    assert head == 7_690 and sum(w.numel() for w in encoder_weights(dino).values()) + head == 86_588_170
    parts = anatomy("clip-base").parts
    without = sum(parts.values()) - parts["text tower"] - parts["scale and bias of the loss"]
    assert sum(weight.numel() for weight in encoder_weights(picture_of_clip).values()) == without


@pytest.mark.parametrize("make", [dinov2, clip])
def test_every_way_on_the_hubs_classes(make, tmp_path, monkeypatch):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        make(tmp_path)
    name = make.__name__
    monkeypatch.setitem(CATALOG, name, dataclasses.replace(CATALOG[name], hub_id=str(tmp_path)))
    loaded = load(name, tier="hub", device="cpu")
    before = {key: value.clone() for key, value in loaded.model.state_dict().items()}
    rng = np.random.default_rng(0)

    def part(n: int) -> Part:  # photographs of all sizes, in another mode too
        sizes = rng.integers(40, 90, (n, 2))
        images = [Image.fromarray(rng.integers(0, 255, (*size, 3), dtype=np.uint8)) for size in sizes]
        images[0] = images[0].convert("L")
        return Part(images, np.arange(n) % 2)

    task = Task("photographs", ("one", "two"), part(8), part(4), part(4), unchanged_by=("flip",)).few(2)
    rows = compare(loaded, task, {each: quick(each) for each in METHODS}, seeds=(0,), show=False)
    assert [row.method for row in rows] == list(METHODS) and all(row.labels == 4 for row in rows)
    assert all(torch.equal(before[key], value) for key, value in loaded.model.state_dict().items())
    of_encoder = rows[0].total
    whole = sum(weight.numel() for weight in loaded.model.parameters())
    assert of_encoder == whole if name == "dinov2" else of_encoder < 0.9 * whole
    assert all(row.total > of_encoder for row in rows[1:])


# --- the table ------------------------------------------------------------------------------------------------------


class Told:
    """A method that is right about the first pictures of a part, more of them with each seed; it counts its runs."""

    def __init__(self, stop_at: int | None = None):
        self.runs, self.seen, self.stop_at = [], [], stop_at

    def __call__(self, loaded, task, seed, *, rights=100):
        if self.stop_at == len(self.runs):
            raise KeyboardInterrupt
        self.runs.append((task.name, seed))
        self.seen.append(tuple(task.train.digests))

        def predict(images):
            labels = next(part.labels for part in task.parts().values() if len(part) == len(images)).copy()
            labels[rights + 50 * seed :] = (labels[rights + 50 * seed :] + 1) % 3
            return labels

        return Adapted(predict, 10 + seed, 1000, 2.0 + seed, 1.0, 0, {"feature": np.float64(seed)})


def told_row(rows: list[Row]) -> list:
    return [(row.task, row.method, row.accuracy, row.by_seed, row.shifted, row.trained, row.seconds) for row in rows]


@pytest.fixture
def method():
    """A function, as a learner's method is one, around something that counts."""

    def make(stop_at: int | None = None) -> tuple[Told, object]:
        told = Told(stop_at)

        def mine(loaded, task, seed, *, rights=100):
            return told(loaded, task, seed, rights=rights)

        return told, mine

    return make


def test_a_row_holds_what_was_measured(loaded, method):
    task = dataclasses.replace(made_up(), shifted={"dark": pictures(120, 9)})
    told, mine = method()
    [row] = compare(loaded, task, {"mine": mine}, seeds=(0, 1, 2), show=False)
    hits = np.arange(300)[None] < 100 + 50 * np.arange(3)[:, None]
    assert row.accuracy == crossed_interval(hits) and row.by_seed == (1 / 3, 1 / 2, 2 / 3)
    assert row.accuracy[1] < 0.45 < 0.5 == row.accuracy[0] < 0.55 < row.accuracy[2]  # seeds differ: a wide interval
    assert row.shifted == {"dark": crossed_interval(np.arange(120)[None] < np.array([[100], [150], [200]]))}
    assert (row.trained, row.total, row.share, row.seconds, row.reading, row.labels) == (11, 1000, 0.011, 3, 1, 60)
    assert row.chance == np.bincount(task.test.labels).max() / 300 and row.model == "made up"
    text = as_text([row, dataclasses.replace(row, shifted={}, memory=5 * 2**20)])
    lines = text.splitlines()
    assert len(lines) == 3 and "0.500 (" in lines[1] and "1.100%" in lines[1] and lines[2].endswith("3.0    5")
    assert "dark" in lines[0] and "  -  " in lines[2] and lines[1].index("mine") == lines[0].index("method")


def test_all_methods_learn_from_the_same_pictures(loaded, method):
    (one, first), (other, second) = method(), method()
    compare(loaded, made_up(), {"one": first, "another": second}, seeds=(0, 1), shots=4, show=False)
    assert one.seen == other.seen and len(one.seen[0]) == 12 and one.seen[0] != one.seen[1]


def test_an_interrupted_comparison_loses_nothing(loaded, method, tmp_path):
    tasks = [made_up(), dataclasses.replace(made_up(n=50), name="other")]
    file = tmp_path / "new folder" / "runs.json"

    def whole(mine, **more) -> list[Row]:
        ways = {"mine": mine, "better": partial(mine, rights=120), "linear": linear}
        return compare(loaded, tasks, ways, seeds=(0, 1), show=False, **more)

    wanted = told_row(whole(method()[1]))
    stopped, mine = method(stop_at=3)
    with pytest.raises(KeyboardInterrupt):
        whole(mine, file=file)
    assert len(json.loads(file.read_text())["runs"]) == 3 and len(stopped.runs) == 3
    told, mine = method()
    rows = told_row(whole(mine, file=file))
    assert [each[:4] for each in rows] == [each[:4] for each in wanted] and rows[0] == wanted[0]
    assert len(told.runs) == 8 - 3 and len(rows) == 6
    told, mine = method()
    assert told_row(whole(mine, file=file)) == rows and not told.runs
    assert [path.name for path in file.parent.iterdir()] == ["runs.json"]
    whole(mine, file=file, resume=False)
    assert len(told.runs) == 8


def test_what_has_changed_is_run_again(loaded, method, tmp_path):
    task, file = made_up(), tmp_path / "runs.json"

    def runs(way=None, **changes) -> int:
        told, mine = method()
        compare(**{"models": loaded, "tasks": task, "methods": {"mine": way(mine) if way else mine}, "seeds": (0,),
                   "file": file, "show": False} | changes)  # fmt: skip
        return len(told.runs)

    assert (runs(), runs()) == (1, 0)
    assert runs(lambda mine: partial(mine, rights=90)) == 1 and runs(lambda mine: partial(mine, rights=100)) == 0
    assert runs(seeds=(0, 4)) == 1 and runs(shots=5) == 1 and runs(shots=6) == 1 and runs() == 0
    labels = task.validation.labels.copy()
    labels[5] = (labels[5] + 1) % 3
    assert runs(tasks=dataclasses.replace(task, validation=Part(task.validation.images, labels))) == 1
    assert runs(tasks=dataclasses.replace(task, unchanged_by=("flip",))) == 1

    def edited(mine):
        def way(loaded, task, seed, *, rights=100):
            return mine(loaded, task, seed, rights=rights)

        way.__qualname__ = mine.__qualname__  # as if its cell had been changed and run again
        return way

    assert (runs(edited), runs(edited), runs()) == (1, 0, 0)
    with torch.no_grad():
        loaded.model.cls[0, 0, 0] += 1e-3
    assert runs() == 1
    file.write_text('{"runs": [{"key": 3}]}')
    with pytest.raises(UserError, match="holds no runs that could be continued"):
        runs()


def test_a_wrong_comparison_is_one_sentence(loaded):
    with pytest.raises(UserError, match="no method 'lorra': choose from knn"):
        compare(loaded, made_up(), ["lorra"], show=False)
    with pytest.raises(UserError, match="at least one model"):
        compare(loaded, made_up(), seeds=(), show=False)


def test_memory_is_that_of_the_worst_moment():
    def work(n: int) -> int:
        blocks = [torch.ones(n * 2**18) for _ in range(2)]  # 2 n MiB, given back at the end
        return len(blocks)

    small, large = (peak_growth(lambda n=n: work(n)) for n in (1, 64))
    assert small[0] == large[0] == 2 and 110 * 2**20 < large[1] < 160 * 2**20 and small[1] < 30 * 2**20
    with pytest.raises(ZeroDivisionError):
        peak_growth(lambda: 1 / 0)


# --- the house ------------------------------------------------------------------------------------------------------


def test_imports_point_downwards_and_are_light():
    allowed = ("adapt", "errors", "families", "features", "intervals", "world", "paths", "schedule", "whole_file")
    for path in ADAPT.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [node.module] if isinstance(node, ast.ImportFrom) else []
            names += [each.name for each in node.names] if isinstance(node, ast.Import) else []
            for name in names:
                assert not name.startswith("vfm_course") or name.split(".")[1] in allowed, (path.name, name)
    code = (
        "import sys, vfm_course.adapt.table, vfm_course.adapt.parcels\n"
        "print([name for name in ('peft', 'sklearn', 'transformers', 'psutil', 'rich') if name in sys.modules])"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"
