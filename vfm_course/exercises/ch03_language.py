"""Notebook 03, language as the target, with a softmax: 3.4 and 3.5."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F

from vfm_course.exercises.ch03_pixels import expect_gradient
from vfm_course.exercises.judge import expect_close, expect_true
from vfm_course.exercises.record import Exercise, Mistake

_REFERENCE = "vfm_course.solutions.ch03_objectives:"


# 3.4 ---------------------------------------------------------------------------------------------------------------
def check_clip(answer, draw):
    batches = [(embeds(draw, count), embeds(draw, count)) for count in (5, 7)]
    scale = draw.uniform(1, low=3.0, high=8.0)[0]
    # Both batches are asked about before either is judged: one number alone may be that of two mistakes.
    losses = [answer(images, texts, scale) for images, texts in batches]
    for (images, texts), got in zip(batches, losses, strict=True):
        logits = scale * F.cosine_similarity(images[:, None], texts[None], dim=2)
        want = -(logits.log_softmax(dim=1) + logits.log_softmax(dim=0)).diagonal().mean() / 2
        expect_close(got, want, f"The loss of {len(images)} pairs")
    grads = answer.grad((images, texts, scale), wrt=(0, 1, 2))
    for grad, what in zip(grads, ("the images", "the texts", "`logit_scale`"), strict=True):
        expect_gradient(grad, what)


def embeds(draw, count):
    """Embeddings (count, 4) of different lengths."""
    return draw.normal(count, 4) * draw.uniform(count, 1, low=0.5, high=3.0)


def _cosines(images, texts):
    return F.normalize(images, dim=1) @ F.normalize(texts, dim=1).T


def _both_ways(logits, reduction="mean"):
    own = torch.arange(len(logits))
    return F.cross_entropy(logits, own, reduction=reduction) + F.cross_entropy(logits.T, own, reduction=reduction)


def clip_to_text(image_embeds, text_embeds, logit_scale):
    return F.cross_entropy(logit_scale * _cosines(image_embeds, text_embeds), torch.arange(len(image_embeds)))


def clip_to_image(image_embeds, text_embeds, logit_scale):
    return F.cross_entropy(logit_scale * _cosines(text_embeds, image_embeds), torch.arange(len(image_embeds)))


def clip_not_normalised(image_embeds, text_embeds, logit_scale):
    return _both_ways(logit_scale * image_embeds @ text_embeds.T) / 2


def clip_over_batch(image_embeds, text_embeds, logit_scale):
    return _both_ways(logit_scale * F.normalize(image_embeds, dim=0) @ F.normalize(text_embeds, dim=0).T) / 2


def clip_divided(image_embeds, text_embeds, logit_scale):
    return _both_ways(_cosines(image_embeds, text_embeds) / logit_scale) / 2


def clip_no_scale(image_embeds, text_embeds, logit_scale):
    return _both_ways(_cosines(image_embeds, text_embeds)) / 2


def clip_exp(image_embeds, text_embeds, logit_scale):
    return _both_ways(logit_scale.exp() * _cosines(image_embeds, text_embeds)) / 2


def clip_summed(image_embeds, text_embeds, logit_scale):
    return _both_ways(logit_scale * _cosines(image_embeds, text_embeds), "sum") / 2


def clip_not_halved(image_embeds, text_embeds, logit_scale):
    return _both_ways(logit_scale * _cosines(image_embeds, text_embeds))


def clip_two_softmaxes(image_embeds, text_embeds, logit_scale):
    logits = logit_scale * _cosines(image_embeds, text_embeds)
    own = torch.arange(len(logits))
    return (F.cross_entropy(logits.softmax(dim=1), own) + F.cross_entropy(logits.T.softmax(dim=1), own)) / 2


def clip_no_negatives(image_embeds, text_embeds, logit_scale):
    return -(logit_scale * _cosines(image_embeds, text_embeds)).diagonal().mean()


def clip_fixed_scale(image_embeds, text_embeds, logit_scale):
    return _both_ways(logit_scale.item() * _cosines(image_embeds, text_embeds)) / 2


@torch.no_grad()
def clip_no_graph(image_embeds, text_embeds, logit_scale):
    return _both_ways(logit_scale * _cosines(image_embeds, text_embeds)) / 2


# 3.5 ---------------------------------------------------------------------------------------------------------------
def check_temperature(answer, draw):
    factor, start = draw.uniform(1, low=20.0, high=60.0)[0], torch.tensor(1 / 0.07)
    fresh, other = answer.build(), answer.build(state={"logit_scale": factor.log()})
    # Both are asked for before either is judged: only together do they tell some of the mistakes apart.
    begins, later = fresh(), other()
    expect_close(begins, start, "The factor of a new module", atol=1e-3)
    expect_close(later, factor, f"The factor once `logit_scale` is {factor.log().item():.4g}", atol=1e-3)
    learns = fresh.parameters().get("logit_scale", {"requires_grad": False})["requires_grad"]
    expect_true(learns is True, "`logit_scale` should be an `nn.Parameter` that requires a gradient.")
    grad = fresh.parameter_grads(())["logit_scale"]
    expect_gradient(grad, "`logit_scale`")
    expect_close(grad, start, "The gradient of the factor of a new module", atol=1e-3)
    large = answer.build(state={"logit_scale": torch.tensor(5.0)})
    expect_close(large(), torch.tensor(100.0), "The factor once `logit_scale` is 5, whose exponential is 148,")


class _Temperature(nn.Module):
    def __init__(self, begin=None):
        super().__init__()
        self.logit_scale = nn.Parameter(torch.tensor(1 / 0.07).log() if begin is None else begin)

    def forward(self):
        return self.logit_scale.exp().clamp(max=100)


class TemperatureBuffer(_Temperature):
    def __init__(self):
        nn.Module.__init__(self)
        self.register_buffer("logit_scale", torch.tensor(1 / 0.07).log())


class TemperatureAttribute(_Temperature):
    def __init__(self):
        nn.Module.__init__(self)
        self.logit_scale = torch.tensor(1 / 0.07).log()


class TemperatureFrozen(_Temperature):
    def __init__(self):
        super().__init__()
        self.logit_scale.requires_grad_(False)


class TemperatureNegative(_Temperature):
    def __init__(self):
        super().__init__(torch.tensor(0.07).log())


class TemperatureZero(_Temperature):
    def __init__(self):
        super().__init__(torch.tensor(0.0))


class TemperatureIsFactor(_Temperature):
    def __init__(self):
        super().__init__(torch.tensor(1 / 0.07))

    def forward(self):
        return self.logit_scale.clamp(max=100)


class TemperatureExpOfFactor(_Temperature):
    def __init__(self):
        super().__init__(torch.tensor(1 / 0.07))


class TemperatureNoExp(_Temperature):
    def forward(self):
        return self.logit_scale.clamp(max=100)


class TemperatureInverse(_Temperature):
    def forward(self):
        return (-self.logit_scale).exp().clamp(max=100)


class TemperatureLogClamped(_Temperature):
    def forward(self):
        return self.logit_scale.clamp(max=100).exp()


class TemperatureAtLeast(_Temperature):
    def forward(self):
        return self.logit_scale.exp().clamp(min=100)


class TemperatureDetached(_Temperature):
    def forward(self):
        return self.logit_scale.detach().exp().clamp(max=100)


class TemperatureList(_Temperature):
    def __init__(self):
        super().__init__(torch.tensor([1 / 0.07]).log())


EXERCISES = (
    Exercise(
        id="3.4",
        notebook="03",
        title="CLIP's two questions",
        level="I",
        minutes=10,
        points=3,
        hints=(
            "Rows of length one on both sides; then `images @ texts.T` holds all B * B cosines. Multiply by the scale.",
            "Row i is a question with B answers, and number i is right: `cross_entropy(logits, torch.arange(B))`.",
            "The other question goes from a text to the images: the same with `logits.T`. Take the mean of the two.",
        ),
        reference=_REFERENCE + "clip_loss",
        check=check_clip,
        mistakes=(
            Mistake(
                clip_to_text, "Only image to text is asked (or that twice): text to image takes the transposed logits."
            ),
            Mistake(clip_to_image, "Only text to image is asked; image to text belongs to the loss too."),
            Mistake(clip_not_normalised, "The embeddings were not normalised: long ones win whatever they show."),
            Mistake(clip_over_batch, "Normalised over the batch (dim 0); each embedding has length one (dim 1)."),
            Mistake(clip_divided, "Divided by `logit_scale`; it is 1 / temperature already, so multiply."),
            Mistake(clip_no_scale, "`logit_scale` is missing: cosines between -1 and 1 make a nearly flat softmax."),
            Mistake(clip_exp, "`logit_scale` is the factor itself here, not its logarithm: no `exp`."),
            Mistake(clip_summed, "Summed over the batch; take the mean, or the loss grows with B."),
            Mistake(clip_not_halved, "The two directions were added; take their mean."),
            Mistake(clip_two_softmaxes, "`cross_entropy` takes logits: it has its own softmax, and two are too many."),
            Mistake(
                clip_no_negatives,
                "Only pairs that belong together count here: one vector for everything would be the best answer.",
            ),
            Mistake(
                clip_fixed_scale, "`logit_scale` was turned into a plain number: the temperature can no longer learn."
            ),
            Mistake(clip_no_graph, "The loss was computed without a graph: neither encoder gets a gradient."),
        ),
    ),
    Exercise(
        id="3.5",
        notebook="03",
        title="A temperature that learns",
        level="I",
        minutes=6,
        points=2,
        kind="class",
        hints=(
            "`nn.Parameter(torch.tensor(1 / 0.07).log())` is a scalar that an optimiser finds.",
            "`forward` takes the exponential, so that the factor is positive whatever the parameter becomes.",
            "The limit of 100 is one of the factor: `.clamp(max=100)` after `.exp()`.",
        ),
        reference=_REFERENCE + "Temperature",
        check=check_temperature,
        mistakes=(
            Mistake(TemperatureBuffer, "A buffer is saved but never learns: make it an `nn.Parameter`."),
            Mistake(
                TemperatureAttribute,
                "A plain tensor is neither saved nor learnt: make `logit_scale` an `nn.Parameter`.",
            ),
            Mistake(TemperatureFrozen, "The parameter does not require a gradient, so it would never learn."),
            Mistake(TemperatureNegative, "It begins at log(0.07), a factor of 0.07; log(1 / 0.07) is meant."),
            Mistake(TemperatureZero, "It begins at 0, a factor of 1: the softmax would be nearly flat for long."),
            Mistake(
                TemperatureIsFactor,
                "The factor itself is the parameter, which may fall below zero: store its logarithm.",
            ),
            Mistake(
                TemperatureExpOfFactor, "It begins at 1 / 0.07, but `forward` takes the exponential: begin at its log."
            ),
            Mistake(TemperatureNoExp, "`forward` returns the logarithm; the factor is its exponential."),
            Mistake(TemperatureInverse, "This is the temperature; the factor is 1 / temperature."),
            Mistake(
                TemperatureLogClamped,
                "The factor is not held at 100: limit it after `exp`; a logarithm never comes near 100.",
            ),
            Mistake(TemperatureAtLeast, "100 is the largest factor, not the smallest: `clamp(max=100)`."),
            Mistake(TemperatureDetached, "The parameter was detached in `forward`, so it would never learn."),
            Mistake(TemperatureList, "The parameter has shape (1,); it is a single number, of shape ()."),
        ),
    ),
)
