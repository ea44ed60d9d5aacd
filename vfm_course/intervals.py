"""A mean and how far it can be trusted."""

import numpy as np


def bootstrap_interval(values, draws: int = 2000, seed: int = 0) -> tuple[float, float, float]:
    """Mean and 95 % interval of independent values (N,): how the mean moves when the values are drawn again.

    Args:
        values: numbers, one an independent case (a picture, a seed).

    Returns:
        mean, low, high.

    Raises:
        ValueError: no values.
    """
    values = np.asarray(values, dtype=float)
    if not values.size:
        raise ValueError("An interval needs at least one value.")
    rng = np.random.default_rng(seed)
    means = [values[rng.integers(len(values), size=len(values))].mean() for _ in range(draws)]
    low, high = np.quantile(means, [0.025, 0.975])
    return float(values.mean()), float(low), float(high)
