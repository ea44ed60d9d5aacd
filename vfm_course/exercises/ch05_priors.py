"""Notebook 05, what can be answered without looking: 5.7 and 5.8."""

from __future__ import annotations

from vfm_course.exercises.judge import expect_close, expect_equal, expect_several
from vfm_course.exercises.record import Exercise, Mistake

_REFERENCE = "vfm_course.solutions.ch05_vqa:"
_PATTERNS = [
    "What colour is the -", "Is there a -", "How many - are there", "What is left of the -", "Is the - behind the -",
    "Which - is above the -", "Are there more - than -",
]  # fmt: skip
_ANSWERS = ["apple", "black", "cat", "dog", "green", "left", "no", "red", "two", "white", "yellow", "yes"]


# 5.7 ---------------------------------------------------------------------------------------------------------------
def check_blind(answer, draw):
    clear, also_clear, one_tie, other_tie, new = draw.pick(_PATTERNS, 5)
    most, often, second, *tied = draw.pick(_ANSWERS, 7)
    low, high, low_first, high_second = *sorted(tied[:2]), *sorted(tied[2:])
    # `most` is the most frequent of all and of no pattern. The two ties are met in opposite orders.
    first = [(clear, most), (also_clear, most), (one_tie, high), (other_tie, low_first)]
    middle = [(clear, often)] * 3 + [(also_clear, second)] * 3 + [(one_tie, high), (other_tie, low_first)]
    middle += [(one_tie, low), (other_tie, high_second), (other_tie, high_second)]
    last = [(clear, most), (also_clear, most), (one_tie, low), (other_tie, most)]
    training = [*first, *draw.pick(middle, len(middle)), *draw.pick(last, 4)]
    want = {clear: often, also_clear: second, one_tie: low, other_tie: low_first, new: most}
    asked = draw.pick([*want, clear, new], 7)
    expect_equal(_listed(answer(training, asked)), [want[each] for each in asked], "The list of answers")


def _listed(got):
    return list(got) if isinstance(got, tuple) else got


def _counted(training):
    """Pattern -> answer -> how often; None stands for all patterns."""
    seen = {None: {}}
    for pattern, answer in training:
        for key in (pattern, None):
            counts = seen.setdefault(key, {})
            counts[answer] = counts.get(answer, 0) + 1
    return seen


def _best(counts):
    return min(counts, key=lambda answer: (-counts[answer], answer))


def blind_to_questions(training, patterns):
    return [_best(_counted(training)[None]) for _ in patterns]


def blind_no_fallback(training, patterns):
    seen = _counted(training)
    return [_best(seen[pattern]) for pattern in patterns]


def blind_empty(training, patterns):
    seen = _counted(training)
    return [_best(seen[pattern]) if pattern in seen else "" for pattern in patterns]


def blind_ties_by_place(training, patterns):
    seen = _counted(training)
    found = [seen.get(pattern, seen[None]) for pattern in patterns]
    return [max(counts, key=counts.get) for counts in found]


def blind_ties_backwards(training, patterns):
    seen = _counted(training)
    found = [seen.get(pattern, seen[None]) for pattern in patterns]
    return [max(counts, key=lambda answer: (counts[answer], answer)) for counts in found]


def blind_first(training, patterns):
    seen = _counted(training)
    return [next(iter(seen.get(pattern, seen[None]))) for pattern in patterns]


def blind_last(training, patterns):
    last = dict(training)
    return [last.get(pattern, _best(_counted(training)[None])) for pattern in patterns]


def blind_rarest(training, patterns):
    seen = _counted(training)
    found = [seen.get(pattern, seen[None]) for pattern in patterns]
    return [min(counts, key=lambda answer: (counts[answer], answer)) for counts in found]


def blind_each_once(training, patterns):
    seen = _counted(training)
    return [_best(seen.get(pattern, seen[None])) for pattern in dict.fromkeys(patterns)]


def blind_fallback_of_patterns(training, patterns):
    seen = _counted(training)
    winners = _counted([(key, _best(counts)) for key, counts in seen.items() if key is not None])
    return [_best(seen.get(pattern, winners[None])) for pattern in patterns]


# 5.8 ---------------------------------------------------------------------------------------------------------------
def check_pairs(answer, draw):
    # How often: both right; the same twice and the first or the second right; one right, not the same; none right.
    sets = [_pairs(draw, counts) for counts in ((3, 2, 1, 1, 1, 1), (2, 1, 1, 3, 2, 1))]
    # Both are asked about before either is judged: one alone may be that of two mistakes.
    answers = [answer(given, right) for given, right, _ in sets]
    for (_, _, counts), got in zip(sets, answers, strict=True):
        both, same = expect_several(got, 2, "The answer (both right, twice the same)")
        expect_close(both, counts[0] / sum(counts), f"The share of {sum(counts)} pairs with both answers right")
        expect_close(
            same, sum(counts[1:3] + counts[4:5]) / sum(counts), "The share of pairs with twice the same answer"
        )


def _pairs(draw, counts):
    pairs = []
    for kind, count in enumerate(counts):
        for _ in range(count):
            a, b, c, d = draw.pick(_ANSWERS, 4)
            pairs.append((((a, b), (a, a), (b, b), (a, c), (c, c), (c, d))[kind], (a, b)))
    pairs = draw.pick(pairs, len(pairs))
    return [x for given, _ in pairs for x in given], [x for _, right in pairs for x in right], counts


def _hits(given, right):
    return [one == other for one, other in zip(given, right, strict=True)]


def _same(given):
    return sum(one == other for one, other in zip(given[::2], given[1::2], strict=True)) / (len(given) / 2)


def _both(given, right):
    hits = _hits(given, right)
    return sum(one and other for one, other in zip(hits[::2], hits[1::2], strict=True)) / (len(given) / 2)


def pairs_single(given, right):
    return sum(_hits(given, right)) / len(given), _same(given)


def pairs_either(given, right):
    hits = _hits(given, right)
    return sum(one or other for one, other in zip(hits[::2], hits[1::2], strict=True)) / (len(given) / 2), _same(given)


def pairs_squared(given, right):
    return (sum(_hits(given, right)) / len(given)) ** 2, _same(given)


def pairs_over_questions(given, right):
    return _both(given, right) / 2, _same(given) / 2


def pairs_counted(given, right):
    return round(_both(given, right) * len(given) / 2), round(_same(given) * len(given) / 2)


def pairs_of_halves(given, right):
    half, hits = len(given) // 2, _hits(given, right)
    both = sum(hits[i] and hits[i + half] for i in range(half)) / half
    return both, sum(given[i] == given[i + half] for i in range(half)) / half


def pairs_of_neighbours(given, right):
    last, hits = len(given) - 1, _hits(given, right)
    both = sum(hits[i] and hits[i + 1] for i in range(last)) / last
    return both, sum(given[i] == given[i + 1] for i in range(last)) / last


def pairs_same_hits(given, right):
    return _both(given, right), _same(_hits(given, right))


def pairs_same_and_right(given, right):
    rows = zip(given[::2], given[1::2], right[::2], right[1::2], strict=True)
    return _both(given, right), sum(a == b and a in (c, d) for a, b, c, d in rows) / (len(given) / 2)


def pairs_different(given, right):
    return _both(given, right), 1 - _same(given)


def pairs_swapped(given, right):
    return _same(given), _both(given, right)


EXERCISES = (
    Exercise(
        id="5.7",
        notebook="05",
        title="A model that never looks",
        level="B",
        minutes=8,
        points=2,
        hints=(
            "Count twice for each pair: the answer for its pattern, and the answer for all patterns together.",
            "`min(counts, key=lambda answer: (-counts[answer], answer))`: the most frequent, equals by the alphabet.",
            "`seen.get(pattern, everything)` falls back where a pattern is new.",
        ),
        reference=_REFERENCE + "blind_answers",
        check=check_blind,
        mistakes=(
            Mistake(blind_to_questions, "All questions get one answer: count for each pattern on its own first."),
            Mistake(
                blind_no_fallback, "A pattern that was never seen is looked up as it is: fall back on all answers."
            ),
            Mistake(blind_empty, "A new pattern gets an empty answer; the most frequent of all is a better guess."),
            Mistake(
                blind_ties_by_place,
                "Ties were decided by who came first, as `max` and `Counter.most_common` do; the alphabet should "
                "decide.",
            ),
            Mistake(blind_ties_backwards, "Ties were decided by the alphabet backwards: the first should win."),
            Mistake(blind_first, "These are the first answers that were met; count, and take the most frequent."),
            Mistake(
                blind_last, "A dict of the pairs keeps the last answer of each pattern; the most frequent is wanted."
            ),
            Mistake(blind_rarest, "These are the rarest answers; the most frequent are wanted."),
            Mistake(
                blind_each_once, "A pattern that is asked twice got one answer: the list is as long as `patterns`."
            ),
            Mistake(
                blind_fallback_of_patterns,
                "A new pattern gets the answer that wins most patterns; the most frequent of all pairs is wanted.",
            ),
        ),
    ),
    Exercise(
        id="5.8",
        notebook="05",
        title="One question, two pictures",
        level="I",
        minutes=6,
        points=2,
        hints=(
            "`given[::2]` and `given[1::2]` are the first and the second answers of all pairs.",
            "Both right: the two given answers are the two right ones. Twice the same: the given answers are equal.",
        ),
        reference=_REFERENCE + "pair_scores",
        check=check_pairs,
        mistakes=(
            Mistake(pairs_single, "This is the share of questions that are right; both of a pair have to be."),
            Mistake(pairs_either, "One right answer is not enough: a model that never looks has one of two easily."),
            Mistake(
                pairs_squared,
                "The accuracy was squared, as if the two answers of a pair had nothing to do with each other; count "
                "pairs.",
            ),
            Mistake(
                pairs_over_questions, "The pairs were divided by the number of questions, which is twice as large."
            ),
            Mistake(pairs_counted, "These are numbers of pairs; shares are wanted."),
            Mistake(
                pairs_of_halves, "The first half was paired with the second; a pair stands together, 2k and 2k + 1."
            ),
            Mistake(pairs_of_neighbours, "Each question was paired with the next one too; pairs do not overlap."),
            Mistake(
                pairs_same_hits,
                "The second share counts pairs that are right twice or wrong twice; compare the answers given.",
            ),
            Mistake(
                pairs_same_and_right,
                "Twice the same was counted only where it is right once; a model may also be wrong twice without "
                "looking.",
            ),
            Mistake(pairs_different, "The second share is that of two different answers; the same twice is wanted."),
            Mistake(pairs_swapped, "The two shares are in the wrong order: both right comes first."),
        ),
    ),
)
