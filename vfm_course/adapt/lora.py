"""LoRA: a product of two thin matrices is learnt beside each frozen one (Hu et al. 2021), through the peft library."""

from __future__ import annotations

import copy
import dataclasses
import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING

from vfm_course.adapt.adapted import Adapted
from vfm_course.adapt.classifier import Classifier
from vfm_course.adapt.inside import BATCH, STEPS, train_inside
from vfm_course.adapt.roles import projections
from vfm_course.adapt.task import Task
from vfm_course.errors import UserError

if TYPE_CHECKING:
    from vfm_course.families.load import Loaded

RANK = 8
RATES = (1e-3, 1e-2)


def lora(
    loaded: Loaded, task: Task, seed: int = 0, *, rank: int = RANK, alpha: float | None = None,
    roles: Sequence[str] = ("query", "value"), rates: float | Sequence[float] = RATES, steps: int = STEPS,
    batch: int = BATCH, feature: str | None = None,
) -> Adapted:  # fmt: skip
    """Trains low-rank updates of attention's matrices, and the head with them.

    Each adapted matrix W (out, in) becomes W + alpha / rank * B A with A (rank, in) random and B (out, rank) zero, so
    that training begins at the frozen model: rank * (in + out) numbers a matrix.

    Args:
        alpha: twice the rank if not given.
        roles: of query, key, value and output; the paper's choice is query and value.
        rates, steps, batch, feature: see `train_inside` and `linear`.
    """
    if rank < 1:
        raise UserError(f"LoRA's rank is at least 1, not {rank}.")
    projections(loaded.model, tuple(roles))  # says at once if there is nothing to adapt

    def open_up(model: Classifier) -> None:
        import peft

        names = projections(model.encoder, tuple(roles))
        config = peft.LoraConfig(r=rank, lora_alpha=2 * rank if alpha is None else alpha, lora_dropout=0.0, bias="none",
                                 target_modules=names)  # fmt: skip
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # peft asks newer versions of transformers by an old name
            model.encoder = peft.get_peft_model(model.encoder, config)

    return train_inside(loaded, task, seed, open_up, rates, steps, batch, feature)


def merged(adapted: Adapted) -> Adapted:
    """The same with each update added to its matrix: a plain encoder again, as fast as before; what was given stays.

    Raises:
        UserError: it was not adapted by `lora`.
    """
    if not hasattr(getattr(adapted.model, "encoder", None), "merge_and_unload"):
        raise UserError("Only what `lora` has adapted can be merged.")
    model = copy.deepcopy(adapted.model)
    model.encoder = model.encoder.merge_and_unload()
    return dataclasses.replace(adapted, model=model, predict=model.predict)
