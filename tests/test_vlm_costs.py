"""What a pocket connector costs: counts against the formulas, and that a time is one."""

import pytest
from transformers import LlamaConfig, LlamaForCausalLM

from vfm_course.vlm.costs import PROMPT, cost_of, prefill_milliseconds, shape_of
from vfm_course.vlm.tokenizer import vlm_tokenizer


@pytest.fixture(scope="module")
def lm():
    config = LlamaConfig(vocab_size=len(vlm_tokenizer()), hidden_size=128, intermediate_size=32, num_hidden_layers=2,
                         num_attention_heads=4, num_key_value_heads=2)  # fmt: skip
    return LlamaForCausalLM(config).eval()


def test_the_cache_is_in_float32_with_the_heads_of_keys_and_values(lm):
    assert shape_of(lm).kv_bytes_per_token == 2 * 2 * 2 * 32 * 4  # keys and values, layers, heads, numbers, bytes


@pytest.mark.parametrize(
    ("row", "tokens"),
    [
        ({"connector": "mlp"}, 64),
        ({"connector": "prefix"}, 65),  # CLS too
        ({"connector": "qformer"}, 16),
        ({"connector": "qformer", "queries": 4}, 4),
    ],
)
def test_what_stands_in_the_prompt_is_cached_and_read(lm, row, tokens):
    cost = cost_of(row, lm)
    shape = shape_of(lm)
    assert cost.visual_tokens == tokens and cost.kv_cache_bytes == tokens * shape.kv_bytes_per_token
    assert cost.prefill_flops == shape.prefill_flops(PROMPT + tokens) - shape.prefill_flops(PROMPT)


def test_weights_are_the_connectors_alone(lm):
    assert cost_of({"connector": "mlp"}, lm).trainable_parameters == 2 * (128 * 128 + 128)


def test_gates_put_nothing_into_the_prompt_but_keep_keys_and_values(lm):
    cost = cost_of({"connector": "gated"}, lm)
    assert (
        cost.visual_tokens == 0 and cost.kv_cache_bytes == 2 * 2 * 16 * 128 * 4
    )  # layers, kinds, latents, width, bytes


@pytest.mark.parametrize("connector", ["mlp", "prefix", "qformer", "gated"])
def test_every_connector_can_be_timed(lm, connector):
    assert 0 < prefill_milliseconds({"connector": connector}, lm, repeats=2) < 60_000
