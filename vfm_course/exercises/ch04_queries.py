"""Notebook 04, queries that ask the image: 4.3 and 4.4."""

from __future__ import annotations

import torch

from vfm_course.exercises.judge import expect_close, expect_several
from vfm_course.exercises.record import Exercise, Mistake

_REFERENCE = "vfm_course.solutions.ch04_connectors:"


# 4.3 ---------------------------------------------------------------------------------------------------------------
def check_cross(answer, draw):
    heads, each = 2, 3
    queries, patches = draw.normal(2, 4, 5), draw.normal(2, 7, 8)
    weights = [draw.normal(heads * each, width) for width in (5, 8, 8)]
    mask = torch.arange(7) < torch.tensor([[7], [draw.integer(3, 6)]])
    got = answer(queries, patches, *weights, heads, mask)
    q, k, v = (x @ w.T for x, w in zip((queries, patches, patches), weights, strict=True))
    parts = []
    for i in range(heads):
        own = slice(i * each, (i + 1) * each)
        logits = torch.einsum("bqd,bnd->bqn", q[..., own], k[..., own]) / each**0.5
        shares = (logits - logits.amax(-1, keepdim=True)).exp() * mask[:, None]
        parts.append(shares / shares.sum(-1, keepdim=True) @ v[..., own])
    expect_close(got, torch.cat(parts, dim=-1), "What the queries found")


def _split(tokens, heads):
    return tokens.unflatten(-1, (heads, -1)).transpose(1, 2)


def _logits(queries, patches, w_q, w_k, heads, scale=None):
    q, k = _split(queries @ w_q.T, heads), _split(patches @ w_k.T, heads)
    return q @ k.transpose(2, 3) / (scale or q.shape[-1] ** 0.5)


def _cross(queries, patches, w_q, w_k, w_v, heads, mask, scale=None, dim=-1, fill=-torch.inf):
    logits = _logits(queries, patches, w_q, w_k, heads, scale).masked_fill(~mask[:, None, None], fill)
    return (logits.softmax(dim=dim) @ _split(patches @ w_v.T, heads)).transpose(1, 2).flatten(2)


def cross_no_scale(queries, patches, w_q, w_k, w_v, heads, mask):
    return _cross(queries, patches, w_q, w_k, w_v, heads, mask, scale=1)


def cross_scale_of_all_heads(queries, patches, w_q, w_k, w_v, heads, mask):
    return _cross(queries, patches, w_q, w_k, w_v, heads, mask, scale=len(w_q) ** 0.5)


def cross_no_root(queries, patches, w_q, w_k, w_v, heads, mask):
    return _cross(queries, patches, w_q, w_k, w_v, heads, mask, scale=len(w_q) // heads)


def cross_over_queries(queries, patches, w_q, w_k, w_v, heads, mask):
    return _cross(queries, patches, w_q, w_k, w_v, heads, mask, dim=-2, fill=-1e9)


def cross_no_mask(queries, patches, w_q, w_k, w_v, heads, mask):
    return _cross(queries, patches, w_q, w_k, w_v, heads, torch.ones_like(mask))


def cross_mask_reversed(queries, patches, w_q, w_k, w_v, heads, mask):
    return _cross(queries, patches, w_q, w_k, w_v, heads, ~mask)


def cross_masked_with_zero(queries, patches, w_q, w_k, w_v, heads, mask):
    return _cross(queries, patches, w_q, w_k, w_v, heads, mask, fill=0.0)


def cross_mask_after(queries, patches, w_q, w_k, w_v, heads, mask):
    weights = _logits(queries, patches, w_q, w_k, heads).softmax(dim=-1) * mask[:, None, None]
    return (weights @ _split(patches @ w_v.T, heads)).transpose(1, 2).flatten(2)


def cross_one_head(queries, patches, w_q, w_k, w_v, heads, mask):
    return _cross(queries, patches, w_q, w_k, w_v, 1, mask)


def cross_heads_interleaved(queries, patches, w_q, w_k, w_v, heads, mask):
    order = torch.arange(len(w_q)).view(-1, heads).T.flatten()  # head 0 gets the numbers 0, heads, 2 * heads …
    out = _cross(queries, patches, w_q[order], w_k[order], w_v[order], heads, mask)
    return out[..., order.argsort()]


def cross_not_transposed(queries, patches, w_q, w_k, w_v, heads, mask):
    def split(tokens):
        return tokens.reshape(tokens.shape[0], heads, tokens.shape[1], -1)

    q, k, v = split(queries @ w_q.T), split(patches @ w_k.T), split(patches @ w_v.T)
    logits = (q @ k.transpose(2, 3) / q.shape[-1] ** 0.5).masked_fill(~mask[:, None, None], -torch.inf)
    return (logits.softmax(dim=-1) @ v).transpose(1, 2).flatten(2)


def cross_heads_in_a_row(queries, patches, w_q, w_k, w_v, heads, mask):
    logits = _logits(queries, patches, w_q, w_k, heads).masked_fill(~mask[:, None, None], -torch.inf)
    out = logits.softmax(dim=-1) @ _split(patches @ w_v.T, heads)
    return out.reshape(len(out), out.shape[2], -1)


# 4.4 ---------------------------------------------------------------------------------------------------------------
def check_layer(answer, draw):
    queries, text, patches = draw.normal(2, 3, 4), draw.normal(2, 5, 4), draw.normal(2, 6, 4)
    mix, look, up, other = (draw.normal(4, 4) for _ in range(4))

    def self_attention(tokens):
        return tokens + ((tokens @ mix) @ tokens.transpose(1, 2)).softmax(-1) @ tokens

    def cross_attention(tokens, source):
        return tokens + ((tokens @ look) @ source.transpose(1, 2)).softmax(-1) @ source

    def feed_forward(tokens):
        return tokens + (tokens @ up).tanh()

    def text_feed_forward(tokens):
        return tokens + (tokens @ other).tanh()

    for cross, what in ((cross_attention, "a layer with cross-attention"), (None, "a layer without cross-attention")):
        both = self_attention(torch.cat([queries, text], dim=1))
        asked = both[:, :3] if cross is None else cross(both[:, :3], patches)
        got = answer(queries, text, patches, self_attention, cross, feed_forward, text_feed_forward)
        got = expect_several(got, 2, "The answer (queries, text)")
        expect_close(got[0], feed_forward(asked), f"The queries after {what}")
        expect_close(got[1], text_feed_forward(both[:, 3:]), f"The text after {what}")


def layer_apart(queries, text, patches, self_attention, cross_attention, feed_forward, text_feed_forward):
    queries, text = self_attention(queries), self_attention(text)
    queries = queries if cross_attention is None else cross_attention(queries, patches)
    return feed_forward(queries), text_feed_forward(text)


def layer_text_sees_image(queries, text, patches, self_attention, cross_attention, feed_forward, text_feed_forward):
    both = self_attention(torch.cat([queries, text], dim=1))
    both = both if cross_attention is None else cross_attention(both, patches)
    return feed_forward(both[:, : queries.shape[1]]), text_feed_forward(both[:, queries.shape[1] :])


def layer_cross_first(queries, text, patches, self_attention, cross_attention, feed_forward, text_feed_forward):
    queries = queries if cross_attention is None else cross_attention(queries, patches)
    both = self_attention(torch.cat([queries, text], dim=1))
    return feed_forward(both[:, : queries.shape[1]]), text_feed_forward(both[:, queries.shape[1] :])


def layer_one_feed_forward(queries, text, patches, self_attention, cross_attention, feed_forward, text_feed_forward):
    both = self_attention(torch.cat([queries, text], dim=1))
    queries, text = both[:, : queries.shape[1]], both[:, queries.shape[1] :]
    queries = queries if cross_attention is None else cross_attention(queries, patches)
    return feed_forward(queries), feed_forward(text)


def layer_patches_too(queries, text, patches, self_attention, cross_attention, feed_forward, text_feed_forward):
    both = self_attention(torch.cat([queries, text, patches], dim=1))
    end = queries.shape[1] + text.shape[1]
    return feed_forward(both[:, : queries.shape[1]]), text_feed_forward(both[:, queries.shape[1] : end])


def layer_asks_text(queries, text, patches, self_attention, cross_attention, feed_forward, text_feed_forward):
    both = self_attention(torch.cat([queries, text], dim=1))
    queries, text = both[:, : queries.shape[1]], both[:, queries.shape[1] :]
    queries = queries if cross_attention is None else cross_attention(queries, text)
    return feed_forward(queries), text_feed_forward(text)


def layer_text_first(queries, text, patches, self_attention, cross_attention, feed_forward, text_feed_forward):
    both = self_attention(torch.cat([text, queries], dim=1))
    queries, text = both[:, : queries.shape[1]], both[:, queries.shape[1] :]
    queries = queries if cross_attention is None else cross_attention(queries, patches)
    return feed_forward(queries), text_feed_forward(text)


def layer_old_queries(queries, text, patches, self_attention, cross_attention, feed_forward, text_feed_forward):
    both = self_attention(torch.cat([queries, text], dim=1))
    asked = both[:, : queries.shape[1]] if cross_attention is None else cross_attention(queries, patches)
    return feed_forward(asked), text_feed_forward(both[:, queries.shape[1] :])


def layer_always_looks(queries, text, patches, self_attention, cross_attention, feed_forward, text_feed_forward):
    both = self_attention(torch.cat([queries, text], dim=1))
    queries, text = both[:, : queries.shape[1]], both[:, queries.shape[1] :]
    return feed_forward(cross_attention(queries, patches)), text_feed_forward(text)


EXERCISES = (
    Exercise(
        id="4.3",
        notebook="04",
        title="Queries look at patches",
        level="I",
        minutes=12,
        points=3,
        hints=(
            "Queries are made of `queries`; keys and values of `patches`.",
            "Heads: `tokens.unflatten(-1, (heads, -1)).transpose(1, 2)`, and back with `.transpose(1, 2).flatten(2)`.",
            "Divide the logits by the root of one head's width. Padding gets a logit of minus infinity before the "
            "softmax over the patches.",
        ),
        reference=_REFERENCE + "cross_attention",
        check=check_cross,
        mistakes=(
            Mistake(cross_no_scale, "The logits are not divided by the root of a head's width."),
            Mistake(cross_scale_of_all_heads, "Divided by the root of the whole width; a head has width / heads."),
            Mistake(cross_no_root, "Divided by a head's width; its root is wanted."),
            Mistake(
                cross_over_queries,
                "The softmax runs over the queries; each query shares out its attention over the patches, the last "
                "dimension.",
            ),
            Mistake(cross_no_mask, "Padding is looked at: `mask` is not used."),
            Mistake(cross_mask_reversed, "The real patches were hidden: True in `mask` means real."),
            Mistake(
                cross_masked_with_zero,
                "Padding has a logit of 0, which still gets weight; make it minus infinity.",
            ),
            Mistake(cross_mask_after, "The mask came after the softmax: the weights no longer sum to 1."),
            Mistake(cross_one_head, "This is one head of the whole width; divide the width among `heads`."),
            Mistake(
                cross_heads_interleaved,
                "Neighbouring numbers went to different heads; head 0 has the first width / heads numbers.",
            ),
            Mistake(
                cross_not_transposed,
                "Reshaped to (B, heads, N, D) at once, which mixes tokens: split the last dimension, then transpose.",
            ),
            Mistake(
                cross_heads_in_a_row,
                "The heads were put together without a transpose, which mixes queries: `.transpose(1, 2).flatten(2)`.",
            ),
        ),
    ),
    Exercise(
        id="4.4",
        notebook="04",
        title="One layer of a Q-Former",
        level="I",
        minutes=10,
        points=3,
        hints=(
            "Self-attention gets queries and text as one sequence, queries first; cut it in two again afterwards.",
            "Only the queries go through the cross-attention, and only if the layer has one.",
        ),
        reference=_REFERENCE + "qformer_layer",
        check=check_layer,
        mistakes=(
            Mistake(layer_apart, "Queries and text went through self-attention apart; they see each other there."),
            Mistake(layer_text_sees_image, "The text looked at the image too; it knows of it only from the queries."),
            Mistake(layer_cross_first, "Cross-attention came first; in a Q-Former self-attention does."),
            Mistake(layer_one_feed_forward, "The text went through the queries' feed-forward; it has one of its own."),
            Mistake(layer_patches_too, "The patches went into self-attention; the image comes in by cross-attention."),
            Mistake(layer_asks_text, "The queries asked the text; cross-attention goes to the patches."),
            Mistake(layer_text_first, "The text was put in front, but the first rows were taken for the queries."),
            Mistake(layer_old_queries, "Cross-attention got the queries from before the self-attention."),
            Mistake(layer_always_looks, "`cross_attention` is None in a layer that has none: skip it there."),
        ),
    ),
)
