"""What a connector costs at the pocket's size: counted, and timed on this machine."""

import statistics
import time
from collections.abc import Mapping

import torch
from torch import nn

from vfm_course.connectors.cost import ConnectorCost, LMShape, connector_cost
from vfm_course.vlm.model import GatedVLM
from vfm_course.vlm.tokenizer import BEGIN
from vfm_course.vlm.variants import QUERIES, WIDTH, build

TOKENS = 65  # of the encoder: CLS and 64 patches
PROMPT = 16  # tokens of a question


def shape_of(lm: nn.Module) -> LMShape:
    """The sizes of a Llama, its cache in float32."""
    config = lm.config
    return LMShape(config.num_hidden_layers, config.hidden_size, config.num_attention_heads,
                   config.num_key_value_heads, config.intermediate_size, bytes_per_number=4)  # fmt: skip


def cost_of(row: Mapping, lm: nn.Module) -> ConnectorCost:
    """The cost of one picture and a question through the connector of a run.

    Args:
        row: of a study, with `connector` and perhaps `queries`. lm: the language model that it was put before.
    """
    model = build(row["connector"], lm, row.get("queries", QUERIES))
    patches = TOKENS - getattr(model, "skip", 0)
    return connector_cost(model.connector, patches, shape_of(lm), text_tokens=PROMPT, gated=getattr(model, "gated", ()))


@torch.inference_mode()
def prefill_milliseconds(row: Mapping, lm: nn.Module, repeats: int = 25) -> float:
    """Time to read one picture's features and a question, connector included: the median of several goes."""
    model = build(row["connector"], lm, row.get("queries", QUERIES)).eval()
    features = torch.randn(1, TOKENS, WIDTH)
    ids = torch.full((1, PROMPT), BEGIN)
    prompt = None if isinstance(model, GatedVLM) else torch.ones_like(ids, dtype=torch.bool)
    model(features, ids, prompt)  # the first go also pays for memory
    times = []
    for _ in range(repeats):
        begun = time.perf_counter()
        model(features, ids, prompt)
        times.append(1000 * (time.perf_counter() - begun))
    return statistics.median(times)
