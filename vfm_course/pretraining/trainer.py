"""One training loop for every recipe: warm-up and cosine, clipped gradients, resumable after a kill."""

import json
import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import nn

from vfm_course.errors import UserError
from vfm_course.schedule import schedule

SAVE_EVERY = 60.0  # seconds


class Learner(nn.Module):
    """What a recipe trains. `forward(generator, progress)` draws a batch and returns named losses, `loss` the total."""

    batch_size: int

    def forward(self, generator: torch.Generator, progress: float) -> dict[str, torch.Tensor]:
        raise NotImplementedError

    def after_step(self, progress: float) -> None:
        """Called after each update, with the share of the run that is done (0 to 1)."""

    def save(self, folder: Path) -> None:
        """Writes model and processor as `from_pretrained` reads them."""
        raise NotImplementedError


@dataclass(frozen=True)
class Recipe:
    """One model's training: `build()` makes the learner; lengths are counted in images seen."""

    name: str
    build: Callable[[], Learner]
    images: int
    quick_images: int
    learning_rate: float = 1e-3
    weight_decay: float = 0.05
    warm_up: float = 0.05  # share of the run
    gradient_norm: float = 1.0


@dataclass
class Record:
    """What a run leaves to be read: the curve holds (images seen, mean losses since the last point)."""

    recipe: str
    seed: int
    images: int
    seen: int = 0
    seconds: float = 0.0
    curve: list[dict] = field(default_factory=list)


def train(
    recipe: Recipe, folder: Path, images: int, seed: int = 0, show: Callable[[Record], None] | None = None
) -> Record:
    """Trains for `images` images and saves the model into `folder`; continues where a killed run of the same length
    and seed stopped. The same seed gives the same losses on the same machine, interrupted or not.

    Raises:
        UserError: the folder holds a run of another recipe, length or seed, or cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    record, saved = _resume(folder, Record(recipe.name, seed, images))
    torch.manual_seed(seed)
    learner = recipe.build()
    optimiser = make_optimiser(learner, recipe.learning_rate, recipe.weight_decay)
    if saved:
        learner.load_state_dict(saved["learner"])
        optimiser.load_state_dict(saved["optimiser"])
    steps = max(1, images // learner.batch_size)
    begun, last_saved = time.perf_counter() - record.seconds, time.perf_counter()
    sums: dict[str, float] = {}
    counted = 0
    learner.train()
    for step in range(record.seen // learner.batch_size, steps):
        progress = step / steps
        for group in optimiser.param_groups:
            group["lr"] = recipe.learning_rate * schedule(progress, recipe.warm_up)
        # Seeded by the step's number: a continued run draws what the uninterrupted one would have drawn.
        torch.manual_seed(seed * 1_000_003 + step)
        generator = torch.Generator().manual_seed(seed * 1_000_003 + step)
        losses = learner(generator, progress)
        optimiser.zero_grad(set_to_none=True)
        losses["loss"].backward()
        nn.utils.clip_grad_norm_(learner.parameters(), recipe.gradient_norm)
        optimiser.step()
        learner.after_step(progress)
        for name, loss in losses.items():
            sums[name] = sums.get(name, 0.0) + loss.item()
        counted += 1
        record.seen = (step + 1) * learner.batch_size
        record.seconds = time.perf_counter() - begun
        if counted == max(1, steps // 100) or step + 1 == steps:
            record.curve.append({"images": record.seen} | {name: total / counted for name, total in sums.items()})
            sums, counted = {}, 0
            if time.perf_counter() - last_saved > SAVE_EVERY or step + 1 == steps:
                _save(folder, learner, optimiser, record)
                last_saved = time.perf_counter()
        if show:
            show(record)
    learner.eval()
    learner.save(folder)
    return record


def make_optimiser(learner: nn.Module, learning_rate: float, weight_decay: float) -> torch.optim.AdamW:
    """AdamW over all weights that require a gradient; biases, norms, tokens and scales keep their size."""
    trained = [weight for weight in learner.parameters() if weight.requires_grad]
    return torch.optim.AdamW(
        [
            {"params": [weight for weight in trained if weight.ndim > 1], "weight_decay": weight_decay},
            {"params": [weight for weight in trained if weight.ndim < 2], "weight_decay": 0.0},
        ],
        lr=learning_rate,
        betas=(0.9, 0.98),
    )


def _resume(folder: Path, fresh: Record) -> tuple[Record, dict]:
    """The record and state of a run begun here, or the fresh record and nothing."""
    if not (folder / "state.pt").is_file():
        return fresh, {}
    saved = torch.load(folder / "state.pt", weights_only=True)
    record = Record(**saved["record"])
    if (record.recipe, record.seed, record.images) != (fresh.recipe, fresh.seed, fresh.images):
        raise UserError(
            f"{folder} holds a run of {record.recipe}, seed {record.seed}, {record.images} images: name another folder."
        )
    return record, saved


def _save(folder: Path, learner: Learner, optimiser: torch.optim.Optimizer, record: Record) -> None:
    """The state with its record in one file, renamed into place; training.json is for readers."""
    partial = folder / "state.partial"
    state = {"learner": learner.state_dict(), "optimiser": optimiser.state_dict(), "record": vars(record)}
    torch.save(state, partial)
    os.replace(partial, folder / "state.pt")
    (folder / "training.json").write_text(json.dumps(vars(record)) + "\n")
