"""A mean and how far it can be trusted."""

from collections.abc import Callable

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
    return statistic_interval(lambda rows: values[rows].mean(), len(values), draws, seed)


def statistic_interval(
    statistic: Callable[[np.ndarray], float], n: int, draws: int = 1000, seed: int = 0
) -> tuple[float, float, float]:
    """Any statistic of n independent cases and its 95 % interval; `statistic` gets the numbers of the cases drawn."""
    rng = np.random.default_rng(seed)
    found = [statistic(rng.integers(n, size=n)) for _ in range(draws)]
    low, high = np.quantile(found, [0.025, 0.975])
    return float(statistic(np.arange(n))), float(low), float(high)


def crossed_interval(parts, wholes=None, draws: int = 2000, seed: int = 0) -> tuple[float, float, float]:
    """A mean or a ratio over seeds and cases at once, with a 95 % interval over both.

    Every draw takes seeds again and cases again, each with replacement (the pigeonhole bootstrap, Owen 2007): a probe
    that depends on which pictures it learnt from gets the wide interval that it deserves.

    Args:
        parts: (S, N), one row a seed and one column a case: hits, or intersections, or squared errors.
        wholes: (S, N) to divide their sum by (unions, squared deviations); ones, for a mean, if not given.

    Returns:
        sum of parts / sum of wholes, low, high.
    """
    parts = np.atleast_2d(np.asarray(parts, dtype=float))
    wholes = np.ones_like(parts) if wholes is None else np.atleast_2d(np.asarray(wholes, dtype=float))
    rng = np.random.default_rng(seed)
    by_seed, by_case = (rng.multinomial(n, np.full(n, 1 / n), size=draws) for n in parts.shape)
    above, below = (np.einsum("ds,sd->d", by_seed, table @ by_case.T) for table in (parts, wholes))
    low, high = np.quantile(above / below, [0.025, 0.975])
    return float(parts.sum() / wholes.sum()), float(low), float(high)


def t_interval(values) -> tuple[float, float, float]:
    """Mean and 95 % interval over a few independent runs (N,): Student's t, for three seeds are too few to draw again.

    Args:
        values: numbers, one a run. With equal ones the interval has no width.

    Returns:
        mean, low, high.

    Raises:
        ValueError: fewer than two values.
    """
    from scipy.special import stdtrit  # here, for few need it

    values = np.asarray(values, dtype=float)
    if values.ndim != 1 or len(values) < 2:
        raise ValueError("A t interval needs a row of at least two values.")
    reach = stdtrit(len(values) - 1, 0.975) * values.std(ddof=1) / len(values) ** 0.5
    mean = values.mean()
    return float(mean), float(mean - reach), float(mean + reach)


def paired_interval(a, b) -> tuple[float, float, float]:
    """`t_interval` of a - b, where a[i] and b[i] (N,) belong together: what a seed does to both falls out.

    Raises:
        ValueError: as many values on both sides are needed, and two at least.
    """
    a, b = np.asarray(a, dtype=float), np.asarray(b, dtype=float)
    if a.shape != b.shape:
        raise ValueError(f"Pairs need as many values on both sides: here are {a.size} and {b.size}.")
    return t_interval(a - b)
