"""The command line: light, one sentence for bad input, a report that tells the truth."""

import json
import os
import subprocess
import sys
import threading
from pathlib import Path
from urllib.error import HTTPError

import pytest

from vfm_course import checks
from vfm_course.families import hub
from vfm_course.notebook_folder import copy_notebooks

ROOT = Path(__file__).resolve().parents[1]


def command(*arguments: str, **environment: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "-m", "vfm_course.cli", *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        env={**os.environ, **environment},
    )


def test_help_loads_nothing_heavy():
    code = "import sys; from vfm_course.cli import app; print({'torch', 'transformers', 'numpy'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.stdout.strip() == "set()", done.stderr
    assert command("--help").returncode == 0


def test_version():
    assert command("--version").stdout.strip() == "0.1.0"


@pytest.mark.parametrize(
    "arguments, part",
    [
        (["nothing-such"], "nothing-such"),
        (["start", "--port", "x"], "--port"),
        (["brand", "--repo", "no-slash"], "OWNER/NAME"),
        (["brand", "--repo", "a/b", "--branch", "../x"], "--branch"),
        (["brand", "--repo", "a/b", "--remove"], "not both"),
        (["brand", "--root", "/nowhere"], "clone"),
        (["bundle", "--out", "/nowhere/x.zip"], "folder that exists"),
    ],
)
def test_bad_input_gets_a_sentence_and_status_2(arguments, part):
    done = command(*arguments)
    assert done.returncode == 2 and part in done.stderr and "Traceback" not in done.stderr


def test_doctor_report():
    done = command("doctor", "--json", HF_HUB_OFFLINE="1")
    report = {line["name"]: line for line in json.loads(done.stdout)}
    assert done.returncode == (1 if any(line["state"] == "broken" for line in report.values()) else 0)
    assert report["Python"]["state"] == "good" and "switched off" in report["Model hub"]["found"]
    assert all(line["advice"] for line in report.values() if line["state"] == "broken")


def test_doctor_says_broken_with_status_1(tmp_path):
    (tmp_path / "checkpoints" / "dinov2").mkdir(parents=True)
    done = command("doctor", VFM_DATA=str(tmp_path))
    assert done.returncode == 1 and "broken" in done.stdout and "Traceback" not in done.stderr


def test_checkpoint_faults_are_found(tmp_path):
    import hashlib

    import numpy as np
    from safetensors.numpy import save_file

    model = tmp_path / "clip"
    model.mkdir()
    assert len(checks.checkpoint_faults(tmp_path)) == 2
    (model / "config.json").write_text("{}")
    weights = model / "model.safetensors"
    save_file({"a": np.ones((4, 4), dtype=np.float32)}, weights)
    assert checks.checkpoint_faults(tmp_path) == []
    whole = weights.read_bytes()
    (tmp_path / "SHA256SUMS").write_text(f"{hashlib.sha256(whole).hexdigest()}  clip/model.safetensors\n")
    assert checks.checkpoint_faults(tmp_path) == []
    weights.write_bytes(whole[:-1] + b"x")  # the length is right, a weight is not: only the sum can tell
    assert checks.checkpoint_faults(tmp_path) == ["clip/model.safetensors is not the file it should be"]
    for damaged in (b"", b"\x00" * 8, whole[:20], whole[:-4], b"\xff" * 40, whole + b"1"):
        weights.write_bytes(damaged)
        assert any("model.safetensors" in fault for fault in checks.checkpoint_faults(tmp_path))
        assert checks.tensors_fault(weights)


def test_the_network_check_never_hangs_and_takes_any_answer(monkeypatch):
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    monkeypatch.setattr(hub, "urlopen", lambda *a, **k: threading.Event().wait())
    assert not hub.reachable(limit=0.2)

    def refuse(request, timeout):
        raise HTTPError(request.full_url, 403, "not for you", {}, None)

    monkeypatch.setattr(hub, "urlopen", refuse)
    assert hub.reachable() and checks.network().state == "good"
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert not hub.reachable() and "switched off" in checks.network().found


def test_copied_notebooks_keep_the_learners_changes(tmp_path):
    source, target = tmp_path / "wheel", tmp_path / "mine"
    source.mkdir()
    for name in ("a.ipynb", "b.ipynb"):
        (source / name).write_text("version 1")
    assert copy_notebooks(source, target) == []
    (target / "a.ipynb").write_text("my work")
    for name in ("a.ipynb", "b.ipynb"):
        (source / name).write_text("version 2")
    assert copy_notebooks(source, target) == ["a.ipynb"] == copy_notebooks(source, target)
    assert (target / "a.ipynb").read_text() == "my work" and (target / "b.ipynb").read_text() == "version 2"
