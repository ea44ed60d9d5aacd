"""Where the course's data lies, in a clone and in an installed wheel alike."""

import os
from pathlib import Path

from vfm_course.errors import UserError

_PACKAGE = Path(__file__).resolve().parent


def data_dir() -> Path:
    """Folder that holds `images/`, `checkpoints/` and the frozen evaluation sets.

    Looked for in this order: the environment variable `VFM_DATA`, `data/` beside the package (a clone), `_data/` inside
    the package (a wheel).

    Raises:
        UserError: no such folder exists.
    """
    named = os.environ.get("VFM_DATA")
    candidates = [Path(named)] if named else [_PACKAGE.parent / "data", _PACKAGE / "_data"]
    for folder in candidates:
        if (folder / "checkpoints").is_dir():
            return folder
    where = ", ".join(str(folder) for folder in candidates)
    raise UserError(f"The course's data was not found (looked in {where}): install the package again, or set VFM_DATA.")


def cache_dir() -> Path:
    """Folder for what can be computed again (embeddings, progress): `VFM_CACHE`, else the user's cache folder."""
    named = os.environ.get("VFM_CACHE")
    base = Path(named) if named else Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "vfm_course"
    base.mkdir(parents=True, exist_ok=True)
    return base


def clone_dir() -> Path | None:
    """The clone that this package runs from, or None for an installed wheel."""
    root = _PACKAGE.parent
    return root if (root / "pyproject.toml").is_file() and (root / "course.py").is_file() else None
