"""Grades one submission: what can be read is read, what has to run is run out of reach."""

from __future__ import annotations

import time
from dataclasses import replace

from vfm_course.exercises.record import Choice, Exercise
from vfm_course.exercises.verdict import RIGHT, WRONG
from vfm_course.grading.coding import OwnCells, WholeNotebook
from vfm_course.grading.forked import Zygote
from vfm_course.grading.notebook import Unreadable, read_notebook
from vfm_course.grading.result import MISSING, WRITTEN, Graded, Result, Rules, result_of
from vfm_course.grading.selection import select
from vfm_course.grading.submissions import Submission


def grade(submission: Submission, rules: Rules, zygote: Zygote) -> Graded:
    """Grades one submission; the same submission, rules and seed give the same result.

    Nothing that the learner's code does raises here; what cannot be graded says so in its result.
    """
    begun = time.monotonic()
    kept = rules.assignment.late.share_kept(rules.assignment.days_late(submission.submitted))
    known = {
        "student": submission.student,
        "file": submission.path.name,
        "submitted": submission.submitted.isoformat() if submission.submitted else "",
        "kept": kept,
    }
    notes = list(submission.notes)
    if submission.late and submission.submitted is None and rules.assignment.late.per_day:
        notes.append("The platform says that it came late, but not when: take off by hand what lateness costs.")
    try:
        if submission.problem:
            raise Unreadable(submission.problem)
        notebook = read_notebook(submission.path)
    except Unreadable as error:
        results = tuple(result_of(entry, rules, MISSING) for entry in rules.assignment.entries)
        return Graded(**known, results=results, problem=str(error), notes=tuple(notes))
    notes += notebook.notes
    questions = select(notebook, set(rules.assignment.points))
    notes += questions.notes
    results, tampering = [], []
    with OwnCells(notebook, rules, zygote) as own, WholeNotebook(notebook, rules, zygote) as whole:
        for entry in rules.assignment.entries:
            if isinstance(entry, Exercise):
                way = whole if rules.full or entry.whole_notebook else own
                result, attempts = way.judge(entry, rules.limits.wall - (time.monotonic() - begun))
                tampering += attempts
            elif isinstance(entry, Choice):
                result = _choice(entry, rules, questions.choices.get(entry.id))
            else:
                text = questions.texts.get(entry.id, "").strip()
                result = result_of(entry, rules, WRITTEN if text else MISSING)
            results.append(result)
    if tampering:  # earns nothing, not even for what is right beside it
        results = [replace(result, points=0.0) for result in results]
    return Graded(
        **known,
        results=tuple(results),
        notes=tuple(dict.fromkeys(notes)),
        tampering=tuple(dict.fromkeys(tampering)),
        texts={key: text for key, text in questions.texts.items() if key in rules.assignment.points},
        seconds=round(time.monotonic() - begun, 3),
    )


def _choice(entry: Choice, rules: Rules, picked: str | None) -> Result:
    if picked is None:
        return result_of(entry, rules, MISSING)
    key = str(picked).strip().lower()
    if key not in entry.options:
        return result_of(entry, rules, WRONG, f"There is no option {key!r}.")
    return result_of(entry, rules, RIGHT if key == entry.right else WRONG, entry.explains[key])
