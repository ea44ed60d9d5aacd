"""What an adapted encoder is measured against: a small network of the task's own, trained from nothing."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import nn

from vfm_course.adapt.adapted import Adapted
from vfm_course.adapt.classifier import best_rate, predict
from vfm_course.adapt.task import Task
from vfm_course.errors import UserError
from vfm_course.world.difficulty import small_cnn

if TYPE_CHECKING:
    from vfm_course.families.load import Loaded

STEPS, BATCH = 500, 32
RATES = (1e-3, 4e-3)


class Bespoke(nn.Module):
    """Prepared pixels (B, 3, H, W) -> logits (B, C): five convolutions, the average over all places, a linear layer.

    Of `loaded` only the processor and the device are used, so that every network is given the very same pixels.
    """

    def __init__(self, loaded: Loaded, classes: int):
        super().__init__()
        self.loaded = loaded
        self.layers = small_cnn(classes=classes).to(loaded.device)

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        return self.layers(pixels)

    def predict(self, images: np.ndarray | Sequence) -> np.ndarray:
        """Pictures, uint8 (N, H, W, 3) or PIL -> classes (N,)."""
        return predict(self, images)


def bespoke(
    loaded: Loaded, task: Task, seed: int = 0, *, rates: float | Sequence[float] = RATES, steps: int = STEPS,
    batch: int = BATCH,
) -> Adapted:  # fmt: skip
    """Trains a network of the task's own on its labels alone: no pretraining, nothing shared with another task.

    Args:
        loaded: gives the pixels, as its processor prepares them, and nothing else.
        rates: peak learning rate; of several, the one that does best on the validation pictures.

    Raises:
        UserError: no rate, no step, or fewer than two pictures a step.
    """
    if batch < 2:
        raise UserError("The small network normalises over a batch: it needs at least two pictures a step.")
    begun = time.perf_counter()
    model, trained, settings = best_rate(lambda: Bespoke(loaded, len(task.classes)), task, rates, seed, steps, batch)
    return Adapted(model.predict, trained, trained, time.perf_counter() - begun, settings=settings, model=model)
