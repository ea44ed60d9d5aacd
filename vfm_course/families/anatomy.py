"""`anatomy("dinov3-7b")`: a giant's real architecture at real size, without a download and without its memory.

It is built from its configuration in the record on torch's meta device, whose tensors have shapes and no data.
"""

from __future__ import annotations

import logging
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING

from vfm_course.errors import UserError
from vfm_course.families.parts import count_parts
from vfm_course.families.systems import Size, System, find

if TYPE_CHECKING:
    from collections.abc import Iterator

    from torch import nn

TOLERANCE = 0.01  # of the published count


@dataclass(frozen=True)
class Anatomy:
    """What a system is made of.

    Attributes:
        parts: parameters of each part; they add up to `parameters`.
        trainable: parameters of the linear head on the frozen rest; 0 without one.
        tokens: what comes out for one picture (a clip, a tile), read off the architecture where it could be run.
        flops: operations of each stage on one picture; `by_formula` names those that were not counted but computed.
    """

    system: System
    size: Size
    parts: dict[str, int]
    trainable: int
    tokens: int | None
    flops: dict[str, int] = field(default_factory=dict)
    by_formula: tuple[str, ...] = ()

    @property
    def parameters(self) -> int:
        """All of them, a head included."""
        return sum(self.parts.values())

    @property
    def total_flops(self) -> int | None:
        """Operations on one picture in all stages; None where none could be counted."""
        return sum(self.flops.values()) or None

    @property
    def bytes_fp32(self) -> int:
        """Memory of the weights alone in float32."""
        return 4 * self.parameters

    @property
    def bytes_bf16(self) -> int:
        """Memory of the weights alone in bfloat16."""
        return 2 * self.parameters

    @property
    def difference(self) -> float | None:
        """Counted against published, as a share of the published; None if that is unknown. A head is left out."""
        if self.size.parameters is None:
            return None
        return (self.parameters - self.trainable) / self.size.parameters - 1

    @property
    def agrees(self) -> bool | None:
        """Whether the two counts agree within a hundredth; None if the published one is unknown."""
        return None if self.difference is None else abs(self.difference) <= TOLERANCE


@contextmanager
def _hushed() -> Iterator[None]:
    """Without transformers' advice on configurations."""
    logger = logging.getLogger("transformers")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)


def build(size: Size) -> nn.Module:
    """The architecture of a record on the meta device.

    Raises:
        UserError: transformers has no class for it, or too old a version is installed.
    """
    import torch
    import transformers

    model_class, config_class = size.built_class or size.model_class, size.built_config_class or size.config_class
    if not model_class or not config_class:
        raise UserError(f"{size.full_name} has no class in transformers, so its parts cannot be counted.")
    if not hasattr(transformers, model_class):
        raise UserError(f"transformers {transformers.__version__} has no {model_class} yet: install a newer one.")
    with _hushed(), torch.device("meta"):
        config = getattr(transformers, config_class)(**size.config)
        config._attn_implementation = "eager"  # plain products, which the counter of operations sees
        return getattr(transformers, model_class)(config).eval().requires_grad_(False)


def anatomy(name: str, size: str | None = None, classes: int = 0) -> Anatomy:
    """Counts a system's parameters, tokens and operations at real size; seven billion parameters take a second.

    Args:
        name: a system (`dinov2`: its first size) or a size with its system in front (`dinov2-base`).
        size: the size, where `name` is the system.
        classes: with a linear head for so many classes on the image feature, the rest frozen.

    Raises:
        UserError: unknown name; no class in transformers; a head on a system without one image feature.
    """
    system, record = find(name, size)
    return _anatomy(system, record, classes)


@cache
def _anatomy(system: System, record: Size, classes: int) -> Anatomy:
    import torch

    from vfm_course.families.flops import count
    from vfm_course.families.stages import stages_of

    model = build(record)
    with _hushed():
        counted = count(stages_of(model, record))
    if classes:
        width = getattr(model.config, "hidden_size", None)
        if system.job not in ("features", "video") or width is None:
            raise UserError(f"{system.title} has no single image feature for a linear head: choose dinov2, for one.")
        model.linear_head = torch.nn.Linear(width, classes, device="meta")
    named = {key: parameter.numel() for key, parameter in model.named_parameters()}
    trainable = sum(p.numel() for p in model.parameters() if p.requires_grad)
    return Anatomy(
        system, record, count_parts(named), trainable, counted.tokens, counted.flops, tuple(counted.by_formula)
    )
