"""Tiny random checkpoints of the published ones' classes with their processors, one maker for each system."""

import pytest
import transformers

from tiny.features import dinov2, dinov3, ijepa, mae, vjepa2
from tiny.masks import depth_anything, grounding_dino, sam, sam2, sam3
from tiny.scores import clip, siglip, siglip2, siglip2_naflex
from tiny.speak import blip2, flamingo, internvl, llama_vision, llava, molmo, paligemma, qwen2, qwen25, smolvlm

# By the full name of a size: every size of a system is of the same classes, unless it stands here by itself.
MAKERS = {
    "dinov2-small": dinov2,
    "dinov3-small": dinov3,
    "mae-base": mae,
    "ijepa-huge": ijepa,
    "vjepa2-large": vjepa2,
    "clip-base": clip,
    "siglip-base": siglip,
    "siglip2-base": siglip2,
    "siglip2-base-naflex": siglip2_naflex,
    "sam-base": sam,
    "sam2-tiny": sam2,
    "sam3-base": sam3,
    "grounding-dino-tiny": grounding_dino,
    "depth-anything-small": depth_anything,
    "blip2-opt-2.7b": blip2,
    "llava-1.5-7b": llava,
    "flamingo-9b": flamingo,
    "qwen2-vl-2b": qwen2,
    "qwen2.5-vl-7b": qwen25,
    "internvl-1b": internvl,
    "paligemma-3b-224": paligemma,
    "molmo-8b": molmo,
    "llama-vision-11b": llama_vision,
    "smolvlm-256m": smolvlm,
}

__all__ = ["MAKERS", "clip", "dinov2", "needs_readable", "needs_transformers", "sam", "siglip"]


def needs_transformers(system: str) -> None:
    """Skips the test, and says why, where this transformers, good for all else, has no class for the system yet."""
    if system == "molmo" and not hasattr(transformers, "Molmo2Config"):
        pytest.skip(f"transformers {transformers.__version__} has no Molmo 2; `load` says so in one sentence")


def needs_readable(system: str) -> None:
    """Skips where this transformers takes SAM 2's mask decoder configuration for the prompt encoder's (5.15 does)."""
    if system != "sam2":
        return
    config = transformers.Sam2VideoConfig(mask_decoder_config={}).mask_decoder_config
    if not isinstance(config, transformers.models.sam2_video.configuration_sam2_video.Sam2VideoMaskDecoderConfig):
        pytest.skip(f"transformers {transformers.__version__} cannot read SAM 2's configuration back")
