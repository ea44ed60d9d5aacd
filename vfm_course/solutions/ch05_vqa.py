"""Reference answers of notebook 05: how answers are scored and given away, how a VLM writes. Each stands alone.

What the library has too (`vfm_course.vlm`, `vfm_course.world.blind`) is written out again in its shortest form, with
nothing but torch and Python. Tests hold both to the same numbers.
"""

from __future__ import annotations

import torch
from torch import nn


def agreement_score(answer: str, humans: list[str]) -> float:
    """What a model answered and what ten people answered -> min(people who said exactly this / 3, 1).

    Compared letter by letter: "Red" is not "red".
    """
    return min(humans.count(answer) / 3, 1)


def tidy_answer(answer: str) -> str:
    """A short answer as it is compared: "The red-brown cats, two." -> "red brown cats 2".

    In this order: lower case; a period goes, unless a digit follows it; each of the signs , ; ? ! / - ( ) becomes a
    space, and all other signs stay; the words zero to ten become digits, and "none" becomes 0; the words a, an and the
    go; one space between words, none at the ends. The official rules also know 1,000 and dont, which do not occur here.
    """
    text = answer.lower()
    text = "".join(sign for i, sign in enumerate(text) if sign != "." or text[i + 1 : i + 2].isdigit())
    text = "".join(" " if sign in ",;?!/-()" else sign for sign in text)
    names = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"]
    numbers = {name: str(number) for number, name in enumerate(names)} | {"none": "0"}
    words = [numbers.get(word, word) for word in text.split()]
    return " ".join(word for word in words if word not in ("a", "an", "the"))


def leave_one_out_score(answer: str, humans: list[str], tidy) -> float:
    """The official VQA accuracy of an answer, given the answers of ten people and a function `tidy(text)`.

    All answers are tidied first. Then each person is left out once: min(people among the other nine who agree / 3, 1),
    and the mean of the ten.
    """
    agree = [tidy(human) == tidy(answer) for human in humans]
    scores = [min((sum(agree) - this) / 3, 1) for this in agree]
    return sum(scores) / len(scores)


def answer_vocabulary(training: list[str], held_out: list[str], k: int) -> tuple[list[str], float]:
    """Answers to training and to held-out questions -> the k most frequent of training, and the share they cover.

    The most frequent first, ties in alphabetical order. The share is that of the held-out questions whose answer is
    among the k: no model with this vocabulary scores more.
    """
    counts = {}
    for answer in training:
        counts[answer] = counts.get(answer, 0) + 1
    vocabulary = sorted(counts, key=lambda answer: (-counts[answer], answer))[:k]
    return vocabulary, sum(answer in vocabulary for answer in held_out) / len(held_out)


class AnswerClassifier(nn.Module):
    """Image vectors (B, I) and question vectors (B, Q) -> logits (B, A), one for each answer of the vocabulary.

    Three linear layers. `image` and `question` bring both to H numbers; the tanh of each; their product, number by
    number; `answer` makes the logits.
    """

    def __init__(self, image_width: int, question_width: int, hidden: int, answers: int):
        super().__init__()
        self.image = nn.Linear(image_width, hidden)
        self.question = nn.Linear(question_width, hidden)
        self.answer = nn.Linear(hidden, answers)

    def forward(self, images: torch.Tensor, questions: torch.Tensor) -> torch.Tensor:
        return self.answer(self.image(images).tanh() * self.question(questions).tanh())


def soft_target_loss(logits: torch.Tensor, humans: list[list[str]], vocabulary: list[str]) -> torch.Tensor:
    """Logits (B, A), the answers of ten people to each of B questions, the A answers of the vocabulary -> the loss.

    The target of an answer is min(people who said it / 3, 1); what is not in the vocabulary is left out. Binary
    cross-entropy, summed over the answers, the mean over the questions.
    """
    scores = [[min(people.count(word) / 3, 1) for word in vocabulary] for people in humans]
    targets = torch.tensor(scores, dtype=logits.dtype)
    return nn.functional.binary_cross_entropy_with_logits(logits, targets, reduction="sum") / len(logits)


def blind_answers(training: list[tuple[str, str]], patterns: list[str]) -> list[str]:
    """Pairs (pattern of a question, answer) to learn from -> an answer for each pattern in `patterns`.

    The most frequent answer to that pattern; the most frequent of all where the pattern is new. Ties go to the answer
    that comes first in the alphabet.
    """
    seen = {}
    for pattern, answer in training:
        for key in (pattern, None):  # None: all patterns
            counts = seen.setdefault(key, {})
            counts[answer] = counts.get(answer, 0) + 1
    found = []
    for pattern in patterns:
        counts = seen.get(pattern, seen[None])
        found.append(min(counts, key=lambda answer: (-counts[answer], answer)))
    return found


def pair_scores(given: list[str], right: list[str]) -> tuple[float, float]:
    """What a model answered and what is right -> share of pairs with both answers right, share with twice the same.

    Questions 2k and 2k + 1 are pair k: one text, two pictures, two different right answers. "Twice the same" is about
    what the model answered, right or wrong.
    """
    starts = range(0, len(given), 2)
    both = [given[i] == right[i] and given[i + 1] == right[i + 1] for i in starts]
    same = [given[i] == given[i + 1] for i in starts]
    return sum(both) / len(both), sum(same) / len(same)


def place_visual_tokens(
    embeds: torch.Tensor, input_ids: torch.Tensor, visual: torch.Tensor, image_token_id: int
) -> torch.Tensor:
    """Word embeddings (B, T, D) of input_ids (B, T), visual tokens (B, V, D) -> embeddings with the image in its place.

    Row i: its V visual tokens stand, in order, where its ids are `image_token_id`; all else is as it was. ValueError
    if a row does not have exactly V such places.
    """
    places = input_ids == image_token_id
    if not (places.sum(dim=1) == visual.shape[1]).all():
        raise ValueError(f"each row needs {visual.shape[1]} image tokens, not {places.sum(dim=1).tolist()}")
    filled = embeds.clone()
    filled[places] = visual.flatten(0, 1)
    return filled


def answer_labels(input_ids: torch.Tensor, prompt_lengths: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """input_ids (B, T): prompt, answer, end token, padding -> labels (B, T), -100 where nothing is to be learnt.

    `prompt_lengths` (B,) counts the tokens of each prompt. `mask` bool (B, T): False where padding is. The answer and
    its end token keep their ids, each at its own place: the model shifts them by one itself.
    """
    place = torch.arange(input_ids.shape[1])
    learnt = (place >= prompt_lengths[:, None]) & mask.bool()
    return input_ids.masked_fill(~learnt, -100)


def generate_greedily(next_logits, prompt: list[int], end_token: int, max_new_tokens: int) -> list[int]:
    """The tokens that follow the prompt, without the end token.

    `next_logits(ids)` takes the whole list so far and gives logits (vocabulary,) for the token after it. Always the
    largest; until the end token is chosen, or `max_new_tokens` are there.
    """
    new = []
    while len(new) < max_new_tokens:
        token = int(next_logits(prompt + new).argmax())
        if token == end_token:
            break
        new.append(token)
    return new


def attend_with_cache(
    q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, keys: torch.Tensor, values: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """q, k, v (H, D) of a new token, keys and values (H, T, D) -> what it found (H, D), keys and values (H, T + 1, D).

    The last step of causal attention, in H heads: the new token attends to the T before it and to itself. Its own key
    and value come last. At the first token T is 0.
    """
    keys = torch.cat([keys, k[:, None]], dim=1)
    values = torch.cat([values, v[:, None]], dim=1)
    logits = (keys * q[:, None]).sum(dim=-1) / q.shape[-1] ** 0.5  # (H, T + 1)
    found = (logits.softmax(dim=-1)[..., None] * values).sum(dim=1)
    return found, keys, values


def circular_score(reply, questions: list[tuple[str, list[str], str]]) -> tuple[float, float]:
    """Share of the questions that are right in the order given, and share that are right in every rotation.

    A question is its text, its options, and the letter of the right one: ("What is it?", ["dog", "cat"], "B").
    `reply(text, options)` gives the letter of an option, for any order of them. Rotation k begins with option k and
    goes round: B C D A.
    """
    once = always = 0
    for text, options, right in questions:
        truth = options[ord(right) - ord("A")]
        hits = []
        for k in range(len(options)):
            order = options[k:] + options[:k]
            hits.append(order[ord(reply(text, order)) - ord("A")] == truth)
        once += hits[0]
        always += all(hits)
    return once / len(questions), always / len(questions)
