"""The grader's side of the zygote: starts it, asks it for a process for each submission, and ends that one."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from vfm_course.errors import UserError
from vfm_course.grading.limits import Limits

_START_SECONDS = 120  # torch's first import on a slow disk


class Zygote:
    """One process that has loaded torch. Use as a context manager; several threads may ask it for processes."""

    def __init__(self):
        self._lock = threading.Lock()
        self._process: subprocess.Popen | None = None

    def __enter__(self) -> Zygote:
        if not hasattr(os, "fork"):
            raise UserError("Grading needs Linux or macOS: on Windows run it in WSL.")
        self._control, theirs = socket.socketpair()
        root = str(Path(__file__).resolve().parents[2])
        paths = [root, *filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))]
        self._process = subprocess.Popen(
            [sys.executable, "-m", "vfm_course.grading.zygote", str(theirs.fileno())],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            pass_fds=[theirs.fileno()],
            env={**os.environ, "PYTHONPATH": os.pathsep.join(paths), "OMP_NUM_THREADS": "1"},
        )
        theirs.close()
        self._control.settimeout(_START_SECONDS)
        self._ready = False
        return self

    def __exit__(self, *problem) -> None:
        self._control.close()
        process, self._process = self._process, None
        try:
            process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        process.stderr.close()

    def fork(self, scratch: Path, limits: Limits, hidden: Sequence[Path], kernel: Path | None = None) -> ForkedProcess:
        """A process that is shut in, in `scratch`, and speaks the worker's protocol.

        Args:
            kernel: a connection file within `scratch`, for a process that is a Jupyter kernel as well.

        Raises:
            UserError: the zygote has ended.
        """
        ours, theirs = socket.socketpair()
        wanted = {"scratch": str(scratch), "limits": asdict(limits), "hidden": [str(path) for path in hidden],
                  "kernel": str(kernel) if kernel else ""}  # fmt: skip
        with theirs, self._lock:
            if not self._ready:  # awaited as late as this, so that other work can be done meanwhile
                self._reply()
                self._ready = True
            socket.send_fds(self._control, [json.dumps({"fork": wanted}).encode()], [theirs.fileno()])
            return ForkedProcess(self, self._reply()["pid"], ours)

    def wait(self, pid: int) -> int:
        """The exit code of a child that has ended or is about to; minus the signal that ended it."""
        with self._lock:
            self._control.sendall(json.dumps({"wait": pid}).encode())
            return self._reply()["code"]

    def _reply(self) -> dict:
        line = b""
        while not line.endswith(b"\n"):
            try:
                piece = self._control.recv(4096)
            except TimeoutError:
                piece = b""
            if not piece:
                self._process.kill()
                said = self._process.stderr.read().decode(errors="replace").strip().splitlines()
                raise UserError(f"The process that grades could not go on: {said[-1] if said else 'it has ended'}.")
            line += piece
        return json.loads(line)


class ForkedProcess:
    """A child of the zygote, with what `exercises.remote.Worker` needs of a process."""

    def __init__(self, zygote: Zygote, pid: int, ours: socket.socket):
        self._zygote, self._pid, self._code = zygote, pid, None
        self.stdin, self.stdout = ours.makefile("wb", buffering=0), ours.makefile("rb", buffering=0)
        ours.close()  # the two files keep the socket open

    def poll(self) -> int | None:
        """None while it runs, as far as is known: only `wait` asks."""
        return self._code

    def has_ended(self) -> bool:
        """Whether it has, seen from outside: nobody has waited for it yet, so that it is a zombie then."""
        try:
            return Path(f"/proc/{self._pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
        except OSError:
            return sys.platform == "linux"

    def kill(self) -> None:
        """Ends it with all its threads. Nobody has waited for it yet, so that its number is still its own."""
        if self._code is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self._pid, signal.SIGKILL)

    def wait(self, timeout: float | None = None) -> int:
        """Ends it, if it has not ended by itself, and says how: it is only waited for when its socket is closed."""
        if self._code is None:
            self.kill()
            self._code = self._zygote.wait(self._pid)
        return self._code
