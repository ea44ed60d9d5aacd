"""Questions about drawn scenes, each with the program that answers it, and the tiny interpreter that runs programs.

As in GQA (Hudson & Manning 2019, arXiv:1902.09506) a question is made from the scene graph and carries a functional
program: *What colour is the thing left of the red apple?* is `select apple`, `colour red`, `relate left of`,
`ask colour`. The generator (`question_forms`) finds its answer another way, from the geometry, so that the two check
each other.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from vfm_course.errors import UserError
from vfm_course.world.concepts import CONCEPTS, SUPERCLASSES
from vfm_course.world.palette import COLOURS
from vfm_course.world.scene import Scene, SceneObject

KINDS = ("existence", "colour", "count", "position", "comparison", "relation", "yes/no", "unanswerable")
UNANSWERABLE = "unanswerable"
MOST = 5  # things in a scene that is asked about
RELATIONS = ("left of", "right of", "above", "below", "in front of", "behind")
# What is said when a question offers two relations to choose from.
PLACES = {"left of": "left", "right of": "right", "above": "above", "below": "below",
          "in front of": "in front", "behind": "behind"}  # fmt: skip
AXES = {"left or right of": ("left of", "right of"), "above or below": ("above", "below"),
        "in front of or behind": ("in front of", "behind")}  # fmt: skip
NOUNS = ("thing", *SUPERCLASSES, *CONCEPTS)


class Step(NamedTuple):
    """One operation of a program: `inputs` are the numbers of the steps whose results it takes."""

    operation: str
    argument: str = ""
    inputs: tuple[int, ...] = ()


@dataclass(frozen=True)
class Question:
    """A question about one scene.

    `answer` is the one true answer, `steps` the program that finds it, `scene_seed` and `scene_number` name the
    picture (`vqa.scene_of` draws it), `answerable` is False where the right answer is "unanswerable", and `answers`
    is what ten annotators wrote, in the order of the annotators.
    """

    text: str
    answer: str
    kind: str
    steps: tuple[Step, ...]
    scene_seed: int
    scene_number: int
    answerable: bool
    answers: tuple[str, ...]


class _NotThere(Exception):
    """The question takes for granted what the picture does not show."""


def is_a(thing: SceneObject, noun: str) -> bool:
    """Whether a thing is what the noun says: "thing", one of the five families or one of the sixteen concepts."""
    return noun == "thing" or noun == thing.concept or noun == thing.superclass


def answer(scene: Scene, steps: Sequence[Step]) -> str:
    """Runs a program on the scene graph.

    Args:
        scene: any scene; only its graph is looked at, never its pixels.
        steps: the operations in order; the last one's result is the answer.

    Returns:
        "yes", "no", a number in digits, a colour, a concept, a place, or "unanswerable" where the program asks about
        a thing that is not there or about what is not drawn.

    Raises:
        UserError: an unknown operation or argument, inputs that do not fit, a program that ends in a set of things, or
            an ambiguous one, which speaks of *the* thing where there are several.
    """
    results: list[Any] = []
    try:
        for number, step in enumerate(steps):
            if step.operation not in OPERATIONS:
                known = ", ".join(OPERATIONS)
                raise UserError(f"Step {number} has no operation {step.operation!r}: the interpreter knows {known}.")
            operation, takes, gives, arguments = OPERATIONS[step.operation]
            if arguments is not None and step.argument not in arguments:
                raise UserError(f"Step {number} ({step.operation}) cannot take {step.argument!r}.")
            if not all(0 <= source < number for source in step.inputs):
                raise UserError(f"Step {number} ({step.operation}) takes a result that no step before it gives.")
            if tuple(OPERATIONS[steps[source].operation][2] for source in step.inputs) != takes:
                raise UserError(f"Step {number} ({step.operation}) needs {len(takes)} inputs: {', '.join(takes)}.")
            results.append(operation(scene, step.argument, *(results[source] for source in step.inputs)))
    except _NotThere:
        return UNANSWERABLE
    if not results or gives == "things":
        raise UserError("A program ends with an operation that gives an answer, and this one does not.")
    return {True: "yes", False: "no"}[results[-1]] if gives == "truth" else str(results[-1])


def _one(scene: Scene, things: list[int]) -> int:
    """The thing that a question calls *the*."""
    if not things:
        raise _NotThere
    if len(things) > 1:
        raise UserError(f"The program speaks of one thing where scene {scene.index} has {len(things)}.")
    return things[0]


def _relate(scene: Scene, relation: str, things: list[int]) -> list[int]:
    landmark = _one(scene, things)
    return [one for one, name, other in scene.relations() if (name, other) == (relation, landmark)]


def _ask_order(scene: Scene, axis: str, first: list[int], second: list[int]) -> str:
    pair = _one(scene, first), _one(scene, second)
    for one, name, other in scene.relations():
        if (one, other) == pair and name in AXES[axis]:
            return PLACES[name]
    raise UserError(f"Scene {scene.index} leaves open whether the one is {axis} the other.")


def _ask_side(scene: Scene, _: str, things: list[int]) -> str:
    return "left" if scene.objects[_one(scene, things)].centre[0] < scene.image.shape[1] / 2 else "right"


def _is_placed(scene: Scene, relation: str, first: list[int], second: list[int]) -> bool:
    return (_one(scene, first), relation, _one(scene, second)) in scene.relations()


def _same_colour(scene: Scene, _: str, first: list[int], second: list[int]) -> bool:
    return scene.objects[_one(scene, first)].colour == scene.objects[_one(scene, second)].colour


def _not_drawn(scene: Scene, _: str, things: list[int]) -> str:
    _one(scene, things)
    raise _NotThere


# What the picture does not show, and what an annotator who guesses all the same may write.
NOT_DRAWN = {
    "How much does {} weigh?": ("1", "2", "10", "5 kg"),
    "What is the name of {}?": ("tom", "bella", "max"),
    "How old is {}?": ("1", "2", "5", "10"),
    "Who does {} belong to?": ("man", "woman", "nobody"),
    "What does {} cost?": ("1", "5", "$5", "nothing"),
    "Where was {} yesterday?": ("home", "outside", "here"),
}

_THINGS, _TWO = ("things",), ("things", "things")
# Operation: what it does, the kinds of its inputs, the kind of its result, the arguments that it knows (None: none).
OPERATIONS: dict[str, tuple[Callable, tuple[str, ...], str, Sequence[str] | dict | None]] = {
    "select": (lambda scene, noun: [i for i, thing in enumerate(scene.objects) if is_a(thing, noun)],
               (), "things", NOUNS),
    "noun": (lambda scene, noun, things: [i for i in things if is_a(scene.objects[i], noun)],
             _THINGS, "things", NOUNS),
    "colour": (lambda scene, colour, things: [i for i in things if scene.objects[i].colour == colour],
               _THINGS, "things", COLOURS),
    "relate": (_relate, _THINGS, "things", RELATIONS),
    "exists": (lambda scene, _, things: bool(things), _THINGS, "truth", None),
    "count": (lambda scene, _, things: len(things), _THINGS, "number", None),
    "ask colour": (lambda scene, _, things: scene.objects[_one(scene, things)].colour, _THINGS, "word", None),
    "ask name": (lambda scene, _, things: scene.objects[_one(scene, things)].concept, _THINGS, "word", None),
    "ask side": (_ask_side, _THINGS, "word", None),
    "ask order": (_ask_order, _TWO, "word", AXES),
    "is colour": (lambda scene, colour, things: scene.objects[_one(scene, things)].colour == colour,
                  _THINGS, "truth", COLOURS),
    "is placed": (_is_placed, _TWO, "truth", RELATIONS),
    "more": (lambda scene, _, first, second: len(first) > len(second), _TWO, "truth", None),
    "same colour": (_same_colour, _TWO, "truth", None),
    "both": (lambda scene, _, first, second: first and second, ("truth", "truth"), "truth", None),
    "either": (lambda scene, _, first, second: first or second, ("truth", "truth"), "truth", None),
    "not drawn": (_not_drawn, _THINGS, "word", NOT_DRAWN),
}  # fmt: skip
