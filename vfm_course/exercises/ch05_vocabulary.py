"""Notebook 05, what a fixed list of answers can score at most: 5.4."""

from __future__ import annotations

from vfm_course.exercises.judge import expect_close, expect_equal, expect_several
from vfm_course.exercises.record import Exercise, Mistake

_REFERENCE = "vfm_course.solutions.ch05_vqa:"
_ANSWERS = ["apple", "black", "cat", "dog", "green", "left", "no", "red", "two", "white", "yellow", "yes"]


# 5.4 ---------------------------------------------------------------------------------------------------------------
def check_vocabulary(answer, draw):
    unseen, *rest = draw.pick(_ANSWERS, 7)
    rare = max(rest)
    rest.remove(rare)
    three, (second, often) = sorted(rest[:3]), sorted(rest[3:])  # by frequency they are not in alphabetical order
    # Three share the last place, and the one that is met first is neither the first nor the last in the alphabet.
    later = [often] * 5 + [second] * 4 + [*three, three[0], three[2], rare]
    training = [three[1], *draw.pick(later, len(later))]
    held_out = draw.pick([often] * 2 + [unseen] * 4 + [second, three[0], three[2], rare], 10)
    cases = ((3, 4), (1, 2))
    # Both are asked about before either is judged: one alone may be that of two mistakes.
    answers = [answer(training, held_out, k) for k, _ in cases]
    for (k, covered), got in zip(cases, answers, strict=True):
        vocabulary, share = expect_several(got, 2, "The answer (vocabulary, share)")
        vocabulary = list(vocabulary) if isinstance(vocabulary, tuple) else vocabulary
        expect_equal(vocabulary, [often, second, three[0]][:k], f"The vocabulary for k = {k}")
        expect_close(share, covered / 10, f"The share of the 10 held-out questions that is covered for k = {k}")


def _most_frequent(answers, k=None):
    return sorted(set(answers), key=lambda answer: (-answers.count(answer), answer))[:k]


def _covered(vocabulary, answers):
    return sum(answer in vocabulary for answer in answers) / len(answers)


def vocabulary_ties_by_place(training, held_out, k):
    vocabulary = sorted(dict.fromkeys(training), key=lambda answer: -training.count(answer))[:k]
    return vocabulary, _covered(vocabulary, held_out)


def vocabulary_ties_backwards(training, held_out, k):
    vocabulary = sorted(set(training), key=lambda answer: (training.count(answer), answer), reverse=True)[:k]
    return vocabulary, _covered(vocabulary, held_out)


def vocabulary_alphabetical(training, held_out, k):
    vocabulary = sorted(_most_frequent(training, k))
    return vocabulary, _covered(vocabulary, held_out)


def vocabulary_first_in_alphabet(training, held_out, k):
    vocabulary = sorted(set(training))[:k]
    return vocabulary, _covered(vocabulary, held_out)


def vocabulary_rarest(training, held_out, k):
    vocabulary = sorted(set(training), key=lambda answer: (training.count(answer), answer))[:k]
    return vocabulary, _covered(vocabulary, held_out)


def vocabulary_all(training, held_out, k):
    vocabulary = _most_frequent(training)
    return vocabulary, _covered(vocabulary, held_out)


def vocabulary_of_both(training, held_out, k):
    vocabulary = _most_frequent([*training, *held_out], k)
    return vocabulary, _covered(vocabulary, held_out)


def vocabulary_distinct(training, held_out, k):
    vocabulary = _most_frequent(training, k)
    return vocabulary, _covered(vocabulary, list(set(held_out)))


def vocabulary_covers_training(training, held_out, k):
    vocabulary = _most_frequent(training, k)
    return vocabulary, _covered(vocabulary, training)


def vocabulary_used(training, held_out, k):
    vocabulary = _most_frequent(training, k)
    return vocabulary, _covered(held_out, vocabulary)


def vocabulary_count(training, held_out, k):
    vocabulary = _most_frequent(training, k)
    return vocabulary, sum(answer in vocabulary for answer in held_out)


EXERCISES = (
    Exercise(
        id="5.4",
        notebook="05",
        title="The ceiling of a fixed vocabulary",
        level="B",
        minutes=6,
        points=2,
        hints=(
            "Sort the different answers by `(-count, answer)`: the most frequent first, equals by the alphabet.",
            "The share counts questions, not different answers: `sum(a in vocabulary for a in held_out)`.",
        ),
        reference=_REFERENCE + "answer_vocabulary",
        check=check_vocabulary,
        mistakes=(
            Mistake(
                vocabulary_ties_by_place,
                "Ties were decided by who came first, as `Counter.most_common` does; the alphabet should decide.",
            ),
            Mistake(
                vocabulary_ties_backwards,
                "Ties were decided by the alphabet backwards: with `reverse=True` both parts of the key turn round.",
            ),
            Mistake(
                vocabulary_alphabetical, "The vocabulary is not in order of frequency: the most frequent comes first."
            ),
            Mistake(vocabulary_first_in_alphabet, "These are the first in the alphabet; the most frequent are wanted."),
            Mistake(vocabulary_rarest, "These are the rarest answers: the sort should go down, not up."),
            Mistake(vocabulary_all, "`k` is not used: the vocabulary holds every answer of the training set."),
            Mistake(
                vocabulary_of_both,
                "The held-out answers were counted too: the ceiling would be set by what should test it.",
            ),
            Mistake(
                vocabulary_distinct,
                "Each different held-out answer was counted once; each question counts, so frequent answers do more.",
            ),
            Mistake(
                vocabulary_covers_training, "This is the share of the training questions; the held-out ones count."
            ),
            Mistake(
                vocabulary_used,
                "This is the share of the vocabulary that occurs among the held-out answers, the other way round.",
            ),
            Mistake(vocabulary_count, "This is how many questions are covered; divide by all held-out questions."),
        ),
    ),
)
