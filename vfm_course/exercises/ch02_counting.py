"""Notebook 02, what is trained, and what it costs to serve: 2.1, 2.11 and 2.12."""

from __future__ import annotations

from vfm_course.exercises.judge import expect_close, expect_equal, expect_several
from vfm_course.exercises.record import Exercise, Mistake

_REFERENCE = "vfm_course.solutions.ch02_heads:"


# 2.1 ---------------------------------------------------------------------------------------------------------------
def check_share(answer, draw):
    # A small backbone first: next to a large one nobody sees what the head is divided by.
    small = (1000 * draw.integer(5, 20), draw.integer(48, 80), draw.integer(6, 14))
    for backbone, width, classes in (small, (86_580_480, 768, 10)):
        head = width * classes + classes
        where = f"of a head for {classes} classes on {width} features and {backbone:,} frozen parameters"
        trained, total, percent = expect_several(
            answer(backbone, width, classes), 3, "The answer (trained, total, percent)"
        )
        expect_equal(trained, head, f"The number of trained parameters {where}")
        expect_equal(total, backbone + head, f"The number of all parameters {where}")
        expect_close(percent, 100 * head / (backbone + head), f"The percentage {where}", atol=1e-7)


def share_no_bias(backbone_parameters, width, classes):
    trained = width * classes
    return trained, backbone_parameters + trained, 100 * trained / (backbone_parameters + trained)


def share_bias_of_width(backbone_parameters, width, classes):
    trained = width * classes + width
    return trained, backbone_parameters + trained, 100 * trained / (backbone_parameters + trained)


def share_one_bias(backbone_parameters, width, classes):
    trained = width * classes + 1
    return trained, backbone_parameters + trained, 100 * trained / (backbone_parameters + trained)


def share_not_percent(backbone_parameters, width, classes):
    trained = (width + 1) * classes
    return trained, backbone_parameters + trained, trained / (backbone_parameters + trained)


def share_of_backbone(backbone_parameters, width, classes):
    trained = (width + 1) * classes
    return trained, backbone_parameters + trained, 100 * trained / backbone_parameters


def share_total_is_backbone(backbone_parameters, width, classes):
    trained = (width + 1) * classes
    return trained, backbone_parameters, 100 * trained / backbone_parameters


def share_rounded(backbone_parameters, width, classes):
    trained = (width + 1) * classes
    return trained, backbone_parameters + trained, round(100 * trained / (backbone_parameters + trained), 3)


def share_all_trained(backbone_parameters, width, classes):
    total = backbone_parameters + (width + 1) * classes
    return total, total, 100.0


# 2.11 --------------------------------------------------------------------------------------------------------------
def check_count(answer, draw):
    width, layers, r, matrices = 32 * draw.integer(3, 9), draw.integer(5, 12), draw.pick([4, 8, 16], 1)[0], 3
    what = f"rank {r} on {matrices} matrices of {layers} layers of width {width}"
    expect_equal(answer(width, layers, r, matrices), 2 * r * width * layers * matrices, f"The count for {what}")
    what = "rank 8 on query and value of 12 layers of width 768"
    expect_equal(answer(768, 12, 8, 2), 294_912, f"The count for {what}")


def count_one_factor(width, layers, r, matrices):
    return r * width * layers * matrices


def count_full(width, layers, r, matrices):
    return width * width * layers * matrices


def count_product(width, layers, r, matrices):
    return (r * width) ** 2 * layers * matrices


def count_one_layer(width, layers, r, matrices):
    return 2 * r * width * matrices


def count_one_matrix(width, layers, r, matrices):
    return 2 * r * width * layers


def count_biases(width, layers, r, matrices):
    return (2 * r * width + r + width) * layers * matrices


def count_with_weight(width, layers, r, matrices):
    return (width * width + 2 * r * width) * layers * matrices


# 2.12 --------------------------------------------------------------------------------------------------------------
def check_serving(answer, draw):
    tasks, images = draw.integer(3, 13), draw.integer(20, 100)
    encoder, head = 1000 * draw.integer(200, 400), 100 * draw.integer(5, 30)
    what = f"for {tasks} tasks on {images} images"
    separate, shared = expect_several(answer(tasks, encoder, head, images), 2, "The answer (separate, shared)")
    expect_equal(separate, tasks * images * (encoder + head), f"The work of separate networks {what}")
    expect_equal(shared, images * encoder + images * tasks * head, f"The work of a shared encoder {what}")


def serving_encoder_for_each(tasks, encoder_flops, head_flops, images):
    both = images * tasks * (encoder_flops + head_flops)
    return both, both


def serving_one_head(tasks, encoder_flops, head_flops, images):
    return images * tasks * (encoder_flops + head_flops), images * (encoder_flops + head_flops)


def serving_encoder_once_for_all(tasks, encoder_flops, head_flops, images):
    return images * tasks * (encoder_flops + head_flops), encoder_flops + images * tasks * head_flops


def serving_no_heads(tasks, encoder_flops, head_flops, images):
    return images * tasks * encoder_flops, images * encoder_flops


def serving_no_heads_when_separate(tasks, encoder_flops, head_flops, images):
    return images * tasks * encoder_flops, images * (encoder_flops + tasks * head_flops)


def serving_one_image(tasks, encoder_flops, head_flops, images):
    return tasks * (encoder_flops + head_flops), encoder_flops + tasks * head_flops


def serving_swapped(tasks, encoder_flops, head_flops, images):
    return images * (encoder_flops + tasks * head_flops), images * tasks * (encoder_flops + head_flops)


def serving_speed_up(tasks, encoder_flops, head_flops, images):
    return tasks * (encoder_flops + head_flops) / (encoder_flops + tasks * head_flops)


EXERCISES = (
    Exercise(
        id="2.1",
        notebook="02",
        title="The headline",
        level="B",
        minutes=4,
        points=1,
        hints=(
            "A linear head multiplies `width` numbers by a matrix of shape (classes, width) and adds a bias.",
            "The bias has one number for each class. The total is the backbone and the head together.",
        ),
        reference=_REFERENCE + "trained_share",
        check=check_share,
        mistakes=(
            Mistake(share_no_bias, "The bias is missing: one number more for each class."),
            Mistake(share_bias_of_width, "The bias has as many numbers as there are classes, not features."),
            Mistake(share_one_bias, "One bias was counted for all; each class has its own."),
            Mistake(share_not_percent, "This is the share itself; times 100 it is a percentage."),
            Mistake(share_of_backbone, "Divided by the backbone's parameters; the head's belong to the total too."),
            Mistake(share_total_is_backbone, "The total leaves out the head."),
            Mistake(share_rounded, "The percentage was rounded; return all digits, and round when you print it."),
            Mistake(share_all_trained, "Everything was counted as trained; the backbone is frozen."),
        ),
    ),
    Exercise(
        id="2.11",
        notebook="02",
        title="What LoRA trains",
        level="B",
        minutes=4,
        points=1,
        hints=(
            "A is (r, width) and B is (width, r): how many numbers do the two hold?",
            "That is for one matrix. Each layer has `matrices` of them, and there are `layers` layers.",
        ),
        reference=_REFERENCE + "count_lora",
        check=check_count,
        mistakes=(
            Mistake(count_one_factor, "Only one of A and B was counted."),
            Mistake(count_full, "This is the size of the frozen matrices; counted are A and B."),
            Mistake(count_product, "The sizes of A and B add up; they were multiplied."),
            Mistake(count_one_layer, "This is for one layer."),
            Mistake(count_one_matrix, "This is for one matrix in each layer."),
            Mistake(count_biases, "A and B have no biases."),
            Mistake(count_with_weight, "The frozen matrices were counted with A and B; they are not trained."),
        ),
    ),
    Exercise(
        id="2.12",
        notebook="02",
        title="Many heads, one encoder",
        level="I",
        minutes=5,
        points=2,
        hints=(
            "Separate networks: each task sends each image through an encoder and a head of its own.",
            "Shared: each image goes through the encoder once, and its cached features through every task's head.",
        ),
        reference=_REFERENCE + "serving_flops",
        check=check_serving,
        mistakes=(
            Mistake(serving_encoder_for_each, "The shared encoder was counted for each task; its features are cached."),
            Mistake(serving_one_head, "With the shared encoder only one head was counted; every task has its own."),
            Mistake(serving_encoder_once_for_all, "The encoder runs once for each image, not once for all of them."),
            Mistake(serving_no_heads, "The heads are missing."),
            Mistake(serving_no_heads_when_separate, "A separate network has a head as well."),
            Mistake(serving_one_image, "This is the work for one image."),
            Mistake(serving_swapped, "The separate networks come first, the shared encoder second."),
            Mistake(serving_speed_up, "This is how many times less work it is; both counts are wanted."),
        ),
    ),
)
