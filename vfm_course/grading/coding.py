"""Two ways to run a learner's exercises out of reach: each with its own cells alone, or all after a whole run."""

from __future__ import annotations

import re
import shutil
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from vfm_course.exercises.failures import WorkerGone
from vfm_course.exercises.record import Entry, Exercise
from vfm_course.exercises.remote import Process, Worker
from vfm_course.exercises.verdict import UNATTEMPTED, WRONG, judge
from vfm_course.grading import full
from vfm_course.grading.forked import Zygote
from vfm_course.grading.notebook import Notebook
from vfm_course.grading.result import MISSING, OUT_OF_TIME, Result, Rules, result_of
from vfm_course.grading.selection import mentioned, select

Judged = tuple[Result, Sequence[str]]  # and what the code tried that it must not


class OwnCells:
    """Each exercise in a process of its own, with the cells that it needs, so that none can spoil another.

    Use as a context manager.
    """

    def __init__(self, notebook: Notebook, rules: Rules, zygote: Zygote):
        self.notebook, self.rules, self.zygote = notebook, rules, zygote

    def __enter__(self) -> OwnCells:
        return self

    def __exit__(self, *problem) -> None:
        """Each exercise has cleared up behind itself."""

    def judge(self, entry: Exercise, left: float) -> Judged:
        """The result of one exercise; `left` are the seconds that its submission has."""
        chosen = select(self.notebook, {entry.id})
        if not chosen.places.get(entry.id):
            return result_of(entry, self.rules, MISSING, "No cell of the notebook holds this exercise."), []
        if left <= 0:
            return _too_late(entry, self.rules), []
        scratch = Path(tempfile.mkdtemp(prefix="vfm-grading-"))

        def begin() -> Process:
            return self.zygote.fork(scratch, self.rules.limits, self.rules.hidden)

        try:
            with Worker(min(self.rules.check_seconds, left), begin) as worker:
                return _judged(entry, worker, list(chosen.cells), self.rules, chosen.numbers)
        except WorkerGone as error:
            return _gone(entry, self.rules, error)
        finally:
            shutil.rmtree(scratch, ignore_errors=True)


class WholeNotebook:
    """The whole notebook is run once, in a Jupyter kernel, and all exercises are asked in that process.

    An exercise that ends the process costs the next one another run. Use as a context manager.
    """

    def __init__(self, notebook: Notebook, rules: Rules, zygote: Zygote):
        self.notebook, self.rules, self.zygote = notebook, rules, zygote
        self.named = mentioned(notebook)
        self.scratch: Path | None = None
        self.worker = Worker(rules.check_seconds, self._begin)
        self.until, self.failures = 0.0, []

    def _begin(self) -> Process:
        self._clear()  # of a run before
        self.scratch = Path(tempfile.mkdtemp(prefix="vfm-grading-"))
        self.failures.clear()
        process = self.zygote.fork(
            self.scratch, self.rules.limits, self.rules.hidden, kernel=full.write_connection(self.scratch)
        )
        full.run(self.notebook, process, self.scratch, max(1.0, self.until - time.monotonic()), self.failures)
        return process

    def __enter__(self) -> WholeNotebook:
        return self

    def __exit__(self, *problem) -> None:
        self.worker.close()
        self._clear()

    def _clear(self) -> None:
        if self.scratch is not None:
            shutil.rmtree(self.scratch, ignore_errors=True)

    def judge(self, entry: Exercise, left: float) -> Judged:
        """The result of one exercise; `left` are the seconds that its submission has."""
        if entry.id not in self.named:
            return result_of(entry, self.rules, MISSING, "No cell of the notebook holds this exercise."), []
        if left <= 0:
            return _too_late(entry, self.rules), []
        self.until = time.monotonic() + left
        try:
            return _judged(entry, self.worker, [], self.rules, seen=self.failures)
        except WorkerGone as error:
            return _gone(entry, self.rules, error)


def _too_late(entry: Exercise, rules: Rules) -> Result:
    message = f"The submission had used up its {rules.limits.wall:g} seconds before this exercise."
    return result_of(entry, rules, OUT_OF_TIME, message)


def _gone(entry: Exercise, rules: Rules, error: WorkerGone) -> Judged:
    return result_of(entry, rules, WRONG, str(error)), _tampering(entry, str(error))


def _judged(
    entry: Exercise,
    worker: Worker,
    cells: list[str],
    rules: Rules,
    numbers: Sequence[int] = (),
    seen: Sequence[dict] = (),
) -> Judged:
    """`numbers` are the cells' in the notebook; `seen` are failures of cells that were seen from outside."""
    loaded = worker.load(cells)
    failures = [_failure(each, _place(each, numbers)) for each in loaded["failures"]]
    failures += [_failure(each, each.get("cell")) for each in seen]
    attempts = [attempt for sentence in failures for attempt in _tampering(entry, sentence)]
    if not loaded["defined"].get(entry.id):
        if failures and entry.id not in loaded["defined"]:
            return result_of(entry, rules, WRONG, failures[-1]), attempts
        return result_of(entry, rules, UNATTEMPTED), attempts
    verdict = judge(entry, worker.answer(entry.id), rules.seed)
    attempts += _tampering(entry, verdict.message)
    result = result_of(entry, rules, verdict.status, verdict.message, verdict.inputs, verdict.mistake)
    return result, attempts


# The name that a cell has as a file, in the message of a syntax error.
_OWN_FILE = re.compile(r" \((?:<cell \d+>|\d+\.py), line (\d+)\)$")


def _place(found: object, numbers: Sequence[int]) -> int | None:
    """The notebook's number of the cell that failed, if what the learner's process says of it can be true."""
    ran = found.get("cell") if isinstance(found, dict) else None
    return numbers[ran - 1] if type(ran) is int and 0 < ran <= len(numbers) else None


def _failure(found: object, number: int | None) -> str:
    """The sentence on a cell that failed. It comes from the learner's process and may be anything."""
    if not isinstance(found, dict):
        return "A cell of this exercise failed."
    line, source, kind, message = (str(found.get(key) or "")[:300] for key in ("line", "source", "type", "message"))
    message = _OWN_FILE.sub(r" (line \1)", message)
    cell = f"cell {number}" if number else "its cell"
    where = f"Line {line} of {cell} ({source})" if line else cell[0].upper() + cell[1:]
    return f"{where} raised {kind}: {message}"


# What the learner's process says when it was kept from something: a sentence for the teacher for each.
_TRIED = {
    "is not available where exercises are checked": "tried to import the answers",
    "sent something else than an answer": "wrote on the grader's own line",
    "vfm_course/solutions": "tried to read the answers' file",
    "vfm_course/exercises/ch": "tried to read the checks' file",
    "os.getppid()": "reached for the grader's process",
}


def _tampering(entry: Entry, message: str) -> list[str]:
    return [f"{entry.id} {what}" for mark, what in _TRIED.items() if mark in message]
