"""What a submission may use of the machine: time, memory, threads, disk. The kernel enforces it on any POSIX system."""

from __future__ import annotations

import contextlib
import math
import os
import sys
from dataclasses import dataclass
from pathlib import Path

_OPEN_FILES = 256


@dataclass(frozen=True)
class Limits:
    """What one process of a submission may use.

    Args:
        wall: seconds on the clock. The parent enforces it, by killing the process.
        cpu: seconds of processor time, of all threads together, from `set_limits` on. SIGXCPU ends the process then,
            and SIGKILL one second later where it ignores that.
        memory_mb: MiB of address space beyond what is mapped already (torch alone maps gigabytes). Linux only.
        threads: how many threads and processes more than now the user may have. The kernel excepts root from it.
        file_mb: MiB that one file may have. The number of files is not limited.
    """

    wall: float = 60.0
    cpu: int = 60
    memory_mb: int = 2048
    threads: int = 256
    file_mb: int = 64


def set_limits(limits: Limits) -> None:
    """Limits the calling process for good; no error is raised where the system refuses one.

    To be called while /proc can still be read.
    """
    import resource  # not on Windows, where this module can still be imported

    used = resource.getrusage(resource.RUSAGE_SELF)
    cpu = math.ceil(used.ru_utime + used.ru_stime) + limits.cpu
    _lower(resource.RLIMIT_CORE, 0)
    _lower(resource.RLIMIT_FSIZE, limits.file_mb << 20)
    _lower(resource.RLIMIT_NOFILE, _OPEN_FILES)
    _lower(resource.RLIMIT_CPU, cpu, cpu + 1)
    if sys.platform == "linux":  # macOS accepts a limit on address space and ignores it
        _lower(resource.RLIMIT_MEMLOCK, 1 << 16)
        _lower(resource.RLIMIT_NPROC, _threads_of_user() + limits.threads)
        with contextlib.suppress(OSError):
            mapped = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
            _lower(resource.RLIMIT_AS, mapped + (limits.memory_mb << 20))


def memory_is_limited() -> bool:
    """Of the calling process."""
    import resource

    return sys.platform == "linux" and resource.getrlimit(resource.RLIMIT_AS)[1] != resource.RLIM_INFINITY


def cpu_is_limited() -> bool:
    """Of the calling process."""
    import resource

    return resource.getrlimit(resource.RLIMIT_CPU)[1] != resource.RLIM_INFINITY


def _lower(which: int, soft: int, hard: int | None = None) -> None:
    """Sets a limit, or keeps the present one where that is lower."""
    import resource

    present = resource.getrlimit(which)[1]
    wanted = [soft, soft if hard is None else hard]
    if present != resource.RLIM_INFINITY:
        wanted = [min(value, present) for value in wanted]
    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(which, tuple(wanted))


def _threads_of_user() -> int:
    """What RLIMIT_NPROC counts: all threads of all processes of this user."""
    count, user = 0, os.getuid()
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if process.stat().st_uid == user:
                count += len(os.listdir(process / "task"))
    return count
