"""Where the queries of BLIP-2 look: their cross-attention over the patches of one picture."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from vfm_course.errors import UserError

if TYPE_CHECKING:
    from PIL import Image

    from vfm_course.families.load import Loaded


@torch.inference_mode()
def query_looks(blip2: Loaded, image: Image.Image, layer: int = -1) -> torch.Tensor:
    """The shares of its attention that each query gives to each patch, the mean over heads.

    Computed from the layer's own queries and keys: what transformers hands out differs between versions.

    Args:
        blip2: a `Blip2ForConditionalGeneration` with its processor.
        layer: which of the layers that look at the image, as an index.

    Returns:
        (Q, side, side), rows of patches from above; the share that goes to the CLS token is left out.

    Raises:
        UserError: the model has no Q-Former, or no such layer.
    """
    model = blip2.model
    if not hasattr(model, "qformer"):
        raise UserError(f"{blip2.name} has no Q-Former, so there are no queries to look at: take blip2.")
    looking = [each.crossattention.attention for each in model.qformer.encoder.layer if hasattr(each, "crossattention")]
    if not -len(looking) <= layer < len(looking):
        raise UserError(f"The Q-Former looks at the image in {len(looking)} layers: there is no layer {layer}.")
    found = {}

    def note(name: str):
        return lambda module, inputs, output: found.update({name: output})

    attention = looking[layer]
    hooks = [getattr(attention, name).register_forward_hook(note(name)) for name in ("query", "key")]
    try:
        pixels = blip2.processor.image_processor(image, return_tensors="pt")["pixel_values"].to(
            model.device, model.dtype
        )
        patches = model.vision_model(pixels).last_hidden_state
        model.qformer(query_embeds=model.query_tokens, encoder_hidden_states=patches)
    finally:
        for hook in hooks:
            hook.remove()
    heads = attention.num_attention_heads
    query, key = (found[name].unflatten(-1, (heads, -1)).transpose(1, 2) for name in ("query", "key"))  # (1, H, ., d)
    shares = (query @ key.transpose(-1, -2) / query.shape[-1] ** 0.5).softmax(dim=-1)[0].mean(dim=0)  # (Q, 1 + N)
    side = round((shares.shape[1] - 1) ** 0.5)
    return shares[:, 1:].unflatten(1, (side, side)).float().cpu()
