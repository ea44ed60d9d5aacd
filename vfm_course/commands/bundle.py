"""`vfm-course bundle`: the whole course as one zip, for a Drive folder or a class server without GitHub."""

import importlib.util
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path
from typing import Annotated

import typer

from vfm_course.errors import UserError
from vfm_course.paths import clone_dir

README = """The course on vision foundation models, in one file.

Colab:  upload this zip and one of its notebooks; the notebook's first cell installs the course from the zip.
A class server or your own machine (Python 3.11 to 3.13): unpack the zip and, in the folder it makes,
        pip install {wheel}
        vfm-course start
"""
EPOCH = (2020, 2, 2, 0, 0, 0)  # one date for all entries: the same sources give the same bytes


def build_wheel(root: Path, folder: Path) -> Path:
    """Builds the course's wheel, data and notebooks included, into `folder`."""
    # With hatchling at hand nothing is downloaded; without it pip fetches it into a place of its own.
    isolation = ["--no-build-isolation"] if importlib.util.find_spec("hatchling") else []
    command = [sys.executable, "-m", "pip", "wheel", "--no-deps", "-q", *isolation, "-w", str(folder), str(root)]
    done = subprocess.run(command, capture_output=True, text=True)
    wheels = sorted(folder.glob("*.whl"))
    if done.returncode or not wheels:
        last = (done.stderr.strip() or done.stdout.strip() or "pip said nothing").splitlines()[-1]
        raise UserError(f"The wheel could not be built: {last}")
    return wheels[0]


def write_zip(out: Path, wheel: Path, notebooks: list[Path]) -> None:
    """Writes the bundle beside its final name first, so that a stopped run leaves no half a zip."""
    entries = [("README.txt", README.format(wheel=wheel.name).encode()), (wheel.name, wheel.read_bytes())]
    entries += [(f"notebooks/{path.name}", path.read_bytes()) for path in notebooks]
    part = out.with_name(out.name + ".part")
    try:
        with zipfile.ZipFile(part, "w", zipfile.ZIP_DEFLATED) as box:
            for name, content in entries:
                info = zipfile.ZipInfo(name, EPOCH)
                info.external_attr = 0o644 << 16
                box.writestr(info, content, zipfile.ZIP_DEFLATED)
        part.replace(out)
    finally:
        part.unlink(missing_ok=True)


def bundle(
    out: Annotated[Path, typer.Option(help="The zip to write.")] = Path("vfm_course_bundle.zip"),
) -> None:
    """Pack wheel, data and notebooks into one zip that works without GitHub."""
    root = clone_dir()
    if root is None:
        raise UserError("A bundle is made from a clone of the course; this is an installed copy without its sources.")
    if out.is_dir() or not out.parent.is_dir():
        raise UserError(f"{out} cannot be written: name a file in a folder that exists.")
    with tempfile.TemporaryDirectory() as folder:
        write_zip(out, build_wheel(root, Path(folder)), sorted((root / "notebooks").glob("*.ipynb")))
    typer.echo(f"{out}: {out.stat().st_size / 1e6:.1f} MB. Upload it as it is; README.txt inside says how to use it.")
