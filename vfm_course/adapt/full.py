"""Full fine-tuning: every weight of the encoder learns on, from where pretraining left it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from vfm_course.adapt.adapted import Adapted
from vfm_course.adapt.classifier import Classifier
from vfm_course.adapt.inside import BATCH, STEPS, train_inside
from vfm_course.adapt.reading import encoder_weights
from vfm_course.adapt.task import Task

if TYPE_CHECKING:
    from vfm_course.families.load import Loaded

RATES = (1e-4, 1e-3)


def full(
    loaded: Loaded, task: Task, seed: int = 0, *, rates: float | Sequence[float] = RATES, steps: int = STEPS,
    batch: int = BATCH, feature: str | None = None,
) -> Adapted:  # fmt: skip
    """Trains all weights of the encoder, in float32, and the head, which starts as the linear head (Kumar et al. 2022).

    Args:
        rates, steps, batch, feature: see `train_inside` and `linear`.
    """

    def open_up(model: Classifier) -> None:
        model.encoder.float()
        for weight in encoder_weights(model.encoder).values():
            weight.requires_grad_(True)

    return train_inside(loaded, task, seed, open_up, rates, steps, batch, feature)
