"""What a reader of notes practises before it is asked all sorts of things: lists, single details, and drills of what
is hard (counting, and, or).

Each returns parts of a document: texts, with whether they are answers.
"""

import re
from collections.abc import Iterable
from functools import lru_cache

import numpy as np

from vfm_course.vlm.prompts import END, WHAT, question_prompt
from vfm_course.vlm.tokenizer import vlm_tokenizer
from vfm_course.world import question_forms as forms
from vfm_course.world.concepts import CONCEPTS, SUPERCLASSES
from vfm_course.world.palette import COLOURS
from vfm_course.world.placed_text import sixteenth
from vfm_course.world.question_forms import Form, Phrase
from vfm_course.world.questions import AXES, RELATIONS
from vfm_course.world.scene import Scene, SceneObject

Parts = list[tuple[str, bool]]
DETAILS = 6
DRILLED = 8
HARD = ("count", "count", "more", "joined", "colour", "exists", "side", "same colour", "order", "order", "placed")
_FAMILIES, _COLOURS = tuple(SUPERCLASSES), tuple(COLOURS)


class Speller:
    """Texts to token numbers, as `vlm_tokenizer` gives them without `<begin>`, ten times as fast."""

    def __init__(self):
        self.numbers = vlm_tokenizer().get_vocab()
        self.split = re.compile(r"<\w+>|\w+|[^\w\s]+")
        self.spell = lru_cache(maxsize=100_000)(self._spell)

    def _spell(self, text: str) -> list[int]:
        return [self.numbers[word] for word in self.split.findall(text.lower())]

    def __call__(self, parts: Parts) -> list[tuple[int, bool]]:
        """(token, whether it is to be learnt as an answer), of all parts in a row."""
        return [(number, says) for text, says in parts for number in self.spell(text)]


def place(thing: SceneObject, frame: int) -> str:
    """Sixteenths from the left and from the top: "3 12"."""
    return " ".join(str(sixteenth(value / frame)) for value in thing.centre)


def listed(scene: Scene, order: Iterable[int]) -> Parts:
    """What is there, in this order: "the cat is red at 3 12, the car is blue at 9 5"."""
    frame = scene.image.shape[1]
    told = [f"the {thing.concept} is {thing.colour} at {place(thing, frame)}"
            for thing in (scene.objects[i] for i in order)]  # fmt: skip
    return [(question_prompt(WHAT), False), (f"{', '.join(told)}{END}", True)]


def paired(scene: Scene, rng: np.random.Generator) -> Parts:
    """What belongs together and nothing between: "cat red, boat green", "red cat, …" or "cat 3 12, …", in any order.

    The word that is to be looked up by is the last one read, which is the easiest look-up there is. Longer ones, such
    as that of "the cat is", are made of it.
    """
    frame, kind = scene.image.shape[1], int(rng.integers(3))
    told = []
    for i in rng.permutation(len(scene.objects)):
        thing = scene.objects[i]
        told.append((f"{thing.concept} {thing.colour}", f"{thing.colour} {thing.concept}",
                     f"{thing.concept} {place(thing, frame)}")[kind])  # fmt: skip
    asked = ("What colour?", "Which thing?", "Where?")[kind]
    return [(question_prompt(asked), False), (f"{', '.join(told)}{END}", True)]


def detailed(scene: Scene, rng: np.random.Generator, count: int = DETAILS) -> Parts:
    """Questions about one thing at a time: its colour, its place, and what is at a place."""
    frame = scene.image.shape[1]
    names = [thing.concept for thing in scene.objects]
    parts: Parts = []
    for _ in range(count):
        thing = scene.objects[int(rng.integers(len(scene.objects)))]
        name = f"the {thing.concept}" if names.count(thing.concept) == 1 else f"the {thing.colour} {thing.concept}"
        where = place(thing, frame)
        asked, said = (
            (f"What colour is {name}?", thing.colour),
            (f"Where is {name}?", where),
            (f"What is at {where}?", f"{thing.colour} {thing.concept}"),
        )[int(rng.integers(3))]
        parts += [(question_prompt(asked), False), (f"{said}{END}", True)]
    return parts


def _noun(scene: Scene, rng: np.random.Generator, shown: bool) -> str:
    """A concept that the scene shows, or one that it does not show."""
    names = {thing.concept for thing in scene.objects}
    options = sorted(names) if shown else [name for name in CONCEPTS if name not in names]
    return options[int(rng.integers(len(options)))]


def _hard(scene: Scene, rng: np.random.Generator) -> Form | None:
    """One form of what small models find hard; rarer answers are favoured, and stay rarer ("and" is mostly no)."""
    kind, fair = HARD[int(rng.integers(len(HARD)))], rng.random() < 0.5
    thing = scene.objects[int(rng.integers(len(scene.objects)))]
    first, second = Phrase(_noun(scene, rng, True)), Phrase(_noun(scene, rng, True))
    if kind == "count":
        family = _FAMILIES[int(rng.integers(len(_FAMILIES)))]
        phrases = (Phrase(family), Phrase("thing", thing.colour), Phrase(thing.concept), Phrase("thing"))
        return forms.count(phrases[int(rng.choice(4, p=(0.5, 0.3, 0.1, 0.1)))])
    if kind == "more":
        one, other = (Phrase(_FAMILIES[i]) for i in rng.choice(len(_FAMILIES), 2, replace=False))
        if fair and len(other.all(scene)) > len(one.all(scene)):
            one, other = other, one
        return forms.more(one, other)
    if kind == "joined":
        word = ("and", "or")[int(rng.integers(2))]
        # A conjunction is mostly false and a disjunction mostly true, unless both or none is there.
        shown = (fair, fair) if rng.random() < 0.5 else (True, False)
        pair = [_noun(scene, rng, each) for each in shown]
        rng.shuffle(pair)
        return forms.joined(Phrase(pair[0]), word, Phrase(pair[1])) if pair[0] != pair[1] else None
    if kind == "colour":
        return forms.is_colour(
            Phrase(thing.concept), thing.colour if fair else _COLOURS[int(rng.integers(len(_COLOURS)))]
        )
    if kind == "exists":
        concept, colour = (thing.concept, thing.colour) if fair else (
            _noun(scene, rng, rng.random() < 0.5), _COLOURS[int(rng.integers(len(_COLOURS)))])  # fmt: skip
        return forms.exists(Phrase(concept, colour if rng.random() < 0.5 else None))
    if kind == "side":
        return forms.ask_side(first)
    if first == second:
        return None
    if kind == "same colour":
        alike = [each for each in scene.objects if each.colour == thing.colour and each.concept != thing.concept]
        if fair and alike:
            first, second = Phrase(thing.concept), Phrase(alike[0].concept)
        return forms.same_colour(first, second)
    if kind == "order":
        return forms.ask_order(first, second, tuple(AXES)[int(rng.integers(len(AXES)))])
    return forms.is_placed(first, RELATIONS[int(rng.integers(len(RELATIONS)))], second)


def drill(scene: Scene, rng: np.random.Generator, count: int = DRILLED) -> Parts:
    """Questions to be counted or compared for."""
    parts: Parts = []
    while len(parts) < 2 * count:
        form = _hard(scene, rng)
        answer = form and form.look(scene)
        if answer:
            parts += [(question_prompt(form.text), False), (f"{answer}{END}", True)]
    return parts
