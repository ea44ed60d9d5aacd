"""Notebook 04, how a Q-Former learns what text asks about: 4.5 and 4.6."""

from __future__ import annotations

import torch
from torch.nn import functional as F

from vfm_course.exercises.judge import expect_close, expect_equal
from vfm_course.exercises.record import Exercise, Mistake

_REFERENCE = "vfm_course.solutions.ch04_connectors:"


# 4.5 ---------------------------------------------------------------------------------------------------------------
def check_mask(answer, draw):
    queries, words = draw.integer(2, 4), draw.integer(4, 6)
    rules = {
        "contrastive": lambda i, j: (i < queries) == (j < queries),
        "matching": lambda i, j: True,
        "generation": lambda i, j: j < queries if i < queries else j <= i,
    }
    size = range(queries + words)
    # All are asked for before one is judged: a mistake shows in one task, and is named by all three.
    got = {task: answer(task, queries, words) for task in rules}
    for task, rule in rules.items():
        want = torch.tensor([[rule(i, j) for j in size] for i in size])
        expect_equal(got[task], want, f"The mask of {task} for {queries} queries and {words} words")


def _mask(task, queries, words):
    text = torch.arange(queries + words) >= queries
    if task == "contrastive":
        return text[:, None] == text
    every = torch.ones(len(text), len(text), dtype=torch.bool)
    return every if task == "matching" else torch.where(text[:, None], every.tril(), ~text)


def mask_contrastive_all(task, queries, words):
    return _mask("matching" if task == "contrastive" else task, queries, words)


def mask_matching_apart(task, queries, words):
    return _mask("contrastive" if task == "matching" else task, queries, words)


def mask_queries_read_on(task, queries, words):
    mask = _mask(task, queries, words)
    if task == "generation":
        mask[:queries] = True
    return mask


def mask_text_blind(task, queries, words):
    mask = _mask(task, queries, words)
    if task == "generation":
        mask[queries:, :queries] = False
    return mask


def mask_text_reads_on(task, queries, words):
    mask = _mask(task, queries, words)
    if task == "generation":
        mask[queries:] = True
    return mask


def mask_all_causal(task, queries, words):
    mask = _mask(task, queries, words)
    return torch.ones_like(mask).tril() if task == "generation" else mask


def mask_not_itself(task, queries, words):
    mask = _mask(task, queries, words)
    if task == "generation":
        mask[queries:, queries:] = mask[queries:, queries:].tril(-1)
    return mask


def mask_transposed(task, queries, words):
    return _mask(task, queries, words).T


def mask_hidden(task, queries, words):
    return ~_mask(task, queries, words)


def mask_text_in_front(task, queries, words):
    return _mask(task, queries, words).roll((words, words), (0, 1))


# 4.6 ---------------------------------------------------------------------------------------------------------------
def check_cosines(answer, draw):
    queries = draw.normal(4, 3, 5) * draw.uniform(4, 3, 1, low=0.3, high=4)
    texts = draw.normal(4, 5) * draw.uniform(4, 1, low=0.3, high=4)
    want = F.cosine_similarity(queries[:, :, None], texts[None, None], dim=-1).amax(dim=1)
    expect_close(answer(queries, texts), want, "The matrix of cosines, images by texts")


def _cosines(queries, texts):
    return F.normalize(queries, dim=-1) @ F.normalize(texts, dim=-1).T  # (images, queries, texts)


def cosines_mean(queries, texts):
    return _cosines(queries, texts).mean(dim=1)


def cosines_of_mean(queries, texts):
    return _cosines(queries.mean(dim=1), texts)


def cosines_first(queries, texts):
    return _cosines(queries[:, 0], texts)


def cosines_not_normalised(queries, texts):
    return (queries @ texts.T).amax(dim=1)


def cosines_texts_only(queries, texts):
    return (queries @ F.normalize(texts, dim=-1).T).amax(dim=1)


def cosines_transposed(queries, texts):
    return _cosines(queries, texts).amax(dim=1).T


def cosines_over_texts(queries, texts):
    return _cosines(queries, texts).amax(dim=2)


def cosines_own(queries, texts):
    return _cosines(queries, texts).amax(dim=1).diagonal()


def cosines_and_places(queries, texts):
    return _cosines(queries, texts).max(dim=1)


def cosines_normalised_over_queries(queries, texts):
    return (F.normalize(queries, dim=1) @ F.normalize(texts, dim=-1).T).amax(dim=1)


EXERCISES = (
    Exercise(
        id="4.5",
        notebook="04",
        title="Three tasks, three masks",
        level="I",
        minutes=10,
        points=3,
        hints=(
            "Row i says where token i may look. With `place = torch.arange(queries + words)`, `place[:, None]` is the "
            "row and `place[None, :]` the column.",
            "Contrastive: both are queries, or both are words. Matching: True everywhere.",
            "Generation: a column of a query is open to all; a word also sees words up to itself.",
        ),
        reference=_REFERENCE + "stage_one_mask",
        check=check_mask,
        mistakes=(
            Mistake(
                mask_contrastive_all,
                "In the contrastive task queries and text must not see each other: they could copy the answer.",
            ),
            Mistake(mask_matching_apart, "In matching queries and text see each other: all is True."),
            Mistake(
                mask_queries_read_on,
                "In generation the queries see the text: they would hand the next word on to it.",
            ),
            Mistake(
                mask_text_blind,
                "In generation the text does not see the queries: it would learn nothing of the image.",
            ),
            Mistake(mask_text_reads_on, "In generation a word sees the words after it: the next one is no riddle."),
            Mistake(mask_all_causal, "Queries are no sequence: in generation, too, they all see each other."),
            Mistake(mask_not_itself, "In generation a word sees itself as well as those before it."),
            Mistake(mask_transposed, "Rows and columns are swapped: row i says where token i may look."),
            Mistake(mask_hidden, "True and False are swapped: True is where a token may look."),
            Mistake(mask_text_in_front, "The text was put first; queries come before it."),
        ),
    ),
    Exercise(
        id="4.6",
        notebook="04",
        title="Which query fits the text",
        level="I",
        minutes=6,
        points=2,
        hints=(
            "Unit length first; `queries @ texts.T` then has the shape (images, queries, texts).",
            "`.max(dim=1).values`: the best query for each image and text.",
        ),
        reference=_REFERENCE + "image_text_cosines",
        check=check_cosines,
        mistakes=(
            Mistake(
                cosines_mean,
                "This is the mean over the queries; BLIP-2 takes the best one, so each may look for something else.",
            ),
            Mistake(
                cosines_of_mean,
                "The queries were averaged before they were compared; compare each, then take the best.",
            ),
            Mistake(cosines_first, "Only the first query was compared; take the best of all."),
            Mistake(cosines_not_normalised, "These are products, not cosines: give queries and texts unit length."),
            Mistake(cosines_texts_only, "The queries were not given unit length."),
            Mistake(cosines_transposed, "Rows and columns are swapped: row i is image i."),
            Mistake(
                cosines_over_texts,
                "The best text of each query was taken; the best query of each text is wanted, over dim 1.",
            ),
            Mistake(cosines_own, "Only pairs that belong together were compared; compare all images with all texts."),
            Mistake(cosines_and_places, "`max(dim=1)` gives values and places; take `.values`."),
            Mistake(
                cosines_normalised_over_queries,
                "Normalised over the queries (dim 1); each query has a length of its own, over the last dimension.",
            ),
        ),
    ),
)
