"""The learner's side of `grade --full`: a Jupyter kernel that is shut in, with a line to the grader beside Jupyter's.

It is forked from the zygote like any submission. nbclient, on the grader's side, runs the whole notebook in it; then
the grader asks what the notebook has defined, and calls it, over the same protocol as in the ordinary way.
"""

from __future__ import annotations

import sys
import threading
from pathlib import Path
from typing import BinaryIO

from vfm_course.exercises.attempt import attempted
from vfm_course.exercises.worker import Server

# What the grader lets the kernel execute behind the last cell.
DONE = "__import__('vfm_course.exercises').exercises.run_is_over()"


class KernelServer(Server):
    """Answers for a notebook that a kernel runs, in place of running cells itself."""

    def __init__(self, source: BinaryIO, sink: BinaryIO):
        super().__init__(source, sink)
        self._over = threading.Event()
        module = self._notebook.stand_in()
        module.run_is_over = self._over.set
        sys.modules["vfm_course.exercises"] = sys.modules["vfm_course"].exercises = module

    def _load(self, cells: list[str]) -> dict:
        """What the kernel's run has left; waits until it is over. `cells` are nbclient's business."""
        self._over.wait()
        book = self._notebook
        defined = {name: attempted(thing) for name, thing in book.things.items()}
        return {"defined": defined, "failures": [], "choices": book.choices, "texts": book.texts}


def serve_kernel(connection: Path, source: BinaryIO, sink: BinaryIO) -> None:
    """Runs a kernel with this connection file until the process is killed. The process must be shut in already."""
    from ipykernel.kernelapp import IPKernelApp  # reads files, so that it can be imported behind the walls

    server = KernelServer(source, sink)
    startup = Path.home() / ".ipython" / "profile_default" / "startup"
    startup.mkdir(parents=True, exist_ok=True)
    (startup / "README").touch()  # IPython would copy one with its permissions, and to change these is refused here
    threading.Thread(target=server.serve, daemon=True).start()
    app = IPKernelApp.instance()
    app.initialize(["-f", str(connection), "--IPKernelApp.capture_fd_output=False"])
    app.start()
