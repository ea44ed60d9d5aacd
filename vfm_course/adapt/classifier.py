"""A copy of the encoder with a linear head, and how its weights are trained: one loop for every way."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from vfm_course.adapt.augment import augment
from vfm_course.adapt.linear import Linear
from vfm_course.adapt.reading import encoder_weights
from vfm_course.adapt.task import Part, Task, picture
from vfm_course.errors import UserError
from vfm_course.features.patches import AT_ONCE, features, prepare
from vfm_course.schedule import schedule

if TYPE_CHECKING:
    from vfm_course.families.load import Loaded

WARM_UP = 0.1  # of the steps
WEIGHT_DECAY = 0.05  # of matrices
LARGEST_GRADIENT = 1.0


class Classifier(nn.Module):
    """Prepared pixels (B, 3, H, W) -> logits (B, C): a copy of the encoder, its feature standardised, a linear head.

    The head starts as the linear head that was fitted on the frozen feature: from a random head, the first steps would
    tear up what pretraining has learnt (Kumar et al. 2022). The encoder is frozen until a way of adapting says
    otherwise, and stays in evaluation mode in any case: BatchNorm keeps its statistics, Dropout is off.
    """

    def __init__(self, loaded: Loaded, feature: str, start: Linear):
        super().__init__()
        self.name, self.feature = loaded.name, feature
        self.loaded = dataclasses.replace(loaded, model=None)  # for its processor and its device
        self.encoder = copy_encoder(loaded.model)
        self.register_buffer("mean", start.mean.clone())
        self.register_buffer("std", start.std.clone())
        self.head = nn.Linear(start.weight.shape[1], start.weight.shape[0])
        with torch.no_grad():
            self.head.weight.copy_(start.weight)
            self.head.bias.copy_(start.bias)
        self.eval().to(loaded.device)

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        patches, whole = features(self.name, self.encoder, pixels)
        seen = {"whole": (whole,), "mean": (patches.mean(dim=1),), "both": (whole, patches.mean(dim=1))}[self.feature]
        return self.head((torch.cat(seen, dim=1).float() - self.mean) / self.std)

    def train(self, mode: bool = True) -> Classifier:
        """Marks the head alone as being in training."""
        super().train(mode)
        self.encoder.eval()
        return self

    def predict(self, images: np.ndarray | Sequence) -> np.ndarray:
        """Pictures, uint8 (N, H, W, 3) or PIL -> classes (N,)."""
        return predict(self, images)


@torch.no_grad()
def predict(model: nn.Module, images: np.ndarray | Sequence) -> np.ndarray:
    """Pictures, uint8 (N, H, W, 3) or PIL, prepared by `model.loaded` and passed through in parts -> classes (N,)."""
    found = []
    for start in range(0, len(images), AT_ONCE):
        rows = range(start, min(start + AT_ONCE, len(images)))
        pixels = prepare(model.loaded, [picture(images, row) for row in rows])
        found.append(model(pixels).argmax(dim=1).cpu())
    return torch.cat(found).numpy()


def copy_encoder(model: nn.Module) -> nn.Module:
    """A frozen copy in evaluation mode. Of what does not read pictures (a text tower) the numbers are shared."""
    reads = encoder_weights(model)
    shared = {
        id(weight): nn.Parameter(weight.detach(), requires_grad=False)
        for name, weight in model.named_parameters()
        if name not in reads
    }
    return copy.deepcopy(model, shared).requires_grad_(False).eval()


def batches(n: int, batch: int, steps: int, generator: torch.Generator) -> Iterator[torch.Tensor]:
    """Numbers of the pictures of each step: every picture once, in random order, before any comes again."""
    order = torch.empty(0, dtype=torch.int64)
    for _ in range(steps):
        while len(order) < batch:
            order = torch.cat([order, torch.randperm(n, generator=generator)])
        yield order[:batch]
        order = order[batch:]


def optimiser_for(weights: Sequence[nn.Parameter], rate: float) -> torch.optim.AdamW:
    """AdamW on these weights and no others; biases, norms, scales and tokens have no weight decay."""
    return torch.optim.AdamW(
        [
            {"params": [weight for weight in weights if weight.ndim in (2, 4)], "weight_decay": WEIGHT_DECAY},
            {"params": [weight for weight in weights if weight.ndim not in (2, 4)], "weight_decay": 0.0},
        ],
        lr=rate,
        betas=(0.9, 0.98),
    )


def fit(model: nn.Module, task: Task, rate: float, seed: int, steps: int, batch: int) -> int:
    """Trains what of a network requires a gradient, on the task's training pictures, prepared by `model.loaded`.

    Returns:
        How many numbers were trained: of weights that no answer depends on (a mask token) there is no gradient, and
        they stay as they are.
    """
    generator = torch.Generator().manual_seed(seed)
    weights = [weight for weight in model.parameters() if weight.requires_grad]
    optimiser = optimiser_for(weights, rate)
    labels = torch.from_numpy(task.train.labels).to(model.loaded.device)
    for step, rows in enumerate(batches(len(task.train), batch, steps, generator)):
        for group in optimiser.param_groups:
            group["lr"] = rate * schedule(step / steps, WARM_UP)
        pixels = augment(_pixels(model.loaded, task.train, rows), task.unchanged_by, generator)
        loss = F.cross_entropy(model(pixels), labels[rows])
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(weights, LARGEST_GRADIENT)
        optimiser.step()
    trained = sum(weight.numel() for weight in weights if weight.grad is not None)
    optimiser.zero_grad(set_to_none=True)
    return trained


def best_rate(
    make: Callable[[], nn.Module], task: Task, rates: float | Sequence[float], seed: int, steps: int, batch: int
) -> tuple[nn.Module, int, dict]:
    """Trains a network that `make` gives, at each rate anew, and takes the one that does best on validation pictures.

    Args:
        make: what it draws at random depends on `seed` alone, and what the caller draws later is not disturbed.
        rates: peak learning rates, or a single one.

    Returns:
        The network, in evaluation mode and frozen; how many numbers were trained; what was chosen.

    Raises:
        UserError: no rate, or no step.
    """
    rates = [rates] if isinstance(rates, int | float) else list(rates)
    if not rates or min(rates) <= 0 or steps < 1 or batch < 1:
        raise UserError("Training needs a learning rate above 0, at least one step and at least one picture a step.")
    tried = []
    for rate in rates:
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            model = make().train()
            trained = fit(model, task, rate, seed, steps, batch)
        hits = model.eval().predict(task.validation.images) == task.validation.labels
        tried.append((float(hits.mean()), rate, model, trained))
    score, rate, model, trained = max(tried, key=lambda each: each[0])
    for weight in model.parameters():  # it is done: nothing that is asked of it keeps a graph any more
        if weight.requires_grad:
            weight.requires_grad_(False)
    return model, trained, {"rate": rate, "steps": steps, "batch": batch, "validation": score}


def _pixels(loaded: Loaded, part: Part, rows: torch.Tensor) -> torch.Tensor:
    return prepare(loaded, [picture(part.images, row) for row in rows.tolist()])
