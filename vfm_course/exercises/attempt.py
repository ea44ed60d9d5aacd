"""Has the learner written anything yet? Answered from the bytecode, without running it."""

from __future__ import annotations

import dis
import inspect
from typing import Any

_NOTHING = {"RESUME", "NOP", "LOAD_CONST", "RETURN_VALUE", "RETURN_CONST", "COPY_FREE_VARS", "MAKE_CELL"}


def attempted(thing: Any) -> bool:
    """False for a function whose body is empty (`...`, `pass`, a docstring) or only raises NotImplementedError.

    A class is unattempted as soon as one of the methods written in it is, or when it has none.
    """
    if not inspect.isclass(thing):
        return not _is_empty(thing)
    methods = [member for member in vars(thing).values() if inspect.isfunction(member)]
    return bool(methods) and not any(_is_empty(method) for method in methods)


def _is_empty(function: Any) -> bool:
    code = getattr(inspect.unwrap(function), "__code__", None)
    if code is None:
        return False
    steps = list(dis.get_instructions(code))
    names = {step.opname for step in steps}
    if names <= _NOTHING:
        returned = [step.argval for step in steps if step.opname in ("LOAD_CONST", "RETURN_CONST")]
        return not returned or returned[-1] is None
    never_returns = not any(name.startswith(("RETURN", "YIELD", "JUMP_BACK")) for name in names)
    return never_returns and "NotImplementedError" in code.co_names
