"""Everything that a graded class leaves in its folder."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from vfm_course.exercises.record import Written
from vfm_course.grading.assignment import Assignment
from vfm_course.grading.batch import file_name
from vfm_course.grading.class_report import write_report
from vfm_course.grading.feedback import write_feedback
from vfm_course.grading.result import WRITTEN, Graded
from vfm_course.grading.tables import write_grades, write_gradescope, write_nbgrader
from vfm_course.grading.written_sheet import Marks, marked, write_sheet


def write_all(
    graded: Sequence[Graded], assignment: Assignment, isolation: Sequence[str], out: Path, marks: Marks
) -> list[str]:
    """Writes grades.csv, nbgrader.csv, feedback/, gradescope/, written.csv and class.html; says what it wrote.

    Args:
        isolation: sentences on what held while it was graded.
        marks: of the written answers, as `read_sheet` gives them.
    """
    final = [marked(one, assignment, marks) for one in graded]
    pages, results = out / "feedback", out / "gradescope"
    for folder in (pages, results):
        folder.mkdir(exist_ok=True)
    for one in final:
        write_feedback(one, assignment.name, pages / f"{file_name(one.student)}.html")
        write_gradescope(one, results / f"{file_name(one.student)}.json")
    write_grades(final, assignment, out / "grades.csv")
    write_nbgrader(final, assignment, out / "nbgrader.csv")
    write_report(final, assignment, isolation, out / "class.html")
    said = [f"Graded {len(final)} submissions: {out / 'grades.csv'}, a page each in {pages}, the class in "
            f"{out / 'class.html'}."]  # fmt: skip
    if any(isinstance(entry, Written) for entry in assignment.entries):
        answers = write_sheet(final, assignment, out / "written.csv", marks)
        waiting = sum(result.status == WRITTEN for one in final for result in one.results)
        if waiting:
            said.append(f"{waiting} of {answers} written answers wait for points: fill in {out / 'written.csv'}, and "
                        f"grade again with --marks {out / 'written.csv'}.")  # fmt: skip
    odd = sum(bool(one.problem or one.tampering) for one in final)
    if odd:
        said.append(f"{odd} of them should be looked at: the page of the class lists them.")
    return said
