"""Submissions that mean no good: all are survived, earn nothing for it, and leave the rest of the class alone."""

import csv
import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import hostile
import pytest

from vfm_course.grading import coding, isolation
from vfm_course.grading.assignment import Assignment, late_policy
from vfm_course.grading.batch import grade_all
from vfm_course.grading.forked import Zygote
from vfm_course.grading.grade import grade
from vfm_course.grading.hidden import hidden_paths
from vfm_course.grading.limits import Limits
from vfm_course.grading.outputs import write_all
from vfm_course.grading.result import Rules
from vfm_course.grading.submissions import find_submissions

pytestmark = pytest.mark.skipif(not isolation.probe().complete, reason="this machine cannot shut code in")
ALL = sum(hostile.POINTS.values())
LIMITS = Limits(wall=30, cpu=30, memory_mb=1024)


def rules(*more: Path) -> Rules:
    return Rules(Assignment(dict(hostile.POINTS)), LIMITS, check_seconds=4.0, hidden=hidden_paths(more))


@pytest.fixture(scope="module")
def zygote():
    with Zygote() as zygote:
        yield zygote


def graded(folder: Path, zygote, second: str):
    hostile.write(folder / "in" / "student.ipynb", second)
    (one,) = find_submissions(folder / "in", folder / "unpacked")
    return grade(one, rules(folder / "in"), zygote)


@pytest.mark.parametrize("name", hostile.ATTACKS)
def test_an_attack_earns_nothing_and_spoils_nothing(name, tmp_path, zygote):
    one = graded(tmp_path, zygote, hostile.ATTACKS[name])
    by_id = {result.id: result for result in one.results}
    assert by_id["6.2"].points == 0 and by_id["6.2"].status == "wrong" and by_id["6.2"].message
    assert [by_id[each].status for each in ("6.1", "6.4")] == ["right", "right"]
    assert not Path("/tmp/vfm-was-here").exists()
    assert "Traceback" not in by_id["6.2"].message


@pytest.mark.parametrize("name", hostile.HARMLESS)
def test_what_is_only_strange_keeps_its_points(name, tmp_path, zygote):
    one = graded(tmp_path, zygote, hostile.HARMLESS[name])
    assert [result.status for result in one.results] == ["right"] * 3, one
    assert one.points == ALL


@pytest.mark.parametrize(
    ("name", "what"),
    [
        ("reads the answers", "tried to import the answers"),
        ("reads the answers' file", "tried to read the answers' file"),
        ("reads the checks' file", "tried to read the checks' file"),
        ("kill the parent", "reached for the grader's process"),
        ("writes on the grader's line", "wrote on the grader's own line"),
    ],
)
def test_reaching_for_the_answers_is_reported_and_costs_everything(name, what, tmp_path, zygote):
    one = graded(tmp_path, zygote, hostile.ATTACKS[name])
    assert one.points == 0 and one.tampering == (f"6.2 {what}",)


def test_an_honest_failure_is_no_tampering(tmp_path, zygote):
    names = ("a syntax error", "a socket", "os._exit", "recursion", "gigabytes returned", "raises something strange")
    for name in names:
        one = graded(tmp_path, zygote, hostile.ATTACKS[name])
        assert not one.tampering and one.points == ALL - hostile.POINTS["6.2"]


def test_a_failure_names_the_cell_of_the_notebook(tmp_path, zygote):
    one = graded(tmp_path, zygote, hostile.body("return image * x", before="\nx = 1 / 0"))
    (result,) = [each for each in one.results if each.id == "6.2"]
    assert "Line 2 of cell 3 (x = 1 / 0) raised ZeroDivisionError" in result.message
    (result,) = [each for each in graded(tmp_path, zygote, hostile.body("x = = 1")).results if each.id == "6.2"]
    assert result.message == "Cell 3 raised SyntaxError: invalid syntax (line 4)"


@pytest.mark.parametrize("said", [0, -1, 4, True, "1", None, 1.0])
def test_a_cell_that_was_not_run_has_no_number(said):
    assert coding._place({"cell": said}, (3, 7, 9)) is None and coding._place("spoilt", (3,)) is None
    assert coding._place({"cell": 2}, (3, 7, 9)) == 7
    assert coding._failure({"type": "KeyError", "message": "'x'"}, None) == "Its cell raised KeyError: 'x'"


def test_a_class_with_all_of_them(tmp_path):
    everyone = {f"a{number:02d}": text for number, text in enumerate(hostile.ATTACKS.values())}
    honest = [f"h{number}" for number in range(4)]
    for name, text in everyone.items():
        hostile.write(tmp_path / "in" / f"{name}.ipynb", text)
    for name in honest:
        hostile.write(tmp_path / "in" / f"{name}.ipynb")
    (tmp_path / "in" / "broken.ipynb").write_bytes(b"\x00\xff not JSON")
    found = find_submissions(tmp_path / "in", tmp_path / "unpacked")
    order = list(reversed(found))
    ours = rules(tmp_path / "in")
    both = [grade_all(order, ours, tmp_path / "two", jobs=2), grade_all(found, ours, tmp_path / "one", jobs=3)]
    points = [{one.student: one.points for one in each} for each in both]
    assert points[0] == points[1]
    assert all(points[0][name] == ALL for name in honest) and points[0]["broken"] == 0
    assert all(points[0][name] <= ALL - hostile.POINTS["6.2"] for name in everyone)
    write_all(both[1], ours.assignment, ["tested"], tmp_path / "one", {})
    rows = list(csv.DictReader((tmp_path / "one" / "grades.csv").open(encoding="utf-8")))
    assert len(rows) == len(found) and {row["student"]: float(row["total"]) for row in rows} == points[0]


def test_lateness_costs_what_was_said(tmp_path, zygote):
    hostile.write(tmp_path / "in" / "doejane_LATE_12_345_lab.ipynb")
    (one,) = find_submissions(tmp_path / "in", tmp_path / "unpacked")
    due = datetime(2026, 12, 1, tzinfo=UTC)
    late = replace(rules(), assignment=Assignment(dict(hostile.POINTS), due, late_policy("10 % per day")))
    unknown = grade(one, late, zygote)
    assert unknown.points == ALL and "take off by hand" in unknown.notes[0]
    known = grade(replace(one, submitted=due + timedelta(hours=30)), late, zygote)
    assert known.points == pytest.approx(0.8 * ALL) and not known.notes
    assert grade(replace(one, submitted=due), late, zygote).points == ALL


def test_a_stopped_run_goes_on(tmp_path):
    for name in ("anna", "ben", "carl"):
        hostile.write(tmp_path / "in" / f"{name}.ipynb")
    found = find_submissions(tmp_path / "in", tmp_path / "unpacked")
    ours, seen = rules(), []

    def stop_after_one(graded, kept):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        grade_all(found, ours, tmp_path / "out", 1, stop_after_one)
    first = grade_all(found, ours, tmp_path / "out", 1, lambda graded, kept: seen.append(kept))
    assert any(seen) and len(seen) == 3
    assert [one.points for one in first] == [ALL] * 3
    seen.clear()
    grade_all(found, ours, tmp_path / "out", 1, lambda graded, kept: seen.append(kept))
    assert seen == [True] * 3
    hostile.write(tmp_path / "in" / "ben.ipynb", hostile.ATTACKS["os._exit"])  # handed in again
    again = find_submissions(tmp_path / "in", tmp_path / "unpacked")
    points = {one.student: one.points for one in grade_all(again, ours, tmp_path / "out", 1)}
    assert points == {"anna": ALL, "ben": ALL - hostile.POINTS["6.2"], "carl": ALL}


def test_kept_results_that_are_broken_are_made_again(tmp_path):
    hostile.write(tmp_path / "in" / "anna.ipynb")
    found = find_submissions(tmp_path / "in", tmp_path / "unpacked")
    grade_all(found, rules(), tmp_path / "out")
    (kept,) = (tmp_path / "out" / "kept").iterdir()
    kept.write_text(json.dumps({"fingerprint": "x"})[:-3])
    assert grade_all(found, rules(), tmp_path / "out")[0].points == ALL
