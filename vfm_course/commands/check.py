"""`vfm-course check`: the verdict that a grader would give, on one's own notebook."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def check(
    notebook: Annotated[Path, typer.Argument(help="Your notebook (.ipynb).")],
    only: Annotated[str, typer.Option(help="Only these exercises: 6.1,6.2.", show_default=False)] = "",
    seed: Annotated[int, typer.Option(min=0, help="Of the inputs that answers are tried on.")] = 0,
) -> None:
    """Check a notebook's exercises as a grader would: each in a process of its own, from its cells alone.

    Example: vfm-course check notebooks/06_label_free_toolkit.ipynb
    """
    from vfm_course.errors import UserError
    from vfm_course.exercises import registry
    from vfm_course.exercises.verdict import RIGHT
    from vfm_course.grading.assignment import of_notebook
    from vfm_course.grading.forked import Zygote
    from vfm_course.grading.grade import grade
    from vfm_course.grading.limits import Limits
    from vfm_course.grading.notebook import Unreadable, read_notebook
    from vfm_course.grading.result import Rules
    from vfm_course.grading.selection import mentioned
    from vfm_course.grading.submissions import Submission
    from vfm_course.grading.tables import number, said

    ids = [each.strip() for each in only.split(",") if each.strip()]
    try:
        found = mentioned(read_notebook(notebook))
    except Unreadable as error:
        raise UserError(str(error)) from error
    held = {number: known for number in registry.chapters()
            if (known := [each for each in registry.chapter(number) if each in found])}  # fmt: skip
    chapters = list(held)
    unknown = sorted(found.difference(*held.values()))
    if not ids and not chapters:
        raise UserError(f"{notebook.name} holds no exercise of the course: no cell says @exercise(…) with an id of it.")
    if not ids and len(chapters) > 1:  # a notebook of one's own
        ids = [each for known in held.values() for each in known]
        typer.echo(f"Note: {notebook.name} has exercises of several notebooks: what it does not hold is not counted.")
    if unknown:
        typer.echo(
            f"Note: {notebook.name} names {', '.join(unknown)}, which the course does not have: it is not counted."
        )
    wanted = of_notebook("", ids) if ids else of_notebook(chapters[0])
    submission = Submission(student="you", path=notebook, submitted=None, notes=(), late=False, problem="")
    with Zygote() as zygote:
        graded = grade(submission, Rules(wanted, Limits(wall=600, cpu=600, memory_mb=8192), seed), zygote)
    for note in graded.notes:
        typer.echo(f"Note: {note}")
    for result in graded.results:
        mark = "✓" if result.status == RIGHT else "·"
        typer.echo(f"{mark} {result.id} {result.title}: {number(result.points)} of {number(result.possible)}")
        for line in said(result).splitlines()[result.status == RIGHT :]:
            typer.echo(f"    {line}")
    typer.echo(f"{number(graded.points)} of {number(graded.possible)} points.")
