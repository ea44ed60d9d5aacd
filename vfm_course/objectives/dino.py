"""DINO's loss (Caron et al. 2021) and what DINOv2 puts around it (Oquab et al. 2023): two ways to keep the teacher's
targets from collapsing, centring and Sinkhorn, and KoLeo. iBOT's question about patches is in `ibot.py`.
"""

import torch
from torch import nn
from torch.nn import functional as F


class PrototypeHead(nn.Module):
    """Tokens (N, width) -> logits (N, prototypes): an MLP, a unit-length bottleneck, cosines with prototypes.

    Uniform targets are a trap: a student that cannot tell yet what the teacher will say does best by answering
    uniformly, the teacher follows, and nothing is left to learn. Two things keep a small run out of it. The BatchNorm
    in front, since an untrained ViT gives nearly the same CLS token for every picture; and prototypes that stay as they
    were drawn, since no unit vector has the same cosine with 256 random directions: targets cannot become flat.
    """

    def __init__(self, width: int, prototypes: int, hidden: int = 256, bottleneck: int = 64):
        super().__init__()
        self.mlp = nn.Sequential(
            nn.BatchNorm1d(width, affine=False),
            nn.Linear(width, hidden),
            nn.GELU(),
            nn.Linear(hidden, hidden),
            nn.GELU(),
            nn.Linear(hidden, bottleneck),
        )
        self.register_buffer("prototypes", F.normalize(torch.randn(prototypes, bottleneck), dim=1))

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        return F.normalize(self.mlp(tokens), dim=-1) @ self.prototypes.T


@torch.no_grad()
def centred_targets(
    logits: torch.Tensor, center: torch.Tensor, temperature: float, momentum: float = 0.9
) -> tuple[torch.Tensor, torch.Tensor]:
    """DINO's own way to targets: subtract what all pictures get on the mean, then sharpen.

    Centring keeps one prototype from winning everywhere, but alone would end in uniform targets; the low temperature
    works against that, and alone would end with one prototype. Together they balance (Caron et al. 2021, section 5.3).

    Args:
        logits: the teacher's (N, K).
        center: (K,), a running mean of earlier logits.
        temperature: the teacher's, lower than the student's.

    Returns:
        Targets (N, K), rows sum to 1; the center for the next batch, momentum * center + (1 - momentum) * batch mean.
    """
    targets = F.softmax((logits - center) / temperature, dim=-1)
    return targets, momentum * center + (1 - momentum) * logits.mean(dim=0)


@torch.no_grad()
def sinkhorn(logits: torch.Tensor, temperature: float, rounds: int = 3) -> torch.Tensor:
    """Teacher logits (N, K) -> targets (N, K): rows sum to 1, and all prototypes are used equally often.

    Without it one prototype may take every image, and the loss is solved by saying nothing (Caron et al. 2020).
    """
    scaled = logits / temperature
    q = torch.exp(scaled - scaled.max())  # one common factor for all, which the first division takes away
    for _ in range(rounds):
        q = q / q.sum(dim=0, keepdim=True).clamp(min=1e-12)
        q = q / q.sum(dim=1, keepdim=True).clamp(min=1e-12)
    return q


def distillation_loss(student_logits: torch.Tensor, targets: torch.Tensor, temperature: float = 0.1) -> torch.Tensor:
    """Cross-entropy of the student's distribution against the teacher's: (N, K) and (N, K) -> scalar mean over N."""
    return -(targets * F.log_softmax(student_logits / temperature, dim=-1)).sum(-1).mean()


def koleo_loss(features: torch.Tensor) -> torch.Tensor:
    """Minus the mean log distance to the nearest neighbour in the batch, (N, D) -> scalar: spreads the features out
    (Sablayrolles et al. 2019)."""
    unit = F.normalize(features, dim=1)
    cosine = (unit @ unit.T).fill_diagonal_(-1)
    distance = (unit - unit[cosine.argmax(dim=1)]).norm(dim=1)
    return -(distance + 1e-6).log().mean()


@torch.no_grad()
def update_teacher(teacher: nn.Module, student: nn.Module, momentum: float) -> None:
    """Each teacher weight moves towards the student's: momentum * teacher + (1 - momentum) * student."""
    for slow, fast in zip(teacher.parameters(), student.parameters(), strict=True):
        slow.lerp_(fast, 1 - momentum)
