"""One encoder for all objectives, so that nothing but the objective differs."""

from collections.abc import Callable

import torch
from torch import nn

from vfm_course.objectives.ijepa import pick
from vfm_course.objectives.mae import patchify, sincos_positions

SIZE, PATCH = 48, 8  # pixels: 6 x 6 = 36 patches
SIDE = SIZE // PATCH


def blocks(width: int, layers: int) -> nn.ModuleList:
    """Transformer layers with heads of 16 numbers each."""
    return nn.ModuleList(
        nn.TransformerEncoderLayer(
            width, max(1, width // 16), 4 * width, 0.0, "gelu", batch_first=True, norm_first=True
        )
        for _ in range(layers)
    )


class ShortViT(nn.Module):
    """A plain ViT without CLS token that may be shown some of the patches only; positions are fixed."""

    def __init__(self, width: int = 64, layers: int = 4, patchify: Callable = patchify):
        super().__init__()
        self.width, self.patchify = width, patchify
        self.patch_embeddings = nn.Linear(3 * PATCH * PATCH, width)
        self.register_buffer("positions", sincos_positions(SIDE, width))
        self.blocks = blocks(width, layers)
        self.norm = nn.LayerNorm(width)

    def forward(self, pixels: torch.Tensor, keep: torch.Tensor | None = None) -> torch.Tensor:
        """Pixels (B, 3, 48, 48) -> tokens (B, 36, width), or (B, K, width) of the patches numbered in `keep` (B, K)."""
        tokens = self.patch_embeddings(self.patchify(pixels, PATCH)) + self.positions
        if keep is not None:
            tokens = pick(tokens, keep)
        for block in self.blocks:
            tokens = block(tokens)
        return self.norm(tokens)
