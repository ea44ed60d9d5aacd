"""Gram anchoring (Siméoni et al. 2025, DINOv3): patches may change, but who resembles whom among them stays.

In a long run the CLS token's objective goes on improving while single patches come to look alike, and dense tasks
suffer. The Gram matrix of a picture's patches, all their cosines, is tied to that of an earlier self.
"""

import torch
from torch.nn import functional as F


def gram_matrix(patches: torch.Tensor) -> torch.Tensor:
    """Patch features (B, N, D) -> their cosines (B, N, N)."""
    unit = F.normalize(patches, dim=-1)
    return unit @ unit.transpose(1, 2)


def gram_loss(patches: torch.Tensor, anchor: torch.Tensor) -> torch.Tensor:
    """Mean squared difference of two Gram matrices.

    Args:
        patches: the student's (B, N, D).
        anchor: those of an earlier teacher of the same pictures (B, N, D'), which may have another width; no gradient
            goes there.

    Returns:
        Scalar. A rotation of all features costs nothing: only their likeness to each other is held.
    """
    return F.mse_loss(gram_matrix(patches), gram_matrix(anchor).detach())
