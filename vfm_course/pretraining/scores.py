"""What a checkpoint can do on held-out scenes: the figures on its card."""

from pathlib import Path

import numpy as np
import torch
from torch.nn import functional as F

from vfm_course.pretraining.scenes import PROBE_SEED, TEST_SEED, Scenes, scenes
from vfm_course.pretraining.views import normalise
from vfm_course.world import CONCEPTS
from vfm_course.world.captions import with_article

LABELLED, HELD_OUT = 4_000, 2_000


def measure(name: str, folder: Path) -> dict[str, float]:
    """The scores of the model in `folder`, by the measure's name."""
    import transformers

    from vfm_course.families.catalog import CATALOG

    torch.manual_seed(0)
    kind = getattr(transformers, CATALOG[name].model_class)
    model = kind.from_pretrained(folder, dtype=torch.float32).eval()
    processor = getattr(transformers, CATALOG[name].processor_class).from_pretrained(folder)
    if name == "sam":
        return prompt_iou(model, processor)
    untrained = kind(model.config).eval()
    found = {
        "kNN accuracy (10 neighbours, 4,000 labelled scenes)": knn_accuracy(name, model, processor),
        "the same, untrained": knn_accuracy(name, untrained, processor),
    }
    if name != "dinov2":
        found["zero-shot accuracy, “a photo of {}”"] = zero_shot_accuracy(name, model, processor)
    return found


@torch.inference_mode()
def embed(name: str, model: torch.nn.Module, processor, data: Scenes) -> torch.Tensor:
    """Unit vectors (N, D) of the scenes: DINOv2's CLS token, or the joint space of the two towers."""
    images = getattr(processor, "image_processor", processor)
    rows = []
    for start in range(0, len(data), 250):
        pixels = torch.from_numpy(np.array(data.images[start : start + 250])).float()
        pixels = normalise(pixels, images.image_mean, images.image_std)
        answer = model(pixel_values=pixels) if name == "dinov2" else model.get_image_features(pixel_values=pixels)
        rows.append(F.normalize(answer.pooler_output, dim=1))
    return torch.cat(rows)


def _held_out() -> Scenes:
    return scenes(HELD_OUT, 64, seed=TEST_SEED)


def _accuracy(guesses: torch.Tensor, data: Scenes) -> float:
    return round(float((guesses.numpy() == data.concepts).mean()), 3)


def knn_accuracy(name: str, model: torch.nn.Module, processor, k: int = 10) -> float:
    """Each held-out scene votes with its k nearest labelled ones, weighted by similarity."""
    known, data = scenes(LABELLED, 64, seed=PROBE_SEED), _held_out()
    cosine = embed(name, model, processor, data) @ embed(name, model, processor, known).T
    nearest, rows = cosine.topk(k)
    concepts = torch.from_numpy(known.concepts.astype(np.int64))
    votes = torch.zeros(len(data), len(CONCEPTS)).scatter_add_(1, concepts[rows], nearest.exp())
    return _accuracy(votes.argmax(1), data)


@torch.inference_mode()
def zero_shot_accuracy(name: str, model: torch.nn.Module, processor) -> float:
    """The concept whose prompt is nearest, no label seen."""
    prompts = [f"a photo of {with_article(concept)}" for concept in CONCEPTS]
    inputs = processor(text=prompts, padding="max_length" if name == "siglip" else True, return_tensors="pt")
    texts = F.normalize(model.get_text_features(**inputs).pooler_output, dim=1)
    data = _held_out()
    return _accuracy((embed(name, model, processor, data) @ texts.T).argmax(1), data)


@torch.inference_mode()
def prompt_iou(model: torch.nn.Module, processor, n: int = 400) -> dict[str, float]:
    """Mean IoU of the mask that the model itself ranks first, from one click and from a rough box."""
    from vfm_course.objectives.sam import mask_iou
    from vfm_course.pretraining.recipes.sam import SIZE, prompts

    data = scenes(n, SIZE, objects=(1, 4), seed=TEST_SEED)
    images = processor.image_processor
    rng = np.random.default_rng(0)
    totals: dict[str, list[float]] = {"mean IoU from one click": [], "mean IoU from a box": []}
    for start in range(0, n, 50):
        pixels = torch.from_numpy(np.array(data.images[start : start + 50])).float()
        pixels = normalise(pixels, images.image_mean, images.image_std)
        wanted, clicks, boxes = prompts(torch.from_numpy(np.array(data.segments[start : start + 50])), 2, rng)
        inside = torch.ones(*clicks.shape[:2], 1, dtype=torch.long)
        asked = ({"input_points": clicks[:, :, None], "input_labels": inside}, {"input_boxes": boxes})
        for total, prompt in zip(totals.values(), asked, strict=True):
            answer = model(pixel_values=pixels, multimask_output=True, **prompt)
            best = answer.iou_scores.argmax(2)[..., None, None, None].expand(-1, -1, 1, *answer.pred_masks.shape[-2:])
            masks = answer.pred_masks.gather(2, best)[:, :, 0]
            masks = F.interpolate(masks, size=wanted.shape[-2:], mode="bilinear")
            total += mask_iou(masks, wanted.float()).flatten().tolist()
    return {what: round(float(np.mean(values)), 3) for what, values in totals.items()}
