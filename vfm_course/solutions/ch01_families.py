"""Reference answers of notebook 01: what a backbone is made of, and what its features do. Each stands alone."""

from __future__ import annotations

import torch


def count_tokens(height: int, width: int, patch_size: int, extra_tokens: int) -> int:
    """Tokens of an image of height x width pixels: the whole patches that fit, and the extra ones (CLS, registers)."""
    rows, columns = height // patch_size, width // patch_size
    return rows * columns + extra_tokens


def count_block_parameters(width: int, mlp_ratio: int, layer_scale: bool) -> int:
    """Parameters of one pre-norm transformer block; every layer has biases.

    12 such blocks of width 768 with mlp_ratio 4 and LayerScale are part of DINOv2 ViT-B: 85,072,896 of its 86,580,480
    parameters.
    """
    hidden = mlp_ratio * width
    norms = 2 * (width + width)  # a weight and a bias each
    attention = 4 * (width * width + width)  # query, key, value, output
    mlp = (width * hidden + hidden) + (hidden * width + width)
    return norms + attention + mlp + (2 * width if layer_scale else 0)


def count_block_flops(tokens: int, width: int, mlp_ratio: int) -> int:
    """Operations of one block's matrix products on one image: a multiplication and an addition count as two.

    A product (A, B) @ (B, C) takes 2 * A * B * C operations.
    """
    projections = 4 * 2 * tokens * width * width  # query, key, value, output: (N, D) @ (D, D)
    scores = 2 * tokens * width * tokens  # over all heads: (N, D) @ (D, N)
    weighted_sum = 2 * tokens * tokens * width  # (N, N) @ (N, D)
    mlp = 2 * 2 * tokens * width * (mlp_ratio * width)  # (N, D) @ (D, rD), then (N, rD) @ (rD, D)
    return projections + scores + weighted_sum + mlp


def principal_components(patches: torch.Tensor, k: int) -> torch.Tensor:
    """Patches (M, D) -> scores (M, k): the centred patches on the k directions of largest variance, largest first.

    The sign of each column is free.
    """
    centred = patches - patches.mean(dim=0)
    _, _, directions = torch.linalg.svd(centred, full_matrices=False)  # one direction a row, largest variance first
    return centred @ directions[:k].T


def knn_predict(train: torch.Tensor, labels: torch.Tensor, test: torch.Tensor, k: int) -> torch.Tensor:
    """Train (N, D) with labels (N,), test (M, D) -> int64 (M,): the most frequent label of the k nearest by cosine."""
    train = train / train.norm(dim=1, keepdim=True)
    test = test / test.norm(dim=1, keepdim=True)
    nearest = (test @ train.T).topk(k, dim=1).indices  # (M, k) numbers of training rows
    return labels[nearest].mode(dim=1).values


def rank_by_cosine(query: torch.Tensor, gallery: torch.Tensor) -> torch.Tensor:
    """Query (D,), gallery (N, D) -> int64 (N,): the numbers of the gallery's rows, most similar first."""
    cosine = gallery @ query / (gallery.norm(dim=1) * query.norm())
    return cosine.argsort(descending=True)


def zero_shot_labels(image_embeds: torch.Tensor, text_embeds: torch.Tensor) -> torch.Tensor:
    """Images (N, D), L labels in T templates (L, T, D), none normalised -> int64 (N,): each image's best label."""
    sentences = text_embeds / text_embeds.norm(dim=2, keepdim=True)
    labels = sentences.mean(dim=1)  # (L, D)
    labels = labels / labels.norm(dim=1, keepdim=True)
    images = image_embeds / image_embeds.norm(dim=1, keepdim=True)
    return (images @ labels.T).argmax(dim=1)


def iou(mask: torch.Tensor, truth: torch.Tensor) -> float:
    """Intersection over union of two bool masks (H, W); two empty masks agree: 1.0."""
    union = (mask | truth).sum().item()
    if union == 0:
        return 1.0
    return (mask & truth).sum().item() / union


def choose_family(language: bool, frozen: bool, labels: bool, masks: bool) -> list[str]:
    """The families for a task, in the order of the questions: language, frozen features, labels; masks come on top."""
    families = []
    if language:
        families.append("clip")
    elif frozen:
        families.append("dinov2")
    elif labels:
        families.append("mae")
    if masks:
        families.append("sam")
    return families or ["dinov2"]  # no need stated: frozen features show quickly what the data holds
