"""Flamingo's perceiver resampler (Alayrac et al. 2022): any number of patches in, a fixed number of latents out.

Learned latents ask, as a Q-Former's queries do, but in one attention they look at the patches and at each other: keys
and values come from both, side by side. Norms stand before each step (pre-norm), and there is no text.
"""

import torch
from torch import nn
from torch.nn import functional as F

from vfm_course.connectors.attention import attend, expect_mask, expect_tokens, split_heads


class PerceiverAttention(nn.Module):
    """Latents look at the patches and at the latents; no biases. With `qk_norm` a head's queries and keys are
    normalised before they meet, which keeps the logits small in a long training."""

    def __init__(self, width: int, heads: int, head_dim: int, qk_norm: bool):
        super().__init__()
        self.heads = heads
        self.patch_norm = nn.LayerNorm(width)
        self.latent_norm = nn.LayerNorm(width)
        self.query = nn.Linear(width, heads * head_dim, bias=False)
        self.key = nn.Linear(width, heads * head_dim, bias=False)
        self.value = nn.Linear(width, heads * head_dim, bias=False)
        self.output = nn.Linear(heads * head_dim, width, bias=False)
        self.query_norm = nn.LayerNorm(head_dim) if qk_norm else nn.Identity()
        self.key_norm = nn.LayerNorm(head_dim) if qk_norm else nn.Identity()

    def forward(self, latents: torch.Tensor, patches: torch.Tensor, mask: torch.Tensor | None = None) -> torch.Tensor:
        """Latents (B, L, width) and patches (B, N, width) -> what the latents found (B, L, width), without residual."""
        latents = self.latent_norm(latents)
        both = torch.cat([self.patch_norm(patches), latents], dim=1)  # (B, N + L, width)
        queries = self.query_norm(split_heads(self.query(latents), self.heads))
        keys = self.key_norm(split_heads(self.key(both), self.heads))
        values = split_heads(self.value(both), self.heads)
        return self.output(attend(queries, keys, values, mask))


class FeedForward(nn.Module):
    """LayerNorm, Linear, ReLU, Linear on each latent alone (Idefics; Flamingo's own squares the ReLU)."""

    def __init__(self, width: int, intermediate: int):
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.up = nn.Linear(width, intermediate, bias=False)
        self.down = nn.Linear(intermediate, width, bias=False)

    def forward(self, latents: torch.Tensor) -> torch.Tensor:
        return self.down(F.relu(self.up(self.norm(latents))))


class PerceiverResampler(nn.Module):
    """As Idefics has it, the open reproduction of Flamingo; the defaults are its sizes.

    Latents come out as wide as the patches went in, and gated cross-attention reads them so. To put them into the
    prompt instead, follow with a projector: `nn.Sequential(PerceiverResampler(1280), LinearProjector(1280, 4096))`.
    It adds no positions (a ViT's features carry theirs): patches in another order give the same latents. Flamingo's
    time embeddings, which tell a clip's frames apart, are left out.

    Args:
        width: of patches and latents.
        num_latents: visual tokens.
        depth: blocks of attention and feed-forward.
        heads: heads of `head_dim` numbers each; together they may be wider than `width` or narrower.
        intermediate: inner width of the feed-forwards; 4 * width if not given.
        qk_norm: LayerNorm on queries and keys (on in the published Idefics).
    """

    def __init__(
        self,
        width: int,
        num_latents: int = 64,
        depth: int = 6,
        heads: int = 16,
        head_dim: int = 96,
        intermediate: int | None = None,
        qk_norm: bool = True,
    ):
        super().__init__()
        self.width = width
        self.latents = nn.Parameter(torch.randn(num_latents, width))
        self.blocks = nn.ModuleList(
            nn.ModuleList(
                [PerceiverAttention(width, heads, head_dim, qk_norm), FeedForward(width, intermediate or 4 * width)]
            )
            for _ in range(depth)
        )
        self.norm = nn.LayerNorm(width)

    def visual_tokens(self, patches: int) -> int:
        """Tokens that the language model gets for an image of so many patches: always the number of latents."""
        return len(self.latents)

    def forward(self, image_embeds: torch.Tensor, image_mask: torch.Tensor | None = None) -> torch.Tensor:
        """Patch features -> latents.

        Args:
            image_embeds: (B, N, width), any N; several images' or frames' patches may stand one after the other.
            image_mask: bool (B, N), True where a patch is real and not padding.

        Returns:
            (B, num_latents, width).

        Raises:
            ValueError: a wrong shape, or a mask that is not bool.
        """
        expect_tokens("image_embeds", image_embeds, self.width)
        batch, count = image_embeds.shape[:2]
        expect_mask("image_mask", image_mask, (batch, count))
        mask = None
        if image_mask is not None:  # latents are always there to be looked at
            mask = torch.cat([image_mask, image_mask.new_ones(batch, len(self.latents))], dim=1)
        latents = self.latents.expand(batch, -1, -1)
        for attention, feed_forward in self.blocks:
            latents = latents + attention(latents, image_embeds, mask)
            latents = latents + feed_forward(latents)
        return self.norm(latents)
