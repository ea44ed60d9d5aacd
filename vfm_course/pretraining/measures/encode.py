"""What an encoder says of pictures, by the same call for every model; the pixels themselves as a reference."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch.nn import functional as F

from vfm_course.features.patches import draw_weights, features
from vfm_course.objectives.mae import patchify
from vfm_course.pretraining import encoder
from vfm_course.pretraining.views import normalise

AT_ONCE = 250  # pictures a forward pass

# uint8 or float (B, 3, H, W) from 0 to 255 -> patch tokens (B, N, width) and the feature of the whole (B, D)
Read = Callable[[torch.Tensor], tuple[torch.Tensor, torch.Tensor]]


@dataclass(frozen=True)
class Reader:
    """A model with what its image processor does to a picture of the right size; call it with pictures."""

    name: str
    model: torch.nn.Module
    mean: list[float]
    std: list[float]

    def __call__(self, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return features(self.name, self.model, normalise(images.float(), self.mean, self.std))


def reader(name: str, model: torch.nn.Module, processor) -> Reader:
    """A Reader with the statistics of the model's own processor."""
    images = getattr(processor, "image_processor", processor)
    return Reader(name, model, images.image_mean, images.image_std)


def random_reader(seed: int = 0) -> Reader:
    """The reference `random`: the shared ViT with the weights it has before training."""
    from transformers import ViTConfig, ViTForImageClassification

    model = ViTForImageClassification(ViTConfig(**encoder.VIT)).eval()
    draw_weights(model, seed)
    return Reader("supervised", model, encoder.IMAGENET["image_mean"], encoder.IMAGENET["image_std"])


def read_pixels(images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """The reference `pixels`: each patch's own pixels (B, N, 192), and the picture at half its size (B, 3072)."""
    images = images.float() / 255
    return patchify(images, encoder.PATCH), F.avg_pool2d(images, 2).flatten(1)


@dataclass(frozen=True)
class Encoded:
    """`whole` (N, D), `mean` (N, width) of the patch tokens, and of the first pictures the `patches` (M, 64, width)."""

    whole: torch.Tensor
    mean: torch.Tensor
    patches: torch.Tensor

    def feature(self, kind: str) -> torch.Tensor:
        """`whole`, `mean`, or `both` side by side."""
        return torch.cat([self.whole, self.mean], dim=1) if kind == "both" else getattr(self, kind)


@torch.no_grad()
def encode(read: Read, images: torch.Tensor, keep: int = 0) -> Encoded:
    """Reads pictures (N, 3, H, W) in batches; the patch tokens of the first `keep` are kept."""
    wholes, means, patches = [], [], []
    for start in range(0, len(images), AT_ONCE):
        tokens, whole = read(images[start : start + AT_ONCE])
        wholes.append(whole)
        means.append(tokens.mean(dim=1))
        patches.append(tokens[: max(0, keep - start)])
    return Encoded(*(torch.cat(parts) for parts in (wholes, means, patches)))
