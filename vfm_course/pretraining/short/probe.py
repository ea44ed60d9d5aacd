"""What the features of a short model tell about scenes that it has not seen."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import torch
from torch.nn import functional as F

from vfm_course.adapt.linear import best_linear
from vfm_course.objectives.mae import patchify
from vfm_course.pretraining.measures.held_out import WORDS, Drawn, draw
from vfm_course.pretraining.measures.nuisance import position
from vfm_course.pretraining.measures.record import hits, record
from vfm_course.pretraining.scenes import PROBE_SEED, TEST_SEED, VALIDATION_SEED
from vfm_course.pretraining.short.views import TEXTURES, noisy, to_pixels
from vfm_course.pretraining.short.vit import PATCH, SIDE, SIZE

LABELLED, VALIDATION, TEST = 2_000, 500, 1_000  # scenes
RIDGE = 100.0  # of the regression on a patch's noise

Embed = Callable[[torch.Tensor], torch.Tensor]  # pixels (B, 3, 48, 48) -> patch features (B, 36, D)


@dataclass(frozen=True)
class Part:
    """Scenes as the model sees them: `pixels` (N, 3, 48, 48), the `kinds` (N,) of their noise, what was added to them
    (N, 36, 64) in grey levels patch by patch, and the scenes themselves."""

    pixels: torch.Tensor
    kinds: torch.Tensor
    added: torch.Tensor
    scenes: Drawn


@cache
def drawn(seed: int, n: int) -> Drawn:
    """Scenes 0 to n - 1 of one world at the short models' size."""
    return draw(seed, n, size=SIZE)


@cache
def parts(amount: float) -> dict[str, Part]:
    """The labelled, validation and test scenes with noise of this deviation, always the same noise."""
    found = {}
    for name, seed, n in (
        ("labelled", PROBE_SEED, LABELLED),
        ("validation", VALIDATION_SEED, VALIDATION),
        ("test", TEST_SEED, TEST),
    ):
        scenes = drawn(seed, n)
        images, kinds = noisy(scenes.images, amount, torch.Generator().manual_seed(seed))
        added = patchify((images - scenes.images.float()).mean(dim=1, keepdim=True), PATCH)
        found[name] = Part(to_pixels(images), kinds, added, scenes)
    return found


@torch.no_grad()
def embed(encoder: torch.nn.Module, pixels: torch.Tensor) -> torch.Tensor:
    """Patch features (N, 36, D) of pixels (N, 3, 48, 48)."""
    return torch.cat([encoder(some) for some in pixels.split(250)])


def raw(pixels: torch.Tensor) -> torch.Tensor:
    """The reference `pixels`: a patch is what it is, (N, 3, 48, 48) -> (N, 36, 192)."""
    return patchify(pixels, PATCH)


def half_size(patches: torch.Tensor) -> torch.Tensor:
    """Raw patches (N, 36, 192) -> the whole picture at half its size (N, 1728), which is what `pixels` says of it."""
    squares = patches.view(len(patches), SIDE * SIDE, PATCH // 2, 2, PATCH // 2, 2, 3)
    return squares.mean(dim=(3, 5)).flatten(1)


def told(look: Embed, amount: float, pool: Embed = lambda patches: patches.mean(dim=1)) -> dict[str, dict]:
    """Linear probes on the whole picture: concept, background, place, kind of noise; on single patches: the noise.

    Args:
        look: pixels -> patch features (N, 36, D).
        amount: deviation of the noise on the scenes, in grey levels.
        pool: patch features (N, 36, D) -> features of the whole (N, E); their mean if not given.

    Returns:
        A record each; noise is asked for only where there is some.
    """
    features = {name: look(part.pixels) for name, part in parts(amount).items()}
    wholes = {name: pool(patches) for name, patches in features.items()}
    labels = {name: part.scenes.labels | {"texture": part.kinds} for name, part in parts(amount).items()}
    numbers = {kind: len(WORDS[kind]) for kind in ("concept", "background")}
    if amount:
        numbers["texture"] = len(TEXTURES)
    found = {}
    for kind, number in numbers.items():
        known, validation = ((wholes[name], labels[name][kind]) for name in ("labelled", "validation"))
        head, _ = best_linear(known, validation, number)
        found[kind] = record(
            hits(head(wholes["test"]), labels["test"][kind]),
            f"share of held-out scenes whose {kind} a linear probe on {LABELLED} labelled scenes names",
            decay=head.decay, chance=1 / number,
        )  # fmt: skip
    centres = {name: (wholes[name], part.scenes.centres) for name, part in parts(amount).items()}
    found["position"] = position([centres["labelled"]], centres["validation"], centres["test"])
    if amount:
        found["noise"] = pixel_noise(features, amount)
    return found


def pixel_noise(features: dict[str, torch.Tensor], amount: float) -> dict:
    """R² of what was added to each pixel of a patch, by ridge regression from the patch's own feature (..., 36, D)."""
    x = {name: patches.flatten(0, 1) for name, patches in features.items()}
    y = {name: part.added.flatten(0, 1) for name, part in parts(amount).items()}
    mean, std = x["labelled"].mean(dim=0), x["labelled"].std(dim=0) + 1e-6
    x = {name: F.pad((each - mean) / std, (0, 1), value=1.0) for name, each in x.items()}
    inner = x["labelled"].T @ x["labelled"] + RIDGE * torch.eye(x["labelled"].shape[1])
    weights = torch.linalg.solve(inner, x["labelled"].T @ y["labelled"])

    missed = (x["test"] @ weights - y["test"]).square().view(TEST, -1).sum(dim=1).numpy()
    spread = (y["test"] - y["test"].mean()).square().view(TEST, -1).sum(dim=1).numpy()
    return record(spread - missed, "R² of the noise on single pixels by ridge regression on the patch's feature, "
                  "held-out scenes", spread, chance=0.0)  # fmt: skip
