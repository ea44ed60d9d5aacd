"""One call for every image encoder: pictures in, unit vectors out, loaded only when something has to be computed."""

from __future__ import annotations

import gc
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from vfm_course.families.load import chosen_tier, load, revision_of

if TYPE_CHECKING:
    import torch
    from PIL import Image

    from vfm_course.families.load import Loaded

PREPARATION = 2  # counted up when pictures are read or prepared in another way: old embeddings are then not used


@dataclass
class Encoder:
    """A checkpoint as an encoder of pictures and, for CLIP and SigLIP, of texts.

    `name` is dinov2, clip or siglip; `tier` pocket or hub.
    """

    name: str
    tier: str | None = None
    device: str | None = None
    lock: threading.Lock = field(default_factory=threading.Lock, repr=False, compare=False)
    _loaded: Loaded | None = field(default=None, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        self.tier = chosen_tier(self.tier)

    @property
    def loaded(self) -> Loaded:
        """Model and processor, loaded once at the first use, whichever thread that is."""
        with self.lock:
            if self._loaded is None:
                with _no_collection():
                    self._loaded = load(self.name, self.tier, self.device)
            return self._loaded

    @cached_property
    def key(self) -> str:
        """What the embeddings depend on beside the picture; known without loading the model."""
        return f"{self.name}/{self.tier}/{revision_of(self.name, self.tier)}/{PREPARATION}"

    @property
    def side(self) -> int:
        """Side in pixels of what the model looks at."""
        processor = getattr(self.loaded.processor, "image_processor", self.loaded.processor)
        size = getattr(processor, "crop_size", None) or processor.size
        return max(value for value in dict(size).values() if value)

    def prepare(self, images: list[Image.Image]) -> torch.Tensor:
        """RGB pictures of any size -> pixels (B, 3, H, W) as the model's own processor gives them."""
        return self.loaded.processor(images=images, return_tensors="pt")["pixel_values"]

    def embed(self, pixels: torch.Tensor) -> np.ndarray:
        """Pixels (B, 3, H, W) -> float32 (B, D), rows of length one: DINOv2's CLS token, or the joint space."""
        import torch

        with torch.inference_mode():
            pixels = pixels.to(self.loaded.device)
            model = self.loaded.model
            answer = model(pixel_values=pixels) if self.name == "dinov2" else model.get_image_features(pixels)
            vectors = torch.nn.functional.normalize(answer.pooler_output.float(), dim=1)
        return vectors.cpu().numpy()

    def embed_texts(self, texts: list[str]) -> np.ndarray:
        """Texts -> float32 (B, D), rows of length one; what is longer than the model's context is cut."""
        import torch

        # SigLIP was trained on texts padded to the full context, and reads the padding.
        padding = "max_length" if self.name == "siglip" else True
        inputs = self.loaded.processor(text=texts, padding=padding, truncation=True, return_tensors="pt")
        if self.name == "siglip":
            inputs.pop("attention_mask", None)  # some tokenizers add one, and it would hide the padding
        with torch.inference_mode():
            answer = self.loaded.model.get_text_features(**inputs.to(self.loaded.device))
            return torch.nn.functional.normalize(answer.pooler_output.float(), dim=1).cpu().numpy()

    def logit_scale_and_bias(self) -> tuple[float, float]:
        """The factor on cosines (1 / temperature), and SigLIP's bias (0 for CLIP)."""
        model = self.loaded.model
        return model.logit_scale.exp().item(), getattr(model, "logit_bias", model.logit_scale * 0).item()


@contextmanager
def _no_collection() -> Iterator[None]:
    """No search for garbage while torch and transformers are imported: it would take a sixth of the time, for none."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()
