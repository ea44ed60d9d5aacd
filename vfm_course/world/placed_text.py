"""A scene as a text-only writer gets it: captions and places, no pixel. LLaVA's instructions were written from such.

"a red cat of size 7 at 3 12" is a red cat whose longest side is 7 sixteenths of the frame, centred 3 sixteenths from
the left and 12 from the top.
"""

import numpy as np

from vfm_course.world.captions import LEVELS, caption, vocabulary, with_article
from vfm_course.world.concepts import CONCEPTS, SUPERCLASSES
from vfm_course.world.question_forms import plural, spoken
from vfm_course.world.questions import MOST, NOT_DRAWN, UNANSWERABLE
from vfm_course.world.scene import Scene, SceneObject

GRID = 16  # places are told in sixteenths of the frame


def sixteenth(share: float) -> int:
    """0 to 15, from a share of the frame."""
    return min(GRID - 1, max(0, int(share * GRID)))


def sixteenths(thing: SceneObject, frame: int) -> tuple[int, int]:
    """Where the middle of a thing is, from the left and from the top; `frame` is the side of the picture in pixels."""
    x, y = (sixteenth(value / frame) for value in thing.centre)
    return x, y


def place_of(thing: SceneObject, frame: int) -> str:
    """A thing with size and place: "a red cat of size 7 at 3 12"; `frame` is the side of the picture in pixels."""
    x, y = sixteenths(thing, frame)
    return f"{with_article(f'{thing.colour} {thing.concept}')} of size {sixteenth(thing.extent)} at {x} {y}"


def placed_text(scene: Scene) -> str:
    """All things from the nearest to the farthest: "a red cat of size 7 at 3 12, a blue car of size 4 at 9 5"."""
    return ", ".join(place_of(thing, scene.image.shape[1]) for thing in scene.objects)


def short_caption(scene: Scene, rng: np.random.Generator) -> str:
    """A caption without a template, mostly the full one, which tells all things and how they stand to the nearest."""
    level = LEVELS[rng.integers(len(LEVELS))] if rng.random() < 0.3 else "full"
    return caption(scene, level)


def words() -> list[str]:
    """Every word of captions, placed texts, questions and answers, sorted."""
    glue = "are at belong caption colour cost does half how item items many more much name no of old or same size than"
    glue += " there thing things to was weigh what where which who yes yesterday"
    glue += " question answer picture front unanswerable"
    names = {plural(noun) for noun in (*CONCEPTS, *SUPERCLASSES)} | {spoken(noun) for noun in SUPERCLASSES}
    asked = {word for text in NOT_DRAWN for word in text.replace("{}", "").rstrip("?").lower().split()}
    numbers = {str(number) for number in range(max(GRID, MOST + 1))}
    found = {*vocabulary(), *glue.split(), *numbers, *asked, UNANSWERABLE, ",", ".", "?", ":"}
    return sorted(found | {word for name in names for word in name.split()})
