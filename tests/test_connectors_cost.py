"""What a connector costs, against examples worked out by hand and against operations that were counted."""

import pytest
import torch
import transformers
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from vfm_course.connectors.cost import ConnectorCost, LMShape, connector_cost
from vfm_course.connectors.gated import GatedCrossAttention
from vfm_course.connectors.projector import LinearProjector, MLPProjector
from vfm_course.connectors.qformer import QFormer
from vfm_course.connectors.resampler import PerceiverResampler

VICUNA = LMShape(layers=32, width=4096, heads=32, kv_heads=32, intermediate=11008)
OPT = LMShape(layers=32, width=2560, heads=32, kv_heads=32, intermediate=10240, mlp_matrices=2)
TINY = LMShape(layers=2, width=8, heads=4, kv_heads=2, intermediate=12, bytes_per_number=4)


def test_a_tiny_language_model_by_hand():
    # Queries and output 8 x 8 each, keys and values 8 x 4 each (2 heads of 2), three matrices of 8 x 12; two layers.
    assert TINY.weights == 2 * (64 + 64 + 32 + 32 + 3 * 96) == 960
    assert TINY.kv_bytes_per_token == 2 * 2 * 4 * 4 == 64  # key and value, two layers, four numbers, four bytes
    assert TINY.prefill_flops(3) == 2 * 960 * 3 + 2 * 4 * 9 * 8 == 6336


def test_a_projector_on_a_tiny_language_model_by_hand():
    cost = connector_cost(LinearProjector(5, 8), patches=3, lm=TINY)
    assert cost == ConnectorCost(trainable_parameters=48, visual_tokens=3, kv_cache_bytes=192, prefill_flops=6336)
    # Two images and four words: ten tokens are read where there were four.
    cost = connector_cost(LinearProjector(5, 8), patches=3, lm=TINY, images=2, text_tokens=4)
    assert cost == ConnectorCost(48, 6, 384, 2 * 960 * 6 + 64 * (10 * 10 - 4 * 4))
    assert connector_cost(LinearProjector(5, 8), patches=3, lm=TINY, images=0, text_tokens=4).prefill_flops == 0


def test_llava_and_blip2_at_real_size():
    with torch.device("meta"):
        llava = connector_cost(MLPProjector(1024, 4096), patches=576, lm=VICUNA)
        blip2 = connector_cost(nn.Sequential(QFormer(1408), LinearProjector(768, 2560)), patches=257, lm=OPT)
        same = connector_cost(nn.Sequential(QFormer(1024), LinearProjector(768, 4096)), patches=576, lm=VICUNA)
    assert (llava.trainable_parameters, llava.visual_tokens) == (20_979_712, 576)
    assert llava.kv_cache_bytes == 576 * 512 * 1024 == 288 * 2**20  # half a mebibyte a token
    assert VICUNA.weights == 32 * (4 * 4096**2 + 3 * 4096 * 11008) == 6_476_005_376
    assert llava.prefill_flops == 2 * 6_476_005_376 * 576 + 4 * 32 * 576**2 * 4096
    assert (blip2.trainable_parameters, blip2.visual_tokens) == (105_162_240 + 768 * 2560 + 2560, 32)
    assert blip2.kv_cache_bytes == 32 * 2 * 32 * 2560 * 2
    assert llava.kv_cache_bytes == 18 * same.kv_cache_bytes and llava.prefill_flops > 18 * same.prefill_flops


def test_only_what_is_trained_counts():
    resampler = PerceiverResampler(20, 6, depth=1, heads=3, head_dim=8).requires_grad_(False)
    connector = nn.Sequential(LinearProjector(5, 20).requires_grad_(False), resampler, LinearProjector(20, 8))
    cost = connector_cost(connector, patches=9, lm=TINY)
    assert (cost.trainable_parameters, cost.visual_tokens) == (168, 6)


def test_gated_layers_take_no_place_in_the_prompt():
    resampler = PerceiverResampler(5, 3, depth=1, heads=1, head_dim=4)
    gated = [GatedCrossAttention(8, 5, heads=2, intermediate=12, qk_norm=False) for _ in range(2)]
    cost = connector_cost(resampler, patches=9, lm=TINY, images=2, text_tokens=4, gated=iter(gated))
    trained = sum(weight.numel() for module in (resampler, *gated) for weight in module.parameters())
    # A layer: keys and values 5 x 8 each, queries and output 8 x 8 each, three matrices of 8 x 12; six visual tokens.
    layer = 2 * (2 * 40) * 6 + 2 * (2 * 64 + 3 * 96) * 4 + 4 * 4 * 6 * 8
    assert cost == ConnectorCost(trained, 0, 2 * (2 * 6 * 8 * 4), 2 * layer)
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        gated[0](torch.zeros(1, 4, 8), torch.zeros(1, 6, 5))
    assert counter.get_total_flops() == layer


def counted(tokens: int) -> int:
    """Operations of a real model of the same sizes on a prompt, as they were done."""
    config = transformers.LlamaConfig(
        hidden_size=8, intermediate_size=12, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2,
        vocab_size=16, attn_implementation="eager",
    )  # fmt: skip
    model = transformers.LlamaModel(config).eval()
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        model(inputs_embeds=torch.zeros(1, tokens, 8))
    angles = counter.get_flop_counts().get("LlamaModel.rotary_emb", {})  # of the positions: no weights, hardly any work
    return counter.get_total_flops() - sum(angles.values())


def test_operations_are_those_that_are_counted():
    assert counted(7) == TINY.prefill_flops(7)
    cost = connector_cost(LinearProjector(5, 8), patches=3, lm=TINY, images=2, text_tokens=4)
    assert cost.prefill_flops == counted(10) - counted(4)


def test_what_is_wrong_is_said_in_one_sentence():
    sizes = {"layers": 2, "width": 8, "heads": 4, "kv_heads": 2, "intermediate": 12}
    calls = {
        "A language model's `layers` should be at least 1; it is 0.": lambda: LMShape(**sizes | {"layers": 0}),
        "4 query heads cannot share 3 heads of keys and values evenly.": lambda: LMShape(**sizes | {"kv_heads": 3}),
        "`width` = 9 cannot be divided evenly among 4 heads.": lambda: LMShape(**sizes | {"width": 9}),
        "`patches` should be at least 1; it is 0.": lambda: connector_cost(LinearProjector(5, 8), 0, TINY),
        "`images` should be at least 0; it is -1.": lambda: connector_cost(LinearProjector(5, 8), 3, TINY, images=-1),
        "Linear does not say how many visual tokens it gives.": lambda: connector_cost(nn.Linear(5, 8), 3, TINY),
        "A gated layer is 24 wide, but the language model 8.": lambda: connector_cost(
            LinearProjector(5, 20), 3, TINY, gated=[GatedCrossAttention(24, 20, heads=4)]
        ),
    }
    for sentence, call in calls.items():
        with pytest.raises(ValueError) as raised:
            call()
        assert str(raised.value) == sentence
