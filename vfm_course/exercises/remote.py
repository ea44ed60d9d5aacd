"""The checker's side of the learner's process: starts it, speaks to it, and ends it when the time is over."""

from __future__ import annotations

import contextlib
import os
import select
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import IO, Protocol

from vfm_course.exercises.answer import Answer, serve_callback
from vfm_course.exercises.failures import WorkerGone
from vfm_course.exercises.limit import default_limit
from vfm_course.exercises.protocol import MAX_MESSAGE, ProtocolError, from_line, to_line

_START_SECONDS = 120  # torch's first import on a slow disk


class Process(Protocol):
    """What a worker needs of a process: `subprocess.Popen` has it."""

    stdin: IO[bytes]
    stdout: IO[bytes]

    def poll(self) -> int | None: ...
    def kill(self) -> None: ...
    def wait(self, timeout: float | None = None) -> int: ...


def _begin() -> Process:
    root = str(Path(__file__).resolve().parents[2])
    paths = [root, *filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))]
    return subprocess.Popen(
        [sys.executable, "-m", "vfm_course.exercises.worker"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(paths), "OMP_NUM_THREADS": "1"},
    )


class Worker:
    """One process that runs one notebook's cells. Use as a context manager; POSIX only (pipes and select).

    Args:
        limit: seconds of wall time for one check (`fresh_time` starts the clock), and for running the cells.
        begin: starts the process; the grader has one that shuts it in.
    """

    def __init__(self, limit: float | None = None, begin: Callable[[], Process] | None = None):
        self.limit = default_limit() if limit is None else limit
        self._begin = begin or _begin
        self._process: Process | None = None
        self._cells: list[str] = []
        self._buffer = b""
        self._deadline = 0.0
        self.loaded: dict = {"defined": {}, "failures": [], "choices": {}, "texts": {}}

    def __enter__(self) -> Worker:
        return self

    def __exit__(self, *problem) -> None:
        self.close()

    def load(self, cells: list[str]) -> dict:
        """Runs the cells in a fresh namespace: {"defined": id -> attempted?, "failures", "choices", "texts"}.

        Raises:
            WorkerGone: the cells ended the process or took longer than the limit.
        """
        self._cells = list(cells)
        self._ensure_running(load=False)
        return self._load()

    def answer(self, exercise_id: str) -> RemoteHandle:
        """The handle on one exercise of the loaded cells. A process that has ended is started again first."""
        self._ensure_running(load=True)
        self.fresh_time()
        return RemoteHandle(self, exercise_id)

    def fresh_time(self) -> None:
        """Starts the clock for the next check."""
        self._deadline = time.monotonic() + self.limit

    def close(self) -> None:
        """Ends the process."""
        process, self._process, self._buffer = self._process, None, b""
        if process is not None:
            process.kill()
            process.wait()
            for pipe in (process.stdin, process.stdout):
                with contextlib.suppress(OSError):
                    pipe.close()

    def exchange(self, message: dict, callbacks: list[Callable]) -> dict:
        """Sends one message and returns the response, serving callbacks in between.

        Raises:
            WorkerGone: the process died, took too long or broke the protocol; it is closed then.
        """
        try:
            self._write(to_line(message))
            while True:
                reply = from_line(self._read_line())
                if "callback" not in reply:
                    return reply
                served = serve_callback(callbacks, reply["callback"], reply.get("args"), reply.get("kwargs"))
                self._write(to_line(served))
        except ProtocolError as error:
            self.close()
            raise WorkerGone(f"Your code's process sent something else than an answer: {error}.") from error
        except WorkerGone:
            self.close()
            raise

    def _load(self) -> dict:
        self.fresh_time()
        reply = self.exchange({"do": "load", "cells": self._cells}, [])
        kinds = {"defined": dict, "failures": list, "choices": dict, "texts": dict}
        if any(type(reply.get(key)) is not kind for key, kind in kinds.items()):
            self.close()
            raise WorkerGone("Your code's process sent something else than an answer.")
        self.loaded = {key: reply[key] for key in kinds}
        return self.loaded

    def _ensure_running(self, load: bool) -> None:
        if self._process is not None and self._process.poll() is None:
            return
        self.close()
        self._process = self._begin()
        os.set_blocking(self._process.stdin.fileno(), False)
        self._deadline = time.monotonic() + _START_SECONDS
        self._read_line()
        if load:
            self._load()

    def _wait(self, reading: bool) -> None:
        left = self._deadline - time.monotonic()
        pipe = self._process.stdout if reading else self._process.stdin
        ready = select.select([pipe] if reading else [], [] if reading else [pipe], [], max(0.0, left))
        if left <= 0 or not (ready[0] or ready[1]):
            raise WorkerGone(f"Your code took longer than {self.limit:g} seconds and was stopped: is a loop endless?")

    def _write(self, line: bytes) -> None:
        if self._process is None:
            raise WorkerGone("Your code's process has ended.")
        view = memoryview(line)
        while view:
            self._wait(reading=False)
            try:
                view = view[os.write(self._process.stdin.fileno(), view[: 2**16]) :]
            except BlockingIOError:
                continue
            except OSError as error:
                raise self._death() from error

    def _read_line(self) -> bytes:
        pieces, size = [self._buffer], len(self._buffer)
        while b"\n" not in pieces[-1]:
            self._wait(reading=True)
            piece = os.read(self._process.stdout.fileno(), 2**20)
            if not piece:
                raise self._death()
            pieces.append(piece)
            size += len(piece)
            if size > MAX_MESSAGE + 2**20:
                raise ProtocolError("the message is larger than 64 MiB")
        line, _, self._buffer = b"".join(pieces).partition(b"\n")
        return line

    def _death(self) -> WorkerGone:
        try:
            code = self._process.wait(timeout=5)
        except subprocess.TimeoutExpired:  # it only closed its end of the pipe
            return WorkerGone("Your code's process closed its connection before it answered.")
        how = f"was ended by signal {-code}" if code < 0 else f"ended with exit status {code}"
        return WorkerGone(f"Your code's process {how} before it answered: does the code leave Python or crash it?")


class RemoteTransport:
    """Carries requests about one exercise to a worker."""

    def __init__(self, worker: Worker, exercise_id: str):
        self._worker, self._id = worker, exercise_id

    def send(self, request: dict, callbacks: list[Callable]) -> dict:
        return self._worker.exchange({"do": "serve", "id": self._id, "request": request}, callbacks)


class RemoteHandle(Answer):
    """The answer in the learner's own process."""

    def __init__(self, worker: Worker, exercise_id: str):
        super().__init__(RemoteTransport(worker, exercise_id))
        self.defined = worker.loaded["defined"].get(exercise_id)
