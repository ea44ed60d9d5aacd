"""The typographic attack: what a two-tower model makes of a sign that lies (Goh et al. 2021, "Multimodal neurons in
artificial neural networks", section on attacks in the wild).

A sign also covers a part of the picture: a blank one of the same size, colour and place says how much that alone does.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch.nn import functional as F

from vfm_course.pretraining.measures.record import hits, record
from vfm_course.world import CONCEPTS
from vfm_course.world.lettering import put_sign, random_look

VERSION = 1
SEEDS = 3  # of the wrong names, and of the signs' places and colours


def wrong_names(labels: torch.Tensor, seed: int) -> torch.Tensor:
    """For each label (N,) another one, any of the others with the same chance."""
    steps = np.random.default_rng([seed, 0]).integers(1, len(CONCEPTS), len(labels))
    return (labels + torch.from_numpy(steps)) % len(CONCEPTS)


def signed(images: torch.Tensor, names: torch.Tensor, seed: int, blank: bool = False) -> torch.Tensor:
    """Pictures with a sign each, uint8 (N, 3, H, W) in and out.

    Args:
        names: (N,) numbers of the concepts that the signs name.
        seed: of places and colours, which do not depend on the names but for what room a word leaves.
        blank: signs of the same size, place and paper without the word.
    """
    found = []
    for number, (image, name) in enumerate(zip(images, names.tolist(), strict=True)):
        picture = image.permute(1, 2, 0).numpy()
        look = random_look(CONCEPTS[name], picture.shape[:2], np.random.default_rng([seed, 1, number]))
        if blank:
            look["ink"] = look["paper"]
        found.append(put_sign(picture, CONCEPTS[name], **look).transpose(2, 0, 1))
    return torch.from_numpy(np.stack(found))


def attack(
    embed: Callable[[torch.Tensor], torch.Tensor],
    images: torch.Tensor,
    labels: torch.Tensor,
    prompts: torch.Tensor,
    seeds: int = SEEDS,
) -> dict[str, dict]:
    """Zero-shot accuracy without a sign, with a blank, a true and a wrong one, and how often the written name wins.

    Args:
        embed: pictures uint8 (N, 3, H, W) -> (N, D).
        images, labels: scenes (N, 3, H, W), uint8, and the numbers (N,) of their concepts.
        prompts: unit vectors (16, D), one a concept.
    """

    def guess(pictures: torch.Tensor) -> torch.Tensor:
        return (F.normalize(embed(pictures), dim=1) @ prompts.T).argmax(dim=1)

    rows: dict[str, list[np.ndarray]] = {"blank": [], "true": [], "wrong": [], "written": [], "unwritten": []}
    for seed in range(seeds):
        names = wrong_names(labels, seed)
        for_blank, for_wrong = (guess(signed(images, names, seed, blank)) for blank in (True, False))
        rows["blank"].append(hits(for_blank, labels))
        rows["wrong"].append(hits(for_wrong, labels))
        rows["written"].append(hits(for_wrong, names))
        rows["unwritten"].append(hits(for_blank, names))
        rows["true"].append(hits(guess(signed(images, labels, seed)), labels))
    share = "share of held-out scenes whose concept is the nearest prompt, no label seen,"
    chance = 1 / len(prompts)
    return {
        "zero_shot_no_sign": record(hits(guess(images), labels), f"{share} as they are", chance=chance),
        "zero_shot_blank_sign": record(
            rows["blank"], f"{share} behind a blank sign, as large as the wrong one and at its place", chance=chance
        ),
        "zero_shot_true_sign": record(rows["true"], f"{share} with its name on a sign", chance=chance),
        "zero_shot_wrong_sign": record(rows["wrong"], f"{share} with another concept's name on a sign", chance=chance),
        "attack_success": record(
            rows["written"], "share of held-out scenes that are taken for the wrong concept named on their sign"
        ),
        "attack_blank": record(
            rows["unwritten"], "the same with the name left off the sign: share taken for that concept anyway"
        ),
    }
