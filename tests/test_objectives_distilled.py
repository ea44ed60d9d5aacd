"""iBOT, centring and Gram anchoring do what their papers say."""

import math

import pytest
import torch
from torch.nn import functional as F

from vfm_course.objectives.dino import centred_targets, sinkhorn
from vfm_course.objectives.gram import gram_loss, gram_matrix
from vfm_course.objectives.ibot import ibot_loss


def drawn(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def test_ibot_is_the_cross_entropy_with_soft_targets_and_only_the_student_learns():
    student, teacher = drawn(12, 8).requires_grad_(), drawn(12, 8, seed=1).requires_grad_()
    loss = ibot_loss(student, teacher, 0.05, 0.1)
    assert loss.item() == pytest.approx(F.cross_entropy(student / 0.1, sinkhorn(teacher, 0.05)).item(), abs=1e-5)
    loss.backward()
    assert teacher.grad is None and student.grad.abs().sum() > 0
    assert ibot_loss(torch.zeros(12, 8), teacher).item() == pytest.approx(math.log(8), abs=1e-5)


def test_centring_and_sharpening_each_alone_collapse_and_together_do_not():
    logits = 0.3 * drawn(256, 16) + 2 * drawn(16, seed=1)  # a favourite prototype for all pictures
    mean = logits.mean(dim=0)

    def evenness_and_sureness(center: torch.Tensor, temperature: float) -> tuple[float, float]:
        targets, _ = centred_targets(logits, center, temperature)
        assert torch.allclose(targets.sum(dim=1), torch.ones(256), atol=1e-5)
        return targets.mean(dim=0).max().item(), targets.max(dim=1).values.mean().item()

    one_for_all, _ = evenness_and_sureness(torch.zeros(16), 0.05)
    _, says_nothing = evenness_and_sureness(mean, 5.0)
    even, sure = evenness_and_sureness(mean, 0.05)
    assert one_for_all > 0.6 and says_nothing < 0.1 and even < 0.2 and sure > 0.6


def test_the_center_moves_towards_the_batch_and_nothing_learns_through_it():
    logits, center = drawn(5, 3).requires_grad_(), drawn(3, seed=1)
    targets, after = centred_targets(logits, center, 0.1, momentum=0.9)
    assert torch.allclose(after, 0.9 * center + 0.1 * logits.mean(dim=0)) and not targets.requires_grad
    assert torch.equal(center, drawn(3, seed=1))


def test_gram_loss_holds_likeness_and_lets_features_turn():
    patches, anchor = drawn(2, 9, 6).requires_grad_(), drawn(2, 9, 4, seed=1).requires_grad_()
    gram_loss(patches, anchor).backward()
    assert anchor.grad is None and patches.grad.abs().sum() > 0
    turn, _ = torch.linalg.qr(drawn(6, 6, seed=2))
    assert gram_loss(3 * patches @ turn, patches).item() == pytest.approx(0, abs=1e-10)
    # The sum over one picture's matrix is the paper's squared Frobenius norm.
    difference = gram_matrix(patches) - gram_matrix(anchor)
    frobenius = torch.linalg.matrix_norm(difference).square().mean()
    assert gram_loss(patches, anchor).item() == pytest.approx(frobenius.item() / 81, rel=1e-5)
