"""Aligning with notes: a connector's tokens learn to be the notes that the language model reads.

Tokens of patches have an order, and each learns to be the note of its own square. Queries have none: at every step the
things are dealt out to the queries that are nearest to them, as DETR does (Carion et al. 2020).
"""

import time
from collections.abc import Callable, Sequence

import numpy as np
import torch
from scipy.optimize import linear_sum_assignment
from torch import nn

from vfm_course.schedule import schedule
from vfm_course.vlm.notes import SIDE, NoteEmbedding, notes_of, squared
from vfm_course.vlm.train import Curve
from vfm_course.world.scene import Scene

BATCH = 32
EMPTY_SHARE = 0.5  # weight of what should be empty, beside 1 for the things, both as means


def of_squares(tokens: torch.Tensor, targets: torch.Tensor, filled: torch.Tensor) -> torch.Tensor:
    """Squared distance of the tokens of patches to the notes of their squares.

    Args:
        tokens, targets: (B, 64, width). filled: bool (B, 64), True where a thing is.

    Returns:
        A scalar: the mean over things plus half the mean over empty squares; a mean over none is 0.
    """
    errors = (tokens - targets).pow(2).mean(dim=-1)
    things, empty = (errors[which].sum() / which.sum().clamp(min=1) for which in (filled, ~filled))
    return things + EMPTY_SHARE * empty


def of_things(tokens: torch.Tensor, things: Sequence[torch.Tensor], nothing: torch.Tensor) -> torch.Tensor:
    """Squared distance of queries to the things dealt out to them, and of those left over to nothing.

    Args:
        tokens: (B, Q, width). things: B tensors (things, width), the nearest thing first; where there are more things
            than queries the farthest are left out. nothing: (width,).

    Returns:
        A scalar, weighed as in `of_squares`.
    """
    count = tokens.shape[1]
    notes = nn.utils.rnn.pad_sequence([each[:count] for each in things], batch_first=True)  # (B, M, width)
    far = (tokens - nothing).pow(2).mean(dim=-1)  # (B, Q)
    near = (tokens[:, :, None] - notes[:, None]).pow(2).mean(dim=-1)  # (B, Q, M)
    # What a query costs as a thing, less what it costs as nothing; all at once, since a GPU is waited for each time.
    costs = (near - EMPTY_SHARE * far[..., None]).detach().cpu().numpy()
    rows, queries, dealt = [], [], []
    for row, each in enumerate(things):
        chosen, thing = linear_sum_assignment(costs[row, :, : len(each)])
        rows += [row] * len(chosen)
        queries += chosen.tolist()
        dealt += thing.tolist()
    left = torch.ones(far.shape, dtype=torch.bool)
    left[rows, queries] = False
    others = far[left.to(far.device)]
    return near[rows, queries, dealt].mean() + (EMPTY_SHARE * others.mean() if len(others) else 0.0)


def align(
    connector: nn.Module,
    features: np.ndarray,
    scenes: Sequence[Scene],
    words: nn.Embedding,
    notes: NoteEmbedding,
    samples: int,
    unit: bool = False,
    learning_rate: float = 1e-3,
    seed: int = 0,
    show: Callable[[int, dict], None] | None = None,
) -> Curve:
    """Trains a connector until its tokens are notes; the language model takes no part but for its words.

    Args:
        connector: (B, N, vision_width) -> (B, Q, width); a token a patch, with or without CLS in front, or queries.
        features: the encoder's, (scenes, N, vision_width), as the connector takes them. scenes: in the same order.
        words: the language model's embeddings.
        samples: pictures.
        unit: notes are made as large as the outputs of a layer norm. For the resampler, which ends with one; the gated
            layers that read it have norms of their own.
        show: called about fifty times with the samples seen and the last point of the curve.
    """
    rng, curve, begun = np.random.default_rng([seed, 2]), Curve(), time.perf_counter()
    trained = [weight for weight in connector.parameters() if weight.requires_grad]
    device = notes.nothing.device
    optimiser = torch.optim.AdamW(trained, lr=learning_rate, betas=(0.9, 0.98), weight_decay=0.01)
    with torch.no_grad():  # so that losses are shares of what is to be explained
        some = _vectors(words, notes, scenes[:500])
        spread = torch.cat(some).var(dim=0).mean().item()
    scale = spread**-0.5 if unit else 1.0
    steps, losses = max(1, samples // BATCH), []
    for step in range(steps):
        for group in optimiser.param_groups:
            group["lr"] = learning_rate * schedule(step / steps, 0.05)
        rows = np.sort(rng.integers(len(scenes), size=BATCH))
        tokens = connector(torch.from_numpy(features[rows].astype(np.float32)).to(device))
        about = [scenes[row] for row in rows]
        with torch.no_grad():
            if tokens.shape[1] == features.shape[1]:  # a token a patch
                numbers = torch.from_numpy(squared(about)).to(device)
                targets, filled = notes(words, numbers), numbers[..., 0] >= 0
            else:
                targets, filled = _vectors(words, notes, about), None
        tokens = tokens / scale
        loss = (of_things(tokens, targets, notes.nothing) if filled is None
                else of_squares(tokens[:, -SIDE * SIDE :], targets, filled)) / spread  # fmt: skip
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(trained, 1.0)
        optimiser.step()
        losses.append(loss.item())
        if len(losses) == max(1, steps // 50) or step + 1 == steps:
            curve.points.append({"samples": (step + 1) * BATCH, "notes": float(np.mean(losses))})
            curve.seconds = time.perf_counter() - begun
            losses = []
            if show:
                show(curve.points[-1]["samples"], curve.points[-1])
    return curve


def _vectors(words: nn.Embedding, notes: NoteEmbedding, scenes: Sequence[Scene]) -> list[torch.Tensor]:
    """The notes of each scene's things, (things, width)."""
    return [notes(words, torch.from_numpy(notes_of(scene))[None].to(notes.nothing.device))[0] for scene in scenes]
