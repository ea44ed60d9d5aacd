"""Pocket DINOv2: a student guesses what a slow copy of itself sees (Oquab et al. 2023).

It begins from the pocket MAE's encoder: masked pixels first, self-distillation after. For most of the run the student
sees half the patches of a large crop, and a small crop, in other colours than the teacher, which sees all of its crop
(as in masked siamese networks, Assran et al. 2022): a third of the work of a full step, and images seen are what a
small run lacks. The last part is at full resolution and adds iBOT's question: what does the teacher say of the patches
that are hidden from the student?
"""

import copy
import math
from pathlib import Path

import torch
from torch import nn
from transformers import BitImageProcessor, Dinov2Config, Dinov2Model

from vfm_course.families.load import load
from vfm_course.objectives.dino import PrototypeHead, distillation_loss, koleo_loss, sinkhorn, update_teacher
from vfm_course.objectives.ibot import ibot_loss
from vfm_course.pretraining import encoder
from vfm_course.pretraining.scenes import scenes
from vfm_course.pretraining.trainer import Learner, Recipe
from vfm_course.pretraining.views import blur, crop, normalise, patch_masks, recolour

SCENES = 60_000
FIRST_COLOUR, LAST_COLOUR = 0.4, 0.8  # strength of recolouring, at the start and from the middle of the run on
KEPT = 0.5  # share of the large crop's patches that the student sees
SHARPNESS = 0.05  # the teacher's temperature
MAE_NAMES = {  # what Dinov2Model calls its weights -> what ViTMAEModel does; transformers has renamed some in between
    "encoder.layer.": "layers.",
    "norm1": "layernorm_before",
    "norm2": "layernorm_after",
    "attention.attention.query": "attention.q_proj",
    "attention.attention.key": "attention.k_proj",
    "attention.attention.value": "attention.v_proj",
    "attention.output.dense": "attention.o_proj",
}


class Dinov2Learner(Learner):
    """Student and teacher, each a Dinov2Model with one head of prototypes for the CLS token and the patches."""

    batch_size = 128

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
        backbone = Dinov2Model(config)
        begin_from_mae(backbone)
        self.student = nn.ModuleDict({"backbone": backbone, "head": PrototypeHead(encoder.WIDTH, prototypes)})
        self.teacher = copy.deepcopy(self.student).requires_grad_(False)

    def views(
        self, images: torch.Tensor, size: int, area: tuple, progress: float, generator: torch.Generator
    ) -> torch.Tensor:
        """One random view of each picture, uint8 (B, 3, H, W) -> float (B, 3, size, size)."""
        colour = FIRST_COLOUR + (LAST_COLOUR - FIRST_COLOUR) * min(1.0, progress / 0.5)
        view = blur(recolour(crop(images, size, area, generator), colour, generator), 0.3, generator)
        return normalise(view, encoder.IMAGENET["image_mean"], encoder.IMAGENET["image_std"])

    def forward(self, generator: torch.Generator, progress: float) -> dict[str, torch.Tensor]:
        rows = torch.randint(len(self.data), (self.batch_size,), generator=generator).numpy()
        images = torch.from_numpy(self.data.images[rows])
        full = progress >= encoder.LOW_SHARE
        size = encoder.SIZE if full else encoder.LOW_SIZE
        for_teacher, for_student = (self.views(images, size, (0.5, 1.0), progress, generator) for _ in range(2))
        small = self.views(images, size // 2, (0.25, 0.5), progress, generator)
        with torch.no_grad():
            targets = sinkhorn(self.teacher["head"](self.teacher["backbone"](for_teacher).pooler_output), SHARPNESS)

        backbone, head = self.student["backbone"], self.student["head"]
        if full:
            ibot, cls_tokens = self.hidden_patches(for_student, generator)
        else:
            ibot, cls_tokens = torch.zeros(()), some_patches(backbone, for_student, KEPT, generator)[:, 0]
        # A view is never asked about itself: the teacher has seen another one of the same picture.
        across = distillation_loss(head(cls_tokens), targets)
        small_to_large = distillation_loss(head(backbone(small).pooler_output), targets)
        dino, spread = (across + small_to_large) / 2, koleo_loss(cls_tokens)
        return {"loss": dino + 0.3 * ibot + 0.1 * spread, "dino": dino, "ibot": ibot, "koleo": spread}

    def hidden_patches(self, views: torch.Tensor, generator: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
        """iBOT's loss: the teacher sees a view whole, the student a part of it. Also the student's CLS (B, width)."""
        masks = patch_masks(len(views), views.shape[-1] // encoder.PATCH, generator)
        with torch.no_grad():
            seen = self.teacher["backbone"](views).last_hidden_state[:, 1:][masks]
            said = self.teacher["head"](seen)
        tokens = self.student["backbone"](views, bool_masked_pos=masks).last_hidden_state
        # The head looks at hidden patches only: its BatchNorm's statistics are theirs, and the others are not asked.
        return ibot_loss(self.student["head"](tokens[:, 1:][masks]), said, SHARPNESS), tokens[:, 0]

    def after_step(self, progress: float) -> None:
        update_teacher(self.teacher, self.student, 1 - 0.01 * (1 + math.cos(math.pi * progress)) / 2)

    def save(self, folder: Path) -> None:
        self.teacher["backbone"].save_pretrained(folder)  # the teacher is the better of the two
        size = {"height": encoder.SIZE, "width": encoder.SIZE}
        BitImageProcessor(size={"shortest_edge": encoder.SIZE}, crop_size=size, **encoder.IMAGENET).save_pretrained(
            folder
        )


def begin_from_mae(backbone: Dinov2Model) -> None:
    """Takes over the pocket MAE's encoder: the same layers under other names.

    Raises:
        UserError: the pocket MAE is not there.
    """
    own = {}
    for name in backbone.state_dict():
        called = name
        for ours, theirs in MAE_NAMES.items():
            called = called.replace(ours, theirs)
        own[called] = name
    weights = load("mae", "pocket", "cpu").model.vit.state_dict()
    told = backbone.load_state_dict({own[name]: weight for name, weight in weights.items()}, strict=False)
    left = [name for name in told.missing_keys if "layer_scale" not in name and "mask_token" not in name]
    assert not left, left


def some_patches(model: Dinov2Model, pixels: torch.Tensor, share: float, generator: torch.Generator) -> torch.Tensor:
    """CLS and a random `share` of the patches, (B, 1 + N * share, width); the others are not even read."""
    tokens = model.embeddings(pixels)
    n = tokens.shape[1] - 1
    chosen = 1 + torch.rand(len(tokens), n, generator=generator).argsort(dim=1)[:, : int(share * n)]
    chosen = chosen[:, :, None].expand(-1, -1, tokens.shape[2])
    tokens = torch.cat([tokens[:, :1], tokens.gather(1, chosen)], dim=1)
    return model.layernorm(model.encoder(tokens).last_hidden_state)


RECIPE = Recipe("dinov2", Dinov2Learner, images=400_000, quick_images=40_000, weight_decay=0.05, warm_up=0.1)
