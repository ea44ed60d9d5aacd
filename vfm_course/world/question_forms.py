"""What can be asked: each form of question with its words, its program and its answer from the geometry of a scene."""

from collections.abc import Callable
from dataclasses import dataclass

from vfm_course.world.captions import with_article
from vfm_course.world.questions import AXES, NOT_DRAWN, PLACES, UNANSWERABLE, Step, is_a
from vfm_course.world.scene import Scene

DEPTH = 1.15  # a thing this much larger than another one of the same true size is clearly nearer
HALF = 1 / 16  # of the frame: a centre this close to the middle is in neither half
_SPOKEN = {"food": "food item", "household": "household item"}


class Doubt(Exception):
    """The picture leaves the answer open, so the question is not asked of it."""


class Missing(Exception):
    """The question takes for granted what the picture does not show."""


def spoken(noun: str) -> str:
    """The noun as it is said: food -> food item."""
    return _SPOKEN.get(noun, noun)


def plural(noun: str) -> str:
    """More than one: cats, food items, fish."""
    return noun if noun == "fish" else spoken(noun) + "s"


def placed(scene: Scene, one: int, relation: str, other: int) -> bool | None:
    """Whether thing `one` is clearly left of (...) thing `other`; None where a person might say either.

    The same margins as `Scene.relations`, an eighth of the frame, and for the depth, of which the picture tells only
    what the sizes tell, a difference in size of 15 %.
    """
    if relation in ("in front of", "behind"):
        large, small = (one, other) if scene.objects[one].depth < scene.objects[other].depth else (other, one)
        if scene.objects[large].extent < DEPTH * scene.objects[small].extent:
            return None
        return (large == one) == (relation == "in front of")
    axis = 0 if relation in ("left of", "right of") else 1
    sign = 1 if relation in ("left of", "above") else -1
    gap = sign * (scene.objects[other].centre[axis] - scene.objects[one].centre[axis])
    if gap >= scene.image.shape[1] / 8:
        return True
    return None if gap > 0 else False


@dataclass(frozen=True)
class Phrase:
    """What a question speaks of: "red apple", or with a relation "thing left of the red apple"."""

    noun: str
    colour: str | None = None
    relation: str | None = None
    of: "Phrase | None" = None

    @property
    def words(self) -> str:
        """Without an article."""
        name = spoken(self.noun) if self.colour is None else f"{self.colour} {spoken(self.noun)}"
        return name if self.of is None else f"{name} {self.relation} {self.of.the}"

    @property
    def the(self) -> str:
        """With the definite article."""
        return f"the {self.words}"

    @property
    def length(self) -> int:
        """How many relations are chained."""
        return 0 if self.of is None else 1 + self.of.length

    @property
    def anchor(self) -> "Phrase":
        """The end of the chain, which is found without a relation."""
        return self if self.of is None else self.of.anchor

    def all(self, scene: Scene) -> list[int]:
        """The things that fit. Raises Missing or Doubt if the landmark is not there or one of them is doubtful."""
        things = enumerate(scene.objects)
        fits = [i for i, each in things if self.colour in (None, each.colour) and is_a(each, self.noun)]
        if self.of is None:
            return fits
        landmark = self.of.one(scene)
        places = {i: placed(scene, i, self.relation, landmark) for i in fits if i != landmark}
        if None in places.values():
            raise Doubt
        return [i for i, there in places.items() if there]

    def one(self, scene: Scene) -> int:
        """The thing that fits. Raises Missing where there is none, Doubt where there are several."""
        fits = self.all(scene)
        if not fits:
            raise Missing
        if len(fits) > 1 or fits[0] in self._way(scene):
            raise Doubt
        return fits[0]

    def _way(self, scene: Scene) -> list[int]:
        """The things that the chain goes over: one that comes back to them would be silly, and give answers away."""
        return [] if self.of is None else [self.of.one(scene), *self.of._way(scene)]

    def steps(self, program: list[Step]) -> int:
        """Adds what finds the things to a program; the number of the step that gives them."""
        if self.of is None:
            program.append(Step("select", self.noun))
        else:
            program.append(Step("relate", self.relation, (self.of.steps(program),)))
            if self.noun != "thing":
                program.append(Step("noun", self.noun, (len(program) - 1,)))
        if self.colour is not None:
            program.append(Step("colour", self.colour, (len(program) - 1,)))
        return len(program) - 1


@dataclass(frozen=True)
class Form:
    """A question without its picture: `template` names its pattern and `parts` fill it."""

    kind: str
    template: str
    text: str
    parts: tuple
    truth: Callable[[Scene], bool | int | str]
    phrases: tuple[Phrase, ...]
    end: tuple[tuple[str, str], ...]

    def look(self, scene: Scene) -> str | None:
        """The answer for a scene; "unanswerable" where it is asked in vain, None where the picture leaves it open."""
        try:
            found = self.truth(scene)
        except Missing:
            return UNANSWERABLE
        except Doubt:
            return None
        return ("yes" if found else "no") if isinstance(found, bool) else str(found)

    @property
    def steps(self) -> tuple[Step, ...]:
        """The program: the phrases' steps, then the operations of `end`, the last one on all results before it."""
        program: list[Step] = []
        found = tuple(phrase.steps(program) for phrase in self.phrases)
        *each, (last, argument) = self.end
        for operation, word in each:  # the same on every phrase
            ends = []
            for source in found:
                program.append(Step(operation, word, (source,)))
                ends.append(len(program) - 1)
            found = tuple(ends)
        return (*program, Step(last, argument, found))


def _form(kind, template, text, parts, truth, phrases, *end) -> Form:
    return Form(kind, template, text, parts, truth, phrases, end)


def exists(phrase: Phrase) -> Form:
    """Is there a red apple?"""
    kind = "relation" if phrase.of else "existence"
    text = f"Is there {with_article(phrase.words)}?"
    return _form(kind, f"{kind} exists", text, (phrase,), lambda scene: bool(phrase.all(scene)), (phrase,),
                 ("exists", ""))  # fmt: skip


def ask_colour(phrase: Phrase) -> Form:
    """What colour is the apple? What colour is the thing left of the apple?"""
    kind = "relation" if phrase.of else "colour"
    return _form(kind, f"{kind} asks colour", f"What colour is {phrase.the}?", (phrase,),
                 lambda scene: scene.objects[phrase.one(scene)].colour, (phrase,), ("ask colour", ""))  # fmt: skip


def ask_name(phrase: Phrase) -> Form:
    """What is the thing left of the red apple?"""
    what = "What is the thing" if phrase.noun == "thing" else f"Which {spoken(phrase.noun)} is"
    what = f"{what} {phrase.relation} {phrase.of.the}?"
    return _form("relation", f"relation asks {phrase.noun}", what, (phrase,),
                 lambda scene: scene.objects[phrase.one(scene)].concept, (phrase,), ("ask name", ""))  # fmt: skip


def count(phrase: Phrase) -> Form:
    """How many animals are there?"""
    colour = "" if phrase.colour is None else f"{phrase.colour} "
    return _form("count", "count", f"How many {colour}{plural(phrase.noun)} are there?", (phrase,),
                 lambda scene: len(phrase.all(scene)), (phrase,), ("count", ""))  # fmt: skip


def ask_side(phrase: Phrase) -> Form:
    """Is the apple in the left or right half?"""

    def truth(scene: Scene) -> str:
        off = scene.objects[phrase.one(scene)].centre[0] / scene.image.shape[1] - 0.5
        if abs(off) < HALF:
            raise Doubt
        return "left" if off < 0 else "right"

    text = f"Is {phrase.the} in the left or right half of the picture?"
    return _form("position", "position asks side", text, (phrase,), truth, (phrase,), ("ask side", ""))


def ask_order(first: Phrase, second: Phrase, axis: str) -> Form:
    """Is the apple left or right of the dog? `axis` is one of `questions.AXES`."""

    def truth(scene: Scene) -> str:
        pair = first.one(scene), second.one(scene)
        for relation in AXES[axis]:
            if placed(scene, pair[0], relation, pair[1]):
                return PLACES[relation]
        raise Doubt

    return _form("position", f"position asks {axis}", f"Is {first.the} {axis} {second.the}?", (first, second, axis),
                 truth, (first, second), ("ask order", axis))  # fmt: skip


def is_placed(first: Phrase, relation: str, second: Phrase) -> Form:
    """Is the apple left of the dog?"""

    def truth(scene: Scene) -> bool:
        there = placed(scene, first.one(scene), relation, second.one(scene))
        if there is None:
            raise Doubt
        return there

    return _form("yes/no", "yes/no placed", f"Is {first.the} {relation} {second.the}?", (first, relation, second),
                 truth, (first, second), ("is placed", relation))  # fmt: skip


def is_colour(phrase: Phrase, colour: str) -> Form:
    """Is the apple red?"""
    return _form("yes/no", "yes/no colour", f"Is {phrase.the} {colour}?", (phrase, colour),
                 lambda scene: scene.objects[phrase.one(scene)].colour == colour, (phrase,),
                 ("is colour", colour))  # fmt: skip


def joined(first: Phrase, word: str, second: Phrase) -> Form:
    """Is there an apple and a dog? `word` is "and" or "or"."""

    def truth(scene: Scene) -> bool:
        there = bool(first.all(scene)), bool(second.all(scene))
        return all(there) if word == "and" else any(there)

    text = f"Is there {with_article(first.words)} {word} {with_article(second.words)}?"
    return _form("yes/no", f"yes/no {word}", text, (first, word, second), truth, (first, second),
                 ("exists", ""), ("both" if word == "and" else "either", ""))  # fmt: skip


def more(first: Phrase, second: Phrase) -> Form:
    """Are there more animals than vehicles?"""
    return _form("comparison", "comparison more", f"Are there more {plural(first.noun)} than {plural(second.noun)}?",
                 (first, second), lambda scene: len(first.all(scene)) > len(second.all(scene)), (first, second),
                 ("more", ""))  # fmt: skip


def same_colour(first: Phrase, second: Phrase) -> Form:
    """Are the apple and the dog of the same colour?"""

    def truth(scene: Scene) -> bool:
        return scene.objects[first.one(scene)].colour == scene.objects[second.one(scene)].colour

    return _form("comparison", "comparison colour", f"Are {first.the} and {second.the} of the same colour?",
                 (first, second), truth, (first, second), ("same colour", ""))  # fmt: skip


def not_drawn(phrase: Phrase, words: str) -> Form:
    """How much does the apple weigh? Nobody can tell; `words` is one of `questions.NOT_DRAWN`."""

    def truth(scene: Scene) -> str:
        if not phrase.all(scene):
            raise Doubt  # unanswerable too, but for another reason
        phrase.one(scene)
        return UNANSWERABLE

    assert words in NOT_DRAWN
    return _form("unanswerable", "not drawn", words.format(phrase.the), (phrase, words), truth, (phrase,),
                 ("not drawn", words))  # fmt: skip
