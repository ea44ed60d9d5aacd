"""Notebook 04, what visual tokens cost the language model: 4.10."""

from __future__ import annotations

from vfm_course.exercises.judge import expect_equal, expect_several
from vfm_course.exercises.record import Exercise, Mistake

_REFERENCE = "vfm_course.solutions.ch04_connectors:"


# 4.10 --------------------------------------------------------------------------------------------------------------
def check_cost(answer, draw):
    small = (draw.integer(5, 9), draw.integer(2, 5), 24, 6, draw.pick([2, 3], 1)[0], draw.integer(30, 50), 4)
    cases = (small, (576, 32, 4096, 32, 32, 11008, 2))
    # Both are asked about before either is judged: one number alone may be that of two mistakes.
    answers = [answer(*case) for case in cases]
    for case, got in zip(cases, answers, strict=True):
        tokens, layers, width, heads, kv_heads, intermediate, size = case
        cache, operations = expect_several(got, 2, "The answer (bytes, operations)")
        kept = kv_heads * (width // heads)
        products = tokens * width * (2 * width + 2 * kept + 3 * intermediate) + 2 * tokens * tokens * width
        expect_equal(cache, tokens * layers * (kept + kept) * size, f"The bytes in the cache of {tokens} tokens")
        expect_equal(operations, 2 * layers * products, f"The operations to read {tokens} tokens")


def _cost(tokens, layers, width, heads, kv_heads, intermediate, bytes_per_number):
    kv_width = width // heads * kv_heads
    weights = layers * width * (2 * width + 2 * kv_width + 3 * intermediate)
    cache = 2 * layers * kv_width * bytes_per_number * tokens
    return cache, 2 * weights * tokens + 4 * layers * tokens**2 * width


def cost_keys_only(tokens, layers, width, heads, kv_heads, intermediate, bytes_per_number):
    cache, operations = _cost(tokens, layers, width, heads, kv_heads, intermediate, bytes_per_number)
    return cache // 2, operations


def cost_all_heads(tokens, layers, width, heads, kv_heads, intermediate, bytes_per_number):
    return _cost(tokens, layers, width, heads, heads, intermediate, bytes_per_number)


def cost_all_heads_cached(tokens, layers, width, heads, kv_heads, intermediate, bytes_per_number):
    _, operations = _cost(tokens, layers, width, heads, kv_heads, intermediate, bytes_per_number)
    return 2 * layers * width * bytes_per_number * tokens, operations


def cost_one_layer(tokens, layers, width, heads, kv_heads, intermediate, bytes_per_number):
    return _cost(tokens, 1, width, heads, kv_heads, intermediate, bytes_per_number)


def cost_numbers(tokens, layers, width, heads, kv_heads, intermediate, bytes_per_number):
    return _cost(tokens, layers, width, heads, kv_heads, intermediate, 1)


def cost_half_the_operations(tokens, layers, width, heads, kv_heads, intermediate, bytes_per_number):
    cache, operations = _cost(tokens, layers, width, heads, kv_heads, intermediate, bytes_per_number)
    return cache, operations // 2


def cost_no_attention(tokens, layers, width, heads, kv_heads, intermediate, bytes_per_number):
    cache, operations = _cost(tokens, layers, width, heads, kv_heads, intermediate, bytes_per_number)
    return cache, operations - 4 * layers * tokens**2 * width


def cost_attention_linear(tokens, layers, width, heads, kv_heads, intermediate, bytes_per_number):
    cache, operations = _cost(tokens, layers, width, heads, kv_heads, intermediate, bytes_per_number)
    return cache, operations - 4 * layers * tokens * (tokens - 1) * width


def cost_causal_half(tokens, layers, width, heads, kv_heads, intermediate, bytes_per_number):
    cache, operations = _cost(tokens, layers, width, heads, kv_heads, intermediate, bytes_per_number)
    return cache, operations - 2 * layers * tokens**2 * width


def cost_two_matrices(tokens, layers, width, heads, kv_heads, intermediate, bytes_per_number):
    cache, operations = _cost(tokens, layers, width, heads, kv_heads, intermediate, bytes_per_number)
    return cache, operations - 2 * layers * width * intermediate * tokens


def cost_one_token(tokens, layers, width, heads, kv_heads, intermediate, bytes_per_number):
    cache, operations = _cost(tokens, layers, width, heads, kv_heads, intermediate, bytes_per_number)
    return cache // tokens, operations


EXERCISES = (
    Exercise(
        id="4.10",
        notebook="04",
        title="What visual tokens cost",
        level="I",
        minutes=12,
        points=3,
        hints=(
            "A token leaves a key and a value in each layer, `width // heads * kv_heads` numbers each.",
            "Weights of a layer: queries and output, width * width each; keys and values, smaller with fewer heads; "
            "three matrices of the MLP. Each weight meets each token once: two operations.",
            "Attention adds 4 * tokens * tokens * width in each layer: queries meet keys, weights meet values.",
        ),
        reference=_REFERENCE + "visual_cost",
        check=check_cost,
        mistakes=(
            Mistake(cost_keys_only, "The cache holds keys and values, so it is twice as large."),
            Mistake(
                cost_all_heads,
                "Keys and values have `kv_heads` heads, which may be fewer than `heads`: in the cache and in the "
                "weights.",
            ),
            Mistake(cost_all_heads_cached, "The cache was counted with all heads; it holds `kv_heads`."),
            Mistake(cost_one_layer, "This is one layer; there are `layers`."),
            Mistake(cost_numbers, "The cache was counted in numbers; multiply by the bytes of each."),
            Mistake(cost_half_the_operations, "A multiplication and the addition after it are two operations."),
            Mistake(cost_no_attention, "Attention itself is missing: queries meet keys, and weights meet values."),
            Mistake(cost_attention_linear, "Attention grows with the square of the tokens: each meets each."),
            Mistake(
                cost_causal_half,
                "Half of the attention is missing: queries meet keys and weights meet values, and what the causal "
                "mask hides is counted too.",
            ),
            Mistake(cost_two_matrices, "The MLP has three matrices: gate, up and down."),
            Mistake(cost_one_token, "The cache is that of one token."),
        ),
    ),
)
