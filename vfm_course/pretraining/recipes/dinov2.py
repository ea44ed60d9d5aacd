"""Pocket DINOv2: a student guesses what a slow copy of itself sees (Oquab et al. 2023).

Two large and two small crops a picture, in other colours each; the student also guesses the teacher's answer for
patches hidden from it. The first part of the run is at lower resolution: 48 px instead of 64.
"""

import copy
import math
from pathlib import Path

import torch
from torch import nn
from transformers import BitImageProcessor, Dinov2Config, Dinov2Model

from vfm_course.objectives.dino import PrototypeHead, distillation_loss, koleo_loss, sinkhorn, update_teacher
from vfm_course.pretraining import encoder
from vfm_course.pretraining.scenes import scenes
from vfm_course.pretraining.trainer import Learner, Recipe
from vfm_course.pretraining.views import blur, crop, normalise, patch_masks, recolour

SCENES = 60_000
COLOUR = 0.4  # strength of recolouring; at 1 the CLS term never left the uniform answer (150,000 images seen)


class Dinov2Learner(Learner):
    """Student and teacher, each a Dinov2Model with a head of prototypes."""

    batch_size = 96

    def __init__(self, prototypes: int = 256):
        super().__init__()
        self.data = scenes(SCENES, encoder.VIEW)
        config = Dinov2Config(
            hidden_size=encoder.WIDTH,
            num_hidden_layers=encoder.LAYERS,
            num_attention_heads=encoder.HEADS,
            mlp_ratio=encoder.MLP_RATIO,
            image_size=encoder.SIZE,
            patch_size=encoder.PATCH,
            layerscale_value=1.0,
        )
        heads = {name: PrototypeHead(encoder.WIDTH, prototypes) for name in ("cls_head", "patch_head")}
        self.student = nn.ModuleDict({"backbone": Dinov2Model(config), **heads})
        self.teacher = copy.deepcopy(self.student).requires_grad_(False)

    def views(self, images: torch.Tensor, size: int, area: tuple, generator: torch.Generator) -> torch.Tensor:
        """One random view of each picture, uint8 (B, 3, H, W) -> float (B, 3, size, size)."""
        view = blur(recolour(crop(images, size, area, generator), COLOUR, generator), 0.3, generator)
        return normalise(view, encoder.IMAGENET["image_mean"], encoder.IMAGENET["image_std"])

    def forward(self, generator: torch.Generator, progress: float) -> dict[str, torch.Tensor]:
        rows = torch.randint(len(self.data), (self.batch_size,), generator=generator).numpy()
        images = torch.from_numpy(self.data.images[rows])
        large = encoder.LOW_SIZE if progress < encoder.LOW_SHARE else encoder.SIZE
        small = large // 2
        globals_ = torch.cat([self.views(images, large, (0.5, 1.0), generator) for _ in range(2)])
        locals_ = torch.cat([self.views(images, small, (0.25, 0.5), generator) for _ in range(2)])
        masks = patch_masks(len(globals_), large // encoder.PATCH, generator)
        temperature = 0.04 + 0.03 * min(1.0, progress / 0.3)

        with torch.no_grad():
            tokens = self.teacher["backbone"](globals_).last_hidden_state
            targets = sinkhorn(self.teacher["cls_head"](tokens[:, 0]), temperature)
            patch_targets = sinkhorn(self.teacher["patch_head"](tokens[:, 1:][masks]), temperature)
        first, second = targets.chunk(2)
        tokens = self.student["backbone"](globals_, bool_masked_pos=masks).last_hidden_state
        cls_tokens = tokens[:, 0]
        seen = self.student["cls_head"](cls_tokens)
        seen_small = self.student["cls_head"](self.student["backbone"](locals_).last_hidden_state[:, 0])

        # A view is never asked about itself: the first large one answers for the second and the other way round.
        across = distillation_loss(seen, torch.cat([second, first]))
        small_to_large = (
            distillation_loss(seen_small, first.repeat(2, 1)) + distillation_loss(seen_small, second.repeat(2, 1))
        ) / 2
        dino = (across + 2 * small_to_large) / 3
        ibot = distillation_loss(self.student["patch_head"](tokens[:, 1:][masks]), patch_targets)
        spread = sum(koleo_loss(part) for part in cls_tokens.chunk(2)) / 2
        return {"loss": dino + 0.3 * ibot + 0.1 * spread, "dino": dino, "ibot": ibot, "koleo": spread}

    def after_step(self, progress: float) -> None:
        update_teacher(self.teacher, self.student, 1 - 0.01 * (1 + math.cos(math.pi * progress)) / 2)

    def save(self, folder: Path) -> None:
        self.teacher["backbone"].save_pretrained(folder)  # the teacher is the better of the two
        size = {"height": encoder.SIZE, "width": encoder.SIZE}
        BitImageProcessor(
            size={"shortest_edge": encoder.SIZE}, crop_size=size, **encoder.IMAGENET
        ).save_pretrained(folder)


RECIPE = Recipe("dinov2", Dinov2Learner, images=60_000, quick_images=40_000, weight_decay=0.05, warm_up=0.1)
