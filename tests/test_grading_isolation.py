"""Each attack runs in a process of its own, which shuts itself in, attacks and prints what came of it."""

import os
import re
import signal
import socket
import struct
import subprocess
import sys
import time
from dataclasses import fields
from pathlib import Path

import pytest

from vfm_course.grading import isolation, landlock, limits, namespaces, seccomp

ROOT = Path(__file__).resolve().parents[1]
linux = pytest.mark.skipif(sys.platform != "linux", reason="Linux only")
needs_seccomp = pytest.mark.skipif(not seccomp.available(), reason="this system has no seccomp filters")
needs_landlock = pytest.mark.skipif(landlock.version() < 1, reason="this system has no Landlock")
SHUT_IN = """
import ctypes, os, resource, signal, socket, subprocess, sys, threading, time
from pathlib import Path
from vfm_course.grading import isolation, landlock, seccomp
from vfm_course.grading.isolation import enter
from vfm_course.grading.limits import Limits

def tried(attempt):
    try:
        attempt()
        print("done", flush=True)
    except BaseException as error:
        print(type(error).__name__, flush=True)

{before}
held = enter(Path({scratch!r}), Limits(**{limits!r}), [Path(path) for path in {hidden!r}])
{code}
"""


def run(source: str, **variables: str) -> subprocess.CompletedProcess:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), **variables}
    return subprocess.run([sys.executable, "-c", source], env=environment, capture_output=True, text=True, timeout=60)


@pytest.fixture
def attack(tmp_path):
    """Runs code in a process that is shut in and returns the words that it printed."""
    (tmp_path / "scratch").mkdir()

    def attack(code: str, before: str = "", hidden: tuple[Path, ...] = (), code_of_end: int = 0, **wanted) -> list[str]:
        scratch, paths = str(tmp_path / "scratch"), [str(path) for path in hidden]
        source = SHUT_IN.format(before=before, code=code, scratch=scratch, limits=wanted, hidden=paths)
        ended = run(source, VFM_TEST_SECRET="only-for-the-teacher")
        assert ended.returncode == code_of_end, ended.stderr
        return ended.stdout.split()

    return attack


@needs_seccomp
@pytest.mark.parametrize("family", ["AF_INET", "AF_INET6", "AF_UNIX", "AF_NETLINK"])
def test_no_socket(attack, family):
    assert attack(f"tried(lambda: socket.socket(socket.{family}))") == ["PermissionError"]


@needs_seccomp
def test_no_pair_of_sockets(attack):
    assert attack("tried(socket.socketpair)") == ["PermissionError"]


def connects(attack, family: str, address) -> list[str]:
    """With a socket that was opened before."""
    before = f"one = socket.socket(socket.{family})"
    return attack(f"tried(lambda: one.connect({address!r}))", before=before)


@needs_seccomp
def test_no_connection_to_the_parent(attack):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        assert connects(attack, "AF_INET", listener.getsockname()) == ["PermissionError"]


@needs_seccomp
@pytest.mark.parametrize("abstract", [False, pytest.param(True, marks=linux)])
def test_no_connection_within_the_machine(attack, tmp_path, abstract):
    address = f"\0vfm-test-{os.getpid()}" if abstract else str(tmp_path / "socket")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(address)
        listener.listen()
        assert connects(attack, "AF_UNIX", address) == ["PermissionError"]


@needs_landlock
@needs_seccomp
@pytest.mark.parametrize(
    "change",
    [
        "open(path, 'w')",
        "open(path, 'a').write('x')",
        "open(path + 'new', 'w')",
        "os.truncate(path, 0)",
        "os.open(path, os.O_RDONLY | os.O_TRUNC)",
        "os.chmod(path, 0o777)",
        "os.utime(path)",
        "os.unlink(path)",
        "os.rename(path, 'mine')",
        "os.mkdir(path + 'folder')",
        "os.symlink('note', path + 'link')",
    ],
)
def test_nothing_is_changed_outside(attack, tmp_path, change):
    path = tmp_path / "outside"
    path.write_text("as it was")
    before = sorted(tmp_path.iterdir()), path.stat()
    assert attack(f"path = {str(path)!r}; tried(lambda: {change})")[0] in ("PermissionError", "OSError")
    after = sorted(tmp_path.iterdir()), path.stat()
    assert path.read_text() == "as it was" and after[0] == before[0]
    assert (after[1].st_mode, after[1].st_mtime_ns) == (before[1].st_mode, before[1].st_mtime_ns)


@needs_landlock
def test_no_reading_of_hidden_files_or_other_submissions(attack, tmp_path):
    hidden, other = tmp_path / "hidden", tmp_path / "submissions" / "other.ipynb"
    for path in (hidden / "answers.py", other):
        path.parent.mkdir()
        path.write_text("secret")
    course = ROOT / "vfm_course"
    checks = sorted((course / "exercises").glob("ch*.py"))
    paths = [hidden / "answers.py", other, checks[0], next((course / "solutions").glob("ch*.py"))]
    paths += sorted((course / "exercises" / "__pycache__").glob("ch*.pyc"))[:1]
    paths += [path for path in (Path.home() / ".bashrc", Path("/etc/passwd"), ROOT / "pyproject.toml") if path.exists()]
    code = f"for path in {[str(path) for path in paths]!r}:\n    tried(Path(path).read_bytes)"
    shut_out = (hidden, course / "solutions", *checks)
    assert attack(code, hidden=shut_out) == ["PermissionError"] * len(paths)
    assert attack(f"tried(Path({str(checks[0])!r}).read_bytes)") == ["done"]  # it is `hidden` that does it


@needs_landlock
def test_no_reading_through_links(attack, tmp_path):
    (tmp_path / "secret").write_text("secret")
    path = str(tmp_path / "secret")
    code = f"os.symlink({path!r}, 'soft')\ntried(lambda: open('soft'))\ntried(lambda: os.link({path!r}, 'hard'))"
    assert set(attack(code)) <= {"PermissionError", "OSError"}


@linux
@needs_landlock
def test_no_reading_of_other_processes(attack):
    code = "for name in ('environ', 'cmdline', 'mem', 'maps'):\n    tried(open(f'/proc/{PID}/{name}').read)"
    code = code.replace(
        "tried(open(f'/proc/{PID}/{name}').read)", f"tried(lambda: open(f'/proc/{os.getpid()}/{{name}}'))"
    )
    assert attack(code + "\ntried(lambda: open('/proc/self/maps').read())") == ["PermissionError"] * 4 + ["done"]


def test_the_environment_is_scrubbed(attack):
    code = """
import posix
print("VFM_TEST_SECRET" in os.environ, b"VFM_TEST_SECRET" in posix.environ)
print(os.environ["HOME"] == os.environ["TMPDIR"] == os.getcwd() == os.path.expanduser("~"), "PATH" in os.environ)
getenv = ctypes.CDLL(None).getenv
getenv.restype = ctypes.c_char_p
print(getenv(b"VFM_TEST_SECRET"), getenv(b"HOME") == os.environb[b"HOME"])
if sys.platform == "linux":
    stat = open("/proc/self/stat").read().rpartition(")")[2].split()
    begin, end = int(stat[47]), int(stat[48])
    assert end > begin
    assert b"only-for-the-teacher" not in ctypes.string_at(begin, end - begin)
    assert b"only-for-the-teacher" not in open("/proc/self/environ", "rb").read()
"""
    assert attack(code) == ["False", "False", "True", "True", "None", "True"]


@needs_seccomp
@pytest.mark.parametrize(
    "start",
    [
        "os.fork() or os._exit(0)",
        "subprocess.run(['true'])",
        "os.posix_spawn('/bin/true', ['true'], {})",
        "os.execv('/bin/true', ['true'])",
        "__import__('multiprocessing').get_context('spawn').Process().start()",
    ],
)
def test_no_further_processes(attack, start):
    assert attack(f"tried(lambda: {start})") == ["PermissionError"]


@needs_seccomp
def test_no_system_call_starts_one_either(attack):
    """Past the C library: clone and clone3 for a process, and execve."""
    numbers = {"x86_64": (56, 435, 59), "aarch64": (220, 435, 221)}
    code = f"""
import platform
for number in {numbers}[platform.machine()]:
    library = ctypes.CDLL(None, use_errno=True)
    first = ctypes.c_long(signal.SIGCHLD if number in (56, 220) else 0)
    result = library.syscall(number, first, None, None, None, None)
    if result == 0: os._exit(0)
    print(result, ctypes.get_errno())
"""
    assert attack(code) == ["-1", "1", "-1", "38", "-1", "1"]


@needs_seccomp
def test_a_fork_bomb_does_not_go_off(attack):
    code = """
started = 0
for _ in range(100):
    try:
        if os.fork() == 0: os._exit(0)
        started += 1
    except OSError:
        pass
print(started)
"""
    assert attack(code) == ["0"]


@needs_seccomp
def test_no_signals_to_others(attack):
    other = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(50)"])
    try:
        code = f"tried(lambda: os.kill({other.pid}, 9))\ntried(lambda: os.kill(os.getppid(), 0))"
        code += (
            "\ntried(lambda: os.kill(-1, 0))\ntried(lambda: os.killpg(0, 0))\ntried(lambda: os.kill(os.getpid(), 0))"
        )
        assert attack(code) == ["PermissionError"] * 4 + ["done"]
        assert other.poll() is None
    finally:
        other.kill()
        other.wait()


@needs_seccomp
def test_it_can_still_abort(attack):
    attack("os.abort()", code_of_end=-signal.SIGABRT)


@linux
def test_a_memory_bomb_hits_its_own_process_only(attack):
    code = "x = []\ntried(lambda: [x.append(bytearray(1 << 26)) for _ in range(64)])\nprint(len(x))"
    said, count = attack(code, memory_mb=512)
    assert said == "MemoryError" and 2 <= int(count) <= 8


def test_an_endless_loop_runs_out_of_processor_time(attack):
    before = time.monotonic()
    code = "signal.signal(signal.SIGXCPU, signal.SIG_IGN)\nwhile time.process_time() < 8: pass"
    attack(code, cpu=1, code_of_end=-signal.SIGKILL)
    assert time.monotonic() - before < 30


def test_no_large_file(attack):
    code = "tried(lambda: open('big', 'wb').write(bytes(3 << 20)))\nprint(os.path.getsize('big') <= 2 << 20)"
    assert attack(code, file_mb=2)[1] == "True"
    assert attack("tried(lambda: os.truncate(os.open('big', os.O_RDWR | os.O_CREAT), 3 << 20))", file_mb=2) == [
        "OSError"
    ]


def test_limits_cannot_be_raised_again(attack):
    code = """
names = ["RLIMIT_CPU", "RLIMIT_FSIZE", "RLIMIT_NOFILE", "RLIMIT_CORE"]
for name in names + ["RLIMIT_AS"] * (sys.platform == "linux"):
    soft, hard = resource.getrlimit(getattr(resource, name))
    tried(lambda: resource.setrlimit(getattr(resource, name), (soft + 1, hard + 1)))
"""
    assert set(attack(code)) <= {"ValueError", "PermissionError"}


def test_work_in_the_scratch_folder_goes_on(attack, tmp_path):
    code = """
import tempfile
Path("a/b").mkdir(parents=True)
Path("a/b/note").write_text("mine")
os.rename("a/b/note", "a/note")
with tempfile.NamedTemporaryFile() as file:
    print(Path(file.name).parent == Path.cwd())
open(os.devnull, "w").write("x")
os.urandom(8), open("/dev/urandom", "rb").read(8)
import decimal, sqlite3, numpy
print(Path("a/note").read_text(), numpy.ones(3).sum())
"""
    assert attack(code) == ["True", "mine", "3.0"]
    assert (tmp_path / "scratch" / "a" / "note").read_text() == "mine"


def test_threads_still_work(attack):
    code = """
from concurrent.futures import ThreadPoolExecutor
with ThreadPoolExecutor(8) as pool:
    print(sum(pool.map(lambda number: number**2, range(100))))
"""
    assert attack(code) == ["328350"]


def test_torch_still_computes(attack):
    before = """
import torch
if pid := os.fork():
    sys.exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
"""
    code = """
torch.set_num_threads(2)
a = torch.ones(600, 600)
print(int((a @ a).sum()))
layer = torch.nn.Conv2d(3, 4, 3)
before = layer.weight.detach().clone()
optimiser = torch.optim.AdamW(layer.parameters())
layer(torch.randn(8, 3, 32, 32)).square().mean().backward()
optimiser.step()  # imports torch._dynamo, now from a disk that is nearly all out of reach
print(bool((layer.weight != before).any()))
torch.save(layer.state_dict(), "layer.pt")
print(len(torch.load("layer.pt")))
tried(lambda: torch.ones(1 << 33))
"""
    expected = ["216000000", "True", "2"] + (["RuntimeError"] if sys.platform == "linux" else [])
    assert attack(code, before=before)[: len(expected)] == expected


@linux
def test_a_process_with_threads_is_not_shut_in_halfway(attack):
    thread = "threading.Thread(target=time.sleep, args=(1,)).start()"
    before = f"{thread}\ntried(lambda: enter(Path('/'), Limits(), []))\nos._exit(0)"
    assert attack("", before=before) == ["RuntimeError"]


def test_what_is_missing_is_not_claimed(attack):
    before = "landlock.version = lambda: 0\nseccomp.available = lambda: False"
    code = "print(int(held.complete), held.network, held.writes, held.reads, held.processes)"
    code += "\nprint(sum(each.startswith('NOT held: ') for each in held.sentences()) >= 4)"
    assert attack(code, before=before) == ["0", "False", "False", "False", "False", "True"]


def test_own_namespaces_keep_the_user(tmp_path):
    code = "import os; from vfm_course.grading.namespaces import enter_namespaces as e\n"
    code += "before = os.readlink('/proc/self/ns/net'), os.getuid(), os.getgid()\nprint(e())\n"
    code += "print(os.readlink('/proc/self/ns/net') != before[0], (os.getuid(), os.getgid()) == before[1:])"
    if sys.platform != "linux":
        assert not namespaces.enter_namespaces()
        return
    entered, *rest = run(code).stdout.split()
    if entered == "False":
        pytest.skip("this system permits no namespaces")
    assert rest == ["True", "True"]


def test_the_probe_agrees():
    held = isolation.probe()
    assert held.cpu and held.environment
    assert held.memory is (sys.platform == "linux")
    if seccomp.available():
        assert held.network and held.processes
    if landlock.version():
        assert held.reads
    assert held.complete is (seccomp.available() and landlock.version() > 0)
    assert held.complete is not any("NOT" in each for each in held.sentences())


def test_the_probe_notices_what_is_not_stopped(monkeypatch):
    outcomes = isolation._outcomes(shut_in=False)
    assert {name.partition(":")[0] for name in outcomes} == {field.name for field in fields(isolation.Held)}
    assert not any(stopped for name, stopped in outcomes.items() if "/proc" not in name), outcomes
    monkeypatch.setattr(isolation, "_outcomes", lambda hidden, kernel: outcomes)
    assert isolation.probe() == isolation.Held()
    all_but_one = dict.fromkeys(outcomes, True) | {"reads: one": False}
    monkeypatch.setattr(isolation, "_outcomes", lambda hidden, kernel: all_but_one)
    assert not isolation.probe().complete and isolation.probe().network
    monkeypatch.setattr(isolation, "_outcomes", lambda hidden, kernel: {})
    assert isolation.probe() == isolation.Held()


def test_what_is_hidden_is_taken_out_of_what_may_be_read(tmp_path):
    tmp_path = tmp_path.resolve()
    for name in ("all/plain.py", "all/checks/ch1.py", "all/checks/use.py", "all/checks/__pycache__/ch1.pyc", "far/x"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    (tmp_path / "all" / "link").symlink_to(tmp_path / "far")
    read = dict(landlock.permitted([tmp_path / "all"], [tmp_path / "all" / "checks" / "ch1.py"]))
    whole = {path.relative_to(tmp_path).as_posix() for path, rights in read.items() if rights & landlock._READ}
    assert whole == {"all/plain.py", "all/checks/use.py"}
    assert set(read) - {tmp_path / name for name in whole} == {tmp_path / "all", tmp_path / "all" / "checks"}
    assert list(landlock.permitted([tmp_path / "all"], [tmp_path])) == [(tmp_path / "all", landlock._LOOK)]
    assert list(landlock.permitted([tmp_path / "all"], [tmp_path / "all"])) == []


def verdict(
    machine: str, number: int, *arguments: int, architecture: int | None = None, callable_: bool = False
) -> int:
    """What the filter says: an interpreter for the five instructions that it uses."""
    shown = struct.pack(
        "<iIQ6Q", number, architecture or seccomp._ARCHITECTURES[machine], 0, *arguments, *[0] * (6 - len(arguments))
    )
    steps = [struct.unpack("HBBI", step) for step in seccomp._program(machine, 77, callable_)]
    at, held = 0, 0
    while True:
        code, if_true, if_false, value = steps[at]
        at += 1
        if code == seccomp._RETURN:
            return value
        if code == seccomp._LOAD:
            (held,) = struct.unpack_from("<I", shown, value)
        elif code == seccomp._AND:
            held &= value
        else:
            is_so = held == value if code == seccomp._EQUAL else held > value
            at += if_true if is_so else if_false


@pytest.mark.parametrize("machine", seccomp._ARCHITECTURES)
def test_the_filter_on_either_machine(machine):
    def call(name: str, *arguments: int) -> int:
        numbers = seccomp._REFUSED | seccomp._CONDITIONAL | seccomp._MISSING
        return verdict(machine, numbers[name][machine], *arguments)

    yes, no, unknown = seccomp._ALLOW, seccomp._REFUSE, seccomp._UNKNOWN
    assert {call(name) for name, each in seccomp._REFUSED.items() if machine in each} == {no}
    assert {call("clone3"), call("openat2"), verdict(machine, 500), verdict(machine, 0x40000000 + 41)} == {unknown}
    assert call("clone", 0x3D0F00) == yes and call("clone", signal.SIGCHLD) == call("clone", 0x4111) == no
    assert [call("kill", pid) for pid in (77, 1, 0, 2**32 - 1)] == [yes, no, no, no]
    assert [call("prlimit64", pid) for pid in (0, 77, 1)] == [yes, yes, no]
    assert [call("ioctl", 0, command) for command in (0x5401, 0x5412)] == [yes, no]
    assert [call("openat", 0, 0, flags) for flags in (0, 0x241, 0x200)] == [yes, yes, no]
    assert verdict(machine, 63 if machine == "aarch64" else 0) == yes  # read
    assert verdict(machine, 0, architecture=0x40000003) == seccomp._KILL  # 32-bit calls on a 64-bit machine


@pytest.mark.parametrize("machine", seccomp._ARCHITECTURES)
def test_a_kernel_can_be_called_and_calls_nobody(machine):
    def call(name: str, *arguments: int) -> int:
        return verdict(machine, (seccomp._REFUSED | seccomp._CONDITIONAL)[name][machine], *arguments, callable_=True)

    yes, no = seccomp._ALLOW, seccomp._REFUSE
    assert {call(name) for name in ("bind", "listen", "accept", "accept4")} == {yes}
    assert call("socket", socket.AF_UNIX) == call("socketpair", socket.AF_UNIX) == yes
    assert call("socket", socket.AF_INET) == call("socket", 16) == seccomp._INVALID
    assert call("sched_setscheduler", 1) == seccomp._PRETEND and call("sched_setscheduler", 77) == yes
    others = [name for name, each in seccomp._REFUSED.items() if machine in each and name not in seccomp._TO_BE_CALLED]
    assert {call(name) for name in others} == {no} and "connect" in others and "sendmsg" in others


def test_the_numbers_are_those_of_the_kernels_headers():
    """They are in the headers of the C library where a compiler is installed."""
    headers = {"x86_64": "x86_64-linux-gnu/asm/unistd_64.h", "aarch64": "asm-generic/unistd.h"}
    for machine, name in headers.items():
        header = Path("/usr/include") / name
        if not header.is_file():
            pytest.skip(f"no {header} here")
        known = {
            name: int(number) for name, number in re.findall(r"define __NR(?:3264)?_(\w+)\s+(\d+)", header.read_text())
        }
        for table in (seccomp._REFUSED, seccomp._CONDITIONAL, seccomp._MISSING):
            assert {each: known.get(each) for each in table} == {each: table[each].get(machine) for each in table}


def test_the_limits_have_useful_defaults():
    assert limits.Limits() == limits.Limits(wall=60.0, cpu=60, memory_mb=2048, threads=256, file_mb=64)
