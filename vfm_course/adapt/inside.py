"""What the ways that train inside the encoder have in common: the start, the steps, the choice of a learning rate."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import torch
from torch import nn

from vfm_course.adapt.adapted import Adapted
from vfm_course.adapt.classifier import Classifier, fit
from vfm_course.adapt.frozen import linear_start
from vfm_course.adapt.reading import encoder_weights
from vfm_course.adapt.task import Task
from vfm_course.errors import UserError

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
    rates = [rates] if isinstance(rates, int | float) else list(rates)
    if not rates or min(rates) <= 0 or steps < 1 or batch < 1:
        raise UserError("Training needs a learning rate above 0, at least one step and at least one picture a step.")
    start = linear_start(loaded, task, feature)
    begun, tried = time.perf_counter(), []
    for rate in rates:
        with torch.random.fork_rng():  # what the caller draws later is not disturbed
            torch.manual_seed(seed)
            model = Classifier(loaded, start.feature, start.head)
            open_up(model)
            model.head.requires_grad_(True)
            trained = fit(model, task, rate, seed, steps, batch)
        hits = model.predict(task.validation.images) == task.validation.labels
        tried.append((float(hits.mean()), rate, model, trained))
    score, rate, model, trained = max(tried, key=lambda each: each[0])
    seconds = start.reading + start.fitting + (time.perf_counter() - begun)
    total = sum(weight.numel() for weight in encoder_weights(loaded.model).values())
    added = _size(model) - _size(loaded.model)
    settings = {"feature": start.feature, "rate": rate, "steps": steps, "batch": batch, "validation": score}
    for weight in model.parameters():  # it is done: nothing that is asked of it keeps a graph any more
        if weight.requires_grad:
            weight.requires_grad_(False)
    return Adapted(model.predict, trained, total + added, seconds, start.reading, start.memory, settings, model)


def _size(model: nn.Module) -> int:
    return sum(weight.numel() for weight in model.parameters())
