"""What surrounds the course agrees with itself."""

import importlib.util
import json
import os
import signal
import socket
import subprocess
import sys
import time
import tomllib
import urllib.request
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

ROOT = Path(__file__).resolve().parents[1]


def run(*arguments: str) -> subprocess.CompletedProcess:
    return subprocess.run([sys.executable, *arguments], cwd=ROOT, capture_output=True, text=True, timeout=120)


def test_conda_environment_agrees_with_pyproject():
    wanted = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    lines = [line.strip() for line in (ROOT / "environment.yml").read_text().splitlines()]
    listed = [line[2:] for line in lines[lines.index("- pip:") + 1 :]]
    assert listed == [*wanted, "-e ."]


def test_draw_writes_named_pictures_and_refuses_a_file(tmp_path):
    done = run("-m", "vfm_course.cli", "draw", str(tmp_path / "pictures"), "-n", "17", "--size", "64")
    assert done.returncode == 0, done.stderr
    names = sorted(path.name for path in (tmp_path / "pictures").iterdir())
    assert len(names) == 17 and {"cat_01.jpg", "cat_02.jpg", "parcel_01.jpg"} <= set(names)
    with Image.open(tmp_path / "pictures" / "cat_01.jpg") as picture:
        assert picture.size == (64, 64) and picture.info["comment"] == b"vfm_course drawn world"
    again = run("-m", "vfm_course.cli", "draw", str(tmp_path / "pictures"), "-n", "17", "--size", "32")
    assert again.returncode == 0, again.stderr


def test_draw_loses_nothing_of_the_users(tmp_path):
    mine = tmp_path / "cat_01.jpg"
    Image.new("RGB", (8, 8)).save(mine)
    before = mine.read_bytes()
    for folder, reason in ((tmp_path, "cat_01.jpg is there already"), (mine, "is a file"), (mine / "sub", "cannot be")):
        refused = run("-m", "vfm_course.cli", "draw", str(folder))
        assert refused.returncode == 2 and reason in refused.stderr and "Traceback" not in refused.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["cat_01.jpg"] and mine.read_bytes() == before


def test_the_lab_folder_holds_48_pictures_at_224():
    pictures = sorted((ROOT / "data" / "images").glob("*.jpg"))
    assert len(pictures) == 48 and pictures[0].name == "apple_01.jpg"
    for path in pictures:
        with Image.open(path) as picture:
            assert picture.size == (224, 224) and np.asarray(picture).std() > 5


def test_course_py_says_what_is_wrong():
    assert run("course.py").returncode == 2
    assert "python3 course.py start" in run("course.py", "--help").stdout
    assert run("course.py", "--venv").returncode == 2
    unknown = run("course.py", "strat")
    assert unknown.returncode == 2 and "strat" in unknown.stderr
    taken = run("course.py", "--venv", "README.md", "test")
    assert taken.returncode == 2 and "README.md is a file" in taken.stderr


def test_start_serves_the_notebooks_and_refuses_a_busy_port():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "vfm_course.cli", "start", "--no-browser", "--port", str(port)]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    server = subprocess.Popen(command, cwd=ROOT, start_new_session=True, **quiet)
    try:
        deadline = time.monotonic() + 60
        answer = b""
        while not answer and time.monotonic() < deadline:
            assert server.poll() is None, "the server stopped by itself"
            try:
                answer = urllib.request.urlopen(f"http://127.0.0.1:{port}/api", timeout=5).read()
            except OSError:
                time.sleep(0.5)
        assert "version" in json.loads(answer)
        refused = run("-m", "vfm_course.cli", "start", "--no-browser", "--port", str(port))
        assert refused.returncode == 2 and "already in use" in refused.stderr and "Traceback" not in refused.stderr
    finally:
        os.killpg(server.pid, signal.SIGTERM)
        server.wait(30)


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        ([], ["tests", "notebooks/a.ipynb"]),
        (["-x", "-q"], ["-x", "-q", "tests", "notebooks/a.ipynb"]),
        (["tests/test_cli.py::test_x"], ["tests/test_cli.py::test_x"]),
    ],
)
def test_options_alone_leave_no_test_out(given, wanted, tmp_path, monkeypatch):
    for path in ("tests/test_cli.py", "notebooks/a.ipynb"):
        (tmp_path / path).parent.mkdir(exist_ok=True)
        (tmp_path / path).touch()
    spec = importlib.util.spec_from_file_location("course", ROOT / "course.py")
    course = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(course)
    called = []
    monkeypatch.setattr(course, "ROOT", tmp_path)
    monkeypatch.setattr(course.subprocess, "call", lambda command, cwd: called.append(command) or 0)
    assert course.test(Path("python"), given) == 0
    assert called[0][called[0].index("--nbval-current-env") + 1 :] == wanted
