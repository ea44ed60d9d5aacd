"""What is to be graded: which exercises, for how many points, until when, and what lateness costs."""

from __future__ import annotations

import math
import re
import tomllib
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from vfm_course.errors import UserError
from vfm_course.exercises import registry
from vfm_course.exercises.record import Entry

_PENALTY = re.compile(r"(\d+(?:\.\d+)?)\s*%\s*(?:per|a|/)\s*day")


@dataclass(frozen=True)
class Late:
    """What a late submission loses: `per_day` is the share of its points for each begun day (0.1 is 10 %)."""

    per_day: float = 0.0

    def share_kept(self, days: float) -> float:
        """From 1 (in time) down to 0; `days` after the deadline, negative before."""
        return 1.0 if days <= 0 else max(0.0, 1.0 - self.per_day * math.ceil(days))


@dataclass(frozen=True)
class Assignment:
    """`points` maps the id of each exercise or question to what it is worth here; `deadline` has a time zone."""

    points: dict[str, float]
    deadline: datetime | None = None
    late: Late = Late()
    name: str = "assignment"

    @property
    def entries(self) -> list[Entry]:
        """The exercises in reading order."""
        return [registry.find(each) for each in sorted(self.points, key=registry.reading_order)]

    @property
    def total(self) -> float:
        """All points."""
        return float(sum(self.points.values()))

    def days_late(self, submitted: datetime | None) -> float:
        """Days after the deadline, negative before; 0 where either is not known. A time without a zone is UTC."""
        if self.deadline is None or submitted is None:
            return 0.0
        return (_zoned(submitted) - _zoned(self.deadline)).total_seconds() / 86_400


def of_notebook(number: str, only: list[str] | None = None) -> Assignment:
    """All exercises and questions of a notebook with their own points, or those in `only`.

    Raises:
        UserError: no such notebook or exercise, or none is left.
    """
    entries = registry.chapter(str(number).zfill(2)) if number else {}
    wanted = [registry.find(each) for each in only] if only else list(entries.values())
    if not wanted:
        raise UserError("Nothing is to be graded: name a notebook (--notebook 06) or exercises (--only 6.1,6.2).")
    name = f"notebook-{number.zfill(2)}" if number else "exercises"
    return Assignment({entry.id: float(entry.points) for entry in wanted}, name=name)


def read_assignment(path: Path) -> Assignment:
    """Reads a file such as

        name = "lab 2"
        deadline = 2026-12-01T23:59:00+01:00
        late = "10 % per day"
        [points]
        "6.1" = 2

    Raises:
        UserError: it cannot be read or says something that is not understood.
    """
    try:
        found = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(f"The assignment {path.name} cannot be read: {error.strerror}.") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UserError(f"The assignment {path.name} is no TOML file: {error}.") from error
    unknown = sorted(set(found) - {"name", "deadline", "late", "points"})
    if unknown:
        raise UserError(f"{path.name} has {unknown[0]!r}, which means nothing: name, deadline, late and points do.")
    points = found.get("points")
    if not isinstance(points, dict) or not points:
        raise UserError(f'{path.name} has no table [points], such as "6.1" = 2.')
    for key, worth in points.items():
        registry.find(key)
        if isinstance(worth, bool) or not isinstance(worth, int | float) or not 0 <= worth < math.inf:
            raise UserError(f"{path.name}: {key} is worth a number of points from 0, not {worth!r}.")
    deadline = found.get("deadline")
    if deadline is not None and not isinstance(deadline, datetime):
        raise UserError(f"{path.name}: the deadline is a date with a time, such as 2026-12-01T23:59:00+01:00.")
    return Assignment(
        {key: float(worth) for key, worth in points.items()},
        deadline,
        late_policy(str(found.get("late", ""))),
        str(found.get("name", path.stem)),
    )


def late_policy(text: str) -> Late:
    """`"10 % per day"`; an empty text takes nothing off.

    Raises:
        UserError: it says something else.
    """
    if not text.strip():
        return Late()
    match = _PENALTY.fullmatch(text.strip())
    if not match or float(match[1]) > 100:
        raise UserError(f'What lateness costs is said like "10 % per day", not {text!r}.')
    return Late(float(match[1]) / 100)


def deadline_of(text: str) -> datetime:
    """An ISO date with a time.

    Raises:
        UserError: it is none.
    """
    try:
        return _zoned(datetime.fromisoformat(text))
    except ValueError as error:
        raise UserError(f"A deadline is a date with a time such as 2026-12-01T23:59:00+01:00, not {text!r}.") from error


def _zoned(moment: datetime) -> datetime:
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
