"""`vfm-course autograder`: an archive that Gradescope takes, which gives the same results as `vfm-course grade`."""

from __future__ import annotations

import json
import os
import tempfile
import zipfile
from pathlib import Path
from typing import Annotated

import typer

SETUP = """#!/usr/bin/env bash
# Gradescope runs this once, when the archive is uploaded.
set -e
apt-get update
apt-get install -y python3.11 python3.11-venv || apt-get install -y python3 python3-venv
PYTHON=$(command -v python3.11 || command -v python3)
"$PYTHON" -m venv /autograder/venv
/autograder/venv/bin/pip install --no-cache-dir /autograder/source/{wheel}
"""
RUN = """#!/usr/bin/env bash
# Gradescope runs this for every submission.
cd /autograder
exec venv/bin/python -m vfm_course.grading.autograder submission results/results.json source/assignment.toml
"""


def autograder(
    out: Annotated[Path, typer.Option(help="The archive to write.")] = Path("autograder.zip"),
    notebook: Annotated[str, typer.Option(help="Notebook that is handed out, such as 06.", show_default=False)] = "",
    only: Annotated[str, typer.Option(help="Only these exercises: 6.1,6.2.", show_default=False)] = "",
    assignment: Annotated[Path | None, typer.Option(help="TOML file with the points, in place of the options.")] = None,
) -> None:
    """Write a Gradescope autograder for a notebook; needs a clone of the course.

    Example: vfm-course autograder --notebook 06 --out autograder.zip
    """
    from vfm_course.commands.bundle import build_wheel
    from vfm_course.grading.assignment import of_notebook, read_assignment
    from vfm_course.paths import clone_dir
    from vfm_course.toolkit_files import check_writable

    check_writable([out])
    ids = [each.strip() for each in only.split(",") if each.strip()]
    wanted = read_assignment(assignment) if assignment else of_notebook(notebook, ids)
    lines = [f"name = {json.dumps(wanted.name)}", "[points]"]
    lines += [f"{json.dumps(key)} = {points:g}" for key, points in wanted.points.items()]
    with tempfile.TemporaryDirectory() as folder:
        wheel = build_wheel(clone_dir(), Path(folder))
        files = {"setup.sh": SETUP.format(wheel=wheel.name), "run_autograder": RUN,
                 "assignment.toml": "\n".join(lines) + "\n"}  # fmt: skip
        partial = out.with_name(f"{out.name}.partial{os.getpid()}")
        with zipfile.ZipFile(partial, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, text in files.items():
                entry = zipfile.ZipInfo(name)
                entry.external_attr = 0o755 << 16  # both scripts are run
                archive.writestr(entry, text)
            archive.write(wheel, wheel.name)
        os.replace(partial, out)
    typer.echo(f"Written: {out} ({len(wanted.points)} exercises, {wanted.total:g} points). Upload it as autograder.")
