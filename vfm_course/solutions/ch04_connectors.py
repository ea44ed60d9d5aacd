"""Reference answers of notebook 04: how an image gets into a language model, and what it costs. Each stands alone.

What the library has too (`vfm_course.connectors`) is written out again without heads, norms and checks of shapes where
they are not the point, and with nothing but torch. Tests hold both to the same numbers.
"""

from __future__ import annotations

import torch
from torch import nn


def connector_numbers(image_size: int, patch: int, vision_width: int, text_width: int) -> tuple[int, int, int]:
    """Side of a picture and of a patch in pixels, widths of encoder and language model -> tokens, linear, mlp.

    `tokens`: visual tokens of one picture, one a patch. `linear`: parameters of one linear layer with a bias. `mlp`:
    those of two such layers, the second from the language model's width to itself.
    """
    tokens = (image_size // patch) ** 2
    linear = vision_width * text_width + text_width
    return tokens, linear, linear + text_width * text_width + text_width


def project(
    patches: torch.Tensor,
    weight_1: torch.Tensor,
    bias_1: torch.Tensor,
    weight_2: torch.Tensor,
    bias_2: torch.Tensor,
) -> torch.Tensor:
    """Patches (B, N, V) -> visual tokens (B, N, T): linear, GELU, linear.

    Weights as `nn.Linear` keeps them, (out, in): (T, V) and (T, T); biases (T,).
    """
    inner = nn.functional.gelu(patches @ weight_1.T + bias_1)
    return inner @ weight_2.T + bias_2


def cross_attention(
    queries: torch.Tensor,
    patches: torch.Tensor,
    w_q: torch.Tensor,
    w_k: torch.Tensor,
    w_v: torch.Tensor,
    heads: int,
    mask: torch.Tensor,
) -> torch.Tensor:
    """Queries (B, Q, D) and patches (B, N, V) -> what each query found, (B, Q, W), the heads side by side.

    Weights (out, in): w_q (W, D), w_k and w_v (W, V). `mask` bool (B, N): True where a patch is real, False where it
    is padding, which gets no attention.
    """

    def split(tokens):  # (B, N, W) -> (B, heads, N, W / heads)
        return tokens.unflatten(-1, (heads, -1)).transpose(1, 2)

    q, k, v = split(queries @ w_q.T), split(patches @ w_k.T), split(patches @ w_v.T)
    logits = q @ k.transpose(2, 3) / q.shape[-1] ** 0.5  # (B, heads, Q, N)
    logits = logits.masked_fill(~mask[:, None, None], -torch.inf)
    return (logits.softmax(dim=-1) @ v).transpose(1, 2).flatten(2)


def qformer_layer(
    queries, text, patches, self_attention, cross_attention, feed_forward, text_feed_forward
) -> tuple[torch.Tensor, torch.Tensor]:
    """Queries (B, Q, D), text (B, T, D), patches (B, N, D) -> queries and text, one layer later.

    The last four are functions with their residual inside: `self_attention(tokens)`, `cross_attention(tokens, source)`
    (None in a layer that has none), and a feed-forward for the queries and one for the text.
    """
    count = queries.shape[1]
    both = self_attention(torch.cat([queries, text], dim=1))
    queries, text = both[:, :count], both[:, count:]
    if cross_attention is not None:
        queries = cross_attention(queries, patches)
    return feed_forward(queries), text_feed_forward(text)


def stage_one_mask(task: str, queries: int, words: int) -> torch.Tensor:
    """Task "contrastive", "matching" or "generation" -> bool (Q + T, Q + T), row i True where token i may look.

    Q queries come first, then T words. Contrastive: queries see queries and text sees text. Matching: all see all.
    Generation: queries see queries; a word sees the queries, the words before it and itself.
    """
    place = torch.arange(queries + words)
    row, column = place[:, None], place[None, :]
    if task == "contrastive":
        return (row < queries) == (column < queries)
    if task == "matching":
        return torch.ones(queries + words, queries + words, dtype=torch.bool)
    return (column < queries) | ((row >= queries) & (column <= row))


def image_text_cosines(queries: torch.Tensor, texts: torch.Tensor) -> torch.Tensor:
    """Queries (B, Q, E) of B images, texts (B, E) -> (B, B): the cosine of text j with the query of image i it fits
    best."""
    queries = nn.functional.normalize(queries, dim=-1)
    texts = nn.functional.normalize(texts, dim=-1)
    return (queries @ texts.T).max(dim=1).values  # (B, Q, B) -> (B, B)


def resample(
    latents: torch.Tensor,
    patches: torch.Tensor,
    w_q: torch.Tensor,
    w_k: torch.Tensor,
    w_v: torch.Tensor,
    mask: torch.Tensor,
) -> torch.Tensor:
    """Latents (B, L, D) and patches (B, N, D), any N -> the latents plus what they found, (B, L, D).

    One head, weights (D, D) as (out, in), no norms. Latents look at patches and latents in one attention. `mask` bool
    (B, N): True where a patch is real.
    """
    both = torch.cat([patches, latents], dim=1)  # (B, N + L, D)
    seen = torch.cat([mask, torch.ones(latents.shape[:2], dtype=torch.bool)], dim=1)
    q, k, v = latents @ w_q.T, both @ w_k.T, both @ w_v.T
    logits = q @ k.transpose(1, 2) / q.shape[-1] ** 0.5  # (B, L, N + L)
    return latents + logits.masked_fill(~seen[:, None], -torch.inf).softmax(dim=-1) @ v


class Gate(nn.Module):
    """Text (B, T, D) and what it saw in the image (B, T, D) -> (B, T, D), the text plus tanh(alpha) times what it saw.

    The parameter `alpha` (1,) begins at 0.
    """

    def __init__(self):
        super().__init__()
        self.alpha = nn.Parameter(torch.zeros(1))

    def forward(self, hidden_states: torch.Tensor, seen: torch.Tensor) -> torch.Tensor:
        return hidden_states + self.alpha.tanh() * seen


def last_image_mask(is_image: torch.Tensor, images: int, latents: int) -> torch.Tensor:
    """bool (B, T), True where an image stands in the text -> bool (B, T, images * latents): who may look where.

    A token looks at the `latents` visual tokens of the last image before it; the place of an image at its own. Before
    the first image a row is all False.
    """
    last = is_image.cumsum(dim=1)  # 0 before the first image, then the number of the last one
    numbers = torch.arange(1, images + 1).repeat_interleave(latents)
    return last[..., None] == numbers


def visual_cost(
    tokens: int, layers: int, width: int, heads: int, kv_heads: int, intermediate: int, bytes_per_number: int
) -> tuple[int, int]:
    """Visual tokens and the sizes of a language model -> bytes in the KV cache, operations to read the tokens.

    A layer has queries and output (width, width), keys and values with `kv_heads` of the `heads`, and an MLP of three
    matrices (width, intermediate). A multiplication and its addition are two operations; attention is counted whole,
    without sparing the half that the causal mask hides; no embeddings, norms or output head.
    """
    kv_width = width // heads * kv_heads
    cache = 2 * layers * kv_width * bytes_per_number * tokens  # a key and a value
    weights = layers * (2 * width * width + 2 * width * kv_width + 3 * width * intermediate)
    return cache, 2 * weights * tokens + 4 * layers * tokens * tokens * width
