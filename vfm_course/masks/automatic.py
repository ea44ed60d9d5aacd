"""Every thing in a picture, without a prompt: a grid of clicks, the good masks kept, copies dropped (SAM's own way)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from vfm_course.features.images import Unreadable, read_picture

if TYPE_CHECKING:
    import torch

    from vfm_course.families.load import Loaded
    from vfm_course.toolkit import Row

GRID = 8  # clicks a side
GOOD = {"hub": 0.88, "pocket": 0.6}  # the least IoU that the model must expect: SAM's own, and what suits a modest one
SAME = 0.7  # masks that overlap more than this are one
AT_ONCE = 16  # prompts a forward pass


def automatic_masks(image: Image.Image, sam: Loaded, grid: int = GRID, good: float | None = None) -> torch.Tensor:
    """Masks of everything that a grid of clicks finds, bool (M, H, W) in the picture's pixels, the best first.

    The picture is encoded once; only the light decoder runs for each click.

    Args:
        grid: clicks a side.
        good: the least IoU that the model must expect of a mask for it to be kept; GOOD if not given.
    """
    import torch

    good = GOOD[sam.tier] if good is None else good

    width, height = image.size
    steps = (np.arange(grid) + 0.5) / grid
    clicks = [[[float(x * width), float(y * height)]] for y in steps for x in steps]
    found, scores = [], []
    with torch.inference_mode():
        inputs = sam.processor(images=image, return_tensors="pt").to(sam.device)
        embedding = sam.model.get_image_embeddings(inputs["pixel_values"])
        for start in range(0, len(clicks), AT_ONCE):
            prompt = sam.processor(images=image, input_points=[clicks[start : start + AT_ONCE]], return_tensors="pt")
            points = prompt["input_points"].float().to(sam.device)
            answer = sam.model(image_embeddings=embedding, input_points=points, multimask_output=True)
            masks = sam.processor.image_processor.post_process_masks(
                answer.pred_masks.cpu(), inputs["original_sizes"].cpu(), inputs["reshaped_input_sizes"].cpu()
            )[0]
            score, best = answer.iou_scores[0].cpu().max(dim=1)  # of the three masks of each click
            found.append(masks[torch.arange(len(masks)), best])
            scores.append(score)
    masks, score = torch.cat(found), torch.cat(scores)
    return _without_copies(masks[score >= good], score[score >= good])


def _without_copies(masks: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
    """Non-maximum suppression on masks (M, H, W): of two that overlap by more than SAME the better is kept."""
    kept: list[torch.Tensor] = []
    for number in scores.argsort(descending=True):
        mask = masks[number]
        if mask.any() and all((mask & other).sum() <= SAME * (mask | other).sum() for other in kept):
            kept.append(mask)
    return masks[:0] if not kept else masks.new_tensor(np.stack([mask.numpy() for mask in kept]))


def overlay(image: Image.Image, masks: torch.Tensor, alpha: float = 0.55) -> Image.Image:
    """The picture with each mask in a colour of its own."""
    import torch

    from vfm_course.solutions.ch06_toolkit import overlay_masks

    if not len(masks):
        return image
    hues = [Image.new("HSV", (1, 1), (int(255 * i / len(masks)), 220, 255)).convert("RGB") for i in range(len(masks))]
    colours = torch.tensor([hue.getpixel((0, 0)) for hue in hues], dtype=torch.float32)
    pixels = torch.from_numpy(np.array(image)).float()
    return Image.fromarray(overlay_masks(pixels, masks, colours, alpha).round().to(torch.uint8).numpy())


def overlay_row(row: Row, sam: Loaded) -> Image.Image | None:
    """A small overlay of one picture for the toolkit's page; None if the file cannot be read any more."""
    try:
        image = read_picture(row.path, 256).image
    except Unreadable:
        return None
    image.thumbnail((320, 320))
    return overlay(image, automatic_masks(image, sam))
