"""`vfm-course draw`: scenes of the drawn world as picture files."""

from pathlib import Path
from typing import Annotated

import typer

from vfm_course.errors import UserError

MARKER = b"vfm_course drawn world"


def draw(
    folder: Annotated[Path, typer.Argument(help="Where the pictures go; made if missing.")],
    number: Annotated[int, typer.Option("-n", min=1, help="How many pictures.")] = 48,
    size: Annotated[int, typer.Option(min=16, help="Side in pixels.")] = 224,
    seed: Annotated[int, typer.Option(min=0, help="Another seed, other pictures.")] = 0,
) -> None:
    """Draw scenes, each concept in turn, named like a person's folder: cat_01.jpg, cat_02.jpg …"""
    from PIL import Image

    from vfm_course.world import CONCEPTS, World

    if folder.exists() and not folder.is_dir():
        raise UserError(f"{folder} is a file: name a folder for the pictures.")
    folder.mkdir(parents=True, exist_ok=True)
    world = World(seed, size, difficulty=0.5)
    for index in range(number):
        concept = CONCEPTS[index % len(CONCEPTS)]
        path = folder / f"{concept}_{index // len(CONCEPTS) + 1:02d}.jpg"
        # The comment tells the toolkit that a picture is drawn and not a photograph.
        Image.fromarray(world.scene(index, concept=concept).image).save(path, quality=90, comment=MARKER)
    typer.echo(f"{number} pictures of {size} px in {folder}")
