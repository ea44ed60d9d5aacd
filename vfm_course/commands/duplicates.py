"""`vfm-course duplicates`: pictures of a folder that are copies of each other; nothing is deleted."""

from __future__ import annotations

import gc
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vfm_course.commands.toolkit import Tier

if TYPE_CHECKING:
    from vfm_course.features.stream import Embeddings


def duplicates(
    folder: Annotated[Path, typer.Argument(help="Folder of pictures, subfolders included.")],
    threshold: Annotated[
        float | None,
        typer.Option(
            min=0.01, max=1, help="Lowest cosine of two pictures that belong together; 0.95 if not given.",
            show_default=False,
        ),
    ] = None,
    tier: Annotated[
        Tier | None,
        typer.Option(
            help="pocket: the course's small model, which knows drawn pictures only. hub: the published one, for "
            "photographs; downloaded once. If not given: VFM_TIER, else pocket."
        ),
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Write a table into this CSV file, one line a picture.")] = None,
) -> None:  # fmt: skip
    """Find near-duplicates by DINOv2: copies, also resized, compressed anew or cut a little. Deletes nothing.

    Example: vfm-course duplicates my_pictures --out duplicates.csv
    """
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    from vfm_course.families.load import chosen_tier
    from vfm_course.features.duplicates import (
        THRESHOLD,
        embed_for_duplicates,
        file_sizes,
        kept_for,
        near_duplicates,
        size_ranks,
    )
    from vfm_course.features.sources import name_in
    from vfm_course.toolkit_files import check_writable

    check_writable([out])
    asked = chosen_tier(tier.value if tier else None)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    console = Console(stderr=True)
    with Progress(*columns, console=console, transient=True, disable=not sys.stderr.isatty()) as bar:
        task = bar.add_task("Embedding", total=None)
        found = embed_for_duplicates(
            folder, asked, show=lambda done, total: bar.update(task, completed=done, total=total)
        )
    vectors = found.vectors["dinov2"]
    groups = near_duplicates(vectors, threshold or THRESHOLD)
    sizes = file_sizes(found.paths, groups)
    kept = kept_for(vectors, groups, size_ranks(sizes, len(vectors)))

    for note in _notes(folder, found, asked, threshold is None):
        typer.echo(f"Note: {note}")
    lines = []
    for number, group in enumerate(groups, start=1):
        typer.echo(f"Group {number}: {len(group.rows)} pictures")
        for row in sorted(group.rows, key=lambda row: (kept[row] != row, row)):
            name, (width, height, count) = name_in(found.paths[row], folder), sizes[row]
            like = "" if kept[row] == row else name_in(found.paths[kept[row]], folder)
            cosine = f"{min(1.0, float(vectors[row] @ vectors[kept[row]])):.4f}" if like else ""
            said = f"{cosine} like {like}" if like else "keep"
            typer.echo(f"  {name} ({width} x {height}, {count / 1000:.1f} kB): {said}")
            lines.append([number, name, "no" if like else "yes", like, cosine, width, height, count])
    spare = int((kept != range(len(kept))).sum())
    typer.echo(
        f"{len(groups)} group{'s' * (len(groups) != 1)}; without near-duplicates {len(kept) - spare} of {len(kept)} "
        "pictures are left. Nothing was deleted."
    )
    if out:
        _write(out, lines)
        typer.echo(f"Written: {out}")
    gc.freeze()  # or the interpreter, as it ends, looks through all of torch for garbage: nearly a second


def _write(path: Path, lines: list[list]) -> None:
    import csv

    from vfm_course.whole_file import whole_text

    with whole_text(path) as file:
        writer = csv.writer(file)
        writer.writerow(["group", "file", "keep", "like", "cosine", "width", "height", "bytes"])
        writer.writerows(lines)


def _notes(folder: Path, found: Embeddings, tier: str, default: bool) -> list[str]:
    from vfm_course.features.duplicates import EXACT_UP_TO
    from vfm_course.features.sources import name_in
    from vfm_course.toolkit import listed

    notes = []
    n, photos = len(found.paths), found.drawn.count(False)
    if tier == "pocket" and photos:
        which = "These pictures are" if photos == n else f"{photos} of these {n} pictures are"
        notes.append(
            f"{which} not from the drawn world, and the pocket model knows nothing else: cosines mean little there. "
            "For photographs use --tier hub."
        )
    if tier == "hub" and default:
        notes.append("The threshold was measured on drawn pictures: look at the groups, and set --threshold.")
    if n > EXACT_UP_TO:
        notes.append(f"Duplicates among {n} pictures are looked up in an index (IVF), which now and then misses one.")
    if found.skipped:
        skipped = [(name_in(path, folder), reason) for path, reason in found.skipped]
        notes.append(f"{len(skipped)} of {n + len(skipped)} files skipped; {listed(skipped)}.")
    return notes
