"""`vfm-course grade`: a class's notebooks, graded out of reach of what they do."""

from __future__ import annotations

import os
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from vfm_course.grading.assignment import Assignment


def grade(
    submissions: Annotated[Path, typer.Argument(help="Folder or zip of notebooks, as Canvas, Moodle or Gradescope "
                                                     "give it, or one file or folder a student.")],
    out: Annotated[Path, typer.Option(help="Folder for grades, feedback and reports.")],
    notebook: Annotated[str, typer.Option(help="Notebook that was handed out, such as 06: all its exercises.",
                                          show_default=False)] = "",
    only: Annotated[str, typer.Option(help="Only these exercises: 6.1,6.2.", show_default=False)] = "",
    assignment: Annotated[Path | None, typer.Option(help="TOML file with points, deadline and what lateness costs, in "
                                                         "place of the options.")] = None,
    deadline: Annotated[str, typer.Option(help="2026-12-01T23:59:00+01:00; UTC if it has no zone.",
                                          show_default=False)] = "",
    late: Annotated[str, typer.Option(help='What lateness costs: "10 % per day".', show_default=False)] = "",
    jobs: Annotated[int, typer.Option(min=0, help="Submissions at a time; a core each if not given.",
                                      show_default=False)] = 0,
    seed: Annotated[int, typer.Option(min=0, help="Of the inputs that answers are tried on.")] = 0,
    timeout: Annotated[float, typer.Option(min=1, help="Seconds for a submission.")] = 60.0,
    memory: Annotated[int, typer.Option(min=64, help="MB that a learner's code may take.")] = 2048,
    marks: Annotated[Path | None, typer.Option(help="The sheet of written answers, with points filled in.")] = None,
    full: Annotated[bool, typer.Option("--full", help="Run whole notebooks, training cells too, in place of the cells "
                                                      "that an exercise needs.")] = False,
    trust: Annotated[bool, typer.Option("--trust", help="Grade even where this machine cannot shut code in.")] = False,
) -> None:  # fmt: skip
    """Grade notebooks without trusting them. A run that was stopped continues when the command is given again.

    Example: vfm-course grade handed_in.zip --out graded --notebook 06
    """
    from vfm_course.grading.forked import Zygote
    from vfm_course.grading.isolation import probe

    with (
        tempfile.TemporaryDirectory(prefix="vfm-submissions-") as unpacked,
        Zygote() as zygote,  # loads torch, and the machine is tested, while this process imports the checks
        ThreadPoolExecutor(1) as aside,
    ):
        probing = aside.submit(probe, kernel=full)
        from vfm_course.errors import UserError
        from vfm_course.grading.batch import grade_all
        from vfm_course.grading.hidden import hidden_paths
        from vfm_course.grading.limits import Limits
        from vfm_course.grading.outputs import write_all
        from vfm_course.grading.result import Rules
        from vfm_course.grading.submissions import find_submissions
        from vfm_course.grading.written_sheet import read_sheet

        wanted = _wanted(notebook, only, assignment, deadline, late)
        given = read_sheet(marks, wanted) if marks else {}
        if submissions.resolve() in (out.resolve(), *out.resolve().parents):
            raise UserError("The grades would lie among the submissions: name another folder with --out.")
        try:
            out.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UserError(f"{str(out)!r} cannot be a folder for the grades: {error.strerror}.") from error
        found = find_submissions(submissions, Path(unpacked))
        held = probing.result()
        for sentence in held.sentences():
            typer.echo(sentence)
        if not held.complete and not trust:
            raise UserError("This machine cannot shut the learners' code in: grade on Linux, or trust it with --trust.")
        hidden = hidden_paths([submissions, Path(unpacked), out])
        limits = Limits(wall=timeout, cpu=int(timeout) + 1, memory_mb=memory)
        rules = Rules(wanted, limits, seed, hidden=hidden, full=full)
        with _progress(len(found)) as show:
            graded = grade_all(found, rules, out, jobs or os.cpu_count() or 1, show, zygote)
    for line in write_all(graded, wanted, held.sentences(), out, given):
        typer.echo(line)


def _wanted(notebook: str, only: str, path: Path | None, deadline: str, late: str) -> Assignment:
    from dataclasses import replace

    from vfm_course.errors import UserError
    from vfm_course.grading import assignment as assignments

    if path:
        if notebook or only or deadline or late:
            raise UserError("An assignment says all: leave --notebook, --only, --deadline and --late out beside it.")
        return assignments.read_assignment(path)
    ids = [each.strip() for each in only.split(",") if each.strip()]
    wanted = assignments.of_notebook(notebook, ids)
    return replace(
        wanted,
        deadline=assignments.deadline_of(deadline) if deadline else None,
        late=assignments.late_policy(late),
    )


def _progress(total: int):
    """A bar where somebody watches, else a line a submission: `show(graded, kept)`."""
    from contextlib import contextmanager

    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    from vfm_course.grading.tables import number

    @contextmanager
    def shown():
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        watched = sys.stderr.isatty()
        with Progress(*columns, console=Console(stderr=True), transient=True, disable=not watched) as bar:
            task = bar.add_task("Grading", total=total)

            def show(graded, kept: bool) -> None:
                bar.advance(task)
                if not watched:
                    how = "kept from before" if kept else f"{graded.seconds:.1f} s"
                    typer.echo(f"{graded.student}: {number(graded.points)} of {number(graded.possible)} ({how})")

            yield show

    return shown()
