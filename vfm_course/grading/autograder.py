"""Grades the one submission in a folder and writes Gradescope's results.json; what the autograder archive runs.

    python -m vfm_course.grading.autograder SUBMISSION_FOLDER RESULTS_JSON ASSIGNMENT_TOML

Gradescope gives each submission a container of its own, which is the isolation; what this machine permits is added.
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path

from vfm_course.errors import UserError
from vfm_course.grading.assignment import read_assignment
from vfm_course.grading.forked import Zygote
from vfm_course.grading.grade import grade
from vfm_course.grading.hidden import hidden_paths
from vfm_course.grading.limits import Limits
from vfm_course.grading.result import Graded, Rules
from vfm_course.grading.submissions import Submission, find_submissions
from vfm_course.grading.tables import write_gradescope
from vfm_course.whole_file import whole_text

SECONDS = 300.0  # for a submission; Gradescope's own limit is ten minutes if the teacher sets no other


def grade_folder(folder: Path, assignment: Path) -> Graded:
    """The result of the newest notebook in a folder, whoever it is from.

    Raises:
        UserError: the assignment cannot be read, or there is nothing to grade.
    """
    rules = Rules(
        read_assignment(assignment), Limits(wall=SECONDS, cpu=int(SECONDS)), hidden=hidden_paths([assignment])
    )
    with tempfile.TemporaryDirectory() as unpacked:
        found = [one for one in find_submissions(folder, Path(unpacked)) if not one.problem]
        if not found:
            raise UserError("No notebook was handed in: upload one .ipynb file.")
        newest = max(found, key=lambda one: one.path.stat().st_mtime)
        own = Submission(**vars(newest) | {"student": "submission"})
        with Zygote() as zygote:
            return grade(own, rules, zygote)


def main() -> None:
    folder, results, assignment = map(Path, sys.argv[1:4])
    try:
        write_gradescope(grade_folder(folder, assignment), results)
    except UserError as error:  # the learner reads it there
        with whole_text(results) as file:
            file.write(json.dumps({"score": 0, "output": str(error), "visibility": "visible"}) + "\n")


if __name__ == "__main__":
    main()
