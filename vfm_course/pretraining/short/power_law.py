"""A power law with a floor, y = floor + a * x**-b, fitted to a few measured runs and asked what a larger one gives."""

from __future__ import annotations

import numpy as np

from vfm_course.errors import UserError

FLOORS = 500  # how many are tried, from 0 up to the lowest y


def fit(x, y, floor: float) -> tuple[float, float]:
    """The straight line through log(y - floor) over log(x), by least squares.

    Args:
        x: sizes (N,), above 0; y: what was measured (N,), above the floor.

    Returns:
        a, b of y = floor + a * x**-b; b is below 0 where y rises.

    Raises:
        UserError: fewer than two different sizes, or a logarithm that there is not.
    """
    log_x, log_y = _logarithms(x, y, floor)
    from_mean = log_x - log_x.mean()
    slope = (from_mean * log_y).sum() / (from_mean**2).sum()
    return float(np.exp(log_y.mean() - slope * log_x.mean())), float(-slope)


def predict(x, a: float, b: float, floor: float):
    """floor + a * x**-b, for one size or many."""
    return floor + a * np.asarray(x, dtype=float) ** -b


def best_floor(x, y) -> float:
    """The floor whose fitted curve comes nearest to y.

    Nearness is the sum of squares of y itself: that of its logarithm would be of another scale with each floor.

    Raises:
        UserError: as `fit`; fewer than four runs, which three numbers (floor, a, b) would fit whatever they are.
    """
    y = np.asarray(y, dtype=float)
    if y.size < 4:
        raise UserError(f"A power law with a floor needs at least four runs: here are {y.size}.")
    _logarithms(x, y, 0.0)

    def missed(floor: float) -> float:
        return float(((predict(x, *fit(x, y, floor), floor) - y) ** 2).sum())

    return float(min(np.linspace(0, y.min(), FLOORS, endpoint=False), key=missed))


def explained(x, y, floor: float) -> float:
    """R² of the line through log(y - floor) over log(x): 1 where all runs lie on it."""
    a, b = fit(x, y, floor)
    log_x, log_y = _logarithms(x, y, floor)
    spread = ((log_y - log_y.mean()) ** 2).sum()
    missed = ((log_y - np.log(a) + b * log_x) ** 2).sum()
    return float(1 - missed / spread) if spread else 0.0


def _logarithms(x, y, floor: float) -> tuple[np.ndarray, np.ndarray]:
    x, y = np.asarray(x, dtype=float), np.asarray(y, dtype=float)
    if x.ndim != 1 or x.shape != y.shape or len(np.unique(x)) < 2:
        raise UserError("A power law is fitted to two rows of equal length, with at least two different sizes.")
    if (x <= 0).any() or not (y > floor).all():
        raise UserError("A power law needs sizes above zero and values above the floor: a logarithm is taken of both.")
    return np.log(x), np.log(y - floor)
