"""SigLIP's pairwise loss (Zhai et al. 2023): each image-text pair is its own yes-or-no question; no softmax."""

import torch
from torch.nn import functional as F


def siglip_loss(
    image_embeds: torch.Tensor, text_embeds: torch.Tensor, logit_scale: torch.Tensor, logit_bias: torch.Tensor
) -> torch.Tensor:
    """Binary cross-entropy over all B * B pairs, summed and divided by B as in the paper.

    Args:
        image_embeds: (B, D), any length; row i belongs to row i of `text_embeds`.
        text_embeds: (B, D).
        logit_scale: the factor on the cosines (the model stores its logarithm).
        logit_bias: added to every logit; begins at -10, since nearly all pairs are wrong ones.
    """
    logits = logit_scale * F.normalize(image_embeds, dim=1) @ F.normalize(text_embeds, dim=1).T + logit_bias
    sign = 2 * torch.eye(len(logits), device=logits.device) - 1  # +1 for a pair that belongs together, else -1
    return -F.logsigmoid(sign * logits).sum() / len(logits)
