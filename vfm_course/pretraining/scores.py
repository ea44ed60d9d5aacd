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
DECAYS = (1e-4, 1e-3, 1e-2)  # the linear probe's choice
FIXED_TABLES = ("position_embeddings", "decoder_pos_embed")


def measure(name: str, folder: Path) -> dict[str, float]:
    """The scores of the model in `folder`, by the measure's name."""
    import transformers

    from vfm_course.families.catalog import CATALOG

    torch.manual_seed(0)
    kind = getattr(transformers, CATALOG[name].model_class)
    processor_kind = getattr(transformers, CATALOG[name].processor_class)
    model = kind.from_pretrained(folder, dtype=torch.float32).eval()
    processor = processor_kind.from_pretrained(folder)
    if name == "sam":
        return prompt_iou(model, processor)
    known, held_out = scenes(LABELLED, 64, seed=PROBE_SEED), _held_out()
    after, before = (
        [embed(name, each, processor, data) for data in (known, held_out)] for each in (model, untrained(model))
    )
    found = {
        "kNN accuracy (10 neighbours, 4,000 labelled scenes)": knn_accuracy(*after, known, held_out),
        "the same, untrained": knn_accuracy(*before, known, held_out),
        "linear probe accuracy (the same 4,000 labelled scenes)": linear_accuracy(*after, known, held_out),
        "linear probe, untrained": linear_accuracy(*before, known, held_out),
    }
    if name in ("clip", "siglip"):
        found["zero-shot accuracy, “a photo of {}”"] = zero_shot_accuracy(name, model, processor)
    return found


def untrained(model: torch.nn.Module) -> torch.nn.Module:
    """A model of the same configuration with weights as they are before training.

    Positions that were never learned (MAE's and I-JEPA's sines and cosines) are part of the architecture and are taken
    over: transformers leaves MAE's at zero.
    """
    fresh = type(model)(model.config).eval()
    if model.config.model_type in ("vit_mae", "ijepa"):
        fixed = {key: table for key, table in model.state_dict().items() if key.endswith(FIXED_TABLES)}
        fresh.load_state_dict(fixed, strict=False)
    return fresh


def features(name: str, model: torch.nn.Module, pixels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """What an encoder says of pictures, patch by patch and as a whole, by the same call for every model.

    Args:
        name: dinov2, mae, ijepa, clip, siglip or supervised.
        pixels: (B, 3, H, W) as the model's own processor gives them.

    Returns:
        Patch tokens (B, N, width), row by row from the top left, and the feature of the whole picture (B, D): the CLS
        token after the last norm (DINOv2, MAE, supervised), the mean of the patches (I-JEPA, which has no CLS token),
        the place in the joint space of pictures and texts (CLIP; SigLIP, by its attention pooling).
    """
    if name in ("clip", "siglip"):
        answer = model.get_image_features(pixel_values=pixels)
        skip = 1 if name == "clip" else 0  # SigLIP has no CLS token
        return answer.last_hidden_state[:, skip:], answer.pooler_output
    if name == "ijepa":
        tokens = model(pixel_values=pixels).last_hidden_state
        return tokens, tokens.mean(dim=1)
    if name == "mae":
        tokens = mae_tokens(model, pixels)
    else:
        backbone = model.vit if name == "supervised" else model
        tokens = backbone(pixel_values=pixels).last_hidden_state
    return tokens[:, 1:], tokens[:, 0]


def mae_tokens(model: torch.nn.Module, pixels: torch.Tensor) -> torch.Tensor:
    """CLS and all patches (B, 1 + N, width) of a ViTMAEForPreTraining, nothing hidden, in the picture's own order.

    It hides and shuffles patches in evaluation mode too: the ratio is set to 0 for this call, and the noise by which it
    sorts them is ascending, so that it sorts them into the order they are in.
    """
    n = (pixels.shape[-1] // model.config.patch_size) ** 2
    ordered = torch.arange(n, dtype=torch.float32, device=pixels.device).expand(len(pixels), -1)
    ratio, model.config.mask_ratio = model.config.mask_ratio, 0.0
    try:
        return model.vit(pixel_values=pixels, noise=ordered).last_hidden_state
    finally:
        model.config.mask_ratio = ratio


@torch.inference_mode()
def embed(name: str, model: torch.nn.Module, processor, data: Scenes) -> tuple[torch.Tensor, torch.Tensor]:
    """Features of the whole (N, D) and means of the patch tokens (N, width) of the scenes."""
    images = getattr(processor, "image_processor", processor)
    wholes, means = [], []
    for start in range(0, len(data), 250):
        pixels = torch.from_numpy(np.array(data.images[start : start + 250])).float()
        patches, whole = features(name, model, normalise(pixels, images.image_mean, images.image_std))
        wholes.append(whole)
        means.append(patches.mean(dim=1))
    return torch.cat(wholes), torch.cat(means)


def _held_out() -> Scenes:
    return scenes(HELD_OUT, 64, seed=TEST_SEED)


def _labels(data: Scenes) -> torch.Tensor:
    return torch.from_numpy(data.concepts.astype(np.int64))


def _accuracy(guesses: torch.Tensor, data: Scenes) -> float:
    return round(float((guesses == _labels(data)).float().mean()), 3)


def knn_accuracy(known: tuple, asked: tuple, known_data: Scenes, asked_data: Scenes, k: int = 10) -> float:
    """Each held-out scene votes with its k nearest labelled ones, weighted by the similarity of the whole's feature.

    `known` and `asked` are what `embed` gives for the labelled and the held-out scenes.
    """
    nearest, rows = (F.normalize(asked[0], dim=1) @ F.normalize(known[0], dim=1).T).topk(k)
    votes = torch.zeros(len(asked_data), len(CONCEPTS)).scatter_add_(1, _labels(known_data)[rows], nearest.exp())
    return _accuracy(votes.argmax(1), asked_data)


def linear_accuracy(known: tuple, asked: tuple, known_data: Scenes, asked_data: Scenes) -> float:
    """A linear probe on the whole's feature and the patches' mean side by side, each number standardised.

    The weight decay is the best of three on a fifth of the labelled scenes; the held-out ones are looked at once.
    """
    x, x_asked = torch.cat(known, dim=1), torch.cat(asked, dim=1)
    mean, std = x.mean(dim=0), x.std(dim=0) + 1e-6
    x, x_asked, labels = (x - mean) / std, (x_asked - mean) / std, _labels(known_data)
    cut = len(x) * 4 // 5

    def tried(decay: float) -> float:
        guesses = fit_linear(x[:cut], labels[:cut], decay)(x[cut:]).argmax(1)
        return (guesses == labels[cut:]).float().mean().item()

    probe = fit_linear(x, labels, max(DECAYS, key=tried))
    return _accuracy(probe(x_asked).argmax(1), asked_data)


def fit_linear(x: torch.Tensor, labels: torch.Tensor, decay: float) -> torch.nn.Linear:
    """Multinomial logistic regression from (N, D) to the concepts, by full-batch L-BFGS from zero weights."""
    head = torch.nn.Linear(x.shape[1], len(CONCEPTS))
    torch.nn.init.zeros_(head.weight)
    torch.nn.init.zeros_(head.bias)
    optimiser = torch.optim.LBFGS(head.parameters(), max_iter=100, line_search_fn="strong_wolfe")

    def closure() -> torch.Tensor:
        optimiser.zero_grad()
        loss = F.cross_entropy(head(x), labels) + decay * head.weight.square().sum()
        loss.backward()
        return loss

    optimiser.step(closure)
    return head.requires_grad_(False)


@torch.inference_mode()
def zero_shot_accuracy(name: str, model: torch.nn.Module, processor) -> float:
    """The concept whose prompt is nearest, no label seen."""
    prompts = [f"a photo of {with_article(concept)}" for concept in CONCEPTS]
    inputs = processor(text=prompts, padding="max_length" if name == "siglip" else True, return_tensors="pt")
    texts = F.normalize(model.get_text_features(**inputs).pooler_output, dim=1)
    data = _held_out()
    wholes, _ = embed(name, model, processor, data)
    return _accuracy((F.normalize(wholes, dim=1) @ texts.T).argmax(1), data)


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
