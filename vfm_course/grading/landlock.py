"""Which files the calling process may open, enforced by Landlock (Linux 5.13 and later, without root).

Landlock permits whole hierarchies and cannot take a folder out of one again. Where something hidden lies below a folder
that may be read, the folder's children are therefore permitted one by one.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import sys
import sysconfig
from collections.abc import Iterator, Sequence
from pathlib import Path

from vfm_course.grading.namespaces import libc

_CREATE, _ADD, _RESTRICT = 444, 445, 446  # system calls, the same on x86_64 and aarch64
_ASK_VERSION, _PATH_BENEATH = 1, 1
_EXECUTE, _WRITE, _READ, _LIST, _TRUNCATE, _DEVICE_CONTROL = 1 << 0, 1 << 1, 1 << 2, 1 << 3, 1 << 14, 1 << 15
_REMOVE, _MAKE_FOLDER, _MAKE_FILE, _MAKE_SOCKET, _MAKE_PIPE = 3 << 4, 1 << 7, 1 << 8, 1 << 9, 1 << 10
_MAKE_LINK, _MOVE = 1 << 12, 1 << 13
_OF_A_FILE = _EXECUTE | _WRITE | _READ | _TRUNCATE | _DEVICE_CONTROL
_LOOK = _READ | _LIST
_OWN = _LOOK | _WRITE | _TRUNCATE | _REMOVE | _MAKE_FOLDER | _MAKE_FILE | _MAKE_SOCKET | _MAKE_PIPE | _MAKE_LINK | _MOVE
_TCP = 3  # bind and connect, from version 4
_SCOPES = 3  # abstract sockets and signals, from version 6

# What Python, torch and the C library read. Of /proc: nothing of other processes.
_SYSTEM = ("/usr", "/lib", "/lib32", "/lib64", "/nix/store", "/etc/ld.so.cache", "/etc/ld.so.conf",
           "/etc/ld.so.conf.d", "/etc/ld.so.preload", "/etc/localtime", "/dev/zero", "/dev/full", "/dev/random",
           "/dev/urandom", "/proc/cpuinfo", "/proc/meminfo", "/proc/stat", "/proc/loadavg", "/proc/version",
           "/proc/filesystems", "/proc/sys/vm/overcommit_memory", "/sys/devices/system/cpu", "/sys/devices/system/node",
           "/sys/kernel/mm/transparent_hugepage")  # fmt: skip


class _Ruleset(ctypes.Structure):
    _fields_ = [("files", ctypes.c_uint64), ("network", ctypes.c_uint64), ("scopes", ctypes.c_uint64)]


class _PathBeneath(ctypes.Structure):
    _pack_ = 1
    _fields_ = [("rights", ctypes.c_uint64), ("folder", ctypes.c_int32)]


def version() -> int:
    """Of Landlock in the running kernel; 0 where there is none."""
    if sys.platform != "linux":
        return 0
    with contextlib.suppress(OSError):
        return libc("syscall", _CREATE, None, 0, _ASK_VERSION)
    return 0


def needed() -> list[Path]:
    """What Python, the installed packages, torch and the course itself read while a learner's code runs."""
    python = [Path(sysconfig.get_path(name)) for name in ("stdlib", "platstdlib", "purelib", "platlib")]
    python += [Path(prefix) / lib for prefix in (sys.prefix, sys.base_prefix) for lib in ("lib", "lib64")]
    # Not all of sys.path: the folder that the grader was started in stands there, and so may a home folder.
    python += [Path(entry) for entry in sys.path if Path(entry).name in ("site-packages", "dist-packages")]
    package = Path(__file__).resolve().parents[1]
    data = [package.parent / "data"] if (package.parent / "pyproject.toml").is_file() else []
    if named := os.environ.get("VFM_DATA"):
        data.append(Path(named))
    return [Path(each) for each in _SYSTEM] + python + [package] + data


def permitted(readable: Sequence[Path], hidden: Sequence[Path]) -> Iterator[tuple[Path, int]]:
    """(path, rights) for all that may be read: each of `readable` without what lies in `hidden`.

    A path of `readable` that lies within a hidden folder stays readable: it was named more exactly.
    """
    out_of_sight = {path.resolve() for path in hidden}
    # Compiled modules hold what their source holds.
    out_of_sight |= {path.parent / "__pycache__" for path in out_of_sight if path.suffix == ".py"}
    above = {folder for path in out_of_sight for folder in path.parents}
    for root in dict.fromkeys(path.resolve() for path in readable):
        yield from _without(root, out_of_sight, above)


def _without(path: Path, hidden: set[Path], above: set[Path]) -> Iterator[tuple[Path, int]]:
    """`above` are the folders with something hidden below them."""
    if path in hidden:
        return
    if path not in above:
        yield path, _LOOK
        return
    yield path, _LIST  # Python imports nothing from a folder that it cannot list
    with contextlib.suppress(OSError):
        for child in path.iterdir():
            if not child.is_symlink():  # what it points to is permitted, or not, where it lies
                yield from _without(child, hidden, above)


def restrict(scratch: Path, readable: Sequence[Path], hidden: Sequence[Path]) -> int:
    """From now on only `readable` can be read, without `hidden`, and only `scratch` be written; nothing be executed.

    The process must have one thread and have called `gain_nothing_more`.

    Returns:
        The version of Landlock that enforces it; 0 where none does.
    """
    number = version()
    if number < 1:
        return 0
    handled = (1 << (13 + (number >= 2) + (number >= 3) + (number >= 5))) - 1
    rules = _Ruleset(handled, _TCP if number >= 4 else 0, _SCOPES if number >= 6 else 0)
    with contextlib.suppress(OSError):
        ruleset = libc("syscall", _CREATE, ctypes.byref(rules), ctypes.sizeof(rules), 0)
        try:
            for path, rights in permitted([*readable, Path("/proc") / str(os.getpid())], hidden):
                _permit(ruleset, path, rights & handled)
            _permit(ruleset, Path(os.devnull), (_READ | _WRITE | _TRUNCATE) & handled)
            _permit(ruleset, scratch.resolve(), _OWN & handled)
            libc("syscall", _RESTRICT, ruleset, 0)
        finally:
            os.close(ruleset)
        return number
    return 0


def _permit(ruleset: int, path: Path, rights: int) -> None:
    """Adds a rule; none for a path that this system does not have."""
    try:
        opened = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError:
        return
    try:
        rule = _PathBeneath(rights if path.is_dir() else rights & _OF_A_FILE, opened)
        if rule.rights:
            libc("syscall", _ADD, ruleset, _PATH_BENEATH, ctypes.byref(rule), 0)
    finally:
        os.close(opened)
