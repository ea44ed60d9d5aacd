"""Which modules of an encoder are what: its attention's projections and its blocks, whatever a version names them.

transformers calls DINOv2's query `attention.attention.query` in 5.15 and `attention.q_proj` in 5.24, CLIP's
`self_attn.q_proj` in both; other libraries have one fused `qkv`.
"""

from __future__ import annotations

import re

from torch import nn

from vfm_course.adapt.reading import encoder_weights
from vfm_course.errors import UserError

ROLES = {  # how a name ends
    "query": r"(^|\.)(q_proj|query|qkv)$",
    "key": r"(^|\.)(k_proj|key|qkv)$",
    "value": r"(^|\.)(v_proj|value|qkv)$",
    "output": r"(^|\.)(o_proj|out_proj|attention\.output\.dense|attn\.proj)$",
}


def projections(model: nn.Module, roles: tuple[str, ...] = ("query", "value")) -> list[str]:
    """Full names of the linear layers of these ROLES in the blocks that read pictures, in order.

    Raises:
        UserError: an unknown role, or none such in this model.
    """
    unknown = [role for role in roles if role not in ROLES]
    if unknown or not roles:
        raise UserError(f"There is no role {(*unknown, '')[0]!r} in attention: choose from {', '.join(ROLES)}.")
    patterns = [re.compile(ROLES[role]) for role in roles]
    found = [
        name
        for name, module in model.named_modules()
        if isinstance(module, nn.Linear) and any(pattern.search(name) for pattern in patterns)
    ]
    reads = encoder_weights(model)
    found = [name for name in found if f"{name}.weight" in reads and _block_of(model, name) is not None]
    if not found:
        raise UserError(f"{type(model).__name__} has no linear {' or '.join(roles)} layer that LoRA could be added to.")
    return found


def blocks(model: nn.Module) -> list[nn.Module]:
    """The blocks of the encoder that reads pictures, in order: what a ModuleList holds and attention is in.

    Raises:
        UserError: there are none.
    """
    names = dict.fromkeys(_block_of(model, name) for name in projections(model, ("query",)))
    return [model.get_submodule(name) for name in names]


def _block_of(model: nn.Module, name: str) -> str | None:
    """The name of the block that a module is in: its outermost ancestor that a ModuleList or Sequential holds."""
    parts = name.split(".")
    for end in range(1, len(parts)):
        if isinstance(model.get_submodule(".".join(parts[: end - 1])), nn.ModuleList | nn.Sequential):
            return ".".join(parts[:end])
    return None
