"""A time limit on code that runs in this process: a check never hangs a notebook."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator

_REPEAT = 0.1  # seconds until the limit strikes again at code that swallowed it


class TimeUp(BaseException):
    """Not an Exception, so that `except Exception` in a learner's code does not swallow it."""


def default_limit() -> float:
    """Seconds that a check may take: `VFM_CHECK_SECONDS`, else 10."""
    try:
        seconds = float(os.environ.get("VFM_CHECK_SECONDS", "10"))
    except ValueError:
        return 10.0
    return seconds if seconds > 0 else 10.0


def limited(seconds: float) -> contextlib.AbstractContextManager:
    """`with limited(10): …` raises TimeUp inside the block when the time is over.

    A single long call into C (one huge matrix product) ends before it is interrupted: Python has no way to stop it.
    """
    in_main = threading.current_thread() is threading.main_thread()
    return _by_signal(seconds) if in_main and hasattr(signal, "setitimer") else _by_thread(seconds)


@contextlib.contextmanager
def _by_signal(seconds: float) -> Iterator[None]:
    guard = sys._getframe(2)  # the frame of the `with` statement's caller, past contextlib
    former_trace = sys.gettrace()
    struck = False

    def again(frame, event, argument):
        if event == "line":
            raise TimeUp
        return again

    def strike(number, frame):
        # `while True: try … except: pass` swallows the first TimeUp, so every later line of the learner raises it too.
        nonlocal struck
        struck = True
        while frame is not None and frame is not guard and frame.f_code.co_filename != __file__:
            if not frame.f_code.co_filename.startswith(_ENGINE):
                frame.f_trace = again
            frame = frame.f_back
        sys.settrace(again_global)
        raise TimeUp

    def again_global(frame, event, argument):
        return None if frame.f_code.co_filename.startswith(_ENGINE) else again

    former_handler = signal.signal(signal.SIGALRM, strike)
    started = time.monotonic()
    left, interval = signal.setitimer(signal.ITIMER_REAL, seconds, _REPEAT)
    try:
        yield
    finally:
        _disarm()
        if struck:
            sys.settrace(former_trace)
        signal.signal(signal.SIGALRM, former_handler)
        if left:  # somebody else's timer (a test's own limit) goes on where it was
            signal.setitimer(signal.ITIMER_REAL, max(0.01, left - (time.monotonic() - started)), interval)


def _disarm() -> None:
    while True:
        try:
            signal.setitimer(signal.ITIMER_REAL, 0)
            return
        except TimeUp:  # struck between the end of the block and here
            continue


@contextlib.contextmanager
def _by_thread(seconds: float) -> Iterator[None]:
    ident = ctypes.c_ulong(threading.get_ident())
    raise_in = ctypes.pythonapi.PyThreadState_SetAsyncExc
    over, lock = threading.Event(), threading.Lock()

    def strike():
        wait = seconds
        while not over.wait(wait):
            with lock:
                if not over.is_set():
                    raise_in(ident, ctypes.py_object(TimeUp))
            wait = _REPEAT

    timer = threading.Thread(target=strike, daemon=True)
    timer.start()
    try:
        yield
    finally:
        with contextlib.suppress(TimeUp), lock:
            over.set()
        over.set()
        raise_in(ident, None)  # takes back one that is on its way


_ENGINE = os.path.dirname(os.path.abspath(__file__)) + os.sep
