"""Draws a random question of a kind, mostly about what a scene shows, and the priors of the unbalanced split."""

from collections.abc import Callable
from functools import partial

import numpy as np

from vfm_course.world import question_forms as forms
from vfm_course.world.concepts import CONCEPTS, SUPERCLASSES
from vfm_course.world.palette import COLOURS
from vfm_course.world.question_forms import Doubt, Form, Missing, Phrase
from vfm_course.world.questions import AXES, NOT_DRAWN, RELATIONS
from vfm_course.world.scene import Scene

LONGEST = 3  # relations in a chain
FAMILIES = tuple(SUPERCLASSES)

# The colour that each thing has in most of the unbalanced split's questions: bananas are yellow.
USUAL_COLOUR = {
    "cat": "orange", "dog": "brown", "fish": "blue", "bird": "green", "car": "red", "truck": "grey", "boat": "blue",
    "plane": "grey", "apple": "red", "banana": "yellow", "mushroom": "brown", "cupcake": "purple", "house": "red",
    "castle": "grey", "cup": "green", "parcel": "brown",
}  # fmt: skip
# The favourite answer of each pattern in the unbalanced split and its share. Everything else is spread evenly.
PRIORS = {
    "existence exists": ("yes", 0.85), "count": ("2", 0.60),
    "position asks side": ("left", 0.75), "position asks left or right of": ("left", 0.75),
    "position asks above or below": ("above", 0.75), "position asks in front of or behind": ("in front", 0.75),
    "comparison more": ("yes", 0.80), "comparison colour": ("no", 0.80),
    "yes/no colour": ("yes", 0.80), "yes/no placed": ("yes", 0.80), "yes/no and": ("yes", 0.80),
    "yes/no or": ("yes", 0.80), "relation exists": ("yes", 0.80), "relation asks colour": ("red", 0.60),
    "relation asks thing": ("dog", 0.60), "relation asks animal": ("dog", 0.60),
    "relation asks vehicle": ("car", 0.60), "relation asks food": ("apple", 0.60),
    "relation asks building": ("house", 0.60), "relation asks household": ("cup", 0.60),
}  # fmt: skip
USUAL_COLOUR_SHARE = 0.80  # of the answers to "What colour is the banana?"


def prior(form: Form) -> tuple[str, float]:
    """The favourite answer of a form in the unbalanced split, and its share."""
    if form.template == "colour asks colour":
        return USUAL_COLOUR[form.parts[0].noun], USUAL_COLOUR_SHARE
    return PRIORS[form.template]


def pick(rng: np.random.Generator, options):
    """One of them, each as likely."""
    return options[int(rng.integers(len(options)))]


def draw(kind: str, scene: Scene, rng: np.random.Generator) -> Form | None:
    """A random form of the kind; None where the scene offers none at this try.

    It speaks mostly of what the scene shows, but need not be answerable here: `Form.look` tells. "relation 2" asks for
    a chain of two. For "unanswerable" it is, in six of ten cases, a form about what is not drawn; else one that takes
    something for granted and is then asked of a scene without it.
    """
    if kind != "unanswerable":
        return DRAWERS[kind](scene, rng)
    if rng.random() < 0.6:
        phrase = _known(scene, rng)
        return phrase and forms.not_drawn(phrase, pick(rng, tuple(NOT_DRAWN)))
    # In shares that make "unanswerable" as frequent among the balanced answers of a pattern as any other answer.
    found = DRAWERS[str(rng.choice(("colour", "position", "yes/no"), p=(0.2, 0.5, 0.3)))](scene, rng)
    return found if found and found.template not in ("yes/no and", "yes/no or") else None


def _known(scene: Scene, rng: np.random.Generator) -> Phrase | None:
    """A concept of which the scene has one."""
    names = [thing.concept for thing in scene.objects]
    single = [name for name in names if names.count(name) == 1]
    return Phrase(pick(rng, single)) if single else None


def _two(scene: Scene, rng: np.random.Generator) -> tuple[Phrase, Phrase] | None:
    first, second = _known(scene, rng), _known(scene, rng)
    return None if first is None or first == second else (first, second)


def _existence(scene: Scene, rng: np.random.Generator) -> Form:
    thing, shown = pick(rng, scene.objects), rng.random() < 0.5  # half of the questions are about anything at all
    concept = thing.concept if shown else pick(rng, CONCEPTS)
    colour = thing.colour if shown else pick(rng, tuple(COLOURS))
    options = [Phrase(concept), Phrase(concept, colour), Phrase("thing", colour), Phrase(pick(rng, FAMILIES))]
    return forms.exists(options[int(rng.choice(4, p=(0.5, 0.3, 0.1, 0.1)))])


def _colour(scene: Scene, rng: np.random.Generator) -> Form | None:
    phrase = _known(scene, rng)
    return phrase and forms.ask_colour(phrase)


def _count(scene: Scene, rng: np.random.Generator) -> Form:
    thing = pick(rng, scene.objects)
    options = [Phrase(pick(rng, FAMILIES)), Phrase("thing", thing.colour), Phrase("thing"), Phrase(thing.concept)]
    return forms.count(options[int(rng.choice(4, p=(0.5, 0.3, 0.05, 0.15)))])


def _position(scene: Scene, rng: np.random.Generator) -> Form | None:
    if rng.random() < 0.3:
        phrase = _known(scene, rng)
        return phrase and forms.ask_side(phrase)
    two = _two(scene, rng)
    return two and forms.ask_order(*two, pick(rng, tuple(AXES)))


def _comparison(scene: Scene, rng: np.random.Generator) -> Form | None:
    if rng.random() < 0.5:
        first, second = (FAMILIES[i] for i in rng.choice(len(FAMILIES), 2, replace=False))
        return forms.more(Phrase(first), Phrase(second))
    two = _two(scene, rng)
    return two and forms.same_colour(*two)


def _yes_no(scene: Scene, rng: np.random.Generator) -> Form | None:
    draw_of = int(rng.integers(3))
    if draw_of == 0:
        phrase = _known(scene, rng)
        return phrase and forms.is_colour(phrase, pick(rng, tuple(COLOURS)))
    if draw_of == 1:
        two = _two(scene, rng)
        return two and forms.is_placed(two[0], pick(rng, RELATIONS), two[1])
    first, second = (CONCEPTS[i] for i in rng.choice(len(CONCEPTS), 2, replace=False))
    if rng.random() < 0.7:
        first = pick(rng, scene.objects).concept
    return None if first == second else forms.joined(Phrase(first), pick(rng, ("and", "or")), Phrase(second))


def chain(scene: Scene, length: int, rng: np.random.Generator) -> Phrase | None:
    """A phrase of `length` relations that fits one thing of the scene: "animal behind the thing left of the apple"."""
    thing = pick(rng, scene.objects)
    phrase = Phrase(thing.concept, thing.colour if length == 1 and rng.random() < 0.4 else None)
    for _ in range(length):
        options = [step for relation in RELATIONS for step in _steps_on(scene, phrase, relation)]
        if not options:
            return None
        phrase = pick(rng, options)
    return phrase


def _steps_on(scene: Scene, phrase: Phrase, relation: str) -> list[Phrase]:
    """The phrases that lead from a phrase's thing to one other, by one relation: as "thing" or by its family."""
    found = []
    for noun in ("thing", *FAMILIES):
        step = Phrase(noun, None, relation, phrase)
        try:
            step.one(scene)
        except (Doubt, Missing):
            continue
        found.append(step)
    return found


def _relation(length: int, scene: Scene, rng: np.random.Generator) -> Form | None:
    phrase = chain(scene, length, rng)
    if phrase is None:
        return None
    ask = rng.random()
    if ask < 0.4:
        return forms.ask_colour(phrase)
    if ask < 0.8:
        return forms.ask_name(phrase)
    return forms.exists(Phrase(pick(rng, FAMILIES), None, phrase.relation, phrase.of))


DRAWERS: dict[str, Callable[[Scene, np.random.Generator], Form | None]] = {
    "existence": _existence, "colour": _colour, "count": _count, "position": _position, "comparison": _comparison,
    "yes/no": _yes_no, **{f"relation {length}": partial(_relation, length) for length in range(1, LONGEST + 1)},
}  # fmt: skip
