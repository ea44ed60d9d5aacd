"""Tiny random checkpoints of the published ones' classes with their processors, one maker for each system."""

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

__all__ = ["MAKERS", "clip", "dinov2", "sam", "siglip"]
