"""The loop of a short run: nothing is written to disk, and what is to be seen on the way is asked for."""

from __future__ import annotations

import time
from collections.abc import Callable

import torch
from torch import nn

from vfm_course.pretraining.trainer import Learner, make_optimiser
from vfm_course.schedule import schedule

RATE, DECAY, WARM_UP = 2e-3, 0.05, 0.1


def pretrain(
    learner: Learner, images: int, seed: int = 0, rate: float = RATE, watch: Callable[[int, dict], None] | None = None
) -> list[dict]:
    """Trains for `images` images (batches are counted, a rest is left out) with AdamW, warm-up and cosine.

    Args:
        seed: of batches, views and masks; the learner's weights are drawn where it is made.
        watch: called after every step with the images seen and the step's numbers.

    Returns:
        For each step `images`, `seconds` since the start, and the learner's own numbers.
    """
    optimiser = make_optimiser(learner, rate, DECAY)
    steps = images // learner.batch_size
    begun, curve = time.perf_counter(), []
    learner.train()
    for step in range(steps):
        for group in optimiser.param_groups:
            group["lr"] = rate * schedule(step / steps, WARM_UP)
        torch.manual_seed(seed * 1_000_003 + step)
        found = learner(torch.Generator().manual_seed(seed * 1_000_003 + step), step / steps)
        optimiser.zero_grad(set_to_none=True)
        found["loss"].backward()
        nn.utils.clip_grad_norm_(learner.parameters(), 1.0)
        optimiser.step()
        learner.after_step(step / steps)
        curve.append({name: value.item() for name, value in found.items()})
        curve[-1] |= {"images": (step + 1) * learner.batch_size, "seconds": time.perf_counter() - begun}
        if watch:
            watch(curve[-1]["images"], curve[-1])
    learner.eval()
    return curve
