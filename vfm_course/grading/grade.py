"""Grades one submission: every exercise in a process of its own, so that none can spoil another."""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from vfm_course.exercises.failures import WorkerGone
from vfm_course.exercises.record import Choice, Entry, Exercise
from vfm_course.exercises.remote import Worker
from vfm_course.exercises.verdict import RIGHT, UNATTEMPTED, WRONG, judge
from vfm_course.grading.assignment import Assignment
from vfm_course.grading.forked import Zygote
from vfm_course.grading.limits import Limits
from vfm_course.grading.notebook import Notebook, Unreadable, read_notebook
from vfm_course.grading.selection import select
from vfm_course.grading.submissions import Submission

MISSING, WRITTEN, OUT_OF_TIME = "missing", "to be marked", "out of time"


@dataclass(frozen=True)
class Result:
    """One exercise of one student. `status` is right, wrong, not attempted, missing, to be marked or out of time;
    `points` of `possible`; the rest is what the learner is told, empty where there is nothing to say."""

    id: str
    title: str
    status: str
    points: float
    possible: float
    message: str = ""
    inputs: str = ""
    mistake: str = ""
    hint: str = ""


@dataclass(frozen=True)
class Graded:
    """One submission. `problem` says why nothing could be graded; `texts` holds written answers by id."""

    student: str
    file: str
    results: tuple[Result, ...]
    submitted: str = ""
    kept: float = 1.0  # share of the points that lateness leaves
    problem: str = ""
    notes: tuple[str, ...] = ()
    tampering: tuple[str, ...] = ()
    texts: dict[str, str] = field(default_factory=dict)
    seconds: float = 0.0

    @property
    def points(self) -> float:
        """The sum, less what lateness costs."""
        return self.kept * sum(result.points for result in self.results)

    @property
    def possible(self) -> float:
        """What a right submission in time has."""
        return sum(result.possible for result in self.results)

    def as_dict(self) -> dict:
        """Plain values for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, found: dict) -> Graded:
        """The opposite of `as_dict`."""
        results = tuple(Result(**each) for each in found["results"])
        return cls(**found | {"results": results, "notes": tuple(found["notes"]),
                              "tampering": tuple(found["tampering"])})  # fmt: skip


@dataclass(frozen=True)
class Rules:
    """How a submission is run: `seed` draws the inputs of all checks, `hidden` no learner may read."""

    assignment: Assignment
    limits: Limits = Limits()
    seed: int = 0
    check_seconds: float = 10.0
    hidden: tuple[Path, ...] = ()


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
    try:
        if submission.problem:
            raise Unreadable(submission.problem)
        notebook = read_notebook(submission.path)
    except Unreadable as error:
        results = tuple(_result(entry, rules, MISSING) for entry in rules.assignment.entries)
        return Graded(**known, results=results, problem=str(error), notes=tuple(notes))
    notes += notebook.notes
    questions = select(notebook, set(rules.assignment.points))
    notes += questions.notes
    results, tampering = [], []
    for entry in rules.assignment.entries:
        if isinstance(entry, Exercise):
            left = rules.limits.wall - (time.monotonic() - begun)
            result, attempts = _coding(entry, notebook, rules, zygote, left)
            tampering += attempts
        elif isinstance(entry, Choice):
            result = _choice(entry, rules, questions.choices.get(entry.id))
        else:
            text = questions.texts.get(entry.id, "").strip()
            result = _result(entry, rules, WRITTEN if text else MISSING)
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


def _coding(
    entry: Exercise, notebook: Notebook, rules: Rules, zygote: Zygote, left: float
) -> tuple[Result, Sequence[str]]:
    """The result of one exercise, and what its code tried that it must not."""
    chosen = select(notebook, {entry.id})
    if not chosen.places.get(entry.id):
        return _result(entry, rules, MISSING, "No cell of the notebook holds this exercise."), []
    if left <= 0:
        message = f"The submission had used up its {rules.limits.wall:g} seconds before this exercise."
        return _result(entry, rules, OUT_OF_TIME, message), []
    scratch = Path(tempfile.mkdtemp(prefix="vfm-grading-"))
    try:
        limit = min(rules.check_seconds, left)
        with Worker(limit, lambda: zygote.fork(scratch, rules.limits, rules.hidden)) as worker:
            return _judged(entry, worker, list(chosen.cells), rules)
    except WorkerGone as error:
        return _result(entry, rules, WRONG, str(error)), _tampering(entry, error.args[0])
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _judged(entry: Exercise, worker: Worker, cells: list[str], rules: Rules) -> tuple[Result, Sequence[str]]:
    loaded = worker.load(cells)
    failures = [_failure(each) for each in loaded["failures"]]
    attempts = [attempt for sentence in failures for attempt in _tampering(entry, sentence)]
    if not loaded["defined"].get(entry.id):
        if failures and entry.id not in loaded["defined"]:
            return _result(entry, rules, WRONG, failures[-1]), attempts
        return _result(entry, rules, UNATTEMPTED), attempts
    verdict = judge(entry, worker.answer(entry.id), rules.seed)
    attempts += _tampering(entry, verdict.message)
    result = _result(entry, rules, verdict.status, verdict.message, verdict.inputs, verdict.mistake)
    return result, attempts


def _failure(found: object) -> str:
    """The sentence on a cell that failed. It comes from the learner's process and may be anything."""
    if not isinstance(found, dict):
        return "A cell of this exercise failed."
    line, source, kind, message = (str(found.get(key) or "")[:300] for key in ("line", "source", "type", "message"))
    where = f"Line {line} of its cell ({source})" if line else "Its cell"
    return f"{where} raised {kind}: {message}"


# What the learner's process says when it was kept from something: a sentence for the teacher for each.
_TRIED = {
    "is not available where exercises are checked": "tried to import the answers",
    "sent something else than an answer": "wrote on the grader's own line",
}


def _tampering(entry: Entry, message: str) -> list[str]:
    return [f"{entry.id} {what}" for mark, what in _TRIED.items() if mark in message]


def _choice(entry: Choice, rules: Rules, picked: str | None) -> Result:
    if picked is None:
        return _result(entry, rules, MISSING)
    key = str(picked).strip().lower()
    if key not in entry.options:
        return _result(entry, rules, WRONG, f"There is no option {key!r}.")
    return _result(entry, rules, RIGHT if key == entry.right else WRONG, entry.explains[key])


def _result(entry: Entry, rules: Rules, status: str, message: str = "", inputs: str = "", mistake: str = "") -> Result:
    possible = rules.assignment.points[entry.id]
    hint = entry.hints[0] if entry.hints and status not in (RIGHT, WRITTEN) else ""
    points = possible if status == RIGHT else 0.0
    return Result(entry.id, entry.title, status, points, possible, message, inputs, mistake, hint)
