"""Notebook 02, a backbone that stays as it is: 2.2 and 2.3."""

from __future__ import annotations

import torch
from torch import nn

from vfm_course.exercises.judge import describe, expect_close, expect_equal, expect_several, expect_true
from vfm_course.exercises.protocol import Other
from vfm_course.exercises.record import Exercise, Mistake

_REFERENCE = "vfm_course.solutions.ch02_heads:"


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
    groups = expect_several(answer({name: named[name] for name in order}, decay), 2, "The list of groups")
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


EXERCISES = (
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
)
