"""I-JEPA (Assran et al. 2023): from what is seen of a picture, predict the *features* of blocks that are not.

No pixel is painted and no second view is made. The features to predict come from a slow copy of the encoder that sees
the whole picture; nothing but that slowness and the stopped gradient keeps both from agreeing on a constant, so watch
`deviation`.
"""

import torch
from torch import nn
from torch.nn import functional as F

from vfm_course.objectives.mae import sincos_positions


def block_masks(n: int, side: int, generator: torch.Generator, targets: int = 4) -> tuple[torch.Tensor, torch.Tensor]:
    """What the context encoder sees and what is asked for, as patch numbers (row by row from the top left).

    Target blocks cover 15 to 20 % of the picture each, 0.75 to 1.5 as high as wide, and may overlap each other. The
    context is a square block of 85 to 100 % without the patches of any target. Sizes are drawn once for all pictures,
    places for each; the picture with the fewest context patches says how many the others keep, so that the batch stays
    a rectangle. A picture left with less than a third of its patches draws its places again.

    Args:
        n: pictures.
        side: patches a side, at least 6.
        targets: blocks a picture.

    Returns:
        context (n, C) ascending, and blocks (n, targets, T).
    """
    share, aspect, context_share = torch.rand(3, generator=generator).tolist()
    area = (0.15 + 0.05 * share) * side * side
    aspect = 0.75 * 2**aspect
    size = round((area * aspect) ** 0.5), round((area / aspect) ** 0.5)
    large = round(((0.85 + 0.15 * context_share) * side * side) ** 0.5)

    blocks = random_blocks(n, targets, side, size, generator)
    free = _free(random_blocks(n, 1, side, (large, large), generator), blocks, side)
    while (short := free.sum(dim=1) < side * side // 3).any():
        again = int(short.sum())
        blocks[short] = random_blocks(again, targets, side, size, generator)
        free[short] = _free(random_blocks(again, 1, side, (large, large), generator), blocks[short], side)
    order = torch.rand(n, side * side, generator=generator).masked_fill(~free, 2.0)  # what is not free comes last
    context = order.argsort(dim=1)[:, : int(free.sum(dim=1).min())]
    return context.sort(dim=1).values, blocks


def random_blocks(n: int, blocks: int, side: int, size: tuple[int, int], generator: torch.Generator) -> torch.Tensor:
    """Patch numbers (n, blocks, height * width) of blocks of one `size` (height, width) at random places."""
    height, width = size
    top = torch.randint(side - height + 1, (n, blocks, 1, 1), generator=generator)
    left = torch.randint(side - width + 1, (n, blocks, 1, 1), generator=generator)
    rows, columns = top + torch.arange(height)[:, None], left + torch.arange(width)
    return (rows * side + columns).flatten(2)


def _free(context: torch.Tensor, blocks: torch.Tensor, side: int) -> torch.Tensor:
    """bool (n, side * side): patches of the context block (n, 1, C) that no target block (n, K, T) covers."""
    nothing = torch.zeros(len(blocks), side * side, dtype=torch.bool)
    return nothing.scatter(1, context.flatten(1), True).scatter(1, blocks.flatten(1), False)


def pick(tokens: torch.Tensor, numbers: torch.Tensor) -> torch.Tensor:
    """The tokens (B, N, D) of the given patch numbers (B, ...) -> (B, ..., D)."""
    picture = torch.arange(len(tokens)).view(-1, *[1] * (numbers.ndim - 1))
    return tokens[picture, numbers]


def encode(model: nn.Module, pixels: torch.Tensor, context: torch.Tensor | None = None) -> torch.Tensor:
    """Features (B, C, D) of an `IJepaModel` that is shown the context patches only, or all of them.

    The model's own forward cannot leave patches out: it would need a mask token, and what is hidden would still cost
    as much as what is seen. So its parts are called one after the other, with the others dropped in between.
    """
    tokens = model.embeddings(pixels, interpolate_pos_encoding=True)
    if context is not None:
        tokens = pick(tokens, context)
    for layer in model.layers:
        tokens = layer(tokens)
    return model.layernorm(tokens)


class Predictor(nn.Module):
    """A narrow transformer that answers for one block at a time: context tokens in, and a token for each patch asked
    for, all alike but for its position. Narrow, so that knowing the picture stays the encoder's work."""

    def __init__(self, features: int, table_side: int, width: int = 64, layers: int = 3, heads: int = 4):
        super().__init__()
        self.table_side, self.width = table_side, width
        self.enter = nn.Linear(features, width)
        self.mask_token = nn.Parameter(0.02 * torch.randn(width))
        self.blocks = nn.ModuleList(
            nn.TransformerEncoderLayer(width, heads, 4 * width, 0.0, "gelu", batch_first=True, norm_first=True)
            for _ in range(layers)
        )
        self.norm = nn.LayerNorm(width)
        self.leave = nn.Linear(width, features)

    def forward(self, tokens: torch.Tensor, context: torch.Tensor, blocks: torch.Tensor, side: int) -> torch.Tensor:
        """Context features (B, C, D) at `context` (B, C) -> predicted features (B, K, T, D) at `blocks` (B, K, T)."""
        positions = sincos_positions(side, self.width, self.table_side)
        seen = self.enter(tokens) + positions[context]
        asked = self.mask_token + positions[blocks]
        seen = seen[:, None].expand(-1, blocks.shape[1], -1, -1)
        both = torch.cat([seen, asked], dim=2).flatten(0, 1)  # (B * K, C + T, width)
        for block in self.blocks:
            both = block(both)
        answers = self.leave(self.norm(both[:, context.shape[1] :]))
        return answers.view(*blocks.shape, -1)


def ijepa_loss(predicted: torch.Tensor, features: torch.Tensor, blocks: torch.Tensor) -> dict[str, torch.Tensor]:
    """Smooth L1 between prediction and the target encoder's features, each normalised over its own numbers.

    Args:
        predicted: (B, K, T, D).
        features: (B, N, D) of the whole picture by the target encoder; no gradient goes there.
        blocks: patch numbers (B, K, T).

    Returns:
        `loss`, and `deviation` to be watched: how far features of one place differ from picture to picture (0 to about
        1, the mean standard deviation over the batch). Near 0 all pictures look alike to the encoder: it has collapsed,
        and the loss is small for nothing.
    """
    targets = F.layer_norm(features.detach(), features.shape[-1:])
    return {"loss": F.smooth_l1_loss(predicted, pick(targets, blocks)), "deviation": deviation(features)}


@torch.no_grad()
def deviation(features: torch.Tensor) -> torch.Tensor:
    """How far features (B, N, D), each normalised over its own numbers, differ from picture to picture in one place.

    The mean standard deviation over the batch: 0 when all pictures look alike, about 1 when they share nothing.
    """
    return F.layer_norm(features, features.shape[-1:]).std(dim=0).mean()
