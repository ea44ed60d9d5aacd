"""Pocket SAM: from a click or a box to three masks and their expected quality (Kirillov et al. 2023)."""

from pathlib import Path

import numpy as np
import torch
from transformers import SamConfig, SamImageProcessor, SamModel, SamProcessor

from vfm_course.objectives.sam import sam_loss
from vfm_course.pretraining import encoder
from vfm_course.pretraining.scenes import scenes
from vfm_course.pretraining.trainer import Learner, Recipe
from vfm_course.pretraining.views import normalise, recolour

SCENES, SIZE, WIDTH = 40_000, 96, 64  # more pixels than the other models: outlines are the point here
PROMPTS = 4  # for each picture
SHIFT = 0.1  # how far a side of the prompted box may be off, as a share of the box


class SamLearner(Learner):
    """SamModel with global attention only; masks come out at half the picture's resolution."""

    batch_size = 16

    def __init__(self) -> None:
        super().__init__()
        self.data = scenes(SCENES, SIZE, objects=(1, 4))
        layers = 4
        vision = {
            "hidden_size": 96,
            "output_channels": WIDTH,
            "num_hidden_layers": layers,
            "num_attention_heads": 4,
            "image_size": SIZE,
            "patch_size": encoder.PATCH,
            "use_rel_pos": False,
            "global_attn_indexes": list(range(layers)),
            "num_pos_feats": WIDTH // 2,
            "initializer_range": 0.02,
        }
        prompt = {"hidden_size": WIDTH, "image_size": SIZE, "patch_size": encoder.PATCH}
        decoder = {"hidden_size": WIDTH, "mlp_dim": 256, "num_attention_heads": 4, "iou_head_hidden_dim": WIDTH}
        config = SamConfig(vision_config=vision, prompt_encoder_config=prompt, mask_decoder_config=decoder)
        self.model = SamModel(config)
        # transformers draws these frequencies `hidden_size // 2` times too wide, which only loaded weights put right:
        # neighbouring pixels then have unrelated positions, and the model learns to ignore where the click is.
        torch.nn.init.normal_(self.model.shared_image_embedding.positional_embedding)

    def forward(self, generator: torch.Generator, progress: float) -> dict[str, torch.Tensor]:
        rows = torch.randint(len(self.data), (self.batch_size,), generator=generator).numpy()
        images = torch.from_numpy(self.data.images[rows]).float()
        segments = torch.from_numpy(self.data.segments[rows])
        if torch.rand(1, generator=generator) < 0.5:
            images, segments = images.flip(-1), segments.flip(-1)
        images = recolour(images, 0.5, generator)
        pixels = normalise(images, encoder.IMAGENET["image_mean"], encoder.IMAGENET["image_std"])
        rng = np.random.default_rng(torch.randint(2**31, (1,), generator=generator).item())
        wanted, clicks, boxes = prompts(segments, PROMPTS, rng)
        if rng.random() < 0.5:
            inside = torch.ones(*clicks.shape[:2], 1, dtype=torch.long)
            asked = {"input_points": clicks[:, :, None], "input_labels": inside}
        else:
            asked = {"input_boxes": boxes}
        answer = self.model(pixel_values=pixels, multimask_output=True, **asked)
        return sam_loss(answer.pred_masks, answer.iou_scores, wanted[:, :, ::2, ::2].float())

    def save(self, folder: Path) -> None:
        self.model.save_pretrained(folder)
        side = {"height": SIZE, "width": SIZE}
        half = {"height": SIZE // 2, "width": SIZE // 2}
        images = SamImageProcessor(
            size={"longest_edge": SIZE},
            mask_size={"longest_edge": SIZE // 2},
            pad_size=side,
            mask_pad_size=half,
            **encoder.IMAGENET,
        )
        SamProcessor(images).save_pretrained(folder)


def prompts(
    segments: torch.Tensor, n: int, rng: np.random.Generator
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Random things of each picture, a click inside each and a roughly drawn box around it.

    Args:
        segments: uint8 (B, H, W), 0 for the background; every picture shows at least one thing.
        n: prompts for each picture; a thing may be asked for twice.

    Returns:
        masks bool (B, n, H, W), clicks (B, n, 2) as (x, y), boxes (B, n, 4) as (left, top, right, bottom), in pixels.
    """
    masks, clicks, boxes = [], [], []
    for segment in segments.numpy():
        present = np.unique(segment)
        for which in rng.choice(present[present > 0], n):
            mask = segment == which
            ys, xs = np.nonzero(mask)
            inside = rng.integers(len(xs))
            box = np.array([xs.min(), ys.min(), xs.max() + 1, ys.max() + 1], dtype=np.float32)
            off = np.tile(box[2:] - box[:2], 2) * rng.uniform(-SHIFT, SHIFT, 4)
            masks.append(mask)
            clicks.append((xs[inside] + 0.5, ys[inside] + 0.5))
            boxes.append((box + off).clip(0, segment.shape[0]))
    batch = (len(segments), n)
    return (
        torch.from_numpy(np.stack(masks)).view(*batch, *segments.shape[1:]),
        torch.tensor(clicks, dtype=torch.float32).view(*batch, 2),
        torch.from_numpy(np.stack(boxes)).float().view(*batch, 4),
    )


RECIPE = Recipe("sam", SamLearner, images=200_000, quick_images=15_000)
