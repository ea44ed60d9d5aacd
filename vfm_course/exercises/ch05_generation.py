"""Notebook 05, one token after another: 5.11 and 5.12."""

from __future__ import annotations

import torch
from torch.nn import functional as F

from vfm_course.exercises.judge import expect_close, expect_equal, expect_several
from vfm_course.exercises.record import Exercise, Mistake

_REFERENCE = "vfm_course.solutions.ch05_vqa:"


# 5.11 --------------------------------------------------------------------------------------------------------------
def check_greedy(answer, draw):
    end, lost, *words = draw.permutation(14).tolist()
    prompt, script = [words[0], end, words[1]], [words[2], words[3], words[2], words[4], words[5]]
    model = _scripted(prompt, [*script, end], lost, draw.uniform(14))
    silent = _scripted(prompt, [end], lost, draw.uniform(14))
    cases = (
        (model, 9, script, "an end token after 5 tokens and a limit of 9"),
        (model, 3, script[:3], "a limit of 3 that comes before the end token"),
        (silent, 4, [], "an end token that comes at once"),
    )
    # All are asked for before one is judged: one list alone may be that of two mistakes.
    answers = [answer(next_logits, prompt, end, limit) for next_logits, limit, _, _ in cases]
    for (_, _, want, what), got in zip(cases, answers, strict=True):
        expect_equal(_listed(got), want, f"What follows the prompt {prompt}, with {what},")


def _scripted(prompt, script, lost, noise):
    """A model that knows what follows the prompt, one token after another; anything else it is given leaves it lost."""

    def next_logits(ids):
        ids = _listed(ids)
        told = len(ids) - len(prompt)
        known = 0 <= told < len(script) and ids == prompt + script[:told]
        logits = noise - 3
        logits[script[told] if known else lost] = 2.0
        return logits

    return next_logits


def _listed(got):
    """A list of ints, where a tensor or tensors were given too."""
    if isinstance(got, torch.Tensor):
        return got.flatten().tolist()
    if isinstance(got, tuple | list):
        return [each.item() if isinstance(each, torch.Tensor) and each.numel() == 1 else each for each in got]
    return got


def _likeliest(next_logits, ids):
    return int(next_logits(ids).argmax())


def _generated(choose, end_token, limit):
    """Tokens of `choose(new)` until the end token is chosen or `limit` of them are there."""
    new = []
    while len(new) < limit:
        token = choose(new)
        if token == end_token:
            break
        new.append(token)
    return new


def greedy_with_end(next_logits, prompt, end_token, max_new_tokens):
    new = []
    while len(new) < max_new_tokens:
        new.append(_likeliest(next_logits, prompt + new))
        if new[-1] == end_token:
            break
    return new


def greedy_with_prompt(next_logits, prompt, end_token, max_new_tokens):
    return prompt + _generated(lambda new: _likeliest(next_logits, prompt + new), end_token, max_new_tokens)


def greedy_in_the_prompt(next_logits, prompt, end_token, max_new_tokens):
    before = len(prompt)
    for _ in range(max_new_tokens):
        token = _likeliest(next_logits, prompt)
        if token == end_token:
            break
        prompt.append(token)
    return prompt[before:]


def greedy_no_end(next_logits, prompt, end_token, max_new_tokens):
    return _generated(lambda new: _likeliest(next_logits, prompt + new), None, max_new_tokens)


def greedy_no_limit(next_logits, prompt, end_token, max_new_tokens):
    return _generated(lambda new: _likeliest(next_logits, prompt + new), end_token, 1000)


def greedy_one_more(next_logits, prompt, end_token, max_new_tokens):
    return _generated(lambda new: _likeliest(next_logits, prompt + new), end_token, max_new_tokens + 1)


def greedy_one_less(next_logits, prompt, end_token, max_new_tokens):
    return _generated(lambda new: _likeliest(next_logits, prompt + new), end_token, max_new_tokens - 1)


def greedy_prompt_in_limit(next_logits, prompt, end_token, max_new_tokens):
    return _generated(lambda new: _likeliest(next_logits, prompt + new), end_token, max_new_tokens - len(prompt))


def greedy_last_token_only(next_logits, prompt, end_token, max_new_tokens):
    return _generated(lambda new: _likeliest(next_logits, (prompt + new)[-1:]), end_token, max_new_tokens)


def greedy_forgets_the_prompt(next_logits, prompt, end_token, max_new_tokens):
    return _generated(lambda new: _likeliest(next_logits, new or prompt), end_token, max_new_tokens)


def greedy_always_the_prompt(next_logits, prompt, end_token, max_new_tokens):
    return _generated(lambda new: _likeliest(next_logits, prompt), end_token, max_new_tokens)


def greedy_end_in_prompt(next_logits, prompt, end_token, max_new_tokens):
    ids = list(prompt)
    while end_token not in ids and len(ids) < len(prompt) + max_new_tokens:
        ids.append(_likeliest(next_logits, ids))
    return ids[len(prompt) :]


def greedy_smallest(next_logits, prompt, end_token, max_new_tokens):
    return _generated(lambda new: int(next_logits(prompt + new).argmin()), end_token, max_new_tokens)


# 5.12 --------------------------------------------------------------------------------------------------------------
def check_cache(answer, draw):
    heads, width, length = draw.integer(2, 4), draw.pick([5, 6], 1)[0], draw.integer(4, 6)
    q, k, v = (draw.normal(heads, length, width) for _ in range(3))
    want = F.scaled_dot_product_attention(q, k, v, is_causal=True)
    steps = (0, length - 1)
    # Both are asked for before either is judged: the first token alone may be that of two mistakes.
    answers = [answer(q[:, at], k[:, at], v[:, at], k[:, :at], v[:, :at]) for at in steps]
    for at, got in zip(steps, answers, strict=True):
        found, keys, values = expect_several(got, 3, "The answer (found, keys, values)")
        where = f"of token {at + 1}, with {at} in the cache"
        expect_close(found, want[:, at], f"What the attention {where} gives")
        expect_close(keys, k[:, : at + 1], f"The keys behind the step {where}")
        expect_close(values, v[:, : at + 1], f"The values behind the step {where}")


def _grown(k, v, keys, values):
    return torch.cat([keys, k[:, None]], dim=1), torch.cat([values, v[:, None]], dim=1)


def _attended(q, keys, values, scale=None, dim=-1):
    logits = torch.einsum("hd,htd->ht", q, keys) / (q.shape[-1] ** 0.5 if scale is None else scale)
    return torch.einsum("ht,htd->hd", logits.softmax(dim=dim), values)


def cache_not_itself(q, k, v, keys, values):
    return _attended(q, keys, values), *_grown(k, v, keys, values)


def cache_not_grown(q, k, v, keys, values):
    return _attended(q, *_grown(k, v, keys, values)), keys, values


def cache_in_front(q, k, v, keys, values):
    keys, values = torch.cat([k[:, None], keys], dim=1), torch.cat([v[:, None], values], dim=1)
    return _attended(q, keys, values), keys, values


def cache_new_one_only(q, k, v, keys, values):
    return v.clone(), *_grown(k, v, keys, values)


def cache_keys_only(q, k, v, keys, values):
    keys, values = _grown(k, v, keys, values)
    return _attended(q, keys, keys), keys, values


def cache_no_scale(q, k, v, keys, values):
    keys, values = _grown(k, v, keys, values)
    return _attended(q, keys, values, scale=1), keys, values


def cache_no_root(q, k, v, keys, values):
    keys, values = _grown(k, v, keys, values)
    return _attended(q, keys, values, scale=q.shape[-1]), keys, values


def cache_scale_of_all_heads(q, k, v, keys, values):
    keys, values = _grown(k, v, keys, values)
    return _attended(q, keys, values, scale=q.numel() ** 0.5), keys, values


def cache_softmax_over_heads(q, k, v, keys, values):
    keys, values = _grown(k, v, keys, values)
    return _attended(q, keys, values, dim=0), keys, values


def cache_no_softmax(q, k, v, keys, values):
    keys, values = _grown(k, v, keys, values)
    return torch.einsum("hd,htd,hte->he", q, keys, values) / q.shape[-1] ** 0.5, keys, values


def cache_key_asks(q, k, v, keys, values):
    keys, values = _grown(k, v, keys, values)
    return _attended(k, keys, values), keys, values


def cache_swapped(q, k, v, keys, values):
    keys, values = _grown(k, v, keys, values)
    return _attended(q, keys, values), values, keys


def cache_side_by_side(q, k, v, keys, values):
    keys, values = _grown(k, v, keys, values)
    return _attended(q, keys, values).flatten(), keys, values


EXERCISES = (
    Exercise(
        id="5.11",
        notebook="05",
        title="The likeliest word, again and again",
        level="B",
        minutes=6,
        points=2,
        hints=(
            "Keep the new tokens in a list of their own: the model reads `prompt + new`, and `new` is the answer.",
            "`int(next_logits(prompt + new).argmax())` is the next token; at the end token stop before `append`.",
        ),
        reference=_REFERENCE + "generate_greedily",
        check=check_greedy,
        mistakes=(
            Mistake(greedy_with_end, "The end token is in the answer; it only says that there is no more."),
            Mistake(greedy_with_prompt, "The prompt is in the answer; only the new tokens are wanted."),
            Mistake(greedy_in_the_prompt, "The tokens were appended to `prompt` itself, which is the caller's list."),
            Mistake(greedy_no_end, "The end token does not end anything: it goes on to the limit."),
            Mistake(greedy_no_limit, "`max_new_tokens` is not kept to: a model that never ends would run for ever."),
            Mistake(greedy_one_more, "There is one token too many: `max_new_tokens` of them are allowed."),
            Mistake(greedy_one_less, "There is one token too few: `max_new_tokens` of them are allowed."),
            Mistake(greedy_prompt_in_limit, "The limit counts the prompt too; it is about new tokens."),
            Mistake(
                greedy_last_token_only,
                "The model is given the last token alone; without a cache it has to read everything so far.",
            ),
            Mistake(greedy_forgets_the_prompt, "After the first token the model is given the new tokens alone."),
            Mistake(
                greedy_always_the_prompt,
                "The model is given the prompt each time, so it says the same word again: pass on the new tokens too.",
            ),
            Mistake(
                greedy_end_in_prompt,
                "An end token in the prompt stops the answer; in a dialogue there is one behind each turn.",
            ),
            Mistake(greedy_smallest, "This takes the smallest logit; the largest is the likeliest token."),
        ),
    ),
    Exercise(
        id="5.12",
        notebook="05",
        title="One step with a KV cache",
        level="A",
        minutes=12,
        points=4,
        hints=(
            "`torch.cat([keys, k[:, None]], dim=1)` puts the new key behind the others, and the same for values.",
            "Logits (H, T + 1): the products of q with all keys, `(keys * q[:, None]).sum(dim=-1)`, over root D.",
            "The softmax runs over the tokens; then the weighted sum of the values. No mask: nothing comes later.",
        ),
        reference=_REFERENCE + "attend_with_cache",
        check=check_cache,
        mistakes=(
            Mistake(cache_not_itself, "The new token does not attend to itself: lengthen the cache first."),
            Mistake(cache_not_grown, "The cache comes back as short as it was: the next token would not see this one."),
            Mistake(
                cache_in_front,
                "The new token was put in front. The sum does not show it, but the cache should keep the order.",
            ),
            Mistake(cache_new_one_only, "The new token attends to itself alone; the cache is not read."),
            Mistake(cache_keys_only, "The keys were added up; the weights belong to the values."),
            Mistake(cache_no_scale, "The logits are not divided by root D."),
            Mistake(cache_no_root, "The logits were divided by D; by its root they should be."),
            Mistake(
                cache_scale_of_all_heads,
                "The logits were divided by the root of the width of all heads; D is that of one head.",
            ),
            Mistake(cache_softmax_over_heads, "The softmax runs over the heads; in each head it runs over the tokens."),
            Mistake(cache_no_softmax, "The softmax is missing: the weights of a head should sum to one."),
            Mistake(cache_key_asks, "The key asks in place of the query."),
            Mistake(cache_swapped, "Keys and values came back in the wrong order."),
            Mistake(cache_side_by_side, "The heads were put side by side; (H, D) is wanted, a row for each head."),
        ),
    ),
)
