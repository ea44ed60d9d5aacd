"""Notebook 02, how good and how dear: exercises 2.4, 2.6, 2.7, 2.12 and 2.13."""

from __future__ import annotations

import torch
from torch.nn.functional import normalize

from vfm_course.exercises.ch01_features import rotation
from vfm_course.exercises.ch02_frozen import several
from vfm_course.exercises.judge import describe, expect_close, expect_dtype, expect_equal, expect_shape, expect_true
from vfm_course.exercises.record import Exercise, Mistake

_REFERENCE = "vfm_course.solutions.ch02_heads:"


# 2.4 ---------------------------------------------------------------------------------------------------------------
def check_standardise(answer, draw):
    train = draw.normal(16, 5) * draw.uniform(5, low=2.0, high=6.0) + 5 * draw.normal(5)
    test = draw.normal(9, 5) * draw.uniform(5, low=0.5, high=1.5) + 5 * draw.normal(5)
    for what in ("", " with a feature that is constant in the training set"):
        if what:
            train[:, 2], test[:, 2] = 2.0, 2.0 + draw.integers(1, 5, 9) / 4
        got = several(answer(train, test), 2, "The answer (train, test)")
        expect_shape(got[0], (16, 5), f"The standardised training set{what}")
        expect_shape(got[1], (9, 5), f"The standardised test set{what}")
        deviation = train.std(dim=0)
        by_n = (15 / 16) ** 0.5 * deviation  # divided by N instead of N - 1: as good, for both sets alike
        varies = deviation > 0
        if torch.allclose(got[0][:, varies].float(), ((train - train.mean(dim=0)) / by_n)[:, varies], atol=1e-4):
            deviation = by_n
        deviation = torch.where(varies, deviation, 1.0)
        for rows, given, name in zip((train, test), got, ("training", "test"), strict=True):
            expect_close(given, (rows - train.mean(dim=0)) / deviation, f"The standardised {name} set{what}", atol=1e-4)


def standardise_each_alone(train, test):
    return (train - train.mean(dim=0)) / train.std(dim=0), (test - test.mean(dim=0)) / test.std(dim=0)


def standardise_by_both(train, test):
    both = torch.cat([train, test])
    return (train - both.mean(dim=0)) / both.std(dim=0), (test - both.mean(dim=0)) / both.std(dim=0)


def standardise_rows(train, test):
    return tuple((rows - rows.mean(1, keepdim=True)) / rows.std(1, keepdim=True) for rows in (train, test))


def standardise_one_number(train, test):
    return (train - train.mean()) / train.std(), (test - train.mean()) / train.std()


def standardise_variance(train, test):
    return (train - train.mean(dim=0)) / train.var(dim=0), (test - train.mean(dim=0)) / train.var(dim=0)


def standardise_centred(train, test):
    return train - train.mean(dim=0), test - train.mean(dim=0)


def standardise_train_only(train, test):
    return (train - train.mean(dim=0)) / train.std(dim=0), test


def standardise_not_centred(train, test):
    return train / train.std(dim=0), test / train.std(dim=0)


def standardise_nan(train, test):
    return (train - train.mean(dim=0)) / train.std(dim=0), (test - train.mean(dim=0)) / train.std(dim=0)


def standardise_tiny(train, test):
    std = train.std(dim=0) + 1e-8
    return (train - train.mean(dim=0)) / std, (test - train.mean(dim=0)) / std


# 2.6 ---------------------------------------------------------------------------------------------------------------
# Four labels, each with pairs of examples that lie on both sides of its own direction: (length, pairs).
_LABELS = ((1, 1), (4, 1), (1, 2), (1, 1))
# Test images: the right label, with a cosine of 0.6 to its mean; a wrong one, with 0.5; and how far the image leans
# to one of the wrong label's examples.
_TESTS = (
    (0, 1, 0.0),  # the wrong label has long features: dot products mislead
    (1, 0, 0.0),  # the right label has: distances mislead
    (3, 2, 0.0),  # the wrong label has more examples: sums mislead
    (0, 3, 0.3),  # the nearest example is of the wrong label, for one of these two also its first one
    (0, 3, -0.3),
)


def check_class_means(answer, draw):
    axes, rows, of = torch.eye(13), [], []  # 0 to 3: the labels; 4 to 8: the examples' own; 9 to 12: the tests' own
    for label, (length, pairs) in enumerate(_LABELS):
        for own in (4 + label, 8)[:pairs]:
            for side in (1, -1):
                rows.append(length * (axes[label] + side * axes[own]))
                of.append(label)
    tests = []
    for n, (right, wrong, lean) in enumerate(_TESTS):
        image = 0.6 * axes[right] + 0.5 * axes[wrong] + lean * axes[4 + wrong]
        tests.append(image + (1 - image.square().sum()).sqrt() * axes[9 + n % 4])
    turn, order, mixed = rotation(draw, 13), draw.permutation(len(rows)), draw.permutation(len(tests))
    names = torch.tensor(sorted(draw.pick(range(4, 12), 4)))  # no label is the number of a row of the means
    train = (torch.stack(rows) * draw.uniform(len(rows), 1, low=0.95, high=1.05)) @ turn
    test = (torch.stack(tests) * draw.uniform(len(tests), 1, low=0.5, high=2.0)) @ turn
    want = names[torch.tensor([right for right, _, _ in _TESTS])][mixed]
    got = answer(train[order], names[torch.tensor(of)][order], test[mixed])
    expect_shape(got, (len(tests),), "The vector of predicted labels")
    expect_dtype(got, torch.int64, "The vector of predicted labels")
    expect_equal(got, want, "The vector of predicted labels")


def _means(train, labels):
    return torch.stack([train[labels == c].mean(dim=0) for c in labels.unique()])


def means_dot(train, labels, test):
    return labels.unique()[(test @ _means(train, labels).T).argmax(dim=1)]


def means_euclid(train, labels, test):
    return labels.unique()[torch.cdist(test, _means(train, labels)).argmin(dim=1)]


def means_sums(train, labels, test):
    sums = torch.stack([normalize(train[labels == c]).sum(dim=0) for c in labels.unique()])
    return labels.unique()[(normalize(test) @ sums.T).argmax(dim=1)]


def means_nearest_example(train, labels, test):
    return labels[(normalize(test) @ normalize(train).T).argmax(dim=1)]


def means_first_example(train, labels, test):
    first = torch.stack([train[labels == c][0] for c in labels.unique()])
    return labels.unique()[(normalize(test) @ normalize(first).T).argmax(dim=1)]


def means_numbers(train, labels, test):
    return (normalize(test) @ normalize(_means(train, labels)).T).argmax(dim=1)


def means_least(train, labels, test):
    return labels.unique()[(normalize(test) @ normalize(_means(train, labels)).T).argmin(dim=1)]


def means_cosines(train, labels, test):
    return normalize(test) @ normalize(_means(train, labels)).T


# 2.7 ---------------------------------------------------------------------------------------------------------------
def check_wilson(answer, draw):
    n = draw.integer(12, 31)
    # One miss: there the simple interval reaches above one, and no two of the mistakes are alike.
    for hits, z in ((n - 1, None), (n - draw.integer(3, 6), 2.576), (n, None), (0, None)):
        got = answer(hits, n) if z is None else answer(hits, n, z)
        what = f"of the interval for {hits} of {n}{'' if z is None else f' and z = {z}'}"
        p, q = hits / n, (1.96 if z is None else z) ** 2
        middle, half = (2 * n * p + q) / (2 * (n + q)), (q * (q + 4 * n * p * (1 - p))) ** 0.5 / (2 * (n + q))
        low, high = several(got, 2, "The interval (low, high)")
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


# 2.12 --------------------------------------------------------------------------------------------------------------
def check_serving(answer, draw):
    tasks, images = draw.integer(3, 13), draw.integer(20, 100)
    encoder, head = 1000 * draw.integer(200, 400), 100 * draw.integer(5, 30)
    what = f"for {tasks} tasks on {images} images"
    separate, shared = several(answer(tasks, encoder, head, images), 2, "The answer (separate, shared)")
    expect_equal(separate, tasks * images * (encoder + head), f"The work of separate networks {what}")
    expect_equal(shared, images * encoder + images * tasks * head, f"The work of a shared encoder {what}")


def serving_encoder_for_each(tasks, encoder_flops, head_flops, images):
    both = images * tasks * (encoder_flops + head_flops)
    return both, both


def serving_one_head(tasks, encoder_flops, head_flops, images):
    return images * tasks * (encoder_flops + head_flops), images * (encoder_flops + head_flops)


def serving_encoder_once_for_all(tasks, encoder_flops, head_flops, images):
    return images * tasks * (encoder_flops + head_flops), encoder_flops + images * tasks * head_flops


def serving_no_heads(tasks, encoder_flops, head_flops, images):
    return images * tasks * encoder_flops, images * encoder_flops


def serving_no_heads_when_separate(tasks, encoder_flops, head_flops, images):
    return images * tasks * encoder_flops, images * (encoder_flops + tasks * head_flops)


def serving_one_image(tasks, encoder_flops, head_flops, images):
    return tasks * (encoder_flops + head_flops), encoder_flops + tasks * head_flops


def serving_swapped(tasks, encoder_flops, head_flops, images):
    return images * (encoder_flops + tasks * head_flops), images * tasks * (encoder_flops + head_flops)


def serving_speed_up(tasks, encoder_flops, head_flops, images):
    return tasks * (encoder_flops + head_flops) / (encoder_flops + tasks * head_flops)


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
        id="2.4",
        notebook="02",
        title="Standardise without a look at the test",
        level="I",
        minutes=8,
        points=2,
        hints=(
            "`train.mean(dim=0)` and `train.std(dim=0)` have shape (D,) and broadcast over the rows of both sets.",
            "The test set is treated with the training set's numbers: at work, images arrive one at a time.",
            "`torch.where(std > 0, std, 1.0)` leaves a constant feature undivided.",
        ),
        reference=_REFERENCE + "standardise",
        check=check_standardise,
        mistakes=(
            Mistake(
                standardise_each_alone,
                "The test set was standardised with its own statistics: the head then sees other features than it "
                "learnt on, and a single image has no statistics at all.",
            ),
            Mistake(standardise_by_both, "The statistics are of both sets together: the test set leaks into training."),
            Mistake(standardise_rows, "Each image was standardised by itself; the statistics are per feature (dim 0)."),
            Mistake(standardise_one_number, "All features share one mean and deviation here; each has its own."),
            Mistake(standardise_variance, "Divided by the variance; the deviation is its root."),
            Mistake(standardise_centred, "The mean was subtracted, but nothing was divided by the deviation."),
            Mistake(standardise_train_only, "The test set came back as it was."),
            Mistake(standardise_not_centred, "Divided by the deviation, but the mean was not subtracted."),
            Mistake(standardise_nan, "A feature that is constant in the training set was divided by its deviation, 0."),
            Mistake(
                standardise_tiny,
                "A tiny number in place of the deviation 0 turns a small difference in the test set into millions.",
            ),
        ),
    ),
    Exercise(
        id="2.6",
        notebook="02",
        title="Class means",
        level="B",
        minutes=7,
        points=2,
        hints=(
            "`labels.unique()` lists the labels in order; `train[labels == c].mean(dim=0)` is the mean of label c.",
            "`torch.stack` of these means is (C, D). Make its rows unit length; then `test @ means.T` ranks labels as "
            "the cosine does.",
            "`.argmax(dim=1)` is the number of a row of the means: look up its label.",
        ),
        reference=_REFERENCE + "class_means_predict",
        check=check_class_means,
        mistakes=(
            Mistake(means_dot, "The means were not normalised: labels with long features win."),
            Mistake(means_euclid, "These are distances, by which labels with long features lose; use the cosine."),
            Mistake(means_sums, "These are sums: the label with the most examples wins."),
            Mistake(means_nearest_example, "The nearest single example decides here; compare with each label's mean."),
            Mistake(means_first_example, "Only the first example of each label was used."),
            Mistake(means_numbers, "These are numbers of rows of the means: look up the label of each."),
            Mistake(means_least, "These are the least similar labels."),
            Mistake(means_cosines, "These are the cosines (M, C); the label of the largest in each row is wanted."),
        ),
    ),
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
        id="2.12",
        notebook="02",
        title="Many heads, one encoder",
        level="I",
        minutes=5,
        points=2,
        hints=(
            "Separate networks: each task sends each image through an encoder and a head of its own.",
            "Shared: each image goes through the encoder once, and its cached features through every task's head.",
        ),
        reference=_REFERENCE + "serving_flops",
        check=check_serving,
        mistakes=(
            Mistake(serving_encoder_for_each, "The shared encoder was counted for each task; its features are cached."),
            Mistake(serving_one_head, "With the shared encoder only one head was counted; every task has its own."),
            Mistake(serving_encoder_once_for_all, "The encoder runs once for each image, not once for all of them."),
            Mistake(serving_no_heads, "The heads are missing."),
            Mistake(serving_no_heads_when_separate, "A separate network has a head as well."),
            Mistake(serving_one_image, "This is the work for one image."),
            Mistake(serving_swapped, "The separate networks come first, the shared encoder second."),
            Mistake(serving_speed_up, "This is how many times less work it is; both counts are wanted."),
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
