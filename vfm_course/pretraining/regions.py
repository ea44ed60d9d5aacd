"""Which patches a box covers: what lets a text speak of a part of a picture (RegionCLIP, Zhong et al. 2022)."""

import torch


def box_shares(boxes: torch.Tensor, side: int, size: int) -> torch.Tensor:
    """How much of a box lies on each patch, as weights of a mean.

    Args:
        boxes: (R, 4), left, top, right and bottom in pixels, right and bottom exclusive.
        side: patches along a side.
        size: pixels along a side.

    Returns:
        (R, side * side), each row summing to 1, patches row by row from the top left.
    """
    left, top, right, bottom = (boxes.float() * side / size).unsqueeze(-1).unbind(1)  # (R, 1), in patches
    begin = torch.arange(side, device=boxes.device)
    across = (torch.minimum(begin + 1, right) - torch.maximum(begin, left)).clamp(min=0)  # (R, side)
    down = (torch.minimum(begin + 1, bottom) - torch.maximum(begin, top)).clamp(min=0)
    area = (down[:, :, None] * across[:, None]).flatten(1)
    return area / area.sum(dim=1, keepdim=True)


def middle_patches(centres: torch.Tensor, side: int, size: int) -> torch.Tensor:
    """The patch on which the middle of each thing lies.

    Args:
        centres: (R, 2), x and y in pixels.
        side: patches along a side. size: pixels along a side.

    Returns:
        (R,), patches counted row by row from the top left.
    """
    across, down = (centres * side / size).long().clamp(0, side - 1).unbind(1)
    return down * side + across
