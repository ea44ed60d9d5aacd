"""`vfm-course start`: JupyterLab on the notebooks."""

import importlib.util
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Annotated

import typer

from vfm_course.errors import UserError

PortOption = Annotated[int, typer.Option(min=1024, max=65535, help="Port to serve on.")]
NoBrowserOption = Annotated[bool, typer.Option("--no-browser", help="Serve without opening a browser.")]


def start(port: PortOption = 8888, no_browser: NoBrowserOption = False) -> None:
    """Open the course in JupyterLab."""
    folder = Path(__file__).resolve().parents[2] / "notebooks"
    if not folder.is_dir():
        raise UserError("The notebooks are not beside the package: start the course from a clone of its repository.")
    if importlib.util.find_spec("jupyterlab") is None:
        raise UserError("JupyterLab is not installed here: install it, or open the notebooks in the editor at hand.")
    with socket.socket() as probe:
        if probe.connect_ex(("127.0.0.1", port)) == 0:
            raise UserError(f"Port {port} is already in use: close what runs there, or choose another with --port.")
    command = [sys.executable, "-m", "jupyterlab", f"--ServerApp.root_dir={folder}", f"--port={port}"]
    if no_browser:
        command.append("--no-browser")
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        # In a container one is root; JupyterLab refuses that unless told. It serves this machine only, behind a token.
        command.append("--allow-root")
    raise typer.Exit(subprocess.call(command))
