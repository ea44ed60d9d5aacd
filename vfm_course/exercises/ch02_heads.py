"""Notebook 02, heads on frozen features: 2.4, 2.5 and 2.6."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn.functional import normalize

from vfm_course.exercises.ch01_features import rotation
from vfm_course.exercises.judge import expect_close, expect_dtype, expect_equal, expect_several, expect_shape
from vfm_course.exercises.record import Exercise, Mistake

_REFERENCE = "vfm_course.solutions.ch02_heads:"


# 2.4 ---------------------------------------------------------------------------------------------------------------
def check_standardise(answer, draw):
    train = draw.normal(16, 5) * draw.uniform(5, low=2.0, high=6.0) + 5 * draw.normal(5)
    test = draw.normal(9, 5) * draw.uniform(5, low=0.5, high=1.5) + 5 * draw.normal(5)
    for what in ("", " with a feature that is constant in the training set"):
        if what:
            train[:, 2], test[:, 2] = 2.0, 2.0 + draw.integers(1, 5, 9) / 4
        got = expect_several(answer(train, test), 2, "The answer (train, test)")
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


# 2.5 ---------------------------------------------------------------------------------------------------------------
def check_gradient(answer, draw):
    features, labels = draw.normal(7, 5), draw.integers(0, 3, 7)
    weight, bias = draw.normal(3, 5), draw.normal(3)
    for size, what in ((1, ""), (100, ", where logits are in the hundreds")):
        both = [(size * weight).requires_grad_(), (size * bias).requires_grad_()]
        loss = nn.functional.cross_entropy(features @ both[0].T + both[1], labels)
        wanted = torch.autograd.grad(loss, both)
        got = answer(features, size * weight, size * bias, labels)
        got = expect_several(got, 2, "The answer (gradient of weight, gradient of bias)")
        expect_close(got[0], wanted[0], f"The gradient of the weight{what}")
        expect_close(got[1], wanted[1], f"The gradient of the bias{what}")


def _error(features, weight, bias, labels):
    return (features @ weight.T + bias).softmax(dim=1) - nn.functional.one_hot(labels, len(bias))


def gradient_sum(features, weight, bias, labels):
    error = _error(features, weight, bias, labels)
    return error.T @ features, error.sum(dim=0)


def gradient_mean_of_all(features, weight, bias, labels):
    error = _error(features, weight, bias, labels)
    return error.T @ features / error.numel(), error.sum(dim=0) / error.numel()


def gradient_bias_summed(features, weight, bias, labels):
    error = _error(features, weight, bias, labels)
    return error.T @ features / len(features), error.sum(dim=0)


def gradient_uphill(features, weight, bias, labels):
    error = _error(features, weight, bias, labels)
    return -error.T @ features / len(features), -error.mean(dim=0)


def gradient_no_softmax(features, weight, bias, labels):
    error = features @ weight.T + bias - nn.functional.one_hot(labels, len(bias))
    return error.T @ features / len(features), error.mean(dim=0)


def gradient_over_images(features, weight, bias, labels):
    error = (features @ weight.T + bias).softmax(dim=0) - nn.functional.one_hot(labels, len(bias))
    return error.T @ features / len(features), error.mean(dim=0)


def gradient_sigmoid(features, weight, bias, labels):
    error = (features @ weight.T + bias).sigmoid() - nn.functional.one_hot(labels, len(bias))
    return error.T @ features / len(features), error.mean(dim=0)


def gradient_no_labels(features, weight, bias, labels):
    probabilities = (features @ weight.T + bias).softmax(dim=1)
    return probabilities.T @ features / len(features), probabilities.mean(dim=0)


def gradient_no_bias(features, weight, bias, labels):
    error = _error(features, weight, 0 * bias, labels)
    return error.T @ features / len(features), error.mean(dim=0)


def gradient_transposed(features, weight, bias, labels):
    error = _error(features, weight, bias, labels)
    return features.T @ error / len(features), error.mean(dim=0)


def gradient_overflows(features, weight, bias, labels):
    powers = (features @ weight.T + bias).exp()
    error = powers / powers.sum(dim=1, keepdim=True) - nn.functional.one_hot(labels, len(bias))
    return error.T @ features / len(features), error.mean(dim=0)


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
        id="2.5",
        notebook="02",
        title="The gradient of a linear head",
        level="I",
        minutes=12,
        points=3,
        hints=(
            "The gradient of the cross-entropy with respect to the logits is `softmax(logits) - one_hot(labels)`.",
            "A mean over N images: divide it by N once, then it is right for weight and bias alike.",
            "The weight gets `error.T @ features`, (C, N) @ (N, D); the bias the sum of the error over the images.",
        ),
        reference=_REFERENCE + "head_gradient",
        check=check_gradient,
        mistakes=(
            Mistake(gradient_sum, "This is the gradient of the sum over the images; the mean divides it by N."),
            Mistake(gradient_mean_of_all, "Divided by N times the classes; the mean is over the N images."),
            Mistake(gradient_bias_summed, "The weight has its mean, but the bias has the sum over the images."),
            Mistake(gradient_uphill, "The sign is reversed: a step against this gradient would raise the loss."),
            Mistake(gradient_no_softmax, "The softmax is missing: probabilities minus one-hot, not logits."),
            Mistake(gradient_over_images, "The softmax runs over the images (dim 0); it belongs over the classes."),
            Mistake(gradient_sigmoid, "A sigmoid looks at each class alone; cross-entropy goes with a softmax."),
            Mistake(gradient_no_labels, "The labels are missing: take 1 off the probability of the right class."),
            Mistake(gradient_no_bias, "The logits were computed without the bias."),
            Mistake(gradient_transposed, "The weight's gradient is transposed; it has the weight's shape, (C, D)."),
            Mistake(
                gradient_overflows, "`exp` of a large logit is infinite: `softmax` takes the largest logit off first."
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
)
