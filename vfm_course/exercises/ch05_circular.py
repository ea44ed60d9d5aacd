"""Notebook 05, a choice that must not depend on the order of the options: 5.13."""

from __future__ import annotations

from itertools import permutations

from vfm_course.exercises.judge import expect_close, expect_several
from vfm_course.exercises.record import Exercise, Mistake

_REFERENCE = "vfm_course.solutions.ch05_vqa:"
_OPTIONS = ["apple", "boat", "cat", "dog", "house", "kite", "plane", "truck"]
# What a model does with a question, and how often that occurs in the set.
_HABITS = {"knows": 2, "knows in rotations": 1, "first by luck": 1, "first": 1, "slips": 2, "slips at first": 3,
           "wrong": 1}  # fmt: skip


# 5.13 --------------------------------------------------------------------------------------------------------------
def check_circular(answer, draw):
    questions, ways = [], {}
    for habit, count in _HABITS.items():
        for _ in range(count):
            options = draw.pick(_OPTIONS, 3 + (habit in ("slips", "slips at first")))
            truth = 0 if habit == "first by luck" else draw.integer(1, len(options))
            text = f"Question {len(questions) + 1}: what is it?"
            questions.append((text, options, "ABCD"[truth]))
            ways[text] = habit, list(options), options[truth]
    got = answer(_model(ways), draw.pick(questions, len(questions)))
    once, always = expect_several(got, 2, "The answer (once, always)")
    knows = _HABITS["knows"] + _HABITS["knows in rotations"]
    want = (knows + _HABITS["first by luck"] + _HABITS["slips"]) / len(questions)
    expect_close(once, want, "The share of questions that are right in the order given")
    expect_close(always, knows / len(questions), "The share of questions that are right in every rotation")


def _model(ways):
    def reply(text, options):
        habit, original, truth = ways[text]
        order = list(options)
        turned = original.index(order[0])
        knows = True
        if habit == "knows in rotations":
            knows = order == original[turned:] + original[:turned]
        elif habit in ("slips", "slips at first"):
            knows = order[0] != original[2 if habit == "slips" else 0]
        if habit.startswith("first"):
            return "A"
        if habit == "wrong" or not knows:
            return "ABCD"[(order.index(truth) + 1) % len(order)]
        return "ABCD"[order.index(truth)]

    return reply


def _rotations(options):
    return [options[k:] + options[:k] for k in range(len(options))]


def _hits(reply, question, orders=None):
    """Whether the reply is right in each order, by the option that its letter names there."""
    text, options, right = question
    truth = options["ABCD".index(right)]
    return [order["ABCD".index(reply(text, order))] == truth for order in orders or _rotations(options)]


def _share(values):
    return sum(values) / len(values)


def _once(reply, questions):
    return _share([_hits(reply, each)[0] for each in questions])


def circular_same_letter(reply, questions):
    hits = [[reply(text, order) == right for order in _rotations(options)] for text, options, right in questions]
    return _share([each[0] for each in hits]), _share([all(each) for each in hits])


def circular_any(reply, questions):
    return _once(reply, questions), _share([any(_hits(reply, each)) for each in questions])


def circular_mean(reply, questions):
    return _once(reply, questions), _share([_share(_hits(reply, each)) for each in questions])


def circular_all_replies(reply, questions):
    hits = [hit for each in questions for hit in _hits(reply, each)]
    return _once(reply, questions), _share(hits)


def circular_most(reply, questions):
    return _once(reply, questions), _share([_share(_hits(reply, each)) > 0.5 for each in questions])


def circular_not_the_first(reply, questions):
    return _once(reply, questions), _share([all(_hits(reply, each)[1:]) for each in questions])


def circular_not_the_last(reply, questions):
    return _once(reply, questions), _share([all(_hits(reply, each)[:2]) for each in questions])


def circular_permutations(reply, questions):
    hits = [_hits(reply, each, [list(order) for order in permutations(each[1])]) for each in questions]
    return _once(reply, questions), _share([all(each) for each in hits])


def circular_backwards(reply, questions):
    hits = [_hits(reply, each, [each[1], each[1][::-1]]) for each in questions]
    return _once(reply, questions), _share([all(each) for each in hits])


def circular_swapped(reply, questions):
    return _share([all(_hits(reply, each)) for each in questions]), _once(reply, questions)


def circular_counted(reply, questions):
    hits = [_hits(reply, each) for each in questions]
    return sum(each[0] for each in hits), sum(all(each) for each in hits)


EXERCISES = (
    Exercise(
        id="5.13",
        notebook="05",
        title="Right in every order",
        level="A",
        minutes=12,
        points=3,
        hints=(
            "`options[k:] + options[:k]` is rotation k; rotation 0 is the order given.",
            "A letter means something else in each order: `order[ord(letter) - ord('A')]` is the option that it names.",
            "Compare that option with the right one, a text; then `hits[0]` and `all(hits)` for each question.",
        ),
        reference=_REFERENCE + "circular_score",
        check=check_circular,
        mistakes=(
            Mistake(
                circular_same_letter,
                "The right letter was kept while the options moved: compare the options, not the letters.",
            ),
            Mistake(circular_any, "One rotation is not enough: whoever always says A is right in one of them."),
            Mistake(circular_mean, "This is the mean over the rotations; a question counts only if all are right."),
            Mistake(circular_all_replies, "Single replies were counted; a question counts as a whole, right or not."),
            Mistake(circular_most, "Most rotations are not enough: all have to be right."),
            Mistake(circular_not_the_first, "The order given was left out; it is one of the rotations."),
            Mistake(circular_not_the_last, "Only the first two orders were asked; there are as many as options."),
            Mistake(
                circular_permutations, "Every possible order was asked; there are only as many rotations as options."
            ),
            Mistake(circular_backwards, "The options were turned back to front; a rotation moves them round."),
            Mistake(circular_swapped, "The two shares are in the wrong order: the order given comes first."),
            Mistake(circular_counted, "These are numbers of questions; shares are wanted."),
        ),
    ),
)
