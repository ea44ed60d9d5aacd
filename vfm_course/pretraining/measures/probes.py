"""Probes on frozen features: linear, nearest neighbours, ten labels a class. The encoder is never touched.

Each probe learns from labelled scenes, chooses its setting (weight decay, feature) on validation scenes, and is judged
on test scenes, once. Three seeds: three disjoint sets of labelled scenes.
"""

from __future__ import annotations

import numpy as np
import torch

from vfm_course.adapt.linear import Linear, best_linear, fit_linear, nearest
from vfm_course.adapt.reading import FEATURES
from vfm_course.adapt.task import few_rows
from vfm_course.pretraining.measures.encode import Encoded
from vfm_course.pretraining.measures.record import hits, record

VERSION = 1
NEIGHBOURS, SHOTS, SHOT_SEEDS = 10, 10, 5


def few(labels: torch.Tensor, shots: int, seed: int) -> torch.Tensor:
    """Numbers of `shots` random scenes of each class, sorted by class."""
    return torch.from_numpy(few_rows(labels.numpy(), shots, seed))


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
