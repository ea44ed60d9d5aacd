"""Notebook 05, what a VLM reads and what it learns from: 5.9 and 5.10."""

from __future__ import annotations

import torch

from vfm_course.exercises.ch03_pixels import expect_gradient
from vfm_course.exercises.judge import expect_close, expect_equal, expect_true
from vfm_course.exercises.record import Exercise, Mistake

_REFERENCE = "vfm_course.solutions.ch05_vqa:"


# 5.9 ---------------------------------------------------------------------------------------------------------------
def check_place(answer, draw):
    length, count, image_id = 7, 3, draw.integer(40, 50)
    input_ids = draw.integers(1, 40, 2, length)
    first = draw.integer(1, 3)  # a run of places, as in a prompt, and places apart, as when lines of an image are cut
    rows = [[first, first + 1, first + 2], [first - 1, first + 2, first + 4]]
    for row, places in enumerate(rows):
        input_ids[row, places] = image_id
    embeds, visual = draw.normal(2, length, 4), draw.normal(2, count, 4)
    want = embeds.clone()
    for row, places in enumerate(rows):
        for token, place in enumerate(places):
            want[row, place] = visual[row, token]
    args = (embeds, input_ids, visual, image_id)
    expect_close(answer(*args), want, "The embeddings with the visual tokens in their places")
    of_text, of_visual = answer.grad(args, wrt=(0, 2))
    expect_gradient(of_visual, "the visual tokens")
    expect_close(of_visual, torch.ones_like(visual), "The gradient of the visual tokens")
    expect_gradient(of_text, "the word embeddings")
    text = (input_ids != image_id).float()[..., None].expand_as(embeds)
    expect_close(of_text, text, "The gradient of the word embeddings")
    # What is raised comes last: two right answers may use different words.
    for what, ids, tokens in (
        ("a row has fewer image tokens than visual tokens", input_ids, torch.cat([visual, visual[:, :1]], dim=1)),
        ("a row has more image tokens than visual tokens", input_ids, visual[:, :2]),
        ("one row has a place too many and another one too few", _moved(input_ids, rows, image_id), visual),
    ):
        error = answer.error(embeds, ids, tokens, image_id)
        expect_true(error is not None, f"There should be a ValueError where {what}; nothing was raised.")
        expect_true(error.type_name == "ValueError", f"There should be a ValueError where {what}; {_then(error)}.")


def _then(error):
    return f"it was {error.type_name}{': ' if error.message else ''}{error.message}".rstrip(".")


def _moved(input_ids, rows, image_id):
    """As many image tokens in the batch, but one of the first row is in the second."""
    moved = input_ids.clone()
    moved[0, rows[0][0]] = 1
    moved[1, next(place for place in range(input_ids.shape[1]) if place not in rows[1])] = image_id
    return moved


def _checked(input_ids, visual, image_token_id):
    """The places of the image, with the right error."""
    places = input_ids == image_token_id
    if not (places.sum(dim=1) == visual.shape[1]).all():
        raise ValueError
    return places


def place_in_place(embeds, input_ids, visual, image_token_id):
    embeds[_checked(input_ids, visual, image_token_id)] = visual.flatten(0, 1)
    return embeds


def place_in_front(embeds, input_ids, visual, image_token_id):
    _checked(input_ids, visual, image_token_id)
    return torch.cat([visual, embeds[:, visual.shape[1] :]], dim=1)


def place_one_block(embeds, input_ids, visual, image_token_id):
    first = _checked(input_ids, visual, image_token_id).int().argmax(dim=1)
    filled = embeds.clone()
    for row, start in enumerate(first.tolist()):
        filled[row, start : start + visual.shape[1]] = visual[row]
    return filled


def place_longer(embeds, input_ids, visual, image_token_id):
    _checked(input_ids, visual, image_token_id)
    return torch.cat([visual, embeds], dim=1)


def place_added(embeds, input_ids, visual, image_token_id):
    places = _checked(input_ids, visual, image_token_id)
    filled = embeds.clone()
    filled[places] += visual.flatten(0, 1)
    return filled


def place_mean(embeds, input_ids, visual, image_token_id):
    places = _checked(input_ids, visual, image_token_id)
    return torch.where(places[..., None], visual.mean(dim=1, keepdim=True), embeds)


def place_first_token(embeds, input_ids, visual, image_token_id):
    places = _checked(input_ids, visual, image_token_id)
    return torch.where(places[..., None], visual[:, :1], embeds)


def place_first_image(embeds, input_ids, visual, image_token_id):
    places = _checked(input_ids, visual, image_token_id)
    filled = embeds.clone()
    filled[places] = visual[:1].expand_as(visual).flatten(0, 1)
    return filled


def place_mixed(embeds, input_ids, visual, image_token_id):
    places = _checked(input_ids, visual, image_token_id)
    filled = embeds.clone()
    filled[places] = visual.transpose(0, 1).flatten(0, 1)
    return filled


def place_detached(embeds, input_ids, visual, image_token_id):
    places = _checked(input_ids, visual, image_token_id)
    filled = embeds.clone()
    filled[places] = visual.detach().flatten(0, 1)
    return filled


def place_no_error(embeds, input_ids, visual, image_token_id):
    places = input_ids == image_token_id
    filled = embeds.clone()
    filled[places] = visual.flatten(0, 1)
    return filled


def place_scattered(embeds, input_ids, visual, image_token_id):
    places = input_ids == image_token_id
    return embeds.masked_scatter(places[..., None], visual)


def place_cut_off(embeds, input_ids, visual, image_token_id):
    filled = embeds.clone()
    for row, ids in enumerate(input_ids):
        places = (ids == image_token_id).nonzero()[:, 0][: visual.shape[1]]
        filled[row, places] = visual[row, : len(places)]
    return filled


def place_counted_together(embeds, input_ids, visual, image_token_id):
    places = input_ids == image_token_id
    if places.sum() != visual.shape[0] * visual.shape[1]:
        raise ValueError(f"{places.sum()} image tokens and {visual.shape[0] * visual.shape[1]} visual tokens")
    return embeds.masked_scatter(places[..., None], visual)


# 5.10 --------------------------------------------------------------------------------------------------------------
def check_labels(answer, draw):
    length, end = 9, 2
    sizes = draw.pick([(4, 5), *draw.pick([(2, 2), (3, 3), (5, 2)], 2)], 3)  # prompts, answers with their end token
    input_ids, want = torch.full((3, length), end), torch.full((3, length), -100)  # padding looks like the end token
    for row, (prompt, reply) in enumerate(sizes):
        input_ids[row, : prompt + reply - 1] = 3 + draw.permutation(60)[: prompt + reply - 1]
        want[row, prompt : prompt + reply] = input_ids[row, prompt : prompt + reply]
    lengths = torch.tensor([prompt for prompt, _ in sizes])
    mask = torch.arange(length) < torch.tensor([[sum(each)] for each in sizes])
    expect_equal(answer(input_ids, lengths, mask), want, "The labels (rows, places)")


def _labels(input_ids, prompt_lengths, mask, ignored=-100, shift=0):
    place = torch.arange(input_ids.shape[1])
    return input_ids.masked_fill(~((place >= prompt_lengths[:, None] + shift) & mask), ignored)


def labels_padding(input_ids, prompt_lengths, mask):
    return _labels(input_ids, prompt_lengths, torch.ones_like(mask))


def labels_prompt_too(input_ids, prompt_lengths, mask):
    return input_ids.masked_fill(~mask, -100)


def labels_everything(input_ids, prompt_lengths, mask):
    return input_ids.clone()


def labels_no_end(input_ids, prompt_lengths, mask):
    place = torch.arange(input_ids.shape[1])
    return _labels(input_ids, prompt_lengths, mask & (place < mask.sum(dim=1, keepdim=True) - 1))


def labels_one_late(input_ids, prompt_lengths, mask):
    return _labels(input_ids, prompt_lengths, mask, shift=1)


def labels_one_early(input_ids, prompt_lengths, mask):
    return _labels(input_ids, prompt_lengths, mask, shift=-1)


def labels_shifted(input_ids, prompt_lengths, mask):
    labels = _labels(input_ids, prompt_lengths, mask)
    return torch.cat([labels[:, 1:], torch.full_like(labels[:, :1], -100)], dim=1)


def labels_of_the_prompt(input_ids, prompt_lengths, mask):
    place = torch.arange(input_ids.shape[1])
    return input_ids.masked_fill((place >= prompt_lengths[:, None]) | ~mask, -100)


def labels_zero(input_ids, prompt_lengths, mask):
    return _labels(input_ids, prompt_lengths, mask, ignored=0)


def labels_one_length(input_ids, prompt_lengths, mask):
    return _labels(input_ids, prompt_lengths[:1].expand_as(prompt_lengths), mask)


def labels_written_over(input_ids, prompt_lengths, mask):
    place = torch.arange(input_ids.shape[1])
    return input_ids.masked_fill_(~((place >= prompt_lengths[:, None]) & mask), -100)


EXERCISES = (
    Exercise(
        id="5.9",
        notebook="05",
        title="The image in the prompt",
        level="I",
        minutes=10,
        points=3,
        hints=(
            "`places = input_ids == image_token_id` is a mask (B, T); `places.sum(dim=1)` counts them row by row.",
            "Work on `embeds.clone()`; a mask as an index goes through the places row by row, from left to right.",
            "`visual.flatten(0, 1)` has the visual tokens in the same order, (B * V, D).",
        ),
        reference=_REFERENCE + "place_visual_tokens",
        check=check_place,
        mistakes=(
            Mistake(place_in_place, "`embeds` itself was written to; work on a clone, the caller still needs it."),
            Mistake(
                place_in_front, "The visual tokens stand in front, over the first words; the ids say where they go."
            ),
            Mistake(
                place_one_block,
                "The visual tokens stand in one block from the first place on; the places may lie apart.",
            ),
            Mistake(
                place_longer, "The sequence became longer: the prompt holds a place for each visual token already."
            ),
            Mistake(place_added, "The visual tokens were added to what stood there; they should replace it."),
            Mistake(place_mean, "Every place got the mean of the visual tokens; each gets a token of its own."),
            Mistake(place_first_token, "Every place of a row got its first visual token; they go there in order."),
            Mistake(place_first_image, "Every row got the first image; row i gets its own."),
            Mistake(
                place_mixed,
                "The images are mixed: the tokens were taken in turn from all images. Flatten without a transpose.",
            ),
            Mistake(place_detached, "The visual tokens were detached: no gradient reaches the connector."),
            Mistake(
                place_no_error,
                "The counts are not compared: where they differ, an error of indexing comes up, or none at all.",
            ),
            Mistake(
                place_scattered,
                "The counts are not compared: `masked_scatter` says nothing about visual tokens that are left over.",
            ),
            Mistake(place_cut_off, "Where the counts differ, tokens were left out without a word; raise a ValueError."),
            Mistake(
                place_counted_together,
                "The counts were compared for the batch as a whole; one row may have a place too many, another one "
                "too few.",
            ),
        ),
    ),
    Exercise(
        id="5.10",
        notebook="05",
        title="What the model learns to say",
        level="I",
        minutes=8,
        points=3,
        hints=(
            "`torch.arange(T) >= prompt_lengths[:, None]` is True behind the prompt, row by row.",
            "Learnt is what stands behind the prompt and is no padding; `masked_fill(~learnt, -100)` hides the rest.",
        ),
        reference=_REFERENCE + "answer_labels",
        check=check_labels,
        mistakes=(
            Mistake(labels_padding, "The padding is learnt too: `mask` is False there."),
            Mistake(
                labels_prompt_too,
                "The prompt is learnt too: the model would spend itself on predicting questions.",
            ),
            Mistake(labels_everything, "Everything is learnt: prompt and padding should be -100."),
            Mistake(
                labels_no_end,
                "The end token is missing: the model would never learn to stop. Padding may have the same id, so go "
                "by `mask`.",
            ),
            Mistake(labels_one_late, "The first token of the answer is missing: it stands at `prompt_lengths` itself."),
            Mistake(labels_one_early, "The last token of the prompt is learnt too: the answer begins one place later."),
            Mistake(
                labels_shifted,
                "The labels were shifted by one; the model does that itself, and would be off by two.",
            ),
            Mistake(labels_of_the_prompt, "The prompt is learnt and the answer hidden: it is the other way round."),
            Mistake(labels_zero, "Hidden places hold 0, which is a token; -100 is what the loss leaves out."),
            Mistake(labels_one_length, "All rows were cut at the first prompt's length; each has its own."),
            Mistake(labels_written_over, "`input_ids` itself was written to; the model still has to read it."),
        ),
    ),
)
