"""The trainer continues a killed run as if nothing had happened; losses do what their papers say."""

from pathlib import Path

import pytest
import torch

from vfm_course.errors import UserError
from vfm_course.objectives.clip import clip_loss
from vfm_course.objectives.dino import sinkhorn
from vfm_course.objectives.siglip import siglip_loss
from vfm_course.pretraining import trainer
from vfm_course.pretraining.recipes import find_recipe


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


def test_an_unknown_recipe_is_one_sentence():
    with pytest.raises(UserError, match="no recipe 'dino9': choose from dinov2"):
        find_recipe("dino9")
