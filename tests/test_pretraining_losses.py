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

from vfm_course.pretraining.recipes import NAMES, find_recipe
from vfm_course.pretraining.trainer import Recipe, train

STEPS, BATCH, SCENES = 5, 8, 32
# What each step's total loss was; the last is at the full resolution where the recipe has two.
LOSSES = {
    "dinov2": [6.1946, 6.4579, 6.165, 6.3488, 8.0318],
    "mae": [1.0185, 1.048, 0.965, 1.0592, 1.0221],
    "ijepa": [0.5168, 0.5032, 0.4637, 0.4402, 0.4521],
    "clip": [2.2133, 2.3703, 1.9929, 2.2169, 2.2635],
    "siglip": [9.3297, 6.7629, 4.9641, 3.2088, 3.0631],
    "supervised": [2.8862, 3.3525, 2.6694, 2.5278, 2.4082],
    "sam": [4.338, 4.3178, 4.2958, 4.3266, 4.1956],
}


def losses(name: str, folder: Path) -> list[float]:
    """The total loss of each step of a run of STEPS steps on SCENES scenes."""
    recipe = find_recipe(name)

    def build():
        takes = inspect.signature(recipe.build).parameters
        learner = recipe.build(SCENES) if "n_scenes" in takes else recipe.build()
        learner.batch_size = BATCH
        return learner

    module = sys.modules[recipe.build.__module__]
    with (
        patch.object(module, "SCENES", SCENES, create=True),
        # DINOv2 begins from the pocket MAE, which is trained anew now and then; its losses here must not follow that.
        patch.object(module, "begin_from_mae", lambda backbone: None, create=True),
    ):
        short = Recipe(name, build, STEPS * BATCH, BATCH, recipe.learning_rate, recipe.weight_decay, warm_up=0.0)
        return [point["loss"] for point in train(short, folder, short.images).curve]


@pytest.mark.parametrize("name", NAMES)
def test_a_short_run_gives_the_stored_losses(name, tmp_path):
    assert losses(name, tmp_path) == pytest.approx(LOSSES[name], rel=2e-3)


def test_no_recipe_is_left_out():
    assert set(LOSSES) == set(NAMES) and all(len(each) == STEPS for each in LOSSES.values())


if __name__ == "__main__":
    for each in NAMES:
        with tempfile.TemporaryDirectory() as place:
            print(f'    "{each}": {[round(loss, 4) for loss in losses(each, Path(place))]},')
