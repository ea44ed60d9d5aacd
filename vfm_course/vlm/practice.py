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
from vfm_course.world.placed_text import sixteenths
from vfm_course.world.question_stream import QuestionStream
from vfm_course.world.scene import Scene, SceneObject

Parts = list[tuple[str, bool]]
DETAILS = 6
DRILLED = 8
HARD = ("count", "position", "comparison", "yes/no", "count", "existence", "position", "count", "comparison", "yes/no")


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
    return " ".join(map(str, sixteenths(thing, frame)))


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


def drill(stream: QuestionStream, scene: Scene, count: int = DRILLED) -> Parts:
    """Questions to be counted or compared for, from a stream of the kinds in `HARD`."""
    asked = [stream(scene) for _ in range(count)]
    return [part for form, answer in asked for part in ((question_prompt(form.text), False), (f"{answer}{END}", True))]
