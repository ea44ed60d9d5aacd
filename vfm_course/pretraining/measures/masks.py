"""Promptable masks: one click, a box, and whether the model knows how good its own mask is (Kirillov et al. 2023)."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
import torch
from scipy.ndimage import distance_transform_edt
from torch.nn import functional as F

from vfm_course.objectives.sam import mask_iou
from vfm_course.pretraining.measures.record import record, statistic_record
from vfm_course.pretraining.views import normalise

VERSION = 1
SMALLEST = 20  # pixels: less of a thing than this is visible, and it is not asked for
SEEDS = 3  # of the random clicks and of the roughness of the boxes
ROUGH = 0.1  # how far a side of a rough box may be off, as a share of the box

# (number of the scene, points (P, 2) or None, boxes (P, 4) or None) -> logits (P, 3, h, w), expected IoU (P, 3)
Predict = Callable[[int, torch.Tensor | None, torch.Tensor | None], tuple[torch.Tensor, torch.Tensor]]


def predictor(model: torch.nn.Module, processor, images: torch.Tensor) -> Predict:
    """SAM asked by scene: each picture, uint8 (N, 3, H, W), is encoded once, only the decoder runs for each prompt."""
    statistics = processor.image_processor
    with torch.no_grad():
        embeddings = torch.cat([
            model.get_image_embeddings(normalise(part.float(), statistics.image_mean, statistics.image_std))
            for part in images.split(50)
        ])  # fmt: skip

    @torch.no_grad()
    def predict(number: int, points: torch.Tensor | None, boxes: torch.Tensor | None):
        asked = {}
        if points is not None:
            asked["input_points"] = points[None, :, None]
            asked["input_labels"] = torch.ones(1, len(points), 1, dtype=torch.long)
        if boxes is not None:
            asked["input_boxes"] = boxes[None]
        answer = model(image_embeddings=embeddings[number : number + 1], multimask_output=True, **asked)
        return answer.pred_masks[0], answer.iou_scores[0]

    return predict


def centre_most(mask: np.ndarray) -> tuple[float, float]:
    """x and y of the pixel farthest from everything that is not the thing, the picture's edge included."""
    distance = distance_transform_edt(np.pad(mask, 1))[1:-1, 1:-1]
    y, x = np.unravel_index(distance.argmax(), mask.shape)
    return x + 0.5, y + 0.5


def random_point(mask: np.ndarray, rng: np.random.Generator) -> tuple[float, float]:
    """x and y of any pixel of the thing."""
    ys, xs = np.nonzero(mask)
    chosen = rng.integers(len(xs))
    return xs[chosen] + 0.5, ys[chosen] + 0.5


def box_around(mask: np.ndarray, rng: np.random.Generator | None = None) -> np.ndarray:
    """Left, top, right, bottom in pixels; with a generator each side is off by up to ROUGH of the box."""
    ys, xs = np.nonzero(mask)
    box = np.array([xs.min(), ys.min(), xs.max() + 1, ys.max() + 1], dtype=np.float32)
    off = np.tile(box[2:] - box[:2], 2) * rng.uniform(-ROUGH, ROUGH, 4) if rng else 0
    return (box + off).clip(0, mask.shape[0])


def prompted(predict: Predict, things: list[list[np.ndarray]], prompt: Callable[[np.ndarray], object]) -> dict:
    """IoU of what comes back for every thing of every scene.

    Args:
        things: for each scene the masks of its things, bool (H, W).
        prompt: mask -> a point (2 numbers) or a box (4).

    Returns:
        For each scene arrays over its things: `chosen` (P,), the IoU of the mask that the model itself ranks first;
        `best` (P,), of the best of three; `true` and `expected` (P, 3).
    """
    found: dict[str, list[np.ndarray]] = {"chosen": [], "best": [], "true": [], "expected": []}
    for number, masks in enumerate(things):
        asked = torch.tensor(np.array([prompt(mask) for mask in masks]), dtype=torch.float32)
        points, boxes = (asked, None) if asked.shape[1] == 2 else (None, asked)
        logits, expected = predict(number, points, boxes)
        target = torch.from_numpy(np.stack(masks))
        logits = F.interpolate(logits, size=target.shape[-2:], mode="bilinear")
        true = mask_iou(logits, target[:, None].expand_as(logits))
        chosen = true.gather(1, expected.argmax(dim=1, keepdim=True))[:, 0]
        for key, value in zip(found, (chosen, true.max(dim=1).values, true, expected), strict=True):
            found[key].append(value.numpy())
    return found


def masks(predict: Predict, things: list[list[np.ndarray]]) -> dict[str, dict]:
    """Mean IoU by kind of prompt; things of one scene are drawn again together, so that the interval is honest."""
    things = [[mask for mask in scene if mask.sum() >= SMALLEST] for scene in things]
    kept = [number for number, scene in enumerate(things) if scene]
    things = [things[number] for number in kept]
    count = np.array([len(scene) for scene in things])

    def asked(prompt: Callable) -> dict:
        return prompted(lambda number, *rest: predict(kept[number], *rest), things, prompt)

    def seeded(draw: Callable) -> list[dict]:
        return [asked(partial(draw, rng=np.random.default_rng(seed))) for seed in range(SEEDS)]

    def mean_iou(answers: list[dict], key: str, of: str) -> dict:
        sums = np.array([[each.sum() for each in answer[key]] for answer in answers])
        counts = np.broadcast_to(count, sums.shape)
        one = len(answers) == 1
        return record(sums[0] if one else sums, f"mean IoU over {count.sum()} things of held-out scenes: {of}",
                      counts[0] if one else counts, things=int(count.sum()))  # fmt: skip

    centre, exact = [asked(centre_most)], [asked(box_around)]
    anywhere, rough = seeded(random_point), seeded(box_around)
    own, best = "the mask that the model ranks first", "the best of its three masks"
    return {
        "click": mean_iou(centre, "chosen", f"one click on the middle, {own}"),
        "click_best": mean_iou(centre, "best", f"one click on the middle, {best}"),
        "click_anywhere": mean_iou(anywhere, "chosen", f"one click anywhere on the thing, {own}"),
        "click_anywhere_best": mean_iou(anywhere, "best", f"one click anywhere on the thing, {best}"),
        "box": mean_iou(exact, "chosen", f"a box, {own}"),
        "box_best": mean_iou(exact, "best", f"a box, {best}"),
        "box_rough": mean_iou(rough, "chosen", f"a box with sides off by up to a tenth, {own}"),
        "iou_correlation": correlation(anywhere[0]["expected"], anywhere[0]["true"]),
    }


def correlation(expected: list[np.ndarray], true: list[np.ndarray]) -> dict:
    """Does the model know how good its masks are? Pearson's r over all masks; scenes are drawn again as a whole."""

    def r(scenes: np.ndarray) -> float:
        one, other = (np.concatenate([part[number].ravel() for number in scenes]) for part in (expected, true))
        return float(np.corrcoef(one, other)[0, 1]) if one.std() and other.std() else 0.0

    return statistic_record(r, len(true), "correlation of expected and true IoU over all three masks of a click")
