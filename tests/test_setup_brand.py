"""Branding, the set-up cell and the bundle, on copies and in processes of their own."""

import ast
import json
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from vfm_course import setup_cell
from vfm_course.commands import brand
from vfm_course.errors import UserError

ROOT = Path(__file__).resolve().parents[1]
# Runs the cell as on a machine without the course: no place on the path may hold it.
BARE = """
import pathlib, sys
sys.path = [p for p in sys.path if p and not (pathlib.Path(p) / "vfm_course/paths.py").is_file()]
exec(compile(open(sys.argv[1]).read(), "cell", "exec"))
print(sys.modules["vfm_course"].__file__)
"""


def notebook(*cells: tuple[str, str]) -> str:
    made = []
    for number, (kind, text) in enumerate(cells):
        made.append({"cell_type": kind, "id": f"c{number}", "metadata": {}, "source": [text]})
    for one in made:
        if one["cell_type"] == "code":
            one.update(execution_count=None, outputs=[])
    return json.dumps({"cells": made, "metadata": {}, "nbformat": 4, "nbformat_minor": 5}, indent=1) + "\n"


@pytest.fixture
def clone(tmp_path):
    root = tmp_path / "a clone"
    (root / "notebooks").mkdir(parents=True)
    for name in ("pyproject.toml", "README.md", "course.py"):
        shutil.copy(ROOT / name, root / name)
    brand.write_home(root, None, "main")
    first = notebook(("markdown", "# Täst"), ("code", "x = 1"))
    (root / "notebooks" / "01_ü.ipynb").write_text(first, encoding="utf-8")
    (root / "notebooks" / "02_two.ipynb").write_text(notebook(("code", "y = 2")), encoding="utf-8")
    brand.apply(root)
    return root


def contents(root: Path) -> dict[str, bytes]:
    return {str(path.relative_to(root)): path.read_bytes() for path in sorted(root.rglob("*")) if path.is_file()}


def test_unbranded_has_no_badge_and_no_home(clone):
    text = b"".join(contents(clone).values())
    assert b"Open in Colab" not in text and b"git+https" not in text and brand.read_home(clone) == (None, "main")
    cells = json.loads((clone / "notebooks" / "01_ü.ipynb").read_text(encoding="utf-8"))["cells"]
    assert [one["id"] for one in cells] == ["c0", "vfm-setup", "c1"]


def test_brand_again_and_remove(clone):
    before = contents(clone)
    brand.brand(repo="my-school/vfm.course", branch="2027/spring", root=clone, remove=False)
    branded = contents(clone)
    assert brand.read_home(clone) == ("my-school/vfm.course", "2027/spring")
    cells = json.loads(branded["notebooks/01_ü.ipynb"])["cells"]
    assert "my-school/vfm.course/blob/2027/spring/notebooks/01_ü.ipynb" in cells[0]["source"][0]
    assert "git+https://github.com/my-school/vfm.course@2027/spring" in "".join(cells[2]["source"])
    assert b"vfm-badge" in branded["README.md"]
    brand.brand(repo="my-school/vfm.course", branch="2027/spring", root=clone, remove=False)
    brand.brand(repo="", branch="main", root=clone, remove=False)  # a refresh keeps home and branch
    assert contents(clone) == branded
    brand.brand(repo="other/fork", branch="main", root=clone, remove=False)
    assert b"my-school" not in b"".join(contents(clone).values())
    brand.brand(repo="", branch="main", root=clone, remove=True)
    assert contents(clone) == before


@pytest.mark.parametrize("repo", ["", "a", "a/", "/b", "a/b/c", "-a/b", "a b/c", "a/..", 'a/b"', "a/b.git", "a/ü"])
def test_names_that_cannot_be_are_refused(repo):
    with pytest.raises(UserError):
        brand.check_names(repo, "main")


def test_a_broken_notebook_is_named(clone):
    (clone / "notebooks" / "03_bad.ipynb").write_text("{")
    with pytest.raises(UserError, match="03_bad"):
        brand.apply(clone)


def test_every_notebook_has_the_current_set_up_cell():
    wanted = setup_cell.cell(*brand.read_home(ROOT))
    notebooks = sorted((ROOT / "notebooks").glob("*.ipynb"))
    if not notebooks:
        pytest.skip("the course has no notebook yet")
    for path in notebooks:
        code = [one for one in json.loads(path.read_text(encoding="utf-8"))["cells"] if one["cell_type"] == "code"]
        assert code and "".join(code[0]["source"]) == wanted, f"{path.name}: run `vfm-course brand`"


def run_cell(folder: Path, cwd: Path, text: str) -> subprocess.CompletedProcess:
    (folder / "cell.py").write_text(text)
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    arguments = [sys.executable, "-c", BARE, str(folder / "cell.py")]
    return subprocess.run(arguments, cwd=cwd, capture_output=True, text=True, timeout=120, env=environment)


def test_the_cell_is_short_and_right_in_a_clone(tmp_path):
    text = setup_cell.cell()
    ast.parse(text)
    assert len(text.splitlines()) <= 15 and "@" not in text.replace("@HOME", "@")
    done = run_cell(tmp_path, ROOT / "tests", text)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == str(ROOT / "vfm_course" / "__init__.py")


def test_the_cell_says_what_to_do_elsewhere(tmp_path):
    done = run_cell(tmp_path, tmp_path, setup_cell.cell("a/b"))  # not Colab: nothing is fetched
    assert done.returncode == 1 and done.stderr.strip().splitlines()[-1] == f"ImportError: {setup_cell.SENTENCE}"


def test_what_is_lacking():
    assert setup_cell.missing(["typer>=0.1", "no-such-thing>=1", "rich>=9999", "jupyterlab>=9999"]) == [
        "no-such-thing>=1",
        "rich>=9999",
    ]
    assert len(setup_cell.requirements()) > 5


def test_the_bundle_works_without_the_clone_and_is_reproducible(tmp_path):
    from vfm_course.commands.bundle import bundle

    bundle(tmp_path / "one.zip")
    bundle(tmp_path / "two.zip")
    assert (tmp_path / "one.zip").read_bytes() == (tmp_path / "two.zip").read_bytes()
    with zipfile.ZipFile(tmp_path / "one.zip") as box:
        box.extractall(tmp_path / "out")
    wheel = next((tmp_path / "out").glob("*.whl"))
    with zipfile.ZipFile(wheel) as box:
        box.extractall(tmp_path / "site")
        names = box.namelist()
    assert len([name for name in names if name.startswith("vfm_course/_data/images/") and name.endswith(".jpg")]) == 48
    assert any(name.endswith("licenses/LICENSE") for name in names)
    code = (
        "from vfm_course.paths import clone_dir, data_dir; "
        "print(clone_dir(), len(list((data_dir() / 'images').glob('*.jpg'))))"
    )
    environment = {**os.environ, "PYTHONPATH": str(tmp_path / "site")}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, timeout=60, env=environment
    )
    assert done.stdout.split() == ["None", "48"], done.stderr
