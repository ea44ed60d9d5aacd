"""JEPA's complaint in small: what do features keep when more and more of every picture is noise nobody can predict?"""

from __future__ import annotations

import torch

from vfm_course.pretraining.scenes import scenes
from vfm_course.pretraining.short import probe
from vfm_course.pretraining.short.learners import ShortClip, ShortJepa, ShortMae
from vfm_course.pretraining.short.run import pretrain
from vfm_course.pretraining.short.vit import ShortViT

QUESTION = (
    "Pictures with more and more noise: what do the features of MAE, CLIP and I-JEPA tell about concept, place, "
    "background, and about the noise itself? About two minutes of one core each."
)
AMOUNTS = (0, 50, 100)  # deviation of the noise in grey levels
LEARNERS = {"mae": (ShortMae, 150_000), "clip": (ShortClip, 100_000), "ijepa": (ShortJepa, 120_000)}  # images seen
SCENES = 60_000


def cases(seed: int) -> list[dict]:
    """The runs of one seed."""
    models = [*LEARNERS, "random"] + ["pixels"] * (seed == 0)
    return [{"model": model, "amount": amount} for amount in AMOUNTS for model in models]


def measure(seed: int, model: str, amount: int) -> dict:
    """One run: pretrained on noisy scenes, probed on scenes as noisy, and on clean ones."""
    torch.manual_seed(seed)
    if model == "pixels":
        return {"told": probe.told(probe.raw, amount, probe.half_size)}
    if model == "random":
        encoder, found = ShortViT().eval(), {}
    else:
        make, images = LEARNERS[model]
        learner = make(scenes(SCENES, 72), amount=amount)
        curve = pretrain(learner, images, seed)
        encoder = learner.encoder
        found = {"images": images, "loss": sum(step["loss"] for step in curve[-50:]) / 50}

    def look(pixels: torch.Tensor) -> torch.Tensor:
        return probe.embed(encoder, pixels)

    found["told"] = probe.told(look, amount)
    if amount:
        found["told_clean"] = probe.told(look, 0)
    return found
