"""`vfm-course toolkit`: labels, neighbours and disagreements for a folder of pictures, without training."""

from __future__ import annotations

import gc
import sys
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vfm_course.errors import UserError
from vfm_course.families.texts import TEMPLATE

if TYPE_CHECKING:
    from PIL import Image

    from vfm_course.toolkit import Row


class Model(str, Enum):  # noqa: UP042  (StrEnum shows its members differently in older typer)
    """Which model reads the labels."""

    clip = "clip"
    siglip = "siglip"


class Tier(str, Enum):  # noqa: UP042
    """Whose weights."""

    pocket = "pocket"
    hub = "hub"


def toolkit(
    folder: Annotated[Path, typer.Argument(help="Folder of pictures, subfolders included.")],
    labels: Annotated[str, typer.Option(help='Separated by commas: "a dog, a cat, a car".')],
    template: Annotated[str, typer.Option(help="What the model reads; {} is where the label goes.")] = TEMPLATE,
    model: Annotated[
        Model, typer.Option(help="clip chooses among the labels; siglip scores each on its own.")
    ] = Model.clip,
    neighbors: Annotated[int, typer.Option(min=1, help="Neighbours for each picture.")] = 3,
    tier: Annotated[
        Tier | None,
        typer.Option(
            help="pocket: the course's small models, which know drawn pictures only. hub: the published ones, for "
            "photographs; downloaded once. If not given: VFM_TIER, else pocket."
        ),
    ] = None,
    masks: Annotated[bool, typer.Option("--masks", help="Show SAM's automatic masks in the page of --html.")] = False,
    json: Annotated[Path | None, typer.Option(help="Write everything into this JSON file.")] = None,
    csv: Annotated[Path | None, typer.Option(help="Write a table into this CSV file, one line a picture.")] = None,
    html: Annotated[Path | None, typer.Option(help="Write a page with the pictures into this HTML file.")] = None,
) -> None:
    """Label a folder of pictures by CLIP or SigLIP, find look-alikes by DINOv2, and show where the two disagree.

    Example: vfm-course toolkit my_pictures --labels "a dog, a cat, a car" --html report.html
    """
    from vfm_course.toolkit import parse_labels, run
    from vfm_course.toolkit_files import check_writable, write_csv, write_html, write_json

    if masks and html is None:
        raise UserError("--masks draws into the page: name it with --html FILE.")
    chosen = parse_labels(labels, model.value)
    check_writable([json, csv, html])
    asked = tier.value if tier else None
    if masks:  # first, so that a missing SAM is said before the folder is worked through
        from vfm_course.families import load
        from vfm_course.masks.automatic import overlay_row

        sam = load("sam", asked)

    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    def progress() -> Progress:
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        return Progress(*columns, console=Console(stderr=True), transient=True, disable=not sys.stderr.isatty())

    with progress() as bar:
        task = bar.add_task("Embedding", total=None)
        report = run(
            folder, chosen, template, model.value, neighbors, asked,
            show=lambda done, total: bar.update(task, completed=done, total=total),
        )  # fmt: skip

    for note in report.notes:
        typer.echo(f"Note: {note}")
    for row in report.rows:
        typer.echo(row.line())
    for title, pairs in (
        ("Same label, yet unlike to DINOv2 (cosine):", report.same_label_far),
        ("Other label, yet alike to DINOv2 (cosine):", report.other_label_near),
    ):
        typer.echo(f"\n{title}")
        for pair in pairs:
            one, other = (f'{n} "{label}"' for n, label in zip((pair.first, pair.second), pair.labels, strict=True))
            typer.echo(f"  {one} and {other} ({pair.cosine:.2f})")
        if not pairs:
            typer.echo("  none")
    for path, write in ((json, write_json), (csv, write_csv)):
        if path:
            write(report, path)
    if html:
        with progress() as bar:
            task = bar.add_task("Page", total=len(report.rows))

            def overlay(row: Row) -> Image.Image | None:  # asked for one by one: all of a large folder do not fit
                bar.advance(task)
                return overlay_row(row, sam) if masks else None

            write_html(report, html, overlay)
    written = [str(path) for path in (json, csv, html) if path]
    if written:
        typer.echo(f"\nWritten: {', '.join(written)}")
    gc.freeze()  # or the interpreter, as it ends, looks through all of torch for garbage: nearly a second
