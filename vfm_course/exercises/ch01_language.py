"""Notebook 01, words and the choice of a family: exercises 1.6, 1.7 and 1.9."""

from __future__ import annotations

from itertools import product

import torch
from torch.nn.functional import normalize

from vfm_course.exercises.ch01_features import rotation
from vfm_course.exercises.judge import expect_dtype, expect_equal, expect_shape
from vfm_course.exercises.record import Exercise, Mistake

_REFERENCE = "vfm_course.solutions.ch01_families:"


# 1.6 ---------------------------------------------------------------------------------------------------------------
def check_rank(answer, draw):
    # Most similar first; the lengths put the second before the first by dot product, and after the third by distance.
    cosines, turn = torch.tensor([0.9, 0.7, 0.5, 0.3, 0.1, -0.2]), rotation(draw, 5)
    lengths = torch.tensor([1.0, 2.0, 0.75, 1.0, 1.0, 1.0]) * draw.uniform(6, low=0.95, high=1.05)
    units = torch.cat([cosines[:, None], (1 - cosines**2).sqrt()[:, None] * normalize(draw.normal(6, 4))], dim=1)
    rows, query = units @ turn * lengths[:, None], turn[0]
    right, by_dot, by_distance = torch.arange(6), (rows @ query).argsort(descending=True), rank_euclid(query, rows)
    order = draw.permutation(6)
    while any(torch.equal(order.argsort(), order[one]) for one in (right, right.flip(0), by_dot, by_distance)):
        order = draw.permutation(6)  # places would look like the order, or like another mistake
    got = answer(query, torch.zeros(6, 5).index_copy(0, order, rows))
    expect_shape(got, (6,), "The ranking")
    expect_dtype(got, torch.int64, "The ranking (numbers of the gallery's rows)")
    expect_equal(got, order, "The ranking")


def rank_dot(query, gallery):
    return (gallery @ query).argsort(descending=True)


def rank_ascending(query, gallery):
    return (normalize(gallery) @ normalize(query, dim=0)).argsort()


def rank_cosines(query, gallery):
    return normalize(gallery) @ normalize(query, dim=0)


def rank_sorted_cosines(query, gallery):
    return (normalize(gallery) @ normalize(query, dim=0)).sort(descending=True).values


def rank_euclid(query, gallery):
    return (gallery - query).norm(dim=1).argsort()


def rank_places(query, gallery):
    return (normalize(gallery) @ normalize(query, dim=0)).argsort(descending=True).argsort()


# 1.7 ---------------------------------------------------------------------------------------------------------------
# For each image, what a sentence of label l in template t holds of it: {l: (three templates)}. The first label is
# right, the second one misleads, the last one is the least similar. Templates of labels 0 and 1 say different things,
# those of 2 and 3 the same; template 1 makes the longest embeddings, and label 3 longer ones than the other labels.
_HOLDS = (
    {0: (0.1, 0.45, 0.45), 1: (0.5, 0.05, 0.05), 2: (-0.2, -0.2, -0.2)},  # the first template alone misleads
    {2: (0.35, 0.35, 0.35), 3: (0.0, 0.0, 0.6), 0: (-0.2, -0.2, -0.2)},  # so does the loudest
    {1: (0.45, 0.1, 0.45), 0: (0.05, 0.5, 0.05), 3: (-0.2, -0.2, -0.2)},  # and the longest
    {0: (0.35, 0.35, 0.35), 2: (0.4, 0.4, 0.4), 1: (-0.2, -0.2, -0.2)},  # templates that agree have a longer mean
    {3: (0.4, 0.4, 0.4), 0: (0.1, 0.1, 0.1), 2: (-0.2, -0.2, -0.2)},
)


def check_zero_shot(answer, draw):
    holds = torch.zeros(4, 3, len(_HOLDS))
    for image, labels in enumerate(_HOLDS):
        for label, values in labels.items():
            holds[label, :, image] = torch.tensor(values)
    rest = torch.zeros(4, 3, 8)  # what else a sentence says
    for label, columns in enumerate(((0, 1, 2), (3, 4, 5), (6, 6, 6), (7, 7, 7))):
        rest[label, range(3), columns] = (1 - holds[label].square().sum(dim=1)).sqrt()
    turn = rotation(draw, 13)
    lengths = torch.tensor([1.0, 1.0, 1.0, 10.0])[:, None] * torch.tensor([1.0, 6.0, 1.0])
    texts = torch.cat([holds, rest], dim=2) @ turn * (lengths * draw.uniform(4, 3, low=0.95, high=1.05))[..., None]
    # Label 3 stays last: a label that is no template's number shows which dimension was averaged.
    place, mixed = torch.cat([draw.permutation(3), torch.tensor([3])]), draw.permutation(len(_HOLDS))
    images = turn[: len(_HOLDS)][mixed] * draw.uniform(len(_HOLDS), 1, low=0.5, high=2.0)
    want = place[torch.tensor([next(iter(labels)) for labels in _HOLDS])][mixed]
    got = answer(images, torch.zeros_like(texts).index_copy(0, place, texts))
    expect_shape(got, (len(_HOLDS),), "The vector of labels")
    expect_dtype(got, torch.int64, "The vector of labels (their numbers)")
    expect_equal(got, want, "The vector of labels")


def zero_shot_over_labels(image_embeds, text_embeds):
    means = normalize(normalize(text_embeds, dim=2).mean(dim=0))
    return (normalize(image_embeds) @ means.T).argmax(dim=1)


def zero_shot_long_sentences(image_embeds, text_embeds):
    return (normalize(image_embeds) @ normalize(text_embeds.mean(dim=1)).T).argmax(dim=1)


def zero_shot_mean_of_cosines(image_embeds, text_embeds):
    return (normalize(image_embeds) @ normalize(text_embeds, dim=2).mean(dim=1).T).argmax(dim=1)


def zero_shot_dot(image_embeds, text_embeds):
    return (image_embeds @ text_embeds.mean(dim=1).T).argmax(dim=1)


def zero_shot_first(image_embeds, text_embeds):
    return (normalize(image_embeds) @ normalize(text_embeds[:, 0]).T).argmax(dim=1)


def zero_shot_loudest(image_embeds, text_embeds):
    cosines = torch.einsum("nd,ltd->nlt", normalize(image_embeds), normalize(text_embeds, dim=2))
    return cosines.amax(dim=2).argmax(dim=1)


def zero_shot_least(image_embeds, text_embeds):
    means = normalize(normalize(text_embeds, dim=2).mean(dim=1))
    return (normalize(image_embeds) @ means.T).argmin(dim=1)


def zero_shot_cosines(image_embeds, text_embeds):
    return normalize(image_embeds) @ normalize(normalize(text_embeds, dim=2).mean(dim=1)).T


# 1.9 ---------------------------------------------------------------------------------------------------------------
def check_family(answer, draw):
    for needs in product((False, True), repeat=4):
        language, frozen, labels, masks = needs
        first = "clip" if language else "dinov2" if frozen or not (labels or masks) else "mae" if labels else None
        want = [name for name in (first, "sam" if masks else None) if name]
        stated = [name for name, value in zip(("language", "frozen", "labels", "masks"), needs, strict=True) if value]
        expect_equal(answer(*needs), want, f"The list for a task with {' and '.join(stated) or 'no need stated'}")


def family_frozen_first(language, frozen, labels, masks):
    first = ["dinov2"] if frozen else ["clip"] if language else ["mae"] if labels else []
    return first + ["sam"] * masks or ["dinov2"]


def family_labels_before_frozen(language, frozen, labels, masks):
    first = ["clip"] if language else ["mae"] if labels else ["dinov2"] if frozen else []
    return first + ["sam"] * masks or ["dinov2"]


def family_masks_only(language, frozen, labels, masks):
    if masks:
        return ["sam"]
    return ["clip"] if language else ["dinov2"] if frozen else ["mae"] if labels else ["dinov2"]


def family_sam_in_front(language, frozen, labels, masks):
    first = ["clip"] if language else ["dinov2"] if frozen else ["mae"] if labels else []
    return ["sam"] * masks + first or ["dinov2"]


def family_no_sam(language, frozen, labels, masks):
    return ["clip"] if language else ["dinov2"] if frozen else ["mae"] if labels else ["dinov2"]


def family_sam_as_last_resort(language, frozen, labels, masks):
    first = ["clip"] if language else ["dinov2"] if frozen else ["mae"] if labels else ["sam"] if masks else []
    return first or ["dinov2"]


def family_sam_never_alone(language, frozen, labels, masks):
    first = ["clip"] if language else ["dinov2"] if frozen else ["mae"] if labels else ["dinov2"]
    return first + ["sam"] * masks


def family_all_that_apply(language, frozen, labels, masks):
    return ["clip"] * language + ["dinov2"] * frozen + ["mae"] * labels + ["sam"] * masks or ["dinov2"]


def family_nothing(language, frozen, labels, masks):
    first = ["clip"] if language else ["dinov2"] if frozen else ["mae"] if labels else []
    return first + ["sam"] * masks


EXERCISES = (
    Exercise(
        id="1.6",
        notebook="01",
        title="Rank by cosine",
        level="B",
        minutes=5,
        points=1,
        hints=(
            "The cosine is the dot product divided by both lengths; `gallery @ query` holds all dot products, (N,).",
            "The query's length is the same for all rows, but each row of the gallery has its own.",
            "`.argsort(descending=True)` gives the numbers of the rows, the largest value first.",
        ),
        reference=_REFERENCE + "rank_by_cosine",
        check=check_rank,
        mistakes=(
            Mistake(rank_dot, "Ranked by the dot product: long rows win. Divide by the length of each row."),
            Mistake(rank_ascending, "The order is reversed: the most similar row comes first."),
            Mistake(rank_cosines, "These are the similarities; the numbers of the rows are wanted, best first."),
            Mistake(rank_sorted_cosines, "The similarities were sorted; the numbers of their rows are wanted."),
            Mistake(rank_euclid, "Ranked by distance, which also depends on the lengths; the cosine does not."),
            Mistake(rank_places, "This gives each row its place; the rows in order of their places are wanted."),
        ),
    ),
    Exercise(
        id="1.7",
        notebook="01",
        title="A classifier out of sentences",
        level="I",
        minutes=10,
        points=3,
        hints=(
            "Three steps for the texts: sentences of length one, their mean over templates, the mean to length one.",
            "`text_embeds.norm(dim=2, keepdim=True)` has shape (L, T, 1); the mean over templates is over dim 1.",
            "Now each label has one row (L, D): compare with the images, (N, D) @ (D, L), and take the best column.",
        ),
        reference=_REFERENCE + "zero_shot_labels",
        check=check_zero_shot,
        mistakes=(
            Mistake(zero_shot_over_labels, "Averaged over the labels (dim 0); the templates are dim 1."),
            Mistake(
                zero_shot_long_sentences,
                "The sentences were not normalised before the mean: the longest embedding outweighs the others.",
            ),
            Mistake(
                zero_shot_mean_of_cosines,
                "The mean was not normalised again: labels whose templates agree have a longer mean and win.",
            ),
            Mistake(zero_shot_dot, "Nothing was normalised: these dot products grow with the length of the texts."),
            Mistake(zero_shot_first, "Only the first template was used; the label is the mean of all of them."),
            Mistake(zero_shot_loudest, "The best template alone decides here; the mean of the templates should."),
            Mistake(zero_shot_least, "These are the least similar labels."),
            Mistake(zero_shot_cosines, "These are the cosines (N, L); the number of the best label is wanted."),
        ),
    ),
    Exercise(
        id="1.9",
        notebook="01",
        title="The decision procedure",
        level="B",
        minutes=6,
        points=2,
        hints=(
            "The order is the point: `if language`, otherwise `if frozen`, otherwise `if labels`.",
            "Masks are asked about on their own, after the three: SAM comes on top of whichever model says what it is.",
            'No need at all still has an answer: `["dinov2"]`. But masks alone are a need.',
        ),
        reference=_REFERENCE + "choose_family",
        check=check_family,
        mistakes=(
            Mistake(family_frozen_first, "Frozen was asked before language, but only CLIP knows words."),
            Mistake(family_labels_before_frozen, "Labels were asked about before frozen; a frozen backbone stays so."),
            Mistake(family_masks_only, "Masks replaced the rest: SAM cuts out, but another model says what it is."),
            Mistake(family_sam_in_front, "SAM comes last in the list: the model that says what it is comes first."),
            Mistake(family_no_sam, "Masks were wanted, but SAM is missing."),
            Mistake(family_sam_as_last_resort, "SAM was added only where nothing else applied; masks always add it."),
            Mistake(family_sam_never_alone, "Masks alone need SAM and nothing else."),
            Mistake(family_all_that_apply, "All families that apply were listed; the first need that applies decides."),
            Mistake(
                family_nothing, "With no need stated the list was empty; DINOv2 shows quickly what the data holds."
            ),
        ),
    ),
)
