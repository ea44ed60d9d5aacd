"""Short runs: every game learns on the one encoder, a leaking gradient collapses, and studies can be continued."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from vfm_course.errors import UserError
from vfm_course.objectives.ijepa import pick
from vfm_course.pretraining.scenes import scenes
from vfm_course.pretraining.short import collapse, curation, noise, probe, scaling, studies
from vfm_course.pretraining.short.distil import Anchored, ShortDino, evenness, likeness
from vfm_course.pretraining.short.learners import Scale, ShortClip, ShortJepa, ShortMae, ShortSiglip, moved, shuffled
from vfm_course.pretraining.short.run import pretrain
from vfm_course.pretraining.short.views import TEXTURES, noisy
from vfm_course.pretraining.short.views import noise as texture
from vfm_course.pretraining.short.vit import ShortViT

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def data():
    return scenes(256, 72)


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def short(make, data, images: int = 128 * 25, seed: int = 0, **how):
    torch.manual_seed(seed)
    learner = make(data, width=32, layers=2, **how)
    return learner, pretrain(learner, images, seed)


@pytest.mark.parametrize("make", [ShortMae, ShortClip, ShortSiglip, ShortDino])
def test_the_loss_falls(make, data):
    _, curve = short(make, data)
    first, last = (np.mean([step["loss"] for step in some]) for some in (curve[:5], curve[-5:]))
    assert last < first - 0.05 and curve[-1]["images"] == 128 * 25


def test_the_same_seed_gives_the_same_run_and_another_one_another(data):
    curves = [[step["loss"] for step in short(ShortMae, data, 128 * 4, seed)[1]] for seed in (0, 0, 1)]
    assert curves[0] == curves[1] != curves[2]


def test_the_encoder_sees_the_patches_that_it_is_shown_and_no_others():
    torch.manual_seed(0)
    encoder, pixels = ShortViT(32, 2).eval(), torch.randn(2, 3, 48, 48)
    keep = torch.tensor([[0, 7, 20], [35, 1, 2]])
    changed = pixels.clone()
    changed[0, :, 8:16, 0:8] += 9  # patch 6, which is not shown
    with torch.no_grad():
        assert encoder(pixels).shape == (2, 36, 32) and encoder(pixels, keep).shape == (2, 3, 32)
        assert torch.equal(encoder(pixels, keep), encoder(changed, keep))
        everything = torch.arange(36).expand(2, -1)
        assert torch.allclose(encoder(pixels, everything), encoder(pixels), atol=1e-6)


def test_the_painter_puts_tokens_back_where_they_came_from(data):
    learner, _ = short(ShortMae, data, 128)
    pixels = torch.randn(3, 3, 48, 48, generator=seeded())
    with torch.no_grad():
        painted, mask = learner.eval().paint(pixels, seeded(1))
        again, _ = learner.paint(
            pixels + 50 * nn.functional.interpolate(mask.view(3, 1, 6, 6), scale_factor=8), seeded(1)
        )
    assert mask.sum(dim=1).tolist() == [27] * 3 and torch.equal(painted, again)  # what is hidden has no say
    ids, hidden, restore = shuffled(torch.rand(2, 8, generator=seeded()), 0.75)
    order = torch.cat([ids, torch.full((2, 6), -1)], dim=1).gather(1, restore)
    assert torch.equal((order < 0).float(), hidden) and torch.equal(order.sort().values[:, -2:], ids.sort().values)


def test_given_losses_are_used_and_a_given_temperature_learns(data):
    called = []

    class Mine(nn.Module):
        def __init__(self):
            super().__init__()
            self.logit_scale = nn.Parameter(torch.tensor(1.0))

        def forward(self):
            return self.logit_scale.exp()

    def loss(images, texts, scale):
        called.append((images.shape, texts.shape))
        return (scale * (images - texts)).square().mean()

    mine = Mine()
    short(ShortClip, data, 256, loss=loss, temperature=mine)
    assert called == [((128, 64), (128, 64))] * 2 and mine.logit_scale.item() != 1
    assert Scale(1e9)().item() == 100


def test_captions_belong_to_their_pictures_and_padding_says_nothing(data):
    learner, _ = short(ShortClip, data, 128)
    tokens = learner.captions[:4, 0].long()
    longer = torch.cat([tokens, torch.full((4, 8), learner.pad)], dim=1)[:, : tokens.shape[1]]
    with torch.no_grad():
        alone = torch.cat([learner.eval().embed_texts(row[None]) for row in tokens])
        assert torch.allclose(learner.embed_texts(longer), alone, atol=1e-5)


def test_without_the_stopped_gradient_pictures_come_to_look_alike(data):
    _, whole = short(ShortJepa, data)
    _, leaking = short(ShortJepa, data, **collapse.VARIANTS["no stopped gradient"])
    assert leaking[-1]["deviation"] < 0.5 * whole[-1]["deviation"] and leaking[-1]["loss"] < whole[-1]["loss"]


def test_only_the_leaking_loss_moves_the_target():
    features = torch.randn(2, 36, 8, generator=seeded(), requires_grad=True)
    numbers = torch.tensor([[[0, 1]], [[3, 4]]])
    predicted = pick(features, numbers).detach() + 1
    collapse.leaking_loss(predicted, features, numbers).backward()
    assert features.grad.abs().sum() > 0


def test_the_target_follows_slowly_or_at_once(data):
    learner, _ = short(ShortJepa, data, 128, momentum=0.0)
    for slow, fast in zip(learner.target_encoder.parameters(), learner.encoder.parameters(), strict=True):
        assert torch.equal(slow, fast)
    found = moved({"w": torch.tensor(0.0)}, {"w": torch.tensor(10.0)}, 0.9)
    assert found["w"].item() == pytest.approx(1.0)


def test_dino_uses_its_prototypes_evenly_and_centring_is_kept(data):
    learner, curve = short(ShortDino, data, 128 * 3, targets="centring")
    assert learner.center.abs().sum() > 0 and 0 < curve[-1]["used"] <= 1
    assert evenness(torch.full((8,), 1 / 8)).item() == pytest.approx(1)
    assert evenness(torch.eye(8)[0]).item() == pytest.approx(0, abs=1e-6)


def test_an_anchor_holds_who_resembles_whom(data):
    moved_by = {}
    for weight in (0.0, 50.0):
        torch.manual_seed(0)
        learner = Anchored(
            ShortClip(data, width=32, layers=2), lambda a, b: (likeness(a) - likeness(b)).square().mean(), weight
        )
        learner.tie()
        pixels = torch.randn(8, 3, 48, 48, generator=seeded())
        before = likeness(learner.encoder(pixels)).detach()
        pretrain(learner, 128 * 15)
        moved_by[weight] = (likeness(learner.encoder(pixels)) - before).abs().mean().item()
    assert moved_by[50.0] < 0.7 * moved_by[0.0]


def test_textures_are_what_they_are_called_and_cannot_be_foreseen():
    kinds = torch.arange(4).repeat(50)
    found = texture(200, kinds, seeded())
    assert found.shape == (200, 1, 48, 48) and abs(found.std().item() - 1) < 0.05 and abs(found.mean().item()) < 0.02

    def likeness_at(name: str, down: int, right: int) -> float:
        some = found[kinds == list(TEXTURES).index(name), 0]
        return (some[:, : 48 - down, : 48 - right] * some[:, down:, right:]).mean().item()

    assert likeness_at("rows", 0, 1) > 0.6 > 0.1 > abs(likeness_at("rows", 1, 0))
    assert likeness_at("columns", 1, 0) > 0.6 > 0.1 > abs(likeness_at("columns", 0, 1))
    assert likeness_at("blots", 1, 1) > 0.3 and abs(likeness_at("grain", 0, 1)) < 0.05
    for name in TEXTURES:  # a patch is 8 pixels wide: of one two patches on nothing is known
        assert abs(likeness_at(name, 0, 8)) < 0.05 and abs(likeness_at(name, 8, 0)) < 0.05
    clean, _ = noisy(torch.full((2, 3, 48, 48), 100, dtype=torch.uint8), 0, seeded())
    assert (clean == 100).all()


@pytest.fixture
def few(monkeypatch):
    """Fewer scenes to probe on."""
    for name, n in {"LABELLED": 120, "VALIDATION": 40, "TEST": 60}.items():
        monkeypatch.setattr(probe, name, n)
    probe.parts.cache_clear()
    yield
    probe.parts.cache_clear()


def test_probes_find_what_is_there_and_not_what_is_not(few):
    labels = {}

    def knows_everything(pixels: torch.Tensor) -> torch.Tensor:
        """Features that hold the truth: concept, texture, place and the noise of each patch."""
        part = next(part for part in probe.parts(50).values() if part.pixels is pixels)
        concept = nn.functional.one_hot(part.scenes.labels["concept"], 16).float()
        kinds = nn.functional.one_hot(part.kinds, 4).float()
        truth = torch.cat([concept, kinds, part.scenes.centres.float()], dim=1)
        labels[len(pixels)] = part
        return torch.cat([truth[:, None].expand(-1, 36, -1), part.added], dim=2)

    found = probe.told(knows_everything, 50, pool=lambda patches: patches[:, 0, :22])
    assert found["concept"]["value"] == found["texture"]["value"] == 1
    assert found["position"]["value"] > 0.9 and found["noise"]["value"] > 0.9
    nothing = probe.told(lambda pixels: torch.randn(len(pixels), 36, 8, generator=seeded()), 50)
    assert (
        nothing["concept"]["value"] < 0.25 and nothing["noise"]["value"] < 0.05 and nothing["position"]["value"] < 0.05
    )
    assert "noise" not in probe.told(probe.raw, 0, probe.half_size)


def test_the_web_is_as_bad_as_it_is_called_and_the_truth_is_known():
    raw = curation.web(0, pairs=400, popular=3, n_scenes=256)
    counts = raw.source.bincount()
    assert len(raw) == 400 and (counts == curation.COPIES).sum() == 3 and counts.max() == curation.COPIES
    assert 0.4 < raw.right.float().mean() < 0.6
    for row in range(60):
        own = {tuple(each) for each in raw.data.captions[row].tolist()}
        assert not raw.right[row] or tuple(raw.captions[row, 0].tolist()) in own
    first, second = (raw.source == raw.source.mode().values).nonzero()[:2, 0].tolist()
    one, other = (raw.data.images[row].astype(int) for row in (first, second))
    assert 0 < abs(one - other).mean() < 12  # copies are near, and not equal


def test_pictures_of_few_pairs_are_the_seeds_own(monkeypatch):
    given = {}

    class Stop(Exception):
        pass

    def catch(data, width):
        given[width] = data
        raise Stop

    monkeypatch.setattr(scaling, "SCENES", 256)
    monkeypatch.setattr(scaling, "ShortClip", catch)
    for seed, width in ((0, 16), (1, 24), (0, 32)):
        with pytest.raises(Stop):
            scaling.measure(seed, "pairs", width, 20, 128)
    assert len(given[16]) == 20 and np.array_equal(given[16].images, given[32].images)
    assert not np.array_equal(given[16].images, given[24].images)


def test_the_largest_of_each_axis_is_in_every_seed():
    for seed in (0, 1):
        cases = scaling.cases(seed)
        assert {max(case[axis] for case in cases if case["axis"] == axis) for axis in ("width", "pairs", "images")} == {
            scaling.WIDTHS[-1], scaling.PAIRS[-1], scaling.IMAGES[-1]}  # fmt: skip
    assert [case["model"] for case in noise.cases(0)].count("pixels") == len(noise.AMOUNTS)
    assert "pixels" not in {case["model"] for case in noise.cases(1)}  # nothing in it depends on a seed


@pytest.fixture
def small_study(monkeypatch, tmp_path):
    """A study of two cases that counts its runs, in a cache and a data folder of its own."""

    class Small:
        QUESTION, runs = "?", []

        @staticmethod
        def cases(seed):
            return [{"way": "a"}, {"way": "b"}]

        @classmethod
        def measure(cls, seed, way):
            if way == "b" and seed == 1 and len(cls.runs) == 3:
                cls.runs.append("killed")
                raise KeyboardInterrupt
            cls.runs.append((seed, way))
            return {"loss": seed + 0.5}

    monkeypatch.setattr(studies, "find", lambda name: Small)
    monkeypatch.setattr(studies, "cache_dir", lambda: tmp_path / "cache")
    monkeypatch.setattr(studies, "data_dir", lambda: tmp_path / "data")
    return Small


def test_a_stopped_study_goes_on_where_it_was(small_study, tmp_path):
    with pytest.raises(KeyboardInterrupt):
        studies.run("noise", seeds=(0, 1))
    assert not (tmp_path / "data").exists()
    rows = studies.run("noise", seeds=(0, 1))
    assert small_study.runs == [(0, "a"), (0, "b"), (1, "a"), "killed", (1, "b")]
    assert studies.stored("noise") == rows
    assert [(row["seed"], row["way"], row["loss"]) for row in rows] == [
        (0, "a", 0.5),
        (0, "b", 0.5),
        (1, "a", 1.5),
        (1, "b", 1.5),
    ]


def test_a_missing_or_damaged_study_is_one_sentence(small_study, tmp_path):
    with pytest.raises(UserError, match="noise.json in data/pretraining is missing or damaged"):
        studies.stored("noise")
    path = tmp_path / "data" / "pretraining" / "noise.json"
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps({"rows": 1})[:-1])
    with pytest.raises(UserError, match="git checkout"):
        studies.stored("noise")


def test_an_unknown_study_is_one_sentence():
    with pytest.raises(UserError, match="choose from noise, collapse"):
        studies.find("nois")


@pytest.mark.parametrize("name", studies.NAMES)
def test_the_stored_studies_are_whole_and_of_today(name):
    study = studies.find(name)
    held = json.loads(studies.stored_file(name).read_text())
    assert held["form"] == studies.FORM and held["question"] == study.QUESTION and held["seeds"] == list(studies.SEEDS)
    wanted = [{"seed": seed} | case for seed in studies.SEEDS for case in study.cases(seed)]
    assert [{key: row[key] for key in case} for row, case in zip(held["rows"], wanted, strict=True)] == wanted
    assert all(row["seconds"] > 0 for row in held["rows"])


def test_a_stored_figure_is_found_again():
    """Random weights cost no training: the same scenes, noise and probes give what is stored."""
    (row,) = [row for row in studies.stored("noise") if (row["seed"], row["model"], row["amount"]) == (1, "random", 50)]
    found = noise.measure(1, "random", 50)["told"]
    for key in ("concept", "texture", "position", "noise"):
        assert found[key]["value"] == pytest.approx(row["told"][key]["value"], abs=0.02), key


def test_what_notebook_03_quotes_of_the_studies_is_what_is_stored():
    cells = json.loads((ROOT / "notebooks" / "03_jepa_mae_clip.ipynb").read_text(encoding="utf-8"))["cells"]
    text = " ".join(" ".join("".join(cell["source"]) for cell in cells).split())

    def mean(study: str, of, **case) -> float:
        rows = [row for row in studies.stored(study) if all(row[key] == value for key, value in case.items())]
        assert len(rows) == 3
        return sum(map(of, rows)) / 3

    def zero_shot(way: str) -> float:
        return mean("curation", lambda row: row["zero_shot"]["value"], way=way)

    clean, own = "filtered by a clean CLIP", "filtered by its own CLIP"
    for way, quoted in ((clean, "{} of what is kept is right"), (own, "picks {} right ones")):
        share = mean("curation", lambda row: row["right"], way=way)
        assert quoted.format(f"{100 * share:.0f} %") in text, way
    assert zero_shot(clean) > 2 * max(zero_shot("raw"), zero_shot("raw, four times"))  # "more than twice as much"
    assert zero_shot(own) - zero_shot("raw") < 0.5 * (zero_shot(clean) - zero_shot("raw"))  # "less than half as much"
    lost, kept = (
        mean("collapse", lambda row: row["loss"], variant=each) for each in ("no stopped gradient", "as it is")
    )
    assert 80 * lost < kept and "a hundred times lower" in text
    few = mean("scaling", lambda row: row["loss"], axis="pairs", pairs=125)
    assert few > np.log(128) and "*above* that of guessing (4.85)" in text and round(np.log(128), 2) == 4.85
