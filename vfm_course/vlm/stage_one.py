"""BLIP-2's first stage (Li et al. 2023): before it meets the language model, the Q-Former learns to look for what text
tells. Three losses on one batch of pictures and texts, weighed one to one to one as in the paper."""

import time
from collections.abc import Callable

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from vfm_course.connectors.qformer_text import QFormerStageOne
from vfm_course.schedule import schedule
from vfm_course.vlm.tokenizer import PAD
from vfm_course.vlm.train import Curve, Stage

SCALE = 1 / 0.07  # on the cosines; the paper learns it from there


def stage_one_losses(
    model: QFormerStageOne, image_embeds: torch.Tensor, tokens: torch.Tensor, mask: torch.Tensor, draw: torch.Generator
) -> dict[str, torch.Tensor]:
    """The three losses of a batch in which text i belongs to image i.

    Contrast finds the pairs that the model takes for each other, and matching has to tell these apart: for each image
    one wrong text is drawn, the likelier the more alike it seems (hard negatives, Li et al. 2021).

    Args:
        image_embeds: (B, N, vision_width). tokens: (B, T). mask: bool (B, T), True for real tokens. draw: for the
            wrong texts.

    Returns:
        Scalars "contrastive", "matching" and "generation".
    """
    count = len(tokens)
    own = torch.arange(count)
    logits = SCALE * model.contrastive(image_embeds, tokens, mask)
    contrastive = (F.cross_entropy(logits, own) + F.cross_entropy(logits.T, own)) / 2

    seeming = logits.detach().softmax(dim=1).fill_diagonal_(0) + 1e-6
    wrong = torch.multinomial(seeming.fill_diagonal_(0), 1, generator=draw).squeeze(1)  # (B,)
    texts = torch.cat([own, wrong])
    pairs = model.matching(image_embeds.repeat(2, 1, 1), tokens[texts], mask[texts])  # (2B, 2)
    matching = F.cross_entropy(pairs, torch.cat([torch.ones_like(own), torch.zeros_like(own)]))

    said = model.generation(image_embeds, tokens, mask)[:, :-1]
    generation = F.cross_entropy(said[mask[:, 1:]], tokens[:, 1:][mask[:, 1:]])
    return {"contrastive": contrastive, "matching": matching, "generation": generation}


def train_stage_one(
    model: QFormerStageOne,
    features: np.ndarray,
    stage: Stage,
    seed: int = 0,
    show: Callable[[int, dict], None] | None = None,
) -> Curve:
    """Trains a Q-Former on pictures and what is told of them; `stage.tune_lm` means nothing here.

    Args:
        features: the encoder's, (scenes, N, width), rows as the lessons name them.
        show: called about fifty times with the samples seen and the last point of the curve.
    """
    optimiser = torch.optim.AdamW(model.parameters(), lr=stage.learning_rate, betas=(0.9, 0.98), weight_decay=0.05)
    rng, draw = np.random.default_rng([seed, 1]), torch.Generator().manual_seed(seed)
    curve, begun = Curve(), time.perf_counter()
    steps = max(1, stage.samples // stage.batch_size)
    every, sums = max(1, steps // 50), []
    for step in range(steps):
        for group in optimiser.param_groups:
            group["lr"] = stage.learning_rate * schedule(step / steps, stage.warm_up)
        start = int(rng.integers(len(stage.lessons) - stage.batch_size + 1))
        scenes, tokens, mask = stage.lessons.batch(np.arange(start, start + stage.batch_size))
        images = torch.from_numpy(features[scenes].astype(np.float32))
        losses = stage_one_losses(model, images, tokens, tokens != PAD, draw)
        optimiser.zero_grad(set_to_none=True)
        sum(losses.values()).backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        sums.append([loss.item() for loss in losses.values()])
        if len(sums) == every or step + 1 == steps:
            means = dict(zip(losses, np.mean(sums, axis=0).tolist(), strict=True))
            curve.points.append({"samples": (step + 1) * stage.batch_size, **means})
            curve.seconds, sums = time.perf_counter() - begun, []
            if show:
                show(curve.points[-1]["samples"], curve.points[-1])
    return curve
