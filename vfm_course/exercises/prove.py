"""Proves that a check can fail: the reference passes, every known mistake is rejected with its own sentence."""

from __future__ import annotations

import ast
import inspect
import sys
from typing import Any

from vfm_course.exercises.answer import Answer, LocalHandle
from vfm_course.exercises.attempt import attempted
from vfm_course.exercises.record import Exercise
from vfm_course.exercises.verdict import RIGHT, UNATTEMPTED, WRONG, judge


def unwritten(*args, **kwargs):
    """An exercise as the learner finds it."""
    raise NotImplementedError


def prove(exercise: Exercise, seed: int, worker: Any = None) -> None:
    """Runs reference, mistakes and an unwritten answer through the check, in this process or in `worker`.

    Args:
        worker: a `remote.Worker`, or None for this process.

    Raises:
        AssertionError: the sentence says which answer was judged wrongly.
    """

    def handle(thing: Any) -> Answer:
        if worker is None:
            return LocalHandle(thing)
        loaded = worker.load([*cells_of(thing), f"exercise({exercise.id!r})({thing.__name__})"])
        assert not loaded["failures"], f"{exercise.id}: its source does not run alone: {loaded['failures']}"
        return worker.answer(exercise.id)

    where = f"{exercise.id} with seed {seed}{' out of process' if worker else ''}"
    assert len(exercise.mistakes) >= 3, f"{exercise.id} has fewer than three known mistakes"
    assert len({m.says for m in exercise.mistakes}) == len(exercise.mistakes), f"{exercise.id} repeats a sentence"
    reference = exercise.load_reference()
    verdict = judge(exercise, handle(reference), seed)
    assert attempted(reference) and verdict.status == RIGHT, f"{where}: the reference was rejected: {verdict}"
    for mistake in exercise.mistakes:
        verdict = judge(exercise, handle(mistake.wrong), seed)
        name = mistake.wrong.__name__
        assert verdict.status == WRONG, f"{where}: {name} passed"
        assert verdict.mistake == mistake.says, f"{where}: {name} was not recognised: {verdict}"
    verdict = judge(exercise, handle(unwritten), seed)
    assert not attempted(unwritten) and verdict.status == UNATTEMPTED, f"{where}: an unwritten answer gave {verdict}"


def cells_of(thing: Any) -> list[str]:
    """Source that defines `thing` alone: what it uses of its module, without the engine and the other answers.

    This is how a learner's notebook would hold it: no cell imports the checks.
    """
    module = sys.modules[thing.__module__]
    text = inspect.getsource(module)
    defined: dict[str, ast.stmt] = {}
    for node in ast.parse(text).body:
        for name in _names(node):
            defined[name] = node
    wanted, queue = set(), [thing.__name__]
    while queue:
        name = queue.pop()
        if name in defined and name not in wanted:
            wanted.add(name)
            queue += [n.id for n in ast.walk(defined[name]) if isinstance(n, ast.Name)]
    nodes = sorted({defined[name] for name in wanted}, key=lambda node: node.lineno)
    lines = text.splitlines()
    source = "\n\n".join("\n".join(lines[_first_line(node) - 1 : node.end_lineno]) for node in nodes)
    return ["from __future__ import annotations\nfrom vfm_course.exercises import exercise\n\n" + source]


def _first_line(node: ast.stmt) -> int:
    return min([node.lineno, *(d.lineno for d in getattr(node, "decorator_list", []))])


def _names(node: ast.stmt) -> list[str]:
    if isinstance(node, ast.FunctionDef | ast.ClassDef):
        return [node.name]
    if isinstance(node, ast.Import | ast.ImportFrom):
        engine = isinstance(node, ast.ImportFrom) and (node.module or "").startswith(("vfm_course.ex", "__future__"))
        return [] if engine else [(alias.asname or alias.name).split(".")[0] for alias in node.names]
    if isinstance(node, ast.Assign):
        return [target.id for target in node.targets if isinstance(target, ast.Name)]
    return []
