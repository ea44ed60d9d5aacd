"""From an id to its exercise. Chapter modules (`ch06_….py`) are found by name and imported only when asked for."""

from __future__ import annotations

import importlib
import pkgutil
import re
from difflib import get_close_matches
from functools import cache
from pathlib import Path

from vfm_course.errors import UserError
from vfm_course.exercises.record import Entry


@cache
def chapters() -> dict[str, tuple[str, ...]]:
    """Notebook number ("06") -> the names of its modules of checks, sorted."""
    found: dict[str, list[str]] = {}
    for module in pkgutil.iter_modules([str(Path(__file__).parent)]):
        match = re.match(r"ch(\d\d)_", module.name)
        if match:
            found.setdefault(match[1], []).append(module.name)
    return {number: tuple(sorted(names)) for number, names in sorted(found.items())}


@cache
def chapter(notebook: str) -> dict[str, Entry]:
    """Every entry of one notebook by id, in reading order.

    Raises:
        UserError: the notebook has no exercises.
    """
    if notebook not in chapters():
        known = ", ".join(chapters()) or "none"
        raise UserError(f'Notebook "{notebook}" has no exercises; notebooks that have some: {known}.')
    entries: list[Entry] = []
    for name in chapters()[notebook]:
        entries += importlib.import_module(f"vfm_course.exercises.{name}").EXERCISES
    by_id: dict[str, Entry] = {}
    for entry in sorted(entries, key=lambda e: reading_order(e.id)):
        if entry.id in by_id:
            raise RuntimeError(f"two exercises have the id {entry.id}")
        by_id[entry.id] = entry
    return by_id


def reading_order(entry_id: str) -> tuple:
    """Sort key: 6.2 before 6.10, then the questions 6.q1, then the written ones 6.w1."""
    number, _, rest = entry_id.partition(".")
    letter, digits = re.match(r"([a-z]*)(\d*)", rest).groups()
    return int(number) if number.isdigit() else 0, letter, int(digits or 0), rest


def find(entry_id: str, kind: type | None = None) -> Entry:
    """The entry with this id.

    Raises:
        UserError: there is none (the sentence lists the ids near it), or it is of another kind.
    """
    text = str(entry_id)
    match = re.match(r"0*(\d+)\.", text)
    notebook = match[1].zfill(2) if match else ""
    entries = chapter(notebook) if notebook in chapters() else {}
    entry = entries.get(text)
    if entry is None:
        pool = list(entries) or [key for number in chapters() for key in chapter(number)]
        near = sorted(get_close_matches(text, pool, n=4, cutoff=0.3) or pool[:4], key=reading_order)
        raise UserError(f"There is no exercise {text}; ids near it: {', '.join(near) or 'none'}.")
    if kind is not None and not isinstance(entry, kind):
        call = {"choice": "choice", "written": "written"}.get(entry.kind)
        how = f'call {call}("{text}", …)' if call else f'decorate a function or class with @exercise("{text}")'
        raise UserError(f"{text} is a {'coding' if call is None else entry.kind} exercise: {how}.")
    return entry
