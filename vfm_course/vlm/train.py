"""Training between a frozen encoder and a language model, under a budget counted in pictures with their text."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from vfm_course.schedule import schedule
from vfm_course.vlm.lessons import Lessons
from vfm_course.vlm.model import trainable
from vfm_course.vlm.tokenizer import PAD


@dataclass(frozen=True)
class Stage:
    """Part of a training: `lessons` are learnt from `samples` times; `tune_lm` trains the language model too."""

    lessons: Lessons
    samples: int
    tune_lm: bool = False
    learning_rate: float = 1e-3
    batch_size: int = 8  # many small steps learn more from as many pictures
    warm_up: float = 0.05


@dataclass
class Curve:
    """What a training was like: `points` hold `samples`, `loss` and `right`, the share of right tokens in answers."""

    points: list[dict] = field(default_factory=list)
    seconds: float = 0.0


def answer_loss(logits: torch.Tensor, tokens: torch.Tensor, answers: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Mean cross-entropy over the tokens of the answers, and the share of them that was guessed right.

    Args:
        logits: (B, T, vocabulary), of the word after each token. tokens: (B, T). answers: bool (B, T).
    """
    wanted, said = tokens[:, 1:][answers[:, 1:]], logits[:, :-1][answers[:, 1:]]
    return F.cross_entropy(said, wanted), (said.argmax(dim=-1) == wanted).float().mean()


def train_vlm(
    model: nn.Module,
    features: np.ndarray,
    stages: list[Stage],
    seed: int = 0,
    show: Callable[[int, dict], None] | None = None,
) -> Curve:
    """Trains a `PrefixVLM` or `GatedVLM` through the stages, each with a learning rate that warms up and falls to zero.

    Args:
        features: the encoder's, (scenes, N, width), rows as the lessons name them.
        show: called about a hundred times with the samples seen and the last point of the curve.
    """
    curve, begun, before = Curve(), time.perf_counter(), 0

    def note(samples: int, means: dict[str, float]) -> None:
        curve.points.append({"stage": number, "samples": before + samples, **means})
        curve.seconds = time.perf_counter() - begun
        if show:
            show(before + samples, curve.points[-1])

    def losses_of(images: torch.Tensor, tokens: torch.Tensor, answers: torch.Tensor) -> dict[str, torch.Tensor]:
        logits = model(images, tokens, ~answers & (tokens != PAD))
        return dict(zip(("loss", "right"), answer_loss(logits, tokens, answers), strict=True))

    for number, stage in enumerate(stages):
        trainable(model, with_lm=stage.tune_lm)
        learn(list(model.parameters()), features, stage, np.random.default_rng([seed, number]), losses_of, note)
        before += max(1, stage.samples // stage.batch_size) * stage.batch_size
    model.requires_grad_(False)
    return curve


def learn(
    weights: Sequence[nn.Parameter],
    features: np.ndarray,
    stage: Stage,
    rng: np.random.Generator,
    losses_of: Callable[[torch.Tensor, torch.Tensor, torch.Tensor], dict[str, torch.Tensor]],
    note: Callable[[int, dict[str, float]], None],
) -> None:
    """One stage's steps.

    Args:
        weights: those that require a gradient are trained, where they are.
        features: (scenes, N, width).
        losses_of: features (B, N, width), tokens (B, T) and answers (B, T) -> numbers by name; "loss" is made smaller.
        note: called about fifty times with the samples seen in this stage and the means since the call before.
    """
    trained = [weight for weight in weights if weight.requires_grad]
    device = trained[0].device
    optimiser = torch.optim.AdamW(trained, lr=stage.learning_rate, betas=(0.9, 0.98), weight_decay=0.01)
    steps = max(1, stage.samples // stage.batch_size)
    every, sums = max(1, steps // 50), []
    for step in range(steps):
        for group in optimiser.param_groups:
            group["lr"] = stage.learning_rate * schedule(step / steps, stage.warm_up)
        start = int(rng.integers(len(stage.lessons) - stage.batch_size + 1))  # neighbours are of about one length
        scenes, tokens, answers = stage.lessons.batch(np.arange(start, start + stage.batch_size))
        images = torch.from_numpy(features[scenes].astype(np.float32))
        losses = losses_of(images.to(device), tokens.to(device), answers.to(device))
        optimiser.zero_grad(set_to_none=True)
        losses["loss"].backward()
        nn.utils.clip_grad_norm_(trained, 1.0)
        optimiser.step()
        sums.append([loss.item() for loss in losses.values()])
        if len(sums) == every or step + 1 == steps:
            note((step + 1) * stage.batch_size, dict(zip(losses, np.mean(sums, axis=0).tolist(), strict=True)))
            sums = []
