"""A name in, a mask out, by two models: CLIP says where, SAM cuts it out.

CLIP only ever compares whole pictures with texts. To make it say where something is, windows of a few sizes slide over
the picture and each is compared with the text. In published systems a detector does this part in one pass: Grounding
DINO (Liu et al. 2023, "Grounding DINO: Marrying DINO with grounded pre-training for open-set object detection") hands
its boxes to SAM, and SAM 3 has taken the detector in.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from PIL import Image
from torch.nn import functional as F

from vfm_course.errors import UserError
from vfm_course.families.texts import unknown_words
from vfm_course.features.patches import prepare
from vfm_course.masks.prompted import prompted_masks

if TYPE_CHECKING:
    from vfm_course.families.load import Loaded

# Chosen on scenes 61 to 124 of World(78, 224, objects=3), by the IoU of box and mask with the thing that was named.
SIZES = (0.3, 0.4, 0.5, 0.6, 0.7)  # sides of the windows, as shares of the picture's short side
STRIDE = 1 / 8  # from one window to the next, likewise, at most
AGREEING = 12  # the best windows, whose mean is the box: each alone is off by up to half a stride and half a size
OVERLAP = 0.1  # IoU with the best window that a window needs to be of the same place
AT_ONCE = 64  # windows a forward pass


@dataclass(frozen=True)
class Windows:
    """The windows of one picture: `boxes` (N, 4) left, top, right, bottom in its pixels; `features` (N, D), CLIP's,
    of length one."""

    boxes: np.ndarray
    features: torch.Tensor


@dataclass(frozen=True)
class NamedMask:
    """`mask` bool (H, W); `box` (left, top, right, bottom) in pixels, where CLIP found the text; `score`, by how much
    the text's cosine with the best window there is above its mean over all windows."""

    mask: np.ndarray
    box: tuple[float, float, float, float]
    score: float


def window_boxes(width: int, height: int, sizes: tuple[float, ...] = SIZES, stride: float = STRIDE) -> np.ndarray:
    """Square windows that cover the picture evenly, float (N, 4): left, top, right, bottom."""
    short = min(width, height)
    boxes = []
    for side in (size * short for size in sizes):
        lefts, tops = (
            np.linspace(0, full - side, 1 + int(np.ceil((full - side) / (stride * short) - 1e-9)))
            for full in (width, height)
        )
        boxes += [(left, top, left + side, top + side) for top in tops for left in lefts]
    return np.array(boxes)


@torch.inference_mode()
def window_features(
    image: Image.Image, clip: Loaded, sizes: tuple[float, ...] = SIZES, stride: float = STRIDE
) -> Windows:
    """What CLIP says of each window: the slow part, needed once a picture, whatever texts are then looked for.

    Raises:
        UserError: the model is not a CLIP.
    """
    _check_clip(clip)
    boxes = window_boxes(*image.size, sizes, stride)
    picture = image.convert("RGB")
    crops = [picture.crop(tuple(box)) for box in boxes.round().astype(int).tolist()]
    parts = []
    for start in range(0, len(crops), AT_ONCE):
        pixels = prepare(clip, crops[start : start + AT_ONCE])
        parts.append(clip.model.get_image_features(pixel_values=pixels).pooler_output.float().cpu())
    return Windows(boxes, F.normalize(torch.cat(parts), dim=1))


@torch.inference_mode()
def window_scores(text: str, windows: Windows, clip: Loaded) -> np.ndarray:
    """How much better the text fits each window than it fits the picture's windows on average: cosine minus mean (N,).

    Raises:
        UserError: not a CLIP, no text, or words that the pocket CLIP cannot read.
    """
    _check_clip(clip)
    if not text.strip():
        raise UserError("There is no text: say what is to be found, for example 'a red cat'.")
    if unknown := unknown_words(text, clip.known_words):
        raise UserError(
            f"The pocket CLIP cannot read {', '.join(unknown)} (in {text!r}): it knows only the drawn world's words, "
            "which `vfm_course.world.vocabulary()` lists."
        )
    inputs = clip.processor(text=[text], padding=True, truncation=True, return_tensors="pt").to(clip.device)
    said = F.normalize(clip.model.get_text_features(**inputs).pooler_output.float().cpu(), dim=1)
    cosines = (windows.features @ said[0]).numpy()
    return cosines - cosines.mean()


def named_boxes(
    text: str, image: Image.Image, clip: Loaded, windows: Windows | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """All windows of a picture, the one that the text fits best first.

    Args:
        text: what to find, for example `a red cat`.
        image: a picture of any size.
        clip: what `load("clip")` gives.
        windows: what `window_features` gave for this picture, to look for several texts at the price of one.

    Returns:
        Boxes (N, 4) in pixels and their scores (N,), from the best to the worst.

    Raises:
        UserError: not a CLIP, no text, or words that the pocket CLIP cannot read.
    """
    windows = windows or window_features(image, clip)
    scores = window_scores(text, windows, clip)
    order = np.argsort(-scores, kind="stable")
    return windows.boxes[order], scores[order]


def agreed_box(boxes: np.ndarray, agreeing: int = AGREEING, overlap: float = OVERLAP) -> np.ndarray:
    """The mean (4,) of the best window and those of the next best that lie at the same place.

    Args:
        boxes: (N, 4), the best first.
        agreeing: how many windows are taken at most.
        overlap: the least IoU with the best one.
    """
    sides = np.minimum(boxes[:, 2:], boxes[0, 2:]) - np.maximum(boxes[:, :2], boxes[0, :2])
    shared = sides.clip(0).prod(axis=1)
    areas = (boxes[:, 2:] - boxes[:, :2]).prod(axis=1)
    return boxes[shared / (areas + areas[0] - shared) >= overlap][:agreeing].mean(axis=0)


def named_mask(text: str, image: Image.Image, clip: Loaded, sam: Loaded, windows: Windows | None = None) -> NamedMask:
    """The mask of what a text names: CLIP's best windows agree on a box, and the box prompts SAM.

    There is always an answer, also where nothing of the name is in the picture; the score is then low, but no
    threshold is known that would hold for all texts. Of two things of the same name one is found, or a box between.

    Args:
        text: what to cut out, for example `a red cat`.
        image: a picture of any size.
        clip, sam: what `load("clip")` and `load("sam")` give.
        windows: what `window_features` gave for this picture, if it is there already.

    Raises:
        UserError: not a CLIP, not SAM, no text, or words that the pocket CLIP cannot read.
    """
    if sam.name != "sam":
        raise UserError(f"{sam.name} takes no boxes: load('sam').")
    boxes, scores = named_boxes(text, image, clip, windows)
    box = agreed_box(boxes)
    mask = prompted_masks(sam, image, box=box).masks[0]
    if mask.any():  # windows are square and things are not: the mask's own box is the better prompt
        ys, xs = torch.nonzero(mask, as_tuple=True)
        tight = [xs.min(), ys.min(), xs.max() + 1, ys.max() + 1]
        mask = prompted_masks(sam, image, box=[int(side) for side in tight]).masks[0]
    return NamedMask(mask.numpy(), tuple(box.tolist()), float(scores[0]))


def _check_clip(clip: Loaded) -> None:
    if not clip.name.startswith("clip"):
        raise UserError(f"{clip.name} is not a CLIP, which compares windows with a text: load('clip').")
