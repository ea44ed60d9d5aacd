"""MAE's loss (He et al. 2022): paint the hidden patches; what was visible is not judged.

Three quarters of the patches are thrown away at random, the encoder sees the rest, and a light decoder paints the whole
picture from what the encoder says and one learned token that stands for every hidden patch.
"""

import torch


def sincos_positions(side: int, width: int, table_side: int | None = None) -> torch.Tensor:
    """Fixed positions of a grid of patches, as MAE and I-JEPA have them: sines and cosines of column and row.

    Args:
        side: patches a side.
        width: numbers a patch, a multiple of 4; a quarter each for sine and cosine of the column, then of the row.
        table_side: the grid is stretched over a table of so many patches a side, which is how a model trained on fewer
            patches knows its way about the larger picture; `side` if not given.

    Returns:
        (side * side, width), row by row from the top left.
    """
    scale = (table_side or side) / side
    centres = (torch.arange(side, dtype=torch.float64) + 0.5) * scale - 0.5
    frequencies = 10_000 ** -(torch.arange(width // 4, dtype=torch.float64) / (width // 4))
    angles = centres[:, None] * frequencies
    waves = torch.cat([angles.sin(), angles.cos()], dim=1)  # (side, width / 2)
    columns, rows = waves.repeat(side, 1), waves.repeat_interleave(side, dim=0)
    return torch.cat([columns, rows], dim=1).float()


def patchify(pixels: torch.Tensor, patch: int) -> torch.Tensor:
    """Pictures (B, C, H, W) -> patches (B, N, patch * patch * C), row by row, the colours of a pixel side by side."""
    batch, channels, height, width = pixels.shape
    grid = pixels.reshape(batch, channels, height // patch, patch, width // patch, patch)
    return grid.permute(0, 2, 4, 3, 5, 1).reshape(batch, -1, patch * patch * channels)


def normalise_patches(patches: torch.Tensor) -> torch.Tensor:
    """(..., P) -> (..., P): every patch has mean 0 and variance 1 of its own.

    The decoder is then asked for the patch's pattern; its mean colour, which any neighbour gives away, earns nothing.
    """
    variance, mean = torch.var_mean(patches, dim=-1, keepdim=True)
    return (patches - mean) / (variance + 1e-6).sqrt()


def mae_loss(predicted: torch.Tensor, pixels: torch.Tensor, mask: torch.Tensor, patch: int) -> torch.Tensor:
    """Mean squared error on the normalised pixels of the hidden patches.

    Args:
        predicted: the decoder's answer (B, N, patch * patch * C) for all N patches, hidden or not.
        pixels: (B, C, H, W), the picture itself.
        mask: (B, N), 1 where a patch was hidden from the encoder, 0 where it was visible.
        patch: side of a patch in pixels.

    Returns:
        Scalar; about 1 when the decoder answers with zeros, which is all that can be said without looking.
    """
    target = normalise_patches(patchify(pixels, patch))
    error = (predicted - target).square().mean(dim=-1)  # (B, N)
    return (error * mask).sum() / mask.sum()
