"""A class: submissions graded side by side, each kept as soon as it is done, so that a killed run continues."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager, nullcontext
from dataclasses import asdict
from pathlib import Path

import vfm_course
from vfm_course.grading.forked import Zygote
from vfm_course.grading.grade import grade
from vfm_course.grading.result import Graded, Rules
from vfm_course.grading.submissions import Submission
from vfm_course.whole_file import whole_text

KEPT = "kept"  # folder of finished results within the output folder


def grade_all(
    submissions: Sequence[Submission],
    rules: Rules,
    out: Path,
    jobs: int = 1,
    show: Callable[[Graded, bool], None] | None = None,
    zygote: Zygote | None = None,
) -> list[Graded]:
    """Grades a class; the result does not depend on the order or on `jobs`.

    Args:
        out: finished submissions are kept below it, and taken from there when nothing that they depend on has changed.
        jobs: submissions at a time.
        show: called for each when it is done, with whether it was taken from an earlier run.
        zygote: one that has been started already; without it one is started for this class.

    Returns:
        In the order of `submissions`.
    """
    folder = out / KEPT
    folder.mkdir(parents=True, exist_ok=True)
    paths = {one.student: folder / f"{file_name(one.student)}.json" for one in submissions}
    prints = {one.student: fingerprint(one, rules) for one in submissions}
    done: dict[str, Graded] = {}
    for one in submissions:
        if (found := _kept(paths[one.student], prints[one.student])) is not None:
            done[one.student] = found
            if show:
                show(found, True)
    left = [one for one in submissions if one.student not in done]
    if left:
        with _pool(jobs, zygote) as (pool, zygote):
            running = {pool.submit(grade, one, rules, zygote): one for one in left}
            for future in as_completed(running):
                one, graded = running[future], future.result()
                with whole_text(paths[one.student]) as file:
                    file.write(json.dumps({"fingerprint": prints[one.student], "graded": graded.as_dict()}, indent=1))
                done[one.student] = graded
                if show:
                    show(graded, False)
    return [done[one.student] for one in submissions]


@contextmanager
def _pool(jobs: int, zygote: Zygote | None) -> Iterator[tuple[ThreadPoolExecutor, Zygote]]:
    """Threads suffice: they wait for the learners' processes."""
    with nullcontext(zygote) if zygote else Zygote() as zygote:
        pool = ThreadPoolExecutor(max_workers=max(1, jobs))
        try:
            yield pool, zygote
        finally:
            pool.shutdown(cancel_futures=True)


def fingerprint(one: Submission, rules: Rules) -> str:
    """Of all that a result depends on: the file, the student, the rules and the course's version."""
    content = hashlib.sha256()
    try:
        with one.path.open("rb") as file:
            content = hashlib.file_digest(file, "sha256")
    except OSError:
        pass  # its problem says so
    ours = {
        "version": vfm_course.__version__,
        "submission": [one.student, one.path.name, str(one.submitted), list(one.notes), one.problem],
        "points": rules.assignment.points,
        "deadline": str(rules.assignment.deadline),
        "late": rules.assignment.late.per_day,
        "limits": asdict(rules.limits),
        "seconds": rules.check_seconds,
        "seed": rules.seed,
        "full": rules.full,
    }
    return hashlib.sha256(content.digest() + json.dumps(ours, sort_keys=True).encode()).hexdigest()


def file_name(student: str) -> str:
    """A name for the student's files that any system takes, and that no two students share."""
    readable = re.sub(r"[^A-Za-z0-9._-]+", "_", student).strip("._")[:60] or "student"
    exact = readable == student and student.lower() == student
    return readable if exact else f"{readable}-{hashlib.sha256(student.encode()).hexdigest()[:8]}"


def _kept(path: Path, print_: str) -> Graded | None:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        return Graded.from_dict(found["graded"]) if found["fingerprint"] == print_ else None
    except (OSError, ValueError, KeyError, TypeError):
        return None
