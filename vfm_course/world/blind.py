"""A model that never looks: what the words of a question alone give away."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence

from vfm_course.errors import UserError
from vfm_course.world.answers import plausible_answers
from vfm_course.world.palette import COLOURS
from vfm_course.world.question_forms import plural, spoken
from vfm_course.world.questions import NOUNS, UNANSWERABLE, Question

LEAST = 3  # times that a text was seen until its own answers say more than those of its pattern


class BlindModel:
    """Answers with what the training questions of the same text were answered most often.

    A text seen fewer than three times falls back to its pattern (the text without its nouns and colours), then to its
    first two words, by which VQA sorts its questions, then to the most frequent answer of all. Ties go to the answer
    that comes first in the alphabet.

    Raises:
        UserError: there is no question to learn from.
    """

    def __init__(self, training: Iterable[Question]):
        self.seen: dict[str, Counter[str]] = defaultdict(Counter)
        for question in training:
            for view in views(question.text):
                self.seen[view][question.answer] += 1
        if not self.seen:
            raise UserError("A blind model learns from questions, and there are none.")

    def __call__(self, text: str) -> str:
        """The answer to a question, whatever the picture."""
        *narrow, everything = views(text)
        counts = next((self.seen[view] for view in narrow if self.seen[view].total() >= LEAST), self.seen[everything])
        return min(counts, key=lambda answer: (-counts[answer], answer))


def views(text: str) -> tuple[str, str, str, str]:
    """A text, its pattern, its opening and nothing of it: what a blind model counts answers for."""
    return text, pattern(text), " ".join(text.split()[:2]), ""


_NAMES = {*COLOURS, *(word for noun in NOUNS if noun != "thing" for word in (spoken(noun), plural(noun)))}
_WORDS = {word for name in _NAMES for word in name.split()} - {"item", "items"}


def pattern(text: str) -> str:
    """The text with a dash for each noun and colour: "What colour is the -?"."""
    words = text.rstrip("?").replace(" an ", " a ").split()
    return " ".join("-" if word in _WORDS else word for word in words)


def accuracy(model: BlindModel, questions: Sequence[Question]) -> dict[str, float]:
    """Share of the true answers, per kind and for "all"."""
    hits: dict[str, list[bool]] = defaultdict(list)
    for question in questions:
        hit = model(question.text) == question.answer
        hits[question.kind].append(hit)
        hits["all"].append(hit)
    return {kind: sum(each) / len(each) for kind, each in hits.items()}


def chance(questions: Sequence[Question]) -> dict[str, float]:
    """What a guess among the answers that make sense scores, per kind; "unanswerable" is never guessed."""
    shares: dict[str, list[float]] = defaultdict(list)
    for question in questions:
        options = set(plausible_answers(question.steps)) - {UNANSWERABLE}
        share = 1 / len(options) if question.answerable else 0.0
        shares[question.kind].append(share)
        shares["all"].append(share)
    return {kind: sum(each) / len(each) for kind, each in shares.items()}
