"""Notebook 04, an image between the layers of a frozen language model: 4.8 and 4.9."""

from __future__ import annotations

import torch
from torch import nn

from vfm_course.exercises.judge import expect_close, expect_equal, expect_true
from vfm_course.exercises.record import Exercise, Mistake

_REFERENCE = "vfm_course.solutions.ch04_connectors:"


# 4.8 ---------------------------------------------------------------------------------------------------------------
def check_gate(answer, draw):
    hidden, seen, alpha = draw.normal(2, 4, 3), draw.normal(2, 4, 3), draw.uniform(1, low=0.6, high=1.4)
    new, opened = answer.build(), answer.build(state={"alpha": alpha})
    # Everything is asked before anything is judged: closed and open gate together name a mistake.
    learns = new.parameters().get("alpha")
    at_first, later = new(hidden, seen), opened(hidden, seen)
    gradient = new.parameter_grads((hidden, seen)).get("alpha")
    expect_true(learns is not None and learns["requires_grad"], "`alpha` should be an `nn.Parameter` that learns.")
    expect_close(at_first, hidden, "What a new gate gives")
    expect_close(later, hidden + alpha.tanh() * seen, f"What a gate with alpha = {alpha.item():.2f} gives")
    expect_true(gradient is not None, "No gradient reaches `alpha`: the gate can never open.")
    expect_close(gradient, seen.sum().reshape(1), "The gradient of a closed gate's `alpha`", atol=1e-4)


class _Gate(nn.Module):
    def __init__(self):
        super().__init__()
        self.alpha = nn.Parameter(torch.zeros(1))


class GateNoTanh(_Gate):
    def forward(self, hidden_states, seen):
        return hidden_states + self.alpha * seen


class GateSigmoid(_Gate):
    def forward(self, hidden_states, seen):
        return hidden_states + self.alpha.sigmoid() * seen


class GateOpen(nn.Module):
    def __init__(self):
        super().__init__()
        self.alpha = nn.Parameter(torch.ones(1))

    def forward(self, hidden_states, seen):
        return hidden_states + self.alpha.tanh() * seen


class GateMixes(_Gate):
    def forward(self, hidden_states, seen):
        gate = self.alpha.tanh()
        return (1 - gate) * hidden_states + gate * seen


class GateAll(_Gate):
    def forward(self, hidden_states, seen):
        return self.alpha.tanh() * (hidden_states + seen)


class GateOnText(_Gate):
    def forward(self, hidden_states, seen):
        return self.alpha.tanh() * hidden_states + seen


class GateNoResidual(_Gate):
    def forward(self, hidden_states, seen):
        return self.alpha.tanh() * seen


class GateDetached(_Gate):
    def forward(self, hidden_states, seen):
        return hidden_states + self.alpha.detach().tanh() * seen


class GateFrozen(nn.Module):
    def __init__(self):
        super().__init__()
        self.alpha = nn.Parameter(torch.zeros(1), requires_grad=False)

    def forward(self, hidden_states, seen):
        return hidden_states + self.alpha.tanh() * seen


class GateInside(_Gate):
    def forward(self, hidden_states, seen):
        return hidden_states + (self.alpha * seen).tanh()


# 4.9 ---------------------------------------------------------------------------------------------------------------
def check_last_image(answer, draw):
    length, images, latents = 8, 3, draw.integer(2, 4)
    rows = []
    for first, count in ((1, images), (draw.integer(2, 4), images - 1)):  # the first word comes before any image
        rows.append([first, *(first + 1 + draw.permutation(length - first - 1)[: count - 1]).tolist()])
    is_image = torch.tensor([[place in row for place in range(length)] for row in rows])
    want = torch.zeros(2, length, images * latents, dtype=torch.bool)
    for i in range(2):
        number = 0
        for place in range(length):
            number += int(is_image[i, place])
            want[i, place, max(0, number - 1) * latents : number * latents] = True
    expect_equal(answer(is_image, images, latents), want, "The mask, words by visual tokens")


def _image_of(images, latents):
    """The number of the image that each visual token belongs to, from 1."""
    return torch.arange(images * latents) // latents + 1


def last_all_before(is_image, images, latents):
    return is_image.cumsum(dim=1)[..., None] >= _image_of(images, latents)


def last_first(is_image, images, latents):
    return is_image.cumsum(dim=1).clamp(max=1)[..., None] == _image_of(images, latents)


def last_not_its_own(is_image, images, latents):
    return (is_image.cumsum(dim=1) - is_image.long())[..., None] == _image_of(images, latents)


def last_interleaved(is_image, images, latents):
    return is_image.cumsum(dim=1)[..., None] == torch.arange(1, images + 1).repeat(latents)


def last_from_zero(is_image, images, latents):
    return is_image.cumsum(dim=1)[..., None] == _image_of(images, latents) - 1


def last_never_blind(is_image, images, latents):
    return is_image.cumsum(dim=1).clamp(min=1)[..., None] == _image_of(images, latents)


def last_places_only(is_image, images, latents):
    return (is_image.cumsum(dim=1) * is_image)[..., None] == _image_of(images, latents)


def last_per_image(is_image, images, latents):
    return is_image.cumsum(dim=1)[..., None] == torch.arange(1, images + 1)


def last_next(is_image, images, latents):
    return (is_image.cumsum(dim=1) - is_image.long())[..., None] == _image_of(images, latents) - 1


EXERCISES = (
    Exercise(
        id="4.8",
        notebook="04",
        title="A gate that begins closed",
        level="B",
        minutes=6,
        points=2,
        hints=(
            "One parameter: `self.alpha = nn.Parameter(torch.zeros(1))`.",
            "The language model's `hidden_states` pass whole; what was seen is added, times `self.alpha.tanh()`.",
        ),
        reference=_REFERENCE + "Gate",
        check=check_gate,
        mistakes=(
            Mistake(GateNoTanh, "`alpha` multiplies as it is; its tanh should, which stays between -1 and 1."),
            Mistake(
                GateSigmoid,
                "The sigmoid of 0 is one half: the gate begins half open, and the language model is not what it was.",
            ),
            Mistake(GateOpen, "`alpha` begins at 1: the gate is open before anything was learnt. Begin at 0."),
            Mistake(
                GateMixes,
                "The gate takes away from the text what it adds of the image; `hidden_states` should stay whole.",
            ),
            Mistake(GateAll, "The gate is on the sum: closed, it lets nothing of the language model through."),
            Mistake(GateOnText, "The gate is on the text; it belongs on what was seen."),
            Mistake(GateNoResidual, "`hidden_states` is missing: closed, the gate gives zeros."),
            Mistake(GateDetached, "`alpha` was detached: no gradient reaches it, and the gate stays closed for ever."),
            Mistake(GateFrozen, "`alpha` does not require a gradient: the gate stays closed for ever."),
            Mistake(GateInside, "The tanh is around `alpha * seen`; it belongs around `alpha` alone."),
        ),
        kind="class",
    ),
    Exercise(
        id="4.9",
        notebook="04",
        title="The last image before a word",
        level="A",
        minutes=8,
        points=3,
        hints=(
            "`is_image.cumsum(dim=1)` is the number of the last image, 0 before the first.",
            "Number the visual tokens by image: `torch.arange(1, images + 1).repeat_interleave(latents)`.",
        ),
        reference=_REFERENCE + "last_image_mask",
        check=check_last_image,
        mistakes=(
            Mistake(last_all_before, "Words look at all images before them; in Flamingo they look at the last one."),
            Mistake(last_first, "All words after the first image look at that one; the last before them is wanted."),
            Mistake(last_not_its_own, "The place of an image looks at the image before; it should look at its own."),
            Mistake(last_interleaved, "Visual tokens of an image stand together: `repeat_interleave`, not `repeat`."),
            Mistake(
                last_from_zero,
                "Words look at the image after the one they should: where `cumsum` is 1, the first image is meant.",
            ),
            Mistake(last_never_blind, "Words before the first image look at it, though it comes later."),
            Mistake(last_places_only, "Only the places of images look at anything; the words after them do too."),
            Mistake(
                last_per_image,
                "There is one column for each image; each visual token needs one, `latents` of them an image.",
            ),
            Mistake(last_next, "Words look at the next image; the last one before them is wanted."),
        ),
    ),
)
