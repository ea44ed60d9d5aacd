"""Notebook 06, from pixels to embeddings: exercises 6.1 to 6.4 and the linear head, 6.14."""

from __future__ import annotations

import torch
from torch import nn

from vfm_course.exercises.judge import expect_close, expect_equal, expect_finite, expect_shape, expect_true
from vfm_course.exercises.record import Exercise, Mistake

_REFERENCE = "vfm_course.solutions.ch06_toolkit:"


# 6.1 ---------------------------------------------------------------------------------------------------------------
def check_resize(answer, draw):
    patch = draw.pick([8, 14, 16], 1)[0]
    up, down = draw.integer(3, 9), draw.integer(9, 14)
    size = (up * patch - 3, down * patch + 2)
    expect_equal(answer(28, 42, 14), (28, 42), "A size that already fits")
    got = answer(*size, patch)
    expect_equal(got, (up * patch, down * patch), f"The size nearest to {size} with patches of {patch}")
    expect_equal(answer(patch + 1, 3, patch), (patch, patch), "The size of an image narrower than half a patch")


def resize_floor(height, width, patch_size):
    return max(1, height // patch_size) * patch_size, max(1, width // patch_size) * patch_size


def resize_ceil(height, width, patch_size):
    return -(-height // patch_size) * patch_size, -(-width // patch_size) * patch_size


def resize_swapped(height, width, patch_size):
    return max(1, round(width / patch_size)) * patch_size, max(1, round(height / patch_size)) * patch_size


def resize_no_minimum(height, width, patch_size):
    return round(height / patch_size) * patch_size, round(width / patch_size) * patch_size


def resize_counts(height, width, patch_size):
    return max(1, round(height / patch_size)), max(1, round(width / patch_size))


def resize_one_more(height, width, patch_size):
    return (height // patch_size + 1) * patch_size, (width // patch_size + 1) * patch_size


# 6.2 ---------------------------------------------------------------------------------------------------------------
def check_normalise_pixels(answer, draw):
    image = draw.pixels(6, 5)
    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    got = answer(image, mean, std)
    expect_close(got, ((image / 255 - mean) / std).permute(2, 0, 1), "The normalised image")


def pixels_not_scaled(image, mean, std):
    return ((image.float() - mean) / std).permute(2, 0, 1)


def pixels_channels_last(image, mean, std):
    return (image.float() / 255 - mean) / std


def pixels_reshaped(image, mean, std):
    height, width, _ = image.shape
    return ((image.float() / 255 - mean) / std).reshape(3, height, width)


def pixels_mean_only(image, mean, std):
    return (image.float() / 255 - mean).permute(2, 0, 1)


def pixels_backwards(image, mean, std):
    return ((image.float() / 255 - mean.flip(0)) / std.flip(0)).permute(2, 0, 1)


# 6.3 ---------------------------------------------------------------------------------------------------------------
def check_l2(answer, draw):
    embeddings = draw.normal(4, 6) * draw.uniform(4, 1, low=0.5, high=4.0)
    got = answer(embeddings)
    expect_close(got, embeddings / embeddings.norm(dim=1, keepdim=True), "The matrix of normalised embeddings")
    embeddings[2] = 0
    got = answer(embeddings)
    expect_finite(got, "The result for embeddings whose row 2 is all zeros")
    expect_close(got[2], torch.zeros(6), "A row of zeros")


def l2_columns(embeddings):
    return embeddings / embeddings.norm(dim=0, keepdim=True)


def l2_no_root(embeddings):
    return embeddings / embeddings.pow(2).sum(dim=1, keepdim=True)


def l2_sum_of_sizes(embeddings):
    return embeddings / embeddings.abs().sum(dim=1, keepdim=True)


def l2_whole_matrix(embeddings):
    return embeddings / embeddings.norm()


def l2_zero_division(embeddings):
    return embeddings / embeddings.norm(dim=1, keepdim=True)


# 6.4 ---------------------------------------------------------------------------------------------------------------
def check_cosine(answer, draw):
    embeddings = draw.normal(5, 8) * draw.uniform(5, 1, low=0.5, high=3.0)
    got = answer(embeddings)
    unit = embeddings / embeddings.norm(dim=1, keepdim=True)
    expect_shape(got, (5, 5), "The cosine matrix")
    expect_close(got, unit @ unit.T, "The cosine matrix")


def cosine_dot(embeddings):
    return embeddings @ embeddings.T


def cosine_one_side(embeddings):
    return embeddings / embeddings.norm(dim=1, keepdim=True) @ embeddings.T


def cosine_features(embeddings):
    unit = embeddings / embeddings.norm(dim=1, keepdim=True)
    return unit.T @ unit


def cosine_distance(embeddings):
    unit = embeddings / embeddings.norm(dim=1, keepdim=True)
    return 1 - unit @ unit.T


# 6.14 --------------------------------------------------------------------------------------------------------------
def check_head(answer, draw):
    state = {"weight": draw.normal(3, 5), "bias": draw.normal(3)}
    features, cotangent = draw.normal(4, 5), draw.normal(4, 3)
    head = answer.build(5, 3, state=state)
    expect_close(head(features), features @ state["weight"].T + state["bias"], "The matrix of logits")
    leaked = head.grad((features,), cotangent=cotangent)[0]
    leak = "A gradient reaches the features, and through them the backbone that should stay frozen."
    expect_true(leaked is None or not leaked.any(), leak)
    grads = head.parameter_grads((features,), cotangent=cotangent)
    for name, want in {"weight": cotangent.T @ features, "bias": cotangent.sum(0)}.items():
        expect_true(grads.get(name) is not None, f"No gradient reaches `{name}`: the head cannot learn.")
        expect_close(grads[name], want, f"The gradient of `{name}`")


class _Head(nn.Module):
    def __init__(self, width, classes):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(classes, width))
        self.bias = nn.Parameter(torch.zeros(classes))


class HeadLeaks(_Head):
    def forward(self, features):
        return features @ self.weight.T + self.bias


class HeadFrozen(_Head):
    def forward(self, features):
        with torch.no_grad():
            return features @ self.weight.T + self.bias


class HeadNoBias(_Head):
    def forward(self, features):
        return features.detach() @ self.weight.T


class HeadSoftmax(_Head):
    def forward(self, features):
        return (features.detach() @ self.weight.T + self.bias).softmax(dim=1)


class HeadNested(nn.Module):
    def __init__(self, width, classes):
        super().__init__()
        self.linear = nn.Linear(width, classes)

    def forward(self, features):
        return self.linear(features.detach())


EXERCISES = (
    Exercise(
        id="6.1",
        notebook="06",
        title="A size in whole patches",
        level="B",
        minutes=5,
        points=1,
        hints=(
            "How many patches fit? Divide the side by the patch size and round to the nearest whole number.",
            "`round(side / patch_size)` can be 0 for a tiny image; `max(1, …)` keeps one patch.",
            "The answer is in pixels: multiply the number of patches by the patch size. Return (height, width).",
        ),
        reference=_REFERENCE + "resize_to_patches",
        check=check_resize,
        mistakes=(
            Mistake(resize_floor, "The size was rounded down; the nearest multiple may lie above."),
            Mistake(resize_ceil, "The size was rounded up; the nearest multiple may lie below."),
            Mistake(resize_swapped, "Height and width were swapped: height comes first."),
            Mistake(resize_no_minimum, "A very small side became 0 pixels; keep at least one patch."),
            Mistake(resize_counts, "These are numbers of patches; the size is wanted in pixels."),
            Mistake(resize_one_more, "One patch too many: a side that is just over a multiple goes back to it."),
        ),
    ),
    Exercise(
        id="6.2",
        notebook="06",
        title="Normalise the pixels",
        level="B",
        minutes=8,
        points=2,
        hints=(
            "Three steps: bytes to floats in [0, 1], channel statistics, channels to the front.",
            "An image of shape (H, W, 3) and a mean of shape (3,) broadcast over the last dimension as they are.",
            "`.permute(2, 0, 1)` moves the channels to the front; `.reshape(3, H, W)` would scramble the picture.",
        ),
        reference=_REFERENCE + "normalise_pixels",
        check=check_normalise_pixels,
        mistakes=(
            Mistake(pixels_not_scaled, "The pixels were not scaled to [0, 1]: divide by 255 before the mean goes off."),
            Mistake(pixels_channels_last, "The channels are still last; a model wants (3, H, W)."),
            Mistake(pixels_reshaped, "The image was reshaped, which scrambles the pixels: permute the dimensions."),
            Mistake(pixels_mean_only, "The mean was subtracted, but nothing was divided by the standard deviation."),
            Mistake(pixels_backwards, "The statistics were applied in reverse order (blue's to red)."),
        ),
    ),
    Exercise(
        id="6.3",
        notebook="06",
        title="Rows of unit length",
        level="B",
        minutes=6,
        points=1,
        hints=(
            "The length of a row is the square root of the sum of its squares: `embeddings.norm(dim=…)`.",
            "`keepdim=True` keeps the lengths as a column (N, 1), which divides row by row.",
            "A row of zeros has length 0: `clamp(min=1e-12)` before dividing avoids 0 / 0.",
        ),
        reference=_REFERENCE + "l2_normalise",
        check=check_l2,
        mistakes=(
            Mistake(l2_columns, "The columns were normalised, not the rows: one image is one row."),
            Mistake(l2_no_root, "Divided by the sum of squares; the length is its square root."),
            Mistake(l2_sum_of_sizes, "Divided by the sum of absolute values (L1); the L2 length is wanted."),
            Mistake(l2_whole_matrix, "All rows were divided by one number; each row has a length of its own."),
            Mistake(l2_zero_division, "A row of zeros was divided by its length 0 and became NaN."),
        ),
    ),
    Exercise(
        id="6.4",
        notebook="06",
        title="The cosine matrix",
        level="B",
        minutes=5,
        points=1,
        hints=(
            "The cosine of two vectors of length one is their dot product.",
            "Normalise the rows, then one matrix product gives all pairs at once.",
            "`unit @ unit.T` is (N, N); `unit.T @ unit` would compare features, not images.",
        ),
        reference=_REFERENCE + "cosine_matrix",
        check=check_cosine,
        mistakes=(
            Mistake(cosine_dot, "These are dot products of embeddings that were not normalised."),
            Mistake(cosine_one_side, "Only one side of the product was normalised."),
            Mistake(cosine_features, "The product is transposed: it compares features (D, D), not images (N, N)."),
            Mistake(cosine_distance, "This is the cosine distance; the similarity has ones on the diagonal."),
        ),
    ),
    Exercise(
        id="6.14",
        notebook="06",
        title="A linear head on frozen features",
        level="I",
        minutes=10,
        points=3,
        kind="class",
        hints=(
            "Two parameters made with `nn.Parameter`: `weight` of shape (classes, width), `bias` of shape (classes,).",
            "The logits are `features @ weight.T + bias`, without a softmax.",
            "`features.detach()` cuts the graph to the backbone and leaves it whole for the head.",
        ),
        reference=_REFERENCE + "LinearHead",
        check=check_head,
        mistakes=(
            Mistake(HeadLeaks, "The gradient leaks into the backbone: detach the features."),
            Mistake(HeadFrozen, "`torch.no_grad()` also freezes the head itself: detach only the features."),
            Mistake(HeadNoBias, "The bias is there, but it was not added."),
            Mistake(HeadSoftmax, "These are probabilities; the head returns logits, the loss takes the softmax."),
            Mistake(HeadNested, "The parameters sit inside an nn.Linear; make `weight` and `bias` the module's own."),
        ),
    ),
)
