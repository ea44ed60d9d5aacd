"""Reference answers of notebook 02: a head on a frozen backbone, LoRA, and what both cost. Each stands alone."""

from __future__ import annotations

import torch
from torch import nn


def trained_share(backbone_parameters: int, width: int, classes: int) -> tuple[int, int, float]:
    """A linear head with bias on a frozen backbone: (trained parameters, all parameters, trained in percent of all).

    A head for 10 classes on the 86,580,480 parameters of DINOv2 ViT-B, whose features have 768 numbers, gives
    (7690, 86588170, 0.00888…).
    """
    trained = width * classes + classes
    total = backbone_parameters + trained
    return trained, total, 100 * trained / total


class FrozenClassifier(nn.Module):
    """Images (N, width_in) -> logits (N, classes). Only the head learns, whatever is asked of the whole model."""

    def __init__(self, width_in: int, width: int, classes: int):
        super().__init__()
        self.backbone = nn.Sequential(nn.Linear(width_in, width), nn.BatchNorm1d(width), nn.ReLU(), nn.Dropout(0.5))
        self.head = nn.Linear(width, classes)
        self.backbone.requires_grad_(False)
        self.backbone.eval()

    def train(self, mode: bool = True):
        super().train(mode)
        self.backbone.eval()  # BatchNorm keeps its statistics, Dropout stays off
        return self

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        with torch.no_grad():  # no graph is kept for the backbone
            features = self.backbone(images)
        return self.head(features)


def parameter_groups(shapes: dict[str, tuple], weight_decay: float) -> list[dict]:
    """Parameter name -> shape, to the two groups for the optimiser: with weight decay, and without.

    Only names that start with `head.` are trained. A parameter of one dimension (a bias, a norm) has no decay.
    """
    head = [name for name in shapes if name.startswith("head.")]
    return [
        {"params": [name for name in head if len(shapes[name]) > 1], "weight_decay": weight_decay},
        {"params": [name for name in head if len(shapes[name]) == 1], "weight_decay": 0.0},
    ]


def standardise(train: torch.Tensor, test: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Features train (N, D), test (M, D) -> both with mean and deviation of the training set, feature by feature.

    A feature that is constant in the training set is only centred.
    """
    mean, std = train.mean(dim=0), train.std(dim=0)
    std = torch.where(std > 0, std, 1.0)
    return (train - mean) / std, (test - mean) / std


def head_gradient(
    features: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor, labels: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Features (N, D), weight (C, D), bias (C,), labels (N,) -> gradients (C, D), (C,) of the mean cross-entropy."""
    probabilities = (features @ weight.T + bias).softmax(dim=1)
    truth = nn.functional.one_hot(labels, len(bias))
    error = (probabilities - truth) / len(features)  # the gradient of the logits, (N, C)
    return error.T @ features, error.sum(dim=0)


def class_means_predict(train: torch.Tensor, labels: torch.Tensor, test: torch.Tensor) -> torch.Tensor:
    """Train (N, D) with labels (N,), test (M, D) -> int64 (M,): the label whose mean feature is nearest by cosine.

    The labels are any whole numbers, not only 0, 1, 2 …
    """
    classes = labels.unique()
    means = torch.stack([train[labels == c].mean(dim=0) for c in classes])
    means = means / means.norm(dim=1, keepdim=True)
    return classes[(test @ means.T).argmax(dim=1)]


def wilson_interval(hits: int, n: int, z: float = 1.96) -> tuple[float, float]:
    """The Wilson interval (low, high) of an accuracy: `hits` of `n` test images were right; z = 1.96 means 95 %."""
    share = hits / n
    shrink = 1 + z**2 / n
    centre = (share + z**2 / (2 * n)) / shrink
    half = z * (share * (1 - share) / n + z**2 / (4 * n**2)) ** 0.5 / shrink
    return centre - half, centre + half


class LoraLinear(nn.Module):
    """Features (N, in_features) -> (N, out_features): a frozen linear layer and a low-rank adapter that learns.

    `weight` (out, in) and `bias` (out,) are frozen; `A` (r, in) and `B` (out, r) learn; alpha / r scales the adapter.
    """

    def __init__(self, in_features: int, out_features: int, r: int, alpha: float):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(out_features, in_features) / in_features**0.5, requires_grad=False)
        self.bias = nn.Parameter(torch.zeros(out_features), requires_grad=False)
        self.A = nn.Parameter(torch.randn(r, in_features) / in_features**0.5)
        self.B = nn.Parameter(torch.zeros(out_features, r))
        self.scale = alpha / r

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        frozen = features @ self.weight.T + self.bias
        return frozen + self.scale * (features @ self.A.T @ self.B.T)


def lora_init(in_features: int, out_features: int, r: int) -> tuple[torch.Tensor, torch.Tensor]:
    """A (r, in) and B (out, r) before the first step: the model is unchanged, and the adapter can learn.

    As in the paper B is zero; A zero and B random would do as well, both zero would not.
    """
    return torch.randn(r, in_features) / in_features**0.5, torch.zeros(out_features, r)


def merge_lora(weight: torch.Tensor, A: torch.Tensor, B: torch.Tensor, alpha: float) -> torch.Tensor:
    """Weight (out, in), A (r, in), B (out, r) -> (out, in): one layer that computes what both did."""
    r = len(A)
    return weight + alpha / r * (B @ A)


def count_lora(width: int, layers: int, r: int, matrices: int) -> int:
    """Trained parameters with LoRA of rank r on `matrices` square matrices (width, width) in each layer.

    Rank 8 on query and value of 12 layers of width 768: 294,912.
    """
    one_matrix = r * width + width * r  # A and B
    return layers * matrices * one_matrix


def serving_flops(tasks: int, encoder_flops: int, head_flops: int, images: int) -> tuple[int, int]:
    """Operations for all tasks on all images: (a network of its own for each task, one shared encoder with heads)."""
    separate = images * tasks * (encoder_flops + head_flops)
    shared = images * (encoder_flops + tasks * head_flops)
    return separate, shared


def labels_needed(curve: list[tuple[int, float]], target: float) -> float | None:
    """A learning curve [(labels, accuracy), …], labels rising -> the labels at which it first reaches the target.

    Between two points the accuracy rises in a straight line over the logarithm of the labels. Reached at the first
    point already: its labels. Never reached: None.
    """
    before = None
    for labels, accuracy in curve:
        if accuracy >= target:
            if before is None:
                return labels
            share = (target - before[1]) / (accuracy - before[1])  # of the way, on the log scale
            return before[0] * (labels / before[0]) ** share
        before = (labels, accuracy)
    return None
