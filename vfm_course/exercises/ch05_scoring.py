"""Notebook 05, how an answer is scored that ten people gave too: 5.1 and 5.3."""

from __future__ import annotations

from vfm_course.exercises.judge import expect_close
from vfm_course.exercises.record import Exercise, Mistake

_REFERENCE = "vfm_course.solutions.ch05_vqa:"
_WORDS = ["red", "blue", "cat", "dog", "left", "bus", "kite", "soup", "yes", "green"]


# 5.1 ---------------------------------------------------------------------------------------------------------------
def check_agreement(answer, draw):
    cases = []
    for said in (0, 1, 2, 3, draw.integer(4, 8)):
        word, other = draw.pick(_WORDS, 2)
        humans = [word] * said + [f"dark {word}"] * 2 + [word.title()] + [other] * (7 - said)
        cases.append((said, word, draw.pick(humans, 10)))
    # All are asked about before one is judged: one number alone may be that of two mistakes.
    answers = [answer(word, humans) for _, word, humans in cases]
    for (said, _, _), got in zip(cases, answers, strict=True):
        expect_close(got, (0, 1 / 3, 2 / 3, 1)[min(said, 3)], f"The score of what {said} of ten people said")


def agreement_share(answer, humans):
    return humans.count(answer) / len(humans)


def agreement_not_capped(answer, humans):
    return humans.count(answer) / 3


def agreement_all_or_nothing(answer, humans):
    return min(humans.count(answer) // 3, 1)


def agreement_anybody(answer, humans):
    return float(answer in humans)


def agreement_most_frequent(answer, humans):
    return float(humans.count(answer) == max(humans.count(human) for human in humans))


def agreement_of_four(answer, humans):
    return min(humans.count(answer) / 4, 1)


def agreement_inside(answer, humans):
    return min(sum(answer in human for human in humans) / 3, 1)


def agreement_any_case(answer, humans):
    return min(sum(answer.lower() == human.lower() for human in humans) / 3, 1)


def agreement_percent(answer, humans):
    return 100 * min(humans.count(answer) / 3, 1)


def agreement_left_out(answer, humans):
    said = humans.count(answer)
    return sum(min((said - (human == answer)) / 3, 1) for human in humans) / len(humans)


# 5.3 ---------------------------------------------------------------------------------------------------------------
def check_left_out(answer, draw):
    cases = []
    for said in range(6):
        word, *others = draw.pick(_WORDS, 4)
        ways = (word, f" {word} ", word.title(), word, word.upper())
        humans = [*ways[:said], *(draw.pick(others, 1)[0] for _ in range(10 - said))]
        cases.append((said, word.title(), draw.pick(humans, 10)))
    # All are asked about before one is judged: one number alone may be that of two mistakes.
    answers = [answer(word, humans, _lower) for _, word, humans in cases]
    for (said, _, _), got in zip(cases, answers, strict=True):
        what = f"The official score of what {said} of ten people said, in upper or lower case,"
        expect_close(got, min(0.3 * said, 1), what)


def _lower(text):
    return text.strip().lower()


def _mean_left_out(agree):
    return sum(min((sum(agree) - this) / 3, 1) for this in agree) / len(agree)


def left_out_nobody(answer, humans, tidy):
    return min(sum(tidy(human) == tidy(answer) for human in humans) / 3, 1)


def left_out_answer_untidy(answer, humans, tidy):
    return _mean_left_out([tidy(human) == answer for human in humans])


def left_out_humans_untidy(answer, humans, tidy):
    return _mean_left_out([human == tidy(answer) for human in humans])


def left_out_untidy(answer, humans, tidy):
    return _mean_left_out([human == answer for human in humans])


def left_out_not_capped(answer, humans, tidy):
    agree = [tidy(human) == tidy(answer) for human in humans]
    return sum((sum(agree) - this) / 3 for this in agree) / len(agree)


def left_out_those_who_agree(answer, humans, tidy):
    said = sum(tidy(human) == tidy(answer) for human in humans)
    return min(max(said - 1, 0) / 3, 1)


def left_out_summed(answer, humans, tidy):
    agree = [tidy(human) == tidy(answer) for human in humans]
    return sum(min((sum(agree) - this) / 3, 1) for this in agree)


def left_out_over_nine(answer, humans, tidy):
    agree = [tidy(human) == tidy(answer) for human in humans]
    return sum((sum(agree) - this) / (len(agree) - 1) for this in agree) / len(agree)


def left_out_all_or_nothing(answer, humans, tidy):
    agree = [tidy(human) == tidy(answer) for human in humans]
    return sum(sum(agree) - this >= 3 for this in agree) / len(agree)


EXERCISES = (
    Exercise(
        id="5.1",
        notebook="05",
        title="Three of ten are enough",
        level="B",
        minutes=3,
        points=1,
        hints=(
            "`humans.count(answer)` is the number of people who said exactly this.",
            "A third for each of them, and never more than 1: `min(…, 1)`.",
        ),
        reference=_REFERENCE + "agreement_score",
        check=check_agreement,
        mistakes=(
            Mistake(agreement_share, "This is the share of all ten; three of them are enough for a full score."),
            Mistake(agreement_not_capped, "The score goes above 1 where more than three people agree: take the `min`."),
            Mistake(
                agreement_all_or_nothing,
                "One person and two people count for something too: a third and two thirds.",
            ),
            Mistake(
                agreement_anybody, "One person is not enough for a full score: each of the first three is a third."
            ),
            Mistake(
                agreement_most_frequent,
                "An answer need not be the most frequent one: three people who said it make it right.",
            ),
            Mistake(agreement_of_four, "The number of people is divided by 4; three are enough."),
            Mistake(agreement_inside, 'An answer counts only where it is the whole answer: "dark red" is not "red".'),
            Mistake(agreement_any_case, "Upper and lower case were taken for the same; here nothing is tidied yet."),
            Mistake(agreement_percent, "This is in percent; the score lies between 0 and 1."),
            Mistake(agreement_left_out, "This averages over the ten who are left out in turn: that is for 5.3."),
        ),
    ),
    Exercise(
        id="5.3",
        notebook="05",
        title="The official accuracy",
        level="I",
        minutes=8,
        points=2,
        hints=(
            "First a list of ten truths: does this person, tidied, agree with the answer, tidied?",
            "Leaving a person out takes one from the sum if that person agrees: `sum(agree) - this`.",
            "`min(… / 3, 1)` for each of the ten, then their mean.",
        ),
        reference=_REFERENCE + "leave_one_out_score",
        check=check_left_out,
        mistakes=(
            Mistake(left_out_nobody, "Nobody is left out: this is the simple score of the tidied answers."),
            Mistake(left_out_answer_untidy, "People's answers were tidied, the model's was not."),
            Mistake(left_out_humans_untidy, "The model's answer was tidied, people's were not."),
            Mistake(left_out_untidy, "`tidy` is not used, neither on the answer nor on people's."),
            Mistake(left_out_not_capped, "The scores of the subsets go above 1: each is `min(… / 3, 1)`."),
            Mistake(
                left_out_those_who_agree,
                "Only people who agree were left out; where one of the others is, all who agree are still there.",
            ),
            Mistake(left_out_summed, "This is the sum of the ten scores; divide by ten."),
            Mistake(left_out_over_nine, "This is the share of the nine who agree; three of the nine are enough."),
            Mistake(left_out_all_or_nothing, "One or two of the nine count too: a third for each, up to 1."),
        ),
    ),
)
