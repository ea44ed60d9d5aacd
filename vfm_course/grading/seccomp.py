"""Which system calls the calling process may make: a seccomp filter for Linux on x86_64 and aarch64, without root.

What is refused fails with EPERM, as if the user had no right to it, so that Python raises PermissionError.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import platform
import struct
import sys
from dataclasses import dataclass

from vfm_course.grading.namespaces import libc

_ARCHITECTURES = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
_SECCOMP = {"x86_64": 317, "aarch64": 277}
_SET_FILTER, _IS_AVAILABLE, _ALL_THREADS = 1, 2, 1
_ALLOW, _KILL, _REFUSE, _UNKNOWN = 0x7FFF0000, 0x80000000, 0x50000 | errno.EPERM, 0x50000 | errno.ENOSYS
_PRETEND, _INVALID = 0x50000, 0x50000 | errno.EINVAL  # not done, and no error; an error as for a wrong argument
_LOAD, _AND, _EQUAL, _GREATER, _RETURN = 0x20, 0x54, 0x15, 0x25, 0x06  # instructions of classic BPF
_NUMBER_AT, _ARCHITECTURE_AT, _ARGUMENTS_AT = 0, 4, 16  # bytes into what the filter is shown
_LAST_KNOWN = 451  # system calls above it are newer than this table; x86's 32-bit ones lie above it too


def _table(text: str) -> dict[str, dict[str, int]]:
    """Name -> machine -> number, from `name x86_64 aarch64`, divided by commas; `-` where a machine has none."""
    rows = (row.split() for row in text.split(","))
    return {name: {machine: int(number) for machine, number in zip(_ARCHITECTURES, numbers, strict=True)
                   if number != "-"} for name, *numbers in rows}  # fmt: skip


# Network and sockets; also sendmsg, which passes open files on.
_REFUSED = _table("""
    socket 41 198, socketpair 53 199, connect 42 203, bind 49 200, listen 50 201, accept 43 202, accept4 288 242,
    sendmsg 46 211, sendmmsg 307 269, recvmsg 47 212, recvmmsg 299 243,
""".strip().rstrip(","))  # fmt: skip
_TO_BE_CALLED = ("socket", "socketpair", "bind", "listen", "accept", "accept4")  # what a Jupyter kernel needs
# Other processes, and programs.
_REFUSED |= _table("""
    fork 57 -, vfork 58 -, execve 59 221, execveat 322 281, ptrace 101 117, process_vm_readv 310 270,
    process_vm_writev 311 271, process_madvise 440 440, process_mrelease 448 448, kcmp 312 272, pidfd_open 434 434,
    pidfd_getfd 438 438, pidfd_send_signal 424 424, tkill 200 130, migrate_pages 256 238, move_pages 279 239,
    setpriority 141 140, ioprio_set 251 30
""")
# Memory that no limit counts: shared segments, message queues, files without a name.
_REFUSED |= _table("""
    shmget 29 194, shmat 30 196, shmctl 31 195, msgget 68 186, msgsnd 69 189, semget 64 190, mq_open 240 180,
    memfd_create 319 279, memfd_secret 447 447
""")
# Changes to files by their path, which Landlock does not look at; and watching others' folders.
_REFUSED |= _table("""
    chmod 90 -, fchmod 91 52, fchmodat 268 53, chown 92 -, fchown 93 55, lchown 94 -, fchownat 260 54, truncate 76 45,
    utime 132 -, utimes 235 -, futimesat 261 -, utimensat 280 88, setxattr 188 5, lsetxattr 189 6, fsetxattr 190 7,
    removexattr 197 14, lremovexattr 198 15, fremovexattr 199 16, inotify_add_watch 254 27, fanotify_init 300 262,
    fanotify_mark 301 263, name_to_handle_at 303 264, open_by_handle_at 304 265, lookup_dcookie 212 18
""")
# The machine itself, and what flaws of the kernel are usually reached through.
_REFUSED |= _table("""
    mount 165 40, umount2 166 39, pivot_root 155 41, chroot 161 51, open_tree 428 428, move_mount 429 429,
    fsopen 430 430, fsconfig 431 431, fsmount 432 432, fspick 433 433, mount_setattr 442 442, unshare 272 97,
    setns 308 268, bpf 321 280, add_key 248 217, request_key 249 218, keyctl 250 219, io_uring_setup 425 425,
    io_uring_enter 426 426, io_uring_register 427 427, perf_event_open 298 241, userfaultfd 323 282,
    personality 135 92, reboot 169 142, swapon 167 224, swapoff 168 225, acct 163 89, quotactl 179 60,
    quotactl_fd 443 443, sethostname 170 161, setdomainname 171 162, init_module 175 105, finit_module 313 273,
    delete_module 176 106, kexec_load 246 104, kexec_file_load 320 294, syslog 103 116, settimeofday 164 170,
    clock_settime 227 112, clock_adjtime 305 266, adjtimex 159 171, iopl 172 -, ioperm 173 -, modify_ldt 154 -,
    uselib 134 -, vhangup 153 58
""")
# The C library does without these when they are unknown; a filter cannot look into what they point to.
_MISSING = _table("clone3 435 435, openat2 437 437")
_CONDITIONAL = _table("""
    clone 56 220, kill 62 129, tgkill 234 131, rt_sigqueueinfo 129 138, rt_tgsigqueueinfo 297 240, prlimit64 302 261,
    sched_setparam 142 118, sched_setscheduler 144 119, sched_setattr 314 274,
    sched_setaffinity 203 122, fcntl 72 25, ioctl 16 29, open 2 -, openat 257 56
""")


@dataclass(frozen=True)
class _Condition:
    """On the low 32 bits of one argument: `value & mask` is one of `values` (`among`), or none of them. What does not
    meet it gets the verdict `otherwise`."""

    argument: int
    values: tuple[int, ...]
    among: bool = True
    mask: int = 0xFFFFFFFF
    otherwise: int = _REFUSE


def _conditions(own: int, callable_: bool = False) -> dict[str, _Condition]:
    """When a system call is permitted to the process with the number `own`."""
    thread = 0x10000  # CLONE_THREAD: threads are permitted, processes are not
    emptying = _Condition(1, (os.O_TRUNC,), among=False, mask=os.O_TRUNC | os.O_ACCMODE)  # although opened to read
    to_itself = dict.fromkeys(("kill", "tgkill", "rt_sigqueueinfo", "rt_tgsigqueueinfo"), _Condition(0, (own,)))
    about_itself = ("prlimit64", "sched_setparam", "sched_setscheduler", "sched_setattr", "sched_setaffinity")
    # AF_UNIX: a socket that is a file. ZeroMQ ends the process where another is refused with EPERM.
    local = _Condition(0, (1,), otherwise=_INVALID)
    own_only = dict.fromkeys(about_itself, _Condition(0, (0, own)))
    if callable_:
        own_only |= dict.fromkeys(("socket", "socketpair"), local)
        # ZeroMQ asks for the priority that its threads have anyway, and ends the process where that is refused.
        own_only["sched_setscheduler"] = _Condition(0, (0, own), otherwise=_PRETEND)
    return to_itself | own_only | {
        "clone": _Condition(0, (thread,), mask=thread),
        "fcntl": _Condition(1, (8, 15), among=False),  # F_SETOWN, F_SETOWN_EX: send signals to others
        "ioctl": _Condition(1, (0x5412, 0x541C, 0x8901, 0x8902), among=False),  # type into a terminal, send signals
        "open": emptying,
        "openat": _Condition(2, emptying.values, emptying.among, emptying.mask),
    }  # fmt: skip


def _step(code: int, value: int, if_true: int = 0, if_false: int = 0) -> bytes:
    return struct.pack("HBBI", code, if_true, if_false, value)


def _program(machine: str, own: int, callable_: bool = False) -> list[bytes]:
    """The filter's instructions. Each jump is to the next few, so that no distance has to be counted."""
    steps = [_step(_LOAD, _ARCHITECTURE_AT), _step(_EQUAL, _ARCHITECTURES[machine], 1), _step(_RETURN, _KILL)]
    steps += [_step(_LOAD, _NUMBER_AT), _step(_GREATER, _LAST_KNOWN, 0, 1), _step(_RETURN, _UNKNOWN)]
    for table, verdict in ((_REFUSED, _REFUSE), (_MISSING, _UNKNOWN)):
        for name, numbers in table.items():
            if machine in numbers and not (callable_ and name in _TO_BE_CALLED):
                steps += [_step(_EQUAL, numbers[machine], 0, 1), _step(_RETURN, verdict)]
    for name, condition in _conditions(own, callable_).items():
        if (number := (_CONDITIONAL | _REFUSED)[name].get(machine)) is not None:
            block = _block(condition)
            steps += [_step(_EQUAL, number, 0, len(block)), *block]
    return [*steps, _step(_RETURN, _ALLOW)]


def _block(condition: _Condition) -> list[bytes]:
    """Instructions that end the filter, whatever they find."""
    found, otherwise = (_ALLOW, condition.otherwise) if condition.among else (condition.otherwise, _ALLOW)
    steps = [_step(_LOAD, _ARGUMENTS_AT + 8 * condition.argument), _step(_AND, condition.mask)]
    for value in condition.values:
        steps += [_step(_EQUAL, value, 0, 1), _step(_RETURN, found)]
    return [*steps, _step(_RETURN, otherwise)]


class _Program(ctypes.Structure):
    _fields_ = [("length", ctypes.c_ushort), ("steps", ctypes.c_char_p)]


def available() -> bool:
    """Whether `install` can work here."""
    machine = platform.machine()
    if sys.platform != "linux" or machine not in _ARCHITECTURES or ctypes.sizeof(ctypes.c_void_p) != 8:
        return False
    action = ctypes.c_uint32(0x50000)  # fail with an error number
    with contextlib.suppress(OSError):
        return libc("syscall", _SECCOMP[machine], _IS_AVAILABLE, 0, ctypes.byref(action)) == 0
    return False


def install(callable_: bool = False) -> bool:
    """Refuses for good, to all threads of this process, what no exercise needs. Returns whether it could.

    Args:
        callable_: sockets in files may be made and listened at; to connect to one stays refused.

    The process must have called `gain_nothing_more`.
    """
    if not available():
        return False
    machine = platform.machine()
    steps = _program(machine, os.getpid(), callable_)
    program = _Program(len(steps), b"".join(steps))
    with contextlib.suppress(OSError):
        return libc("syscall", _SECCOMP[machine], _SET_FILTER, _ALL_THREADS, ctypes.byref(program)) == 0
    return False
