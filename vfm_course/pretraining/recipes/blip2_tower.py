"""The encoder of pocket BLIP-2: taught to see what `clip-scenes` sees.

BLIP-2's encoder is of another make (EVA's, without CLIP's layer norm behind the embeddings), so CLIP's weights cannot
be copied into it whole. It begins from those that can, and learns to give the same features, each token normalised:
the simplest distillation there is (Romero et al. 2015, "FitNets").
"""

from pathlib import Path

import numpy as np
import torch
from torch.nn import functional as F

from vfm_course.families.load import load
from vfm_course.pretraining.trainer import Learner, Recipe
from vfm_course.vlm.drawn import drawn_scenes
from vfm_course.vlm.features import as_pixels
from vfm_course.vlm.published.blip2 import from_clip

SCENES = 60_000


class Blip2TowerLearner(Learner):
    """Blip2VisionModel and its teacher."""

    batch_size = 64

    def __init__(self, n_scenes: int = SCENES):
        super().__init__()
        self.data = drawn_scenes("train", n_scenes)
        teacher = load("clip-scenes", "pocket", "cpu").model.vision_model
        some = as_pixels(np.asarray(self.data.images[:100]))
        self.model = from_clip(teacher, some).train().requires_grad_(True)
        self.teacher = [teacher]  # not a part of what is trained and saved

    def forward(self, generator: torch.Generator, progress: float) -> dict[str, torch.Tensor]:
        rows = torch.randint(len(self.data), (self.batch_size,), generator=generator).tolist()
        pixels = as_pixels(np.asarray(self.data.images[rows]))
        with torch.no_grad():
            wanted = self.teacher[0](pixel_values=pixels).last_hidden_state
            wanted = F.layer_norm(wanted, wanted.shape[-1:])
        seen = self.model(pixel_values=pixels).last_hidden_state
        with torch.no_grad():
            cosine = F.cosine_similarity(seen, wanted, dim=-1).mean()
        return {"loss": F.mse_loss(seen, wanted), "cosine": cosine}

    def save(self, folder: Path) -> None:
        self.model.save_pretrained(folder)


RECIPE = Recipe("blip2-tower", Blip2TowerLearner, images=24_000, quick_images=24_000)
