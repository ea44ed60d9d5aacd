"""Notebook 04, one token for each patch: 4.1 and 4.2."""

from __future__ import annotations

from torch.nn import functional as F

from vfm_course.exercises.judge import expect_close, expect_equal, expect_several
from vfm_course.exercises.record import Exercise, Mistake

_REFERENCE = "vfm_course.solutions.ch04_connectors:"


# 4.1 ---------------------------------------------------------------------------------------------------------------
def check_numbers(answer, draw):
    small = (7 * draw.integer(3, 9), 7, draw.integer(10, 20), draw.integer(30, 40))
    cases = (small, (336, 14, 1024, 4096))
    # Both are asked about before either is judged: one number alone may be that of two mistakes.
    answers = [answer(*case) for case in cases]
    for (image_size, patch, vision, text), got in zip(cases, answers, strict=True):
        where = f"for {image_size} px in patches of {patch}, {vision} -> {text}"
        tokens, linear, mlp = expect_several(got, 3, "The answer (tokens, linear, mlp)")
        expect_equal(tokens, (image_size // patch) ** 2, f"The number of visual tokens {where}")
        expect_equal(linear, (vision + 1) * text, f"The number of parameters of the linear layer {where}")
        expect_equal(mlp, (vision + text + 2) * text, f"The number of parameters of the MLP {where}")


def _numbers(image_size, patch, vision_width, text_width):
    linear = (vision_width + 1) * text_width
    return (image_size // patch) ** 2, linear, linear + (text_width + 1) * text_width


def numbers_no_bias(image_size, patch, vision_width, text_width):
    first = vision_width * text_width
    return (image_size // patch) ** 2, first, first + text_width * text_width


def numbers_cls(image_size, patch, vision_width, text_width):
    tokens, linear, mlp = _numbers(image_size, patch, vision_width, text_width)
    return tokens + 1, linear, mlp


def numbers_side(image_size, patch, vision_width, text_width):
    tokens, linear, mlp = _numbers(image_size, patch, vision_width, text_width)
    return image_size // patch, linear, mlp


def numbers_same_twice(image_size, patch, vision_width, text_width):
    tokens, linear, _ = _numbers(image_size, patch, vision_width, text_width)
    return tokens, linear, 2 * linear


def numbers_second_to_vision(image_size, patch, vision_width, text_width):
    tokens, linear, _ = _numbers(image_size, patch, vision_width, text_width)
    return tokens, linear, linear + text_width * vision_width + vision_width


def numbers_second_alone(image_size, patch, vision_width, text_width):
    tokens, linear, mlp = _numbers(image_size, patch, vision_width, text_width)
    return tokens, linear, mlp - linear


def numbers_per_token(image_size, patch, vision_width, text_width):
    tokens, linear, mlp = _numbers(image_size, patch, vision_width, text_width)
    return tokens, tokens * linear, tokens * mlp


def numbers_float(image_size, patch, vision_width, text_width):
    _, linear, mlp = _numbers(image_size, patch, vision_width, text_width)
    return (image_size / patch) ** 2, linear, mlp


# 4.2 ---------------------------------------------------------------------------------------------------------------
def check_project(answer, draw):
    patches, first, second = 2 * draw.normal(2, 6, 5), _layer(draw, 4, 5), _layer(draw, 4, 4)
    want = F.linear(F.gelu(F.linear(patches, *first)), *second)
    expect_close(answer(patches, *first, *second), want, "The visual tokens")


def _layer(draw, wide_out, wide_in):
    return draw.normal(wide_out, wide_in), draw.normal(wide_out)


def project_linear(patches, weight_1, bias_1, weight_2, bias_2):
    return (patches @ weight_1.T + bias_1) @ weight_2.T + bias_2


def project_relu(patches, weight_1, bias_1, weight_2, bias_2):
    return F.relu(patches @ weight_1.T + bias_1) @ weight_2.T + bias_2


def project_gelu_last(patches, weight_1, bias_1, weight_2, bias_2):
    return F.gelu(F.gelu(patches @ weight_1.T + bias_1) @ weight_2.T + bias_2)


def project_gelu_late(patches, weight_1, bias_1, weight_2, bias_2):
    return F.gelu((patches @ weight_1.T + bias_1) @ weight_2.T + bias_2)


def project_no_bias(patches, weight_1, bias_1, weight_2, bias_2):
    return F.gelu(patches @ weight_1.T) @ weight_2.T


def project_second_not_transposed(patches, weight_1, bias_1, weight_2, bias_2):
    return F.gelu(patches @ weight_1.T + bias_1) @ weight_2 + bias_2


def project_mean(patches, weight_1, bias_1, weight_2, bias_2):
    return F.gelu(patches.mean(dim=1) @ weight_1.T + bias_1) @ weight_2.T + bias_2


def project_tanh(patches, weight_1, bias_1, weight_2, bias_2):
    return F.gelu(patches @ weight_1.T + bias_1, approximate="tanh") @ weight_2.T + bias_2


EXERCISES = (
    Exercise(
        id="4.1",
        notebook="04",
        title="Tokens and weights of a projector",
        level="B",
        minutes=5,
        points=2,
        hints=(
            "A square picture has (side / patch) squared patches; a linear layer has in * out weights and out biases.",
            "The MLP's second layer goes from the language model's width to the same width.",
        ),
        reference=_REFERENCE + "connector_numbers",
        check=check_numbers,
        mistakes=(
            Mistake(numbers_no_bias, "The biases are missing: one for each number that comes out of a layer."),
            Mistake(numbers_cls, "The CLS token was counted: LLaVA passes on the patches only."),
            Mistake(numbers_side, "These are the patches along one side; a picture has that many squared."),
            Mistake(
                numbers_same_twice,
                "The first layer was counted twice; the second goes from the language model's width to itself.",
            ),
            Mistake(
                numbers_second_to_vision,
                "The second layer was taken to go back to the encoder's width; it stays at the language model's.",
            ),
            Mistake(numbers_second_alone, "This is the MLP's second layer alone; add the first."),
            Mistake(
                numbers_per_token,
                "The parameters were multiplied by the tokens; all patches go through the same weights.",
            ),
            Mistake(numbers_float, "The number of tokens should be an int: divide with `//`."),
        ),
    ),
    Exercise(
        id="4.2",
        notebook="04",
        title="LLaVA-1.5's connector",
        level="B",
        minutes=6,
        points=2,
        hints=(
            "Two linear layers with a GELU between them; a linear layer is `x @ weight.T + bias`.",
            "`@` works on the last dimension: all patches of all pictures go through at once.",
        ),
        reference=_REFERENCE + "project",
        check=check_project,
        mistakes=(
            Mistake(project_linear, "There is no GELU: two linear layers in a row are no more than one."),
            Mistake(project_relu, "This is a ReLU; LLaVA-1.5 has a GELU between the layers."),
            Mistake(
                project_gelu_last,
                "A GELU follows the last layer too: visual tokens could hardly be negative, while half of the numbers "
                "in word embeddings are.",
            ),
            Mistake(project_gelu_late, "The GELU comes after both layers; it belongs between them."),
            Mistake(project_no_bias, "The biases are missing."),
            Mistake(
                project_second_not_transposed,
                "The second weight was not transposed. It is (out, in) like the first, but square, so nothing "
                "complains.",
            ),
            Mistake(project_mean, "The patches were averaged; each patch becomes a token of its own."),
            Mistake(project_tanh, "This is the tanh approximation of GELU; LLaVA's is the exact one."),
        ),
    ),
)
