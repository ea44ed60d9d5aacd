"""Notebook 05, one spelling for answers that mean the same: 5.2."""

from __future__ import annotations

import re

from vfm_course.exercises.judge import expect_equal
from vfm_course.exercises.record import Exercise, Mistake

_REFERENCE = "vfm_course.solutions.ch05_vqa:"


# 5.2 ---------------------------------------------------------------------------------------------------------------
def check_tidy(answer, draw):
    colour, other, thing = draw.pick(["red", "blue", "green", "grey"], 2) + draw.pick(["cat", "dog", "bus", "kite"], 1)
    (one, first), (two, second) = draw.pick(list(_NUMBERS.items())[:11], 2)
    whole, part = draw.integer(2, 10), draw.integer(2, 10)
    cases = {
        f"The {thing.title()}.": thing,
        f"{one.upper()}, or {two}?": f"{first} or {second}",
        f"{colour}/{other}": f"{colour} {other}",
        f"{colour}-{other} {thing}!": f"{colour} {other} {thing}",
        f"{whole}.{part} kg.": f"{whole}.{part} kg",
        f"(a)  {thing} ": thing,
        f"{thing} in the U.S.A.": f"{thing} in usa",
        f"${whole}; {thing}'s": f"${whole} {thing}'s",
        f"pizza and stone for {two}": f"pizza and stone for {second}",
        "None": "0",
        "An": "",
    }
    # All are asked about before one is judged: most mistakes show in a few of them.
    answers = [answer(text) for text in cases]
    for (text, want), got in zip(cases.items(), answers, strict=True):
        expect_equal(got, want, f'What becomes of "{text}"')


_SIGNS = ",;?!/-()"
_ARTICLES = ("a", "an", "the")
_NUMBERS = {
    "zero": "0", "one": "1", "two": "2", "three": "3", "four": "4", "five": "5", "six": "6", "seven": "7",
    "eight": "8", "nine": "9", "ten": "10", "none": "0",
}  # fmt: skip


def _plain(answer, periods=r"\.(?!\d)", instead="", gap=" "):
    """Lower case, without periods and signs."""
    text = re.sub(periods, instead, answer.lower())
    return "".join(gap if sign in _SIGNS else sign for sign in text)


def _joined(words, numbers=_NUMBERS, articles=_ARTICLES):
    return " ".join(numbers.get(word, word) for word in words if word not in articles)


def tidy_case_kept(answer):
    text = re.sub(r"\.(?!\d)", "", answer)
    return _joined("".join(" " if sign in _SIGNS else sign for sign in text).split())


def tidy_all_periods(answer):
    return _joined(_plain(answer, periods=r"\.").split())


def tidy_last_period(answer):
    return _joined(_plain(answer, periods=r"\.$").split())


def tidy_period_to_space(answer):
    return _joined(_plain(answer, instead=" ").split())


def tidy_glued(answer):
    return _joined(_plain(answer, gap="").split())


def tidy_all_signs(answer):
    text = re.sub(r"\.(?!\d)", "", answer.lower())
    return _joined(re.sub(r"[^a-z0-9.]", " ", text).split())


def tidy_numbers_kept(answer):
    return _joined(_plain(answer).split(), numbers={})


def tidy_no_none(answer):
    return _joined(_plain(answer).split(), numbers={word: n for word, n in _NUMBERS.items() if word != "none"})


def tidy_numbers_inside(answer):
    text = _plain(answer)
    for word, number in _NUMBERS.items():
        text = text.replace(word, number)
    return _joined(text.split())


def tidy_articles_kept(answer):
    return _joined(_plain(answer).split(), articles=())


def tidy_articles_inside(answer):
    text = " ".join(_plain(answer).split())
    for article in ("the ", "an ", "a "):
        text = text.replace(article, "")
    return _joined(text.split())


def tidy_words_first(answer):
    return " ".join(_plain(_joined(answer.lower().split())).split())


def tidy_not_squeezed(answer):
    return _joined(_plain(answer).split(" "))


EXERCISES = (
    Exercise(
        id="5.2",
        notebook="05",
        title="One spelling for one answer",
        level="I",
        minutes=10,
        points=3,
        hints=(
            "First the signs, then the words: the word rules look at `text.split()`, when no sign is left in the way.",
            "A period goes unless `text[i + 1 : i + 2].isdigit()`; with `re` it is `re.sub(r'\\.(?!\\d)', '', text)`.",
            "`numbers.get(word, word)` gives the digit of a number word, and any other word as it is.",
        ),
        reference=_REFERENCE + "tidy_answer",
        check=check_tidy,
        mistakes=(
            Mistake(tidy_case_kept, "Capitals are still there: begin with `lower()`."),
            Mistake(tidy_all_periods, "The period of 2.5 went too; before a digit it stays."),
            Mistake(tidy_last_period, "Only the last period went; each goes that has no digit behind it."),
            Mistake(tidy_period_to_space, "A period leaves a space behind; it should leave nothing, as in usa."),
            Mistake(tidy_glued, "Words around a sign were glued together: a sign becomes a space."),
            Mistake(tidy_all_signs, "Signs with a meaning went too: $ and the apostrophe, for example, stay."),
            Mistake(tidy_numbers_kept, "Number words stayed; they should become digits."),
            Mistake(tidy_no_none, '"none" is a number too: it becomes 0.'),
            Mistake(tidy_numbers_inside, "Number words inside other words were replaced: there is a one in stone."),
            Mistake(tidy_articles_kept, "The articles a, an and the are still there."),
            Mistake(tidy_articles_inside, "Letters went that only end another word, as the a of pizza: compare words."),
            Mistake(
                tidy_words_first,
                'Words were looked at before the signs had gone: "two," is no number word and "(a)" no article.',
            ),
            Mistake(tidy_not_squeezed, "There are spaces too many: `split()` without an argument leaves none."),
        ),
    ),
)
