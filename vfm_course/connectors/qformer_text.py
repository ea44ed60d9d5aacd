"""BLIP-2's first stage (Li et al. 2023, section 3.2): the Q-Former learns what in an image text may ask about.

Queries and text share one self-attention, and three tasks differ in who may look at whom there:

| task | queries look at | text looks at | head |
|---|---|---|---|
| contrastive (ITC) | queries | text | cosine of the best query with the text's first token |
| matching (ITM) | queries and text | queries and text | two classes, the mean over the queries |
| generation (ITG) | queries | queries, and text up to itself | the next word |

Only the queries see the image. So text can know it only from them, and they learn to take out what text needs.
"""

import torch
from torch import nn
from torch.nn import functional as F

from vfm_course.connectors.attention import expect_mask
from vfm_course.connectors.qformer import QFormer

TASKS = ("contrastive", "matching", "generation")


def stage_one_mask(task: str, num_queries: int, text_mask: torch.Tensor) -> torch.Tensor:
    """Who may look at whom in self-attention.

    Args:
        task: "contrastive", "matching" or "generation".
        num_queries: queries Q, which come before the text.
        text_mask: bool (B, T), True where a text token is real and not padding.

    Returns:
        bool (B, Q + T, Q + T), row i True where token i may look.

    Raises:
        ValueError: another task, or a mask that is not bool (B, T).
    """
    if task not in TASKS:
        raise ValueError(f"There is no task {task!r} in stage one: choose one of {', '.join(TASKS)}.")
    if text_mask.ndim != 2:
        raise ValueError(f"`text_mask` should have shape (batch, tokens); it has shape {tuple(text_mask.shape)}.")
    expect_mask("text_mask", text_mask, tuple(text_mask.shape))
    batch, length = text_mask.shape
    place = torch.arange(num_queries + length, device=text_mask.device)
    row, column = (place >= num_queries)[:, None], (place >= num_queries)[None, :]  # True for text
    if task == "contrastive":
        allowed = row == column
    elif task == "matching":
        allowed = torch.ones_like(row | column)
    else:  # queries come before the text, so text that looks back sees them all
        allowed = torch.where(row, place[None, :] <= place[:, None], ~column)
    real = torch.cat([text_mask.new_ones(batch, num_queries), text_mask], dim=1)
    return allowed & real[:, None]


class TextEmbeddings(nn.Module):
    """A word's vector plus its position's, as in BERT; the Q-Former's first LayerNorm follows."""

    def __init__(self, vocabulary: int, hidden: int, positions: int = 512):
        super().__init__()
        self.word = nn.Embedding(vocabulary, hidden)
        self.position = nn.Embedding(positions, hidden)

    def forward(self, input_ids: torch.Tensor) -> torch.Tensor:
        """Token numbers (B, T) -> (B, T, hidden).

        Raises:
            ValueError: not two dimensions, or more tokens than there are positions.
        """
        if input_ids.ndim != 2 or input_ids.shape[1] > self.position.num_embeddings:
            most = self.position.num_embeddings
            raise ValueError(
                f"`input_ids` should have shape (batch, at most {most} tokens); it has shape {tuple(input_ids.shape)}."
            )
        return self.word(input_ids) + self.position.weight[: input_ids.shape[1]]


class QFormerStageOne(nn.Module):
    """A Q-Former with text, and one head for each of the three tasks; losses are the trainer's.

    At the published size (30,523 words: BERT's and one that begins a caption) it has 186,702,653 parameters, within one
    percent of the paper's 188 M. Stage two keeps 105 M of them: the feed-forwards for text (57 M), the text embeddings
    (24 M) and the heads (1 M) have done their work.

    Args:
        qformer: built with `text=True`.
        vocabulary: words of the text embeddings, which the generation head shares.
        embed_dim: width of the space in which image and text are compared.

    Raises:
        ValueError: the Q-Former has no feed-forwards for text.
    """

    def __init__(self, qformer: QFormer, vocabulary: int, embed_dim: int = 256, positions: int = 512):
        super().__init__()
        if not qformer.text:
            raise ValueError("Stage one needs a Q-Former with feed-forwards for text: build it with `text=True`.")
        hidden = qformer.hidden
        self.qformer = qformer
        self.text_embeddings = TextEmbeddings(vocabulary, hidden, positions)
        self.vision_projection = nn.Linear(hidden, embed_dim)
        self.text_projection = nn.Linear(hidden, embed_dim)
        self.itm_head = nn.Linear(hidden, 2)
        self.lm_transform = nn.Sequential(nn.Linear(hidden, hidden), nn.GELU(), nn.LayerNorm(hidden, eps=1e-12))
        self.lm_bias = nn.Parameter(torch.zeros(vocabulary))

    def run(
        self, task: str, image_embeds: torch.Tensor, input_ids: torch.Tensor, text_mask: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Queries (B, Q, hidden) and text (B, T, hidden) after all layers, under the mask of the task.

        Args:
            image_embeds: (B, N, vision_width).
            input_ids: token numbers (B, T), padding last; text i is set beside image i.
            text_mask: bool (B, T), True where a text token is real.

        Raises:
            ValueError: another task, or shapes that do not fit.
        """
        text_embeds, count = self.text_embeddings(input_ids), self.qformer.num_queries
        expect_mask("text_mask", text_mask, tuple(input_ids.shape))
        mask = stage_one_mask(task, count, text_mask)
        tokens = self.qformer(image_embeds, text_embeds=text_embeds, mask=mask)
        return tokens[:, :count], tokens[:, count:]

    def contrastive(self, image_embeds: torch.Tensor, input_ids: torch.Tensor, text_mask: torch.Tensor) -> torch.Tensor:
        """Cosines (B, B) of every image (row) with every text: that of the query which fits best.

        Queries and text do not see each other, so one pass serves all pairs. Arguments and errors as in `run`.
        """
        queries, text = self.run("contrastive", image_embeds, input_ids, text_mask)
        image = F.normalize(self.vision_projection(queries), dim=-1)  # (B, Q, E)
        text = F.normalize(self.text_projection(text[:, 0]), dim=-1)  # (B, E)
        return torch.einsum("iqe,te->itq", image, text).max(dim=-1).values

    def matching(self, image_embeds: torch.Tensor, input_ids: torch.Tensor, text_mask: torch.Tensor) -> torch.Tensor:
        """Logits (B, 2): text i does not belong, or belongs, to image i. Arguments and errors as in `run`."""
        queries, _ = self.run("matching", image_embeds, input_ids, text_mask)
        return self.itm_head(queries).mean(dim=1)

    def generation(self, image_embeds: torch.Tensor, input_ids: torch.Tensor, text_mask: torch.Tensor) -> torch.Tensor:
        """Logits (B, T, vocabulary) of the word *after* each token. Arguments and errors as in `run`."""
        _, text = self.run("generation", image_embeds, input_ids, text_mask)
        return F.linear(self.lm_transform(text), self.text_embeddings.word.weight, self.lm_bias)
