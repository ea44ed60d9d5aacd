"""SAM's loss (Kirillov et al. 2023): focal and Dice on the best of three masks, and honesty about its own IoU."""

import torch
from torch.nn import functional as F


def focal_loss(logits: torch.Tensor, target: torch.Tensor, gamma: float = 2.0) -> torch.Tensor:
    """Binary cross-entropy that all but ignores easy pixels (Lin et al. 2017), (..., H, W) -> (...)."""
    cross_entropy = F.binary_cross_entropy_with_logits(logits, target, reduction="none")
    return ((1 - torch.exp(-cross_entropy)) ** gamma * cross_entropy).mean(dim=(-2, -1))


def dice_loss(logits: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """1 - Dice overlap of the soft masks, (..., H, W) -> (...): small things weigh as much as large ones."""
    mask = logits.sigmoid()
    overlap = 2 * (mask * target).sum(dim=(-2, -1))
    return 1 - (overlap + 1) / (mask.sum(dim=(-2, -1)) + target.sum(dim=(-2, -1)) + 1)


@torch.no_grad()
def mask_iou(logits: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """Intersection over union of the masks where the logit is positive, (..., H, W) -> (...)."""
    mask, target = logits > 0, target > 0.5
    union = (mask | target).sum(dim=(-2, -1))
    return (mask & target).sum(dim=(-2, -1)) / union.clamp(min=1)


def sam_loss(masks: torch.Tensor, scores: torch.Tensor, target: torch.Tensor) -> dict[str, torch.Tensor]:
    """One prompt, three answers: only the best of them is taught, so that each can stand for another reading.

    Args:
        masks: logits (B, P, 3, H, W) for P prompts an image.
        scores: (B, P, 3), the IoU that the model expects of each mask.
        target: (B, P, H, W), 0 or 1.
    """
    wanted = target[:, :, None].expand_as(masks)
    mask_loss = 20 * focal_loss(masks, wanted) + dice_loss(masks, wanted)
    iou = mask_iou(masks, wanted)
    score_loss = F.mse_loss(scores, iou)
    best = mask_loss.min(dim=2).values.mean()
    return {"loss": best + score_loss, "mask": best, "score": score_loss, "best_iou": iou.max(dim=2).values.mean()}
