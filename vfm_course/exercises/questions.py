"""Questions without code: `choice` picks an option, `written` answers in words, `assess` marks one's own text."""

from __future__ import annotations

from collections.abc import Mapping

from vfm_course.errors import UserError
from vfm_course.exercises import registry, show, store
from vfm_course.exercises.record import Choice, Written


def choice(question_id: str, picked: str | None = None) -> None:
    """Shows the question, or checks the option that was picked and explains it.

    Raises:
        UserError: there is no such question or no such option.
    """
    entry = registry.find(question_id, Choice)
    if picked is None:
        options = [f"({key}) {text}" for key, text in entry.options.items()]
        call = f'`choice("{entry.id}", "{next(iter(entry.options))}")` answers.'
        show.box("info", f"{entry.id} {entry.title}", [entry.question, *options, call])
        return
    key = str(picked).strip().lower()
    if key not in entry.options:
        raise UserError(f'Question {entry.id} has no option "{picked}"; its options: {", ".join(entry.options)}.')
    right = key == entry.right
    store.record(entry.id, "right" if right else "wrong", entry.points if right else 0)
    worth = "1 point" if entry.points == 1 else f"{entry.points} points"
    head = f"correct, {worth}" if right else f"({key}) is not right; read why, and choose again"
    lines = [entry.explains[key], *store.take_notes()]
    show.box("right" if right else "wrong", f"{entry.id} {entry.title}: {head}.", lines)


def written(question_id: str, text: str = "", self_points: Mapping[str, int] | None = None) -> None:
    """Shows the question while `text` is empty, else takes the text and shows what it is marked by.

    `self_points` marks it at once, as `assess` does.

    Raises:
        UserError: there is no such question, or `self_points` does not fit its rubric.
    """
    entry = registry.find(question_id, Written)
    rubric = [f"{key}: {criterion}" for key, criterion in entry.rubric.items()]
    if not str(text).strip():
        # Only the names of the criteria: their text would give the answer away.
        lines = [entry.question, f"One point each for: {', '.join(entry.rubric)}."]
        show.box("info", f"{entry.id} {entry.title}", [*lines, f'`written("{entry.id}", "your text")` answers.'])
        return
    if self_points is not None:
        assess(question_id, self_points)
        return
    store.record(entry.id, "written", 0)
    words = len(str(text).split())
    lines = [f'Compare it with `solution("{entry.id}")`, then mark it with `assess`. One point each for:', *rubric]
    count = "1 word" if words == 1 else f"{words} words"
    show.box("info", f"{entry.id} {entry.title}: {count} taken.", lines + store.take_notes())


def assess(question_id: str, self_points: Mapping[str, int]) -> None:
    """Records the learner's own marks, 0 or 1 for each criterion of the rubric.

    Raises:
        UserError: a criterion that the rubric does not have, or a mark other than 0 and 1.
    """
    entry = registry.find(question_id, Written)
    for key, mark in self_points.items():
        if key not in entry.rubric:
            raise UserError(f'The rubric of {entry.id} has no "{key}"; its criteria: {", ".join(entry.rubric)}.')
        if mark not in (0, 1):
            raise UserError(f'Mark "{key}" with 0 or 1, not {mark!r}.')
    earned = sum(int(mark) for mark in self_points.values())
    store.record(entry.id, "assessed", earned)
    show.box("info", f"{entry.id} {entry.title}: {earned} of {entry.points} by your own marks.", store.take_notes())
