"""Notebook 03, representations as the target: 3.11."""

from __future__ import annotations

import torch
from torch.nn import functional as F

from vfm_course.exercises.ch03_pixels import expect_gradient
from vfm_course.exercises.judge import expect_close, expect_true
from vfm_course.exercises.record import Exercise, Mistake

_REFERENCE = "vfm_course.solutions.ch03_objectives:"


# 3.11 --------------------------------------------------------------------------------------------------------------
def check_jepa(answer, draw):
    cases = [_case(draw, pictures) for pictures in (3, 4)]
    # Both are asked about before either is judged: one number alone may be that of two mistakes.
    losses = [answer(*case) for case in cases]
    for (predicted, features, blocks), got in zip(cases, losses, strict=True):
        deviation = features.std(dim=2, keepdim=True, correction=0)
        unit = (features - features.mean(dim=2, keepdim=True)) / (deviation**2 + 1e-5).sqrt()
        picked = torch.stack([picture[asked] for picture, asked in zip(unit, blocks, strict=True)])
        away = (predicted - picked).abs()
        want = torch.where(away < 1, away**2 / 2, away - 0.5).mean()
        expect_close(got, want, f"The loss of {len(features)} pictures")
    to_predicted, to_features = answer.grad(cases[0], wrt=(0, 1))
    expect_gradient(to_predicted, "the prediction")
    expect_true(to_features is None, "A gradient reaches the features: the target encoder would learn to be easy.")


def _case(draw, pictures):
    """A prediction (B, 2, 4, 6), features (B, 12, 6) and two blocks of four patches for each picture."""
    features = draw.normal(pictures, 12, 6) * draw.uniform(pictures, 12, 1, low=1.0, high=3.0)
    blocks = torch.stack([draw.permutation(8)[:4] + 4 for _ in range(2 * pictures)]).view(pictures, 2, 4)
    return 2 * draw.normal(pictures, 2, 4, 6) + 1, features + draw.uniform(6, low=1.0, high=4.0), blocks


def _jepa(predicted, targets, blocks, distance=F.smooth_l1_loss):
    picture = torch.arange(len(targets))[:, None, None]
    return distance(predicted, targets[picture, blocks])


def _normed(features):
    return F.layer_norm(features.detach(), features.shape[-1:])


def jepa_not_normalised(predicted, features, blocks):
    return _jepa(predicted, features.detach(), blocks)


def jepa_unit_length(predicted, features, blocks):
    return _jepa(predicted, F.normalize(features.detach(), dim=-1), blocks)


def jepa_over_patches(predicted, features, blocks):
    return _jepa(predicted, F.layer_norm(features.detach().transpose(1, 2), (features.shape[1],)).mT, blocks)


def jepa_divisor(predicted, features, blocks):
    features = features.detach()
    features = (features - features.mean(dim=-1, keepdim=True)) / features.std(dim=-1, keepdim=True)
    return _jepa(predicted, features, blocks)


def jepa_both_normalised(predicted, features, blocks):
    return _jepa(F.layer_norm(predicted, predicted.shape[-1:]), _normed(features), blocks)


def jepa_squared(predicted, features, blocks):
    return _jepa(predicted, _normed(features), blocks, F.mse_loss)


def jepa_absolute(predicted, features, blocks):
    return _jepa(predicted, _normed(features), blocks, F.l1_loss)


def jepa_summed(predicted, features, blocks):
    return _jepa(predicted, _normed(features), blocks) * predicted.numel()


def jepa_first_picture(predicted, features, blocks):
    return F.smooth_l1_loss(predicted, _normed(features)[0][blocks])


def jepa_first_blocks(predicted, features, blocks):
    return _jepa(predicted, _normed(features), blocks[:1].expand_as(blocks))


def jepa_first_patches(predicted, features, blocks):
    count = blocks.shape[1] * blocks.shape[2]
    return F.smooth_l1_loss(predicted, _normed(features)[:, :count].view_as(predicted))


def jepa_gradient_leaks(predicted, features, blocks):
    return _jepa(predicted, F.layer_norm(features, features.shape[-1:]), blocks)


def jepa_wrong_side(predicted, features, blocks):
    return _jepa(predicted.detach(), F.layer_norm(features, features.shape[-1:]), blocks)


@torch.no_grad()
def jepa_no_graph(predicted, features, blocks):
    return _jepa(predicted, _normed(features), blocks)


EXERCISES = (
    Exercise(
        id="3.11",
        notebook="03",
        title="Predict features, not pixels",
        level="I",
        minutes=12,
        points=3,
        hints=(
            "The target first: `features.detach()`, then `layer_norm` over the last dimension, without weights.",
            "`features[torch.arange(B)[:, None, None], blocks]` is (B, K, T, D): each picture's own patches.",
            "`torch.nn.functional.smooth_l1_loss(predicted, target)` is the mean over all numbers.",
        ),
        reference=_REFERENCE + "jepa_loss",
        check=check_jepa,
        mistakes=(
            Mistake(jepa_not_normalised, "The features were not normalised: a target could be easy by being small."),
            Mistake(jepa_unit_length, "The features were made unit length; layer normalisation also centres them."),
            Mistake(jepa_over_patches, "Normalised over the patches; each patch is normalised over its own D numbers."),
            Mistake(
                jepa_divisor,
                "`std` divides by D - 1, layer normalisation by D: use `layer_norm`, or `std(…, correction=0)`.",
            ),
            Mistake(jepa_both_normalised, "The prediction was normalised too; only the target is."),
            Mistake(jepa_squared, "This is the squared error; smooth L1 grows only linearly for errors above 1."),
            Mistake(jepa_absolute, "This is L1; smooth L1 squares errors below 1 (and halves them)."),
            Mistake(jepa_summed, "The errors were summed; take their mean."),
            Mistake(jepa_first_picture, "All targets were taken from the first picture; each has its own features."),
            Mistake(jepa_first_blocks, "The first picture's blocks were used for all; each picture has its own."),
            Mistake(jepa_first_patches, "The first patches were taken; `blocks` says which ones are asked for."),
            Mistake(
                jepa_gradient_leaks,
                "A gradient reaches the features: the target encoder would learn to be easy to predict. `detach` them.",
            ),
            Mistake(jepa_wrong_side, "The prediction was detached; the features should be."),
            Mistake(jepa_no_graph, "The loss was computed without a graph: the predictor gets no gradient."),
        ),
    ),
)
