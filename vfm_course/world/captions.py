"""What a caption writer might say of a scene, from two words to everything."""

import numpy as np

from vfm_course.world.concepts import CONCEPTS
from vfm_course.world.palette import BACKGROUNDS, COLOURS
from vfm_course.world.scene import STYLES, Scene, SceneObject

TEMPLATES = ("{}", "a photo of {}", "a picture of {}", "a drawing of {}", "an image of {}", "this is {}")
LEVELS = ("name", "colour", "style", "background", "full")


def with_article(words: str) -> str:
    """`cat` -> `a cat`, `orange apple` -> `an orange apple`."""
    return ("an " if words[0] in "aeiou" else "a ") + words


def describe(thing: SceneObject, *, colour: bool = False, style: bool = False) -> str:
    """The object in words: with its article, its style and its colour if asked."""
    words = [thing.style] * style + [thing.colour] * colour + [thing.concept]
    return with_article(" ".join(words))


def caption(scene: Scene, level: str = "name", template: str = "{}") -> str:
    """One caption of the scene.

    Levels: `name` (a cat), `colour` (a red cat), `style` (an inked red cat), `background` (a cat on a striped
    background), `full` (all of it, every object with its relation to the nearest one).
    """
    things = scene.objects if level == "full" else scene.objects[:1]
    said = describe(things[0], colour=level in ("colour", "style", "full"), style=level in ("style", "full"))
    for number, thing in enumerate(things[1:], start=1):
        relation = next(name for one, name, other in scene.relations() if (one, other) == (0, number))
        said += f"{' and' if number > 1 else ''} {relation} {describe(thing, colour=True)}"
    if level in ("background", "full"):
        said += f" on a {scene.background} background"
    return template.format(said)


def random_caption(scene: Scene, rng: np.random.Generator) -> str:
    """A caption of random level and template, as scraped pairs have them."""
    return caption(scene, LEVELS[rng.integers(len(LEVELS))], TEMPLATES[rng.integers(len(TEMPLATES))])


def vocabulary() -> list[str]:
    """Every word that a caption of the drawn world can hold, sorted."""
    glue = "a an and background behind below front image in is left of on photo picture drawing right the this above"
    return sorted({*glue.split(), *CONCEPTS, *COLOURS, *STYLES, *BACKGROUNDS})
