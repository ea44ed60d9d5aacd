"""Random views of prepared pixels, for those ways of adapting that see a picture more than once; the same for all."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch.nn import functional as F

LEAST_AREA = 0.6  # of a picture that a crop shows
LIGHT = 0.3  # contrast changes by as much, brightness by as many standard deviations


def augment(pixels: torch.Tensor, ways: Sequence[str], generator: torch.Generator) -> torch.Tensor:
    """Pixels (B, 3, H, W) as a processor gives them -> other views of the same pictures, of the same shape.

    Args:
        ways: of `flip` (half of them mirrored), `crop` (a random part of at least 0.6 of the area, enlarged) and
            `light` (another contrast and brightness); what a task's labels bear.
        generator: on the CPU, so that every device gets the same views.
    """
    n = len(pixels)

    def uniform(low: float, high: float, *shape: int) -> torch.Tensor:
        return low + (high - low) * torch.rand(n, *shape, generator=generator)

    if "flip" in ways or "crop" in ways:
        side = uniform(LEAST_AREA, 1).sqrt() if "crop" in ways else torch.ones(n)
        maps = torch.zeros(n, 2, 3)  # from places in the view to places in the picture, both from -1 to 1
        maps[:, 0, 0] = maps[:, 1, 1] = side
        maps[:, :, 2] = (1 - side)[:, None] * uniform(-1, 1, 2)
        if "flip" in ways:
            maps[:, 0, 0] *= torch.where(uniform(0, 1) < 0.5, -1.0, 1.0)
        grid = F.affine_grid(maps.to(pixels), list(pixels.shape), align_corners=False)
        pixels = F.grid_sample(pixels, grid, padding_mode="reflection", align_corners=False)
    if "light" in ways:
        contrast, brightness = uniform(1 - LIGHT, 1 + LIGHT, 1, 1, 1), uniform(-LIGHT, LIGHT, 1, 1, 1)
        pixels = pixels * contrast.to(pixels) + brightness.to(pixels)
    return pixels
