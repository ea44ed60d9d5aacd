"""`vfm-course draw`: scenes of the drawn world as picture files."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from vfm_course.errors import UserError


def draw(
    folder: Annotated[Path, typer.Argument(help="Where the pictures go; made if missing.")],
    number: Annotated[int, typer.Option("-n", min=1, help="How many pictures.")] = 48,
    size: Annotated[int, typer.Option(min=16, help="Side in pixels.")] = 224,
    seed: Annotated[int, typer.Option(min=0, help="Another seed, other pictures.")] = 0,
) -> None:
    """Draw scenes, each concept in turn, named like a person's folder: cat_01.jpg, cat_02.jpg …"""
    from PIL import Image
    from rich.console import Console
    from rich.progress import track

    from vfm_course.world import CONCEPTS, World
    from vfm_course.world.marker import MARKER, is_drawn

    concepts = [CONCEPTS[index % len(CONCEPTS)] for index in range(number)]
    paths = [folder / f"{concept}_{index // len(CONCEPTS) + 1:02d}.jpg" for index, concept in enumerate(concepts)]
    if folder.exists() and not folder.is_dir():
        raise UserError(f"{folder} is a file: name a folder for the pictures.")
    foreign = next((path for path in paths if path.exists() and not is_drawn(path)), None)
    if foreign:
        raise UserError(f"{foreign} is there already and was not drawn by this command: name another folder.")
    # Half the course's difficulty: these are looked at by people, at a larger size.
    world = World(seed, size, difficulty=0.5)
    progress = {"console": Console(stderr=True), "disable": not sys.stderr.isatty(), "transient": True}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for index in track(range(number), "Drawing", **progress):
            image = Image.fromarray(world.scene(index, concept=concepts[index]).image)
            image.save(paths[index], quality=90, comment=MARKER)
    except OSError as error:
        raise UserError(f"{folder} cannot be written: {error.strerror or error}.") from None
    typer.echo(f"{number} pictures of {size} px in {folder}")
