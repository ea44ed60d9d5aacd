"""The learner's own process: runs the cells, keeps what they decorate, and answers requests about it.

Nothing that a check expects ever enters here: no checks, no reference answers. Importing them is refused below, which
keeps honest code honest; a learner who reads the files by hand is kept out by the operating system's isolation, which
the grader adds around this process (`grading/isolation.py`).
"""

from __future__ import annotations

import ast
import linecache
import os
import sys
import types
from typing import Any, BinaryIO

from vfm_course.exercises import answer as _answer  # loaded before the imports are refused
from vfm_course.exercises.attempt import attempted
from vfm_course.exercises.bench import Bench, describe_error
from vfm_course.exercises.protocol import ProtocolError, encode, from_line, to_line

_REFUSED = ("vfm_course.solutions", "vfm_course.exercises", "vfm_course.grading")


class _Refuse:
    """Stands first in sys.meta_path: the modules with the answers cannot be imported."""

    def find_spec(self, name: str, path=None, target=None):
        if name.startswith(tuple(prefix + "." for prefix in _REFUSED)) or name in _REFUSED:
            raise ImportError(f"{name} is not available where exercises are checked")
        return None


class Notebook:
    """What the cells have left behind."""

    def __init__(self):
        self.benches: dict[str, Bench] = {}
        self.things: dict[str, Any] = {}
        self.choices: dict[str, str] = {}
        self.texts: dict[str, str] = {}

    def exercise(self, exercise_id: str):
        """Takes the place of the real decorator: only keeps the object."""

        def keep(thing):
            self.things[str(exercise_id)], self.benches[str(exercise_id)] = thing, Bench(thing)
            return thing

        return keep

    def choice(self, question_id: str, picked: str | None = None) -> None:
        if picked is not None:
            self.choices[str(question_id)] = str(picked)

    def written(self, question_id: str, text: str = "") -> None:
        self.texts[str(question_id)] = str(text)

    def stand_in(self) -> types.ModuleType:
        """A `vfm_course.exercises` that records and shows nothing."""
        module = types.ModuleType("vfm_course.exercises")
        module.__path__ = []  # a package, so that its submodules are looked for, and refused
        module.exercise, module.choice, module.written = self.exercise, self.choice, self.written
        for name in ("hint", "solution", "progress", "assess"):
            setattr(module, name, lambda *args, **kwargs: None)
        return module

    def run(self, cells: list[str]) -> list[dict]:
        """Runs the cells in order; a cell that fails does not stop the next. Returns one record per failure."""
        space = types.ModuleType("__main__")
        sys.modules["__main__"], failures = space, []
        for number, source in enumerate(cells, 1):
            file = f"<cell {number}>"
            source = _python(source)
            linecache.cache[file] = (len(source), None, source.splitlines(True), file)
            try:
                exec(compile(source, file, "exec"), vars(space))
            except (Exception, SystemExit) as error:
                marker = types.SimpleNamespace(__code__=types.SimpleNamespace(co_filename=file))
                failures.append({"cell": number, **describe_error(error, marker)})
        return failures


def _python(source: str) -> str:
    """The cell without IPython's own syntax (`%magic`, `!command`), lines kept in place."""
    if source.lstrip().startswith("%%"):
        return ""
    try:
        ast.parse(source)
        return source
    except (SyntaxError, ValueError):
        lines = source.split("\n")
        return "\n".join(_blank(line) if line.lstrip().startswith(("%", "!", "?")) else line for line in lines)


def _blank(line: str) -> str:
    return line[: len(line) - len(line.lstrip())] + "pass"


class Server:
    """Reads requests, writes responses, one JSON line each."""

    def __init__(self, source: BinaryIO, sink: BinaryIO):
        self._source, self._sink, self._notebook = source, sink, Notebook()

    def _send(self, message: dict) -> None:
        try:
            line = to_line(message)
        except (ProtocolError, ValueError):
            what = {"type": "OutputTooLarge", "message": "the output is larger than 64 MiB", "line": None, "source": ""}
            line = to_line({"error": what})
        self._sink.write(line)
        self._sink.flush()

    def _ask(self, number: int, args: tuple, kwargs: dict) -> Any:
        self._send({"callback": number, "args": encode(args), "kwargs": encode(kwargs)})
        return _answer.callback_result(from_line(self._source.readline()))

    def _load(self, cells: list[str]) -> dict:
        book = self._notebook = Notebook()
        sys.modules["vfm_course.exercises"] = sys.modules["vfm_course"].exercises = book.stand_in()
        failures = book.run(cells)
        defined = {name: attempted(thing) for name, thing in book.things.items()}
        return {"defined": defined, "failures": failures, "choices": book.choices, "texts": book.texts}

    def serve(self) -> None:
        """Until the checker closes the pipe."""
        self._send({"ready": True})
        while line := self._source.readline():
            message = from_line(line)
            if message["do"] == "load":
                self._send(self._load(message["cells"]))
            elif message["id"] not in self._notebook.benches:
                self._send({"todo": True})  # no cell decorates this exercise
            else:
                self._send(self._notebook.benches[message["id"]].serve(message["request"], self._ask))


def load_torch() -> None:
    """What nearly every answer needs; one thread, so that a verdict does not depend on the machine's cores."""
    import torch

    torch.set_num_threads(1)


def refuse_answers() -> None:
    """From now on this process cannot import what holds answers; `Server` alone, imported before, goes on."""
    for name in [name for name in sys.modules if name.startswith(_REFUSED)]:
        del sys.modules[name]
    sys.meta_path.insert(0, _Refuse())


def main() -> None:
    """Entry point of the process. What the learner prints goes nowhere; the protocol has descriptors of its own."""
    load_torch()
    source = os.fdopen(os.dup(0), "rb")
    sink = os.fdopen(os.dup(1), "wb")
    nowhere = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(nowhere, descriptor)
    refuse_answers()
    Server(source, sink).serve()


if __name__ == "__main__":
    main()
