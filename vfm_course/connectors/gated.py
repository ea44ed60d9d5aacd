"""Flamingo's gated cross-attention (Alayrac et al. 2022): the image enters *between* a frozen language model's layers.

Nothing is put into the prompt. New layers let each text token look at the visual tokens, and add what it saw times
tanh(alpha). Since alpha begins at zero, the language model is at the start exactly what it was, and learns to look from
there.
"""

import torch
from torch import nn
from torch.nn import functional as F

from vfm_course.connectors.attention import attend, expect_heads, expect_mask, expect_tokens, split_heads


class CrossAttention(nn.Module):
    """Text tokens look at visual tokens; no biases, no positions. With `qk_norm` as in Idefics, an RMSNorm in each
    head."""

    def __init__(self, text_width: int, vision_width: int, heads: int, qk_norm: bool):
        super().__init__()
        self.heads = heads
        self.query = nn.Linear(text_width, text_width, bias=False)
        self.key = nn.Linear(vision_width, text_width, bias=False)
        self.value = nn.Linear(vision_width, text_width, bias=False)
        self.output = nn.Linear(text_width, text_width, bias=False)
        self.query_norm = nn.RMSNorm(text_width // heads, eps=1e-6) if qk_norm else nn.Identity()
        self.key_norm = nn.RMSNorm(text_width // heads, eps=1e-6) if qk_norm else nn.Identity()

    def forward(self, text: torch.Tensor, visual: torch.Tensor, mask: torch.Tensor | None = None) -> torch.Tensor:
        """`text` (B, T, text_width), `visual` (B, N, vision_width) -> (B, T, text_width), zero where all is hidden."""
        queries = self.query_norm(split_heads(self.query(text), self.heads))
        keys = self.key_norm(split_heads(self.key(visual), self.heads))
        values = split_heads(self.value(visual), self.heads)
        return self.output(attend(queries, keys, values, mask))


class FeedForward(nn.Module):
    """The language model's own kind of MLP, SwiGLU, as in Idefics; Flamingo squares a ReLU."""

    def __init__(self, width: int, intermediate: int):
        super().__init__()
        self.gate = nn.Linear(width, intermediate, bias=False)
        self.up = nn.Linear(width, intermediate, bias=False)
        self.down = nn.Linear(intermediate, width, bias=False)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        return self.down(F.silu(self.gate(tokens)) * self.up(tokens))


class GatedCrossAttention(nn.Module):
    """One new layer in front of one of the language model's; in Idefics in front of every fourth.

    At the start no gradient reaches the weights behind the gates, since they are multiplied by tanh(0); it reaches the
    two alphas alone. They open first, in the first step, and everything behind them learns from the second.

    Args:
        text_width: the language model's width.
        vision_width: width of the visual tokens.
        heads: `text_width` is divided among them.
        intermediate: inner width of the MLP; 4 * text_width if not given.
        qk_norm: RMSNorm on queries and keys (on in the published Idefics).

    Raises:
        ValueError: `text_width` cannot be divided among the heads.
    """

    def __init__(
        self, text_width: int, vision_width: int, heads: int, intermediate: int | None = None, qk_norm: bool = True
    ):
        super().__init__()
        expect_heads("text_width", text_width, heads)
        self.text_width, self.vision_width = text_width, vision_width
        self.attention_norm = nn.RMSNorm(text_width, eps=1e-6)
        self.cross_attention = CrossAttention(text_width, vision_width, heads, qk_norm)
        self.dense_norm = nn.RMSNorm(text_width, eps=1e-6)
        self.dense = FeedForward(text_width, intermediate or 4 * text_width)
        self.alpha_attention = nn.Parameter(torch.zeros(1))
        self.alpha_dense = nn.Parameter(torch.zeros(1))

    def forward(
        self, hidden_states: torch.Tensor, visual: torch.Tensor, mask: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Text that has looked at the images.

        Args:
            hidden_states: (B, T, text_width), between two layers of the language model.
            visual: visual tokens (B, N, vision_width), of all images one after the other.
            mask: bool (B, T, N), True where a text token may look, or (B, N) for all text tokens alike. A token that
                may look nowhere has nothing added by the attention.

        Returns:
            (B, T, text_width).

        Raises:
            ValueError: a wrong shape, or a mask that is not bool.
        """
        expect_tokens("hidden_states", hidden_states, self.text_width)
        batch, length = hidden_states.shape[:2]
        expect_tokens("visual", visual, self.vision_width, batch)
        expect_mask("mask", mask, (batch, length, visual.shape[1]), (batch, visual.shape[1]))
        seen = self.cross_attention(self.attention_norm(hidden_states), visual, mask)
        hidden_states = hidden_states + self.alpha_attention.tanh() * seen
        thought = self.dense(self.dense_norm(hidden_states))
        return hidden_states + self.alpha_dense.tanh() * thought


def last_image_mask(is_image: torch.Tensor, images: int, latents: int) -> torch.Tensor:
    """Flamingo's rule for text with several images: a token looks at the last image before it, and at no other.

    Earlier images reach it all the same, through the language model's own self-attention. So a model that was trained
    on five images a prompt can read thirty-two.

    Args:
        is_image: bool (B, T), True at the place where an image stands in the text; it looks at its own.
        images: images that `visual` holds for each row, at least as many as are marked.
        latents: visual tokens an image.

    Returns:
        bool (B, T, images * latents), the mask for `GatedCrossAttention`; all False before the first image.

    Raises:
        ValueError: `is_image` is not bool (B, T), or marks more images than there are.
    """
    if is_image.ndim != 2 or is_image.dtype != torch.bool:
        kind = f"{str(is_image.dtype).removeprefix('torch.')} {tuple(is_image.shape)}"
        raise ValueError(f"`is_image` should be bool of shape (batch, tokens); it is {kind}.")
    last = is_image.cumsum(dim=1)  # 0 before the first image, then the number of the last one
    if not is_image.is_meta and is_image.numel() and int(last.max()) > images:
        raise ValueError(f"The text marks {int(last.max())} images, but there are {images}.")
    numbers = torch.arange(1, images + 1, device=is_image.device).repeat_interleave(latents)
    return last[..., None] == numbers
