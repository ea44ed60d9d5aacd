"""Ten annotators: synonyms, mistakes and doubts, and the answers that a question leaves room for."""

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from vfm_course.errors import UserError
from vfm_course.world.concepts import CONCEPTS, SUPERCLASSES
from vfm_course.world.palette import COLOURS
from vfm_course.world.questions import AXES, KINDS, MOST, NOT_DRAWN, PLACES, UNANSWERABLE, Step

ANNOTATORS = 10

# What a person may write instead. No synonym is another thing's true answer.
SYNONYMS: dict[str, tuple[str, ...]] = {
    "yes": ("yeah", "yep", "yes it is"), "no": ("nope", "no it isn't"),
    "0": ("zero", "none"), "1": ("one",), "2": ("two",), "3": ("three",), "4": ("four",), "5": ("five",),
    "purple": ("violet",), "grey": ("gray",), "red": ("crimson",), "orange": ("amber",), "brown": ("tan",),
    "green": ("dark green",), "blue": ("light blue",), "yellow": ("gold",),
    "cat": ("kitten", "a cat"), "dog": ("puppy", "a dog"), "fish": ("a fish",), "bird": ("a bird",),
    "car": ("automobile", "a car"), "truck": ("lorry",), "boat": ("sailboat", "ship"), "plane": ("airplane",),
    "apple": ("an apple",), "banana": ("a banana",), "mushroom": ("toadstool",), "cupcake": ("muffin",),
    "house": ("home", "a house"), "castle": ("fortress",), "cup": ("mug", "a cup"), "parcel": ("package", "box"),
    "left": ("on the left", "left side"), "right": ("on the right", "right side"), "above": ("over",),
    "below": ("under", "beneath"), "in front": ("in front of it",), "behind": ("behind it",),
    UNANSWERABLE: ("cannot tell", "can't tell", "not possible to say"),
}  # fmt: skip


def _wrong_rates() -> dict[str, float]:
    return {"existence": 0.04, "yes/no": 0.05, "comparison": 0.06, "position": 0.06, "colour": 0.10, "count": 0.12,
            "relation": 0.15, "unanswerable": 0.15}  # fmt: skip


@dataclass(frozen=True)
class Annotators:
    """How ten people answer.

    The defaults follow how well people do on real pictures (Antol et al. 2015, arXiv:1505.00468): about 96 % by the
    VQA metric on yes/no questions, 83 % on numbers and 73 % on all others, where most of what is lost are synonyms.

    Args:
        synonym: share of the right answers that are put in other words, where there are any.
        wrong: mean share of wrong answers, per kind of question.
        evenness: how alike questions are in what people get wrong: each question's own share is drawn from a beta
            distribution of mean `wrong` and this sum of parameters. At 2 most questions are easy, and some hard.
        unsure: share of annotators who say that they cannot tell, whatever the question.

    Raises:
        UserError: a rate outside 0 to 1, a kind without a rate, or an evenness that is not above 0.
    """

    synonym: float = 0.15
    wrong: Mapping[str, float] = field(default_factory=_wrong_rates)
    evenness: float = 2.0
    unsure: float = 0.02

    def __post_init__(self) -> None:
        missing = [kind for kind in KINDS if kind not in self.wrong]
        if missing:
            raise UserError(f"The annotators need a rate of wrong answers for the kind {missing[0]!r}.")
        if self.evenness <= 0:
            raise UserError(f"The annotators' evenness is above 0, not {self.evenness}.")
        for name, rate in {"synonym": self.synonym, "unsure": self.unsure, **self.wrong}.items():
            if not 0 <= rate <= 1:
                raise UserError(f"The annotators' rate {name!r} is a share from 0 to 1, not {rate}.")

    def write(self, answer: str, kind: str, steps: Sequence[Step], key: Sequence[int | str]) -> tuple[str, ...]:
        """What the ten write; the same for the same `key`, whatever else is asked and in whichever order."""
        rng = np.random.default_rng([zlib.crc32(part.encode()) if isinstance(part, str) else part for part in key])
        mean = self.wrong[kind]
        rate = float(rng.beta(mean * self.evenness, (1 - mean) * self.evenness)) if 0 < mean < 1 else mean
        return tuple(self._one(answer, rate, steps, rng) for _ in range(ANNOTATORS))

    def _one(self, answer: str, rate: float, steps: Sequence[Step], rng: np.random.Generator) -> str:
        unsure, wrong, other = rng.random(3)
        if unsure < self.unsure:
            said = UNANSWERABLE
        elif wrong < rate:
            options = wrong_answers(answer, steps)
            return options[int(rng.integers(len(options)))]
        else:
            said = answer
        words = SYNONYMS.get(said, ())
        return words[int(rng.integers(len(words)))] if words and other < self.synonym else said


def wrong_answers(answer: str, steps: Sequence[Step]) -> tuple[str, ...]:
    """What somebody who errs may say: a number off by one, else another answer that makes sense, else a guess."""
    if steps[-1].operation == "count":
        return tuple(str(number) for number in (int(answer) - 1, int(answer) + 1) if number >= 0)
    if steps[-1].operation == "not drawn":
        return NOT_DRAWN[steps[-1].argument]
    return tuple(each for each in plausible_answers(steps) if each not in (answer, UNANSWERABLE))


def valid_answers(steps: Sequence[Step]) -> tuple[str, ...]:
    """GQA's scope of a question: any colour for a question of colour, right or wrong.

    "unanswerable" is in the scope of each question that takes something for granted.
    """
    last = steps[-1]
    if last.operation == "ask name":
        return (*CONCEPTS, UNANSWERABLE)
    return plausible_answers(steps)


def plausible_answers(steps: Sequence[Step]) -> tuple[str, ...]:
    """GQA's answers that make sense: those of the scope that the drawn world can show for what is asked.

    All things have all colours here, so that it is narrower than the scope only where a name of a family is asked for.
    """
    last = steps[-1]
    granted = (UNANSWERABLE,) if any(step.operation in _GRANTED for step in steps) else ()
    if last.operation == "ask colour":
        return (*COLOURS, *granted)
    if last.operation == "ask name":
        noun = next((step.argument for step in steps[::-1] if step.operation in ("noun", "relate", "select")), "")
        return (*SUPERCLASSES.get(noun, CONCEPTS), *granted)
    if last.operation == "count":
        return (*(str(number) for number in range(MOST + 1)), *granted)
    if last.operation == "ask side":
        return ("left", "right", *granted)
    if last.operation == "ask order":
        return (*(PLACES[relation] for relation in AXES[last.argument]), *granted)
    if last.operation == "not drawn":
        return granted
    return ("yes", "no", *granted)


_GRANTED = {"relate", "ask colour", "ask name", "ask side", "ask order", "is colour", "is placed", "same colour",
            "not drawn"}  # fmt: skip
