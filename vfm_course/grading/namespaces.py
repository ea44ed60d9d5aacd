"""A network, IPC objects and a host name of its own for the calling process, and no privileges: Linux, without root."""

from __future__ import annotations

import contextlib
import ctypes
import os
import sys
from pathlib import Path
from typing import Any

_NEW_USER, _NEW_NETWORK, _NEW_IPC, _NEW_NAMES = 0x10000000, 0x40000000, 0x08000000, 0x04000000
_SET_NO_NEW_PRIVILEGES, _DROP_FROM_BOUNDING_SET = 38, 24  # of prctl
_CAPABILITIES_VERSION = 0x20080522
_LAST_CAPABILITY = 63


def libc(name: str, *arguments: Any) -> int:
    """Calls a function of the C library; whole numbers are passed as C longs.

    Raises:
        OSError: it returned -1, or this system does not have it.
    """
    function = getattr(ctypes.CDLL(None, use_errno=True), name, None)
    if function is None:
        raise OSError(f"this system has no {name}()")
    function.restype = ctypes.c_long
    result = function(*(ctypes.c_long(each) if isinstance(each, int) else each for each in arguments))
    if ctypes.c_int(result).value == -1:
        number = ctypes.get_errno()
        raise OSError(number, f"{name}: {os.strerror(number)}")
    return result


def enter_namespaces() -> bool:
    """Moves the calling process, which must have one thread, into namespaces of its own. Returns whether it could."""
    if sys.platform != "linux":
        return False
    user, group = os.geteuid(), os.getegid()
    others = _NEW_NETWORK | _NEW_IPC | _NEW_NAMES
    for kinds in (_NEW_USER | others, others):  # without a user namespace only root may
        with contextlib.suppress(OSError):
            libc("unshare", kinds)
            if kinds & _NEW_USER:
                _keep_identity(user, group)
            return True
    return False


def _keep_identity(user: int, group: int) -> None:
    """The same numbers inside as outside. Without them everybody is `nobody` inside, which shuts in no less."""
    with contextlib.suppress(OSError):
        Path("/proc/self/setgroups").write_text("deny")  # else the kernel refuses a gid_map without privileges
        Path("/proc/self/uid_map").write_text(f"{user} {user} 1")
        Path("/proc/self/gid_map").write_text(f"{group} {group} 1")


def gain_nothing_more() -> bool:
    """No program that is started can have more rights than this process; Landlock and seccomp ask for it."""
    if sys.platform != "linux":
        return False
    with contextlib.suppress(OSError):
        libc("prctl", _SET_NO_NEW_PRIVILEGES, 1, 0, 0, 0)
        return True
    return False


def drop_capabilities() -> None:
    """Gives up what root, or a user namespace, permits beyond an ordinary user: raising limits, mounting, tracing."""
    if sys.platform != "linux":
        return
    for capability in range(_LAST_CAPABILITY + 1):
        with contextlib.suppress(OSError):
            libc("prctl", _DROP_FROM_BOUNDING_SET, capability, 0, 0, 0)
    header = (ctypes.c_uint32 * 2)(_CAPABILITIES_VERSION, 0)  # 0: this process
    nothing = (ctypes.c_uint32 * 6)()  # effective, permitted, inheritable, in two halves
    with contextlib.suppress(OSError):
        libc("capset", header, nothing)
