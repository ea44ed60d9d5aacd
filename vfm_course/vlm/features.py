"""What the frozen encoder makes of every scene, computed once: training a connector never runs the encoder."""

import os

import numpy as np
import torch

from vfm_course.paths import cache_dir
from vfm_course.vlm.drawn import drawn_scenes

BATCH = 250


def scene_features(vision: torch.nn.Module, digest: str, split: str, n: int) -> np.ndarray:
    """Last hidden states of `drawn_scenes(split, n)`, float16 (N, 65, width), CLS first; kept in the cache.

    Args:
        vision: an image encoder of CLIP's form.
        digest: names its weights, and the file in the cache.
    """
    path = cache_dir() / "vlm_features" / f"{digest[:16]}_{split}_{n}.npy"
    if not path.is_file():
        path.parent.mkdir(parents=True, exist_ok=True)
        _compute(vision, drawn_scenes(split, n).images, path)
    return np.load(path, mmap_mode="r")


def _compute(vision: torch.nn.Module, images: np.ndarray, path: os.PathLike) -> None:
    from rich.progress import track

    config = vision.config
    tokens = (config.image_size // config.patch_size) ** 2 + 1
    partial = path.with_suffix(f".partial{os.getpid()}")
    shape = (len(images), tokens, config.hidden_size)
    out = np.lib.format.open_memmap(partial, mode="w+", dtype=np.float16, shape=shape)
    for start in track(range(0, len(images), BATCH), "Encoding scenes"):
        rows = slice(start, start + BATCH)
        out[rows] = encode(vision, images[rows]).numpy().astype(np.float16)
    out.flush()
    os.replace(partial, path)


def as_pixels(images: np.ndarray) -> torch.Tensor:
    """uint8 images (B, 3, H, W) -> what CLIP's image processor gives for them, float32 (B, 3, H, W)."""
    from transformers.image_utils import OPENAI_CLIP_MEAN, OPENAI_CLIP_STD

    mean, std = torch.tensor(OPENAI_CLIP_MEAN)[:, None, None], torch.tensor(OPENAI_CLIP_STD)[:, None, None]
    return (torch.from_numpy(np.array(images)).float() / 255 - mean) / std  # a copy: files are mapped read-only


@torch.inference_mode()
def encode(vision: torch.nn.Module, images: np.ndarray) -> torch.Tensor:
    """uint8 images (B, 3, 64, 64) -> the last hidden states, float32 (B, 65, width), on the CPU."""
    return vision(pixel_values=as_pixels(images).to(vision.device)).last_hidden_state.cpu()
