"""Runs kept in a file, so that a comparison which was interrupted goes on where it stopped."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from vfm_course.errors import UserError
from vfm_course.whole_file import whole_text


@dataclass(frozen=True)
class Run:
    """One model adapted to one task in one way with one seed: which pictures it named rightly, bool (N,), and its cost.

    `test` and each of `shifted` have one value a picture, in the part's order.
    """

    test: np.ndarray
    shifted: dict[str, np.ndarray]
    labels: int
    trained: int
    total: int
    seconds: float
    reading: float
    memory: int
    settings: dict


class Runs:
    """A JSON file of runs, each under a key of plain values; without a file they are kept in memory alone.

    The file is written whole after every run and put in the old one's place, so that a kill leaves a good one.

    Raises:
        UserError: the file holds something else, or cannot be read.
    """

    def __init__(self, file: Path | None = None, resume: bool = True):
        self.file = None if file is None else Path(file)
        self.known: list[dict] = []
        if self.file is None or not resume or not self.file.exists():
            return
        try:
            held = json.loads(self.file.read_text(encoding="utf-8"))
            self.known = [{"key": dict(each["key"]), "run": dict(each["run"])} for each in held["runs"]]
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise UserError(
                f"{self.file} holds no runs that could be continued ({type(error).__name__}): name another file, or "
                "begin it anew with resume=False."
            ) from error

    def find(self, key: dict) -> Run | None:
        """The run of this very key, or None."""
        for each in self.known:
            if each["key"] == key:
                run = each["run"]
                shifted = {name: _hits(text) for name, text in run["shifted"].items()}
                return Run(**run | {"test": _hits(run["test"]), "shifted": shifted})
        return None

    def add(self, key: dict, run: Run) -> None:
        """Keeps a run, in the file too."""
        stored = vars(run) | {
            "test": _text(run.test),
            "shifted": {name: _text(hits) for name, hits in run.shifted.items()},
        }
        self.known.append({"key": key, "run": stored})
        if self.file is None:
            return
        self.file.parent.mkdir(parents=True, exist_ok=True)
        with whole_text(self.file) as file:
            file.write(json.dumps({"runs": self.known}, indent=1, default=_plain) + "\n")


def _plain(value) -> object:
    """A number of numpy's or torch's as Python's own; anything else in words."""
    return value.item() if hasattr(value, "item") else str(value)


def _text(hits: np.ndarray) -> str:
    return "".join("1" if hit else "0" for hit in hits)


def _hits(text: str) -> np.ndarray:
    return np.array([letter == "1" for letter in text])
