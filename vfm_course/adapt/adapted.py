"""What every way of adapting returns."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from torch import nn


@dataclass(frozen=True)
class Adapted:
    """An encoder adapted to a task.

    Attributes:
        predict: pictures, uint8 (N, H, W, 3) or PIL -> numbers of the classes, int64 (N,).
        trained: numbers that the labels decided. 0 for nearest neighbours, which store the training features.
        total: parameters of the image encoder (no text tower, no decoder) and of what was added to it.
        seconds: what adapting took, reading the training and validation pictures included, as if no earlier method
            had read them already. Predicting is not in it.
        reading: the part of `seconds` that went into features that other heads share.
        reading_memory: bytes that memory grew by while these features were read, at whatever time that was.
        settings: what was chosen on the validation pictures, and how well it did there.
        model: the adapted network, for the ways that train inside it; prepared pixels (B, 3, H, W) -> logits.
    """

    predict: Callable[[np.ndarray | Sequence], np.ndarray]
    trained: int
    total: int
    seconds: float
    reading: float = 0.0
    reading_memory: int = 0
    settings: dict = field(default_factory=dict)
    model: nn.Module | None = None

    @property
    def share(self) -> float:
        """Trained parameters as a share of all."""
        return self.trained / self.total
