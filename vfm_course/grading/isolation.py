"""Shuts a process in before it runs a learner's code, and tries out what really holds on this machine.

`enter` uses what the system offers without root: namespaces, Landlock, seccomp and limits on Linux, limits alone
elsewhere. `probe` shuts a process in and lets it attack; its answer is what a report may claim.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from vfm_course.grading import landlock, seccomp
from vfm_course.grading.hidden import hidden_paths
from vfm_course.grading.limits import Limits, cpu_is_limited, memory_is_limited, set_limits
from vfm_course.grading.namespaces import drop_capabilities, enter_namespaces, gain_nothing_more

_SENTENCES = {
    "network": ("The network cannot be reached.", "The network can be reached."),
    "writes": ("Files can be changed in a scratch folder only.", "Files outside the scratch folder can be changed."),
    "reads": (
        "Other submissions, the checks, the answers and other processes cannot be read.",
        "Other submissions, the checks, the answers or other processes can be read.",
    ),
    "processes": (
        "No further processes can be started, and no others be signalled.",
        "Further processes can be started, or others be signalled.",
    ),
    "memory": ("Memory is limited.", "Memory is not limited."),
    "cpu": ("Processor time is limited.", "Processor time is not limited."),
    "environment": (
        "The grader's environment variables are not passed on.",
        "The grader's environment variables are passed on.",
    ),
}
_KEPT_VARIABLES = ("PATH", "LANG", "OMP_NUM_THREADS", "VFM_DATA")
_PROBE_LIMITS = Limits(wall=30, cpu=1, memory_mb=256, file_mb=1)
_SECRET = "VFM_PROBE_SECRET"


@dataclass(frozen=True)
class Held:
    """What a submission is kept from: True where that is enforced (`enter`), or was tried and stopped (`probe`)."""

    network: bool = False
    writes: bool = False
    reads: bool = False
    processes: bool = False
    memory: bool = False
    cpu: bool = False
    environment: bool = False

    @property
    def complete(self) -> bool:
        """Whether all of it holds."""
        return all(asdict(self).values())

    def sentences(self) -> list[str]:
        """What holds and what does not, for a report."""
        told = [(getattr(self, name), says) for name, says in _SENTENCES.items()]
        return [says[0] if holds else f"NOT held: {says[1]}" for holds, says in told]


def enter(
    scratch: Path,
    limits: Limits,
    hidden: Sequence[Path],
    readable: Sequence[Path] | None = None,
    kernel: bool = False,
) -> Held:
    """Shuts the calling process in, for good, with all that the system offers.

    It is left without the grader's environment, its working directory is `scratch`, and open files stay open.

    Args:
        scratch: an existing folder, the only one that it can write to.
        limits: what it may use; the parent has to enforce `limits.wall`.
        hidden: files and folders that it must not read although they lie below something that it may read. Names in
            such folders may still be listed. What is neither `readable` nor `scratch` needs no mention.
        readable: in place of `landlock.needed()`.
        kernel: it may be called, through sockets in `scratch`, as a Jupyter kernel is; it may still call nobody.

    Returns:
        What is enforced. A means that this system does not have raises nothing.

    Raises:
        RuntimeError: the process has several threads; the others would stay free. Fork first.
    """
    tasks = Path("/proc/self/task")
    if tasks.is_dir() and len(os.listdir(tasks)) > 1:
        raise RuntimeError("a process that is to be shut in must have one thread: fork it first")
    scratch, hidden = scratch.resolve(), [path.resolve() for path in hidden]
    readable = landlock.needed() if readable is None else list(readable)
    os.chdir(scratch)
    os.umask(0o077)
    _scrub_environment(scratch)
    enter_namespaces()
    set_limits(limits)  # while /proc can be read
    restricted = gain_nothing_more()
    files = landlock.restrict(scratch, readable, hidden) > 0 if restricted else False
    drop_capabilities()
    calls = seccomp.install(callable_=kernel) if restricted else False
    return Held(network=calls, writes=files and calls, reads=files, processes=calls, memory=memory_is_limited(),
                cpu=cpu_is_limited(), environment=True)  # fmt: skip


def _scrub_environment(scratch: Path) -> None:
    kept = {name: os.environ[name] for name in _KEPT_VARIABLES if name in os.environ}
    os.environ.clear()
    if os.name == "posix":
        import posix

        posix.environ.clear()  # what os.environ was made from
    with contextlib.suppress(OSError, IndexError, ValueError):
        # The block that the process was started with: /proc/self/environ shows it, and ctypes reads it.
        after_name = Path("/proc/self/stat").read_text().rpartition(")")[2].split()
        begin, end = int(after_name[47]), int(after_name[48])  # env_start and env_end
        ctypes.memset(begin, 0, end - begin)
    os.environ.update(kept | {"HOME": str(scratch), "TMPDIR": str(scratch)})
    tempfile.tempdir = None  # it remembers the former TMPDIR


def probe(hidden: Sequence[Path] = (), kernel: bool = False) -> Held:
    """Shuts a process in, in a folder of its own, and lets it try what a submission must not do. Takes 3 seconds.

    Args:
        hidden: more files that must not be readable, besides the course's checks and answers and those made for this.
        kernel: shut in as for a Jupyter kernel.

    Returns:
        What was tried and stopped; what could not be tried counts as not held.
    """
    stopped = _outcomes(hidden, kernel=kernel)
    groups = {field.name: [kept for name, kept in stopped.items() if name.startswith(field.name)]
              for field in fields(Held)}  # fmt: skip
    return Held(**{name: bool(each) and all(each) for name, each in groups.items()})


def _outcomes(hidden: Sequence[Path] = (), shut_in: bool = True, kernel: bool = False) -> dict[str, bool]:
    """What was tried ("reads: a hidden file") -> whether it was stopped. Nothing for what was never reached."""
    if os.name != "posix":
        return {}
    with tempfile.TemporaryDirectory(prefix="vfm-probe-") as name, contextlib.ExitStack() as open_sockets:
        folder = Path(name).resolve()
        for made in ("scratch", "hidden", "submissions"):
            (folder / made).mkdir()
        secrets = [folder / "hidden" / "answers.py", folder / "submissions" / "other.ipynb"]
        for path in secrets:
            path.write_text("secret")
        ours = [path for each in hidden_paths(hidden) for path in (each.rglob("*") if each.is_dir() else [each])]
        task = {
            "scratch": str(folder / "scratch"),
            "hidden": [str(path) for path in (*hidden_paths(hidden), folder / "hidden", folder / "submissions")],
            "secrets": [str(path) for path in (*secrets, *ours) if path.is_file()],
            "outside": str(secrets[1]),
            "addresses": _listen(folder, open_sockets),
            "parent": os.getpid(),
            "shut_in": shut_in,
            "kernel": kernel,
        }
        return _let_attack(task)


def _listen(folder: Path, open_sockets: contextlib.ExitStack) -> list:
    """Addresses that could be connected to if nothing forbade it."""
    wanted = [(socket.AF_INET, ("127.0.0.1", 0)), (socket.AF_UNIX, str(folder / "socket"))]
    if sys.platform == "linux":
        wanted.append((socket.AF_UNIX, f"\0vfm-probe-{os.getpid()}-{time.monotonic_ns()}"))
    heard = []
    for family, address in wanted:
        with contextlib.suppress(OSError):  # no network here at all, or a name too long
            listener = open_sockets.enter_context(socket.socket(family, socket.SOCK_STREAM))
            listener.bind(address)
            listener.listen()
            heard.append([int(family), listener.getsockname()])
            if isinstance(heard[-1][1], bytes):
                heard[-1][1] = heard[-1][1].decode()
    return heard


def _let_attack(task: dict) -> dict[str, bool]:
    """A new process does it, not a fork: the caller may have threads, which a fork would break."""
    root = str(Path(__file__).resolve().parents[2])
    paths = [root, *filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))]
    begun = [sys.executable, "-c", "from vfm_course.grading.isolation import _attack; _attack()"]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths), _SECRET: "secret"}
    try:
        ended = subprocess.run(begun, input=json.dumps(task), capture_output=True, text=True, env=environment,
                               timeout=_PROBE_LIMITS.wall)  # fmt: skip
        written, code = ended.stdout, ended.returncode
    except subprocess.TimeoutExpired as error:
        written, code = (error.stdout or b"").decode(), 0
    lines = [json.loads(line) for line in written.splitlines() if line.endswith("]")]
    stopped = dict(each for each in lines if each[1] is not None)
    if lines and lines[-1][0] == "cpu" and stopped.get("cpu") is None:  # it began to burn, and did not survive
        stopped["cpu"] = code in (-signal.SIGKILL, -signal.SIGXCPU)
    return stopped


def _attack() -> None:
    """The attacker's process. Prints [what, stopped?] in JSON, one a line."""
    task = json.loads(sys.stdin.readline())
    if task["shut_in"]:
        enter(Path(task["scratch"]), _PROBE_LIMITS, [Path(path) for path in task["hidden"]], kernel=task["kernel"])
    for what, attempt in _attempts(task).items():
        print(json.dumps([what, _is_stopped(attempt)]), flush=True)
    print(json.dumps(["cpu", None]), flush=True)
    signal.signal(signal.SIGXCPU, signal.SIG_IGN)  # a learner can do so
    while time.process_time() < _PROBE_LIMITS.cpu + 3:
        pass
    print(json.dumps(["cpu", False]), flush=True)


def _is_stopped(attempt: Callable[[], object]) -> bool:
    """Whether it was refused. To fail for another reason, such as a missing file, does not count."""
    try:
        attempt()
    except (PermissionError, MemoryError):
        return True
    except OSError as error:  # a network of its own has nobody to connect to
        return isinstance(attempt, _Connect) and not isinstance(error, FileNotFoundError)
    return False


@dataclass
class _Connect:
    family: int
    address: str | tuple

    def __call__(self) -> None:
        with socket.socket(self.family, socket.SOCK_STREAM) as one:
            one.settimeout(5)
            one.connect(self.address)


def _attempts(task: dict) -> dict[str, Callable[[], object]]:
    parent, outside = task["parent"], task["outside"]
    connects = {f"network: {address!r}": _Connect(family, tuple(address) if isinstance(address, list) else address)
                for family, address in task["addresses"]}  # fmt: skip
    reads = {f"reads: {path}": Path(path).read_bytes for path in task["secrets"]}
    processes = {f"reads: /proc of {name}": Path(f"/proc/{parent}/{name}").read_bytes for name in ("environ", "cmdline")
                 if sys.platform == "linux"}  # fmt: skip
    return {
        **connects,
        "writes: a file outside": lambda: Path(outside).write_text("mine"),
        "writes: a new file": lambda: Path(outside).with_name("new").write_text("mine"),
        "writes: empty a file": lambda: os.truncate(outside, 0),
        "writes: its permissions": lambda: os.chmod(outside, 0o600),
        "writes: remove a file": lambda: os.unlink(outside),
        **reads,
        **processes,
        "processes: fork": _fork,
        "processes: a program": lambda: subprocess.run(["true"], check=True),
        "processes: a signal": lambda: os.kill(parent, 0),
        "memory: a large array": lambda: bytearray(4 * _PROBE_LIMITS.memory_mb << 20),
        "environment: a variable": _expect_no_secret,
    }


def _fork() -> None:
    if (pid := os.fork()) == 0:
        os._exit(0)
    os.waitpid(pid, 0)


def _expect_no_secret() -> None:
    """Raises PermissionError where the variable cannot be found, which is how all attempts say that they failed."""
    block = Path("/proc/self/environ")
    with contextlib.suppress(PermissionError):
        if _SECRET in os.environ or (block.exists() and _SECRET.encode() in block.read_bytes()):
            return
    raise PermissionError(f"{_SECRET} is not known")
