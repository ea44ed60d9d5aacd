"""Probes on frozen features: linear, nearest neighbours, ten labels a class. The encoder is never touched.

Each probe learns from labelled scenes, chooses its setting (weight decay, feature) on validation scenes, and is judged
on test scenes, once. Three seeds: three disjoint sets of labelled scenes.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch.nn import functional as F

from vfm_course.pretraining.measures.encode import Encoded
from vfm_course.pretraining.measures.record import hits, record

VERSION = 1
DECAYS = (1e-4, 1e-3, 1e-2, 1e-1)  # the linear probe's choice
FEATURES = ("whole", "mean", "both")
NEIGHBOURS, SHOTS, SHOT_SEEDS = 10, 10, 5


@dataclass(frozen=True)
class Linear:
    """A linear classifier on standardised features; `head(x)` gives the most likely class of each row."""

    weight: torch.Tensor
    bias: torch.Tensor
    mean: torch.Tensor
    std: torch.Tensor
    decay: float

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        return (((x - self.mean) / self.std) @ self.weight.T + self.bias).argmax(dim=1)


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


def best_linear(known: tuple, validation: tuple, classes: int, decays: tuple = DECAYS) -> tuple[Linear, float]:
    """The probe of the weight decay that does best on validation scenes, and its accuracy there.

    `known` and `validation` are (features (N, D), labels (N,)).
    """
    probes = [fit_linear(*known, decay, classes) for decay in decays]
    scores = [hits(probe(validation[0]), validation[1]).mean() for probe in probes]
    best = int(np.argmax(scores))
    return probes[best], float(scores[best])


def nearest(known: torch.Tensor, labels: torch.Tensor, asked: torch.Tensor, classes: int, k: int) -> torch.Tensor:
    """Each row of `asked` (N, D) is given the class that its k nearest of `known` (M, D) vote for.

    Nearest by cosine; a vote weighs as much as the exponential of its cosine.
    """
    cosine, rows = (F.normalize(asked, dim=1) @ F.normalize(known, dim=1).T).topk(k)
    votes = torch.zeros(len(asked), classes).scatter_add_(1, labels[rows], cosine.exp())
    return votes.argmax(dim=1)


def few(labels: torch.Tensor, shots: int, seed: int) -> torch.Tensor:
    """Numbers of `shots` random scenes of each class, sorted by class."""
    order = torch.from_numpy(np.random.default_rng(seed).permutation(len(labels)))
    return torch.cat([order[labels[order] == each][:shots] for each in labels.unique()])


def frozen(known: list[tuple], validation: tuple, test: tuple, classes: int = 16) -> dict[str, dict]:
    """Linear, kNN and ten-shot accuracy.

    Args:
        known: one (Encoded, labels) a seed.
        validation, test: (Encoded, labels).
    """

    def data(part: tuple[Encoded, torch.Tensor], kind: str) -> tuple[torch.Tensor, torch.Tensor]:
        return part[0].feature(kind), part[1]

    def by_nearest(part: tuple, asked: tuple, kind: str) -> np.ndarray:
        x, labels = data(part, kind)
        return hits(nearest(x, labels, asked[0].feature(kind), classes, NEIGHBOURS), asked[1])

    def shown(seed: int, kind: str) -> tuple[Linear, float]:
        x, labels = data(known[seed % len(known)], kind)
        rows = few(labels, SHOTS, seed)
        return best_linear((x[rows], labels[rows]), data(validation, kind), classes)

    def by_linear(probe: Linear, kind: str) -> np.ndarray:
        return hits(probe(test[0].feature(kind)), test[1])

    # Features and the decay are chosen with the first set of labels and kept for the others.
    tried = {kind: best_linear(data(known[0], kind), data(validation, kind), classes) for kind in FEATURES}
    kind = max(tried, key=lambda each: tried[each][1])
    first = tried[kind][0]
    probes = [first] + [fit_linear(*data(part, kind), first.decay, classes) for part in known[1:]]
    kind_near = max(FEATURES, key=lambda each: by_nearest(known[0], validation, each).mean())
    kind_few = max(FEATURES, key=lambda each: shown(0, each)[1])

    n, chance = len(known[0][1]), 1 / classes
    share = "share of held-out scenes whose concept"
    return {
        "linear": record(
            [by_linear(probe, kind) for probe in probes],
            f"{share} a linear probe on {n} labelled scenes names",
            feature=kind, decay=first.decay, chance=chance,
        ),
        "knn": record(
            [by_nearest(part, test, kind_near) for part in known],
            f"{share} the {NEIGHBOURS} nearest of {n} labelled scenes vote for",
            feature=kind_near, chance=chance,
        ),
        "ten_shot": record(
            [by_linear(shown(seed, kind_few)[0], kind_few) for seed in range(SHOT_SEEDS)],
            f"{share} a linear probe on {SHOTS} labelled scenes a concept names",
            feature=kind_few, chance=chance,
        ),
    }  # fmt: skip
