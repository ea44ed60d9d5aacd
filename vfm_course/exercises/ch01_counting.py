"""Notebook 01, what a backbone is made of and what it costs: exercises 1.1 to 1.3."""

from __future__ import annotations

from vfm_course.exercises.judge import expect_equal
from vfm_course.exercises.record import Exercise, Mistake

_REFERENCE = "vfm_course.solutions.ch01_families:"


# 1.1 ---------------------------------------------------------------------------------------------------------------
def check_tokens(answer, draw):
    expect_equal(answer(224, 224, 14, 1), 257, "The number of tokens of 224 x 224 pixels in patches of 14 with one CLS")
    patch, extra = draw.pick([8, 14, 16], 1)[0], draw.pick([1, 5], 1)[0]
    rows, columns = draw.integer(6, 10), draw.integer(13, 20)
    height, width = rows * patch + patch // 4, columns * patch + patch - patch // 4
    what = f"The number of tokens of {height} x {width} pixels in patches of {patch} with {extra} extra"
    expect_equal(answer(height, width, patch, extra), rows * columns + extra, what)
    what = f"The number of tokens of {width} x {height} pixels in patches of {patch} without extra ones"
    expect_equal(answer(width, height, patch, 0), rows * columns, what)


def tokens_no_extra(height, width, patch_size, extra_tokens):
    return (height // patch_size) * (width // patch_size)


def tokens_height_squared(height, width, patch_size, extra_tokens):
    return (height // patch_size) ** 2 + extra_tokens


def tokens_width_squared(height, width, patch_size, extra_tokens):
    return (width // patch_size) ** 2 + extra_tokens


def tokens_added(height, width, patch_size, extra_tokens):
    return height // patch_size + width // patch_size + extra_tokens


def tokens_rounded_up(height, width, patch_size, extra_tokens):
    return -(-height // patch_size) * -(-width // patch_size) + extra_tokens


def tokens_rounded(height, width, patch_size, extra_tokens):
    return round(height / patch_size) * round(width / patch_size) + extra_tokens


def tokens_not_squared(height, width, patch_size, extra_tokens):
    return height * width // patch_size + extra_tokens


def tokens_by_area(height, width, patch_size, extra_tokens):
    return height * width // patch_size**2 + extra_tokens


def tokens_not_whole(height, width, patch_size, extra_tokens):
    return (height / patch_size) * (width / patch_size) + extra_tokens


# 1.2 ---------------------------------------------------------------------------------------------------------------
def check_parameters(answer, draw):
    width, ratio = 8 * draw.integer(3, 13), draw.pick([2, 3, 5], 1)[0]
    plain = 4 * width + 4 * (width**2 + width) + 2 * ratio * width**2 + ratio * width + width
    what = f"The number of parameters for width {width} and mlp_ratio {ratio}"
    expect_equal(answer(width, ratio, False), plain, f"{what} without LayerScale")
    expect_equal(answer(width, ratio, True), plain + 2 * width, f"{what} with LayerScale")
    expect_equal(answer(768, 4, True), 7_089_408, "The number of parameters of a block of DINOv2 ViT-B")


def parameters_no_biases(width, mlp_ratio, layer_scale):
    return 4 * width + 4 * width**2 + 2 * mlp_ratio * width**2 + (2 * width if layer_scale else 0)


def parameters_three_projections(width, mlp_ratio, layer_scale):
    mlp = 2 * mlp_ratio * width**2 + mlp_ratio * width + width
    return 4 * width + 3 * (width**2 + width) + mlp + (2 * width if layer_scale else 0)


def parameters_no_norms(width, mlp_ratio, layer_scale):
    mlp = 2 * mlp_ratio * width**2 + mlp_ratio * width + width
    return 4 * (width**2 + width) + mlp + (2 * width if layer_scale else 0)


def parameters_half_the_norms(width, mlp_ratio, layer_scale):
    mlp = 2 * mlp_ratio * width**2 + mlp_ratio * width + width
    return 2 * width + 4 * (width**2 + width) + mlp + (2 * width if layer_scale else 0)


def parameters_one_mlp_matrix(width, mlp_ratio, layer_scale):
    mlp = mlp_ratio * width**2 + mlp_ratio * width
    return 4 * width + 4 * (width**2 + width) + mlp + (2 * width if layer_scale else 0)


def parameters_ratio_four(width, mlp_ratio, layer_scale):
    return 4 * width + 4 * (width**2 + width) + 8 * width**2 + 5 * width + (2 * width if layer_scale else 0)


def parameters_always_scaled(width, mlp_ratio, layer_scale):
    mlp = 2 * mlp_ratio * width**2 + mlp_ratio * width + width
    return 4 * width + 4 * (width**2 + width) + mlp + 2 * width


def parameters_never_scaled(width, mlp_ratio, layer_scale):
    mlp = 2 * mlp_ratio * width**2 + mlp_ratio * width + width
    return 4 * width + 4 * (width**2 + width) + mlp


def parameters_scaled_once(width, mlp_ratio, layer_scale):
    mlp = 2 * mlp_ratio * width**2 + mlp_ratio * width + width
    return 4 * width + 4 * (width**2 + width) + mlp + (width if layer_scale else 0)


# 1.3 ---------------------------------------------------------------------------------------------------------------
def check_flops(answer, draw):
    # At most a quarter as many tokens as the width: then no two of the mistakes below give the same number.
    tokens, width, ratio = draw.integer(5, 17), 8 * draw.integer(8, 17), draw.pick([2, 3, 5], 1)[0]
    for n, d in ((tokens, width), (10 * width, width)):
        want = 8 * n * d**2 + 4 * n**2 * d + 4 * ratio * n * d**2
        expect_equal(answer(n, d, ratio), want, f"The work for {n} tokens of width {d} and mlp_ratio {ratio}")


def flops_as_one(tokens, width, mlp_ratio):
    return 4 * tokens * width**2 + 2 * tokens**2 * width + 2 * mlp_ratio * tokens * width**2


def flops_no_attention(tokens, width, mlp_ratio):
    return 8 * tokens * width**2 + 4 * mlp_ratio * tokens * width**2


def flops_scores_only(tokens, width, mlp_ratio):
    return 8 * tokens * width**2 + 2 * tokens**2 * width + 4 * mlp_ratio * tokens * width**2


def flops_three_projections(tokens, width, mlp_ratio):
    return 6 * tokens * width**2 + 4 * tokens**2 * width + 4 * mlp_ratio * tokens * width**2


def flops_one_mlp_matrix(tokens, width, mlp_ratio):
    return 8 * tokens * width**2 + 4 * tokens**2 * width + 2 * mlp_ratio * tokens * width**2


def flops_ratio_four(tokens, width, mlp_ratio):
    return 8 * tokens * width**2 + 4 * tokens**2 * width + 16 * tokens * width**2


def flops_swapped(tokens, width, mlp_ratio):
    return 8 * width * tokens**2 + 4 * width**2 * tokens + 4 * mlp_ratio * width * tokens**2


EXERCISES = (
    Exercise(
        id="1.1",
        notebook="01",
        title="Patches and tokens",
        level="B",
        minutes=4,
        points=1,
        hints=(
            "How many whole patches fit along the height, and how many along the width? `//` divides and rounds down.",
            "The patches lie in a grid: rows times columns. What is left over at the edge is cut off.",
            "Extra tokens (CLS, registers) come once for each image, whatever its size: add them at the end.",
        ),
        reference=_REFERENCE + "count_tokens",
        check=check_tokens,
        mistakes=(
            Mistake(tokens_no_extra, "The extra tokens are missing: CLS and registers are tokens too."),
            Mistake(tokens_height_squared, "The rows were squared; the image may be wider than it is high."),
            Mistake(tokens_width_squared, "The columns were squared; the image may be higher than it is wide."),
            Mistake(tokens_added, "Rows and columns were added; a grid holds rows times columns."),
            Mistake(tokens_rounded_up, "The sides were rounded up: a patch that fits only in part is cut off."),
            Mistake(tokens_rounded, "The sides were rounded to the nearest patch; only whole patches count."),
            Mistake(tokens_not_squared, "The area was divided by the patch's side; a patch covers its side squared."),
            Mistake(tokens_by_area, "The area alone was divided: parts of patches at the edges add up to whole ones."),
            Mistake(tokens_not_whole, "The numbers of patches were not rounded down: `//` counts whole ones."),
        ),
    ),
    Exercise(
        id="1.2",
        notebook="01",
        title="Parameters of one block",
        level="I",
        minutes=10,
        points=3,
        hints=(
            "A linear layer from A to B numbers has A * B weights and B biases. Write down each layer's A and B.",
            "Attention has four projections, width to width. The MLP has two layers, and the middle is wider.",
            "A LayerNorm has a weight and a bias for each number, and there are two; LayerScale adds two vectors.",
        ),
        reference=_REFERENCE + "count_block_parameters",
        check=check_parameters,
        mistakes=(
            Mistake(parameters_no_biases, "The biases are missing: each linear layer has one for each output."),
            Mistake(parameters_three_projections, "Query, key and value are there; the output projection is missing."),
            Mistake(
                parameters_no_norms,
                "Four times the width is missing: two LayerNorms (weight and bias each), or the biases of attention.",
            ),
            Mistake(
                parameters_half_the_norms,
                "Twice the width is missing: a block has two LayerNorms, and each has a weight and a bias.",
            ),
            Mistake(parameters_one_mlp_matrix, "The MLP has two layers: one makes it wider, one leads back to width."),
            Mistake(
                parameters_ratio_four, "The MLP was taken to be four times as wide; mlp_ratio says how wide it is."
            ),
            Mistake(parameters_always_scaled, "LayerScale was counted where the block has none."),
            Mistake(
                parameters_never_scaled, "LayerScale was not counted: two vectors of width numbers where it is on."
            ),
            Mistake(parameters_scaled_once, "One LayerScale was counted; attention and MLP have one each."),
        ),
    ),
    Exercise(
        id="1.3",
        notebook="01",
        title="Work of one block",
        level="I",
        minutes=8,
        points=2,
        hints=(
            "A matrix product (A, B) @ (B, C) takes A * B * C multiplications and about as many additions.",
            "Four projections are (N, D) @ (D, D); the MLP widens to mlp_ratio * D and comes back.",
            "Attention multiplies twice without weights: queries with keys, then the attention with the values. "
            "Both grow with the square of the tokens.",
        ),
        reference=_REFERENCE + "count_block_flops",
        check=check_flops,
        mistakes=(
            Mistake(flops_as_one, "A multiplication and its addition were counted as one; here they are two."),
            Mistake(flops_no_attention, "The part that grows with the square of the tokens is missing."),
            Mistake(flops_scores_only, "The scores are there; the weighted sum of the values takes as much again."),
            Mistake(flops_three_projections, "Three projections were counted; the output projection is the fourth."),
            Mistake(flops_one_mlp_matrix, "Only one of the MLP's two matrix products was counted."),
            Mistake(flops_ratio_four, "The MLP was taken to be four times as wide; mlp_ratio says how wide it is."),
            Mistake(flops_swapped, "Tokens and width were swapped: weights grow with the square of the width."),
        ),
    ),
)
