"""Notebook 04, any number of patches into a few latents: 4.7."""

from __future__ import annotations

import torch

from vfm_course.exercises.judge import expect_close
from vfm_course.exercises.record import Exercise, Mistake

_REFERENCE = "vfm_course.solutions.ch04_connectors:"


# 4.7 ---------------------------------------------------------------------------------------------------------------
def check_resample(answer, draw):
    weights = [draw.normal(5, 5) for _ in range(3)]
    cases = []
    for count in (7, 4):  # any number of patches
        latents, patches = draw.normal(2, 3, 5), draw.normal(2, count, 5)
        cases.append((latents, patches, torch.arange(count) < torch.tensor([[count], [2]])))
    # Both are asked for before either is judged: one alone may be that of two mistakes.
    answers = [answer(latents, patches, *weights, mask) for latents, patches, mask in cases]
    for (latents, patches, mask), got in zip(cases, answers, strict=True):
        rows = [_one(own, picture[real], *weights) for own, picture, real in zip(latents, patches, mask, strict=True)]
        expect_close(got, torch.stack(rows), f"The latents after {patches.shape[1]} patches")


def _one(latents, patches, w_q, w_k, w_v):
    """One picture without its padding: latents (L, D), patches (N, D)."""
    both = torch.cat([patches, latents])
    return latents + ((latents @ w_q.T) @ (both @ w_k.T).T / 5**0.5).softmax(-1) @ (both @ w_v.T)


def _found(asking, asked, w_q, w_k, w_v, seen, scale=None):
    logits = (asking @ w_q.T) @ (asked @ w_k.T).transpose(1, 2) / (scale or len(w_q) ** 0.5)
    return logits.masked_fill(~seen[:, None], -torch.inf).softmax(dim=-1) @ (asked @ w_v.T)


def _all(latents):
    return torch.ones(latents.shape[:2], dtype=torch.bool)


def _both(latents, patches, mask):
    return torch.cat([patches, latents], dim=1), torch.cat([mask, _all(latents)], dim=1)


def resample_patches_only(latents, patches, w_q, w_k, w_v, mask):
    return latents + _found(latents, patches, w_q, w_k, w_v, mask)


def resample_latents_only(latents, patches, w_q, w_k, w_v, mask):
    return latents + _found(latents, latents, w_q, w_k, w_v, _all(latents))


def resample_no_residual(latents, patches, w_q, w_k, w_v, mask):
    both, seen = _both(latents, patches, mask)
    return _found(latents, both, w_q, w_k, w_v, seen)


def resample_no_mask(latents, patches, w_q, w_k, w_v, mask):
    both, seen = _both(latents, patches, mask)
    return latents + _found(latents, both, w_q, w_k, w_v, torch.ones_like(seen))


def resample_mask_reversed(latents, patches, w_q, w_k, w_v, mask):
    both, seen = _both(latents, patches, mask)
    return latents + _found(latents, both, w_q, w_k, w_v, ~seen)


def resample_mask_at_the_wrong_end(latents, patches, w_q, w_k, w_v, mask):
    _, seen = _both(latents, patches, mask)
    return latents + _found(latents, torch.cat([latents, patches], dim=1), w_q, w_k, w_v, seen)


def resample_latents_hidden(latents, patches, w_q, w_k, w_v, mask):
    both, seen = _both(latents, patches, mask)
    seen[:, patches.shape[1] + 1 :] = False  # as when the mask gets one column of ones and zeros after it
    return latents + _found(latents, both, w_q, w_k, w_v, seen)


def resample_no_scale(latents, patches, w_q, w_k, w_v, mask):
    both, seen = _both(latents, patches, mask)
    return latents + _found(latents, both, w_q, w_k, w_v, seen, scale=1)


def resample_all_ask(latents, patches, w_q, w_k, w_v, mask):
    both, seen = _both(latents, patches, mask)
    return both + _found(both, both, w_q, w_k, w_v, seen)


def resample_values_of_keys(latents, patches, w_q, w_k, w_v, mask):
    both, seen = _both(latents, patches, mask)
    return latents + _found(latents, both, w_q, w_k, w_k, seen)


def resample_not_transposed(latents, patches, w_q, w_k, w_v, mask):
    both, seen = _both(latents, patches, mask)
    return latents + _found(latents, both, w_q.T, w_k.T, w_v.T, seen)


EXERCISES = (
    Exercise(
        id="4.7",
        notebook="04",
        title="Any number of patches, three latents",
        level="A",
        minutes=12,
        points=3,
        hints=(
            "Queries of the latents; keys and values of patches and latents side by side, `torch.cat(…, dim=1)`.",
            "The mask is about patches: continue it with True for the latents, in the same order as the keys.",
            "As in 4.3, with one head: divide the logits by root D, hide padding, softmax, values. Then add the "
            "latents.",
        ),
        reference=_REFERENCE + "resample",
        check=check_resample,
        mistakes=(
            Mistake(
                resample_patches_only,
                "Keys and values come from the patches alone; the latents look at each other in the same step.",
            ),
            Mistake(
                resample_latents_only,
                "Keys and values come from the latents alone: the image is not looked at.",
            ),
            Mistake(resample_no_residual, "The residual is missing: add what was found to the latents."),
            Mistake(resample_no_mask, "Padding is looked at: `mask` is not used."),
            Mistake(resample_mask_reversed, "What is real was hidden: True in `mask` means real."),
            Mistake(
                resample_mask_at_the_wrong_end,
                "Keys and mask are in different orders: the latents come first in one and last in the other.",
            ),
            Mistake(resample_latents_hidden, "Some latents are hidden: the mask needs a True for each of them."),
            Mistake(resample_no_scale, "The logits are not divided by root D."),
            Mistake(resample_all_ask, "The patches ask too; only latents come out."),
            Mistake(resample_values_of_keys, "The values were made with the weights of the keys."),
            Mistake(
                resample_not_transposed,
                "The weights were not transposed. They are (out, in), but square, so nothing complains.",
            ),
        ),
    ),
)
