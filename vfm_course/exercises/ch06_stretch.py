"""Notebook 06, the stretch goals: exercises 6.10 to 6.12."""

from __future__ import annotations

import torch
from torch.nn.functional import normalize

from vfm_course.exercises.judge import expect_close, expect_equal, expect_shape
from vfm_course.exercises.record import Exercise, Mistake

_REFERENCE = "vfm_course.solutions.ch06_toolkit:"


# 6.10 --------------------------------------------------------------------------------------------------------------
def check_siglip(answer, draw):
    images = draw.normal(4, 6) * draw.uniform(4, 1, low=0.5, high=3.0)
    texts = draw.normal(3, 6) * draw.uniform(3, 1, low=0.5, high=3.0)
    want = torch.sigmoid(5.0 * normalize(images) @ normalize(texts).T - 1.5)
    expect_close(answer(images, texts, 5.0, -1.5), want, "The matrix of scores (images, labels)")


def siglip_softmax(image_embeds, text_embeds, logit_scale, logit_bias):
    return (logit_scale * normalize(image_embeds) @ normalize(text_embeds).T + logit_bias).softmax(dim=1)


def siglip_no_bias(image_embeds, text_embeds, logit_scale, logit_bias):
    return torch.sigmoid(logit_scale * normalize(image_embeds) @ normalize(text_embeds).T)


def siglip_minus_bias(image_embeds, text_embeds, logit_scale, logit_bias):
    return torch.sigmoid(logit_scale * normalize(image_embeds) @ normalize(text_embeds).T - logit_bias)


def siglip_bias_first(image_embeds, text_embeds, logit_scale, logit_bias):
    return torch.sigmoid(logit_scale * (normalize(image_embeds) @ normalize(text_embeds).T + logit_bias))


def siglip_not_unit(image_embeds, text_embeds, logit_scale, logit_bias):
    return torch.sigmoid(logit_scale * image_embeds @ text_embeds.T + logit_bias)


# 6.11 --------------------------------------------------------------------------------------------------------------
def check_overlay(answer, draw):
    image, colours, alpha = draw.uniform(8, 7, 3), draw.uniform(3, 3), 0.7
    masks = torch.zeros(3, 8, 7, dtype=torch.bool)
    masks[0, 2:5, 2:5], masks[1, 1:7, 1:6], masks[2, 3, 3:5] = True, True, True  # nested: 9, 30 and 2 pixels
    order = draw.permutation(3)
    if masks[order].sum(dim=(1, 2)).argsort(descending=True).tolist() in ([0, 1, 2], [2, 1, 0]):
        order = order.roll(1)  # the given order must differ from both sorted ones, or a missing sort would pass
    masks = masks[order]
    want = image.clone()
    for m in masks.sum(dim=(1, 2)).argsort(descending=True).tolist():
        want[masks[m]] = (1 - alpha) * want[masks[m]] + alpha * colours[m]
    expect_close(answer(image, masks, colours, alpha), want, "The overlaid image")


def _draw_over(image, masks, colours, alpha, order):
    result = image.clone()
    for m in order:
        result[masks[m]] = (1 - alpha) * result[masks[m]] + alpha * colours[m]
    return result


def overlay_as_given(image, masks, colours, alpha):
    return _draw_over(image, masks, colours, alpha, range(len(masks)))


def overlay_small_first(image, masks, colours, alpha):
    return _draw_over(image, masks, colours, alpha, masks.sum(dim=(1, 2)).argsort().tolist())


def overlay_alpha_turned(image, masks, colours, alpha):
    order = masks.sum(dim=(1, 2)).argsort(descending=True).tolist()
    return _draw_over(image, masks, colours, 1 - alpha, order)


def overlay_in_place(image, masks, colours, alpha):
    for m in masks.sum(dim=(1, 2)).argsort(descending=True).tolist():
        image[masks[m]] = (1 - alpha) * image[masks[m]] + alpha * colours[m]
    return image


def overlay_opaque(image, masks, colours, alpha):
    return _draw_over(image, masks, colours, 1.0, masks.sum(dim=(1, 2)).argsort(descending=True).tolist())


# 6.12 --------------------------------------------------------------------------------------------------------------
def check_index(answer, draw):
    # Three cells around three axes: the queries lie near the axes 0, 1 and 2, with the next axis second.
    axes = torch.eye(4)[:3]
    assignment = torch.tensor([0, 1, 2, 0, 1, 2, 0, 1, 2, 0])[draw.permutation(10)]
    vectors = normalize(axes[assignment] + draw.uniform(10, 4, low=0.0, high=0.4))
    queries = normalize(axes + 0.5 * axes.roll(-1, 0) + 0.1 * draw.uniform(3, 4))
    for k, n_probe in ((5, 2), (5, 1)):
        got = answer(queries, vectors, k, n_probe, axes, assignment)
        expect_shape(got, (3, k), "The result")
        want = _by_hand(queries, vectors, k, n_probe, axes, assignment)
        expect_equal(got, want, f"The result for k={k}, n_probe={n_probe}")


def _by_hand(queries, vectors, k, n_probe, centroids, assignment):
    near = (queries @ centroids.T).topk(n_probe, dim=1).indices
    return _search(queries, vectors, k, near, assignment)


def _search(queries, vectors, k, cells, assignment, pad=-1):
    inside = (assignment[None, :, None] == cells[:, None, :]).any(dim=2)
    scores = (queries @ vectors.T).masked_fill(~inside, float("-inf"))
    values, found = scores.topk(k, dim=1)
    return found.masked_fill(values == float("-inf"), pad)


def index_everything(queries, vectors, k, n_probe, centroids, assignment):
    return (queries @ vectors.T).topk(k, dim=1).indices


def index_one_cell(queries, vectors, k, n_probe, centroids, assignment):
    return _search(queries, vectors, k, (queries @ centroids.T).topk(1, dim=1).indices, assignment)


def index_far_cells(queries, vectors, k, n_probe, centroids, assignment):
    cells = (queries @ centroids.T).topk(n_probe, dim=1, largest=False).indices
    return _search(queries, vectors, k, cells, assignment)


def index_zero_padding(queries, vectors, k, n_probe, centroids, assignment):
    return _search(queries, vectors, k, (queries @ centroids.T).topk(n_probe, dim=1).indices, assignment, pad=0)


def index_positions(queries, vectors, k, n_probe, centroids, assignment):
    found = torch.full((len(queries), k), -1)
    for q, query in enumerate(queries):
        candidates = torch.isin(assignment, (centroids @ query).topk(n_probe).indices).nonzero()[:, 0]
        best = (vectors[candidates] @ query).argsort(descending=True)[:k]
        found[q, : len(best)] = best
    return found


EXERCISES = (
    Exercise(
        id="6.10",
        notebook="06",
        title="SigLIP's scores (stretch)",
        level="I",
        minutes=6,
        points=2,
        hints=(
            "The cosines are CLIP's; what follows differs: every label is judged alone.",
            "`torch.sigmoid(logit_scale * cosine + logit_bias)`: the bias is added as it is.",
        ),
        reference=_REFERENCE + "siglip_scores",
        check=check_siglip,
        mistakes=(
            Mistake(siglip_softmax, "The labels compete in a softmax; SigLIP scores each label alone."),
            Mistake(siglip_no_bias, "The bias is missing: without it most pairs look like matches."),
            Mistake(siglip_minus_bias, "The bias was subtracted; it is (already negative and) added."),
            Mistake(siglip_bias_first, "The bias was added before the scale, so it was scaled too."),
            Mistake(siglip_not_unit, "The embeddings were not normalised."),
        ),
    ),
    Exercise(
        id="6.11",
        notebook="06",
        title="Masks over an image (stretch)",
        level="I",
        minutes=12,
        points=3,
        hints=(
            "`masks.sum(dim=(1, 2))` gives the areas; `argsort(descending=True)` the order from large to small.",
            "Inside a mask: (1 - alpha) times what is there already, plus alpha times the mask's colour.",
            "Work on `image.clone()`; `result[mask]` picks the pixels of one mask, (pixels, 3).",
        ),
        reference=_REFERENCE + "overlay_masks",
        check=check_overlay,
        mistakes=(
            Mistake(overlay_as_given, "The masks were drawn in the given order; a large one may hide a small one."),
            Mistake(overlay_small_first, "The small masks were drawn first and lie under the large ones."),
            Mistake(overlay_alpha_turned, "Alpha is the colour's share; it was used as the image's."),
            Mistake(overlay_in_place, "The image itself was painted over: clone it first."),
            Mistake(overlay_opaque, "Alpha was not used: the colours cover the image."),
        ),
    ),
    Exercise(
        id="6.12",
        notebook="06",
        title="A search index by hand (stretch)",
        level="A",
        minutes=15,
        points=3,
        hints=(
            "Per query: the `n_probe` centroids with the largest dot product say which cells to look into.",
            "`torch.isin(assignment, cells).nonzero()[:, 0]` gives the numbers of the vectors in those cells.",
            "Positions among the candidates are not numbers of vectors: index the candidates with the best ones.",
        ),
        reference=_REFERENCE + "search_index",
        check=check_index,
        mistakes=(
            Mistake(index_everything, "All vectors were searched; only those in the nearest cells may be."),
            Mistake(index_one_cell, "Only one cell was looked into; `n_probe` says how many."),
            Mistake(index_far_cells, "The farthest cells were looked into, not the nearest."),
            Mistake(index_zero_padding, "Empty places hold 0, which is also a vector's number; pad with -1."),
            Mistake(index_positions, "These are positions among the candidates, not numbers of the vectors."),
        ),
    ),
)
