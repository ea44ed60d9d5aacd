"""Where the learner's notebooks are: the clone's folder, or a copy of those in the wheel."""

import hashlib
import json
from pathlib import Path

from vfm_course.errors import UserError
from vfm_course.paths import clone_dir

COPY = "vfm_course_notebooks"
RECORD = ".shipped.json"


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def copy_notebooks(source: Path, target: Path) -> list[str]:
    """Copies new and updated notebooks; returns the names left alone because the learner changed them.

    A record of what was shipped tells a changed file from an older version of ours.
    """
    target.mkdir(parents=True, exist_ok=True)
    record = target / RECORD
    try:
        shipped = json.loads(record.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        shipped = {}
    kept = []
    for path in sorted(source.glob("*.ipynb")):
        content, place = path.read_bytes(), target / path.name
        old = _digest(place.read_bytes()) if place.exists() else None
        if old not in (None, _digest(content), shipped.get(path.name)):
            kept.append(path.name)
            continue
        if old != _digest(content):
            place.write_bytes(content)
        shipped[path.name] = _digest(content)
    record.write_text(json.dumps(shipped, indent=1), encoding="utf-8")
    return kept


def notebook_folder() -> Path:
    """The folder to open.

    Raises:
        UserError: neither a clone nor a wheel with notebooks.
    """
    clone = clone_dir()
    if clone:
        return clone / "notebooks"
    carried = Path(__file__).resolve().parent / "_notebooks"
    if not carried.is_dir():
        raise UserError("This installation carries no notebooks: install the course's wheel again, or use a clone.")
    target = Path.cwd() / COPY
    kept = copy_notebooks(carried, target)
    if kept:
        print(f"Left as you changed them, though a new version exists: {', '.join(kept)}")
    return target
