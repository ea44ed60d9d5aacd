"""What single patch tokens know: is this the thing or the background, and which patch of another view is this?

Foreground by a linear probe on patch tokens (Oquab et al. 2023, section 7.4); correspondence by nearest neighbours
between two views whose geometry is known (Amir et al. 2021, "Deep ViT features as dense visual descriptors").
"""

from __future__ import annotations

import numpy as np
import torch
from torch.nn import functional as F

from vfm_course.adapt.linear import best_linear, fit_linear
from vfm_course.pretraining.measures.encode import Read
from vfm_course.pretraining.measures.record import record
from vfm_course.pretraining.views import crop_maps, cut, recolour

VERSION = 1
KNOWN, JUDGED = 300, 600  # scenes whose patches teach and test the foreground probe
VIEWED, VIEW_SEEDS = 300, 3  # scenes seen twice, and how often
AREA, COLOUR = (0.4, 0.8), 0.4  # the second view: share of the picture, strength of its recolouring


def patch_truth(masks: torch.Tensor, side: int) -> torch.Tensor:
    """Masks bool (N, H, W) -> bool (N, side * side): is most of the patch the thing?"""
    return (F.adaptive_avg_pool2d(masks.float()[:, None], side) > 0.5).flatten(1)


def foreground(known: list[tuple], validation: tuple, test: tuple) -> dict[str, dict]:
    """IoU of the patches that a linear probe takes for the thing.

    Args:
        known: one (patch tokens (N, P, width), truth bool (N, P)) a seed.
        validation, test: the same for validation and test scenes.
    """

    def flat(part: tuple[torch.Tensor, torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor]:
        return part[0].flatten(0, 1), part[1].flatten().long()

    first, _ = best_linear(flat(known[0]), flat(validation), 2)
    probes = [first] + [fit_linear(*flat(part), first.decay, 2) for part in known[1:]]
    tokens, truth = test
    guesses = [probe(tokens.flatten(0, 1)).bool().view_as(truth) for probe in probes]
    return {
        "foreground": record(
            [(guess & truth).sum(dim=1).numpy() for guess in guesses],
            f"IoU over all patches of {len(tokens)} held-out scenes: a linear probe on the patch tokens of "
            f"{len(known[0][0])} scenes against the mask",
            [(guess | truth).sum(dim=1).numpy() for guess in guesses],
            decay=first.decay, chance=round(truth.float().mean().item(), 4),  # everything called foreground
        )
    }  # fmt: skip


def true_patches(maps: torch.Tensor, side: int) -> torch.Tensor:
    """Where in the picture the patches of a view come from.

    Args:
        maps: (N, 2, 3) as `crop_maps` draws them.
        side: patches a side, of view and picture.

    Returns:
        long (N, side * side, 2): row and column of the picture's patch that holds the centre of each patch of the view.
    """
    places = (2 * torch.arange(side) + 1) / side - 1  # centres, from -1 to 1
    y, x = torch.meshgrid(places, places, indexing="ij")
    here = torch.stack([x.flatten(), y.flatten(), torch.ones(side * side)])  # (3, P)
    x_y = (maps @ here).transpose(1, 2)  # (N, P, 2)
    return ((x_y.flip(2) + 1) / 2 * side).floor().long().clamp(0, side - 1)


def matched(view: torch.Tensor, picture: torch.Tensor, truth: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Is the nearest patch of the picture, by cosine, the right one or next to it (also across a corner)?

    Args:
        view, picture: patch tokens (N, P, width).
        truth: (N, P, 2) from `true_patches`.

    Returns:
        bool (N, P), and the share of patches that would count as right (N, P), which is chance.
    """
    side = round(picture.shape[1] ** 0.5)
    best = (F.normalize(view, dim=2) @ F.normalize(picture, dim=2).transpose(1, 2)).argmax(dim=2)
    found = torch.stack([best // side, best % side], dim=2)
    right = ((found - truth).abs() <= 1).all(dim=2)
    reach = 3 - (truth == 0).long() - (truth == side - 1).long()  # rows and columns within one patch
    return right, reach.prod(dim=2) / side**2


@torch.no_grad()
def correspondence(
    read: Read, images: torch.Tensor, masks: torch.Tensor, seeds: int = VIEW_SEEDS, area: tuple = AREA,
    colour: float = COLOUR, flip: bool = True,
) -> dict[str, dict]:  # fmt: skip
    """Patch-to-patch correspondence between a scene (uint8 (N, 3, H, W)) and a random view of it.

    Reported for all patches, and for those on the thing alone: a plain background looks the same everywhere.
    """
    picture, _ = read(images)
    side = round(picture.shape[1] ** 0.5)
    on_thing = patch_truth(masks, side)
    rights, chances, things = [], [], []
    for seed in range(seeds):
        generator = torch.Generator().manual_seed(seed)
        maps = crop_maps(len(images), area, generator, flip)
        view = recolour(cut(images, maps, images.shape[-1]), colour, generator)
        truth = true_patches(maps, side)
        right, chance = matched(read(view)[0], picture, truth)
        rights.append(right)
        chances.append(chance)
        things.append(on_thing.gather(1, truth[..., 0] * side + truth[..., 1]))
    right, chance, thing = torch.stack(rights), torch.stack(chances), torch.stack(things)  # (seeds, N, P)
    said = "whose nearest neighbour in the whole scene is the right patch or next to it"
    return {
        "correspondence": record(
            right.float().mean(dim=2).numpy(),
            f"share of patches of a cropped, flipped, recoloured view {said}",
            chance=round(chance.mean().item(), 4),
        ),
        "correspondence_thing": record(
            (right & thing).sum(dim=2).numpy(),
            f"the same for patches on the thing alone: share {said}",
            np.asarray(thing.sum(dim=2)),
            chance=round(chance[thing].mean().item(), 4),
        ),
    }
