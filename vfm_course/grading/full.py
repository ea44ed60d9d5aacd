"""The grader's side of `--full`: nbclient runs a whole notebook in a kernel that is shut in.

Nothing of its output is kept. The kernel has no network; it is reached through sockets in its scratch folder.
"""

from __future__ import annotations

import contextlib
import json
import time
from pathlib import Path
from typing import TYPE_CHECKING

from vfm_course.exercises.failures import WorkerGone
from vfm_course.grading.forked import ForkedProcess
from vfm_course.grading.kernel import DONE

if TYPE_CHECKING:
    from vfm_course.grading.notebook import Notebook

_MOST_MESSAGE = 1 << 24  # bytes that a kernel may send at once; its connection is cut where it sends more
_WAITING = 100  # messages that wait to be read
_START_SECONDS = 60
_CONNECTION = "kernel.json"


def run(notebook: Notebook, process: ForkedProcess, scratch: Path, seconds: float, failures: list[dict]) -> None:
    """Runs all code cells of a notebook; a cell that fails does not stop the next, as in the ordinary way.

    Args:
        process: a kernel with the connection file that `write_connection` wrote into `scratch`; it is ended when this
            raises, and answers requests about what the notebook has defined otherwise.
        seconds: for the whole run.
        failures: gets a record of each cell that failed.

    Raises:
        WorkerGone: the run took too long, or ended the kernel.
    """
    try:
        _execute(notebook, scratch / _CONNECTION, process, time.monotonic() + seconds, failures)
    except BaseException:
        process.kill()
        process.wait()
        for pipe in (process.stdin, process.stdout):
            pipe.close()
        raise


def write_connection(scratch: Path) -> Path:
    """A connection file whose sockets lie in `scratch`."""
    from jupyter_client.connect import write_connection_file

    file = scratch / _CONNECTION
    write_connection_file(str(file), transport="ipc", ip=str(scratch / "k"), shell_port=1, iopub_port=2, stdin_port=3,
                          hb_port=4, control_port=5)  # fmt: skip
    return file


def _execute(
    notebook: Notebook, connection: Path, process: ForkedProcess, deadline: float, failures: list[dict]
) -> None:
    import nbformat
    from nbclient.exceptions import CellTimeoutError, DeadKernelError

    cells = [cell for cell in notebook.cells if cell.kind == "code"]
    sources = [*(cell.source for cell in cells), DONE]
    book = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source) for source in sources])
    late = WorkerGone("Your notebook took longer than its time and was stopped: is a loop endless?")
    client = _client(book, connection, process, deadline)

    def note(cell, cell_index: int, execute_reply: dict) -> None:
        said = execute_reply["content"]
        number = cells[cell_index].number if cell_index < len(cells) else None
        failures.append({"cell": number, "type": said.get("ename"), "message": said.get("evalue")})

    client.on_cell_error = note
    try:
        client.execute()
    except CellTimeoutError as error:
        raise late from error
    except DeadKernelError as error:
        raise WorkerGone("Your notebook ended its own kernel: does the code leave Python or crash it?") from error
    except RuntimeError as error:  # it never answered
        raise WorkerGone("The kernel of your notebook did not answer.") from error
    finally:
        if client.kc is not None:
            client.kc.stop_channels()


def _client(book, connection: Path, process: ForkedProcess, deadline: float):
    import zmq
    import zmq.asyncio
    from jupyter_client.manager import AsyncKernelManager
    from nbclient import NotebookClient

    class Running(AsyncKernelManager):
        """A kernel that the zygote began: nbclient only talks to it."""

        @property
        def has_kernel(self) -> bool:
            return True

        async def is_alive(self) -> bool:
            return not process.has_ended()

        _async_is_alive = is_alive  # what the client asks

        async def shutdown_kernel(self, *args, **kwargs) -> None:
            """The grader goes on to ask it, and kills it afterwards."""

        async def interrupt_kernel(self) -> None:
            """It is killed when it takes too long."""

    class Client(NotebookClient):
        """Throws away what the notebook prints and draws."""

        def output(self, outs, msg, display_id, cell_index):
            return None

        async def _async_cleanup_kernel(self) -> None:
            """The kernel is not nbclient's to end."""

        def _cleanup_kernel(self) -> None:
            """The same, when Python ends."""

    context = zmq.asyncio.Context()
    context.setsockopt(zmq.MAXMSGSIZE, _MOST_MESSAGE)
    context.setsockopt(zmq.RCVHWM, _WAITING)
    context.setsockopt(zmq.LINGER, 0)
    manager = Running(connection_file=str(connection), context=context)
    with contextlib.suppress(OSError):
        manager.load_connection_info(json.loads(connection.read_text()))
    return Client(book, km=manager, allow_errors=True, startup_timeout=_START_SECONDS, record_timing=False,
                  timeout_func=lambda cell: max(0.1, deadline - time.monotonic()))  # fmt: skip
