"""What no learner's code may read on the machine that grades."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import vfm_course


def hidden_paths(more: Sequence[Path] = ()) -> tuple[Path, ...]:
    """The course's answers and checks, its tests where it is a clone, and `more`: submissions and results."""
    package = Path(vfm_course.__file__).resolve().parent
    checks = sorted((package / "exercises").glob("ch*.py"))
    tests = package.parent / "tests"
    ours = [package / "solutions", *checks, *([tests] if (package.parent / "pyproject.toml").is_file() else [])]
    return tuple(path.resolve() for path in (*ours, *more))
