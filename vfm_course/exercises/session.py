"""What a learner calls in a notebook: `exercise`, `hint`, `solution` and `progress`."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from vfm_course.errors import UserError
from vfm_course.exercises import registry, show, store
from vfm_course.exercises.record import Choice, Exercise, Written

_hints_given: dict[str, int] = {}


def exercise(exercise_id: str, limit: float | None = None) -> Callable[[Any], Any]:
    """Decorates the learner's function or class, checks it at once and says what came of it.

    Args:
        exercise_id: such as "6.2".
        limit: seconds that the check may take; by default `VFM_CHECK_SECONDS`, else 10.

    Returns:
        The decorator. It returns the learner's own object when it is right, else the reference answer, so that the
        notebook's later cells always work.

    Raises:
        UserError: there is no such exercise, or it is a question.
    """
    if not isinstance(exercise_id, str):
        raise UserError('Name the exercise: write @exercise("6.2") with the number from the text above the cell.')
    entry = registry.find(exercise_id, Exercise)

    def check_at_once(thing: Any) -> Any:
        verdict = _verdict(entry, thing, limit)
        store.record(entry.id, verdict.status, entry.points if verdict.status == "right" else 0)
        name = getattr(thing, "__name__", "the name")
        if verdict.status == "right":
            show.box("right", f"{entry.id} {entry.title}: correct, {_points(entry.points)}.", store.take_notes())
            return thing
        if verdict.status == "not attempted":
            lines = [f"Until you write it, `{name}` is the reference answer, so the cells below work."]
            show.box("not attempted", f"{entry.id} {entry.title}: not attempted yet.", lines + store.take_notes())
        else:
            lines = [verdict.mistake, verdict.message, f"Called with: {verdict.inputs}." if verdict.inputs else ""]
            lines.append(f"Until it is right, `{name}` is the reference answer, so the cells below work.")
            lines.append(f'`hint("{entry.id}")` gives a hint.' if entry.hints else "")
            lines = [line for line in lines if line]
            show.box("wrong", f"{entry.id} {entry.title}: not right yet.", lines + store.take_notes())
        return entry.load_reference()

    return check_at_once


def _verdict(entry: Exercise, thing: Any, limit: float | None):
    from vfm_course.exercises import limit as time_limit
    from vfm_course.exercises import verdict as judging
    from vfm_course.exercises.answer import LocalHandle
    from vfm_course.exercises.attempt import attempted

    if entry.kind == "class" and not inspect.isclass(thing):
        return judging.Verdict(judging.WRONG, "This exercise asks for a class that derives from nn.Module.")
    if not callable(thing) or (entry.kind == "function" and inspect.isclass(thing)):
        return judging.Verdict(judging.WRONG, "This exercise asks for a function.")
    if not attempted(thing):
        return judging.Verdict(judging.UNATTEMPTED)
    seconds = time_limit.default_limit() if limit is None else limit
    try:
        with time_limit.limited(seconds):
            return judging.judge(entry, LocalHandle(thing))
    except time_limit.TimeUp:
        return judging.time_up(seconds)


def _points(count: int) -> str:
    return "1 point" if count == 1 else f"{count} points"


def hint(exercise_id: str) -> None:
    """Shows one more hint at each call.

    Raises:
        UserError: there is no such exercise.
    """
    entry = registry.find(exercise_id)
    given = _hints_given.get(entry.id, 0)
    if given >= len(entry.hints):
        last = "There are no more hints" if entry.hints else "There are no hints"
        show.box("info", f"{entry.id}: {last}.", [f'`solution("{entry.id}")` shows the reference answer.'])
        return
    _hints_given[entry.id] = given + 1
    show.box("info", f"{entry.id}, hint {given + 1} of {len(entry.hints)}", [entry.hints[given]])


def solution(exercise_id: str) -> None:
    """Shows the reference answer: the source of a coding exercise, the option or model answer of a question.

    Raises:
        UserError: there is no such exercise.
    """
    entry = registry.find(exercise_id)
    if isinstance(entry, Choice):
        text = f"({entry.right}) {entry.options[entry.right]}"
        show.box("info", f"{entry.id} {entry.title}: the answer", [text, entry.explains[entry.right]])
    elif isinstance(entry, Written):
        rubric = [f"One point ({key}): {text}" for key, text in entry.rubric.items()]
        example = ", ".join(f'"{key}": 1' for key in entry.rubric)
        after = f'Mark your own text: `assess("{entry.id}", {{{example}}})`'
        show.box("info", f"{entry.id} {entry.title}: a model answer", [entry.model_answer, *rubric, after])
    else:
        show.source(f"{entry.id} {entry.title}: the reference answer", inspect.getsource(entry.load_reference()))


def progress(notebook: str | int | None = None) -> None:
    """Shows a table of exercises with status and points, for one notebook ("06") or all.

    Raises:
        UserError: the notebook has no exercises.
    """
    numbers = [str(notebook).zfill(2)] if notebook is not None else list(registry.chapters())
    done = store.entries()
    rows, foot = [], []
    for number in numbers:
        earned = total = 0
        for entry in registry.chapter(number).values():
            state = done.get(entry.id, {"status": "not tried", "points": 0})
            earned, total = earned + state["points"], total + entry.points
            rows.append([entry.id, entry.title, entry.level, state["status"], f"{state['points']} of {entry.points}"])
        foot.append(f"Notebook {number}: {earned} of {_points(total)}.")
    columns = ["exercise", "title", "level", "status", "points"]
    show.table("Your progress", columns, rows, foot + store.take_notes())
