"""Notebook 03, what holds a JEPA's targets still, and how to see that it has collapsed: 3.10 and 3.12."""

from __future__ import annotations

import torch
from torch.nn import functional as F

from vfm_course.exercises.judge import describe, expect_close, expect_equal, expect_shape, expect_true
from vfm_course.exercises.record import Exercise, Mistake

_REFERENCE = "vfm_course.solutions.ch03_objectives:"


# 3.10 --------------------------------------------------------------------------------------------------------------
def check_ema(answer, draw):
    names, momentum = ["embed.weight", "block.weight", "norm.weight"], 0.01 * draw.integer(70, 96)
    target = {name: draw.normal(2, 3) for name in names}
    context = {name: draw.normal(2, 3) for name in reversed(names)}  # the same names, in another order
    got = answer(target, context, momentum)
    expect_true(isinstance(got, dict), f"The answer should be a dict, name -> tensor; it is {describe(got)}.")
    expect_equal(sorted(map(str, got)), sorted(names), "The names in the answer (sorted here)")
    for name in names:
        want = momentum * target[name] + (1 - momentum) * context[name]
        expect_close(got[name], want, f"The new `{name}` of the target encoder")


def ema_swapped(target, context, momentum):
    return {name: (1 - momentum) * target[name] + momentum * context[name] for name in target}


def ema_in_place(target, context, momentum):
    for name in target:
        target[name].mul_(momentum).add_(context[name], alpha=1 - momentum)
    return target


def ema_by_order(target, context, momentum):
    pairs = zip(target, target.values(), context.values(), strict=True)
    return {name: momentum * slow + (1 - momentum) * fast for name, slow, fast in pairs}


def ema_copy(target, context, momentum):
    return dict(context)


def ema_as_it_was(target, context, momentum):
    return dict(target)


def ema_half(target, context, momentum):
    return {name: (target[name] + context[name]) / 2 for name in target}


def ema_growing(target, context, momentum):
    return {name: momentum * target[name] + context[name] for name in target}


def ema_away(target, context, momentum):
    return {name: target[name] + (1 - momentum) * context[name] for name in target}


def ema_list(target, context, momentum):
    return [momentum * target[name] + (1 - momentum) * context[name] for name in target]


# 3.12 --------------------------------------------------------------------------------------------------------------
def check_spread(answer, draw):
    lean = torch.tensor([3.0, 1.0, 1.0, 0.5, 0.5])
    both = [(draw.normal(count, 5) * lean + 1) * draw.uniform(count, 1, low=0.5, high=4.0) for count in (12, 9)]
    # Both are asked about before either is judged: one number alone may be that of two mistakes.
    spreads = [answer(features) for features in both]
    for features, got in zip(both, spreads, strict=True):
        what, unit = f"The spread of {len(features)} pictures", features / features.norm(dim=1, keepdim=True)
        # The deviation divided by N - 1 or by N: for as many pictures as one has it is the same.
        wants = [5**0.5 * unit.std(dim=0, correction=correction).mean().item() for correction in (1, 0)]
        if isinstance(got, torch.Tensor):
            expect_shape(got, (), what)
            got = got.item()
        nearest = min(wants, key=lambda want: abs(want - got)) if isinstance(got, float) else wants[0]
        expect_close(got, nearest, what)
    collapsed = draw.normal(5) * draw.uniform(12, 1, low=0.5, high=4.0)
    expect_close(answer(collapsed), 0.0, "The spread of pictures that all point the same way", atol=1e-3)


def spread_not_normalised(features):
    return features.shape[1] ** 0.5 * features.std(dim=0).mean()


def spread_no_root(features):
    return F.normalize(features, dim=1).std(dim=0).mean()


def spread_times_width(features):
    return features.shape[1] * F.normalize(features, dim=1).std(dim=0).mean()


def spread_divided(features):
    return F.normalize(features, dim=1).std(dim=0).mean() / features.shape[1] ** 0.5


def spread_root_of_pictures(features):
    return len(features) ** 0.5 * F.normalize(features, dim=1).std(dim=0).mean()


def spread_within(features):
    return features.shape[1] ** 0.5 * F.normalize(features, dim=1).std(dim=1).mean()


def spread_one_number(features):
    return features.shape[1] ** 0.5 * F.normalize(features, dim=1).std()


def spread_variance(features):
    return features.shape[1] ** 0.5 * F.normalize(features, dim=1).var(dim=0).mean()


def spread_over_pictures(features):
    return features.shape[1] ** 0.5 * F.normalize(features, dim=0).std(dim=0).mean()


def spread_summed(features):
    return features.shape[1] ** 0.5 * F.normalize(features, dim=1).std(dim=0).sum()


def spread_each(features):
    return features.shape[1] ** 0.5 * F.normalize(features, dim=1).std(dim=0)


EXERCISES = (
    Exercise(
        id="3.10",
        notebook="03",
        title="The slow copy",
        level="B",
        minutes=5,
        points=2,
        hints=(
            "One new tensor for each name: `momentum * target[name] + (1 - momentum) * context[name]`.",
            "A dict comprehension makes a new dict, and leaves both that came in as they were.",
        ),
        reference=_REFERENCE + "ema_update",
        check=check_ema,
        mistakes=(
            Mistake(ema_swapped, "The weights are swapped: with a momentum near 1 the target encoder hardly moves."),
            Mistake(ema_in_place, "The weights that came in were changed; make new tensors in a new dict."),
            Mistake(ema_by_order, "Weights were matched by their order in the dicts; match them by name."),
            Mistake(
                ema_copy, "The context encoder was copied: then there is no slow copy that holds the targets still."
            ),
            Mistake(ema_as_it_was, "The target encoder stays as it was; it should follow slowly."),
            Mistake(ema_half, "Both count one half here; `momentum` says how much."),
            Mistake(ema_growing, "The context's weights are not multiplied by 1 - momentum: the sum grows."),
            Mistake(ema_away, "The target's weights are not multiplied by `momentum`: the sum grows."),
            Mistake(ema_list, "This is a list; a dict, name -> tensor, is wanted."),
        ),
    ),
    Exercise(
        id="3.12",
        notebook="03",
        title="Has it collapsed?",
        level="I",
        minutes=6,
        points=2,
        hints=(
            "Make each row unit length; then take the standard deviation over the pictures, one for each of D numbers.",
            "Numbers of an even spread have variance 1 / D, so root D times their deviation is 1.",
        ),
        reference=_REFERENCE + "spread",
        check=check_spread,
        mistakes=(
            Mistake(spread_not_normalised, "The features were not made unit length: longer ones would look spread."),
            Mistake(spread_no_root, "Root D is missing: in D dimensions evenly spread numbers deviate by 1 / root D."),
            Mistake(spread_times_width, "Multiplied by D; its root is enough."),
            Mistake(spread_divided, "Divided by root D; multiply, so that an even spread gives 1."),
            Mistake(spread_root_of_pictures, "This is the root of the number of pictures; D is the width."),
            Mistake(
                spread_within, "This is how a picture's own numbers differ; collapsed features may differ among them."
            ),
            Mistake(
                spread_one_number,
                "One deviation over all numbers: features that are all the same still differ among their D numbers.",
            ),
            Mistake(spread_variance, "This is the variance; take its root, the standard deviation."),
            Mistake(spread_over_pictures, "Normalised over the pictures (dim 0); each picture has length one (dim 1)."),
            Mistake(spread_summed, "The D deviations were summed; take their mean."),
            Mistake(spread_each, "These are D deviations; their mean is wanted."),
        ),
    ),
)
