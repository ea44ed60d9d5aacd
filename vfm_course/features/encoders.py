"""One call for every image encoder: pictures in, unit vectors out, loaded only when something has to be computed."""

from __future__ import annotations

import copy
import dataclasses
import gc
import hashlib
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from vfm_course.errors import UserError
from vfm_course.families.catalog import checkpoint_of
from vfm_course.families.load import chosen_tier, hash_weights, load, revision_of

if TYPE_CHECKING:
    import torch
    from PIL import Image

    from vfm_course.families.load import Loaded

PREPARATION = 2  # counted up when pictures are read or prepared in another way: old embeddings are then not used
KINDS = {"whole": "<f4", "mean": "<f4", "patches": "<f2"}  # of features, with the type of number that is kept of them
FAMILIES = {
    "Dinov2Model": "dinov2",
    "DINOv3ViTModel": "dinov2",
    "CLIPModel": "clip",
    "SiglipModel": "siglip",
    "ViTMAEForPreTraining": "mae",
    "IJepaModel": "ijepa",
    "ViTForImageClassification": "supervised",
}  # what `patches.features` calls a model of this class


@dataclass
class Encoder:
    """A checkpoint as an encoder of pictures and, for CLIP and SigLIP, of texts.

    `name` is a checkpoint's that gives features (dinov2, clip, siglip, mae, ijepa, supervised, a size on the hub such
    as dinov2-base); texts are for clip and siglip alone. `tier` is pocket or hub.
    """

    name: str
    tier: str | None = None
    device: str | None = None
    lock: threading.Lock = field(default_factory=threading.Lock, repr=False, compare=False)
    _loaded: Loaded | None = field(default=None, init=False, repr=False, compare=False)
    given: Loaded | None = field(default=None, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        self.tier = chosen_tier(self.tier)

    @classmethod
    def of(cls, loaded: Loaded) -> Encoder:
        """An encoder of a model that is loaded already, the published one or not: its weights make its key."""
        if type(loaded.model).__name__ == "ViTMAEForPreTraining":
            loaded = dataclasses.replace(loaded, model=copy.deepcopy(loaded.model))
        encoder = cls(loaded.name, loaded.tier, str(loaded.device))
        encoder.given = encoder._loaded = _nothing_hidden(loaded)
        return encoder

    @property
    def loaded(self) -> Loaded:
        """Model and processor, loaded once at the first use, whichever thread that is."""
        with self.lock:
            if self._loaded is None:
                with _no_collection():
                    self._loaded = _nothing_hidden(load(self.name, self.tier, self.device))
            return self._loaded

    @cached_property
    def family(self) -> str:
        """What `patches.features` calls the model; known without loading it.

        Raises:
            UserError: it gives no features of whole pictures, or there is no such model.
        """
        kind = type(self.given.model).__name__ if self.given else checkpoint_of(self.name).model_class
        if kind not in FAMILIES:
            choice = ", ".join(sorted(set(FAMILIES.values())))
            raise UserError(f"{self.name!r} gives no feature of a whole picture: choose one of {choice}.")
        return FAMILIES[kind]

    @cached_property
    def key(self) -> str:
        """What the embeddings depend on beside the picture; known without loading the model."""
        if self.given:
            return f"{self.name}/given/{_digest(self.given)}/{PREPARATION}"
        return f"{self.name}/{self.tier}/{revision_of(self.name, self.tier)}/{PREPARATION}"

    def key_of(self, kind: str) -> str:
        """The key of one of `KINDS`; of the whole's it is `key`.

        Raises:
            UserError: the model gives no such feature.
        """
        self.family  # noqa: B018
        return self.key + {"whole": "", "mean": "/mean", "patches": "/patches half"}[kind]

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
        return self.look(pixels, ("whole",))["whole"]

    def look(self, pixels: torch.Tensor, kinds: Iterable[str]) -> dict[str, np.ndarray]:
        """One pass: pixels (B, 3, H, W) -> each kind that is asked for.

        `whole` is float32 (B, D), rows of length one: DINOv2's, MAE's and the supervised model's CLS token, CLIP's and
        SigLIP's joint space, I-JEPA's mean patch. `mean` is float32 (B, width), the mean patch token as it is;
        `patches` float16 (B, P, width), row by row from the top left.
        """
        import torch

        from vfm_course.features.patches import features

        with torch.inference_mode():
            patches, whole = features(self.family, self.loaded.model, pixels.to(self.loaded.device))
            made = {
                "whole": lambda: torch.nn.functional.normalize(whole.float(), dim=1),
                "mean": lambda: patches.float().mean(dim=1),
                "patches": lambda: patches.half(),
            }
            return {kind: made[kind]().cpu().numpy() for kind in kinds}

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


def _nothing_hidden(loaded: Loaded) -> Loaded:
    """MAE's ratio at 0 from the start: `mae_unhidden` sets and resets it, and threads would do so past each other."""
    if type(loaded.model).__name__ == "ViTMAEForPreTraining":
        loaded.model.config.mask_ratio = 0.0
    return loaded


def _digest(loaded: Loaded) -> str:
    """SHA-256 of the weights, the configuration and how pictures are prepared: about a second for a gigabyte."""
    processor = getattr(loaded.processor, "image_processor", loaded.processor)
    digest = hashlib.sha256((loaded.model.config.to_json_string() + processor.to_json_string()).encode())
    hash_weights(digest, loaded.model)
    return digest.hexdigest()


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
