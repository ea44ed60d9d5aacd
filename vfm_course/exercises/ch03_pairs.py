"""Notebook 03, language as the target, with a sigmoid: 3.6 and 3.7."""

from __future__ import annotations

import torch
from torch.nn import functional as F

from vfm_course.exercises.ch03_language import embeds
from vfm_course.exercises.ch03_pixels import expect_gradient
from vfm_course.exercises.judge import expect_close, expect_finite, expect_shape
from vfm_course.exercises.record import Exercise, Mistake

_REFERENCE = "vfm_course.solutions.ch03_objectives:"


def _pair_losses(images, texts, scale, bias, own):
    """The loss of every pair (M, K); -log sigmoid(z) is softplus(-z)."""
    logits = scale * F.cosine_similarity(images[:, None], texts[None], dim=2) + bias
    sign = 2 * torch.eye(*logits.shape) - 1 if own else -torch.ones_like(logits)
    return F.softplus(-sign * logits)


# 3.6 ---------------------------------------------------------------------------------------------------------------
def check_siglip(answer, draw):
    images, texts = embeds(draw, 5), embeds(draw, 5)
    scale, bias = draw.uniform(1, low=3.0, high=8.0)[0], draw.uniform(1, low=-4.0, high=-2.0)[0]
    texts[1] = 2 * images[0]  # a pair that does not belong together and looks as if it did
    for factor, what in ((scale, ""), (torch.tensor(300.0), " with logits in the hundreds")):
        got = answer(images, texts, factor, bias)
        expect_shape(got, (), f"The loss{what}")
        expect_finite(got, f"The loss{what}")
        want = _pair_losses(images, texts, factor, bias, own=True).sum() / 5
        expect_close(got, want, f"The loss{what}")
    grads = answer.grad((images, texts, scale, bias), wrt=(0, 1, 2, 3))
    for grad, what in zip(grads, ("the images", "the texts", "`logit_scale`", "`logit_bias`"), strict=True):
        expect_gradient(grad, what)


def _cosines(images, texts):
    return F.normalize(images, dim=1) @ F.normalize(texts, dim=1).T


def _sign(logits):
    return 2 * torch.eye(len(logits)) - 1


def _summed(logits):
    return -F.logsigmoid(_sign(logits) * logits).sum()


def siglip_mean(image_embeds, text_embeds, logit_scale, logit_bias):
    logits = logit_scale * _cosines(image_embeds, text_embeds) + logit_bias
    return -F.logsigmoid(_sign(logits) * logits).mean()


def siglip_sum(image_embeds, text_embeds, logit_scale, logit_bias):
    return _summed(logit_scale * _cosines(image_embeds, text_embeds) + logit_bias)


def siglip_all_positive(image_embeds, text_embeds, logit_scale, logit_bias):
    logits = logit_scale * _cosines(image_embeds, text_embeds) + logit_bias
    return -F.logsigmoid(logits).sum() / len(logits)


def siglip_own_only(image_embeds, text_embeds, logit_scale, logit_bias):
    logits = logit_scale * _cosines(image_embeds, text_embeds) + logit_bias
    return -F.logsigmoid(logits.diagonal()).mean()


def siglip_inverted(image_embeds, text_embeds, logit_scale, logit_bias):
    logits = logit_scale * _cosines(image_embeds, text_embeds) + logit_bias
    return -F.logsigmoid(-_sign(logits) * logits).sum() / len(logits)


def siglip_zero_one(image_embeds, text_embeds, logit_scale, logit_bias):
    logits = logit_scale * _cosines(image_embeds, text_embeds) + logit_bias
    return -F.logsigmoid(torch.eye(len(logits)) * logits).sum() / len(logits)


def siglip_not_normalised(image_embeds, text_embeds, logit_scale, logit_bias):
    return _summed(logit_scale * image_embeds @ text_embeds.T + logit_bias) / len(image_embeds)


def siglip_no_bias(image_embeds, text_embeds, logit_scale, logit_bias):
    return _summed(logit_scale * _cosines(image_embeds, text_embeds)) / len(image_embeds)


def siglip_bias_subtracted(image_embeds, text_embeds, logit_scale, logit_bias):
    return _summed(logit_scale * _cosines(image_embeds, text_embeds) - logit_bias) / len(image_embeds)


def siglip_bias_scaled(image_embeds, text_embeds, logit_scale, logit_bias):
    return _summed(logit_scale * (_cosines(image_embeds, text_embeds) + logit_bias)) / len(image_embeds)


def siglip_softmax(image_embeds, text_embeds, logit_scale, logit_bias):
    logits = logit_scale * _cosines(image_embeds, text_embeds) + logit_bias
    own = torch.arange(len(logits))
    return (F.cross_entropy(logits, own) + F.cross_entropy(logits.T, own)) / 2


def siglip_overflows(image_embeds, text_embeds, logit_scale, logit_bias):
    logits = logit_scale * _cosines(image_embeds, text_embeds) + logit_bias
    return -(_sign(logits) * logits).sigmoid().log().sum() / len(logits)


def siglip_cut_off(image_embeds, text_embeds, logit_scale, logit_bias):
    logits = logit_scale * _cosines(image_embeds, text_embeds) + logit_bias
    return F.binary_cross_entropy(logits.sigmoid(), torch.eye(len(logits)), reduction="sum") / len(logits)


def siglip_fixed_numbers(image_embeds, text_embeds, logit_scale, logit_bias):
    return _summed(logit_scale.item() * _cosines(image_embeds, text_embeds) + logit_bias.item()) / len(image_embeds)


# 3.7 ---------------------------------------------------------------------------------------------------------------
def check_chunk(answer, draw):
    scale, bias = draw.uniform(1, low=3.0, high=8.0)[0], draw.uniform(1, low=-4.0, high=-2.0)[0]
    images, texts = embeds(draw, 4), embeds(draw, 4)
    # Both are asked for before either is judged: `own` may be ignored, or read the wrong way round.
    got = {own: answer(images, texts, scale, bias, own) for own in (True, False)}
    for own, value in got.items():
        want = _pair_losses(images, texts, scale, bias, own).sum()
        expect_close(value, want, f"The sum of a 4 x 4 block with own={own}")
    images, texts = embeds(draw, 3), embeds(draw, 5)
    got = answer(images, texts, scale, bias, False)
    expect_close(got, _pair_losses(images, texts, scale, bias, False).sum(), "The sum of a 3 x 5 block")
    expect_gradient(answer.grad((images, texts, scale, bias, False))[0], "the images")


def chunk_always_own(image_embeds, text_embeds, logit_scale, logit_bias, own):
    logits = logit_scale * _cosines(image_embeds, text_embeds) + logit_bias
    return -F.logsigmoid((2 * torch.eye(*logits.shape) - 1) * logits).sum()


def chunk_never_own(image_embeds, text_embeds, logit_scale, logit_bias, own):
    return -F.logsigmoid(-logit_scale * _cosines(image_embeds, text_embeds) - logit_bias).sum()


def chunk_all_own(image_embeds, text_embeds, logit_scale, logit_bias, own):
    logits = logit_scale * _cosines(image_embeds, text_embeds) + logit_bias
    return -F.logsigmoid(logits if own else -logits).sum()


def chunk_reversed(image_embeds, text_embeds, logit_scale, logit_bias, own):
    return chunk_whole(image_embeds, text_embeds, logit_scale, logit_bias, not own)


def chunk_whole(image_embeds, text_embeds, logit_scale, logit_bias, own):
    right = chunk_always_own if own else chunk_never_own
    return right(image_embeds, text_embeds, logit_scale, logit_bias, own)


def chunk_by_rows(image_embeds, text_embeds, logit_scale, logit_bias, own):
    return chunk_whole(image_embeds, text_embeds, logit_scale, logit_bias, own) / len(image_embeds)


def chunk_mean(image_embeds, text_embeds, logit_scale, logit_bias, own):
    count = len(image_embeds) * len(text_embeds)
    return chunk_whole(image_embeds, text_embeds, logit_scale, logit_bias, own) / count


def chunk_not_normalised(image_embeds, text_embeds, logit_scale, logit_bias, own):
    logits = logit_scale * image_embeds @ text_embeds.T + logit_bias
    return -F.logsigmoid((2 * torch.eye(*logits.shape) - 1) * logits if own else -logits).sum()


def chunk_other_pairs_left_out(image_embeds, text_embeds, logit_scale, logit_bias, own):
    logits = logit_scale * _cosines(image_embeds, text_embeds) + logit_bias
    return -F.logsigmoid(logits.diagonal() if own else -logits).sum()


def chunk_square(image_embeds, text_embeds, logit_scale, logit_bias, own):
    logits = logit_scale * _cosines(image_embeds, text_embeds) + logit_bias
    eye = torch.eye(len(image_embeds)) if own else torch.zeros(len(image_embeds), len(image_embeds))
    return -F.logsigmoid((2 * eye - 1) * logits).sum()


EXERCISES = (
    Exercise(
        id="3.6",
        notebook="03",
        title="SigLIP: a yes or a no for each pair",
        level="I",
        minutes=8,
        points=3,
        hints=(
            "The logits are the scaled cosines plus the bias, (B, B). On the diagonal the answer should be yes.",
            "With `sign = 2 * torch.eye(B) - 1` each pair's loss is `-logsigmoid(sign * logits)`.",
            "Sum over all B * B pairs and divide by B. `logsigmoid` stays finite where `sigmoid` becomes 0.",
        ),
        reference=_REFERENCE + "siglip_loss",
        check=check_siglip,
        mistakes=(
            Mistake(siglip_mean, "This is the mean over all B * B pairs; the sum is divided by B only."),
            Mistake(siglip_sum, "The sum over all pairs is still to be divided by B."),
            Mistake(siglip_all_positive, "Every pair was taken to belong together; only the diagonal does."),
            Mistake(siglip_own_only, "Only pairs that belong together count here; the others are to be told apart."),
            Mistake(siglip_inverted, "The sign is reversed: +1 where a pair belongs together, -1 elsewhere."),
            Mistake(siglip_zero_one, "Pairs that do not belong together have the sign -1, not 0."),
            Mistake(siglip_not_normalised, "The embeddings were not normalised: long ones win whatever they show."),
            Mistake(siglip_no_bias, "The bias is missing: at the start nearly every pair would be a wrong yes."),
            Mistake(siglip_bias_subtracted, "The bias was subtracted; it is negative itself, so add it."),
            Mistake(siglip_bias_scaled, "The bias was multiplied by the scale; it is added after that."),
            Mistake(siglip_softmax, "This is CLIP's softmax; here each pair is a question of its own."),
            Mistake(
                siglip_overflows,
                "For a large logit `sigmoid` is 0 and its logarithm infinite: use `logsigmoid` on the logits.",
            ),
            Mistake(
                siglip_cut_off,
                "`binary_cross_entropy` cuts each loss off at 100: give the logits to `logsigmoid`, or to "
                "`binary_cross_entropy_with_logits`.",
            ),
            Mistake(siglip_fixed_numbers, "Scale and bias were turned into plain numbers: they can no longer learn."),
        ),
    ),
    Exercise(
        id="3.7",
        notebook="03",
        title="A batch in blocks",
        level="A",
        minutes=10,
        points=3,
        hints=(
            "A pair's loss needs no other pair: the table of B * B losses can be cut anywhere.",
            "The signs are those of 3.6 when `own` is True; otherwise they are all -1, and a block need not be square.",
            "Return the sum: only who adds up the blocks knows B.",
        ),
        reference=_REFERENCE + "siglip_chunk",
        check=check_chunk,
        mistakes=(
            Mistake(chunk_always_own, "The diagonal of each block was taken to belong together; `own` says whether."),
            Mistake(chunk_never_own, "No pair was taken to belong together; where `own` is True the diagonal does."),
            Mistake(chunk_all_own, "Where `own` is True all pairs were taken to belong together; the diagonal does."),
            Mistake(chunk_reversed, "`own` was read the wrong way round."),
            Mistake(chunk_by_rows, "Divided by the block's rows: the blocks could not be added up. Return the sum."),
            Mistake(chunk_mean, "This is the mean over the block; blocks of different size need the sum."),
            Mistake(chunk_not_normalised, "The embeddings were not normalised."),
            Mistake(
                chunk_other_pairs_left_out,
                "Where `own` is True the pairs off the diagonal count too, with a sign of -1.",
            ),
            Mistake(chunk_square, "The table of signs is square, but a block has M rows and K columns."),
        ),
    ),
)
