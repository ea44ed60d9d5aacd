"""Random views of a whole batch at once: crops, flips and colours without a Python loop over the images."""

import torch
from torch.nn import functional as F


def uniform(n: int, low: float, high: float, generator: torch.Generator) -> torch.Tensor:
    """(n,) numbers between low and high."""
    return low + (high - low) * torch.rand(n, generator=generator)


def crop(
    images: torch.Tensor, size: int, area: tuple[float, float], generator: torch.Generator, flip: bool = True
) -> torch.Tensor:
    """Square crops, one an image, each covering a random share of the picture's area.

    Args:
        images: uint8 or float (B, 3, H, W).
        size: side of the crops in pixels.
        area: least and largest share of the area.

    Returns:
        float32 (B, 3, size, size) in the images' own range.
    """
    return cut(images, crop_maps(len(images), area, generator, flip), size)


def crop_maps(n: int, area: tuple[float, float], generator: torch.Generator, flip: bool = True) -> torch.Tensor:
    """Where random crops lie: (n, 2, 3), from places in the crop to places in the picture, both from -1 to 1."""
    side = uniform(n, *area, generator).sqrt()
    theta = torch.zeros(n, 2, 3)
    theta[:, 0, 0] = theta[:, 1, 1] = side
    theta[:, :, 2] = (1 - side)[:, None] * (2 * torch.rand(n, 2, generator=generator) - 1)
    if flip:
        theta[:, 0, 0] *= torch.where(torch.rand(n, generator=generator) < 0.5, -1.0, 1.0)
    return theta


def cut(images: torch.Tensor, maps: torch.Tensor, size: int) -> torch.Tensor:
    """The crops that `crop_maps` drew, float32 (B, 3, size, size)."""
    grid = F.affine_grid(maps, [len(images), 3, size, size], align_corners=False)
    return F.grid_sample(images.float(), grid, padding_mode="reflection", align_corners=False)


def recolour(images: torch.Tensor, strength: float, generator: torch.Generator) -> torch.Tensor:
    """Other colours for each picture: channels mixed, brightness and contrast shifted; some grey, some inverted.

    `images` is float (B, 3, H, W) from 0 to 255, and so is the answer. At strength 1 the colour says nothing any more.
    """
    n = len(images)
    mix = torch.softmax(4 * torch.randn(n, 3, 3, generator=generator), dim=2)  # each new channel: mostly one old one
    mix = strength * mix + (1 - strength) * torch.eye(3)
    grey = torch.rand(n, generator=generator) < 0.2 * strength
    mix[grey] = 1 / 3
    contrast = uniform(n, 1 - 0.4 * strength, 1 + 0.4 * strength, generator)
    contrast = torch.where(torch.rand(n, generator=generator) < 0.25 * strength, -contrast, contrast)  # inverted
    shift = uniform(n, -40 * strength, 40 * strength, generator)
    mixed = torch.einsum("bij,bjhw->bihw", mix * contrast[:, None, None], images - 127.5)
    return (mixed + 127.5 + shift[:, None, None, None]).clamp(0, 255)


def blur(images: torch.Tensor, share: float, generator: torch.Generator) -> torch.Tensor:
    """A 3 x 3 mean on a random share of the pictures, (B, 3, H, W) in and out."""
    blurred = F.avg_pool2d(F.pad(images, (1, 1, 1, 1), mode="replicate"), 3, stride=1)
    chosen = torch.rand(len(images), generator=generator) < share
    return torch.where(chosen[:, None, None, None], blurred, images)


def normalise(images: torch.Tensor, mean: list[float], std: list[float]) -> torch.Tensor:
    """(B, 3, H, W) from 0 to 255 -> what the model's own image processor would give."""
    return (images / 255 - torch.tensor(mean)[:, None, None]) / torch.tensor(std)[:, None, None]


def patch_masks(n: int, side: int, generator: torch.Generator, share: float = 0.5) -> torch.Tensor:
    """Which patches the student must guess: bool (n, side * side), 10 to 50 % of a `share` of the pictures."""
    wanted = uniform(n, 0.1, 0.5, generator) * (torch.rand(n, generator=generator) < share)
    order = torch.rand(n, side * side, generator=generator).argsort(dim=1).argsort(dim=1)
    return order < (wanted * side * side)[:, None]
