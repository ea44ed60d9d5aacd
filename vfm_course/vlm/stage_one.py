"""BLIP-2's first stage (Li et al. 2023): before it meets the language model, the Q-Former learns to look for what text
tells. Three losses on one batch of pictures and texts, weighed one to one to one as in the paper."""

import time
from collections.abc import Callable

import numpy as np
import torch
from torch.nn import functional as F

from vfm_course.connectors.qformer_text import QFormerStageOne
from vfm_course.vlm.tokenizer import PAD
from vfm_course.vlm.train import Curve, Stage, learn

SCALE = 1 / 0.07  # on the cosines; the paper learns it from there


def stage_one_losses(
    model: QFormerStageOne, image_embeds: torch.Tensor, tokens: torch.Tensor, mask: torch.Tensor, draw: torch.Generator
) -> dict[str, torch.Tensor]:
    """The three losses of a batch in which text i belongs to image i.

    Contrast finds the pairs that the model takes for each other, and matching has to tell these apart: for each image
    one wrong text is drawn, the likelier the more alike it seems (hard negatives, Li et al. 2021).

    Args:
        image_embeds: (B, N, vision_width). tokens: (B, T). mask: bool (B, T), True for real tokens. draw: for the
            wrong texts, on the CPU.

    Returns:
        Scalars "contrastive", "matching" and "generation".
    """
    count = len(tokens)
    own = torch.arange(count, device=tokens.device)
    logits = SCALE * model.contrastive(image_embeds, tokens, mask)
    contrastive = (F.cross_entropy(logits, own) + F.cross_entropy(logits.T, own)) / 2

    seeming = logits.detach().softmax(dim=1).fill_diagonal_(0) + 1e-6
    wrong = torch.multinomial(seeming.fill_diagonal_(0).cpu(), 1, generator=draw).squeeze(1).to(own.device)  # (B,)
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
    draw = torch.Generator().manual_seed(seed)
    curve, begun = Curve(), time.perf_counter()

    def note(samples: int, means: dict[str, float]) -> None:
        curve.points.append({"samples": samples, **means})
        curve.seconds = time.perf_counter() - begun
        if show:
            show(samples, curve.points[-1])

    def losses_of(images: torch.Tensor, tokens: torch.Tensor, answers: torch.Tensor) -> dict[str, torch.Tensor]:
        losses = stage_one_losses(model, images, tokens, tokens != PAD, draw)
        return {"loss": sum(losses.values()), **losses}

    learn(list(model.parameters()), features, stage, np.random.default_rng([seed, 1]), losses_of, note)
    return curve
