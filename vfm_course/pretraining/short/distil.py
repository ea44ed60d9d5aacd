"""Self-distillation on the short encoder (Caron et al. 2021), with the mean patch in place of the CLS token."""

from __future__ import annotations

import copy
from collections.abc import Callable

import torch
from torch import nn

from vfm_course.objectives.dino import PrototypeHead, centred_targets, distillation_loss, sinkhorn, update_teacher
from vfm_course.objectives.gram import gram_matrix
from vfm_course.pretraining.scenes import Scenes
from vfm_course.pretraining.short.learners import ShortLearner
from vfm_course.pretraining.short.views import batch

PROTOTYPES, SHARPNESS = 256, 0.05  # the teacher's temperature


class ShortDino(ShortLearner):
    """Two views of each picture in other colours: the student says of one what the teacher says of the other.

    Args:
        targets: `sinkhorn`, or `centring` with a running center.
    """

    colour = 0.6

    def __init__(self, data: Scenes, *, targets: str = "sinkhorn", momentum: float = 0.99, **more):
        super().__init__(data, **more)
        self.head = PrototypeHead(self.encoder.width, PROTOTYPES)
        self.teacher = copy.deepcopy(nn.ModuleList([self.encoder, self.head])).requires_grad_(False)
        self.targets, self.momentum = targets, momentum
        self.register_buffer("center", torch.zeros(PROTOTYPES))

    def forward(self, generator: torch.Generator, progress: float) -> dict[str, torch.Tensor]:
        rows, first = self.draw(generator)
        second = batch(self.data, rows, generator, self.amount, self.colour)
        losses, uses = [], []
        for shown, judged in ((first, second), (second, first)):
            targets = self.said(judged)
            losses.append(distillation_loss(self.head(self.encoder(shown).mean(dim=1)), targets))
            uses.append(targets.mean(dim=0))
        return {"loss": sum(losses) / 2, "used": evenness(sum(uses) / 2)}

    @torch.no_grad()
    def said(self, pixels: torch.Tensor) -> torch.Tensor:
        """The teacher's targets (B, prototypes) for one view."""
        encoder, head = self.teacher
        logits = head(encoder(pixels).mean(dim=1))
        if self.targets == "sinkhorn":
            return sinkhorn(logits, SHARPNESS)
        targets, self.center = centred_targets(logits, self.center, SHARPNESS)
        return targets

    def after_step(self, progress: float) -> None:
        student = nn.ModuleList([self.encoder, self.head])
        update_teacher(self.teacher, student, self.momentum + (1 - self.momentum) * progress)


def evenness(share: torch.Tensor) -> torch.Tensor:
    """Of how the prototypes share the batch, (K,) summing to 1: 1 when all get as much, 0 when one gets all."""
    return -(share * share.clamp(min=1e-12).log()).sum() / torch.tensor(float(len(share))).log()


class Anchored(nn.Module):
    """Any short learner with the Gram term: from `tie` on, its patches' likenesses are held at what they then were."""

    def __init__(self, learner: ShortLearner, gram: Callable, weight: float):
        super().__init__()
        self.learner, self.gram, self.weight = learner, gram, weight
        self.batch_size = learner.batch_size
        self.anchor: nn.Module | None = None

    @property
    def encoder(self) -> nn.Module:
        """The encoder that learns."""
        return self.learner.encoder

    def tie(self) -> None:
        """Holds on to the encoder as it is now."""
        self.anchor = copy.deepcopy(self.encoder).eval().requires_grad_(False)

    def forward(self, generator: torch.Generator, progress: float) -> dict[str, torch.Tensor]:
        found = self.learner(generator, progress)
        if self.anchor is None or not self.weight:
            return found
        _, pixels = self.learner.draw(generator)
        pixels = pixels[: len(pixels) // 2]  # half a batch is enough to hold them
        held = self.gram(self.encoder(pixels), self.anchor(pixels))
        return found | {"loss": found["loss"] + self.weight * held, "gram": held}

    def after_step(self, progress: float) -> None:
        self.learner.after_step(progress)


def likeness(patches: torch.Tensor) -> torch.Tensor:
    """How alike the patches of a picture are: mean cosine between different patches, (B, N, D) -> (B,)."""
    n = patches.shape[1]
    return (gram_matrix(patches).sum(dim=(1, 2)) - n) / (n * (n - 1))
