"""Every notebook of the course, solved: reference answers in the place of the stubs earn all points, shut in."""

import importlib
import inspect
import json
from pathlib import Path

import pytest

from vfm_course.exercises import registry
from vfm_course.exercises.record import Choice, Exercise
from vfm_course.grading import isolation
from vfm_course.grading.assignment import of_notebook
from vfm_course.grading.forked import Zygote
from vfm_course.grading.grade import grade
from vfm_course.grading.hidden import hidden_paths
from vfm_course.grading.limits import Limits
from vfm_course.grading.result import Rules
from vfm_course.grading.submissions import Submission

pytestmark = pytest.mark.skipif(not isolation.probe().complete, reason="this machine cannot shut code in")
NOTEBOOKS = sorted((Path(__file__).parents[1] / "notebooks").glob("0*.ipynb"))


@pytest.fixture(scope="module")
def zygote():
    with Zygote() as zygote:
        yield zygote


def solved(path: Path, folder: Path) -> Path:
    """The notebook with an answer in the cell of each exercise and question."""
    book = json.loads(path.read_text(encoding="utf-8"))
    for cell in book["cells"]:
        source = "".join(cell["source"])
        for entry in registry.chapter(path.name[:2]).values():
            if isinstance(entry, Exercise) and f'@exercise("{entry.id}")' in source:
                module, _, name = entry.reference.partition(":")
                answer = inspect.getsource(importlib.import_module(module))
                cell["source"] = f'{answer}\nexercise("{entry.id}")({name})\n'
            elif isinstance(entry, Choice) and f'choice("{entry.id}"' in source:
                cell["source"] = f'choice("{entry.id}", "{entry.right}")'
    made = folder / path.name
    made.write_text(json.dumps(book), encoding="utf-8")
    return made


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_reference_answers_earn_all_points(path, tmp_path, zygote):
    submission = Submission("anna", solved(path, tmp_path), None, (), False, "")
    rules = Rules(of_notebook(path.name[:2]), Limits(wall=240, cpu=240), hidden=hidden_paths())
    graded = grade(submission, rules, zygote)
    wrong = [result for result in graded.results if result.status not in ("right", "missing")]
    asked = [result for result in graded.results if isinstance(registry.find(result.id), Exercise | Choice)]
    assert not wrong and not graded.tampering and all(result.status == "right" for result in asked), wrong
    assert graded.points == sum(result.possible for result in asked) > 10


def test_the_notebooks_as_handed_out_earn_nothing(tmp_path, zygote):
    for path in NOTEBOOKS[:2]:
        submission = Submission("ben", path, None, (), False, "")
        graded = grade(submission, Rules(of_notebook(path.name[:2]), Limits(), hidden=hidden_paths()), zygote)
        coding = [result.status for result in graded.results if isinstance(registry.find(result.id), Exercise)]
        assert graded.points == 0 and set(coding) == {"not attempted"}, graded
