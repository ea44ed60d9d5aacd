"""Every recipe still trains on what it trained on: a few steps give the losses that are written down here.

Same seed, same scenes: the numbers may differ between processors only by rounding. A recipe whose loss, views, model
or learning rate has changed gives others; print them with `python tests/test_pretraining_losses.py`. Weight decay,
Adam's momenta and clipping are too slow to show in five steps.
"""

import inspect
import sys
import tempfile
from pathlib import Path
from unittest.mock import patch

import pytest
import torch

from vfm_course.families.catalog import CATALOG
from vfm_course.pretraining.recipes import NAMES, find_recipe
from vfm_course.pretraining.trainer import Recipe, train

ENCODERS = [name for name in NAMES if name in CATALOG]  # the parts of models that answer: see test_vlm_training
STEPS, BATCH, SCENES = 5, 8, 32
# What each step's total loss was; the last is at the full resolution where the recipe has two.
LOSSES = {
    "dinov2": [6.1966, 6.2608, 6.1768, 6.3935, 7.9711],
    "mae": [1.1559, 1.1315, 1.0298, 1.1107, 1.0454],
    "ijepa": [0.4478, 0.3961, 0.3611, 0.3639, 0.3571],
    "clip": [2.2954, 2.2682, 2.3872, 2.1162, 2.0958],
    "siglip": [10.86, 7.5398, 3.6951, 3.107, 3.0132],
    "supervised": [3.1679, 3.8263, 2.3709, 2.6875, 2.9114],
    "sam": [4.3232, 4.1923, 4.0821, 4.0657, 3.9656],
    "clip-signs": [2.3223, 2.9085, 2.51, 2.1137, 2.2687],
}


def draw_weights(learner: torch.nn.Module) -> None:
    """Draws all weights of a learner again, and its slow copy's: versions of transformers begin with other ones."""
    generator = torch.Generator().manual_seed(0)
    for name, weight in [*learner.named_parameters(), *learner.named_buffers()]:
        drawn = weight.ndim > 1 and (weight.requires_grad or name.endswith("prototypes"))
        if drawn:
            weight.data = 0.05 * torch.randn(weight.shape, generator=generator)
        if name.endswith(".bias"):
            weight.data.zero_()
        if name.endswith("prototypes"):
            weight.data = torch.nn.functional.normalize(weight.data, dim=1)
    for slow, fast in (("teacher", "student"), ("target_encoder", "context_encoder")):
        if hasattr(learner, slow):
            getattr(learner, slow).load_state_dict(getattr(learner, fast).state_dict())


def losses(name: str, folder: Path) -> list[float]:
    """The total loss of each step of a run of STEPS steps on SCENES scenes."""
    recipe = find_recipe(name)

    def build():
        takes = inspect.signature(recipe.build).parameters
        learner = recipe.build(SCENES) if "n_scenes" in takes else recipe.build()
        draw_weights(learner)
        learner.batch_size = BATCH
        return learner

    module = sys.modules[recipe.build.__module__]
    with (
        patch.object(module, "SCENES", SCENES, create=True),
        # Two begin from another pocket model, which is trained anew now and then; their losses here must not follow it.
        patch.object(module, "begin_from_mae", lambda backbone: None, create=True),
        patch.object(module, "begin_from_clip", lambda model: None, create=True),
    ):
        short = Recipe(name, build, STEPS * BATCH, BATCH, recipe.learning_rate, recipe.weight_decay, warm_up=0.0)
        return [point["loss"] for point in train(short, folder, short.images).curve]


@pytest.mark.parametrize("name", ENCODERS)
def test_a_short_run_gives_the_stored_losses(name, tmp_path):
    assert losses(name, tmp_path) == pytest.approx(LOSSES[name], rel=2e-3)


def test_no_recipe_is_left_out():
    assert set(LOSSES) == set(ENCODERS) and all(len(each) == STEPS for each in LOSSES.values())


if __name__ == "__main__":
    for each in ENCODERS:
        with tempfile.TemporaryDirectory() as place:
            print(f'    "{each}": {[round(loss, 4) for loss in losses(each, Path(place))]},')
