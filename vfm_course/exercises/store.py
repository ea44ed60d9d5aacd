"""What the learner has done so far: in this process, and in a small file unless `VFM_PROGRESS=off`."""

from __future__ import annotations

import contextlib
import json
import os
import tempfile
from pathlib import Path

from vfm_course.paths import cache_dir

_session: dict[str, dict] = {}
_notes: list[str] = []
_read_from: Path | None = None


def _file() -> Path | None:
    if os.environ.get("VFM_PROGRESS", "").strip().lower() in ("off", "0", "no"):
        return None
    try:
        return cache_dir() / "progress.json"
    except OSError:  # a read-only home: the course works on, it only forgets
        return None


def entries() -> dict[str, dict]:
    """Exercise id -> {"status": str, "points": int}."""
    _catch_up()
    return dict(_session)


def take_notes() -> list[str]:
    """Sentences for the learner about the file, each given once."""
    notes, _notes[:] = list(_notes), []
    return notes


def record(entry_id: str, status: str, points: int) -> None:
    """Keeps the result; points once earned are not lost by a later try, and the status keeps to the better try."""
    _catch_up()
    former = _session.get(entry_id)
    if former is not None and former["points"] > points:
        return
    _session[entry_id] = {"status": status, "points": points}
    _save()


def forget_session() -> None:
    """Empties what this process remembers; the file stays."""
    global _read_from
    _session.clear()
    _read_from = None


def _catch_up() -> None:
    global _read_from
    file = _file()
    if file is None or file == _read_from:
        return
    _read_from = file
    for key, entry in _read(file).items():
        _session.setdefault(key, entry)


def _read(file: Path) -> dict[str, dict]:
    try:
        text = file.read_text(encoding="utf-8")
    except FileNotFoundError:
        return {}
    except (OSError, UnicodeDecodeError):
        text = ""
    try:
        found = json.loads(text)["exercises"]
        return {str(k): {"status": str(v["status"]), "points": int(v["points"])} for k, v in found.items()}
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        aside = file.with_name("progress.broken.json")
        with contextlib.suppress(OSError):
            os.replace(file, aside)
        _notes.append(f"The file of your progress could not be read; it was set aside as {aside.name}.")
        return {}


def _save() -> None:
    file = _file()
    if file is None:
        return
    # Another notebook may have written since: its entries are kept unless ours are better.
    merged = _read(file)
    for key, entry in _session.items():
        if key not in merged or merged[key]["points"] <= entry["points"]:
            merged[key] = entry
    text = json.dumps({"version": 1, "exercises": merged}, indent=1, sort_keys=True)
    try:
        handle, name = tempfile.mkstemp(dir=file.parent, prefix=".progress-")
        with os.fdopen(handle, "w", encoding="utf-8") as out:
            out.write(text)
        os.replace(name, file)
    except OSError:  # a full or read-only disk must not fail an exercise
        return
