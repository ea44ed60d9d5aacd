"""`vfm-course pretrain`: train one of the pocket models again, and watch it happen."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from vfm_course.errors import UserError
from vfm_course.pretraining.recipes import NAMES


def pretrain(
    recipe: Annotated[str, typer.Argument(help=f"{', '.join(NAMES[:-1])} or {NAMES[-1]}.")],
    quick: Annotated[bool, typer.Option(help="At most ten minutes on two cores.")] = False,
    images: Annotated[int, typer.Option(min=0, help="Images seen, in place of the recipe's own length.")] = 0,
    out: Annotated[Path | None, typer.Option(help="Folder for model and curve; in the cache if not given.")] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of weights and batches.")] = 0,
    threads: Annotated[int, typer.Option(min=0, help="CPU threads; 1 for one run a core. All if not given.")] = 0,
) -> None:
    """Pretrain a pocket model on the drawn world. A run that was killed continues when the command is given again."""
    from vfm_course.pretraining.recipes import find_recipe

    found = find_recipe(recipe)
    import torch
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    from vfm_course.paths import cache_dir
    from vfm_course.pretraining.trainer import Record, train

    if threads:
        torch.set_num_threads(threads)
    length = images or (found.quick_images if quick else found.images)
    folder = out or cache_dir() / "pretraining" / f"{recipe}_{length}_seed{seed}"
    console = Console(stderr=True)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[state]}"),
    )
    try:
        with Progress(*columns, console=console, disable=not sys.stderr.isatty()) as bar:
            task = bar.add_task(f"Pretraining {recipe}", total=length, state="")

            def show(record: Record) -> None:
                loss = f"loss {record.curve[-1]['loss']:.3f}, " if record.curve else ""
                rate = record.seen / max(record.seconds, 1e-9)
                bar.update(task, completed=record.seen, state=f"{loss}{rate:.0f} images/s")

            record = train(found, folder, length, seed, show)
    except OSError as error:
        raise UserError(f"{folder} cannot be written: {error.strerror or error}.") from None
    typer.echo(
        f"{recipe}: {record.seen:,} images in {record.seconds / 60:.1f} minutes, "
        f"loss {record.curve[-1]['loss']:.3f}; model and curve in {folder}"
    )
