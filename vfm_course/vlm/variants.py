"""The connectors to be compared, at the pocket's size: what is different is what the papers differ in."""

import copy

import torch
from torch import nn

from vfm_course.connectors.projector import LinearProjector, MLPProjector
from vfm_course.connectors.qformer import QFormer
from vfm_course.connectors.resampler import PerceiverResampler
from vfm_course.errors import UserError
from vfm_course.vlm.model import GatedVLM, PrefixVLM

QUERIES = 16  # of Q-Former and resampler, for 64 patches; the giants have 32 and 64 for 256
WIDTH, HEADS = 128, 4  # width of the encoder and of the language model alike; heads of what connects them
CONNECTORS = {
    "linear": "one linear layer, a token a patch (LLaVA)",
    "mlp": "two-layer MLP, a token a patch (LLaVA-1.5)",
    "prefix": "one linear layer, image and question look at each other both ways (PaliGemma)",
    "qformer": "Q-Former, learned queries (BLIP-2)",
    "gated": "perceiver resampler and gated cross-attention (Flamingo)",
}


def qformer(queries: int = QUERIES, text: bool = False) -> QFormer:
    """Four layers of width 128, of which the first and the third look at the image.

    Its queries begin fifty times as far from each other as BLIP-2's: in a run of minutes they would not part.
    """
    found = QFormer(WIDTH, hidden=WIDTH, heads=HEADS, layers=4, num_queries=queries, cross_every=2, text=text)
    nn.init.normal_(found.query_tokens)
    return found


def build(name: str, lm: nn.Module, queries: int = QUERIES, seed: int = 0) -> PrefixVLM | GatedVLM:
    """A model with an untrained connector; the language model is copied, so that tuning it leaves the original alone.

    Args:
        name: one of `CONNECTORS`.
        queries: visual tokens of "qformer" and "gated"; the others have one for each patch.

    Returns:
        A model where the language model is, with the same weights for the same seed on every device.

    Raises:
        UserError: there is no such connector.
    """
    if name not in CONNECTORS:
        raise UserError(f"There is no connector {name!r}: choose from {', '.join(CONNECTORS)}.")
    return _build(name, copy.deepcopy(lm), queries, seed).to(lm.device)


def _build(name: str, lm: nn.Module, queries: int, seed: int) -> PrefixVLM | GatedVLM:
    torch.manual_seed(seed)
    if name == "linear":
        return PrefixVLM(lm, LinearProjector(WIDTH, WIDTH), skip=1)
    if name == "mlp":
        return PrefixVLM(lm, MLPProjector(WIDTH, WIDTH), skip=1)
    if name == "prefix":
        return PrefixVLM(lm, LinearProjector(WIDTH, WIDTH), prefix_lm=True)
    if name == "qformer":
        return PrefixVLM(lm, nn.Sequential(qformer(queries), LinearProjector(WIDTH, WIDTH)))
    resampler = PerceiverResampler(WIDTH, queries, depth=2, heads=HEADS, head_dim=WIDTH // HEADS)
    return GatedVLM(lm, resampler, WIDTH, lm.config.num_attention_heads)
