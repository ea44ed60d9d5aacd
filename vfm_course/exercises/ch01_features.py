"""Notebook 01, features without words: exercises 1.4, 1.5 and 1.8."""

from __future__ import annotations

import torch

from vfm_course.exercises.judge import expect_close, expect_dtype, expect_equal, expect_shape
from vfm_course.exercises.record import Exercise, Mistake

_REFERENCE = "vfm_course.solutions.ch01_families:"


def rotation(draw, size):
    """An orthogonal matrix (size, size): rows of length one at right angles."""
    return torch.linalg.qr(draw.normal(size, size)).Q


# 1.4 ---------------------------------------------------------------------------------------------------------------
def check_components(answer, draw):
    count, width, k = 12, 5, 3
    # Built from its components: scores without a mean, directions, and a mean that is larger than all of them.
    basis = torch.linalg.qr(torch.cat([torch.ones(count, 1), draw.normal(count, width)], dim=1)).Q[:, 1:]
    scores = basis * torch.tensor([20.0, 12.0, 7.0, 4.0, 2.0]) * draw.uniform(1, low=0.8, high=1.2)
    patches = scores @ rotation(draw, width) + draw.uniform(width, low=10.0, high=20.0)
    got, want = answer(patches, k), scores[:, :k]
    expect_shape(got, (count, k), "The matrix of scores")
    sign = torch.where((got * want).sum(dim=0) < 0, -1.0, 1.0)
    expect_close(got * sign, want, "The matrix of scores (each column with either sign)", atol=1e-3, rtol=1e-3)


def components_not_centred(patches, k):
    return patches @ torch.linalg.svd(patches, full_matrices=False).Vh[:k].T


def components_rows_centred(patches, k):
    centred = patches - patches.mean(dim=1, keepdim=True)
    return centred @ torch.linalg.svd(centred, full_matrices=False).Vh[:k].T


def components_smallest(patches, k):
    centred = patches - patches.mean(dim=0)
    return centred @ torch.linalg.eigh(centred.T @ centred).eigenvectors[:, :k]


def components_largest_last(patches, k):
    centred = patches - patches.mean(dim=0)
    return centred @ torch.linalg.eigh(centred.T @ centred).eigenvectors[:, -k:]


def components_directions(patches, k):
    return torch.linalg.svd(patches - patches.mean(dim=0), full_matrices=False).Vh[:k].T


def components_unit_scores(patches, k):
    return torch.linalg.svd(patches - patches.mean(dim=0), full_matrices=False).U[:, :k]


def components_columns_of_vh(patches, k):
    centred = patches - patches.mean(dim=0)
    return centred @ torch.linalg.svd(centred, full_matrices=False).Vh[:, :k]


def components_standardised(patches, k):
    centred = (patches - patches.mean(dim=0)) / patches.std(dim=0)
    return centred @ torch.linalg.svd(centred, full_matrices=False).Vh[:k].T


# 1.5 ---------------------------------------------------------------------------------------------------------------
_NEAR, _FAR, _OPPOSITE = (0.98, 0.95, 0.92, 0.89, 0.86), (0.6, 0.57, 0.54), (-0.9, -0.93, -0.96)


def check_knn(answer, draw):
    train, labels, test, vote, nearest = _neighbourhoods(draw)
    for k, want in ((5, vote), (1, nearest)):
        got = answer(train, labels, test, k)
        expect_shape(got, (len(test),), f"The vector of predicted labels (k = {k})")
        expect_dtype(got, torch.int64, f"The vector of predicted labels (k = {k})")
        expect_equal(got, want, f"The vector of predicted labels (k = {k})")


def _neighbourhoods(draw):
    """Train, labels, test, and each test row's label by five neighbours and by one.

    Every test row has a direction of its own, with five training rows near it (three of the right label), three of one
    wrong label farther off, and three of another opposite. Two test rows have a wrong label nearest; around two others
    the lengths mislead, distances at one and dot products at the other.
    """
    end = draw.pick([0, 4], 1)[0]  # at an end of 0 … 4, with the others at the far end: a mean of labels is wrong
    odd = (end, 2, abs(end - 3), abs(end - 4))
    rows = [(odd, 1, 1, True), (odd, 1, 1, True)]  # (four labels, length near, length far, a wrong label is nearest)
    rows += [(draw.pick(range(5), 4), near, far, False) for near, far in ((4, 1), (1, 4), (1, 1), (1, 1))]
    units, lengths, labels = [], [], []
    for t, ((right, wrong, other, third), near, far, first_is_wrong) in enumerate(rows):
        cosines = torch.tensor(_NEAR + _FAR + _OPPOSITE)
        rest = torch.nn.functional.normalize(draw.normal(len(cosines), 4))
        direction = torch.nn.functional.one_hot(torch.tensor(t), len(rows)).float()
        units.append(torch.cat([cosines[:, None] * direction, (1 - cosines**2).sqrt()[:, None] * rest], dim=1))
        lengths += [near] * len(_NEAR) + [far] * len(_FAR) + [1] * len(_OPPOSITE)
        labels += [third, right, right, other, right] if first_is_wrong else [right, third, right, other, right]
        labels += [wrong] * len(_FAR) + [other] * len(_OPPOSITE)
    train = torch.cat(units) * torch.tensor(lengths)[:, None] * draw.uniform(len(labels), 1, low=0.95, high=1.05)
    turn = rotation(draw, train.shape[1])
    order, mixed = draw.permutation(len(labels)), draw.permutation(len(rows))
    vote = torch.tensor([names[0] for names, *_ in rows])
    nearest = torch.tensor([names[3] if first_is_wrong else names[0] for names, _, _, first_is_wrong in rows])
    return (train @ turn)[order], torch.tensor(labels)[order], turn[: len(rows)][mixed], vote[mixed], nearest[mixed]


def _cosines(test, train):
    return torch.nn.functional.normalize(test) @ torch.nn.functional.normalize(train).T


def knn_euclid(train, labels, test, k):
    return labels[torch.cdist(test, train).topk(k, dim=1, largest=False).indices].mode(dim=1).values


def knn_dot(train, labels, test, k):
    return labels[(test @ train.T).topk(k, dim=1).indices].mode(dim=1).values


def knn_least(train, labels, test, k):
    return labels[_cosines(test, train).topk(k, dim=1, largest=False).indices].mode(dim=1).values


def knn_one(train, labels, test, k):
    return labels[_cosines(test, train).argmax(dim=1)]


def knn_mean(train, labels, test, k):
    return labels[_cosines(test, train).topk(k, dim=1).indices].float().mean(dim=1).round().long()


def knn_indices(train, labels, test, k):
    return _cosines(test, train).topk(k, dim=1).indices.mode(dim=1).values


def knn_swapped(train, labels, test, k):
    return labels[_cosines(train, test).topk(k, dim=1).indices].mode(dim=1).values


# 1.8 ---------------------------------------------------------------------------------------------------------------
def check_iou(answer, draw):
    both, only_mask, only_truth = draw.integer(4, 7), draw.integer(3, 6), draw.integer(7, 10)
    place = draw.permutation(42)
    mask, truth = torch.zeros(42, dtype=torch.bool), torch.zeros(42, dtype=torch.bool)
    mask[place[: both + only_mask]] = True
    truth[place[:both]] = True
    truth[place[both + only_mask : both + only_mask + only_truth]] = True
    mask, truth, empty = mask.reshape(6, 7), truth.reshape(6, 7), torch.zeros(6, 7, dtype=torch.bool)
    expect_close(answer(mask, truth), both / (both + only_mask + only_truth), "The IoU")
    expect_close(answer(empty, truth), 0.0, "The IoU of an empty mask and a truth that is not empty")
    expect_close(answer(mask, empty), 0.0, "The IoU of a mask and a truth that is empty")
    expect_close(answer(empty, empty), 1.0, "The IoU of two empty masks")


def iou_dice(mask, truth):
    total = (mask.sum() + truth.sum()).item()
    return 2 * (mask & truth).sum().item() / total if total else 1.0


def iou_over_truth(mask, truth):
    return (mask & truth).sum().item() / max(truth.sum().item(), 1)


def iou_over_mask(mask, truth):
    return (mask & truth).sum().item() / max(mask.sum().item(), 1)


def iou_accuracy(mask, truth):
    return (mask == truth).float().mean().item()


def iou_sum(mask, truth):
    total = (mask.sum() + truth.sum()).item()
    return (mask & truth).sum().item() / total if total else 1.0


def iou_nan(mask, truth):
    return (mask & truth).sum() / (mask | truth).sum()


def iou_zero_division(mask, truth):
    return (mask & truth).sum().item() / (mask | truth).sum().item()


def iou_zero(mask, truth):
    return (mask & truth).sum().item() / max((mask | truth).sum().item(), 1)


def iou_one_empty(mask, truth):
    if not mask.any() or not truth.any():
        return 1.0
    return (mask & truth).sum().item() / (mask | truth).sum().item()


EXERCISES = (
    Exercise(
        id="1.4",
        notebook="01",
        title="Principal components",
        level="I",
        minutes=10,
        points=2,
        hints=(
            "Centre first: take the mean patch, one number for each of the D features, off every patch.",
            "`torch.linalg.svd(centred, full_matrices=False)` gives U, S and Vh; Vh holds a direction in each row, "
            "that of the largest variance first.",
            "The scores are the centred patches times the first k directions: (M, D) @ (D, k).",
        ),
        reference=_REFERENCE + "principal_components",
        check=check_components,
        mistakes=(
            Mistake(components_not_centred, "The patches were not centred: the first direction points at their mean."),
            Mistake(components_rows_centred, "Each patch's own mean was taken off; take off the mean of all patches."),
            Mistake(components_smallest, "These are the smallest variances: `eigh` sorts its eigenvalues upwards."),
            Mistake(components_largest_last, "The directions are the right ones, but the largest variance comes last."),
            Mistake(components_directions, "These are the directions (D, k); the patches' scores on them are wanted."),
            Mistake(components_unit_scores, "U holds scores of length one: times the singular values they are right."),
            Mistake(components_columns_of_vh, "Columns of Vh were taken; its rows are the directions."),
            Mistake(
                components_standardised,
                "The features were divided by their deviation, which makes all count alike; only centre them.",
            ),
        ),
    ),
    Exercise(
        id="1.5",
        notebook="01",
        title="Named by neighbours",
        level="I",
        minutes=10,
        points=3,
        hints=(
            "Give the rows of both matrices length one; one matrix product then holds all cosines, (M, N).",
            "`.topk(k, dim=1).indices` gives the k nearest training rows of each test row, and "
            "`labels[…]` looks up their labels.",
            "`.mode(dim=1).values` is the most frequent value of each row.",
        ),
        reference=_REFERENCE + "knn_predict",
        check=check_knn,
        mistakes=(
            Mistake(knn_euclid, "Distances of rows that were not normalised: a long row is far from everything."),
            Mistake(knn_dot, "Dot products of rows that were not normalised: long rows win whatever their direction."),
            Mistake(knn_least, "These are the votes of the least similar rows."),
            Mistake(knn_one, "Only the nearest row has a say here; the k nearest vote."),
            Mistake(knn_mean, "The labels were averaged; they are names, not sizes: take the most frequent one."),
            Mistake(knn_indices, "These are numbers of training rows: look up their labels before the vote."),
            Mistake(knn_swapped, "Neighbours of the training rows were sought among the test rows: swap the two."),
        ),
    ),
    Exercise(
        id="1.8",
        notebook="01",
        title="Overlap of masks",
        level="B",
        minutes=4,
        points=1,
        hints=(
            "`mask & truth` is the intersection and `mask | truth` the union; `.sum()` counts their pixels.",
            "What is the union of two empty masks? Ask before you divide.",
        ),
        reference=_REFERENCE + "iou",
        check=check_iou,
        mistakes=(
            Mistake(iou_dice, "This is Dice, which counts the intersection twice; IoU divides it by the union."),
            Mistake(iou_over_truth, "Divided by the truth alone: a mask of the whole image would be perfect."),
            Mistake(iou_over_mask, "Divided by the mask alone: a mask of a single right pixel would be perfect."),
            Mistake(iou_accuracy, "This is the share of pixels that agree, which a large background makes high."),
            Mistake(iou_sum, "Divided by the sum of both areas, which counts the intersection twice."),
            Mistake(iou_nan, "Two empty masks gave 0 / 0, which is NaN; they agree: 1.0."),
            Mistake(iou_zero_division, "Two empty masks were divided by zero; they agree: 1.0."),
            Mistake(iou_zero, "Two empty masks gave 0.0; they agree: 1.0."),
            Mistake(iou_one_empty, "One empty mask is no agreement: only where both are empty is the IoU 1.0."),
        ),
    ),
)
