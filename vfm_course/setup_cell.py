"""The first code cell of every notebook, generated here alone, and what it calls once the course is found."""

import importlib.metadata
import subprocess
import sys
import tomllib

from vfm_course.errors import UserError
from vfm_course.paths import clone_dir

# What a kernel does without: Colab and VS Code have no JupyterLab of their own kind.
NOT_IN_A_KERNEL = {"jupyterlab", "nbval", "nbclient", "nbconvert"}
MARK = "# Set-up, written by `vfm-course brand`"

CELL = (
    MARK
    + """: finds the course on this machine, installs it on Colab.
import glob, importlib, pathlib, subprocess, sys, tempfile, zipfile
here, home = pathlib.Path.cwd(), "@HOME@" if "google.colab" in sys.modules else ""
sys.path += [str(p) for p in (here, *here.parents) if (p / "vfm_course/setup_cell.py").is_file()]
try: from vfm_course.setup_cell import ready
except ImportError:
    places = (".", "..", "/content", "/content/drive/MyDrive")
    bundles = [zip for p in places for zip in sorted(glob.glob(f"{p}/vfm_course_bundle*.zip"))]
    if bundles:
        with zipfile.ZipFile(bundles[0]) as box:
            home = box.extract(next(name for name in box.namelist() if name.endswith(".whl")), tempfile.mkdtemp())
    if not home: raise ImportError("@SENTENCE@") from None
    subprocess.run([sys.executable, "-m", "pip", "install", "-q", "--no-deps", home], check=True)
    sys.modules.pop("vfm_course", None); importlib.invalidate_caches(); from vfm_course.setup_cell import ready
ready()"""
)
SENTENCE = (
    "The course is not on this machine: open the notebook inside a clone of the course, "
    "or upload vfm_course_bundle.zip next to it, and run this cell again."
)


def cell(repository: str | None = None, branch: str = "main") -> str:
    """The cell's text; `repository` is OWNER/NAME, or None as long as the course has no home."""
    home = f"git+https://github.com/{repository}@{branch}" if repository else ""
    return CELL.replace("@HOME@", home).replace("@SENTENCE@", SENTENCE)


def requirements() -> list[str]:
    """What the package needs: from the clone's pyproject.toml, else from the installed package."""
    clone = clone_dir()
    if clone:
        return tomllib.loads((clone / "pyproject.toml").read_text(encoding="utf-8"))["project"]["dependencies"]
    try:
        listed = importlib.metadata.requires("vfm-course") or []
    except importlib.metadata.PackageNotFoundError:
        return []
    return [line for line in listed if "extra ==" not in line]


def missing(lines: list[str]) -> list[str]:
    """Those requirements that this Python does not have, or has in another version."""
    from packaging.requirements import Requirement

    lacking = []
    for requirement in map(Requirement, lines):
        if requirement.name.lower() in NOT_IN_A_KERNEL:
            continue
        try:
            version = importlib.metadata.version(requirement.name)
        except importlib.metadata.PackageNotFoundError:
            lacking.append(str(requirement))
            continue
        if not requirement.specifier.contains(version, prereleases=True):
            lacking.append(str(requirement))
    return lacking


def ready() -> None:
    """Says nothing when all is there; on Colab installs what is lacking, elsewhere says how to get it.

    Raises:
        UserError: a package is lacking and this is not Colab, or the installation failed.
    """
    _install(missing(requirements()))
    from vfm_course.viz.inline import small_figures

    small_figures()


def _install(lacking: list[str]) -> None:
    """Installs requirements on Colab, and only there."""
    if not lacking:
        return
    if "google.colab" not in sys.modules:
        raise UserError(
            f"This notebook's Python ({sys.executable}) lacks {', '.join(lacking)}: choose the kernel in the course's "
            ".venv (made by `python3 course.py start`), or install them there."
        )
    # Colab's own torch fits its GPU driver and takes minutes to replace, so it is held where it is.
    held = []
    for name in ("torch", "torchvision"):
        if not any(line.startswith(f"{name}>") for line in lacking):
            held.append(f"{name}=={importlib.metadata.version(name)}")
    if subprocess.call([sys.executable, "-m", "pip", "install", "-q", *lacking, *held]):
        raise UserError("The installation failed (see above): check the network and run this cell again.")
