"""Encoder, connector, language model: two ways to let a language model see.

`PrefixVLM` puts visual tokens in front of the text (LLaVA, BLIP-2, PaliGemma), `GatedVLM` lets every text token look
at them from between the layers (Flamingo). Both take the frozen encoder's features, not pixels, so that these are
computed once for all.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn

from vfm_course.connectors.attention import expect_tokens
from vfm_course.connectors.gated import GatedCrossAttention, last_image_mask
from vfm_course.vlm.tokenizer import IMAGE_ID


class PrefixVLM(nn.Module):
    """Visual tokens, then the text, in one sequence.

    Args:
        lm: a decoder of transformers, such as `LlamaForCausalLM`.
        connector: (B, N, vision_width) -> (B, Q, text_width).
        prefix_lm: visual tokens and prompt look at each other both ways, and only the answer is causal (PaliGemma).
        skip: image tokens at the front that the connector does not get; LLaVA leaves out the CLS token.
    """

    def __init__(self, lm: nn.Module, connector: nn.Module, prefix_lm: bool = False, skip: int = 0):
        super().__init__()
        self.lm, self.connector, self.prefix_lm, self.skip = lm, connector, prefix_lm, skip

    def forward(
        self, features: torch.Tensor, input_ids: torch.Tensor, prompt: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Logits of the word after each text token.

        Args:
            features: the encoder's, (B, N, vision_width), CLS first.
            input_ids: (B, T), padding last.
            prompt: bool (B, T), True for tokens of the prompt; needed with `prefix_lm`.

        Returns:
            (B, T, vocabulary).

        Raises:
            ValueError: `prefix_lm` without `prompt`, or features of a wrong shape.
        """
        expect_tokens("features", features, features.shape[-1], len(input_ids))
        visual = self.connector(features[:, self.skip :])  # (B, Q, text_width)
        words = self.lm.get_input_embeddings()(input_ids)
        mask = None
        if self.prefix_lm:
            if prompt is None:
                raise ValueError("With `prefix_lm` the model needs `prompt`, True for each token of the prompt.")
            mask = prefix_mask(prompt, visual.shape[1])
        logits = self.lm(inputs_embeds=torch.cat([visual, words], dim=1), attention_mask=mask, use_cache=False).logits
        return logits[:, visual.shape[1] :]


def prefix_mask(prompt: torch.Tensor, visual_tokens: int) -> torch.Tensor:
    """Who may look at whom in a prefix language model (Raffel et al. 2020): bool (B, 1, V + T, V + T).

    Args:
        prompt: bool (B, T), True for tokens of the prompt, which look at each other both ways.
        visual_tokens: V, which stand in front and belong to the prompt.
    """
    prompt = torch.cat([prompt.new_ones(len(prompt), visual_tokens), prompt], dim=1)
    length = prompt.shape[1]
    causal = torch.ones(length, length, dtype=torch.bool, device=prompt.device).tril()
    return (causal | (prompt[:, :, None] & prompt[:, None, :]))[:, None]


class GatedVLM(nn.Module):
    """Text alone in the sequence; in front of every `interval`-th layer of the language model a gated layer that looks
    at the visual tokens.

    Where the text says with `<image>` where the image stands, tokens before that mark see nothing of it, as in Flamingo
    and Idefics; text without a mark sees the image from its first token on.

    Args:
        lm: a decoder of transformers whose layers are at `lm.model.layers`.
        connector: (B, N, vision_width) -> (B, Q, vision_width), a perceiver resampler.
        heads: of the gated layers.
        interval: layers of the language model per gated layer.
    """

    def __init__(self, lm: nn.Module, connector: nn.Module, vision_width: int, heads: int, interval: int = 1):
        super().__init__()
        self.lm, self.connector, self.interval = lm, connector, interval
        width, inner = lm.config.hidden_size, lm.config.intermediate_size
        count = -(-len(lm.model.layers) // interval)
        self.gated = nn.ModuleList(GatedCrossAttention(width, vision_width, heads, inner) for _ in range(count))

    def forward(
        self, features: torch.Tensor, input_ids: torch.Tensor, prompt: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Logits of the word after each text token.

        Args:
            features: the encoder's, (B, N, vision_width).
            input_ids: (B, T), padding last.
            prompt: bool (B, T), True for tokens of the prompt; without it an `<image>` that the model says itself
                would count as well.

        Returns:
            (B, T, vocabulary).

        Raises:
            ValueError: features of a wrong shape, or a prompt with more than one `<image>`.
        """
        expect_tokens("features", features, features.shape[-1], len(input_ids))
        visual = self.connector(features)
        marks = input_ids == IMAGE_ID
        mask = seeing_mask(marks if prompt is None else marks & prompt, visual.shape[1])
        with self.looking_at(visual, mask):
            return self.lm(input_ids=input_ids, use_cache=False).logits

    @torch.no_grad()
    def open_gates(self, alpha: float) -> None:
        """Lets all gates begin at tanh(alpha), where the papers begin at 0, closed."""
        for layer in self.gated:
            layer.alpha_attention.fill_(alpha)
            layer.alpha_dense.fill_(alpha)

    @contextmanager
    def looking_at(self, visual: torch.Tensor, mask: torch.Tensor | None = None) -> Iterator[None]:
        """As long as this is open, the language model sees the visual tokens (B, Q, vision_width), each text token
        those that the mask, bool (B, T, Q), lets it see."""

        def look(gated):
            return lambda layer, args, kwargs: ((gated(args[0], visual, mask), *args[1:]), kwargs)

        layers = self.lm.model.layers
        hooks = [layers[i * self.interval].register_forward_pre_hook(look(gated), with_kwargs=True)
                 for i, gated in enumerate(self.gated)]  # fmt: skip
        try:
            yield
        finally:
            for hook in hooks:
                hook.remove()


def seeing_mask(marks: torch.Tensor, visual_tokens: int) -> torch.Tensor | None:
    """Which text tokens see the image of their row: bool (B, T, visual_tokens), or None where all of them do.

    Args:
        marks: bool (B, T), True at the `<image>` of a row; a row without one has its image before the text.

    Raises:
        ValueError: more than one mark in a row.
    """
    if not marks.any():
        return None
    return last_image_mask(marks, 1, visual_tokens) | ~marks.any(dim=1)[:, None, None]


def trainable(model: nn.Module, with_lm: bool) -> nn.Module:
    """Freezes the language model, or lets it be tuned; what connects is always trained."""
    model.requires_grad_(True)
    model.lm.requires_grad_(with_lm)
    return model


@torch.no_grad()
def answer(
    model: nn.Module, features: torch.Tensor, prompts: list[list[int]], end: int, most: int = 12
) -> list[list[int]]:
    """Greedy answers, token numbers without the end; the plain way, without a KV cache.

    Args:
        features: (B, N, vision_width), where the model is. prompts: token numbers, `<begin>` first, of any lengths.
        end: the number that ends an answer. most: tokens of an answer at most.
    """
    said: list[list[int]] = [[] for _ in prompts]
    open_rows = list(range(len(prompts)))
    for _ in range(most):
        lines = [prompts[row] + said[row] for row in open_rows]
        length = max(map(len, lines))
        ids = torch.tensor([line + [0] * (length - len(line)) for line in lines])
        ends = torch.tensor([len(line) - 1 for line in lines])
        prompt = torch.arange(length) < torch.tensor([[len(prompts[row])] for row in open_rows])
        logits = model(features[open_rows], ids.to(features.device), prompt.to(features.device))
        best = logits[torch.arange(len(lines)), ends].argmax(dim=-1).tolist()
        for row, token in zip(open_rows, best, strict=True):
            if token != end:
                said[row].append(token)
        open_rows = [row for row, token in zip(open_rows, best, strict=True) if token != end]
        if not open_rows:
            break
    return said
