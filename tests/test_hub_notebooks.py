"""Notebooks on the hub tier, without the hub: tiny random checkpoints of the published ones' classes, drawn pets."""

from pathlib import Path

import nbformat
import pytest
import torch
from nbclient import NotebookClient
from tiny import clip, dinov2
from tiny.pets import draw_pets

ROOT = Path(__file__).resolve().parents[1]
IN_PLACE_OF_THE_HUB = """
import dataclasses
from vfm_course.families.catalog import CATALOG
for name, folder in {folders!r}.items():
    CATALOG[name] = dataclasses.replace(CATALOG[name], hub_id=folder)
"""


@pytest.mark.timeout(600)
def test_the_frozen_head_lab_runs_on_published_classes_and_photographs(tmp_path, monkeypatch):
    folders = {}
    for make in (dinov2, clip):
        torch.manual_seed(0)
        folder = tmp_path / make.__name__
        folder.mkdir()
        make(folder)
        folders[make.__name__] = str(folder)
    draw_pets(tmp_path, 60, 40)
    monkeypatch.setenv("VFM_CACHE", str(tmp_path))
    monkeypatch.setenv("VFM_TIER", "hub")
    notebook = nbformat.read(ROOT / "notebooks" / "02_frozen_head_lab.ipynb", as_version=4)
    first = next(at for at, cell in enumerate(notebook.cells) if cell.cell_type == "code")
    notebook.cells.insert(first + 1, nbformat.v4.new_code_cell(IN_PLACE_OF_THE_HUB.format(folders=folders)))
    done = NotebookClient(notebook, timeout=500, resources={"metadata": {"path": str(ROOT / "notebooks")}}).execute()
    said = "".join(output.get("text", "") for cell in done.cells if cell.cell_type == "code" for output in cell.outputs)
    assert "48 pictures of 3 classes" in said  # a fifth of each breed is set aside to choose on
    assert "pets" in said and "dinov2" in said
