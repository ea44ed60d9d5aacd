"""The trainer continues a killed run as if nothing had happened; losses do what their papers say."""

from pathlib import Path

import numpy as np
import pytest
import torch

from vfm_course.errors import UserError
from vfm_course.objectives.clip import clip_loss
from vfm_course.objectives.dino import sinkhorn
from vfm_course.objectives.siglip import siglip_loss
from vfm_course.pretraining import trainer
from vfm_course.pretraining.recipes import clip, clip_signs, find_recipe
from vfm_course.world import CONCEPTS
from vfm_course.world.lettering import sign


class Line(trainer.Learner):
    """Fits y = 3 x, with noise from the step's generator."""

    batch_size = 4

    def __init__(self) -> None:
        super().__init__()
        self.layer = torch.nn.Linear(1, 1)

    def forward(self, generator: torch.Generator, progress: float) -> dict[str, torch.Tensor]:
        x = torch.randn(4, 1, generator=generator)
        return {"loss": (self.layer(x) - 3 * x).square().mean()}

    def save(self, folder: Path) -> None:
        (folder / "model.txt").write_text(str(self.layer.weight.item()))


RECIPE = trainer.Recipe("line", Line, images=80, quick_images=8, learning_rate=0.1)


def test_a_killed_run_continues_with_the_same_losses(tmp_path, monkeypatch):
    monkeypatch.setattr(trainer, "SAVE_EVERY", 0.0)
    whole = trainer.train(RECIPE, tmp_path / "whole", 80)

    def kill(record: trainer.Record) -> None:
        if record.seen == 40:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        trainer.train(RECIPE, tmp_path / "cut", 80, show=kill)
    assert not (tmp_path / "cut" / "model.txt").exists()
    continued = trainer.train(RECIPE, tmp_path / "cut", 80)
    assert continued.curve == whole.curve and whole.curve[-1]["loss"] < whole.curve[0]["loss"]
    assert (tmp_path / "cut" / "model.txt").read_text() == (tmp_path / "whole" / "model.txt").read_text()
    with pytest.raises(UserError, match="holds a run of line, seed 0, 80 images"):
        trainer.train(RECIPE, tmp_path / "cut", 84)


def test_losses_at_known_places():
    same = torch.eye(4)
    nothing = torch.ones(4, 4)
    assert clip_loss(nothing, nothing, torch.tensor(10.0)) == pytest.approx(torch.tensor(4.0).log().item(), abs=1e-5)
    assert clip_loss(same, same, torch.tensor(50.0)) < 1e-4 < clip_loss(same, same.flip(0), torch.tensor(50.0))
    right = siglip_loss(same, same, torch.tensor(20.0), torch.tensor(-10.0))
    assert right < 0.01 < siglip_loss(same, same.flip(0), torch.tensor(20.0), torch.tensor(-10.0))
    targets = sinkhorn(torch.randn(64, 8, generator=torch.Generator().manual_seed(0)), 0.5, rounds=20)
    assert torch.allclose(targets.sum(1), torch.ones(64), atol=1e-4)
    assert torch.allclose(targets.sum(0), torch.full((8,), 8.0), atol=0.1)


@pytest.fixture(scope="module")
def signs():
    return clip_signs.ClipSignsLearner(n_scenes=8)


def test_signs_are_true_on_their_share_of_the_views_and_the_rest_is_untouched(signs, monkeypatch):
    monkeypatch.setattr(clip_signs, "sign", lambda word, scale, ink, paper: sign(word, scale, (1, 1, 1), (2, 2, 2)))
    rows = np.arange(400) % 8
    views = signs.decorate(torch.full((400, 3, 64, 64), 9.0), rows, torch.Generator().manual_seed(0))
    carried = [number for number, view in enumerate(views) if (view != 9).any()]
    assert len(carried) / 400 == pytest.approx(clip_signs.SHARE, abs=0.08)
    for number in carried:
        ys, xs = torch.nonzero(views[number, 0] != 9, as_tuple=True)
        shown = views[number, :, ys.min() : ys.max() + 1, xs.min() : xs.max() + 1].permute(1, 2, 0).numpy()
        true_name = CONCEPTS[signs.data.concepts[rows[number]]]
        assert np.array_equal(shown, sign(true_name, 1, (1, 1, 1), (2, 2, 2))), true_name
    again = signs.decorate(torch.full((400, 3, 64, 64), 9.0), rows, torch.Generator().manual_seed(0))
    assert torch.equal(again, views)


def test_clip_with_signs_begins_from_clip_and_sees_all_at_the_full_resolution(signs):
    from vfm_course.families import load

    pocket = load("clip", "pocket", "cpu").model.state_dict()
    assert all(torch.equal(weight, pocket[name]) for name, weight in signs.model.state_dict().items())
    assert {signs.size_at(progress) for progress in (0.0, 0.5, 0.9)} == {64}
    assert [clip.ClipLearner.size_at(signs, progress) for progress in (0.0, 0.9)] == [48, 64]
    assert find_recipe("clip-signs").build is clip_signs.ClipSignsLearner


def test_an_unknown_recipe_is_one_sentence():
    with pytest.raises(UserError, match="no recipe 'dino9': choose from dinov2"):
        find_recipe("dino9")
