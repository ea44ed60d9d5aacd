"""Floating-point operations of one picture, stage by stage, on tensors without data.

A multiplication and the addition after it are two operations. Where a model's forward pass asks for a tensor's values,
which tensors on the meta device do not have, `tower_flops` stands in.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode


@dataclass(frozen=True)
class Stage:
    """A step on a picture's way: `run` is counted as it runs, or else `formula` gives the number.

    `tokens` reads off `run`'s output how many come out, without the extra ones.
    """

    label: str
    run: Callable[[], Any] | None = None
    formula: Callable[[], int] | None = None
    tokens: Callable[[Any], int] | None = None


def tower_flops(tower: nn.Module, tokens: int, context: int, width: int, layers: int) -> int:
    """Operations of a transformer by arithmetic.

    2 x (weights of its linear layers and patch convolution) x tokens, since every weight meets every token once;
    and for each layer 4 x tokens x context x width, since queries meet keys (2) and weights meet values (2).
    `context` is the number of tokens that one attends to: all of them, or those of its window.
    """
    weights = sum(m.weight.numel() for m in tower.modules() if isinstance(m, nn.Linear | nn.Conv2d | nn.Conv3d))
    return 2 * weights * tokens + layers * 4 * tokens * context * width


def zeros(*shape: int, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    """A tensor of a shape and no data."""
    return torch.zeros(*shape, dtype=dtype, device="meta")


@dataclass
class Counted:
    """`flops` of each stage, those among them that are `by_formula`, and the `tokens` that come out (None: not run)."""

    flops: dict[str, int] = field(default_factory=dict)
    by_formula: list[str] = field(default_factory=list)
    tokens: int | None = None


def count(stages: list[Stage]) -> Counted:
    """Runs each stage, or computes it, in turn."""
    found = Counted()
    for stage in stages:
        if stage.run is None:
            found.flops[stage.label] = stage.formula()
            found.by_formula.append(stage.label)
            continue
        with torch.no_grad(), FlopCounterMode(display=False) as counter:
            output = stage.run()
        found.flops[stage.label] = counter.get_total_flops()
        if stage.tokens is not None:
            found.tokens = stage.tokens(output)
    return found
