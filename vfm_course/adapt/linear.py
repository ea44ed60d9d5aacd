"""Heads on features that are fixed: a linear one, the nearest neighbours, the class means."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch.nn import functional as F

DECAYS = (1e-4, 1e-3, 1e-2, 1e-1)  # the linear head's choice


@dataclass(frozen=True)
class Linear:
    """A linear classifier on standardised features: `weight` (C, D), `bias` (C,); `mean` and `std` (D,) are those of
    the training features, `decay` is the weight decay it was fitted with.

    `head(x)` gives the most likely class of each row of x (N, D).
    """

    weight: torch.Tensor
    bias: torch.Tensor
    mean: torch.Tensor
    std: torch.Tensor
    decay: float

    def logits(self, x: torch.Tensor) -> torch.Tensor:
        """(N, D) -> (N, C)."""
        return ((x - self.mean) / self.std) @ self.weight.T + self.bias

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        return self.logits(x).argmax(dim=1)


def fit_linear(x: torch.Tensor, labels: torch.Tensor, decay: float, classes: int) -> Linear:
    """Multinomial logistic regression from (N, D) to `classes`, by full-batch L-BFGS from zero weights."""
    mean, std = x.mean(dim=0), x.std(dim=0) + 1e-6
    x = (x - mean) / std
    weight, bias = torch.zeros(classes, x.shape[1]), torch.zeros(classes)
    for each in (weight, bias):
        each.requires_grad_(True)
    optimiser = torch.optim.LBFGS([weight, bias], max_iter=100, line_search_fn="strong_wolfe")

    def closure() -> torch.Tensor:
        optimiser.zero_grad()
        loss = F.cross_entropy(x @ weight.T + bias, labels) + decay * weight.square().sum()
        loss.backward()
        return loss

    optimiser.step(closure)
    return Linear(weight.detach(), bias.detach(), mean, std, decay)


def best_linear(
    known: tuple, validation: tuple, classes: int, decays: Sequence[float] = DECAYS
) -> tuple[Linear, float]:
    """The head of the weight decay that does best on validation pictures, and its accuracy there.

    `known` and `validation` are (features (N, D), labels (N,)).
    """
    heads = [fit_linear(*known, decay, classes) for decay in decays]
    scores = [accuracy(head(validation[0]), validation[1]) for head in heads]
    best = scores.index(max(scores))
    return heads[best], scores[best]


def accuracy(guesses: torch.Tensor, truth: torch.Tensor) -> float:
    """Share of rows in which two (N,) agree."""
    return (guesses == truth).double().mean().item()


def nearest(
    known: torch.Tensor, labels: torch.Tensor, asked: torch.Tensor, classes: int, k: int, temperature: float = 1.0
) -> torch.Tensor:
    """Each row of `asked` (N, D) is given the class that its k nearest of `known` (M, D) vote for.

    Nearest by cosine; a vote weighs as much as the exponential of its cosine / temperature.
    """
    cosine, rows = (F.normalize(asked, dim=1) @ F.normalize(known, dim=1).T).topk(k)
    # Less the best cosine, which changes no winner: at a low temperature the exponential would be out of range.
    weights = ((cosine - cosine[:, :1]) / temperature).exp()
    return torch.zeros(len(asked), classes).scatter_add_(1, labels[rows], weights).argmax(dim=1)


def class_directions(x: torch.Tensor, labels: torch.Tensor, classes: int) -> torch.Tensor:
    """The mean feature of each class, of length one: (N, D), (N,) -> (C, D)."""
    sums = torch.zeros(classes, x.shape[1]).index_add_(0, labels, x)
    return F.normalize(sums, dim=1)
