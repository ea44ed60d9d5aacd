"""What grading is told and what it finds."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from pathlib import Path

from vfm_course.exercises.record import Entry
from vfm_course.exercises.verdict import RIGHT
from vfm_course.grading.assignment import Assignment
from vfm_course.grading.limits import Limits

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
    """How a submission is run: `seed` draws the inputs of all checks, `hidden` no learner may read, `full` runs the
    whole notebook in a Jupyter kernel, once, in place of each exercise's own cells in a process of their own."""

    assignment: Assignment
    limits: Limits = Limits()
    seed: int = 0
    check_seconds: float = 10.0
    hidden: tuple[Path, ...] = ()
    full: bool = False


def result_of(
    entry: Entry, rules: Rules, status: str, message: str = "", inputs: str = "", mistake: str = ""
) -> Result:
    """A result with the points that its status earns, and a hint where it is not right."""
    possible = rules.assignment.points[entry.id]
    hint = entry.hints[0] if entry.hints and status not in (RIGHT, WRITTEN) else ""
    points = possible if status == RIGHT else 0.0
    return Result(entry.id, entry.title, status, points, possible, message, inputs, mistake, hint)
