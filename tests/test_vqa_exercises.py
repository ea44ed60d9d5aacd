"""Every check of notebook 05 takes other right answers; the answers agree with the library and with transformers."""

import random
import re
import statistics
from collections import Counter, defaultdict

import pytest
import torch
import transformers
from torch import nn
from torch.nn import functional as F

from vfm_course.exercises import registry
from vfm_course.exercises.answer import LocalHandle
from vfm_course.exercises.draw import Draw
from vfm_course.exercises.record import Choice, Exercise
from vfm_course.exercises.verdict import RIGHT, WRONG, judge
from vfm_course.paths import data_dir
from vfm_course.solutions import ch05_vqa as reference
from vfm_course.vlm import metrics
from vfm_course.vlm.normalise import CONTRACTIONS, normalise
from vfm_course.world.blind import BlindModel, pattern
from vfm_course.world.vqa_files import frozen

VQA = registry.chapter("05")
SEEDS = range(20)


# Other right answers -----------------------------------------------------------------------------------------------
def agreement_by_loop(answer, humans):
    score = 0.0
    for human in humans:
        if human == answer and score < 0.9:
            score += 1 / 3
    return torch.tensor(score)


DIGITS = {"zero": 0, "one": 1, "two": 2, "three": 3, "four": 4, "five": 5, "six": 6, "seven": 7, "eight": 8, "nine": 9,
          "ten": 10, "none": 0}  # fmt: skip


def tidy_by_pattern(answer):
    text = re.sub(r"[,;?!/()-]", " ", answer.lower())
    words = re.sub(r"\.(?!\d)", "", text).split()
    words = [str(DIGITS[word]) if word in DIGITS else word for word in words]
    return " ".join([word for word in words if word not in {"a", "an", "the"}])


def tidy_letter_by_letter(answer):
    text = ""
    for i, sign in enumerate(answer):
        before_digit = i + 1 < len(answer) and answer[i + 1].isdigit()
        text += " " if sign in ",;?!/-()" else "" if sign == "." and not before_digit else sign.lower()
    for word, number in DIGITS.items():
        text = re.sub(rf"(?<!\S){word}(?!\S)", str(number), text)
    return " ".join(re.sub(r"(?<!\S)(?:the|an|a)(?!\S)", " ", text).split())


def left_out_by_lists(answer, humans, tidy):
    answer, humans = tidy(answer), [tidy(human) for human in humans]
    subsets = [humans[:i] + humans[i + 1 :] for i in range(len(humans))]
    return statistics.mean(min(others.count(answer) / 3, 1) for others in subsets)


def left_out_in_short(answer, humans, tidy):
    return min(0.3 * Counter(map(tidy, humans))[tidy(answer)], 1.0)


def vocabulary_by_counter(training, held_out, k):
    counted = Counter(sorted(training)).most_common(k)  # equals stay in the order they came in
    vocabulary = tuple(answer for answer, _ in counted)
    return [vocabulary, statistics.mean(float(answer in vocabulary) for answer in held_out)]


class ClassifierFunctional(nn.Module):
    def __init__(self, image_width, question_width, hidden, answers):
        super().__init__()
        self.answer = nn.Linear(hidden, answers)
        self.image = nn.Linear(image_width, hidden)
        self.question = nn.Linear(question_width, hidden)

    def forward(self, images, questions):
        fused = torch.mul(torch.tanh(self.image(images)), torch.tanh(self.question(questions)))
        return F.linear(fused, self.answer.weight, self.answer.bias)


def soft_by_formula(logits, humans, vocabulary):
    targets = torch.zeros(len(humans), len(vocabulary))
    for row, people in enumerate(humans):
        for person in people:
            if person in vocabulary:
                targets[row, vocabulary.index(person)] += 1
    targets = (targets / 3).clamp(max=1)
    p = logits.sigmoid()
    return -(targets * p.log() + (1 - targets) * (1 - p).log()).sum(1).mean()


def soft_by_library(logits, humans, vocabulary):
    targets = [[metrics.simple_accuracy(word, people) for word in vocabulary] for people in humans]
    return nn.BCEWithLogitsLoss(reduction="none")(logits, torch.tensor(targets)).sum(dim=1).mean()


def blind_by_counters(training, patterns):
    seen = defaultdict(Counter)
    for name, answer in sorted(training):  # sorted: of equals, the first in the alphabet is met first
        seen[name][answer] += 1
    everything = Counter(answer for _, answer in sorted(training, key=lambda each: each[1]))
    return tuple(seen.get(name, everything).most_common(1)[0][0] for name in patterns)


def pairs_by_reshaping(given, right):
    names = sorted({*given, *right})
    numbers = [torch.tensor([names.index(word) for word in words]).view(-1, 2) for words in (given, right)]
    both = (numbers[0] == numbers[1]).all(dim=1).float().mean()
    return both, (numbers[0][:, 0] == numbers[0][:, 1]).float().mean()


def place_by_scatter(embeds, input_ids, visual, image_token_id):
    places = input_ids.eq(image_token_id)
    for i, count in enumerate(places.sum(1).tolist()):
        if count != visual.size(1):
            raise ValueError(f"row {i} has {count} places for {visual.size(1)} tokens")
    return embeds.masked_scatter(places.unsqueeze(-1).expand_as(embeds), visual)


def place_by_gather(embeds, input_ids, visual, image_token_id):
    places = input_ids == image_token_id
    if any(int(row.sum()) != visual.shape[1] for row in places):
        raise ValueError
    number = (places.cumsum(dim=1) - 1).clamp(min=0)
    spread = visual.gather(1, number[..., None].expand_as(embeds))
    return torch.where(places[..., None], spread, embeds)


def place_token_by_token(embeds, input_ids, visual, image_token_id):
    rows = []
    for row, ids, tokens in zip(embeds, input_ids.tolist(), visual, strict=True):
        if ids.count(image_token_id) != len(tokens):
            raise ValueError("image tokens and visual tokens differ in number")
        left = iter(tokens)
        rows.append(torch.stack([next(left) if each == image_token_id else word for each, word in zip(ids, row)]))  # noqa: B905
    return torch.stack(rows)


def labels_by_loop(input_ids, prompt_lengths, mask):
    labels = input_ids.clone()
    for row in range(len(labels)):
        labels[row, : prompt_lengths[row]] = -100
        labels[row][~mask[row]] = -100
    return labels


def labels_by_where(input_ids, prompt_lengths, mask):
    counted = mask.cumsum(dim=1)
    return torch.where((counted > prompt_lengths.unsqueeze(1)) & mask, input_ids, -100)


def greedy_by_for(next_logits, prompt, end_token, max_new_tokens):
    ids = list(prompt)
    for _ in range(max_new_tokens):
        best = torch.argmax(next_logits(ids), dim=-1).item()
        if best == end_token:
            return ids[len(prompt) :]
        ids = [*ids, best]
    return ids[len(prompt) :]


def greedy_in_tensors(next_logits, prompt, end_token, max_new_tokens):
    ids = torch.tensor(prompt)
    for _ in range(max_new_tokens):
        best = next_logits(ids).max(dim=-1).indices
        if best == end_token:
            break
        ids = torch.cat([ids, best[None]])
    return ids[len(prompt) :]


def cache_by_torch(q, k, v, keys, values):
    keys, values = torch.cat((keys, k.unsqueeze(1)), 1), torch.cat((values, v.unsqueeze(1)), 1)
    return [F.scaled_dot_product_attention(q[:, None], keys, values).squeeze(1), keys, values]


def cache_head_by_head(q, k, v, keys, values):
    found, longer = [], ([], [])
    for one, key, value, old_keys, old_values in zip(q, k, v, keys, values, strict=True):
        longer[0].append(torch.vstack([old_keys, key]))
        longer[1].append(torch.vstack([old_values, value]))
        found.append((longer[0][-1] @ one / len(one) ** 0.5).softmax(0) @ longer[1][-1])
    return torch.stack(found), torch.stack(longer[0]), torch.stack(longer[1])


def circular_by_letters(reply, questions):
    """The right letter moves one back in each rotation."""
    first, every = [], []
    for text, options, right in questions:
        n, place = len(options), ord(right) - 65
        hits = [reply(text, options[k:] + options[:k]) == chr(65 + (place - k) % n) for k in range(n)]
        first.append(hits[0])
        every.append(min(hits))
    return statistics.mean(map(float, first)), torch.tensor(every).float().mean()


def circular_until_wrong(reply, questions):
    """The options go round the other way, in tuples, and the first miss ends it."""
    once = always = 0
    for text, options, right in questions:
        truth, order, good = options["ABCDEFGH".find(right)], tuple(options), True
        for turn in range(len(options)):
            good = order["ABCDEFGH".find(reply(text, order))] == truth
            once += turn == 0 and good
            if not good:
                break
            order = (order[-1], *order[:-1])
        always += good
    return [once / len(questions), always / len(questions)]


def circular_of_the_library(reply, questions):
    texts, options, answers = zip(*questions, strict=True)
    replies = [
        [reply(text, order) for order in metrics.rotations(each)] for text, each in zip(texts, options, strict=True)
    ]
    once = metrics.accuracy([each[0] for each in replies], answers)
    return once, metrics.circular_accuracy(replies, options, answers)


OTHERS = [
    ("5.1", agreement_by_loop),
    ("5.1", metrics.simple_accuracy),
    ("5.2", tidy_by_pattern),
    ("5.2", tidy_letter_by_letter),
    ("5.2", normalise),
    ("5.3", left_out_by_lists),
    ("5.3", left_out_in_short),
    ("5.4", vocabulary_by_counter),
    ("5.5", ClassifierFunctional),
    ("5.6", soft_by_formula),
    ("5.6", soft_by_library),
    ("5.7", blind_by_counters),
    ("5.8", pairs_by_reshaping),
    ("5.9", place_by_scatter),
    ("5.9", place_by_gather),
    ("5.9", place_token_by_token),
    ("5.10", labels_by_loop),
    ("5.10", labels_by_where),
    ("5.11", greedy_by_for),
    ("5.11", greedy_in_tensors),
    ("5.12", cache_by_torch),
    ("5.12", cache_head_by_head),
    ("5.13", circular_by_letters),
    ("5.13", circular_until_wrong),
    ("5.13", circular_of_the_library),
]


@pytest.mark.parametrize(("exercise_id", "answer"), OTHERS)
def test_another_right_answer_passes(exercise_id, answer):
    for seed in SEEDS:
        verdict = judge(VQA[exercise_id], LocalHandle(answer), seed)
        assert verdict.status == RIGHT, (seed, verdict)


# Mistakes that give the same numbers as one that is listed ---------------------------------------------------------
def agreement_from_three_on(answer, humans):
    return 1 if humans.count(answer) >= 3 else 0


def vocabulary_most_common(training, held_out, k):
    vocabulary = [answer for answer, _ in Counter(training).most_common(k)]
    return vocabulary, sum(answer in vocabulary for answer in held_out) / len(held_out)


def place_over_the_argument(embeds, input_ids, visual, image_token_id):
    if ((input_ids == image_token_id).sum(1) != visual.shape[1]).any():
        raise ValueError("no")
    return embeds.masked_scatter_((input_ids == image_token_id)[..., None], visual)


def labels_without_padding_id(input_ids, prompt_lengths, mask):
    labels = input_ids.masked_fill(torch.arange(input_ids.shape[1]) < prompt_lengths[:, None], -100)
    return labels.masked_fill(input_ids == 2, -100)  # padding has this id, and so has the end


def greedy_until_the_end_is_there(next_logits, prompt, end_token, max_new_tokens):
    new = [int(next_logits(prompt).argmax())]
    while new[-1] != end_token and len(new) < max_new_tokens:
        new.append(int(next_logits(prompt + new).argmax()))
    return new


def test_a_mistake_that_looks_like_a_known_one_gets_a_fitting_sentence():
    for exercise_id, answer, words in (
        ("5.1", agreement_from_three_on, "count for something"),
        ("5.4", vocabulary_most_common, "who came first"),
        ("5.9", place_over_the_argument, "work on a clone"),
        ("5.10", labels_without_padding_id, "never learn to stop"),
        ("5.11", greedy_until_the_end_is_there, "The end token is in the answer"),
    ):
        for seed in SEEDS:
            verdict = judge(VQA[exercise_id], LocalHandle(answer), seed)
            assert verdict.status == WRONG and words in verdict.mistake, (exercise_id, seed, verdict)


def place_with_another_error(embeds, input_ids, visual, image_token_id):
    places = input_ids == image_token_id
    assert (places.sum(dim=1) == visual.shape[1]).all(), "no place"
    return embeds.masked_scatter(places[..., None], visual)


def place_counted_in_other_words(embeds, input_ids, visual, image_token_id):
    if (input_ids == image_token_id).sum() != visual.shape[:2].numel():
        raise ValueError("they differ")
    return embeds.masked_scatter((input_ids == image_token_id)[..., None], visual)


def test_what_should_be_raised_is_named():
    for answer, words in (
        (place_with_another_error, "it was AssertionError: no place"),
        (place_counted_in_other_words, "one row has a place too many and another one too few; nothing was raised"),
    ):
        verdict = judge(VQA["5.9"], LocalHandle(answer))
        assert verdict.status == WRONG and words in verdict.message, verdict


# Agreement with the library and with transformers ------------------------------------------------------------------
def people(rng, words):
    return [rng.choice(words) for _ in range(10)]


def test_scores_are_those_of_the_library():
    rng = random.Random(0)
    for _ in range(300):
        words = ["Two", "two.", "2", "the 2", "cat", "a cat", "don't", "1,000"]
        answer, humans = rng.choice(words), people(rng, words)
        assert reference.agreement_score(answer, humans) == metrics.simple_accuracy(answer, humans)
        got = reference.leave_one_out_score(answer, humans, normalise)
        assert got == pytest.approx(metrics.official_accuracy(answer, humans))
        assert got == pytest.approx(min(0.3 * sum(normalise(each) == normalise(answer) for each in humans), 1))


def test_tidying_is_the_library_s_where_the_exercise_has_its_rules():
    rng = random.Random(0)
    parts = ["The", "a", "An", "theatre", "banana", "two", "Ten", "none", "eleven", "someone", "2", "2.5", ".5",
             "u.s.a.", "$5", "50%", "girl's", "2:50", "Red", "don't"]  # fmt: skip
    for _ in range(2000):
        text = "".join(rng.choice(parts) + rng.choice([" ", "  ", ". ", ", ", "/", "-", " (", ") ", "? ", "!", "; "])
                       for _ in range(rng.randrange(5)))  # fmt: skip
        if re.search(r"\d,\d", text) or set(normalise(text).split()) & {*CONTRACTIONS.values()} - {"don't"}:
            continue
        assert reference.tidy_answer(text) == normalise(text), text


def test_the_frozen_answers_are_tidied_as_in_the_library():
    questions = frozen("balanced")
    for text in {text for question in questions for text in question.answers}:
        assert reference.tidy_answer(text) == normalise(text)


def test_the_ceiling_is_what_no_model_with_this_vocabulary_exceeds():
    questions = frozen("balanced")
    answers = [question.answer for question in questions]
    vocabulary, share = reference.answer_vocabulary(answers, answers, 5)
    best = [answer if answer in vocabulary else vocabulary[0] for answer in answers]
    assert metrics.accuracy(best, answers) == share < 1
    assert reference.answer_vocabulary(answers, answers, 1000)[1] == 1


def test_soft_targets_ask_for_what_the_metric_pays():
    """The loss is least where the probabilities are the scores."""
    humans, vocabulary = [["cat"] * 2 + ["dog"] * 7 + ["bus"]], ["cat", "dog", "kite"]
    scores = torch.tensor([[metrics.simple_accuracy(word, humans[0]) for word in vocabulary]])
    logits = scores.clamp(1e-6, 1 - 1e-6).logit().requires_grad_()
    reference.soft_target_loss(logits, humans, vocabulary).backward()
    assert logits.grad.abs().max() < 1e-5


def test_blind_answers_are_those_of_the_blind_model():
    """Where no text was seen often enough, the library's model answers by pattern too."""
    questions = frozen("unbalanced")
    seen, kept = Counter(), []
    for question in questions:
        seen[question.text] += 1
        kept += [question] if seen[question.text] <= 2 else []
    model, training = BlindModel(kept), [(pattern(question.text), question.answer) for question in kept]
    often = {name for name, count in Counter(name for name, _ in training).items() if count >= 3}
    texts = [question.text for question in frozen("balanced") if pattern(question.text) in often]
    assert len(texts) > 100
    assert reference.blind_answers(training, [pattern(text) for text in texts]) == [model(text) for text in texts]
    assert reference.blind_answers(training, ["Why"]) == [model("Why?")]


def test_one_who_never_looks_gets_no_pair():
    """5.q3."""
    questions = frozen("balanced")
    right = [question.answer for question in questions]
    model = BlindModel(questions)
    given = [model(question.text) for question in questions]
    assert reference.pair_scores(given, right) == (0, 1) and reference.pair_scores(right, right) == (1, 0)
    assert metrics.accuracy(given, right) <= 0.5
    assert VQA["5.q3"].right == "d"


def tiny_llava():
    sizes = {"hidden_size": 24, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
    config = transformers.LlavaConfig(
        vision_config={"model_type": "clip_vision_model", **sizes, "image_size": 28, "patch_size": 14},
        text_config={"model_type": "llama", **sizes, "vocab_size": 60}, image_token_index=50,
    )  # fmt: skip
    torch.manual_seed(0)
    return transformers.LlavaModel(config).eval()


def test_visual_tokens_stand_where_llava_puts_them():
    model, draw = tiny_llava(), Draw(0)
    input_ids, pixels = draw.integers(1, 50, 2, 9), draw.normal(2, 3, 28, 28)
    input_ids[0, 1:5] = input_ids[1, 3:7] = 50
    with torch.no_grad():
        visual = torch.stack(list(model.get_image_features(pixels, return_dict=True).pooler_output))
        embeds = reference.place_visual_tokens(model.get_input_embeddings()(input_ids), input_ids, visual, 50)
        got = model.language_model(inputs_embeds=embeds).last_hidden_state
        wanted = model(input_ids=input_ids, pixel_values=pixels).last_hidden_state
        blind = model(input_ids=input_ids).last_hidden_state
    assert visual.shape == (2, 4, 24) and not torch.allclose(blind, wanted, atol=1e-3)
    torch.testing.assert_close(got, wanted, atol=1e-5, rtol=0)


def tiny_llama():
    sizes = {"hidden_size": 24, "intermediate_size": 40, "num_hidden_layers": 2, "num_attention_heads": 4}
    torch.manual_seed(0)
    config = transformers.LlamaConfig(**sizes, vocab_size=50, eos_token_id=2, pad_token_id=2, bos_token_id=1)
    return transformers.LlamaForCausalLM(config).eval()


def test_labels_make_the_model_s_loss_that_of_the_answers():
    model, input_ids = tiny_llama(), Draw(0).integers(3, 50, 2, 8)
    input_ids[0, 6], input_ids[1, 4:] = 2, 2
    mask = torch.arange(8) < torch.tensor([[7], [5]])
    lengths = torch.tensor([4, 2])
    labels = reference.answer_labels(input_ids, lengths, mask)
    assert torch.equal(labels, reference.answer_labels(input_ids, lengths, mask.long()))  # as a tokenizer gives it
    with torch.no_grad():
        output = model(input_ids=input_ids, attention_mask=mask.long(), labels=labels)
        log_p = output.logits.log_softmax(dim=-1)
    # Each token of an answer is predicted at the place before it, the end token too.
    places = [(0, 4), (0, 5), (0, 6), (1, 2), (1, 3), (1, 4)]
    wanted = -sum(log_p[row, at - 1, input_ids[row, at]] for row, at in places) / len(places)
    torch.testing.assert_close(output.loss, wanted, atol=1e-5, rtol=0)


def test_greedy_generation_is_that_of_transformers():
    model, prompt = tiny_llama(), [1, 7, 11, 2, 5]
    with torch.no_grad():
        wanted = model.generate(torch.tensor([prompt]), do_sample=False, max_new_tokens=12)[0, 5:].tolist()
        got = reference.generate_greedily(lambda ids: model(torch.tensor([ids])).logits[0, -1], prompt, 2, 12)
    assert got == (wanted[: wanted.index(2)] if 2 in wanted else wanted) and len(set(got)) > 1


def test_attention_with_a_cache_is_the_last_row_of_causal_attention():
    draw = Draw(0)
    q, k, v = (draw.normal(3, 6, 8) for _ in range(3))
    wanted = F.scaled_dot_product_attention(q, k, v, is_causal=True)
    keys = values = torch.zeros(3, 0, 8)
    theirs = transformers.DynamicCache()
    for at in range(6):
        found, keys, values = reference.attend_with_cache(q[:, at], k[:, at], v[:, at], keys, values)
        torch.testing.assert_close(found, wanted[:, at], atol=1e-5, rtol=0)
        held = theirs.update(k[None, :, at : at + 1], v[None, :, at : at + 1], 0)
        assert torch.equal(held[0][0], keys) and torch.equal(held[1][0], values)


def test_circular_scores_are_those_of_the_library():
    rng = random.Random(0)
    questions = [(f"q{i}", rng.sample(["cat", "dog", "bus", "kite", "cup"], n), "ABCD"[i % n])
                 for i, n in enumerate([2, 3, 4] * 20)]  # fmt: skip

    def reply(text, options):
        truth = next(each for name, each in ((q[0], q[1]["ABCD".index(q[2])]) for q in questions) if name == text)
        return "A" if random.Random(text + options[0]).random() < 0.2 else "ABCD"[options.index(truth)]

    assert reference.circular_score(reply, questions) == pytest.approx(circular_of_the_library(reply, questions))
    once, always = reference.circular_score(reply, questions)
    assert 0 < always < once < 1
    often = sum(right == "A" for _, _, right in questions) / len(questions)
    assert reference.circular_score(lambda text, options: "A", questions) == (often, 0) and often > 0.2


# What the questions say --------------------------------------------------------------------------------------------
def test_what_never_looking_scores():
    """5.q2 and 5.q3: the figures of the data's own page."""
    page = (data_dir() / "vqa" / "README.md").read_text(encoding="utf-8")
    *_, balanced, unbalanced = re.search(r"^\| all \|(.*)\|$", page, flags=re.MULTILINE)[1].split("|")
    assert (round(100 * float(balanced)), round(100 * float(unbalanced))) == (36, 71)
    assert "71 %" in VQA["5.q2"].question and "36 %" in VQA["5.q2"].explains["b"]
    assert "36 %" in VQA["5.q3"].explains["d"] and VQA["5.q2"].right == "b"


def test_tokens_that_go_through_the_layers():
    """5.q5."""
    assert sum(600 + n for n in range(20)) == 12_190 and 600 + 19 == 619
    assert "619" in VQA["5.q5"].explains["b"] and "12,190" in VQA["5.q5"].explains["b"]


def test_what_the_model_answers_say_of_the_metric():
    """5.w1."""
    assert normalise("Two.") == "2"
    assert metrics.simple_accuracy("dog", ["dog"] * 3 + ["cat"] * 7) == 1
    assert metrics.official_accuracy("dog", ["dog"] * 3 + ["cat"] * 7) == pytest.approx(0.9)
    assert metrics.official_accuracy("dog", ["dog"] * 4 + ["cat"] * 6) == 1
    assert metrics.official_accuracy("it is a puppy", ["dog"] * 10) == 0


def test_the_right_option_is_not_always_at_the_same_place():
    assert {entry.right for entry in VQA.values() if isinstance(entry, Choice)} == {"a", "b", "c", "d"}


def test_the_written_questions_ask_what_the_syllabus_asks():
    for name, words in (
        ("5.w1", ("two capabilities", "in principle", "one deployment where the classifier is better", "VQAv2 metric")),
        ("5.w2", ("three images", "caption", "cannot answer", "second VLM", "agree", "differ", "refuse", "guess",
                  "hallucinate")),
    ):  # fmt: skip
        assert all(word in VQA[name].question for word in words)
        assert 150 < len(VQA[name].model_answer.split()) < 260


def test_no_name_is_that_of_the_library():
    """A learner's function must not take the place of what the notebook imports."""
    names = {entry.load_reference().__name__ for entry in VQA.values() if isinstance(entry, Exercise)}
    assert len(names) == 13 and not names & {*vars(metrics), "normalise", "BlindModel", "vqa_set", "pattern"}
