"""Notebook 02, LoRA by hand: 2.8, 2.9 and 2.10."""

from __future__ import annotations

import torch
from torch import nn

from vfm_course.exercises.judge import expect_close, expect_finite, expect_several, expect_shape, expect_true
from vfm_course.exercises.record import Exercise, Mistake

_REFERENCE = "vfm_course.solutions.ch02_heads:"


# 2.8 ---------------------------------------------------------------------------------------------------------------
def check_lora(answer, draw):
    state = {"weight": draw.normal(4, 5), "bias": draw.normal(4), "A": draw.normal(2, 5), "B": draw.normal(4, 2)}
    features, cotangent, alpha = draw.normal(6, 5), draw.normal(6, 4), draw.pick([5, 7, 9], 1)[0]
    weight, bias, A, B = state.values()
    scale = alpha / 2
    layer = answer.build(5, 4, 2, alpha, state=state)
    expect_close(layer(features), features @ (weight + scale * B @ A).T + bias, "The layer's output")
    learns = {name: found["requires_grad"] for name, found in layer.parameters().items()}
    for name in ("weight", "bias"):
        expect_true(not learns.get(name), f"`{name}` belongs to the frozen layer and should not require a gradient.")
    for name in ("A", "B"):
        expect_true(learns.get(name) is True, f"`{name}` should be an `nn.Parameter` that requires a gradient.")
    grads = layer.parameter_grads((features,), cotangent=cotangent)
    wanted = {"A": scale * (cotangent @ B).T @ features, "B": scale * cotangent.T @ (features @ A.T)}
    for name, want in wanted.items():
        expect_true(grads.get(name) is not None, f"No gradient reaches `{name}`: the adapter cannot learn.")
        expect_close(grads[name], want, f"The gradient of `{name}`")
    below = layer.grad((features,), cotangent=cotangent)[0]
    expect_true(below is not None, "No gradient reaches the features: adapters in the layers below cannot learn.")
    expect_close(below, cotangent @ (weight + scale * B @ A), "The gradient that goes down to the layers below")


class _Lora(nn.Module):
    def __init__(self, in_features, out_features, r, alpha):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(out_features, in_features), requires_grad=False)
        self.bias = nn.Parameter(torch.zeros(out_features), requires_grad=False)
        self.A = nn.Parameter(torch.zeros(r, in_features))
        self.B = nn.Parameter(torch.zeros(out_features, r))
        self.r, self.alpha, self.scale = r, alpha, alpha / r

    def frozen(self, features):
        return features @ self.weight.T + self.bias

    def adapter(self, features):
        return features @ self.A.T @ self.B.T

    def forward(self, features):
        return self.frozen(features) + self.scale * self.adapter(features)


class LoraAlpha(_Lora):
    def forward(self, features):
        return self.frozen(features) + self.alpha * self.adapter(features)


class LoraNoScale(_Lora):
    def forward(self, features):
        return self.frozen(features) + self.adapter(features)


class LoraInverse(_Lora):
    def forward(self, features):
        return self.frozen(features) + self.r / self.alpha * self.adapter(features)


class LoraRoot(_Lora):
    def forward(self, features):
        return self.frozen(features) + self.alpha / self.r**0.5 * self.adapter(features)


class LoraFrozenScaled(_Lora):
    def forward(self, features):
        return self.scale * (self.frozen(features) + self.adapter(features))


class LoraBiasTwice(_Lora):
    def forward(self, features):
        return self.frozen(features) + self.scale * self.adapter(features) + self.bias


class LoraNoBias(_Lora):
    def forward(self, features):
        return features @ self.weight.T + self.scale * self.adapter(features)


class LoraReplaced(_Lora):
    def forward(self, features):
        return self.scale * self.adapter(features) + self.bias


class LoraNoAdapter(_Lora):
    def forward(self, features):
        return self.frozen(features)


class LoraShapesSwapped(_Lora):
    def __init__(self, in_features, out_features, r, alpha):
        super().__init__(in_features, out_features, r, alpha)
        self.A = nn.Parameter(torch.zeros(in_features, r))
        self.B = nn.Parameter(torch.zeros(r, out_features))


class LoraNested(nn.Module):
    def __init__(self, in_features, out_features, r, alpha):
        super().__init__()
        self.linear = nn.Linear(in_features, out_features)
        self.A = nn.Parameter(torch.zeros(r, in_features))
        self.B = nn.Parameter(torch.zeros(out_features, r))


class LoraWeightLearns(_Lora):
    def __init__(self, in_features, out_features, r, alpha):
        super().__init__(in_features, out_features, r, alpha)
        self.weight.requires_grad_()
        self.bias.requires_grad_()


class LoraBiasLearns(_Lora):
    def __init__(self, in_features, out_features, r, alpha):
        super().__init__(in_features, out_features, r, alpha)
        self.bias.requires_grad_()


class LoraAllFrozen(_Lora):
    def __init__(self, in_features, out_features, r, alpha):
        super().__init__(in_features, out_features, r, alpha)
        self.requires_grad_(False)


class LoraMergedCopy(_Lora):
    def forward(self, features):
        with torch.no_grad():
            weight = self.weight + self.scale * self.B @ self.A
        return features @ weight.T + self.bias


class LoraCutsBelow(_Lora):
    def forward(self, features):
        with torch.no_grad():
            frozen = self.frozen(features)
        return frozen + self.scale * self.adapter(features)


class LoraDetaches(_Lora):
    def forward(self, features):
        features = features.detach()
        return self.frozen(features) + self.scale * self.adapter(features)


# 2.9 ---------------------------------------------------------------------------------------------------------------
def check_init(answer, draw):
    width, out, r = draw.integer(10, 14), draw.integer(6, 9), draw.integer(2, 5)
    A, B = expect_several(answer(width, out, r), 2, "The answer (A, B)")
    expect_shape(A, (r, width), "A")
    expect_shape(B, (out, r), "B")
    expect_finite(A, "A")
    expect_finite(B, "B")
    # Either of the two may be the one that is zero: the paper has B, but with A it works as well.
    expect_true(A.any() or B.any(), "A and B are both zero, so the gradient of either is zero at every step.")
    product = B.float() @ A.float()
    expect_true(
        not product.any(), f"B @ A should be zero at the start; its largest value is {product.abs().max():.2g}."
    )
    rank = max(int(torch.linalg.matrix_rank(matrix.float())) for matrix in (A, B))
    expect_true(rank == r, f"What is not zero should have rank {r}, so that the adapter can use all of it, not {rank}.")


def init_both_zero(in_features, out_features, r):
    return torch.zeros(r, in_features), torch.zeros(out_features, r)


def init_both_random(in_features, out_features, r):
    return torch.randn(r, in_features), torch.randn(out_features, r)


def init_both_small(in_features, out_features, r):
    return 0.01 * torch.randn(r, in_features), 0.01 * torch.randn(out_features, r)


def init_ones(in_features, out_features, r):
    return torch.ones(r, in_features), torch.zeros(out_features, r)


def init_transposed(in_features, out_features, r):
    return torch.randn(in_features, r), torch.zeros(r, out_features)


def init_order(in_features, out_features, r):
    return torch.zeros(out_features, r), torch.randn(r, in_features)


def init_sizes_swapped(in_features, out_features, r):
    return torch.randn(r, out_features), torch.zeros(in_features, r)


# 2.10 --------------------------------------------------------------------------------------------------------------
def check_merge(answer, draw):
    # A square weight first: there a transposed product does not even raise an error.
    for out, width, r, alpha in ((6, 6, 2, draw.pick([5, 7, 9], 1)[0]), (5, 8, 3, 12)):
        weight, A, B = draw.normal(out, width), draw.normal(r, width), draw.normal(out, r)
        what = f"The merged weight ({out}, {width}) for r = {r} and alpha = {alpha}"
        expect_close(answer(weight, A, B, alpha), weight + alpha / r * B @ A, what)


def merge_wrong_order(weight, A, B, alpha):
    return weight + alpha / A.shape[0] * (A @ B)


def merge_transposed(weight, A, B, alpha):
    return weight + alpha / A.shape[0] * (B @ A).T


def merge_no_scale(weight, A, B, alpha):
    return weight + B @ A


def merge_alpha(weight, A, B, alpha):
    return weight + alpha * (B @ A)


def merge_divided_by_width(weight, A, B, alpha):
    return weight + alpha / A.shape[1] * (B @ A)


def merge_whole_number(weight, A, B, alpha):
    return weight + alpha // A.shape[0] * (B @ A)


def merge_adapter_only(weight, A, B, alpha):
    return alpha / A.shape[0] * (B @ A)


def merge_weight_scaled(weight, A, B, alpha):
    return alpha / A.shape[0] * (weight + B @ A)


def merge_in_place(weight, A, B, alpha):
    weight += alpha / A.shape[0] * (B @ A)
    return weight


EXERCISES = (
    Exercise(
        id="2.8",
        notebook="02",
        title="LoRA by hand",
        level="A",
        minutes=15,
        points=4,
        kind="class",
        hints=(
            "Four parameters of the module's own: `weight` (out, in) and `bias` (out,) with `requires_grad=False`, "
            "`A` (r, in) and `B` (out, r) without.",
            "The frozen layer computes `features @ weight.T + bias`. The adapter goes down to r numbers and up again: "
            "`features @ A.T @ B.T`. Add it, times alpha / r.",
            "No `torch.no_grad()` here: in a deep network the gradient must pass through this frozen layer to reach "
            "the adapters below it.",
        ),
        reference=_REFERENCE + "LoraLinear",
        check=check_lora,
        mistakes=(
            Mistake(LoraAlpha, "The adapter was multiplied by alpha; the scale is alpha / r."),
            Mistake(LoraNoScale, "The scale alpha / r is missing."),
            Mistake(LoraInverse, "The scale is upside down: alpha / r, not r / alpha."),
            Mistake(LoraRoot, "Divided by the root of r, as in rsLoRA; here the scale is alpha / r."),
            Mistake(LoraFrozenScaled, "The frozen layer was scaled too; alpha / r belongs to the adapter only."),
            Mistake(LoraBiasTwice, "The bias was added twice."),
            Mistake(LoraNoBias, "The frozen layer's bias was not added."),
            Mistake(LoraReplaced, "The adapter replaced the frozen weight; it is added to it."),
            Mistake(LoraNoAdapter, "This is the frozen layer alone; the adapter was not added."),
            Mistake(LoraShapesSwapped, "A and B are transposed: A is (r, in), B is (out, r)."),
            Mistake(LoraNested, "The frozen weight sits inside an nn.Linear; make `weight` and `bias` your own."),
            Mistake(LoraWeightLearns, "The frozen weight requires a gradient: this would be full fine-tuning."),
            Mistake(LoraBiasLearns, "The weight is frozen, but the bias still learns."),
            Mistake(LoraAllFrozen, "A and B were frozen with the rest; they are what learns."),
            Mistake(LoraMergedCopy, "A and B were merged into the weight outside the graph: nothing can learn."),
            Mistake(
                LoraCutsBelow,
                "`torch.no_grad()` around the frozen layer cuts off the layers below: frozen means that its weight "
                "does not change, not that gradients end here.",
            ),
            Mistake(LoraDetaches, "The features were detached; adapters in the layers below then never learn."),
        ),
    ),
    Exercise(
        id="2.9",
        notebook="02",
        title="How LoRA begins",
        level="I",
        minutes=6,
        points=2,
        hints=(
            "Before the first step the model should be what it was: B @ A must be zero.",
            "The gradient of B is a product with A, and that of A a product with B: if both are zero, nothing moves.",
            "`torch.zeros` for one, `torch.randn` for the other: rows that are all alike would stay alike.",
        ),
        reference=_REFERENCE + "lora_init",
        check=check_init,
        mistakes=(
            Mistake(init_both_zero, "With both at zero neither ever gets a gradient: one of them must be random."),
            Mistake(
                init_both_random, "With both random the pretrained model is disturbed before it has learnt a thing."
            ),
            Mistake(init_both_small, "Small is not zero: the model should be exactly what it was."),
            Mistake(init_ones, "All r rows are alike, so they get the same gradient and stay alike: rank 1 for ever."),
            Mistake(init_transposed, "Both are transposed: A is (r, in), B is (out, r)."),
            Mistake(init_order, "A comes first, then B."),
            Mistake(init_sizes_swapped, "A reads the layer's input and B writes its output: A is (r, in)."),
        ),
    ),
    Exercise(
        id="2.10",
        notebook="02",
        title="Merged",
        level="I",
        minutes=5,
        points=2,
        hints=(
            "`x @ A.T @ B.T` is `x @ (B @ A).T`: the adapter is the matrix B @ A, of the weight's shape.",
            "The rank r is the number of A's rows; the scale is alpha / r, as in the layer.",
        ),
        reference=_REFERENCE + "merge_lora",
        check=check_merge,
        mistakes=(
            Mistake(merge_wrong_order, "A @ B is (r, r), if it can be computed at all; B @ A is (out, in)."),
            Mistake(merge_transposed, "The adapter is transposed, which a square weight does not notice."),
            Mistake(
                merge_no_scale, "The scale alpha / r is missing: the merged layer differs from the one that learnt."
            ),
            Mistake(merge_alpha, "Multiplied by alpha; the scale is alpha / r."),
            Mistake(merge_divided_by_width, "Divided by the layer's input width; r is the number of A's rows."),
            Mistake(merge_whole_number, "`//` rounds the scale down; alpha / r need not be a whole number."),
            Mistake(merge_adapter_only, "This is the adapter alone: add it to the weight."),
            Mistake(merge_weight_scaled, "The weight was scaled as well; the scale belongs to the adapter."),
            Mistake(
                merge_in_place, "The weight that was passed in is now another one: the next adapter needs it as it was."
            ),
        ),
    ),
)
