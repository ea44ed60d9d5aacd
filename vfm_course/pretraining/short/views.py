"""What all short runs look at: random crops of drawn scenes, with noise on them where a study asks for it."""

import torch
from torch.nn import functional as F

from vfm_course.pretraining import encoder
from vfm_course.pretraining.scenes import Scenes
from vfm_course.pretraining.short.vit import SIZE
from vfm_course.pretraining.views import crop, normalise, recolour

TEXTURES = {"grain": (1, 1), "rows": (1, 5), "columns": (5, 1), "blots": (3, 3)}  # height and width of a speck, pixels
AREA = (0.5, 1.0)  # share of the picture in a crop


def noise(n: int, kinds: torch.Tensor, generator: torch.Generator, size: int = SIZE) -> torch.Tensor:
    """Textures (n, 1, size, size) with mean 0 and deviation 1; `kinds` (n,) numbers the keys of TEXTURES.

    The kind can be told from any corner of the picture; what a pixel will be, from none but its nearest neighbours.
    """
    white = torch.randn(n, 1, size + 4, size + 4, generator=generator)
    found = torch.empty(n, 1, size, size)
    for number, (height, width) in enumerate(TEXTURES.values()):
        rows = kinds == number
        smooth = F.avg_pool2d(white[rows], (height, width), stride=1) * (height * width) ** 0.5
        found[rows] = smooth[..., :size, :size]
    return found


def to_pixels(images: torch.Tensor) -> torch.Tensor:
    """Pictures (B, 3, H, W) from 0 to 255 as every short model sees them."""
    return normalise(images.float(), encoder.IMAGENET["image_mean"], encoder.IMAGENET["image_std"])


def noisy(images: torch.Tensor, amount: float, generator: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
    """Pictures with a texture of deviation `amount` (grey levels) each, cut off at 0 and 255; and the kinds (B,)."""
    kinds = torch.randint(len(TEXTURES), (len(images),), generator=generator)
    if not amount:
        return images.float(), kinds
    return (images.float() + amount * noise(len(images), kinds, generator)).clamp(0, 255), kinds


def batch(
    data: Scenes, rows: torch.Tensor, generator: torch.Generator, amount: float = 0.0, colour: float = 0.1
) -> torch.Tensor:
    """A random view of each of these rows of the data: pixels (B, 3, 48, 48).

    Args:
        amount: deviation of the noise in grey levels.
        colour: strength of recolouring.
    """
    views = crop(torch.from_numpy(data.images[rows.numpy()]), SIZE, AREA, generator)
    if colour:
        views = recolour(views, colour, generator)
    return to_pixels(noisy(views, amount, generator)[0])
