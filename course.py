#!/usr/bin/env python3
"""One command to set up and start the course, one to set up and test it. Needs nothing but Python 3.11 to 3.13.

    python3 course.py start [--no-browser] [--port N]
    python3 course.py test  [pytest arguments]
    python3 course.py run   [vfm-course arguments]

`--venv DIR`, before the verb, says where the environment goes (default: .venv beside this file).
"""

import hashlib
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent
VERBS = ("start", "test", "run")

# Here and not in main(): an older Python stops at the annotations below with a traceback.
if not (3, 11) <= sys.version_info[:2] <= (3, 13):
    version = sys.version.split()[0]
    sys.stderr.write(f"The course runs on Python 3.11, 3.12 and 3.13; this is {version}: start it with another.\n")
    raise SystemExit(2)


def stop(sentence: str) -> None:
    print(sentence, file=sys.stderr)
    raise SystemExit(2)


def environment(folder: Path, extra: str) -> Path:
    """Makes the environment, or brings it up to date, and returns its Python. An interrupted install is done again."""
    python = folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    stamp = folder / f"installed{extra or '-base'}.txt"
    wanted = hashlib.sha256((ROOT / "pyproject.toml").read_bytes()).hexdigest() + f" {sys.version_info[:2]} {ROOT}"
    if python.exists() and stamp.exists() and stamp.read_text(encoding="utf-8") == wanted:
        return python
    print(f"Setting up the course in {folder}. The first time this downloads PyTorch (several GB on Linux).")
    if subprocess.call([sys.executable, "-m", "venv", str(folder)]):
        stop("Python could not make a virtual environment: install its venv module (Debian: apt install python3-venv).")
    if subprocess.call([str(python), "-m", "pip", "install", "--editable", f"{ROOT}{extra}"]):
        stop("The installation failed (see above): check the network and the free disk space, then try again.")
    stamp.write_text(wanted, encoding="utf-8")
    return python


def test(python: Path, arguments: list[str]) -> int:
    """Unit tests, then nbval over every notebook, in one pytest run; conftest.py keeps both off the network."""
    notebooks = sorted(str(path.relative_to(ROOT)) for path in (ROOT / "notebooks").glob("*.ipynb"))
    named = any((ROOT / argument.partition("::")[0]).exists() for argument in arguments)
    wanted = [*arguments, *([] if named else ["tests", *notebooks])]  # options alone, such as -x, leave nothing out
    command = [str(python), "-m", "pytest", "--nbval", "--nbval-current-env", *wanted]
    return subprocess.call(command, cwd=ROOT)


def main(arguments: list[str]) -> int:
    folder = ROOT / ".venv"
    if arguments[:1] == ["--venv"]:
        if len(arguments) < 2:
            stop("--venv needs a folder: python3 course.py --venv DIR start")
        folder, arguments = Path(arguments[1]).resolve(), arguments[2:]
    if arguments[:1] in ([], ["-h"], ["--help"]):
        print(__doc__)
        return 0 if arguments else 2
    if arguments[0] not in VERBS:
        stop(f"{arguments[0]!r} is none of {', '.join(VERBS)}: `python3 course.py --help` shows what can be given.")
    if folder.exists() and not folder.is_dir():
        stop(f"{folder.name} is a file: --venv wants a folder, which is made if it is missing.")
    verb, rest = arguments[0], arguments[1:]
    python = environment(folder, "[test]" if verb == "test" else "")
    if verb == "test":
        return test(python, rest)
    return subprocess.call([str(python), "-m", "vfm_course.cli", *([verb] if verb == "start" else []), *rest])


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except KeyboardInterrupt:
        print("Stopped. Give the same command again to go on.", file=sys.stderr)
        sys.exit(130)
