"""The recipes by name, one file each."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from vfm_course.errors import UserError

if TYPE_CHECKING:  # the command line asks for the names, and must not wait for torch
    from vfm_course.pretraining.trainer import Recipe

NAMES = (
    "dinov2", "mae", "ijepa", "clip", "siglip", "supervised", "sam", "clip-signs", "clip-scenes", "language",
    "language-more", "blip2-tower",
)  # fmt: skip
# Another pocket model's weights; all others begin from random ones.
BEGINS_FROM = {"dinov2": "mae", "clip-signs": "clip", "clip-scenes": "clip", "blip2-tower": "clip-scenes"}


def find_recipe(name: str) -> Recipe:
    """The recipe of that name.

    Raises:
        UserError: there is none.
    """
    if name not in NAMES:
        raise UserError(f"There is no recipe {name!r}: choose from {', '.join(NAMES)}.")
    return importlib.import_module(f"{__name__}.{name.replace('-', '_')}").RECIPE
