"""Written answers on one sheet with the rubric and room for points; read back in when a person has marked them."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from vfm_course.errors import UserError
from vfm_course.exercises.record import Written
from vfm_course.exercises.verdict import RIGHT, WRONG
from vfm_course.grading.assignment import Assignment
from vfm_course.grading.result import WRITTEN, Graded
from vfm_course.grading.tables import safe_cell
from vfm_course.whole_file import whole_text

HEAD = ["student", "exercise", "criterion", "rubric", "answer", "points"]
Marks = dict[tuple[str, str], dict[str, int]]  # (student, exercise) -> criterion -> 0 or 1


def write_sheet(graded: Sequence[Graded], assignment: Assignment, path: Path, marks: Marks | None = None) -> int:
    """A row for each criterion of each answer, `points` empty or as marked before; the number of answers.

    All answers to one question stand together, so that they are marked side by side.
    """
    rows, answers = [], 0
    for entry in assignment.entries:
        if not isinstance(entry, Written):
            continue
        for one in graded:
            if not one.texts.get(entry.id, "").strip():
                continue
            answers += 1
            given = (marks or {}).get((one.student, entry.id), {})
            for row, (key, criterion) in enumerate(entry.rubric.items()):
                answer = one.texts[entry.id].strip() if row == 0 else ""
                rows.append([safe_cell(one.student), entry.id, key, criterion, safe_cell(answer), given.get(key, "")])
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([HEAD, *rows])
    with whole_text(path) as file:
        file.write(text.getvalue())
    return answers


def read_sheet(path: Path, assignment: Assignment) -> Marks:
    """The marks of a sheet; rows without points are left out.

    Raises:
        UserError: no such sheet, an unknown exercise or criterion, or points other than 0 and 1; names the line.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = list(csv.DictReader(file, dialect=_dialect(file.read(4096), file)))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"The sheet {path.name} cannot be read as CSV in UTF-8: {error}.") from error
    if not rows:
        return {}
    missing = [name for name in ("student", "exercise", "criterion", "points") if name not in rows[0]]
    if missing:
        raise UserError(
            f"The sheet {path.name} has no column {missing[0]!r}: keep the columns that it was written with."
        )
    rubrics = {entry.id: entry.rubric for entry in assignment.entries if isinstance(entry, Written)}
    marks: Marks = {}
    for line, row in enumerate(rows, 2):
        mark = (row["points"] or "").strip()
        if not mark:
            continue
        where = f"{path.name}, row {line}"
        if row["exercise"] not in rubrics or row["criterion"] not in rubrics[row["exercise"]]:
            raise UserError(f"{where}: there is no criterion {row['criterion']!r} of exercise {row['exercise']!r}.")
        if mark not in ("0", "1", "0.0", "1.0"):
            raise UserError(f"{where}: points are 0 or 1 for each criterion, not {mark!r}.")
        student = row["student"].removeprefix("'") if row["student"][:2] in ("'=", "'+", "'-", "'@") else row["student"]
        marks.setdefault((student, row["exercise"]), {})[row["criterion"]] = int(float(mark))
    return marks


def _dialect(beginning: str, file) -> type[csv.Dialect] | str:
    """A spreadsheet of another country saves with semicolons."""
    file.seek(0)
    head = beginning.partition("\n")[0]
    if head.count(";") > head.count(","):
        return csv.Sniffer().sniff(head, delimiters=";")
    return "excel"


def marked(one: Graded, assignment: Assignment, marks: Marks) -> Graded:
    """The submission with the points of its written answers, in the shares that the rubric's criteria are of it.

    An answer is marked when every criterion has its points; until then it waits.
    """
    rubrics = {entry.id: entry.rubric for entry in assignment.entries if isinstance(entry, Written)}
    results = []
    for result in one.results:
        given = marks.get((one.student, result.id), {})
        rubric = rubrics.get(result.id, {})
        if result.status == WRITTEN and rubric and set(given) == set(rubric):
            earned = sum(given.values()) / len(rubric)
            lacking = [criterion for key, criterion in rubric.items() if not given[key]]
            message = f"Lacking: {'; '.join(lacking)}." if lacking else ""
            status = RIGHT if not lacking else WRONG
            points = 0.0 if one.tampering else earned * result.possible
            result = replace(result, status=status, points=points, message=message)
        results.append(result)
    return replace(one, results=tuple(results))
