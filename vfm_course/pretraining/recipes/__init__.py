"""The recipes by name, one file each."""

import importlib

from vfm_course.errors import UserError
from vfm_course.pretraining.trainer import Recipe

NAMES = ("dinov2", "clip", "siglip", "sam")


def find_recipe(name: str) -> Recipe:
    """The recipe of that name.

    Raises:
        UserError: there is none.
    """
    if name not in NAMES:
        raise UserError(f"There is no recipe {name!r}: choose from {', '.join(NAMES)}.")
    return importlib.import_module(f"{__name__}.{name}").RECIPE
