"""What else a frozen encoder knows of a scene: background, colour, drawing style, where the thing is.

None of these decides the concept. An objective that throws one of them away says by that what it is invariant to; one
that has to paint the picture again cannot afford to (Tian et al. 2020, "What makes for good views").
"""

from __future__ import annotations

import numpy as np
import torch
from sklearn.linear_model import Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from vfm_course.adapt.linear import best_linear, fit_linear
from vfm_course.pretraining.measures.record import hits, record

VERSION = 1
ALPHAS = (1.0, 10.0, 100.0, 1e3, 1e4, 1e5)
LABELS = {"background": 6, "colour": 8, "style": 4}  # and how many there are of each
FEATURE = "both"  # everything that the encoder says


def nuisance(known: list[tuple], validation: tuple, test: tuple, classes: dict[str, int] = LABELS) -> dict[str, dict]:
    """Linear probes for each label, ridge regression for the place.

    Args:
        known: one (features (N, D), labels by kind, centres (N, 2)) a seed.
        validation, test: the same for validation and test scenes.
    """
    found = {}
    for kind, number in classes.items():
        first, _ = best_linear((known[0][0], known[0][1][kind]), (validation[0], validation[1][kind]), number)
        probes = [first] + [fit_linear(x, labels[kind], first.decay, number) for x, labels, _ in known[1:]]
        found[kind] = record(
            [hits(probe(test[0]), test[1][kind]) for probe in probes],
            f"share of held-out scenes whose {kind} a linear probe on {len(known[0][0])} labelled scenes names",
            feature=FEATURE, decay=first.decay, chance=1 / number,
        )  # fmt: skip
    found["position"] = position([(x, centres) for x, _, centres in known], validation[::2], test[::2])
    return found


def position(known: list[tuple], validation: tuple, test: tuple) -> dict:
    """R² of the thing's centre by ridge regression, x and y together; parts are (features (N, D), centres (N, 2))."""

    def fit(part: tuple, alpha: float):
        return make_pipeline(StandardScaler(), Ridge(alpha)).fit(*(each.double().numpy() for each in part))

    def errors(model, part: tuple[torch.Tensor, torch.Tensor]) -> np.ndarray:
        return np.square(model.predict(part[0].double().numpy()) - part[1].numpy()).sum(axis=1)

    alpha = min(ALPHAS, key=lambda each: errors(fit(known[0], each), validation).sum())
    missed = np.stack([errors(fit(part, alpha), test) for part in known])
    centres = test[1].numpy()
    spread = np.broadcast_to(np.square(centres - centres.mean(axis=0)).sum(axis=1), missed.shape)
    return record(
        spread - missed, "R² of the thing's centre (x and y) by ridge regression on held-out scenes", spread,
        feature=FEATURE, alpha=alpha, chance=0.0,
    )  # fmt: skip
