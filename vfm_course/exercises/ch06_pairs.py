"""Notebook 06, pairs of images: exercises 6.7 and 6.9."""

from __future__ import annotations

import torch

from vfm_course.exercises.judge import describe, expect_dtype, expect_equal, expect_shape, expect_true
from vfm_course.exercises.record import Exercise, Mistake

_REFERENCE = "vfm_course.solutions.ch06_toolkit:"


# 6.7 ---------------------------------------------------------------------------------------------------------------
def check_neighbours(answer, draw):
    count, k = 6, 3
    values = (draw.permutation(count * count).reshape(count, count).float() + 1) / 50
    similarity = torch.minimum(values, values.T).fill_diagonal_(1.0)
    _judge_neighbours(answer, similarity, k, "")
    twins = similarity.clone()
    twins[1, 4] = twins[4, 1] = 1.000001  # rounding puts a duplicate above the diagonal now and then
    _judge_neighbours(answer, twins, k, " (images 1 and 4 are duplicates)")
    _judge_neighbours(answer, (-similarity).fill_diagonal_(1.0), k, " (all similarities are negative)")


def _judge_neighbours(answer, similarity, k, note):
    got, count = answer(similarity, k), len(similarity)
    expect_shape(got, (count, k), "The neighbours")
    expect_dtype(got, torch.int64, "The neighbours (indices)")
    expect_true(bool(((got >= 0) & (got < count)).all()), "An index lies outside the folder.")
    for i, row in enumerate(got.tolist()):
        expect_true(i not in row, f"Image {i} is among its own neighbours {row}{note}.")
        expect_true(len(set(row)) == k, f"A neighbour of image {i} occurs twice: {row}{note}.")
        others = similarity[i].clone()
        others[i] = float("-inf")
        want = others.topk(k)
        same = torch.equal(similarity[i, got[i]], want.values)  # by similarity, so that equal ones may swap
        wanted = f"should be {want.indices.tolist()}, best first; they are {row}"
        expect_true(same, f"The neighbours of image {i} {wanted}{note}.")


def neighbours_itself(similarity, k):
    return similarity.topk(k, dim=1).indices


def neighbours_drop_first(similarity, k):
    return similarity.topk(k + 1, dim=1).indices[:, 1:]


def neighbours_farthest(similarity, k):
    return similarity.topk(k, dim=1, largest=False).indices


def neighbours_zero_diagonal(similarity, k):
    return similarity.clone().fill_diagonal_(0).topk(k, dim=1).indices


def neighbours_best_last(similarity, k):
    return similarity.clone().fill_diagonal_(float("-inf")).topk(k, dim=1).indices.flip(1)


def neighbours_values(similarity, k):
    return similarity.clone().fill_diagonal_(float("-inf")).topk(k, dim=1).values


# 6.9 ---------------------------------------------------------------------------------------------------------------
def check_disagreements(answer, draw):
    # Each label three times: every kind of pair has members on both sides of both thresholds, whatever the seed.
    labels = ["cat", "cat", "cat", "bus", "bus", "bus"]
    same, other = [0.2, 0.9, 0.35, 0.1, 0.85, 0.5], [0.15, 0.95, 0.6, 0.88, 0.3, 0.5, 0.05, 0.7, 0.92]
    same, other = draw.pick(same, len(same)), draw.pick(other, len(other))
    similarity = torch.eye(6)
    for i in range(6):
        for j in range(i + 1, 6):
            similarity[i, j] = similarity[j, i] = (same if labels[i] == labels[j] else other).pop()
    low, high = 0.4, 0.8
    pairs = [(i, j) for i in range(6) for j in range(i + 1, 6)]
    want_far = [(i, j) for i, j in pairs if labels[i] == labels[j] and similarity[i, j] < low]
    want_near = [(i, j) for i, j in pairs if labels[i] != labels[j] and similarity[i, j] > high]
    got = answer(labels, similarity, low, high)
    two_lists = isinstance(got, list | tuple) and len(got) == 2 and all(isinstance(part, list) for part in got)
    expect_true(two_lists, f"The result should be two lists of pairs; it is {describe(got)}.")
    expect_equal(_sorted(got[0]), want_far, f"The list of pairs of one label with similarity below {low}")
    expect_equal(_sorted(got[1]), want_near, f"The list of pairs of different labels with similarity above {high}")


def _sorted(pairs):
    for pair in pairs:
        plain = isinstance(pair, list | tuple) and len(pair) == 2 and all(type(n) is int for n in pair)
        expect_true(plain, f"A pair should be two whole numbers (i, j); one is {describe(pair)}.")
    return sorted(tuple(pair) for pair in pairs)


def _upper(labels):
    return [(i, j) for i in range(len(labels)) for j in range(i + 1, len(labels))]


def disagreements_twice(labels, similarity, low, high):
    every = [(i, j) for i in range(len(labels)) for j in range(len(labels)) if i != j]
    far = [(i, j) for i, j in every if labels[i] == labels[j] and similarity[i, j] < low]
    return far, [(i, j) for i, j in every if labels[i] != labels[j] and similarity[i, j] > high]


def disagreements_swapped(labels, similarity, low, high):
    far = [(i, j) for i, j in _upper(labels) if labels[i] == labels[j] and similarity[i, j] < low]
    return [(i, j) for i, j in _upper(labels) if labels[i] != labels[j] and similarity[i, j] > high], far


def disagreements_agreeing(labels, similarity, low, high):
    far = [(i, j) for i, j in _upper(labels) if labels[i] != labels[j] and similarity[i, j] < low]
    return far, [(i, j) for i, j in _upper(labels) if labels[i] == labels[j] and similarity[i, j] > high]


def disagreements_thresholds(labels, similarity, low, high):
    far = [(i, j) for i, j in _upper(labels) if labels[i] == labels[j] and similarity[i, j] < high]
    return far, [(i, j) for i, j in _upper(labels) if labels[i] != labels[j] and similarity[i, j] > low]


def disagreements_no_labels(labels, similarity, low, high):
    far = [(i, j) for i, j in _upper(labels) if similarity[i, j] < low]
    return far, [(i, j) for i, j in _upper(labels) if similarity[i, j] > high]


EXERCISES = (
    Exercise(
        id="6.7",
        notebook="06",
        title="Nearest neighbours, never itself",
        level="I",
        minutes=8,
        points=2,
        hints=(
            "Every image is its own best match: take the diagonal out before looking for the best.",
            "`similarity.clone().fill_diagonal_(float('-inf'))` leaves the argument as it was.",
            "`topk(k, dim=1)` gives `.values` and `.indices`, best first.",
        ),
        reference=_REFERENCE + "neighbours",
        check=check_neighbours,
        mistakes=(
            Mistake(neighbours_itself, "Every image is its own first neighbour here; exclude the diagonal."),
            Mistake(neighbours_drop_first, "The first match was dropped as itself, but a duplicate may come first."),
            Mistake(neighbours_farthest, "These are the least similar images."),
            Mistake(neighbours_zero_diagonal, "The diagonal became 0, which still beats a negative similarity."),
            Mistake(neighbours_best_last, "The order is reversed: the best neighbour comes first."),
            Mistake(neighbours_values, "These are similarities; the indices of the images are wanted."),
        ),
    ),
    Exercise(
        id="6.9",
        notebook="06",
        title="Where the two models disagree",
        level="I",
        minutes=12,
        points=3,
        hints=(
            "Two loops, `for i in range(n)` and `for j in range(i + 1, n)`, visit each pair once.",
            "Same label and similarity < low goes to the first list; different labels and > high to the second.",
        ),
        reference=_REFERENCE + "disagreements",
        check=check_disagreements,
        mistakes=(
            Mistake(disagreements_twice, "Each pair was counted twice, as (i, j) and (j, i); keep i < j."),
            Mistake(disagreements_swapped, "The two lists were swapped: same label, low similarity comes first."),
            Mistake(disagreements_agreeing, "On these pairs the models agree: compare the labels the other way."),
            Mistake(disagreements_thresholds, "The thresholds were swapped: below `low`, above `high`."),
            Mistake(disagreements_no_labels, "The labels were not compared; similarity alone is no disagreement."),
        ),
    ),
)
