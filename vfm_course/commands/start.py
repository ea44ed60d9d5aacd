"""`vfm-course start`: JupyterLab on the notebooks."""

import importlib.util
import os
import socket
import subprocess
import sys
from typing import Annotated

import typer

from vfm_course.errors import UserError
from vfm_course.notebook_folder import notebook_folder

PortOption = Annotated[int, typer.Option(min=1024, max=65535, help="Port to serve on.")]
NoBrowserOption = Annotated[bool, typer.Option("--no-browser", help="Serve without opening a browser.")]


def start(port: PortOption = 8888, no_browser: NoBrowserOption = False) -> None:
    """Open the course in JupyterLab."""
    if importlib.util.find_spec("jupyterlab") is None:
        raise UserError("JupyterLab is not installed here: install it, or open the notebooks in the editor at hand.")
    with socket.socket() as probe:
        probe.settimeout(1)
        if probe.connect_ex(("127.0.0.1", port)) == 0:
            raise UserError(f"Port {port} is already in use: close what runs there, or choose another with --port.")
    folder = notebook_folder()
    command = [sys.executable, "-m", "jupyterlab", f"--ServerApp.root_dir={folder}", f"--port={port}"]
    # The port asked for or none; one Ctrl-C stops the server without a question.
    command += ["--ServerApp.port_retries=0", "--ServerApp.answer_yes=True"]
    if no_browser:
        command.append("--no-browser")
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        command.append("--allow-root")  # a container's only user; Jupyter refuses root unless told
    # A kernel of the same name in the user's home would otherwise win over this environment's.
    server = subprocess.Popen(command, env={**os.environ, "JUPYTER_PREFER_ENV_PATH": "1"})
    try:
        raise typer.Exit(server.wait())
    except KeyboardInterrupt:
        raise typer.Exit(server.wait()) from None  # Ctrl-C reached the server too: it closes its kernels first
