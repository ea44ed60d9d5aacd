"""Notebook 02, a head on a frozen backbone: exercises 2.1 to 2.3 and 2.5."""

from __future__ import annotations

import torch
from torch import nn

from vfm_course.exercises.judge import describe, expect_close, expect_equal, expect_true
from vfm_course.exercises.protocol import Other
from vfm_course.exercises.record import Exercise, Mistake

_REFERENCE = "vfm_course.solutions.ch02_heads:"


def several(got, count, what):
    """The parts of an answer that returns `count` values."""
    right = isinstance(got, tuple | list) and len(got) == count
    expect_true(right, f"{what} should hold {count} values; it is {describe(got)}.")
    return got


# 2.1 ---------------------------------------------------------------------------------------------------------------
def check_share(answer, draw):
    # A small backbone first: next to a large one nobody sees what the head is divided by.
    small = (1000 * draw.integer(5, 20), draw.integer(48, 80), draw.integer(6, 14))
    for backbone, width, classes in (small, (86_580_480, 768, 10)):
        head = width * classes + classes
        where = f"of a head for {classes} classes on {width} features and {backbone:,} frozen parameters"
        trained, total, percent = several(answer(backbone, width, classes), 3, "The answer (trained, total, percent)")
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


# 2.2 ---------------------------------------------------------------------------------------------------------------
def check_frozen(answer, draw):
    state = {
        "backbone.0.weight": draw.normal(6, 5),
        "backbone.0.bias": draw.normal(6),
        "backbone.1.weight": draw.uniform(6, low=0.5, high=2.0),
        "backbone.1.bias": draw.uniform(6, low=0.5, high=1.5),
        "backbone.1.running_mean": 2 * draw.normal(6),
        "backbone.1.running_var": draw.uniform(6, low=2.0, high=6.0),
        "backbone.1.num_batches_tracked": torch.tensor(100),
        "head.weight": draw.normal(3, 6),
        "head.bias": draw.normal(3),
    }
    images, cotangent = draw.normal(8, 5), draw.normal(8, 3)
    linear = images @ state["backbone.0.weight"].T + state["backbone.0.bias"]
    unit = (linear - state["backbone.1.running_mean"]) / (state["backbone.1.running_var"] + 1e-5).sqrt()
    features = (unit * state["backbone.1.weight"] + state["backbone.1.bias"]).relu()
    logits = features @ state["head.weight"].T + state["head.bias"]

    model = answer.build(5, 6, 3, state=state)
    expect_close(model(images), logits, "The matrix of logits of a new model")
    model.set_training(True)
    expect_close(model(images), logits, "The matrix of logits after `model.train()`")
    flags = model.training_flags()
    head_trains = flags.get("") is True and flags.get("head") is True
    expect_true(head_trains, "After `model.train()` the model itself and its head should be in training mode.")
    model.set_training(False)
    flags = model.training_flags()
    expect_true(flags.get("") is False, "After `model.eval()` the model should be in evaluation mode.")
    model.set_training(True)

    for name, found in model.parameters().items():
        wanted = name.startswith("head.")
        said = "should require a gradient" if wanted else "should not require a gradient"
        expect_true(found["requires_grad"] is wanted, f"`{name}` {said}.")
    leaked = model.grad((images,), cotangent=cotangent)[0]
    expect_true(leaked is None, "A gradient reaches the images, so a graph was kept for the whole backbone.")
    grads = model.parameter_grads((images,), cotangent=cotangent)
    for name, want in {"head.weight": cotangent.T @ features, "head.bias": cotangent.sum(0)}.items():
        expect_true(grads.get(name) is not None, f"No gradient reaches `{name}`: the head cannot learn.")
        expect_close(grads[name], want, f"The gradient of `{name}`")
    # Last, since nothing can be compared with an object that does not travel.
    returned = model.method("train")
    expect_true(isinstance(returned, Other), f"`train` should return the model itself; it gives {describe(returned)}")


class _Frozen(nn.Module):
    def __init__(self, width_in, width, classes):
        super().__init__()
        self.backbone = nn.Sequential(nn.Linear(width_in, width), nn.BatchNorm1d(width), nn.ReLU(), nn.Dropout(0.5))
        self.head = nn.Linear(width, classes)
        self.backbone.requires_grad_(False)
        self.backbone.eval()

    def train(self, mode=True):
        super().train(mode)
        self.backbone.eval()
        return self

    def forward(self, images):
        with torch.no_grad():
            features = self.backbone(images)
        return self.head(features)


class FrozenNotEval(_Frozen):
    def __init__(self, width_in, width, classes):
        super().__init__(width_in, width, classes)
        self.backbone.train()


class FrozenNormsOnly(_Frozen):
    def __init__(self, width_in, width, classes):
        super().__init__(width_in, width, classes)
        self.backbone[3].train()

    def train(self, mode=True):
        super().train(mode)
        self.backbone[3].train(mode)
        return self


class FrozenUntilTrain(_Frozen):
    def train(self, mode=True):
        return nn.Module.train(self, mode)


class FrozenAlwaysEval(_Frozen):
    def train(self, mode=True):
        return nn.Module.train(self, False)


class FrozenIgnoresMode(_Frozen):
    def train(self, mode=True):
        nn.Module.train(self)
        self.backbone.eval()
        return self


class FrozenNothingReturned(_Frozen):
    def train(self, mode=True):
        super().train(mode)


class FrozenWantsGradients(_Frozen):
    def __init__(self, width_in, width, classes):
        super().__init__(width_in, width, classes)
        self.backbone.requires_grad_(True)


class FrozenHeadToo(_Frozen):
    def __init__(self, width_in, width, classes):
        super().__init__(width_in, width, classes)
        self.requires_grad_(False)


class FrozenKeepsGraph(_Frozen):
    def forward(self, images):
        return self.head(self.backbone(images))


class FrozenNoGradForHead(_Frozen):
    def forward(self, images):
        with torch.no_grad():
            return self.head(self.backbone(images))


class FrozenInference(_Frozen):
    def forward(self, images):
        with torch.inference_mode():
            features = self.backbone(images)
        return self.head(features)


# 2.3 ---------------------------------------------------------------------------------------------------------------
def check_groups(answer, draw):
    width, classes, decay = draw.integer(8, 20), draw.integer(3, 7), 0.01 * draw.integer(1, 10)
    frozen = {
        "backbone.embed.weight": (width, 48),
        "backbone.blocks.0.norm.weight": (width,),
        "backbone.blocks.0.head.weight": (width, width),
        "backbone.blocks.0.head.bias": (width,),
        "header.weight": (width, width),
        "header.bias": (width,),
    }
    matrices = {"head.1.weight": (width, width), "head.3.weight": (classes, width)}
    vectors = {"head.0.weight": (width,), "head.0.bias": (width,), "head.1.bias": (width,), "head.3.bias": (classes,)}
    named = frozen | matrices | vectors
    order = draw.pick(list(named), len(named))
    groups = several(answer({name: named[name] for name in order}, decay), 2, "The list of groups")
    for what, group, names, value in zip(
        ("The group with weight decay", "The group without weight decay"),
        groups, (matrices, vectors), (decay, 0.0), strict=True,
    ):  # fmt: skip
        whole = isinstance(group, dict) and {"params", "weight_decay"} <= group.keys()
        expect_true(whole, f'{what} should be a dict with "params" and "weight_decay"; it is {describe(group)}.')
        given = group["params"]
        expect_true(isinstance(given, list), f"The params of {what.lower()} should be a list of names.")
        expect_equal(sorted(map(str, given)), sorted(names), f"{what} (names sorted here)")
        expect_close(group["weight_decay"], value, f"The weight decay of {what.lower()}")


def groups_everything(shapes, weight_decay):
    return [
        {"params": [name for name in shapes if len(shapes[name]) > 1], "weight_decay": weight_decay},
        {"params": [name for name in shapes if len(shapes[name]) == 1], "weight_decay": 0.0},
    ]


def groups_contains_head(shapes, weight_decay):
    return groups_everything({name: shapes[name] for name in shapes if "head." in name}, weight_decay)


def groups_no_dot(shapes, weight_decay):
    return groups_everything({name: shapes[name] for name in shapes if name.startswith("head")}, weight_decay)


def groups_backbone(shapes, weight_decay):
    return groups_everything({name: shapes[name] for name in shapes if not name.startswith("head.")}, weight_decay)


def groups_all_decay(shapes, weight_decay):
    head = [name for name in shapes if name.startswith("head.")]
    return [{"params": head, "weight_decay": weight_decay}, {"params": [], "weight_decay": 0.0}]


def groups_norms_decay(shapes, weight_decay):
    head = [name for name in shapes if name.startswith("head.")]
    return [
        {"params": [name for name in head if not name.endswith("bias")], "weight_decay": weight_decay},
        {"params": [name for name in head if name.endswith("bias")], "weight_decay": 0.0},
    ]


def groups_swapped(shapes, weight_decay):
    head = {name: shapes[name] for name in shapes if name.startswith("head.")}
    return groups_everything(head, weight_decay)[::-1]


def groups_same_decay(shapes, weight_decay):
    head = {name: shapes[name] for name in shapes if name.startswith("head.")}
    return [{**group, "weight_decay": weight_decay} for group in groups_everything(head, weight_decay)]


def groups_vectors_left_out(shapes, weight_decay):
    matrices = [name for name in shapes if name.startswith("head.") and len(shapes[name]) > 1]
    return [{"params": matrices, "weight_decay": weight_decay}, {"params": [], "weight_decay": 0.0}]


# 2.5 ---------------------------------------------------------------------------------------------------------------
def check_gradient(answer, draw):
    features, labels = draw.normal(7, 5), draw.integers(0, 3, 7)
    weight, bias = draw.normal(3, 5), draw.normal(3)
    for size, what in ((1, ""), (100, ", where logits are in the hundreds")):
        both = [(size * weight).requires_grad_(), (size * bias).requires_grad_()]
        loss = nn.functional.cross_entropy(features @ both[0].T + both[1], labels)
        wanted = torch.autograd.grad(loss, both)
        got = answer(features, size * weight, size * bias, labels)
        got = several(got, 2, "The answer (gradient of weight, gradient of bias)")
        expect_close(got[0], wanted[0], f"The gradient of the weight{what}")
        expect_close(got[1], wanted[1], f"The gradient of the bias{what}")


def _error(features, weight, bias, labels):
    return (features @ weight.T + bias).softmax(dim=1) - nn.functional.one_hot(labels, len(bias))


def gradient_sum(features, weight, bias, labels):
    error = _error(features, weight, bias, labels)
    return error.T @ features, error.sum(dim=0)


def gradient_mean_of_all(features, weight, bias, labels):
    error = _error(features, weight, bias, labels)
    return error.T @ features / error.numel(), error.sum(dim=0) / error.numel()


def gradient_bias_summed(features, weight, bias, labels):
    error = _error(features, weight, bias, labels)
    return error.T @ features / len(features), error.sum(dim=0)


def gradient_uphill(features, weight, bias, labels):
    error = _error(features, weight, bias, labels)
    return -error.T @ features / len(features), -error.mean(dim=0)


def gradient_no_softmax(features, weight, bias, labels):
    error = features @ weight.T + bias - nn.functional.one_hot(labels, len(bias))
    return error.T @ features / len(features), error.mean(dim=0)


def gradient_over_images(features, weight, bias, labels):
    error = (features @ weight.T + bias).softmax(dim=0) - nn.functional.one_hot(labels, len(bias))
    return error.T @ features / len(features), error.mean(dim=0)


def gradient_sigmoid(features, weight, bias, labels):
    error = (features @ weight.T + bias).sigmoid() - nn.functional.one_hot(labels, len(bias))
    return error.T @ features / len(features), error.mean(dim=0)


def gradient_no_labels(features, weight, bias, labels):
    probabilities = (features @ weight.T + bias).softmax(dim=1)
    return probabilities.T @ features / len(features), probabilities.mean(dim=0)


def gradient_no_bias(features, weight, bias, labels):
    error = _error(features, weight, 0 * bias, labels)
    return error.T @ features / len(features), error.mean(dim=0)


def gradient_transposed(features, weight, bias, labels):
    error = _error(features, weight, bias, labels)
    return features.T @ error / len(features), error.mean(dim=0)


def gradient_overflows(features, weight, bias, labels):
    powers = (features @ weight.T + bias).exp()
    error = powers / powers.sum(dim=1, keepdim=True) - nn.functional.one_hot(labels, len(bias))
    return error.T @ features / len(features), error.mean(dim=0)


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
        id="2.2",
        notebook="02",
        title="A frozen backbone",
        level="I",
        minutes=15,
        points=4,
        kind="class",
        hints=(
            "Three things that are easily mixed up: `requires_grad_(False)` says that weights get no gradient, "
            "`torch.no_grad()` keeps no graph, `.eval()` says how BatchNorm and Dropout behave. You need all three.",
            "In `forward` only the backbone runs inside `with torch.no_grad():`; the head comes after it, outside.",
            "`model.train()` puts all submodules into training mode. So in `train`: `super().train(mode)`, then "
            "`self.backbone.eval()`, then `return self`. A new model needs `self.backbone.eval()` in `__init__` too.",
        ),
        reference=_REFERENCE + "FrozenClassifier",
        check=check_frozen,
        mistakes=(
            Mistake(
                FrozenNotEval,
                "The backbone of a new model is in training mode: BatchNorm takes its statistics from the batch, and "
                "Dropout is on.",
            ),
            Mistake(FrozenNormsOnly, "BatchNorm keeps still, but Dropout is on: put the whole backbone in eval mode."),
            Mistake(
                FrozenUntilTrain,
                "`model.train()` put the backbone into training mode again: override `train` and undo that.",
            ),
            Mistake(FrozenAlwaysEval, "`train` now keeps the whole model in eval mode; only the backbone should be."),
            Mistake(
                FrozenIgnoresMode, "`model.eval()` calls `train(False)`: pass `mode` on, or the head stays in training."
            ),
            Mistake(FrozenNothingReturned, "`train` returns nothing, so `model.train()(images)` and the like fail."),
            Mistake(
                FrozenWantsGradients,
                "The backbone's weights still require gradients: they count as trainable, and an optimiser takes them.",
            ),
            Mistake(FrozenHeadToo, "The head was frozen with the rest: `requires_grad_` belongs to the backbone only."),
            Mistake(
                FrozenKeepsGraph,
                "Nothing in `forward` stops the graph: it holds only while no input requires a gradient. Compute the "
                "features in `torch.no_grad()`.",
            ),
            Mistake(FrozenNoGradForHead, "The head runs inside `torch.no_grad()` too, so it never gets a gradient."),
            Mistake(
                FrozenInference,
                "Tensors made in `torch.inference_mode()` may never enter a graph, not even the head's: use "
                "`torch.no_grad()`.",
            ),
        ),
    ),
    Exercise(
        id="2.3",
        notebook="02",
        title="What the optimiser gets",
        level="I",
        minutes=8,
        points=2,
        hints=(
            '`name.startswith("head.")` finds what is trained; other names may hold the word as well.',
            "Not the name but the shape says what is a bias or a norm: it has one dimension, `len(shape) == 1`.",
            "Two dicts in a list, with decay first: "
            '`{"params": [names], "weight_decay": weight_decay}`, then one with `0.0`.',
        ),
        reference=_REFERENCE + "parameter_groups",
        check=check_groups,
        mistakes=(
            Mistake(groups_everything, "The backbone's parameters are in the groups too; only the head is trained."),
            Mistake(groups_contains_head, "A name inside the backbone holds `head.` too; look at how names start."),
            Mistake(groups_no_dot, "`header.weight` starts with `head` too: the dot belongs to what you look for."),
            Mistake(groups_backbone, "This is the other half: the backbone would be trained and the head not."),
            Mistake(groups_all_decay, "Biases and norms are in the group with decay, and the other one is empty."),
            Mistake(
                groups_norms_decay, "Biases are without decay, but the weight of a norm is not; it has one dimension."
            ),
            Mistake(groups_swapped, "The two groups are in the wrong order: the one with decay comes first."),
            Mistake(groups_same_decay, "Both groups have the decay; biases and norms get 0.0."),
            Mistake(groups_vectors_left_out, "Biases and norms are in no group at all: they would never be trained."),
        ),
    ),
    Exercise(
        id="2.5",
        notebook="02",
        title="The gradient of a linear head",
        level="I",
        minutes=12,
        points=3,
        hints=(
            "The gradient of the cross-entropy with respect to the logits is `softmax(logits) - one_hot(labels)`.",
            "A mean over N images: divide it by N once, then it is right for weight and bias alike.",
            "The weight gets `error.T @ features`, (C, N) @ (N, D); the bias the sum of the error over the images.",
        ),
        reference=_REFERENCE + "head_gradient",
        check=check_gradient,
        mistakes=(
            Mistake(gradient_sum, "This is the gradient of the sum over the images; the mean divides it by N."),
            Mistake(gradient_mean_of_all, "Divided by N times the classes; the mean is over the N images."),
            Mistake(gradient_bias_summed, "The weight has its mean, but the bias has the sum over the images."),
            Mistake(gradient_uphill, "The sign is reversed: a step against this gradient would raise the loss."),
            Mistake(gradient_no_softmax, "The softmax is missing: probabilities minus one-hot, not logits."),
            Mistake(gradient_over_images, "The softmax runs over the images (dim 0); it belongs over the classes."),
            Mistake(gradient_sigmoid, "A sigmoid looks at each class alone; cross-entropy goes with a softmax."),
            Mistake(gradient_no_labels, "The labels are missing: take 1 off the probability of the right class."),
            Mistake(gradient_no_bias, "The logits were computed without the bias."),
            Mistake(gradient_transposed, "The weight's gradient is transposed; it has the weight's shape, (C, D)."),
            Mistake(
                gradient_overflows, "`exp` of a large logit is infinite: `softmax` takes the largest logit off first."
            ),
        ),
    ),
)
