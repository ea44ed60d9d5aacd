"""Power laws whose numbers are known are found again, and what is none is said to be none."""

import numpy as np
import pytest

from vfm_course.errors import UserError
from vfm_course.pretraining.short.power_law import best_floor, explained, fit, predict

X = np.array([100, 300, 1_000, 3_000, 10_000, 30_000])


@pytest.mark.parametrize(("a", "b", "floor"), [(4.0, 0.3, 0.8), (20.0, 0.7, 0.0), (2.0, 0.1, 1.5)])
def test_a_known_law_is_found_and_continued(a, b, floor):
    y = predict(X, a, b, floor)
    assert fit(X, y, floor) == pytest.approx((a, b))
    assert explained(X, y, floor) == pytest.approx(1)
    found = best_floor(X, y)
    assert found == pytest.approx(floor, abs=0.02)
    assert predict(300_000, *fit(X, y, found), found) == pytest.approx(predict(300_000, a, b, floor), rel=0.01)


def test_noise_moves_the_numbers_a_little_and_the_next_size_less():
    rng = np.random.default_rng(0)
    y = predict(X, 5.0, 0.35, 1.0) * np.exp(0.01 * rng.standard_normal(len(X)))
    floor = best_floor(X, y)
    assert floor == pytest.approx(1.0, abs=0.25) and 0.98 < explained(X, y, floor) < 1
    assert predict(90_000, *fit(X, y, floor), floor) == pytest.approx(predict(90_000, 5.0, 0.35, 1.0), rel=0.05)


def test_what_rises_has_an_exponent_below_zero_and_what_jumps_is_no_law():
    assert fit(X, X**0.2, 0.0) == pytest.approx((1.0, -0.2))
    jagged = np.array([3.0, 1.0, 3.0, 1.0, 3.0, 1.0])
    assert explained(X, jagged, best_floor(X, jagged)) < 0.5
    assert explained(X, np.full(len(X), 2.0), 0.0) == 0


def test_one_size_or_many_are_predicted():
    assert float(predict(16, 2.0, 0.5, 1.0)) == 1.5 and predict([4, 16], 2.0, 0.5, 1.0).tolist() == [2.0, 1.5]


def test_what_cannot_be_fitted_is_said():
    with pytest.raises(UserError, match="values above the floor"):
        fit(X, predict(X, 1.0, 0.5, 1.0), floor=1.5)
    with pytest.raises(UserError, match="sizes above zero"):
        fit([0, 1], [2, 1], 0.0)
    for x, y in (([1, 2], [1.0]), ([2, 2], [1.0, 2.0]), ([], [])):
        with pytest.raises(UserError, match="at least two different sizes"):
            fit(x, y, 0.0)
    with pytest.raises(UserError, match="at least four runs: here are 3"):
        best_floor(X[:3], [3.0, 2.0, 1.0])
