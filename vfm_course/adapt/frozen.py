"""Ways that never touch the encoder: nearest neighbours, class means, a linear head.

All three read the same features, once (`reading`), and choose which of them to use on the validation pictures.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch.nn import functional as F

from vfm_course.adapt.adapted import Adapted
from vfm_course.adapt.linear import DECAYS, Linear, accuracy, best_linear, class_directions, nearest
from vfm_course.adapt.reading import FEATURES, encoder_weights, read_images, read_part
from vfm_course.adapt.task import Task
from vfm_course.errors import UserError

if TYPE_CHECKING:
    from vfm_course.families.load import Loaded

NEIGHBOURS = (1, 5, 10, 20)
TEMPERATURE = 0.07  # of the neighbours' votes, as DINO has it (Caron et al. 2021)

Guess = Callable[[torch.Tensor], torch.Tensor]  # features (N, D) -> classes (N,)


def knn(
    loaded: Loaded, task: Task, seed: int = 0, *, feature: str | None = None, ks: Sequence[int] = NEIGHBOURS
) -> Adapted:
    """The k nearest training pictures vote, nearer ones more. Nothing is trained, and nothing depends on the seed.

    Args:
        feature: one of FEATURES; chosen on the validation pictures if not given, and so is k from `ks`.
    """

    def fit(x: torch.Tensor, labels: torch.Tensor, asked: tuple) -> list[tuple[Guess, dict]]:
        def voter(k: int) -> Guess:
            return lambda each: nearest(x, labels, each, len(task.classes), k, TEMPERATURE)

        return [(voter(k), {"k": k}) for k in ks if k <= len(x)] or [(voter(len(x)), {"k": len(x)})]

    return _choose(loaded, task, feature, fit, lambda width: 0)


def class_means(loaded: Loaded, task: Task, seed: int = 0, *, feature: str | None = None) -> Adapted:
    """The class whose mean training feature is nearest by cosine: a head without training, for a few labels a class.

    The mean of all training features is taken off first (SimpleShot, Wang et al. 2019): what all pictures have in
    common tells no class from another.
    """

    def fit(x: torch.Tensor, labels: torch.Tensor, asked: tuple) -> list[tuple[Guess, dict]]:
        centre = x.mean(dim=0)
        directions = class_directions(F.normalize(x - centre, dim=1), labels, len(task.classes))
        return [(lambda each: (F.normalize(each - centre, dim=1) @ directions.T).argmax(dim=1), {})]

    return _choose(loaded, task, feature, fit, lambda width: len(task.classes) * width)


def linear(
    loaded: Loaded, task: Task, seed: int = 0, *, feature: str | None = None, decays: Sequence[float] = DECAYS
) -> Adapted:
    """One linear layer on frozen features, by logistic regression. It has one best answer: no seed changes it.

    Args:
        feature: one of FEATURES; chosen on the validation pictures if not given, and so is the weight decay.
    """

    def fit(x: torch.Tensor, labels: torch.Tensor, asked: tuple) -> list[tuple[Guess, dict]]:
        head, _ = best_linear((x, labels), asked, len(task.classes), decays)
        return [(head, {"decay": head.decay})]

    return _choose(loaded, task, feature, fit, lambda width: len(task.classes) * (width + 1))


@dataclass(frozen=True)
class Start:
    """Where training inside the encoder begins: the best `feature` and the linear `head` on it; the seconds of both.

    `memory` is the bytes that reading grew by.
    """

    feature: str
    head: Linear
    reading: float
    fitting: float
    memory: int


def linear_start(loaded: Loaded, task: Task, feature: str | None = None) -> Start:
    """What `linear` would choose."""
    kinds = _kinds(feature)
    known, asked = read_part(loaded, task.train), read_part(loaded, task.validation)
    begun = time.perf_counter()
    labels, truth = (torch.from_numpy(part.labels) for part in (task.train, task.validation))
    tried = {
        kind: best_linear((known.feature(kind), labels), (asked.feature(kind), truth), len(task.classes))
        for kind in kinds
    }
    kind = max(tried, key=lambda each: tried[each][1])
    return Start(kind, tried[kind][0], known.seconds + asked.seconds, time.perf_counter() - begun, asked.memory)


def _kinds(feature: str | None) -> tuple[str, ...]:
    if feature is not None and feature not in FEATURES:
        raise UserError(f"There is no feature {feature!r}: choose from {', '.join(FEATURES)}.")
    return FEATURES if feature is None else (feature,)


def _choose(loaded: Loaded, task: Task, feature: str | None, fit: Callable, trained: Callable[[int], int]) -> Adapted:
    """The feature and setting that do best on validation pictures; `trained` counts what a head of a width has."""
    kinds = _kinds(feature)
    known, asked = read_part(loaded, task.train), read_part(loaded, task.validation)
    begun = time.perf_counter()
    labels, truth = (torch.from_numpy(part.labels) for part in (task.train, task.validation))
    tried = []
    for kind in kinds:
        x, its = known.feature(kind), asked.feature(kind)
        for guess, settings in fit(x, labels, (its, truth)):
            found = {"feature": kind, **settings, "validation": accuracy(guess(its), truth)}
            tried.append((guess, found, trained(x.shape[1])))
    guess, settings, number = max(tried, key=lambda each: each[1]["validation"])
    learning = time.perf_counter() - begun

    def predict(images):
        return guess(read_images(loaded, images).feature(settings["feature"])).numpy()

    total = sum(weight.numel() for weight in encoder_weights(loaded.model).values()) + number
    reading = known.seconds + asked.seconds
    return Adapted(predict, number, total, reading + learning, reading, asked.memory, settings)
