"""BLIP-2's Q-Former (Li et al. 2023): a fixed number of learned queries ask the image, and their answers are all that
the language model gets.

A small BERT whose input is not text but 32 learned vectors. In every layer the queries look at each other; in every
second layer, the first included, they look at the image's patches as well. The image has no other way in.
"""

import torch
from torch import nn
from torch.nn import functional as F

from vfm_course.connectors.attention import attend, expect_heads, expect_mask, expect_tokens, split_heads


class Attention(nn.Module):
    """Attention with BERT's residual and LayerNorm *after* it (post-norm), to the tokens themselves or to others."""

    def __init__(self, hidden: int, heads: int, source_width: int | None = None):
        super().__init__()
        self.heads = heads
        self.query = nn.Linear(hidden, hidden)
        self.key = nn.Linear(source_width or hidden, hidden)
        self.value = nn.Linear(source_width or hidden, hidden)
        self.output = nn.Linear(hidden, hidden)
        self.norm = nn.LayerNorm(hidden, eps=1e-12)

    def forward(self, tokens: torch.Tensor, source: torch.Tensor, mask: torch.Tensor | None = None) -> torch.Tensor:
        """`tokens` (B, Q, hidden) look at `source` (B, K, source_width); a mask as in `attend`."""
        queries, keys, values = self.query(tokens), self.key(source), self.value(source)
        answers = attend(*(split_heads(part, self.heads) for part in (queries, keys, values)), mask)
        return self.norm(tokens + self.output(answers))


class FeedForward(nn.Module):
    """Linear, GELU, Linear on each token alone; residual and LayerNorm after it."""

    def __init__(self, hidden: int, intermediate: int):
        super().__init__()
        self.up = nn.Linear(hidden, intermediate)
        self.down = nn.Linear(intermediate, hidden)
        self.norm = nn.LayerNorm(hidden, eps=1e-12)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        return self.norm(tokens + self.down(F.gelu(self.up(tokens))))


class QFormerLayer(nn.Module):
    """Self-attention of queries and text together, cross-attention of the queries alone, a feed-forward for each.

    Without `vision_width` the layer has no cross-attention; with `text` it has a second feed-forward for text tokens.
    """

    def __init__(self, hidden: int, heads: int, intermediate: int, vision_width: int | None, text: bool):
        super().__init__()
        self.self_attention = Attention(hidden, heads)
        self.cross_attention = Attention(hidden, heads, vision_width) if vision_width else None
        self.query_feed_forward = FeedForward(hidden, intermediate)
        self.text_feed_forward = FeedForward(hidden, intermediate) if text else None

    def forward(
        self,
        queries: torch.Tensor,
        text: torch.Tensor | None,
        image_embeds: torch.Tensor,
        mask: torch.Tensor | None = None,
        image_mask: torch.Tensor | None = None,
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Queries (B, Q, hidden) and text (B, T, hidden) or None -> the same, one layer later."""
        both = queries if text is None else torch.cat([queries, text], dim=1)
        both = self.self_attention(both, both, mask)
        queries = both[:, : queries.shape[1]]
        if self.cross_attention is not None:
            queries = self.cross_attention(queries, image_embeds, image_mask)
        if text is not None:
            text = self.text_feed_forward(both[:, queries.shape[1] :])
        return self.query_feed_forward(queries), text


class QFormer(nn.Module):
    """Patch features in, `num_queries` vectors out, however many patches there are.

    In BLIP-2 a linear layer then brings them to the language model's width: `nn.Sequential(QFormer(1408),
    LinearProjector(768, 2560))` is all that its second stage trains with OPT-2.7B. The defaults are the published
    sizes: 105,137,664 parameters and 24,576 in the queries. The paper's 188 M count the first stage, which has text
    too: see `qformer_text.py`. BERT's dropout (0.1) is left out.

    Args:
        vision_width: width of the patch features (ViT-g: 1408).
        hidden: width of the queries.
        heads: of every attention; `hidden` is divided among them.
        intermediate: inner width of the feed-forwards; 4 * hidden if not given.
        num_queries: learned queries, the number of visual tokens.
        cross_every: layers 0, cross_every, 2 * cross_every … look at the image.
        text: with feed-forwards for text tokens, as the first stage needs them.

    Raises:
        ValueError: `hidden` cannot be divided among the heads.
    """

    def __init__(
        self,
        vision_width: int,
        hidden: int = 768,
        layers: int = 12,
        heads: int = 12,
        intermediate: int | None = None,
        num_queries: int = 32,
        cross_every: int = 2,
        text: bool = False,
    ):
        super().__init__()
        expect_heads("hidden", hidden, heads)
        self.vision_width, self.hidden, self.num_queries, self.text = vision_width, hidden, num_queries, text
        # Drawn at random: queries that begin alike are treated alike in every layer, and would stay one query.
        self.query_tokens = nn.Parameter(0.02 * torch.randn(num_queries, hidden))
        self.norm = nn.LayerNorm(hidden, eps=1e-12)
        self.layers = nn.ModuleList(
            QFormerLayer(hidden, heads, intermediate or 4 * hidden, None if i % cross_every else vision_width, text)
            for i in range(layers)
        )

    def visual_tokens(self, patches: int) -> int:
        """Tokens that the language model gets for an image of so many patches: always `num_queries`."""
        return self.num_queries

    def forward(
        self,
        image_embeds: torch.Tensor,
        image_mask: torch.Tensor | None = None,
        text_embeds: torch.Tensor | None = None,
        mask: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """What the queries found in the image, and what became of the text where there is some.

        Args:
            image_embeds: (B, N, vision_width).
            image_mask: bool (B, N), True where a patch is real and not padding.
            text_embeds: (B, T, hidden), text that shares the self-attention with the queries (first stage only).
            mask: bool (B, Q + T, Q + T), row i True where token i may look in self-attention; queries come first. Or
                (B, Q + T), the same for all rows.

        Returns:
            (B, num_queries, hidden), followed by the T text tokens if there are any.

        Raises:
            ValueError: a wrong shape, a mask that is not bool, or text for a Q-Former without `text`.
        """
        expect_tokens("image_embeds", image_embeds, self.vision_width)
        batch, patches = image_embeds.shape[:2]
        expect_mask("image_mask", image_mask, (batch, patches))
        if text_embeds is not None:
            if not self.text:
                raise ValueError("This Q-Former has no feed-forward for text: build it with `text=True`.")
            expect_tokens("text_embeds", text_embeds, self.hidden, batch)
        length = self.num_queries + (0 if text_embeds is None else text_embeds.shape[1])
        expect_mask("mask", mask, (batch, length, length), (batch, length))

        queries = self.norm(self.query_tokens).expand(batch, -1, -1)
        text = None if text_embeds is None else self.norm(text_embeds)
        for layer in self.layers:
            queries, text = layer(queries, text, image_embeds, mask, image_mask)
        return queries if text is None else torch.cat([queries, text], dim=1)
