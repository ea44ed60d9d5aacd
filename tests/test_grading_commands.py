"""`vfm-course grade`, `check` and `autograder`, as a teacher and a learner run them."""

import csv
import json
import subprocess
import sys
import zipfile
from pathlib import Path

import hostile
import pytest

from vfm_course.grading import isolation
from vfm_course.grading.autograder import grade_folder

shut_in = pytest.mark.skipif(not isolation.probe().complete, reason="this machine cannot shut code in")
ONLY = ",".join(hostile.POINTS)


def course(*words: object) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "vfm_course.cli", *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, timeout=180)


@shut_in
def test_a_zip_of_a_class_is_graded(tmp_path):
    hostile.write(tmp_path / "in" / "anna.ipynb")
    hostile.write(tmp_path / "in" / "ben.ipynb", hostile.ATTACKS["os._exit"])
    with zipfile.ZipFile(tmp_path / "class.zip", "w") as archive:
        for path in (tmp_path / "in").iterdir():
            archive.write(path, path.name)
    done = course("grade", tmp_path / "class.zip", "--out", tmp_path / "out", "--only", ONLY)
    assert done.returncode == 0, done.stderr
    rows = {row["student"]: row for row in csv.DictReader((tmp_path / "out" / "grades.csv").open(encoding="utf-8"))}
    assert rows["anna"]["total"] == "4" and rows["ben"]["total"] == "2"
    assert "Graded 2 submissions" in done.stdout and "network" in done.stdout.lower()
    assert (tmp_path / "out" / "class.html").is_file()
    again = course("grade", tmp_path / "class.zip", "--out", tmp_path / "out", "--only", ONLY)
    assert again.stdout.count("kept from before") == 2


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--notebook", "99"], 'Notebook "99" has no exercises'),
        ([], "Nothing is to be graded"),
        (["--only", "6.99"], "There is no exercise 6.99"),
        (["--notebook", "6", "--deadline", "tomorrow"], "A deadline is a date"),
        (["--notebook", "6", "--late", "a lot"], "10 % per day"),
        (["--notebook", "6", "--assignment", "x.toml"], "An assignment says all"),
    ],
)
def test_a_slip_is_one_sentence(tmp_path, words, says):
    hostile.write(tmp_path / "in" / "anna.ipynb")
    done = course("grade", tmp_path / "in", "--out", tmp_path / "out", *words)
    assert done.returncode == 2 and says in done.stderr and "Traceback" not in done.stderr


def test_nothing_handed_in_is_one_sentence(tmp_path):
    (tmp_path / "in").mkdir()
    for source in (tmp_path / "in", tmp_path / "nowhere"):
        done = course("grade", source, "--out", tmp_path / "out", "--notebook", "6", "--trust")
        assert done.returncode == 2 and done.stderr.strip().count("\n") == 0 and "Traceback" not in done.stderr


def test_a_place_that_does_not_fit_is_one_sentence(tmp_path):
    path = hostile.write(tmp_path / "in" / "anna.ipynb")
    for source, out, says in ((path, tmp_path / "out", "is one notebook"),
                              (path.parent, path.parent / "out", "among the submissions")):  # fmt: skip
        done = course("grade", source, "--out", out, "--only", "6.1")
        assert done.returncode == 2 and says in done.stderr and done.stderr.strip().count("\n") == 0
    assert not (path.parent / "out").exists()


def test_a_learner_gets_the_same_verdict(tmp_path):
    path = hostile.write(tmp_path / "mine.ipynb", hostile.body("return image.float().permute(2, 0, 1)"))
    done = course("check", path, "--only", ONLY)
    assert done.returncode == 0, done.stderr
    for said in ("✓ 6.1", "· 6.2", "2 of 4 points", "Hint:"):
        assert said in done.stdout


def test_of_a_notebook_with_exercises_of_two_chapters_both_are_checked(tmp_path):
    path = tmp_path / "mine.ipynb"
    other = '@exercise("1.1")\ndef tokens_of(*anything):\n    ...'
    path.write_text(json.dumps(hostile.notebook([hostile.SETUP, hostile.FIRST, other])), encoding="utf-8")
    done = course("check", path)
    assert done.returncode == 0, done.stderr
    assert "✓ 6.1" in done.stdout and "· 1.1" in done.stdout and "6.2" not in done.stdout
    assert "mine.ipynb has exercises of several notebooks" in done.stdout and "does not have" not in done.stdout


def test_an_id_that_the_course_does_not_have_is_named_beside_those_that_it_has(tmp_path):
    path, strange = tmp_path / "mine.ipynb", '@exercise("1.99")\ndef anything():\n    ...'
    path.write_text(json.dumps(hostile.notebook([hostile.SETUP, hostile.FIRST, strange])), encoding="utf-8")
    done = course("check", path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Note: mine.ipynb names 1.99, which the course does not have: it is not counted." in done.stdout


def test_a_notebook_of_something_else_is_said_to_be_so(tmp_path):
    path = tmp_path / "other.ipynb"
    for source in ("print(1)", '@exercise("6.99")\ndef f(): ...\n@exercise("1.99")\ndef g(): ...'):
        path.write_text(json.dumps(hostile.notebook([source])))
        done = course("check", path)
        assert done.returncode == 2 and "holds no exercise of the course" in done.stderr and not done.stdout


def test_the_autograder_gives_the_same_points(tmp_path):
    hostile.write(tmp_path / "submission" / "a.ipynb", hostile.ATTACKS["os._exit"])
    (tmp_path / "lab.toml").write_text(
        "[points]\n" + "".join(f'"{key}" = {worth}\n' for key, worth in hostile.POINTS.items())
    )
    assert grade_folder(tmp_path / "submission", tmp_path / "lab.toml").points == 2
    results = tmp_path / "results.json"
    words = [
        sys.executable,
        "-m",
        "vfm_course.grading.autograder",
        tmp_path / "submission",
        results,
        tmp_path / "lab.toml",
    ]
    assert subprocess.run(list(map(str, words)), timeout=180).returncode == 0
    assert json.loads(results.read_text())["score"] == 2
    (tmp_path / "submission" / "a.ipynb").unlink()
    subprocess.run(list(map(str, words)), timeout=180)
    assert json.loads(results.read_text())["score"] == 0


@pytest.mark.skipif(not (Path(__file__).parents[1] / "pyproject.toml").is_file(), reason="needs a clone")
def test_the_archive_holds_what_gradescope_runs(tmp_path, monkeypatch):
    from vfm_course.commands import autograder, bundle

    def no_wheel(root, folder):  # building one takes half a minute, and is tested with `bundle`
        (folder / "vfm_course-0.whl").write_bytes(b"wheel")
        return folder / "vfm_course-0.whl"

    monkeypatch.setattr(bundle, "build_wheel", no_wheel)
    autograder.autograder(out=tmp_path / "a.zip", only=ONLY, notebook="", assignment=None)
    with zipfile.ZipFile(tmp_path / "a.zip") as archive:
        assert set(archive.namelist()) == {"setup.sh", "run_autograder", "assignment.toml", "vfm_course-0.whl"}
        assert archive.getinfo("run_autograder").external_attr >> 16 & 0o111
        assert '"6.2" = 2' in archive.read("assignment.toml").decode()
        assert "vfm_course-0.whl" in archive.read("setup.sh").decode()
