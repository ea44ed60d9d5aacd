"""How much memory a piece of work needs at its worst moment."""

from __future__ import annotations

import contextlib
import ctypes
import threading
from collections.abc import Callable
from typing import Any

EVERY = 0.005  # seconds between two looks


def peak_growth(work: Callable[[], Any], device: str = "cpu") -> tuple[Any, int]:
    """Runs `work` and tells by how many bytes memory grew at most while it ran.

    On a CUDA device this is torch's own count of what its tensors took there. Elsewhere it is the resident memory of
    the whole process, looked at every 5 ms: other threads count too, so does a library that is imported on the way, and
    a peak between two looks is missed. Memory that the process held already without using it would not be seen to grow:
    what the C library can give back to the system is given back before. Good for telling tens of MB apart.

    Returns:
        What `work` returned, and the bytes.
    """
    import torch

    if str(device).startswith("cuda"):
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(device)
        before = torch.cuda.memory_allocated(device)
        answer = work()
        return answer, torch.cuda.max_memory_allocated(device) - before
    _give_back()
    import psutil

    process = psutil.Process()
    before = highest = process.memory_info().rss
    done = threading.Event()

    def look() -> None:
        nonlocal highest
        while not done.wait(EVERY):
            highest = max(highest, process.memory_info().rss)

    watcher = threading.Thread(target=look, daemon=True)
    watcher.start()
    try:
        answer = work()
        highest = max(highest, process.memory_info().rss)
    finally:
        done.set()
        watcher.join()
    return answer, highest - before


def _give_back() -> None:
    """Returns freed memory to the system, where the C library can (glibc)."""
    with contextlib.suppress(OSError, AttributeError, TypeError):
        ctypes.CDLL(None).malloc_trim(0)
