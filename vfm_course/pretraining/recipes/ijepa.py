"""Pocket I-JEPA: predict the features of hidden blocks, no pixel painted and no colour changed (Assran et al. 2023).

The first part of the run is at lower resolution: 48 px instead of 64. Positions are fixed sines and cosines, as in the
paper; IJepaModel would learn them.
"""

import copy
from pathlib import Path

import torch
from transformers import IJepaConfig, IJepaModel, ViTImageProcessor

from vfm_course.objectives.dino import update_teacher
from vfm_course.objectives.ijepa import Predictor, block_masks, encode, ijepa_loss
from vfm_course.objectives.mae import sincos_positions
from vfm_course.pretraining import encoder
from vfm_course.pretraining.scenes import scenes
from vfm_course.pretraining.trainer import Learner, Recipe
from vfm_course.pretraining.views import crop, normalise

SCENES = 60_000
SIDE = encoder.SIZE // encoder.PATCH
MOMENTUM = 0.99  # of the target encoder at the beginning; it rises to 1 in a straight line


class IJepaLearner(Learner):
    """A context encoder, its slow copy that gives the targets, both IJepaModel, and the predictor between them."""

    batch_size = 128

    def __init__(self, n_scenes: int = SCENES):
        super().__init__()
        self.data = scenes(n_scenes, encoder.VIEW)
        self.context_encoder = IJepaModel(IJepaConfig(**encoder.VIT))
        embeddings = self.context_encoder.embeddings
        embeddings.position_embeddings.requires_grad_(False).copy_(sincos_positions(SIDE, encoder.WIDTH)[None])
        # As MAE does: with transformers' small weights the positions would drown what the patches show.
        torch.nn.init.xavier_uniform_(embeddings.patch_embeddings.projection.weight.flatten(1))
        self.target_encoder = copy.deepcopy(self.context_encoder).requires_grad_(False)
        self.predictor = Predictor(encoder.WIDTH, SIDE)

    def forward(self, generator: torch.Generator, progress: float) -> dict[str, torch.Tensor]:
        rows = torch.randint(len(self.data), (self.batch_size,), generator=generator).numpy()
        size = encoder.LOW_SIZE if progress < encoder.LOW_SHARE else encoder.SIZE
        views = crop(torch.from_numpy(self.data.images[rows]), size, (0.5, 1.0), generator)
        pixels = normalise(views, encoder.IMAGENET["image_mean"], encoder.IMAGENET["image_std"])
        side = size // encoder.PATCH
        context, blocks = block_masks(len(pixels), side, generator)
        with torch.no_grad():
            features = encode(self.target_encoder, pixels)
        predicted = self.predictor(encode(self.context_encoder, pixels, context), context, blocks, side)
        return ijepa_loss(predicted, features, blocks)

    def after_step(self, progress: float) -> None:
        update_teacher(self.target_encoder, self.context_encoder, MOMENTUM + (1 - MOMENTUM) * progress)

    def save(self, folder: Path) -> None:
        self.target_encoder.save_pretrained(folder)  # the slow copy is the better of the two
        size = {"height": encoder.SIZE, "width": encoder.SIZE}
        ViTImageProcessor(size=size, **encoder.IMAGENET).save_pretrained(folder)


RECIPE = Recipe("ijepa", IJepaLearner, images=800_000, quick_images=120_000)
