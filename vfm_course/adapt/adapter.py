"""Adapters: a small network of its own behind each frozen block (Houlsby et al. 2019), by forward hooks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import nn

from vfm_course.adapt.adapted import Adapted
from vfm_course.adapt.classifier import Classifier
from vfm_course.adapt.inside import BATCH, STEPS, train_inside
from vfm_course.adapt.roles import blocks
from vfm_course.adapt.task import Task
from vfm_course.errors import UserError

if TYPE_CHECKING:
    from vfm_course.families.load import Loaded

BOTTLENECK = 16  # numbers that a token is squeezed into
RATES = (1e-3, 1e-2)


class Bottleneck(nn.Module):
    """Tokens (…, width) -> tokens + up(GELU(down(tokens))): 2 * width * size + size + width weights.

    `up` is zero at first, so that nothing changes before the first step.
    """

    def __init__(self, width: int, size: int):
        super().__init__()
        self.down, self.up = nn.Linear(width, size), nn.Linear(size, width)
        nn.init.zeros_(self.up.weight)
        nn.init.zeros_(self.up.bias)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        return tokens + self.up(nn.functional.gelu(self.down(tokens.float()))).to(tokens.dtype)

    def after(self, block: nn.Module, inputs: tuple, answer):
        """As a forward hook: in place of the block's answer. Some versions' blocks answer with a tuple."""
        return (self(answer[0]), *answer[1:]) if isinstance(answer, tuple) else self(answer)


def adapter(
    loaded: Loaded, task: Task, seed: int = 0, *, size: int = BOTTLENECK, rates: float | Sequence[float] = RATES,
    steps: int = STEPS, batch: int = BATCH, feature: str | None = None,
) -> Adapted:  # fmt: skip
    """Trains one Bottleneck behind each block of the encoder, and the head with them.

    The paper has two in each block, behind attention and behind the MLP; one behind the whole does nearly as well
    (Pfeiffer et al. 2021), and needs no knowledge of what is inside a block.
    """
    if size < 1:
        raise UserError(f"A bottleneck has at least 1 number, not {size}.")

    def open_up(model: Classifier) -> None:
        found = blocks(model.encoder)
        model.adapters = nn.ModuleList(Bottleneck(_width(block), size) for block in found).to(loaded.device)
        for block, small in zip(found, model.adapters, strict=True):
            block.register_forward_hook(small.after)

    return train_inside(loaded, task, seed, open_up, rates, steps, batch, feature)


def _width(block: nn.Module) -> int:
    """How many numbers a token has in a block: what its first norm normalises."""
    return next(module for module in block.modules() if isinstance(module, nn.LayerNorm)).normalized_shape[-1]
