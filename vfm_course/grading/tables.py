"""Grades as tables: one of the course's own, nbgrader's, and Gradescope's results."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from pathlib import Path

from vfm_course.exercises.verdict import RIGHT
from vfm_course.grading.assignment import Assignment
from vfm_course.grading.result import WRITTEN, Graded, Result
from vfm_course.whole_file import whole_text

_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def safe_cell(text: str) -> str:
    """Text that a spreadsheet takes for text: a name that begins with "=" would be run as a formula otherwise."""
    return f"'{text}" if text.startswith(_FORMULA) else text


def number(value: float) -> str:
    """Points without needless digits: 2, 1.5."""
    return f"{round(value, 4):g}"


def write_grades(graded: Sequence[Graded], assignment: Assignment, path: Path) -> None:
    """`grades.csv`: a row a student, a column an exercise, then sums; written answers count once they are marked."""
    ids = [entry.id for entry in assignment.entries]
    head = ["student", "file", "submitted", *ids, "sum", "kept after lateness", "total", "possible", "notes"]
    rows = []
    for one in graded:
        points = {result.id: result for result in one.results}
        cells = ["" if points[each].status == WRITTEN else number(points[each].points) for each in ids]
        notes = [one.problem, *(f"tampering: {what}" for what in one.tampering), *one.notes]
        rows.append([safe_cell(one.student), safe_cell(one.file), one.submitted, *cells,
                     number(sum(result.points for result in one.results)), number(one.kept), number(one.points),
                     number(one.possible), safe_cell("; ".join(filter(None, notes)))])  # fmt: skip
    _write(path, head, rows)


def write_nbgrader(graded: Sequence[Graded], assignment: Assignment, path: Path) -> None:
    """The columns of nbgrader's own export (`nbgrader export`)."""
    head = ["assignment", "duedate", "timestamp", "student_id", "last_name", "first_name", "email", "raw_score",
            "late_submission_penalty", "score", "max_score"]  # fmt: skip
    due = assignment.deadline.isoformat() if assignment.deadline else ""
    rows = []
    for one in graded:
        raw = sum(result.points for result in one.results)
        rows.append([assignment.name, due, one.submitted, safe_cell(one.student), "", "", "", number(raw),
                     number(raw - one.points), number(one.points), number(one.possible)])  # fmt: skip
    _write(path, head, rows)


def gradescope(one: Graded) -> dict:
    """Gradescope's results.json of one submission: a test an exercise."""
    tests = [
        {
            "name": f"{result.id} {result.title}",
            "number": result.id,
            "score": round(one.kept * result.points, 4),
            "max_score": result.possible,
            "status": "passed" if result.status == RIGHT else "failed",
            "output": said(result),
            "visibility": "visible",
        }
        for result in one.results
    ]
    return {
        "score": round(one.points, 4),
        "execution_time": max(1, round(one.seconds)),
        "output": "\n".join(
            filter(None, [one.problem, *one.notes, *(f"Not counted: {what}." for what in one.tampering)])
        ),
        "output_format": "text",
        "visibility": "visible",
        "stdout_visibility": "hidden",
        "tests": tests,
    }


def said(result: Result) -> str:
    """What the learner is told of one exercise, a sentence a line."""
    called = f"Called with: {result.inputs}." if result.inputs else ""
    hint = f"Hint: {result.hint}" if result.hint else ""
    head = f"{result.status[0].upper()}{result.status[1:]}."
    return "\n".join(filter(None, [head, result.mistake, result.message, called, hint]))


def write_gradescope(one: Graded, path: Path) -> None:
    """Writes `gradescope(one)`."""
    with whole_text(path) as file:
        file.write(json.dumps(gradescope(one), indent=1) + "\n")


def _write(path: Path, head: list[str], rows: list[list[str]]) -> None:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([head, *rows])
    with whole_text(path) as file:
        file.write(text.getvalue())
