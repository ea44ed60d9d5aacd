"""A process that has loaded torch once and forks itself for every submission, so that none has to load it again.

    python -m vfm_course.grading.zygote DESCRIPTOR

It holds no checks, no expected values and no reference answers, and so neither do the processes that it forks. Each of
these shuts itself in (`isolation.enter`) before it reads the first line of a learner. Through the one socket
DESCRIPTOR come requests, one JSON line each:

    {"fork": {…}}  with a socket passed along -> {"pid": …}   the child speaks the protocol of `exercises.worker` on it
    {"wait": pid}                             -> {"code": …}  of a child that was killed or has ended
"""

from __future__ import annotations

import json
import os
import signal
import socket
import sys
from pathlib import Path

from vfm_course.exercises.worker import Server, load_torch, refuse_answers
from vfm_course.grading.isolation import enter
from vfm_course.grading.kernel import serve_kernel
from vfm_course.grading.limits import Limits

REQUEST = 2**16  # bytes of a request at most


def serve(control: socket.socket) -> None:
    """Until the grader closes its end; then all children are ended."""
    children: set[int] = set()
    control.sendall(b'{"ready": true}\n')
    while True:
        message, descriptors, _, _ = socket.recv_fds(control, REQUEST, 1)
        if not message:
            break
        request = json.loads(message)
        if "fork" in request:
            pid = os.fork()
            if pid == 0:
                control.close()
                _be_a_learner(descriptors[0], request["fork"])
            children.add(pid)
            os.close(descriptors[0])
            reply = {"pid": pid}
        else:
            _, status = os.waitpid(request["wait"], 0)
            children.discard(request["wait"])
            reply = {"code": os.waitstatus_to_exitcode(status)}
        control.sendall(json.dumps(reply).encode() + b"\n")
    for pid in children:
        os.kill(pid, signal.SIGKILL)


def _be_a_learner(descriptor: int, wanted: dict) -> None:
    """Never returns: shuts the process in and answers the grader until it closes the socket."""
    code = 1
    try:
        os.setsid()
        _only(descriptor)
        hidden, kernel = [Path(path) for path in wanted["hidden"]], wanted["kernel"]
        enter(Path(wanted["scratch"]), Limits(**wanted["limits"]), hidden, kernel=bool(kernel))
        line = os.fdopen(os.dup(3), "rb"), os.fdopen(os.dup(3), "wb")
        if kernel:
            serve_kernel(Path(kernel), *line)
        else:
            Server(*line).serve()
        code = 0
    finally:
        os._exit(code)


def _only(descriptor: int) -> None:
    """Leaves the process its socket, as number 3, and nothing else of what its parent had open."""
    nowhere = os.open(os.devnull, os.O_RDWR)
    for number in (0, 1, 2):
        os.dup2(nowhere, number)
    os.dup2(descriptor, 3)  # last: `nowhere` may be 3
    os.closerange(4, os.sysconf("SC_OPEN_MAX"))


def main() -> None:
    load_torch()
    refuse_answers()
    serve(socket.socket(fileno=int(sys.argv[1])))


if __name__ == "__main__":
    main()
