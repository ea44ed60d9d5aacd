"""Pictures and words: zero-shot naming, prompt templates, retrieval, and whether a score of 0.8 means 80 %.

Radford et al. 2021 (zero-shot, templates), Zhai et al. 2023 (sigmoid scores), Guo et al. 2017 (calibration).
"""

from __future__ import annotations

import re
from math import comb

import numpy as np
import torch
from torch.nn import functional as F

from vfm_course.pretraining.measures.record import hits, record, statistic_record
from vfm_course.world import CONCEPTS
from vfm_course.world.captions import TEMPLATES, with_article

VERSION = 2
DEFAULT = "a photo of {}"
# Known words in an order that no caption has, the last of them beside the point.
UNSEEN = ("{} in this drawing", "the picture on the right is {}", "the background of the photo is {}")
GALLERY, GALLERIES = 500, 3
BATCH = 128  # as in training: the sigmoid has learnt that one pair in so many is right
BINS = 10


def key_of(template: str) -> str:
    """`this is {}` -> `zero_shot_this_is`; the bare name is `zero_shot_bare`, and DEFAULT `zero_shot`."""
    if template == DEFAULT:
        return "zero_shot"
    return "zero_shot_" + (re.sub(r"[^a-z]+", "_", template).strip("_") or "bare")


def zero_shot(pictures: torch.Tensor, labels: torch.Tensor, prompts: dict[str, torch.Tensor]) -> dict[str, dict]:
    """Accuracy with each template, with their ensemble, and what the choice of the template is worth.

    Args:
        pictures: unit vectors (N, D).
        labels: (N,) numbers of the concepts.
        prompts: for each template, unit vectors (concepts, D); those of TEMPLATES make the ensemble.
    """
    right = {template: hits((pictures @ texts.T).argmax(dim=1), labels) for template, texts in prompts.items()}
    mean = F.normalize(torch.stack([prompts[each] for each in prompts if each in TEMPLATES]).mean(dim=0), dim=1)
    share = "share of held-out scenes whose concept is the nearest prompt, no label seen,"
    chance = 1 / len(prompts[DEFAULT])
    found = {}
    for template, each in right.items():
        known = "" if template in TEMPLATES else " (in no caption of the training)"
        found[key_of(template)] = record(each, f"{share} with “{template}”{known}", template=template, chance=chance)
    found["zero_shot_ensemble"] = record(
        hits((pictures @ mean.T).argmax(dim=1), labels), f"{share} with the mean of the templates of the training"
    )
    seen = {template: each for template, each in right.items() if template in TEMPLATES}
    for key, group, of in (
        ("template_effect", seen, "best minus worst template of the training, picked on these scenes"),
        ("template_effect_all", right, "best minus worst template, unseen ones included, picked on these scenes"),
    ):
        best, worst = (choose(group, key=lambda each, of=group: of[each].mean()) for choose in (max, min))
        found[key] = record(group[best] - group[worst], f"accuracy, {of}", best=best, worst=worst)
    return found


def recall(scores: torch.Tensor, right: torch.Tensor, k: int) -> np.ndarray:
    """For each query the chance that a right answer is among its first k, equal scores in random order.

    Args:
        scores: (Q, G), the higher the nearer.
        right: bool (Q, G), at least one a row; several where captions are identical.
    """
    found = []
    for score, correct in zip(scores, right, strict=True):
        best = score[correct].max()
        above = int((score > best).sum())  # all of them wrong
        tied, tied_wrong = int((score == best).sum()), int(((score == best) & ~correct).sum())
        room = min(k - above, tied)
        found.append(0.0 if room <= 0 else 1 - comb(tied_wrong, room) / comb(tied, room))
    return np.array(found)


def retrieval(pictures: torch.Tensor, texts: torch.Tensor, captions: list[str]) -> dict[str, dict]:
    """Recall@1 and @5, a picture asking for its caption and a caption for its picture, in galleries of GALLERY.

    Pictures and texts are unit vectors (N, D); row i belongs to row i, and every row with the same caption is right.
    """
    values: dict[tuple[str, int], list[np.ndarray]] = {}
    size = min(GALLERY, len(captions))
    starts = range(0, size * min(GALLERIES, len(captions) // size), size)
    for start in starts:
        rows = slice(start, start + size)
        names = np.array(captions[rows])
        same = torch.from_numpy(names[:, None] == names)
        scores = (pictures[rows] @ texts[rows].T).double()
        for k in (1, 5):
            values.setdefault(("image_to_text", k), []).append(recall(scores, same, k))
            values.setdefault(("text_to_image", k), []).append(recall(scores.T, same, k))
    return {
        f"{way}_recall_{k}": record(
            np.concatenate(each),
            f"recall@{k}, {way.replace('_', ' ')}, in {len(starts)} galleries of {size} held-out pairs with full "
            "captions; an identical caption counts as right",
            chance=round(k / size, 4), galleries=[round(float(part.mean()), 4) for part in each],
        )
        for (way, k), each in values.items()
    }  # fmt: skip


def calibration_error(scores: np.ndarray, truth: np.ndarray, bins: int = BINS) -> float:
    """Expected calibration error: mean gap between score and share of right answers, over bins of equal width.

    Both (N,), scores from 0 to 1; a bin weighs as much as it holds.
    """
    return sum(abs(row["score"] - row["right"]) * row["n"] for row in reliability(scores, truth, bins)) / len(scores)


def reliability(scores: np.ndarray, truth: np.ndarray, bins: int = BINS) -> list[dict]:
    """The bins of a reliability diagram that hold something: lower edge, mean score, share of right answers, number."""
    which = np.minimum((scores * bins).astype(int), bins - 1)
    n, score, right = (np.bincount(which, weights, minlength=bins) for weights in (None, scores, truth))
    rows = [
        {"from": i / bins, "score": score[i] / n[i], "right": right[i] / n[i], "n": int(n[i])}
        for i in range(bins)
        if n[i]
    ]
    return rows


def calibration(key: str, scores: torch.Tensor, right: torch.Tensor, of: str) -> dict[str, dict]:
    """Is a score the chance of being right? Over all pairs of picture and text, and for the first answer alone.

    Args:
        key: what the two records' names begin with.
        scores: (N, texts) from 0 to 1, sigmoids or softmax.
        right: bool (N, texts).
        of: what the scores are, in words.
    """
    table, truth = scores.double().numpy(), right.double().numpy()
    rows, top = np.arange(len(table)), table.argmax(axis=1)
    confidence, correct = table[rows, top], truth[rows, top]

    def rounded(bins: list[dict]) -> list[dict]:
        return [{name: round(value, 4) for name, value in row.items()} for row in bins]

    error = f"expected calibration error of {of}, {BINS} bins of equal width"
    return {
        f"{key}_pairs": statistic_record(
            lambda chosen: calibration_error(table[chosen].ravel(), truth[chosen].ravel()), len(table),
            f"{error}, over all {table.shape[1]} pairs of each picture",
            mean_score=round(float(table.mean()), 4), right=round(float(truth.mean()), 4),
            bins=rounded(reliability(table.ravel(), truth.ravel())),
        ),
        f"{key}_first": statistic_record(
            lambda chosen: calibration_error(confidence[chosen], correct[chosen]), len(table),
            f"{error}, of the first answer alone",
            mean_score=round(float(confidence.mean()), 4), right=round(float(correct.mean()), 4),
            bins=rounded(reliability(confidence, correct)),
        ),
    }  # fmt: skip


def in_batches(pictures: torch.Tensor, texts: torch.Tensor, captions: list[str]) -> tuple[torch.Tensor, torch.Tensor]:
    """Cosines and right answers (N, BATCH) of pictures with the captions of their own batch, as training had them."""
    starts = range(0, len(captions) - BATCH + 1, BATCH)
    names = np.array(captions)
    parts = [slice(start, start + BATCH) for start in starts]
    right = [torch.from_numpy(names[part][:, None] == names[part]) for part in parts]
    return torch.cat([pictures[part] @ texts[part].T for part in parts]), torch.cat(right)


def texts(encoder, pictures: torch.Tensor, labels: torch.Tensor, captions: list[str]) -> dict[str, dict]:
    """All measures of a two-tower model.

    Args:
        encoder: a `vfm_course.features.encoders.Encoder` of CLIP or SigLIP.
        pictures: the pictures' places in the joint space (N, D).
        labels, captions: what is true of them.
    """
    pictures = F.normalize(pictures, dim=1)
    prompts = {
        template: torch.from_numpy(encoder.embed_texts([template.format(with_article(each)) for each in CONCEPTS]))
        for template in (*TEMPLATES, *UNSEEN)
    }
    scale, bias = encoder.logit_scale_and_bias()
    first = captions[: GALLERY * GALLERIES]
    said = torch.cat([torch.from_numpy(encoder.embed_texts(first[i : i + 250])) for i in range(0, len(first), 250)])
    cosines, right = in_batches(pictures[: len(first)], said, first)

    def scores(cosine: torch.Tensor) -> torch.Tensor:
        logits = cosine * scale + bias
        return logits.sigmoid() if encoder.name == "siglip" else logits.softmax(dim=1)

    kind = "the sigmoid scores" if encoder.name == "siglip" else "the softmax"
    concepts = F.one_hot(labels, len(CONCEPTS)).bool()
    return (
        zero_shot(pictures, labels, prompts)
        | retrieval(pictures[: len(first)], said, first)
        | calibration("calibration", scores(pictures @ prompts[DEFAULT].T), concepts, f"{kind} for “{DEFAULT}”")
        | calibration("calibration_batch", scores(cosines), right, f"{kind} in batches of {BATCH} full captions")
    )
