"""What the ways that train inside the encoder have in common: the start, the steps, the choice of a learning rate."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from torch import nn

from vfm_course.adapt.adapted import Adapted
from vfm_course.adapt.classifier import Classifier, best_rate
from vfm_course.adapt.frozen import linear_start
from vfm_course.adapt.reading import encoder_weights
from vfm_course.adapt.task import Task

if TYPE_CHECKING:
    from vfm_course.families.load import Loaded

STEPS, BATCH = 200, 16


def train_inside(
    loaded: Loaded, task: Task, seed: int, open_up: Callable[[Classifier], None],
    rates: float | Sequence[float], steps: int, batch: int, feature: str | None,
) -> Adapted:  # fmt: skip
    """Begins at the linear head, lets `open_up` make weights of the copied encoder trainable, and trains them with it.

    Args:
        open_up: what makes a frozen Classifier the method's; random numbers that it draws depend on `seed` alone.
        rates: peak learning rate; of several, the one that does best on the validation pictures, where each is tried.

    Raises:
        UserError: no rate, or no step.
    """
    start = linear_start(loaded, task, feature)
    begun = time.perf_counter()

    def make() -> Classifier:
        model = Classifier(loaded, start.feature, start.head)
        open_up(model)
        model.head.requires_grad_(True)
        return model

    model, trained, settings = best_rate(make, task, rates, seed, steps, batch)
    seconds = start.reading + start.fitting + (time.perf_counter() - begun)
    total = sum(weight.numel() for weight in encoder_weights(loaded.model).values())
    added = _size(model) - _size(loaded.model)
    settings = {"feature": start.feature} | settings
    return Adapted(model.predict, trained, total + added, seconds, start.reading, start.memory, settings, model)


def _size(model: nn.Module) -> int:
    return sum(weight.numel() for weight in model.parameters())
