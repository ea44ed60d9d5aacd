"""The seeded source of a check's inputs: the same seed draws the same numbers on every machine."""

from __future__ import annotations

from collections.abc import Sequence

import torch


class Draw:
    """Draws torch tensors on the CPU; `seed` says which."""

    def __init__(self, seed: int = 0):
        self.seed = seed
        self._generator = torch.Generator().manual_seed(seed)

    def normal(self, *shape: int) -> torch.Tensor:
        """Standard normal float32 tensor of the shape."""
        return torch.randn(*shape, generator=self._generator)

    def uniform(self, *shape: int, low: float = 0.0, high: float = 1.0) -> torch.Tensor:
        """Uniform float32 tensor in [low, high)."""
        return low + (high - low) * torch.rand(*shape, generator=self._generator)

    def integers(self, low: int, high: int, *shape: int) -> torch.Tensor:
        """int64 tensor with low <= value < high."""
        return torch.randint(low, high, shape, generator=self._generator)

    def integer(self, low: int, high: int) -> int:
        """One Python int with low <= value < high."""
        return int(self.integers(low, high, 1))

    def pixels(self, height: int, width: int) -> torch.Tensor:
        """A uint8 image (height, width, 3)."""
        return self.integers(0, 256, height, width, 3).to(torch.uint8)

    def permutation(self, n: int) -> torch.Tensor:
        """int64 tensor (n,) that holds 0 … n-1 in random order."""
        return torch.randperm(n, generator=self._generator)

    def pick(self, values: Sequence, count: int) -> list:
        """`count` different members of `values`, in random order."""
        return [values[i] for i in self.permutation(len(values)).tolist()[:count]]
