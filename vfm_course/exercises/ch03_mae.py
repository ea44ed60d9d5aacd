"""Notebook 03, pixels as the target: 3.3."""

from __future__ import annotations

import torch

from vfm_course.exercises.ch03_pixels import cut, expect_gradient
from vfm_course.exercises.judge import expect_close, expect_shape
from vfm_course.exercises.record import Exercise, Mistake
from vfm_course.objectives.mae import patchify

_REFERENCE = "vfm_course.solutions.ch03_objectives:"


# 3.3 ---------------------------------------------------------------------------------------------------------------
def check_mae(answer, draw):
    cases = [_case(draw, columns) for columns in (5, 4)]
    # Both are asked about before either is judged: one number alone may be that of two mistakes.
    losses = [answer(*case) for case in cases]
    for case, got in zip(cases, losses, strict=True):
        _expect_loss(got, *case, "The loss")
    predicted, pixels, mask, patch = cases[0]
    row, column = divmod(int(mask[0].argmax()), 5)
    pixels[0, :, 2 * row : 2 * row + 2, 2 * column : 2 * column + 2] = 0.5
    _expect_loss(answer(*cases[0]), *cases[0], "The loss where a hidden patch is grey all over")
    expect_gradient(answer.grad(cases[0])[0], "the prediction")


def _case(draw, columns):
    """A prediction, two pictures of 3 rows of patches, a mask that hides nine patches of each, and the patch's side."""
    count, scale, middle = 3 * columns, draw.uniform(1, low=2.0, high=3.0), draw.uniform(1, 3, 1, 1, low=1.0, high=4.0)
    mask = torch.stack([draw.permutation(count) < 9 for _ in range(2)]).float()
    return draw.normal(2, count, 12), draw.normal(2, 3, 6, 2 * columns) * scale + middle, mask, 2


def _expect_loss(got, predicted, pixels, mask, patch, what):
    expect_shape(got, (), what)
    # The variance divided by P or by P - 1: the paper does not say, and both train alike.
    wants = [_mae(predicted, cut(pixels, patch), mask, correction) for correction in (1, 0)]
    expect_close(got, min(wants, key=lambda want: abs(want - got)), what)


def _mae(predicted, patches, mask, correction):
    variance, mean = torch.var_mean(patches, dim=2, keepdim=True, correction=correction)
    return (predicted - (patches - mean) / (variance + 1e-6).sqrt()).square().mean(dim=2)[mask == 1].mean()


def _target(pixels, patch):
    patches = patchify(pixels, patch)
    variance, mean = torch.var_mean(patches, dim=-1, keepdim=True)
    return (patches - mean) / (variance + 1e-6).sqrt()


def _on_hidden(error, mask):
    return (error.mean(dim=-1) * mask).sum() / mask.sum()


def mae_everywhere(predicted, pixels, mask, patch):
    return (predicted - _target(pixels, patch)).square().mean()


def mae_visible(predicted, pixels, mask, patch):
    return _on_hidden((predicted - _target(pixels, patch)).square(), 1 - mask)


def mae_raw(predicted, pixels, mask, patch):
    return _on_hidden((predicted - patchify(pixels, patch)).square(), mask)


def mae_over_all(predicted, pixels, mask, patch):
    return ((predicted - _target(pixels, patch)).square().mean(dim=-1) * mask).mean()


def mae_summed_pixels(predicted, pixels, mask, patch):
    return ((predicted - _target(pixels, patch)).square().sum(dim=-1) * mask).sum() / mask.sum()


def mae_absolute(predicted, pixels, mask, patch):
    return _on_hidden((predicted - _target(pixels, patch)).abs(), mask)


def mae_whole_picture(predicted, pixels, mask, patch):
    variance, mean = torch.var_mean(pixels, dim=(1, 2, 3), keepdim=True)
    return _on_hidden((predicted - patchify((pixels - mean) / variance.sqrt(), patch)).square(), mask)


def mae_by_variance(predicted, pixels, mask, patch):
    variance, mean = torch.var_mean(patchify(pixels, patch), dim=-1, keepdim=True)
    return _on_hidden((predicted - (patchify(pixels, patch) - mean) / (variance + 1e-6)).square(), mask)


def mae_both_normalised(predicted, pixels, mask, patch):
    variance, mean = torch.var_mean(predicted, dim=-1, keepdim=True)
    return _on_hidden(((predicted - mean) / (variance + 1e-6).sqrt() - _target(pixels, patch)).square(), mask)


def mae_not_a_number(predicted, pixels, mask, patch):
    patches = patchify(pixels, patch)
    target = (patches - patches.mean(dim=-1, keepdim=True)) / patches.std(dim=-1, keepdim=True)
    return _on_hidden((predicted - target).square(), mask)


@torch.no_grad()
def mae_no_graph(predicted, pixels, mask, patch):
    return _on_hidden((predicted - _target(pixels, patch)).square(), mask)


EXERCISES = (
    Exercise(
        id="3.3",
        notebook="03",
        title="What MAE is judged by",
        level="I",
        minutes=10,
        points=3,
        hints=(
            "The target: `patchify(pixels, patch)`, each patch minus its own mean, divided by its own deviation.",
            "A patch of one colour has deviation 0: divide by `(variance + 1e-6).sqrt()`.",
            "The mean over a patch first, (B, N); then the hidden ones only: `(error * mask).sum() / mask.sum()`.",
        ),
        reference=_REFERENCE + "mae_loss",
        check=check_mae,
        mistakes=(
            Mistake(mae_everywhere, "All patches were judged; what is visible need not be painted."),
            Mistake(mae_visible, "The visible patches were judged; 1 in the mask means hidden."),
            Mistake(mae_raw, "The patches were not normalised: each has mean 0 and variance 1 of its own."),
            Mistake(mae_over_all, "Divided by the number of all patches; the mean is over the hidden ones."),
            Mistake(mae_summed_pixels, "The errors in a patch were summed; take their mean."),
            Mistake(mae_absolute, "These are absolute errors; MAE squares them."),
            Mistake(mae_whole_picture, "The picture was normalised as a whole; each patch has its own mean and scale."),
            Mistake(mae_by_variance, "Divided by the variance; the deviation is its root."),
            Mistake(mae_both_normalised, "The prediction was normalised too; only the target is."),
            Mistake(
                mae_not_a_number,
                "A patch of one colour has deviation 0, and 0 / 0 is NaN: add a tiny number to the variance.",
            ),
            Mistake(mae_no_graph, "The loss was computed without a graph: the decoder gets no gradient from it."),
        ),
    ),
)
