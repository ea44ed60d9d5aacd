"""Notebook 03, a teacher's targets: 3.13 and 3.14."""

from __future__ import annotations

import torch
from torch.nn import functional as F

from vfm_course.exercises.ch03_pixels import expect_gradient
from vfm_course.exercises.judge import expect_close, expect_several, expect_true
from vfm_course.exercises.record import Exercise, Mistake

_REFERENCE = "vfm_course.solutions.ch03_objectives:"


# 3.13 --------------------------------------------------------------------------------------------------------------
def check_targets(answer, draw):
    logits, center = draw.normal(6, 4) + draw.normal(4), draw.normal(4)
    temperature, momentum = draw.uniform(1, low=0.4, high=0.7).item(), 0.01 * draw.integer(70, 96)
    args = (logits, center, temperature, momentum)
    targets, following = expect_several(answer(*args), 2, "The answer (targets, next center)")
    powers = ((logits - center) / temperature).exp()
    expect_close(targets, powers / powers.sum(dim=1, keepdim=True), "The matrix of targets")
    expect_close(following, momentum * center + (1 - momentum) * logits.mean(dim=0), "The next center")
    leaked = answer.grad(args, wrt=(0, 1), cotangent=[draw.normal(6, 4), draw.normal(4)])
    expect_true(leaked == (None, None), "A gradient reaches the teacher: targets are given, not learnt.")


def _next(logits, center, momentum):
    return momentum * center + (1 - momentum) * logits.mean(dim=0)


@torch.no_grad()
def targets_not_centred(logits, center, temperature, momentum=0.9):
    return (logits / temperature).softmax(dim=1), _next(logits, center, momentum)


@torch.no_grad()
def targets_center_added(logits, center, temperature, momentum=0.9):
    return ((logits + center) / temperature).softmax(dim=1), _next(logits, center, momentum)


@torch.no_grad()
def targets_center_after(logits, center, temperature, momentum=0.9):
    return (logits / temperature - center).softmax(dim=1), _next(logits, center, momentum)


@torch.no_grad()
def targets_next_center_used(logits, center, temperature, momentum=0.9):
    following = _next(logits, center, momentum)
    return ((logits - following) / temperature).softmax(dim=1), following


@torch.no_grad()
def targets_batch_center(logits, center, temperature, momentum=0.9):
    return ((logits - logits.mean(dim=0)) / temperature).softmax(dim=1), _next(logits, center, momentum)


@torch.no_grad()
def targets_no_temperature(logits, center, temperature, momentum=0.9):
    return (logits - center).softmax(dim=1), _next(logits, center, momentum)


@torch.no_grad()
def targets_multiplied(logits, center, temperature, momentum=0.9):
    return ((logits - center) * temperature).softmax(dim=1), _next(logits, center, momentum)


@torch.no_grad()
def targets_over_batch(logits, center, temperature, momentum=0.9):
    return ((logits - center) / temperature).softmax(dim=0), _next(logits, center, momentum)


@torch.no_grad()
def targets_momentum_swapped(logits, center, temperature, momentum=0.9):
    return ((logits - center) / temperature).softmax(dim=1), _next(logits, center, 1 - momentum)


@torch.no_grad()
def targets_center_of_centred(logits, center, temperature, momentum=0.9):
    return ((logits - center) / temperature).softmax(dim=1), _next(logits - center, center, momentum)


@torch.no_grad()
def targets_center_of_targets(logits, center, temperature, momentum=0.9):
    targets = ((logits - center) / temperature).softmax(dim=1)
    return targets, _next(targets, center, momentum)


@torch.no_grad()
def targets_no_memory(logits, center, temperature, momentum=0.9):
    return ((logits - center) / temperature).softmax(dim=1), logits.mean(dim=0)


@torch.no_grad()
def targets_order(logits, center, temperature, momentum=0.9):
    return _next(logits, center, momentum), ((logits - center) / temperature).softmax(dim=1)


def targets_gradient(logits, center, temperature, momentum=0.9):
    return ((logits - center) / temperature).softmax(dim=1), _next(logits, center, momentum)


def targets_center_gradient(logits, center, temperature, momentum=0.9):
    return ((logits - center) / temperature).softmax(dim=1).detach(), _next(logits, center, momentum)


# 3.14 --------------------------------------------------------------------------------------------------------------
def check_gram(answer, draw):
    cases = [(_patches(draw, count, 5), _patches(draw, count, 5)) for count in (6, 7)]
    # Both are asked about before either is judged: one number alone may be that of two mistakes.
    losses = [answer(*case) for case in cases]
    for case, got in zip(cases, losses, strict=True):
        expect_close(got, _gram_distance(*case), f"The loss for {case[0].shape[1]} patches")
    patches, anchor = _patches(draw, 6, 5), _patches(draw, 6, 8)
    expect_close(answer(patches, anchor), _gram_distance(patches, anchor), "The loss for an anchor of another width")
    to_patches, to_anchor = answer.grad((patches, anchor), wrt=(0, 1))
    expect_gradient(to_patches, "the patches")
    expect_true(to_anchor is None, "A gradient reaches the anchor: it should stay what it is.")


def _patches(draw, count, width):
    return (draw.normal(3, count, width) + 1) * draw.uniform(3, count, 1, low=0.5, high=3.0)


def _gram_distance(patches, anchor):
    ours, theirs = (F.cosine_similarity(x[:, :, None], x[:, None], dim=3) for x in (patches, anchor))
    return (ours - theirs).square().mean()


def _gram(patches, dim=-1):
    unit = F.normalize(patches, dim=dim)
    return unit @ unit.transpose(1, 2)


def gram_not_normalised(patches, anchor):
    return F.mse_loss(patches @ patches.transpose(1, 2), (anchor @ anchor.transpose(1, 2)).detach())


def gram_over_patches(patches, anchor):
    return F.mse_loss(_gram(patches, dim=1), _gram(anchor, dim=1).detach())


def gram_of_features(patches, anchor):
    ours, theirs = F.normalize(patches, dim=-1), F.normalize(anchor, dim=-1).detach()
    return (ours.transpose(1, 2) @ ours - theirs.transpose(1, 2) @ theirs).square().mean()


def gram_direct(patches, anchor):
    return (F.normalize(patches, dim=-1) - F.normalize(anchor, dim=-1).detach()).square().mean()


def gram_each_its_own(patches, anchor):
    return 1 - F.cosine_similarity(patches, anchor.detach(), dim=-1).mean()


def gram_across(patches, anchor):
    ours, theirs = F.normalize(patches.flatten(0, 1), dim=-1), F.normalize(anchor.flatten(0, 1), dim=-1).detach()
    return F.mse_loss(ours @ ours.T, theirs @ theirs.T)


def gram_summed(patches, anchor):
    return F.mse_loss(_gram(patches), _gram(anchor).detach(), reduction="sum")


def gram_absolute(patches, anchor):
    return F.l1_loss(_gram(patches), _gram(anchor).detach())


def gram_root(patches, anchor):
    return F.mse_loss(_gram(patches), _gram(anchor).detach()).sqrt()


def gram_gradient_leaks(patches, anchor):
    return F.mse_loss(_gram(patches), _gram(anchor))


def gram_wrong_side(patches, anchor):
    return F.mse_loss(_gram(patches).detach(), _gram(anchor))


@torch.no_grad()
def gram_no_graph(patches, anchor):
    return F.mse_loss(_gram(patches), _gram(anchor))


EXERCISES = (
    Exercise(
        id="3.13",
        notebook="03",
        title="Centre and sharpen",
        level="I",
        minutes=8,
        points=3,
        hints=(
            "Subtract the center from each row, divide by the temperature, then a softmax over the K prototypes.",
            "The next center is a running mean of the logits as they came: "
            "`momentum * center + (1 - momentum) * logits.mean(dim=0)`.",
            "`@torch.no_grad()` above the function, or `detach` on what it returns.",
        ),
        reference=_REFERENCE + "centred_targets",
        check=check_targets,
        mistakes=(
            Mistake(targets_not_centred, "The center was not subtracted: one prototype could win for every picture."),
            Mistake(targets_center_added, "The center was added; subtract what all pictures get on the mean."),
            Mistake(targets_center_after, "Subtract the center first, then divide by the temperature."),
            Mistake(targets_next_center_used, "These targets use the next center already; subtract the one passed in."),
            Mistake(
                targets_batch_center, "The mean of this batch was subtracted; the running center is what was passed in."
            ),
            Mistake(targets_no_temperature, "The temperature is missing: nothing sharpens the targets."),
            Mistake(targets_multiplied, "Multiplied by the temperature, which makes targets flat; divide."),
            Mistake(targets_over_batch, "The softmax runs over the pictures (dim 0); each row should sum to 1."),
            Mistake(
                targets_momentum_swapped, "The next center's weights are swapped: `momentum` is the old center's share."
            ),
            Mistake(
                targets_center_of_centred, "The next center averages logits that were centred; take them as they came."
            ),
            Mistake(targets_center_of_targets, "The next center averages the targets; it is a mean of the logits."),
            Mistake(targets_no_memory, "The next center is this batch's mean; it should move there slowly."),
            Mistake(targets_order, "The targets come first, then the next center."),
            Mistake(targets_gradient, "A gradient reaches the teacher: compute the targets in `torch.no_grad()`."),
            Mistake(targets_center_gradient, "The targets are detached, but the next center holds on to the graph."),
        ),
    ),
    Exercise(
        id="3.14",
        notebook="03",
        title="Who resembles whom",
        level="A",
        minutes=8,
        points=3,
        hints=(
            "Unit length for each patch; then `unit @ unit.transpose(1, 2)` holds all cosines within a picture.",
            "Both Gram matrices are (B, N, N), whatever the widths: their difference squared, and the mean of that.",
            "`.detach()` on the anchor's side.",
        ),
        reference=_REFERENCE + "gram_loss",
        check=check_gram,
        mistakes=(
            Mistake(gram_not_normalised, "The patches were not normalised: long ones outweigh the others."),
            Mistake(gram_over_patches, "Normalised over the patches (dim 1); each patch has length one."),
            Mistake(
                gram_of_features,
                "This is (D, D), feature against feature; patch against patch is (N, N) for any width.",
            ),
            Mistake(
                gram_direct, "The features were compared themselves: a rotation of all of them should cost nothing."
            ),
            Mistake(
                gram_each_its_own,
                "Each patch was compared with its own anchor; compare how patches resemble each other.",
            ),
            Mistake(gram_across, "Patches of different pictures were compared; each picture has its own matrix."),
            Mistake(gram_summed, "The squares were summed; take their mean."),
            Mistake(gram_absolute, "These are absolute differences; square them."),
            Mistake(gram_root, "A root was taken at the end; the mean of the squares is wanted."),
            Mistake(gram_gradient_leaks, "A gradient reaches the anchor, which should stay what it is: `detach` it."),
            Mistake(gram_wrong_side, "The student's matrix was detached; the anchor's should be."),
            Mistake(gram_no_graph, "The loss was computed without a graph: the student gets no gradient."),
        ),
    ),
)
