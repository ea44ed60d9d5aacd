"""Every check of notebook 02 can fail, takes other right answers, and agrees with torch and the course's counts."""

import pytest
import torch
from torch import nn

from vfm_course.exercises import registry
from vfm_course.exercises.answer import LocalHandle
from vfm_course.exercises.attempt import attempted
from vfm_course.exercises.record import Choice, Exercise
from vfm_course.exercises.verdict import RIGHT, WRONG, judge
from vfm_course.families.anatomy import anatomy
from vfm_course.solutions import ch02_heads as reference

HEADS = registry.chapter("02")
CODING = [entry.id for entry in HEADS.values() if isinstance(entry, Exercise)]
CHOICES = [entry for entry in HEADS.values() if isinstance(entry, Choice)]
SEEDS = range(20)


# Other right answers ---------------------------------------------------------------------------------------------
class FrozenInForward(nn.Module):
    """Puts the backbone into eval mode at every call, and cuts the graph with detach."""

    def __init__(self, width_in, width, classes):
        super().__init__()
        self.backbone = nn.Sequential(nn.Linear(width_in, width), nn.BatchNorm1d(width), nn.ReLU(), nn.Dropout(0.5))
        self.head = nn.Linear(width, classes)
        for parameter in self.backbone.parameters():
            parameter.requires_grad = False

    def forward(self, images):
        return self.head(self.backbone.eval()(images).detach())


def groups_any_order(shapes, weight_decay):
    head = sorted(name for name in shapes if name.split(".")[0] == "head")
    return (
        {"params": [name for name in head if len(shapes[name]) == 2], "weight_decay": weight_decay, "lr": 0.1},
        {"params": [name for name in head if len(shapes[name]) != 2], "weight_decay": 0},
    )


def standardise_by_n(train, test):
    mean, std = train.mean(dim=0), train.std(dim=0, correction=0)
    std[std == 0] = 1
    return [(train - mean) / std, (test - mean) / std]


def gradient_by_autograd(features, weight, bias, labels):
    both = [weight.clone().requires_grad_(), bias.clone().requires_grad_()]
    loss = nn.functional.cross_entropy(nn.functional.linear(features, *both), labels)
    return torch.autograd.grad(loss, both)


def means_of_units(train, labels, test):
    units = nn.functional.normalize(train)
    classes = sorted(set(labels.tolist()))
    means = torch.stack([units[labels == c].mean(dim=0) for c in classes])
    nearest = nn.functional.cosine_similarity(test[:, None], means[None], dim=2).argmax(dim=1)
    return torch.tensor([classes[i] for i in nearest])


def means_rounded(train, labels, test):
    return reference.class_means_predict(train.bfloat16().float(), labels, test.bfloat16().float())


def wilson_in_torch(hits, n, z=1.96):
    """The two shares p whose distance to hits / n is z of their own standard errors: a quadratic equation."""
    share, z = torch.tensor(hits / n, dtype=torch.float64), torch.tensor(z, dtype=torch.float64)
    a, b, c = 1 + z**2 / n, -(2 * share + z**2 / n), share**2
    root = (b**2 - 4 * a * c).sqrt()
    return (-b - root) / (2 * a), (-b + root) / (2 * a)


class LoraWithBuffers(nn.Module):
    """The frozen layer as buffers, and one merged product that stays in the graph."""

    def __init__(self, in_features, out_features, r, alpha):
        super().__init__()
        self.A = nn.Parameter(torch.zeros(r, in_features))
        self.B = nn.Parameter(torch.zeros(out_features, r))
        self.register_buffer("weight", torch.zeros(out_features, in_features))
        self.register_buffer("bias", torch.zeros(out_features))
        self.scale = alpha / r

    def forward(self, features):
        return nn.functional.linear(features, self.weight + self.scale * self.B @ self.A, self.bias)


def init_with_a_zero(in_features, out_features, r):
    return torch.zeros(r, in_features), torch.nn.init.kaiming_uniform_(torch.empty(out_features, r))


def labels_by_logarithm(curve, target):
    if curve[0][1] >= target:
        return float(curve[0][0])
    for (n0, a0), (n1, a1) in zip(curve, curve[1:], strict=False):
        if a0 < target <= a1:
            logs = torch.tensor([n0, n1], dtype=torch.float64).log()
            return (logs[0] + (logs[1] - logs[0]) * (target - a0) / (a1 - a0)).exp()
    return None


OTHERS = [
    ("2.2", FrozenInForward),
    ("2.3", groups_any_order),
    ("2.4", standardise_by_n),
    ("2.5", gradient_by_autograd),
    ("2.6", means_of_units),
    ("2.6", means_rounded),
    ("2.7", wilson_in_torch),
    ("2.8", LoraWithBuffers),
    ("2.9", init_with_a_zero),
    ("2.10", lambda weight, A, B, alpha: torch.addmm(weight, B, A, alpha=alpha / B.shape[1])),
    ("2.13", labels_by_logarithm),
]


@pytest.mark.parametrize(("exercise_id", "answer"), OTHERS)
def test_another_right_answer_passes(exercise_id, answer):
    for seed in SEEDS:
        verdict = judge(HEADS[exercise_id], LocalHandle(answer), seed)
        assert verdict.status == RIGHT, (seed, verdict)


def test_a_number_that_happens_to_be_right_once_is_not_enough():
    constants = {"2.1": (7690, 86588170, 0.0088811), "2.11": 294_912, "2.13": None}
    for exercise_id, value in constants.items():
        verdict = judge(HEADS[exercise_id], LocalHandle(lambda *args, value=value: value))
        assert verdict.status == WRONG, exercise_id


def test_a_stub_with_the_backbone_given_is_not_attempted():
    class FrozenClassifier(nn.Module):
        def __init__(self, width_in, width, classes):
            super().__init__()
            self.backbone = nn.Sequential(nn.Linear(width_in, width), nn.BatchNorm1d(width), nn.ReLU(), nn.Dropout(0.5))
            self.head = nn.Linear(width, classes)

        def train(self, mode=True): ...

        def forward(self, images): ...

    assert not attempted(FrozenClassifier)


# Agreement with torch and with the course's own counts -------------------------------------------------------------
def test_the_headline_is_that_of_dinov2_at_real_size():
    trained, total, percent = reference.trained_share(sum(anatomy("dinov2", "base").parts.values()), 768, 10)
    assert (trained, total) == (7_690, 86_588_170) and f"{percent:.3f}" == "0.009"
    assert trained == sum(p.numel() for p in nn.Linear(768, 10).parameters())


def test_the_groups_go_into_an_optimiser_and_leave_the_backbone_as_it_was():
    model = reference.FrozenClassifier(5, 6, 3).train()
    named = dict(model.named_parameters())
    groups = reference.parameter_groups({name: tuple(p.shape) for name, p in named.items()}, 0.1)
    optimiser = torch.optim.AdamW([{**g, "params": [named[name] for name in g["params"]]} for g in groups], lr=0.1)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    nn.functional.cross_entropy(model(torch.randn(8, 5)), torch.arange(8) % 3).backward()
    optimiser.step()
    changed = {name for name, value in model.state_dict().items() if not torch.equal(value, before[name])}
    assert changed == {"head.weight", "head.bias"}


def test_the_interval_covers_what_it_says():
    generator = torch.Generator().manual_seed(0)
    for n, share in ((20, 0.95), (100, 0.7)):
        hits = (torch.rand(4000, n, generator=generator) < share).sum(dim=1).tolist()
        covered = [low <= share <= high for low, high in (reference.wilson_interval(h, n) for h in hits)]
        assert 0.91 < sum(covered) / len(covered) < 0.99


def test_lora_begins_unchanged_learns_and_merges():
    torch.manual_seed(0)
    layer, features, target = reference.LoraLinear(6, 4, 2, 5), torch.randn(32, 6), torch.randn(32, 4)
    frozen = nn.functional.linear(features, layer.weight, layer.bias)
    assert torch.equal(layer(features), frozen)
    weight = layer.weight.clone()
    optimiser = torch.optim.SGD([p for p in layer.parameters() if p.requires_grad], lr=0.1)
    losses = []
    for _ in range(50):
        optimiser.zero_grad()
        loss = (layer(features) - target).square().mean()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0] and torch.equal(layer.weight, weight)
    merged = reference.merge_lora(layer.weight, layer.A, layer.B, 5)
    assert torch.allclose(nn.functional.linear(features, merged, layer.bias), layer(features), atol=1e-6)


def test_in_the_first_step_only_b_gets_a_gradient():
    """What question 2.q5 says."""
    layer = reference.LoraLinear(6, 4, 2, 5)
    layer(torch.randn(8, 6)).square().sum().backward()
    assert not layer.A.grad.any() and layer.B.grad.any()
    assert HEADS["2.q5"].options[HEADS["2.q5"].right] == "Only B."


def test_count_is_that_of_the_parameters():
    layers = [reference.LoraLinear(24, 24, 4, 8) for _ in range(3 * 2)]
    learns = sum(p.numel() for layer in layers for p in layer.parameters() if p.requires_grad)
    assert reference.count_lora(24, 3, 4, 2) == learns
    assert reference.count_lora(768, 12, 8, 2) == 294_912


def test_frozen_batch_norm_moves_in_training_mode():
    """What question 2.q1 says."""
    norm = nn.BatchNorm1d(4).requires_grad_(False).train()
    before = norm.running_mean.clone()
    with torch.no_grad():
        norm(torch.randn(8, 4) + 3)
    assert not torch.equal(norm.running_mean, before)
    assert HEADS["2.q1"].right == "c"


def test_the_intervals_in_the_questions_are_right():
    def whole(hits, n):
        return [round(100 * end) for end in reference.wilson_interval(hits, n)]

    assert "85 to 96 and 89 to 98" in HEADS["2.q4"].explains["b"]
    assert whole(92, 100) == [85, 96] and whole(95, 100) == [89, 98]
    low, high = reference.wilson_interval(372, 400)
    assert 0.045 < high - low < 0.055


def test_the_right_option_is_not_always_at_the_same_place():
    assert {entry.right for entry in CHOICES} == {"a", "b", "c", "d"}
