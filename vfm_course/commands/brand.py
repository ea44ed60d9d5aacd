"""`vfm-course brand`: names the course's home repository, and rewrites badges and set-up cells to match."""

import json
import re
import tomllib
from pathlib import Path
from typing import Annotated

import typer

from vfm_course.errors import UserError
from vfm_course.paths import clone_dir
from vfm_course.setup_cell import MARK, cell

BADGE_ID, SETUP_ID = "vfm-badge", "vfm-setup"
README_MARK = "<!-- vfm-badge -->"
HOME = "https://github.com/"
PICTURE = "https://colab.research.google.com/assets/colab-badge.svg"


def check_names(repo: str, branch: str) -> None:
    """Refuses what cannot be a repository or a branch on GitHub."""
    owner, _, name = repo.partition("/")
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9-]{0,38}", owner) or not re.fullmatch(r"[A-Za-z0-9._-]{1,100}", name):
        raise UserError(f"--repo wants OWNER/NAME, such as my-school/vfm-course; this was given: {repo!r}.")
    if name in (".", "..") or name.endswith(".git"):
        raise UserError(f"--repo wants the bare name of the repository, without .git; this was given: {repo!r}.")
    plain = re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9._/-]*", branch)
    if not plain or ".." in branch or "//" in branch or branch[-1] in "/.":
        raise UserError(f"--branch wants the name of a branch, such as main; this was given: {branch!r}.")


def read_home(root: Path) -> tuple[str | None, str]:
    """Repository (OWNER/NAME, or None) and branch, from [project.urls], the one place that names them."""
    project = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    url = project.get("urls", {}).get("Repository", "")
    if not url.startswith(HOME):
        return None, "main"
    repo, _, branch = url.removeprefix(HOME).partition("/tree/")
    return repo, branch or "main"


def write_home(root: Path, repo: str | None, branch: str) -> None:
    """Writes [project.urls]; a branch other than main is part of the address."""
    path = root / "pyproject.toml"
    lines = path.read_text(encoding="utf-8").splitlines()
    if "[project.urls]" not in lines:
        raise UserError(f"{path} has no [project.urls] table: is this a clone of the course?")
    start = lines.index("[project.urls]") + 1
    end = next((i for i in range(start, len(lines)) if lines[i].startswith("[")), len(lines))
    kept = [line for line in lines[start:end] if not re.match(r"\s*Repository\s*=", line)]
    tree = "" if branch == "main" else f"/tree/{branch}"
    new = [f'Repository = "{HOME}{repo}{tree}"'] if repo else []
    text = "\n".join([*lines[:start], *new, *kept, *lines[end:]]) + "\n"
    tomllib.loads(text)
    path.write_text(text, encoding="utf-8", newline="\n")


def badge(repo: str, branch: str, notebook: str) -> str:
    """Markdown of the badge that opens one notebook on Colab."""
    target = f"https://colab.research.google.com/github/{repo}/blob/{branch}/notebooks/{notebook}"
    return f"[![Open in Colab]({PICTURE})]({target})"


def _is(found: dict, name: str, mark: str) -> bool:
    return found.get("id") == name or "".join(found.get("source", "")).startswith(mark)


def write_notebook(path: Path, repo: str | None, branch: str) -> bool:
    """Puts badge and set-up cell into one notebook; returns whether the file changed."""
    before = path.read_text(encoding="utf-8")
    try:
        notebook = json.loads(before)
        cells = notebook["cells"]
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(f"{path.name} is not a readable notebook ({error}); it was left as it is.") from None
    cells[:] = [c for c in cells if not (c["cell_type"] == "markdown" and _is(c, BADGE_ID, "[![Open in Colab]"))]
    source = cell(repo, branch).splitlines(keepends=True)
    old = next((c for c in cells if c["cell_type"] == "code" and _is(c, SETUP_ID, MARK)), None)
    if old is None:
        at = next((i for i, c in enumerate(cells) if c["cell_type"] == "code"), len(cells))
        old = {"cell_type": "code", "execution_count": None, "id": SETUP_ID, "metadata": {}, "outputs": []}
        cells.insert(at, old)
    old["source"] = source
    if repo:
        text = badge(repo, branch, path.name)
        cells.insert(0, {"cell_type": "markdown", "id": BADGE_ID, "metadata": {}, "source": [text]})
    after = json.dumps(notebook, indent=1, ensure_ascii=False) + "\n"
    if json.loads(before) == notebook:
        return False
    path.write_text(after, encoding="utf-8", newline="\n")
    return True


def write_readme(root: Path, repo: str | None, branch: str, first: str | None) -> None:
    """Puts the badge below the README's title, or takes it away; it opens the first notebook."""
    path = root / "README.md"
    lines = path.read_text(encoding="utf-8").splitlines()
    for at in [i for i, line in enumerate(lines) if line.endswith(README_MARK)][::-1]:
        del lines[at : at + 2]
    if repo and first:
        lines[2:2] = [f"{badge(repo, branch, first)} {README_MARK}", ""]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8", newline="\n")


def apply(root: Path) -> int:
    """Makes README and notebooks agree with [project.urls]; returns how many notebooks changed."""
    repo, branch = read_home(root)
    notebooks = sorted((root / "notebooks").glob("*.ipynb"))
    write_readme(root, repo, branch, notebooks[0].name if notebooks else None)
    return sum(write_notebook(path, repo, branch) for path in notebooks)


def brand(
    repo: Annotated[str, typer.Option(help="OWNER/NAME on GitHub.")] = "",
    branch: Annotated[str, typer.Option(help="The branch that learners open.")] = "main",
    root: Annotated[Path | None, typer.Option(help="The clone; default: the one this command runs from.")] = None,
    remove: Annotated[bool, typer.Option("--remove", help="Take the home and the badges away.")] = False,
) -> None:
    """Name the course's home, for a school's own fork; with no option, refresh badges and set-up cells."""
    root = root or clone_dir()
    if root is None or not (root / "pyproject.toml").is_file():
        raise UserError("Branding needs a clone of the course: run it there, or name the folder with --root.")
    if repo and remove:
        raise UserError("Give either --repo or --remove, not both.")
    if repo:
        check_names(repo, branch)
    if repo or remove:
        write_home(root, repo or None, branch)
    changed = apply(root)
    home = read_home(root)
    typer.echo(f"Home: {f'{home[0]}, branch {home[1]}' if home[0] else 'none'}; {changed} notebooks changed.")
