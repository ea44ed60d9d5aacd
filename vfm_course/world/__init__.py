"""The drawn image world: the only data for which everything is known."""

from vfm_course.world.captions import TEMPLATES, caption, random_caption, vocabulary
from vfm_course.world.concepts import CONCEPTS, DEFECTS, SUPERCLASS_OF, SUPERCLASSES
from vfm_course.world.palette import BACKGROUNDS, COLOURS
from vfm_course.world.scene import STYLES, Scene, SceneObject
from vfm_course.world.world import World

__all__ = [
    "BACKGROUNDS", "COLOURS", "CONCEPTS", "DEFECTS", "STYLES", "SUPERCLASSES", "SUPERCLASS_OF", "TEMPLATES",
    "Scene", "SceneObject", "World", "caption", "random_caption", "vocabulary",
]  # fmt: skip
