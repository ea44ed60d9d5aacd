"""Runs one exercise's check on one answer and says what came of it, in words."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from vfm_course.exercises.answer import Answer, LocalTransport
from vfm_course.exercises.draw import Draw
from vfm_course.exercises.failures import CheckFailed, LearnerError, NotAttempted, WorkerGone
from vfm_course.exercises.judge import describe
from vfm_course.exercises.protocol import ProtocolError, decode
from vfm_course.exercises.record import Exercise

UNATTEMPTED, RIGHT, WRONG = "not attempted", "right", "wrong"


@dataclass(frozen=True)
class Verdict:
    """`message` says what failed, `inputs` on which inputs, `mistake` names a known mistake; all empty when right."""

    status: str
    message: str = ""
    inputs: str = ""
    mistake: str = ""


def judge(exercise: Exercise, answer: Answer, seed: int = 0) -> Verdict:
    """Runs the check with inputs drawn from `seed`.

    Raises:
        TimeUp: only where the caller set a limit (`limited`) and it struck.
    """
    try:
        exercise.check(answer, Draw(seed))
    except NotAttempted:
        return Verdict(UNATTEMPTED)
    except WorkerGone as error:
        return Verdict(WRONG, str(error), _inputs(answer))
    except (CheckFailed, LearnerError) as error:
        return Verdict(WRONG, str(error), _inputs(answer), _known_mistake(exercise, answer))
    return Verdict(RIGHT)


def _inputs(answer: Answer) -> str:
    """The last call in words: `a float32 tensor of shape (4, 8), 3`."""
    for request, _, _ in reversed(answer.trace):
        if request["op"] in ("call", "grad", "build", "parameter_grads"):
            values = decode(request["args"], ask=_never)
            named = decode(request["kwargs"], ask=_never)
            parts = [describe(v) for v in values] + [f"{key}={describe(v)}" for key, v in named.items()]
            return ", ".join(parts)
    return ""


def _never(number: int, args: tuple, kwargs: dict) -> Any:
    raise ProtocolError("functions are only named here, not called")


def _known_mistake(exercise: Exercise, answer: Answer) -> str:
    for mistake in exercise.mistakes:
        if _explains(mistake.wrong, answer.trace):
            return mistake.says
    return ""


def _explains(wrong: Callable, trace: list[tuple[dict, list[Callable], dict]]) -> bool:
    """Whether the known mistake gives the same response to every request that the check has made."""
    transport = LocalTransport(wrong)
    return bool(trace) and all(_agree(transport.send(request, calls), got) for request, calls, got in trace)


def _agree(mine: dict, theirs: dict) -> bool:
    if "error" in mine or "error" in theirs:
        both = "error" in mine and "error" in theirs
        return both and all(mine["error"][key] == theirs["error"][key] for key in ("type", "message"))
    if "ok" not in mine or "ok" not in theirs or mine["changed"] != theirs["changed"]:
        return False
    try:
        return alike(decode(mine["ok"]), decode(theirs["ok"]))
    except ProtocolError:
        return False


def alike(a: Any, b: Any) -> bool:
    """Equal but for rounding, through lists, tuples and dicts."""
    if isinstance(a, np.ndarray) and isinstance(b, np.ndarray):
        a, b = torch.from_numpy(a), torch.from_numpy(b)
    a, b = (x.item() if isinstance(x, torch.Tensor) and x.ndim == 0 else x for x in (a, b))  # `.item()` or not
    if type(a) is not type(b):
        return False
    if isinstance(a, torch.Tensor):
        if a.shape != b.shape or a.is_floating_point() != b.is_floating_point():
            return False
        return torch.allclose(a.double(), b.double(), atol=1e-5, rtol=1e-4, equal_nan=True)
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(map(alike, a, b))
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(alike(a[key], b[key]) for key in a)
    if isinstance(a, float):
        return a == b or (a != a and b != b) or abs(a - b) <= 1e-5 + 1e-4 * abs(b)  # NaN is not equal to itself
    return bool(a == b)


def time_up(seconds: float) -> Verdict:
    """The verdict on code that ran into the limit."""
    return Verdict(WRONG, f"Your code took longer than {seconds:g} seconds and was stopped: is a loop endless?")
