"""`--full`: whole notebooks, run by nbclient in a kernel that is shut in as well."""

from dataclasses import replace
from pathlib import Path

import hostile
import pytest

from vfm_course.exercises import registry
from vfm_course.grading import isolation
from vfm_course.grading.assignment import Assignment
from vfm_course.grading.forked import Zygote
from vfm_course.grading.grade import grade
from vfm_course.grading.hidden import hidden_paths
from vfm_course.grading.limits import Limits
from vfm_course.grading.result import Rules
from vfm_course.grading.submissions import find_submissions

pytestmark = pytest.mark.skipif(not isolation.probe(kernel=True).complete, reason="this machine cannot shut code in")
RULES = Rules(Assignment(dict(hostile.POINTS)), Limits(wall=60, cpu=60, memory_mb=1024), check_seconds=4.0, full=True)
TRAINED = "for epoch in range(2): print(epoch)\nlargest = 255 if print('trained') is None else 0"
USES_IT = hostile.body("return ((image.float() / largest - mean) / std).permute(2, 0, 1)")


@pytest.fixture(scope="module")
def zygote():
    with Zygote() as zygote:
        yield zygote


def graded(folder: Path, zygote, second: str, rules: Rules = RULES):
    hostile.write(folder / "in" / "student.ipynb", second)
    (one,) = find_submissions(folder / "in", folder / "unpacked")
    return grade(one, replace(rules, hidden=hidden_paths([folder / "in"])), zygote)


def statuses(*graded_of) -> list[str]:
    return [result.status for result in graded(*graded_of).results]


@pytest.mark.parametrize(
    "name",
    ["os._exit", "endless loop", "segfault", "fork bomb", "memory bomb", "gigabytes of output", "patched torch",
     "kill the parent", "a socket", "a subprocess", "writes elsewhere", "reads the checks' file", "a syntax error",
     "reads the environment of the grader", "raises at the top", "not a function"],
)  # fmt: skip
def test_an_attack_earns_nothing_and_spoils_nothing(name, tmp_path, zygote):
    one = graded(tmp_path, zygote, hostile.ATTACKS[name])
    by_id = {result.id: result for result in one.results}
    assert by_id["6.2"].points == 0 and by_id["6.2"].status == "wrong" and by_id["6.2"].message
    assert "Traceback" not in by_id["6.2"].message and not Path("/tmp/vfm-was-here").exists()
    assert [by_id[each].status for each in ("6.1", "6.4")] == ["right", "right"]


@pytest.mark.parametrize("name", ["threads left running", "prints a lot", "writes a note of its own"])
def test_what_is_only_strange_keeps_its_points(name, tmp_path, zygote):
    assert statuses(tmp_path, zygote, hostile.HARMLESS[name]) == ["right"] * 3


@pytest.mark.parametrize("magic", ["%time x = 1", "x = 1\n%timeit -n1 -r1 x", "%matplotlib inline\nx = 1"])
def test_magics_are_run_as_in_a_notebook(magic, tmp_path, zygote):
    assert statuses(tmp_path, zygote, f"{magic}\nassert x == 1\n{hostile.SECOND}") == ["right"] * 3


def test_reaching_for_the_answers_costs_everything(tmp_path, zygote):
    for name, what in (("reads the answers", "tried to import the answers"),
                       ("writes on the grader's line", "wrote on the grader's own line")):  # fmt: skip
        one = graded(tmp_path, zygote, hostile.ATTACKS[name])
        assert one.points == 0 and any(what in each for each in one.tampering)


def test_work_of_the_notebook_is_there_only_after_a_whole_run(tmp_path, zygote, monkeypatch):
    second = f"{TRAINED}\n{USES_IT}"
    own = replace(RULES, full=False)
    assert statuses(tmp_path, zygote, second, RULES) == ["right"] * 3
    assert statuses(tmp_path, zygote, second, own) == ["right", "wrong", "right"]
    needs_it = replace(registry.find("6.2"), whole_notebook=True)
    entries = [registry.find("6.1"), needs_it, registry.find("6.4")]
    monkeypatch.setattr(Assignment, "entries", property(lambda self: entries))
    assert statuses(tmp_path, zygote, second, own) == ["right"] * 3


def test_a_failure_names_the_cell_of_the_notebook(tmp_path, zygote):
    (result,) = [each for each in graded(tmp_path, zygote, hostile.body("return image", before="x = 1 / 0")).results
                 if each.id == "6.2"]  # fmt: skip
    assert "Cell 3 raised ZeroDivisionError" in result.message


def test_an_endless_cell_uses_up_the_time_of_its_submission_only(tmp_path, zygote):
    rules = replace(RULES, limits=Limits(wall=8, cpu=30, memory_mb=1024))
    one = graded(tmp_path, zygote, "while True: pass\n" + hostile.SECOND, rules)
    assert one.points == 0 and "longer than its time" in one.results[0].message and one.seconds < 20
    assert graded(tmp_path, zygote, hostile.SECOND, rules).points == sum(hostile.POINTS.values())


def test_a_cell_that_ends_the_kernel_is_said_to(tmp_path, zygote):
    one = graded(tmp_path, zygote, "import os\nos._exit(0)\n" + hostile.SECOND)
    assert one.points == 0 and "ended its own kernel" in one.results[0].message


def test_an_exercise_that_is_missing_needs_no_run(tmp_path, zygote):
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.ipynb").write_text('{"nbformat": 4, "nbformat_minor": 5, "metadata": {}, "cells": []}')
    (one,) = find_submissions(tmp_path / "in", tmp_path / "unpacked")
    assert {result.status for result in grade(one, RULES, zygote).results} == {"missing"}
