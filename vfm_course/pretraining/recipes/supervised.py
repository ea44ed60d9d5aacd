"""The reference: the same ViT told the right answer for every picture (Dosovitskiy et al. 2021).

What labels give at this size and on this data; a self-supervised encoder is measured against it.
"""

from pathlib import Path

import numpy as np
import torch
from torch.nn import functional as F
from transformers import ViTConfig, ViTForImageClassification, ViTImageProcessor

from vfm_course.pretraining import encoder
from vfm_course.pretraining.scenes import scenes
from vfm_course.pretraining.trainer import Learner, Recipe
from vfm_course.pretraining.views import crop, normalise, recolour
from vfm_course.world import CONCEPTS

SCENES = 60_000


class SupervisedLearner(Learner):
    """ViTForImageClassification over the world's sixteen concepts, from the CLS token."""

    batch_size = 128

    def __init__(self, n_scenes: int = SCENES):
        super().__init__()
        self.data = scenes(n_scenes, encoder.VIEW)
        names = dict(enumerate(CONCEPTS))
        config = ViTConfig(**encoder.VIT, id2label=names, label2id={name: number for number, name in names.items()})
        self.model = ViTForImageClassification(config)

    def forward(self, generator: torch.Generator, progress: float) -> dict[str, torch.Tensor]:
        rows = torch.randint(len(self.data), (self.batch_size,), generator=generator).numpy()
        size = encoder.LOW_SIZE if progress < encoder.LOW_SHARE else encoder.SIZE
        views = crop(torch.from_numpy(self.data.images[rows]), size, (0.6, 1.0), generator)
        pixels = normalise(
            recolour(views, 0.3, generator), encoder.IMAGENET["image_mean"], encoder.IMAGENET["image_std"]
        )
        labels = torch.from_numpy(self.data.concepts[rows].astype(np.int64))
        logits = self.model(pixel_values=pixels, interpolate_pos_encoding=True).logits
        accuracy = (logits.argmax(dim=1) == labels).float().mean()  # on training pictures, to watch
        return {"loss": F.cross_entropy(logits, labels), "accuracy": accuracy}

    def save(self, folder: Path) -> None:
        self.model.save_pretrained(folder)
        size = {"height": encoder.SIZE, "width": encoder.SIZE}
        ViTImageProcessor(size=size, **encoder.IMAGENET).save_pretrained(folder)


RECIPE = Recipe("supervised", SupervisedLearner, images=800_000, quick_images=120_000)
