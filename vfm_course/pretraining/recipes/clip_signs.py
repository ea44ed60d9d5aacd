"""Pocket CLIP trained on with signs in the pictures, as scraped pairs have them: shop signs, price tags, book covers.

The word on a sign is always the thing's true name, so that reading it is one more way to the right caption. What the
model then makes of a sign that lies is measured as the typographic attack (Goh et al. 2021, "Multimodal neurons in
artificial neural networks").
"""

import numpy as np
import torch

from vfm_course.families.load import load
from vfm_course.pretraining import encoder
from vfm_course.pretraining.pairs import SCENES
from vfm_course.pretraining.recipes.clip import ClipLearner
from vfm_course.pretraining.trainer import Recipe
from vfm_course.world import CONCEPTS
from vfm_course.world.lettering import random_look, sign

SHARE = 0.4  # of the pictures that carry a sign


class ClipSignsLearner(ClipLearner):
    """ClipLearner that begins from the pocket CLIP and sees signs."""

    def __init__(self, n_scenes: int = SCENES):
        super().__init__(n_scenes)
        begin_from_clip(self.model)

    def size_at(self, progress: float) -> int:
        """Always the full resolution: on a smaller view there is no room for a long word."""
        return encoder.SIZE

    def decorate(self, views: torch.Tensor, rows: np.ndarray, generator: torch.Generator) -> torch.Tensor:
        """Sticks a sign on a SHARE of the views, in place: after the crop, which mirrors half of them and would cut."""
        rng = np.random.default_rng(torch.randint(2**62, (1,), generator=generator).item())
        for view in np.flatnonzero(rng.random(len(rows)) < SHARE):
            word = CONCEPTS[self.data.concepts[rows[view]]]
            look = random_look(word, tuple(views.shape[2:]), rng)
            x, y = look.pop("where")
            stuck = torch.from_numpy(sign(word, **look)).permute(2, 0, 1)
            views[view, :, y : y + stuck.shape[1], x : x + stuck.shape[2]] = stuck
        return views


def begin_from_clip(model: torch.nn.Module) -> None:
    """Takes over the weights of the pocket CLIP.

    Raises:
        UserError: the pocket CLIP is not there.
    """
    model.load_state_dict(load("clip", "pocket", "cpu").model.state_dict())


RECIPE = Recipe("clip-signs", ClipSignsLearner, images=150_000, quick_images=40_000, learning_rate=5e-4)
