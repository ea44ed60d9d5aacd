"""I-JEPA with one of its two safeguards left out: the loss goes to nothing, and so do the features."""

from __future__ import annotations

import torch
from torch.nn import functional as F

from vfm_course.objectives.ijepa import pick
from vfm_course.pretraining.scenes import scenes
from vfm_course.pretraining.short import probe
from vfm_course.pretraining.short.learners import ShortJepa
from vfm_course.pretraining.short.run import pretrain

QUESTION = (
    "I-JEPA as it is, with the encoder of the moment in place of the slow copy, and without the stopped gradient: what "
    "becomes of the loss, of the deviation of the features from picture to picture, and of what they tell?"
)
SEEN, SCENES = 25_600, 60_000


def leaking_loss(predicted: torch.Tensor, features: torch.Tensor, numbers: torch.Tensor) -> torch.Tensor:
    """I-JEPA's loss without the stopped gradient: the features may come to meet the prediction."""
    return F.smooth_l1_loss(predicted, pick(F.layer_norm(features, features.shape[-1:]), numbers))


VARIANTS = {
    "as it is": {},
    "no slow copy": {"momentum": 0.0},
    "no stopped gradient": {"loss": leaking_loss, "target_learns": True},
}


def cases(seed: int) -> list[dict]:
    """The runs of one seed."""
    return [{"variant": variant} for variant in VARIANTS]


def measure(seed: int, variant: str) -> dict:
    """One run: the curves of loss and deviation, and what a linear probe finds at the end."""
    torch.manual_seed(seed)
    learner = ShortJepa(scenes(SCENES, 72), **VARIANTS[variant])
    curve = pretrain(learner, SEEN, seed)
    kept = [{key: round(step[key], 4) for key in ("images", "loss", "deviation")} for step in curve[::5] + curve[-1:]]
    told = probe.told(lambda pixels: probe.embed(learner.encoder, pixels), 0)
    return {"curve": kept, "deviation": kept[-1]["deviation"], "loss": kept[-1]["loss"], "told": told}
