"""Reference answers of notebook 06: a label-free toolkit from two models. Pure functions on tensors and names."""

from __future__ import annotations

from pathlib import PurePath

import torch
from torch import nn


def resize_to_patches(height: int, width: int, patch_size: int) -> tuple[int, int]:
    """The size (height, width) in pixels nearest to the given one that is a whole number of patches, at least one."""

    def nearest(side: int) -> int:
        return max(1, round(side / patch_size)) * patch_size

    return nearest(height), nearest(width)


def normalise_pixels(image: torch.Tensor, mean: torch.Tensor, std: torch.Tensor) -> torch.Tensor:
    """uint8 image (H, W, 3) -> float32 (3, H, W): scaled to [0, 1], then each channel minus its mean, over its std."""
    mean, std = torch.as_tensor(mean), torch.as_tensor(std)
    return ((image.float() / 255 - mean) / std).permute(2, 0, 1)


def l2_normalise(embeddings: torch.Tensor) -> torch.Tensor:
    """(N, D) -> (N, D) with rows of length one; a row of zeros stays zero."""
    length = embeddings.norm(dim=1, keepdim=True)
    return embeddings / length.clamp(min=1e-12)


def cosine_matrix(embeddings: torch.Tensor) -> torch.Tensor:
    """(N, D) -> (N, N): the cosine similarity of every pair of rows."""
    unit = l2_normalise(embeddings)
    return unit @ unit.T


def fill_template(labels: list[str], template: str) -> list[str]:
    """One prompt per label, in order: "a photo of a {}." with {} replaced by the label."""
    return [template.format(label) for label in labels]


def zero_shot_probabilities(image_embeds: torch.Tensor, text_embeds: torch.Tensor, logit_scale: float) -> torch.Tensor:
    """Images (N, D) and label prompts (L, D), neither normalised -> (N, L), each row a softmax over the labels."""
    cosine = l2_normalise(image_embeds) @ l2_normalise(text_embeds).T
    return (logit_scale * cosine).softmax(dim=1)


def neighbours(similarity: torch.Tensor, k: int) -> torch.Tensor:
    """(N, N) -> (N, k) indices of the most similar others, best first. Itself is excluded by index, not by rank."""
    others = similarity.clone()
    others.fill_diagonal_(float("-inf"))
    return others.topk(k, dim=1).indices


def report_line(name: str, label: str, confidence: float, neighbour_names: list[str]) -> str:
    """`cat_03.jpg -> "a cat" (0.91); neighbors: cat_01.jpg, cat_07.jpg, cat_02.jpg`"""
    return f'{name} -> "{label}" ({confidence:.2f}); neighbors: {", ".join(neighbour_names)}'


def disagreements(
    labels: list[str], similarity: torch.Tensor, low: float, high: float
) -> tuple[list[tuple[int, int]], list[tuple[int, int]]]:
    """Pairs i < j: those with the same label and similarity < low, and those with different labels and > high."""
    same_label_far, other_label_near = [], []
    for i in range(len(labels)):
        for j in range(i + 1, len(labels)):
            if labels[i] == labels[j] and similarity[i, j] < low:
                same_label_far.append((i, j))
            if labels[i] != labels[j] and similarity[i, j] > high:
                other_label_near.append((i, j))
    return same_label_far, other_label_near


def siglip_scores(
    image_embeds: torch.Tensor, text_embeds: torch.Tensor, logit_scale: float, logit_bias: float
) -> torch.Tensor:
    """Images (N, D), label prompts (L, D), neither normalised -> (N, L): each label's own probability."""
    cosine = l2_normalise(image_embeds) @ l2_normalise(text_embeds).T
    return torch.sigmoid(logit_scale * cosine + logit_bias)


def overlay_masks(image: torch.Tensor, masks: torch.Tensor, colours: torch.Tensor, alpha: float) -> torch.Tensor:
    """Image (H, W, 3), masks (M, H, W), colours (M, 3) -> (H, W, 3): larger masks first, so small ones stay visible."""
    result = image.clone()
    for m in masks.sum(dim=(1, 2)).argsort(descending=True):
        inside = masks[m]
        result[inside] = (1 - alpha) * result[inside] + alpha * colours[m]
    return result


def search_index(
    queries: torch.Tensor,
    vectors: torch.Tensor,
    k: int,
    n_probe: int,
    centroids: torch.Tensor,
    assignment: torch.Tensor,
) -> torch.Tensor:
    """Queries (Q, D) -> (Q, k) numbers of the most similar of `vectors` (N, D), best first, padded with -1.

    All rows have unit length. Vector i lies in cell `assignment[i]`, whose centre is a row of `centroids` (C, D); only
    the `n_probe` cells nearest to a query are looked into.
    """
    found = torch.full((len(queries), k), -1)
    for q, query in enumerate(queries):
        cells = (centroids @ query).topk(n_probe).indices
        candidates = torch.isin(assignment, cells).nonzero()[:, 0]
        best = (vectors[candidates] @ query).argsort(descending=True)[:k]
        found[q, : len(best)] = candidates[best]
    return found


def load_folder(paths: list[str], opener) -> tuple[list[str], list[str]]:
    """Opens every path with `opener(path)`: the names of the files that opened, and of those whose opener raised."""
    opened, failed = [], []
    for path in paths:
        name = PurePath(path).name
        try:
            opener(path)
        except Exception:  # one broken file must not end the run; which exception depends on the kind of damage
            failed.append(name)
        else:
            opened.append(name)
    return opened, failed


class LinearHead(nn.Module):
    """Features (N, width) of a frozen backbone -> logits (N, classes). No gradient reaches the backbone."""

    def __init__(self, width: int, classes: int):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(classes, width) / width**0.5)
        self.bias = nn.Parameter(torch.zeros(classes))

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        return features.detach() @ self.weight.T + self.bias
