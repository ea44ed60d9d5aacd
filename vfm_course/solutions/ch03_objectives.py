"""Reference answers of notebook 03: what pixels, language and representations ask of a model. Each stands alone.

What the library has too (`vfm_course.objectives`) is written out again where its source needs imports of its own: a
learner who reads the answer finds nothing but torch in it. Tests hold both to the same numbers.
"""

from __future__ import annotations

import torch
from torch import nn

from vfm_course.objectives.mae import patchify


def random_masking(noise: torch.Tensor, mask_ratio: float) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Uniform noise (B, N) -> ids_keep (B, K), mask (B, N) with 1 = hidden, ids_restore (B, N), as in MAE's code.

    The K = int(N * (1 - mask_ratio)) patches with the least noise stay visible, in the order of their noise.
    `ids_restore` says for each patch where it is in that order, so it puts tokens back in their places.
    """
    keep = int(noise.shape[1] * (1 - mask_ratio))
    ids_shuffle = noise.argsort(dim=1)
    ids_restore = ids_shuffle.argsort(dim=1)  # the inverse permutation
    mask = (ids_restore >= keep).float()  # a patch is hidden whose place in the order comes after the first K
    return ids_shuffle[:, :keep], mask, ids_restore


def mae_loss(predicted: torch.Tensor, pixels: torch.Tensor, mask: torch.Tensor, patch: int) -> torch.Tensor:
    """Predicted (B, N, patch * patch * C), pixels (B, C, H, W), mask (B, N) with 1 = hidden -> scalar.

    The mean squared error on the hidden patches; each patch of the picture has mean 0 and variance 1 of its own.
    """
    patches = patchify(pixels, patch)
    variance, mean = torch.var_mean(patches, dim=-1, keepdim=True)
    target = (patches - mean) / (variance + 1e-6).sqrt()
    error = (predicted - target).square().mean(dim=-1)  # (B, N)
    return (error * mask).sum() / mask.sum()


def clip_loss(image_embeds: torch.Tensor, text_embeds: torch.Tensor, logit_scale: torch.Tensor) -> torch.Tensor:
    """Images (B, D), texts (B, D), the factor on the cosines -> scalar: the mean of image to text and text to image."""
    images = nn.functional.normalize(image_embeds, dim=1)
    texts = nn.functional.normalize(text_embeds, dim=1)
    logits = logit_scale * images @ texts.T  # (B, B), row i belongs to column i
    own = torch.arange(len(logits))
    return (nn.functional.cross_entropy(logits, own) + nn.functional.cross_entropy(logits.T, own)) / 2


class Temperature(nn.Module):
    """The learned factor on the cosines, 1 / temperature, at most 100; its logarithm is the parameter."""

    def __init__(self):
        super().__init__()
        self.logit_scale = nn.Parameter(torch.tensor(1 / 0.07).log())

    def forward(self) -> torch.Tensor:
        return self.logit_scale.exp().clamp(max=100)


def siglip_loss(
    image_embeds: torch.Tensor, text_embeds: torch.Tensor, logit_scale: torch.Tensor, logit_bias: torch.Tensor
) -> torch.Tensor:
    """Images (B, D), texts (B, D), factor and bias of the logits -> scalar: the sum over all pairs, divided by B."""
    images = nn.functional.normalize(image_embeds, dim=1)
    texts = nn.functional.normalize(text_embeds, dim=1)
    logits = logit_scale * images @ texts.T + logit_bias
    sign = 2 * torch.eye(len(logits)) - 1  # +1 for a pair that belongs together, else -1
    return -nn.functional.logsigmoid(sign * logits).sum() / len(logits)


def siglip_chunk(
    image_embeds: torch.Tensor,
    text_embeds: torch.Tensor,
    logit_scale: torch.Tensor,
    logit_bias: torch.Tensor,
    own: bool,
) -> torch.Tensor:
    """Images (M, D), texts (K, D) -> scalar: the sum of the pairwise losses of one block of the batch's table.

    `own`: row i belongs to column i (then M = K); otherwise no pair of the block belongs together. The sums of all
    blocks, added up and divided by B, are the loss of the whole batch.
    """
    images = nn.functional.normalize(image_embeds, dim=1)
    texts = nn.functional.normalize(text_embeds, dim=1)
    logits = logit_scale * images @ texts.T + logit_bias
    sign = 2 * torch.eye(len(logits)) - 1 if own else -1
    return -nn.functional.logsigmoid(sign * logits).sum()


def block_patches(top: int, left: int, height: int, width: int, side: int) -> torch.Tensor:
    """A block in a grid of side x side patches -> int64 (height * width,): its patch numbers, row by row."""
    rows = torch.arange(top, top + height)
    columns = torch.arange(left, left + width)
    return (rows[:, None] * side + columns).flatten()


def context_patches(context: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Patches of the context block (C,), of target blocks (K, T) -> those of the context in no target, ascending."""
    hidden = torch.isin(context, targets)
    return context[~hidden].sort().values


def ema_update(
    target: dict[str, torch.Tensor], context: dict[str, torch.Tensor], momentum: float
) -> dict[str, torch.Tensor]:
    """Weights of both encoders by name -> the target encoder's next ones, an exponential moving average."""
    return {name: momentum * target[name] + (1 - momentum) * context[name] for name in target}


def jepa_loss(predicted: torch.Tensor, features: torch.Tensor, blocks: torch.Tensor) -> torch.Tensor:
    """Predicted (B, K, T, D), target features (B, N, D), patch numbers (B, K, T) -> scalar, smooth L1.

    The features are normalised over their own D numbers, and no gradient goes to them.
    """
    features = nn.functional.layer_norm(features.detach(), features.shape[-1:])
    picture = torch.arange(len(features))[:, None, None]
    return nn.functional.smooth_l1_loss(predicted, features[picture, blocks])


def spread(features: torch.Tensor) -> torch.Tensor:
    """Features (N, D), one row a picture -> scalar: near 1 when directions are spread evenly, 0 when all are the same.

    The standard deviation over the pictures of the unit-length features, averaged over the D numbers, times root D.
    """
    unit = nn.functional.normalize(features, dim=1)
    return features.shape[1] ** 0.5 * unit.std(dim=0).mean()


@torch.no_grad()
def centred_targets(
    logits: torch.Tensor, center: torch.Tensor, temperature: float, momentum: float = 0.9
) -> tuple[torch.Tensor, torch.Tensor]:
    """The teacher's logits (N, K), center (K,) -> targets (N, K), rows sum to 1; the next center (K,). No gradient."""
    targets = ((logits - center) / temperature).softmax(dim=1)
    return targets, momentum * center + (1 - momentum) * logits.mean(dim=0)


def gram_loss(patches: torch.Tensor, anchor: torch.Tensor) -> torch.Tensor:
    """The student's patches (B, N, D), an earlier teacher's (B, N, D') -> scalar; no gradient goes to the anchor.

    The mean squared difference of the two Gram matrices (B, N, N): all cosines among a picture's patches.
    """
    unit = nn.functional.normalize(patches, dim=-1)
    unit_anchor = nn.functional.normalize(anchor.detach(), dim=-1)
    return (unit @ unit.transpose(1, 2) - unit_anchor @ unit_anchor.transpose(1, 2)).square().mean()


def tube_tokens(block: torch.Tensor, side: int, frames: int, tubelet_size: int) -> torch.Tensor:
    """Spatial patch numbers (K,) in a grid of side x side -> int64 (frames // tubelet_size * K,), ascending.

    The tokens of this block at every time step of the clip; a time step is `tubelet_size` frames, and the sequence
    runs time step by time step. V-JEPA 2 has 64 // 2 = 32 time steps of 16 x 16 patches: 8192 tokens.
    """
    steps = torch.arange(frames // tubelet_size)
    return (steps[:, None] * side * side + block.sort().values).flatten()


def fit_power_law(x: torch.Tensor, y: torch.Tensor, floor: float) -> tuple[float, float]:
    """Sizes x (n,), measured y (n,) -> (a, b) of y = floor + a * x**(-b): a line through log(y - floor) over log(x)."""
    log_x, log_y = x.log(), (y - floor).log()
    from_mean = log_x - log_x.mean()
    slope = (from_mean * log_y).sum() / from_mean.square().sum()
    intercept = log_y.mean() - slope * log_x.mean()
    return intercept.exp().item(), -slope.item()


def curate(embeddings: torch.Tensor, scores: torch.Tensor, threshold: float, share: float) -> torch.Tensor:
    """Pictures (N, D) and how well their captions fit (N,) -> int64: the numbers of those to train on, ascending.

    In order, each picture whose cosine with one kept so far is at least `threshold` is dropped. Of those left, the
    best `share` by score stay, rounded up.
    """
    unit = nn.functional.normalize(embeddings, dim=1)
    kept: list[int] = []
    for i in range(len(unit)):
        if not kept or (unit[kept] @ unit[i]).max() < threshold:
            kept.append(i)
    left = torch.tensor(kept)
    count = int(-(-share * len(kept) // 1))  # `//` rounds down; of the negative number, that is up
    best = scores[left].topk(count).indices
    return left[best].sort().values
