"""Notebook 02, what a figure is worth, and what labels buy: 2.7 and 2.13."""

from __future__ import annotations

import torch

from vfm_course.exercises.judge import describe, expect_close, expect_several, expect_true
from vfm_course.exercises.record import Exercise, Mistake

_REFERENCE = "vfm_course.solutions.ch02_heads:"


# 2.7 ---------------------------------------------------------------------------------------------------------------
def check_wilson(answer, draw):
    n = draw.integer(12, 31)
    # One miss: there the simple interval reaches above one, and no two of the mistakes are alike.
    for hits, z in ((n - 1, None), (n - draw.integer(3, 6), 2.576), (n, None), (0, None)):
        got = answer(hits, n) if z is None else answer(hits, n, z)
        what = f"of the interval for {hits} of {n}{'' if z is None else f' and z = {z}'}"
        p, q = hits / n, (1.96 if z is None else z) ** 2
        middle, half = (2 * n * p + q) / (2 * (n + q)), (q * (q + 4 * n * p * (1 - p))) ** 0.5 / (2 * (n + q))
        low, high = expect_several(got, 2, "The interval (low, high)")
        expect_close(low, middle - half, f"The lower end {what}")
        expect_close(high, middle + half, f"The upper end {what}")


def _wilson(hits, n, z, spread=None, shrink=None, shift=None):
    p = hits / n
    shrink = 1 + z**2 / n if shrink is None else shrink
    centre = (p + (z**2 / (2 * n) if shift is None else shift)) / shrink
    half = z * (p * (1 - p) / n + (z**2 / (4 * n**2) if spread is None else spread)) ** 0.5 / shrink
    return centre - half, centre + half


def wilson_wald(hits, n, z=1.96):
    return _wilson(hits, n, z, spread=0, shrink=1, shift=0)


def wilson_wald_clipped(hits, n, z=1.96):
    low, high = _wilson(hits, n, z, spread=0, shrink=1, shift=0)
    return max(0.0, low), min(1.0, high)


def wilson_not_shrunk(hits, n, z=1.96):
    return _wilson(hits, n, z, shrink=1)


def wilson_half_not_shrunk(hits, n, z=1.96):
    p, shrink = hits / n, 1 + z**2 / n
    centre = (p + z**2 / (2 * n)) / shrink
    half = z * (p * (1 - p) / n + z**2 / (4 * n**2)) ** 0.5
    return centre - half, centre + half


def wilson_centre_not_shifted(hits, n, z=1.96):
    low, high = _wilson(hits, n, z)
    return hits / n - (high - low) / 2, hits / n + (high - low) / 2


def wilson_no_second_term(hits, n, z=1.96):
    return _wilson(hits, n, z, spread=0)


def wilson_no_root(hits, n, z=1.96):
    p, shrink = hits / n, 1 + z**2 / n
    centre = (p + z**2 / (2 * n)) / shrink
    half = z * (p * (1 - p) / n + z**2 / (4 * n**2)) / shrink
    return centre - half, centre + half


def wilson_no_z(hits, n, z=1.96):
    return _wilson(hits, n, 1.0)


def wilson_z_not_squared(hits, n, z=1.96):
    return _wilson(hits, n, z, spread=z / (4 * n**2), shrink=1 + z / n, shift=z / (2 * n))


def wilson_always_95(hits, n, z=1.96):
    return _wilson(hits, n, 1.96)


def wilson_swapped(hits, n, z=1.96):
    return _wilson(hits, n, z)[::-1]


# 2.13 --------------------------------------------------------------------------------------------------------------
def check_labels(answer, draw):
    unit, jitter = draw.integer(1, 4), draw.uniform(5, low=-0.01, high=0.01).tolist()
    labels = [unit * n for n in (1, 5, 20, 60, 200)]
    accuracy = [a + j for a, j in zip((0.30, 0.45, 0.65, 0.54, 0.80), jitter, strict=True)]  # it dips once
    curve = list(zip(labels, accuracy, strict=True))
    share = (0.6 - accuracy[1]) / (accuracy[2] - accuracy[1])
    got = answer(curve, 0.6)
    expect_true(got is not None, "The curve reaches 0.6, so the answer should be a number of labels, not None.")
    expect_close(got, 5 * unit * 4**share, "The number of labels for an accuracy of 0.6")
    got = answer(curve, 0.2)
    expect_true(got is not None, "The first point exceeds 0.2 already: its number of labels is the answer, not None.")
    expect_close(got, unit, "The number of labels for what the first point already exceeds")
    got = answer(curve, 0.9)
    expect_true(got is None, f"The curve never reaches 0.9, so the answer should be None; it is {describe(got)}.")
    got = answer(curve, accuracy[4])
    expect_true(got is not None, "The last point reaches its own accuracy exactly; that is enough.")
    expect_close(got, 200 * unit, "The number of labels for the accuracy of the last point")


def _reached(curve, target, between, last=None):
    """The first crossing, `between` two points as asked; `last` where there is none."""
    before = None
    for labels, accuracy in curve:
        if accuracy >= target:
            return labels if before is None else between(before, (labels, accuracy), target)
        before = (labels, accuracy)
    return last


def _on_log_scale(before, after, target):
    return before[0] * (after[0] / before[0]) ** ((target - before[1]) / (after[1] - before[1]))


def labels_linear(curve, target):
    def straight(before, after, target):
        return before[0] + (after[0] - before[0]) * (target - before[1]) / (after[1] - before[1])

    return _reached(curve, target, straight)


def labels_next_point(curve, target):
    return _reached(curve, target, lambda before, after, target: after[0])


def labels_point_before(curve, target):
    return _reached(curve, target, lambda before, after, target: before[0])


def labels_logarithm(curve, target):
    labels = _reached(curve, target, _on_log_scale)
    return None if labels is None else torch.tensor(labels).log().item()


def labels_last_crossing(curve, target):
    found = curve[0][0] if curve[0][1] >= target else None
    for before, after in zip(curve, curve[1:], strict=False):
        if before[1] < target <= after[1]:
            found = _on_log_scale(before, after, target)
    return found


def labels_sorted(curve, target):
    return _reached(sorted(curve, key=lambda point: point[1]), target, _on_log_scale)


def labels_extrapolated(curve, target):
    if curve[0][1] >= target:
        return _on_log_scale(curve[0], curve[1], target)
    return _reached(curve, target, _on_log_scale)


def labels_only_between(curve, target):
    for before, after in zip(curve, curve[1:], strict=False):
        if before[1] < target <= after[1]:
            return _on_log_scale(before, after, target)
    return None


def labels_last_instead_of_none(curve, target):
    return _reached(curve, target, _on_log_scale, last=curve[-1][0])


def labels_must_exceed(curve, target):
    if target >= max(accuracy for _, accuracy in curve):
        return None
    return _reached(curve, target, _on_log_scale)


EXERCISES = (
    Exercise(
        id="2.7",
        notebook="02",
        title="An accuracy with its interval",
        level="I",
        minutes=8,
        points=2,
        hints=(
            "With p = hits / n, the interval's centre is (p + z² / 2n) / (1 + z² / n): not p, but p drawn towards 1/2.",
            "Half its width is z * root(p (1 - p) / n + z² / 4n²) / (1 + z² / n).",
            "Test yourself: for n hits of n the upper end is exactly 1, and the lower one is well below it.",
        ),
        reference=_REFERENCE + "wilson_interval",
        check=check_wilson,
        mistakes=(
            Mistake(
                wilson_wald,
                "This is the simple (Wald) interval: it reaches above 1, and has no width when all are right.",
            ),
            Mistake(
                wilson_wald_clipped,
                "This is the simple (Wald) interval, cut off at 0 and 1; when all are right it has no width.",
            ),
            Mistake(wilson_not_shrunk, "Centre and width are still to be divided by 1 + z² / n."),
            Mistake(wilson_half_not_shrunk, "The centre was divided by 1 + z² / n, the width was not."),
            Mistake(wilson_centre_not_shifted, "The width is right, but the interval is not centred at hits / n."),
            Mistake(wilson_no_second_term, "Under the root, z² / 4n² is missing."),
            Mistake(wilson_no_root, "The square root of the width is missing."),
            Mistake(wilson_no_z, "z is missing, as if it were 1: this interval covers 68 %."),
            Mistake(wilson_z_not_squared, "z stands where its square belongs: in centre, root and divisor."),
            Mistake(wilson_always_95, "z was passed in, but 1.96 was used."),
            Mistake(wilson_swapped, "The lower end comes first."),
        ),
    ),
    Exercise(
        id="2.13",
        notebook="02",
        title="How many labels",
        level="I",
        minutes=10,
        points=2,
        hints=(
            "Go along the curve to the first point that reaches the target, and keep the point before it.",
            "How far between the two, from 0 to 1? `share = (target - a0) / (a1 - a0)` for accuracies a0 and a1.",
            "On a log scale this share is a power: `n0 * (n1 / n0) ** share` for labels n0 and n1.",
        ),
        reference=_REFERENCE + "labels_needed",
        check=check_labels,
        mistakes=(
            Mistake(labels_linear, "Interpolated over the labels; the scale is their logarithm."),
            Mistake(labels_next_point, "This is the next measured point; the target is reached before it."),
            Mistake(labels_point_before, "This is the last measured point that does not reach the target yet."),
            Mistake(labels_logarithm, "This is the logarithm of the labels: take the exponential of it."),
            Mistake(labels_last_crossing, "The curve dips and reaches the target twice; the first time is wanted."),
            Mistake(
                labels_sorted, "The points were sorted by accuracy: neighbours on the curve are neighbours in labels."
            ),
            Mistake(labels_extrapolated, "The first point reaches the target; what lies before it was not measured."),
            Mistake(labels_only_between, "The first point reaches the target already, but None was returned."),
            Mistake(labels_last_instead_of_none, "The target is never reached: None, not the last point."),
            Mistake(labels_must_exceed, "A point that equals the target reaches it: `>=`, not `>`."),
        ),
    ),
)
