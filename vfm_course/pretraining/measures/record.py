"""One measured figure: the value, its interval and, in words, what both are of."""

from collections.abc import Callable

import numpy as np
import torch

from vfm_course.intervals import crossed_interval, statistic_interval

BOTH = "95 %: seeds and held-out scenes drawn again (bootstrap)"
CASES = "95 %: held-out scenes drawn again (bootstrap)"


def record(parts, of: str, wholes=None, **more) -> dict:
    """The record of a mean, or of the ratio of two sums.

    Args:
        parts: (S, N), one row a seed and one column a held-out case, or (N,) where nothing depends on a seed.
        of: what the value is of, in words.
        wholes: the same shape, what to divide by, where the value is a ratio of sums.
        more: what else is to be known: the feature, the setting chosen, chance.
    """
    parts = np.asarray(parts, dtype=float)
    seeded = parts.ndim == 2
    value, low, high = crossed_interval(parts, wholes)
    found = {**_rounded(value, low, high), "n": parts.shape[-1], "seeds": len(parts) if seeded else 0}
    if seeded:
        sums = parts.shape[1] if wholes is None else np.asarray(wholes, dtype=float).sum(axis=1)
        found["by_seed"] = [round(float(each), 4) for each in parts.sum(axis=1) / sums]
    return found | {"of": of, "interval": BOTH if seeded else CASES} | more


def statistic_record(statistic: Callable[[np.ndarray], float], n: int, of: str, **more) -> dict:
    """The record of a statistic that is no mean: `statistic` gets the numbers of the cases drawn."""
    return _rounded(*statistic_interval(statistic, n)) | {"n": n, "seeds": 0, "of": of, "interval": CASES} | more


def hits(guesses: torch.Tensor, truth: torch.Tensor) -> np.ndarray:
    """(N,), (N,) -> 1 where they agree, else 0."""
    return (guesses == truth).numpy().astype(float)


def _rounded(value: float, low: float, high: float) -> dict:
    return {"value": round(value, 4), "low": round(low, 4), "high": round(high, 4)}
