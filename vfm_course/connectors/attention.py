"""What the connectors share: attention from one set of tokens to another, and plain words for a wrong shape."""

import torch
from torch.nn import functional as F


def split_heads(tokens: torch.Tensor, heads: int) -> torch.Tensor:
    """(B, N, heads * D) -> (B, heads, N, D): each head gets its own D of the numbers."""
    return tokens.unflatten(-1, (heads, -1)).transpose(1, 2)


def attend(
    queries: torch.Tensor, keys: torch.Tensor, values: torch.Tensor, mask: torch.Tensor | None = None
) -> torch.Tensor:
    """softmax(queries keysᵀ / √D) values in every head, and the heads side by side again (Vaswani et al. 2017).

    Args:
        queries: (B, heads, Q, D), from the tokens that ask.
        keys: (B, heads, K, D), from the tokens that are asked: the same ones in self-attention, others in
            cross-attention.
        values: (B, heads, K, D).
        mask: bool, True where a query may look: (B, K) for all queries alike, or (B, Q, K).

    Returns:
        (B, Q, heads * D). A query that may look nowhere gets zeros, where a softmax over nothing would give NaN.
    """
    if mask is None:
        answers = F.scaled_dot_product_attention(queries, keys, values)
    else:
        mask = mask[:, None, None] if mask.ndim == 2 else mask[:, None]  # (B, 1, 1 or Q, K)
        blind = ~mask.any(dim=-1, keepdim=True)
        answers = F.scaled_dot_product_attention(queries, keys, values, attn_mask=mask | blind)
        answers = answers.masked_fill(blind, 0.0)
    return answers.transpose(1, 2).flatten(2)


def expect_tokens(name: str, tokens: torch.Tensor, width: int, batch: int | None = None) -> None:
    """Raises ValueError unless `tokens` has shape (batch, N, width) with at least one token."""
    found = tuple(tokens.shape)
    if len(found) != 3 or found[2] != width or found[1] == 0 or batch not in (None, found[0]):
        wanted = f"({'batch' if batch is None else batch}, tokens, {width})"
        raise ValueError(f"`{name}` should have shape {wanted}; it has shape {found}.")


def expect_mask(name: str, mask: torch.Tensor | None, *shapes: tuple[int, ...]) -> None:
    """Raises ValueError unless `mask` is None or a bool tensor of one of the shapes."""
    if mask is None:
        return
    if mask.dtype != torch.bool:
        kind = str(mask.dtype).removeprefix("torch.")
        raise ValueError(f"`{name}` should be bool, True where a token may be looked at; it is {kind}.")
    if tuple(mask.shape) not in shapes:
        wanted = " or ".join(str(shape) for shape in shapes)
        raise ValueError(f"`{name}` should have shape {wanted}; it has shape {tuple(mask.shape)}.")


def expect_heads(name: str, width: int, heads: int) -> None:
    """Raises ValueError unless `width` numbers can be divided among `heads`."""
    if heads < 1 or width % heads:
        raise ValueError(f"`{name}` = {width} cannot be divided evenly among {heads} heads.")
