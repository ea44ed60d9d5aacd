"""SAM asked about one picture: a click or a box in, three masks and the IoU it expects of each out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from PIL import Image

from vfm_course.errors import UserError

if TYPE_CHECKING:
    from vfm_course.families.load import Loaded


@dataclass(frozen=True)
class Masks:
    """`masks` bool (3, H, W) in the picture's pixels and `expected` (3,), the IoU that SAM expects; the best first."""

    masks: torch.Tensor
    expected: torch.Tensor


@torch.inference_mode()
def prompted_masks(
    sam: Loaded,
    image: Image.Image,
    click: Sequence[float] | None = None,
    box: Sequence[float] | None = None,
) -> Masks:
    """Masks of what a prompt points at (Kirillov et al. 2023).

    A click can mean the wheel, the car or all the traffic, so SAM gives three masks; which one is wanted it cannot
    know. A box leaves less open, and all three are then much the same.

    Args:
        sam: what `load("sam")` gives.
        image: a picture of any size.
        click: (x, y) in the picture's pixels, on the thing.
        box: (left, top, right, bottom) in the picture's pixels.

    Raises:
        UserError: not SAM, not exactly one prompt, or a prompt outside the picture.
    """
    if sam.name != "sam":
        raise UserError(f"{sam.name} takes no clicks and boxes: load('sam').")
    if (click is None) == (box is None):
        raise UserError("Give a click or a box, one of them.")
    numbers = [float(value) for value in (click if box is None else box)]
    if not all(0 <= value <= limit for value, limit in zip(numbers, image.size * 2, strict=False)):
        where = "click" if box is None else "box"
        shown = ", ".join(f"{value:g}" for value in numbers)
        raise UserError(f"The {where} ({shown}) lies outside the picture of {image.width} x {image.height} pixels.")
    asked = {"input_points": [[[numbers]]]} if box is None else {"input_boxes": [[numbers]]}
    inputs = sam.processor(images=image, return_tensors="pt", **asked).to(sam.device)
    sizes = inputs.pop("original_sizes").cpu(), inputs.pop("reshaped_input_sizes").cpu()
    inputs = {key: value.float() for key, value in inputs.items()}  # the processor's prompts are in double precision
    answer = sam.model(**inputs, multimask_output=True)
    masks = sam.processor.image_processor.post_process_masks(answer.pred_masks.cpu(), *sizes)[0][0]
    expected = answer.iou_scores[0, 0].cpu()
    order = expected.argsort(descending=True)
    return Masks(masks[order], expected[order])
