"""What every notebook must be, and that a learner who solves it gets every point. nbval compares the outputs."""

import inspect
import json
import re
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

from vfm_course.exercises import registry
from vfm_course.exercises.record import Choice, Exercise

ROOT = Path(__file__).resolve().parents[1]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
LONGEST = 30  # lines of a code cell
PATH_OF_A_MACHINE = re.compile(r"/(?:home|root|Users|work|tmp)/")


def code_cells(path: Path) -> list:
    return [cell for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "code"]


def test_there_are_notebooks():
    assert NOTEBOOKS


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_is_executed_clean_and_short(path):
    cells = code_cells(path)
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1)), "run it from top to bottom"
    for cell in cells:
        assert len(cell.source.splitlines()) <= LONGEST, cell.source
        for output in cell.outputs:
            assert output.output_type != "error" and output.get("name") != "stderr", (cell.source, output)
            text = json.dumps([output.get("text", ""), output.get("data", {}).get("text/html", "")])
            assert not PATH_OF_A_MACHINE.search(text), text


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_says_levels_and_holds_its_exercises(path):
    notebook = nbformat.read(path, as_version=4)
    prose = "\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")
    for section in re.findall(r"^#{2,3} .*\d.*$", prose, flags=re.MULTILINE):
        assert re.search(r"\((B|I|A)\)$", section) or "Stretch" in section or "Your own" in section, section
    code = "\n".join(cell.source for cell in notebook.cells if cell.cell_type == "code")
    chapter = registry.chapter(path.stem[:2])
    for entry in chapter.values():
        call = (
            f'@exercise("{entry.id}")'
            if isinstance(entry, Exercise)
            else f'choice("{entry.id}"'
            if isinstance(entry, Choice)
            else f'written("{entry.id}"'
        )
        assert code.count(call) == 1, f"{path.name}: {call} should stand there once"
        minutes = rf"{re.escape(entry.id)}\*\* · {entry.level} · {entry.minutes} min"
        assert isinstance(entry, Choice) or re.search(minutes, prose), f"level and minutes of {entry.id}"


def solved(path: Path) -> nbformat.NotebookNode:
    """The notebook with every coding exercise answered in the learner's own cell."""
    notebook = nbformat.read(path, as_version=4)
    for cell in notebook.cells:
        cell["outputs"] = [] if cell.cell_type == "code" else cell.get("outputs")
        if cell.cell_type != "code":
            cell.pop("outputs", None)
        named = re.search(r'@exercise\("([^"]+)"\)', cell.source)
        if not named:
            continue
        assert re.search(r"^ +\.\.\.$", cell.source, flags=re.MULTILINE), "the exercise is given away"
        reference = registry.find(named[1]).load_reference()
        header = "from pathlib import PurePath\nfrom torch import nn\n"
        cell.source = f"{header}{named[0]}\n{inspect.getsource(reference)}"
    return notebook


@pytest.mark.timeout(900)  # minutes of training, a cell still no more than five
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_learner_who_solves_it_gets_every_point(path, tmp_path, monkeypatch):
    monkeypatch.setenv("VFM_CACHE", str(tmp_path))
    done = NotebookClient(solved(path), timeout=300, resources={"metadata": {"path": str(path.parent)}}).execute()
    said = [
        output.data["text/plain"]
        for cell in done.cells
        if cell.cell_type == "code" and "@exercise(" in cell.source
        for output in cell.outputs
    ]
    coding = [entry for entry in registry.chapter(path.stem[:2]).values() if isinstance(entry, Exercise)]
    assert len(said) == len(coding) and all("correct" in text for text in said), said
    table = done.cells[-1].outputs[0].data["text/plain"]
    assert f"{sum(entry.points for entry in coding)} of " in table.splitlines()[-1], table
