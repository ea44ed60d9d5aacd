"""How answers to questions about pictures are scored: VQA, GQA, MMBench and MMMU.

Shares from 0 to 1 throughout; the papers print percent.
"""

from collections.abc import Callable, Collection, Hashable, Mapping, Sequence
from string import ascii_uppercase
from typing import TypeVar

from vfm_course.errors import UserError
from vfm_course.vlm.normalise import extract_choice, normalise

Key = TypeVar("Key", bound=Hashable)
ENOUGH = 3  # people who said it make an answer right


def simple_accuracy(answer: str, humans: Sequence[str]) -> float:
    """VQA's metric as it is usually written: min(people who said exactly this / 3, 1) (Antol et al. 2015).

    Args:
        answer: the model's, compared letter by letter.
        humans: what people answered, ten as a rule.

    Raises:
        UserError: nobody answered.
    """
    if not humans:
        raise UserError("The VQA accuracy compares with what people answered, and nobody did.")
    return min(sum(human == answer for human in humans) / ENOUGH, 1.0)


def official_accuracy(answer: str, humans: Sequence[str]) -> float:
    """VQA's metric as the official evaluation computes it (Antol et al. 2015, arXiv:1505.00468).

    All answers are normalised first (`normalise`); then the simple metric is averaged over the subsets that leave one
    person out, so that people themselves can be scored by the same rule. Of ten people who agree with the answer, 0,
    1, 2, 3 and 4 or more give 0, 0.3, 0.6, 0.9 and 1. The official script skips the normalisation where all ten wrote
    the very same; here it is never skipped.

    Raises:
        UserError: fewer than two people answered.
    """
    if len(humans) < 2:
        raise UserError(f"The official VQA accuracy leaves one person out of at least two, not of {len(humans)}.")
    normalised = normalise(answer)
    said = [normalise(human) == normalised for human in humans]
    agree = sum(said)
    return sum(min((agree - this) / ENOUGH, 1.0) for this in said) / len(said)


def vqa_accuracy(
    answers: Sequence[str],
    humans: Sequence[Sequence[str]],
    metric: Callable[[str, Sequence[str]], float] = official_accuracy,
) -> float:
    """The mean of a VQA metric over questions: one answer and the people's answers for each.

    Raises:
        UserError: no questions, or not as many answers as questions.
    """
    _same_length(answers, humans)
    return sum(metric(answer, people) for answer, people in zip(answers, humans, strict=True)) / len(answers)


def accuracy(predictions: Sequence[str], answers: Sequence[str]) -> float:
    """Share of the predictions that are the one right answer, letter by letter: GQA's accuracy.

    Raises:
        UserError: no questions, or not as many predictions as answers.
    """
    _same_length(predictions, answers)
    return sum(one == other for one, other in zip(predictions, answers, strict=True)) / len(answers)


def consistency(
    predictions: Mapping[Key, str], answers: Mapping[Key, str], entailed: Mapping[Key, Collection[Key]]
) -> float:
    """Whether a model stands by what follows from its right answers: GQA (Hudson & Manning 2019, arXiv:1902.09506).

    For each question that is answered right and from which others follow: the share of those others that are answered
    right too; the mean over these questions. A question does not follow from itself.

    Args:
        predictions: question -> the model's answer, for all questions named in `entailed`.
        answers: question -> the right answer, for the same ones.
        entailed: question -> the questions that follow from it.

    Returns:
        A share, nan if none of these questions is answered right.

    Raises:
        UserError: a question without prediction or answer.
    """

    def right(key: Key) -> bool:
        for name, table in (("prediction", predictions), ("answer", answers)):
            if key not in table:
                raise UserError(f"There is no {name} for question {key!r}.")
        return predictions[key] == answers[key]

    shares = []
    for key, follow in entailed.items():
        others = [other for other in follow if other != key]
        if others and right(key):
            shares.append(sum(right(other) for other in others) / len(others))
    return sum(shares) / len(shares) if shares else float("nan")


def validity(predictions: Mapping[Key, str], scopes: Mapping[Key, Collection[str]]) -> float:
    """Share of the predictions within the scope of their question, right or wrong: GQA's validity (a colour for a
    question of colour), and with narrower scopes its plausibility (a colour that the thing can have).

    Raises:
        UserError: no questions, or a question without a prediction.
    """
    if not scopes:
        raise UserError("Validity needs at least one question with its scope.")
    missing = [key for key in scopes if key not in predictions]
    if missing:
        raise UserError(f"There is no prediction for question {missing[0]!r}.")
    return sum(predictions[key] in scope for key, scope in scopes.items()) / len(scopes)


def rotations(options: Sequence[str]) -> list[tuple[str, ...]]:
    """All orders of the options that MMBench asks in: rotation k begins with option k."""
    return [(*options[k:], *options[:k]) for k in range(len(options))]


def rotated_answer(answer: str, k: int, n: int) -> str:
    """The letter of the right option in rotation k of n: "A" becomes the last letter in rotation 1.

    Raises:
        UserError: the answer is none of the first n letters.
    """
    letters = ascii_uppercase[:n]
    if len(answer) != 1 or answer not in letters:
        raise UserError(f"The answer of a question with {n} options is a letter of {letters}, not {answer!r}.")
    return letters[(letters.index(answer) - k) % n]


def circular_correct(replies: Sequence[str], options: Sequence[str], answer: str) -> bool:
    """Whether a question is right in each rotation of its options: MMBench (Liu et al. 2023, arXiv:2307.06281).

    A model that always says "A" is right in one rotation of each question, and in no question here.

    Args:
        replies: free text, one for each of `rotations(options)`; a reply that names no option is wrong.
        options: in the original order.
        answer: the right letter in the original order.

    Raises:
        UserError: not one reply for each rotation, or an answer that is no option.
    """
    if len(replies) != len(options):
        raise UserError(f"{len(options)} options are asked in {len(options)} rotations, and there are {len(replies)}.")
    return all(
        extract_choice(reply, order) == rotated_answer(answer, k, len(options))
        for k, (reply, order) in enumerate(zip(replies, rotations(options), strict=True))
    )


def circular_accuracy(
    replies: Sequence[Sequence[str]], options: Sequence[Sequence[str]], answers: Sequence[str]
) -> float:
    """Share of the questions that are right in every rotation. Raises as `circular_correct`, and without questions."""
    _same_length(replies, answers)
    _same_length(options, answers)
    rows = zip(replies, options, answers, strict=True)
    return sum(circular_correct(*row) for row in rows) / len(answers)


def exact_match(reply: str, answers: Sequence[str], options: Sequence[str] = ()) -> bool:
    """Whether a reply is right in MMMU (Yue et al. 2023, arXiv:2311.16502).

    With options the reply must name the right letter (`extract_choice`). Without, it must be one of the answers:
    numbers to two decimals, with or without thousands commas, and words in any case. The official evaluation guesses at
    random where no option is named and searches open replies for the answer; this one counts both as wrong.

    Raises:
        UserError: no right answer to compare with.
    """
    if not answers:
        raise UserError("An exact match needs a right answer to compare with.")
    if options:
        return extract_choice(reply, options) in answers
    return _plain(reply) in {_plain(answer) for answer in answers}


def _plain(text: str) -> str | float:
    text = " ".join(text.lower().split()).rstrip(".")
    try:
        return round(float(text.replace(",", "")), 2)
    except ValueError:
        return text


def _same_length(one: Sequence, other: Sequence) -> None:
    if len(one) != len(other) or not one:
        raise UserError(f"Scoring needs as many predictions as questions, and at least one: {len(one)}, {len(other)}.")
