"""The rival trained from nothing, the photographs of pets, and the comparisons that are stored."""

import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from tiny.pets import draw_pets

from vfm_course.adapt import pets, studies
from vfm_course.adapt.bespoke import bespoke
from vfm_course.adapt.frozen import linear
from vfm_course.adapt.table import Row, compare
from vfm_course.adapt.task import Part, Task, concept_task, leaks
from vfm_course.errors import UserError
from vfm_course.families import load
from vfm_course.families.load import Loaded

ROOT = Path(__file__).resolve().parents[1]
CLASSES = 3


def processor(images, return_tensors):
    return {"pixel_values": torch.stack([torch.from_numpy(np.array(each)).permute(2, 0, 1) / 127.5 - 1
                                         for each in images])}  # fmt: skip


LOADED = Loaded("made up", "pocket", None, processor, "no file", "cpu")  # no model: nothing of one may be used


def stripes(n: int, seed: int, says: bool = True) -> Part:
    """Stripes at three angles, at random places: nothing that a mean over the picture could tell."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(CLASSES, size=n)
    labels[:CLASSES] = range(CLASSES)
    shown = labels if says else rng.permutation(labels)
    y, x = np.mgrid[:32, :32]
    along = np.stack([x, y, x + y])[shown]
    images = np.where((along + rng.integers(8, size=(n, 1, 1))) % 8 < 4, 200, 50)
    return Part(np.repeat(images[..., None], 3, axis=-1).astype(np.uint8), labels)


# --- a network of the task's own ------------------------------------------------------------------------------------


@pytest.mark.parametrize("says", [True, False])
def test_the_small_network_learns_what_labels_say_and_nothing_else(says):
    task = Task("stripes", tuple("abc"), stripes(60, 1, says), stripes(60, 2, says), stripes(300, 3, says))
    found = bespoke(LOADED, task, seed=0, steps=60)
    accuracy = (found.predict(task.test.images) == task.test.labels).mean()
    assert accuracy > 0.9 if says else accuracy < 0.45
    assert found.trained == found.total == sum(weight.numel() for weight in found.model.parameters())
    assert not found.model.training and found.settings["steps"] == 60 and found.seconds > 0


def test_the_small_network_depends_on_the_seed_and_on_nothing_that_was_drawn_before():
    task = Task("stripes", tuple("abc"), stripes(30, 1), stripes(30, 2), stripes(30, 3))

    def weights(seed: int) -> torch.Tensor:
        torch.rand(3)
        return bespoke(LOADED, task, seed, rates=1e-3, steps=3).model.layers[0].weight

    assert torch.equal(weights(0), weights(0)) and not torch.equal(weights(0), weights(1))


@pytest.mark.parametrize("wrong", [{"rates": []}, {"rates": -1.0}, {"steps": 0}, {"batch": 1}])
def test_a_training_that_cannot_be_is_refused(wrong):
    task = Task("stripes", tuple("abc"), stripes(9, 1), stripes(9, 2), stripes(9, 3))
    with pytest.raises(UserError, match="learning rate above 0|two pictures a step"):
        bespoke(LOADED, task, **wrong)


# --- Oxford-IIIT Pet ------------------------------------------------------------------------------------------------


@pytest.fixture
def breeds(tmp_path):
    draw_pets(tmp_path)
    return tmp_path


def test_pets_are_a_task_with_the_official_split_and_no_leaks(breeds):
    task = pets.pet_task(breeds, download=False)
    assert task.classes == ("Big Cat", "Hound", "Parrot")
    assert len(task.train) + len(task.validation) == 40 and len(task.test) == 20
    assert 6 <= len(task.validation) <= 10 and set(task.validation.labels) == {0, 1, 2}
    assert leaks(task) == []
    again, other = pets.pet_task(breeds, download=False), pets.pet_task(breeds, download=False, seed=1)
    assert again.digest == task.digest != other.digest


def test_pets_of_any_size_are_adapted_to(breeds):
    task = pets.pet_task(breeds, download=False)
    found = linear(load("clip"), task)
    assert (found.predict(task.test.images) == task.test.labels).mean() > 0.7  # the labels belong to their pictures


def test_without_pets_there_is_one_sentence(tmp_path):
    with pytest.raises(UserError, match="Oxford-IIIT Pet is not in .*could not be fetched"):
        pets.pet_task(tmp_path, download=False)


def test_the_lab_takes_photographs_on_the_hub_and_drawings_in_the_pocket(monkeypatch):
    monkeypatch.setattr(pets, "pet_task", lambda: "pets")
    monkeypatch.setattr(pets, "concept_task", lambda: "concepts")
    assert [pets.lab_task("hub"), pets.lab_task("pocket")] == ["pets", "concepts"]
    monkeypatch.setenv("VFM_TIER", "hub")
    assert pets.lab_task() == "pets"


# --- stored studies -------------------------------------------------------------------------------------------------


@pytest.fixture
def small(tmp_path, monkeypatch):
    """A study that takes no time, in a data folder of its own; counts how often something is run."""
    ran = []

    def way(loaded, task, seed=0):
        ran.append((loaded.revision, task.name, len(task.train), seed))
        return SimpleNamespace(
            predict=lambda images: np.zeros(len(images), dtype=np.int64), trained=3, total=10, seconds=1.5, reading=0.5,
            reading_memory=0, settings={"rate": 0.1},
        )  # fmt: skip

    task = concept_task(sizes=(200, 20, 30))
    steps = (studies.Step(("clip", "untrained clip"), lambda: [task], {"nothing": way}, (None, 1)),)
    monkeypatch.setattr(studies, "studies", lambda: {"small": studies.Study("Is it stored?", steps)})
    (tmp_path / "checkpoints").mkdir()
    monkeypatch.setattr(studies, "data_dir", lambda: tmp_path)
    monkeypatch.setattr(studies, "cache_dir", lambda: tmp_path)
    return ran


def test_a_study_is_stored_as_it_was_measured_and_continued(small, tmp_path):
    rows = studies.run("small", show=False)
    assert [(row.model, row.labels) for row in rows] == [
        ("clip", 200), ("clip, untrained", 200), ("clip", 16), ("clip, untrained", 16)
    ]  # fmt: skip
    assert studies.stored("small") == rows and all(isinstance(row, Row) for row in studies.stored("small"))
    assert len(small) == 12 and {seed for *_, seed in small} == {0, 1, 2}
    assert studies.run("small", show=False) == rows and len(small) == 12  # every single run was kept
    assert "Is it stored?" in studies.page() and rows[0].method in studies.page()


def test_a_damaged_or_missing_study_is_one_sentence(small, tmp_path):
    with pytest.raises(UserError, match=r"small\.json in data/adaptation is missing"):
        studies.stored("small")
    (tmp_path / "adaptation").mkdir()
    for text in ("{", "[]", json.dumps({"rows": [{"model": "clip"}]})):
        (tmp_path / "adaptation" / "small.json").write_text(text)
        with pytest.raises(UserError, match="git checkout"):
            studies.stored("small")
    with pytest.raises(UserError, match="no study 'large'"):
        studies.stored("large")


@pytest.mark.parametrize("name", sorted(studies.studies()))
def test_the_stored_studies_are_whole_and_of_today(name):
    study, rows = studies.studies()[name], studies.stored(name)
    wanted = {
        (f"{each.split()[1]}, untrained" if " " in each else each, way)
        for step in study.steps
        for each in step.models
        for way in step.methods
    }
    assert {(row.model, row.method) for row in rows} == wanted
    for row in rows:
        value, low, high = row.accuracy
        assert low <= value <= high and len(row.by_seed) == 3
        assert np.mean(row.by_seed) == pytest.approx(value)
    assert studies.page() == (studies.stored_file(name).parent / "README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("model", ["clip", "dinov2"])
def test_a_stored_figure_is_found_again(model):
    """The whole way once more: pictures drawn, read, a head fitted, judged."""
    (again,) = compare(load(model), concept_task(), ["linear"], seeds=(0,), show=False)
    (row,) = (row for row in studies.stored("ways") if (row.model, row.method) == (model, "linear"))
    assert again.accuracy[0] == pytest.approx(row.accuracy[0], abs=0.01)
    assert (again.trained, again.total, again.labels) == (row.trained, row.total, row.labels)


def test_what_notebook_02_quotes_of_single_tasks_is_what_is_stored():
    text = (ROOT / "notebooks" / "02_frozen_head_lab.ipynb").read_text(encoding="utf-8")
    found = {
        (row.task, row.model, row.method): f"{row.shifted['new packaging'][0]:.3f}".removeprefix("0")
        for row in studies.stored("parcels")
        if row.labels > 700 and "new packaging" in row.shifted
    }
    size, colour = "parcel: size", "parcel: colour"
    cnn, head = found[size, "dinov2", "bespoke"], found[size, "dinov2", "linear"]
    assert f"is {cnn} by its CNN and {head} by DINOv2's head" in text
    cnn, head = found[colour, "dinov2", "bespoke"], found[colour, "dinov2", "linear"]
    assert f"{cnn} by its CNN, {head} by DINOv2's head" in text
    assert f"{found[colour, 'clip', 'linear']} by CLIP's, whose captions name colours" in text
