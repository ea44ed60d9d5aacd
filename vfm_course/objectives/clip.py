"""CLIP's contrastive loss (Radford et al. 2021): in a batch of pairs, which text belongs to which image, and back."""

import torch
from torch.nn import functional as F


def clip_loss(image_embeds: torch.Tensor, text_embeds: torch.Tensor, logit_scale: torch.Tensor) -> torch.Tensor:
    """Cross-entropy over the batch, image to text and text to image, averaged.

    Args:
        image_embeds: (B, D), any length; row i belongs to row i of `text_embeds`.
        text_embeds: (B, D).
        logit_scale: the factor on the cosines, 1 / temperature (the model stores its logarithm).

    Returns:
        Scalar; log(B) when the model knows nothing.
    """
    logits = logit_scale * F.normalize(image_embeds, dim=1) @ F.normalize(text_embeds, dim=1).T
    own = torch.arange(len(logits), device=logits.device)
    return (F.cross_entropy(logits, own) + F.cross_entropy(logits.T, own)) / 2
