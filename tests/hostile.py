"""Submissions that mean no good, each in the cell of exercise 6.2; 6.1 and 6.4 beside it are right."""

import json
from pathlib import Path

SETUP = "import torch\nfrom vfm_course.exercises import exercise, choice, written"
FIRST = """@exercise("6.1")
def resize_to_patches(height, width, patch_size):
    def nearest(side):
        return max(1, round(side / patch_size)) * patch_size
    return nearest(height), nearest(width)"""
SECOND = """@exercise("6.2")
def normalise_pixels(image, mean, std):
    return ((image.float() / 255 - mean) / std).permute(2, 0, 1)"""
THIRD = """@exercise("6.4")
def cosine_matrix(embeddings):
    unit = embeddings / embeddings.norm(dim=1, keepdim=True).clamp(min=1e-12)
    return unit @ unit.T"""
POINTS = {"6.1": 1.0, "6.2": 2.0, "6.4": 1.0}  # as in the course


def body(text: str, before: str = "") -> str:
    """Exercise 6.2 with this body; `before` stands above it in its cell."""
    lines = "\n".join(f"    {line}" for line in text.splitlines())
    return f'{before}\n@exercise("6.2")\ndef normalise_pixels(image, mean, std):\n{lines}'


RIGHT_BODY = "return ((image.float() / 255 - mean) / std).permute(2, 0, 1)"
# What the cell of 6.2 does. None of these earns the points of 6.2.
ATTACKS = {
    "endless loop": body("while True:\n    pass"),
    "endless loop that swallows": body(
        "while True:\n    try:\n        while True: pass\n    except BaseException:\n        pass"
    ),
    "sleep": body("import time\ntime.sleep(3600)"),
    "memory bomb": body("x = [bytearray(1 << 28) for _ in range(1000)]\n" + RIGHT_BODY),
    "tensor bomb": body("x = torch.ones(1 << 38)\n" + RIGHT_BODY),
    "fork bomb": body("import os\nwhile True:\n    os.fork()"),
    "os._exit": body("import os\nos._exit(0)"),
    "sys.exit": body("import sys\nsys.exit(0)"),
    "segfault": body("import ctypes\nctypes.string_at(0)"),
    "abort": body("import os\nos.abort()"),
    "kill the parent": body(
        "import os, signal\nos.kill(os.getppid(), signal.SIGKILL)\nraise RuntimeError('still here')"
    ),
    "kill the group": body("import os, signal\nos.killpg(0, signal.SIGKILL)"),
    "recursion": body("return normalise_pixels(image, mean, std)"),
    "deep C recursion": body("x = []\nfor _ in range(10**6):\n    x = [x]\nreturn repr(x)"),
    "gigabytes of output": body("while True:\n    print('x' * (1 << 20))"),
    "gigabytes returned": body("return torch.zeros(3, 20_000, 20_000)"),
    "gigabytes on disk": body("with open('big', 'wb') as f:\n    while True:\n        f.write(bytes(1 << 24))"),
    "equal to everything": body("class Same:\n    def __eq__(self, other): return True\nreturn Same()"),
    "a tensor that lies": body(
        "class Lie(torch.Tensor):\n"
        "    @classmethod\n"
        "    def __torch_function__(cls, func, types, args=(), kwargs=None):\n"
        "        return torch.tensor(True)\n"
        "return torch.zeros(3, 6, 5).as_subclass(Lie)"
    ),
    "patched torch": body("torch.allclose = torch.isclose = lambda *a, **k: torch.tensor(True)\nreturn image"),
    "patched numpy": body("import numpy\nnumpy.allclose = numpy.array_equal = lambda *a, **k: True\nreturn image"),
    "patched json": body("import json\njson.dumps = lambda *a, **k: '{\"ok\": true}'\nreturn image"),
    "patched builtins": body(
        "import builtins\nbuiltins.isinstance = lambda *a: True\nbuiltins.len = lambda *a: 3\nreturn image"
    ),
    "reads the answers": body(
        "import importlib\n"
        "return importlib.import_module('vfm_course.solutions.ch06_toolkit').normalise_pixels(image, mean, std)"
    ),
    "reads the answers' file": body(
        "from pathlib import Path\n"
        "import torch as t\n"
        "text = (Path(t.__file__).parent / '..').resolve()\n"
        "import vfm_course\n"
        "source = (Path(vfm_course.__file__).parent / 'solutions' / 'ch06_toolkit.py').read_text()\n"
        "space = {}\nexec(source, space)\nreturn space['normalise_pixels'](image, mean, std)"
    ),
    "reads the checks' file": body(
        "from pathlib import Path\nimport vfm_course\n"
        "(Path(vfm_course.__file__).parent / 'exercises' / 'ch06_features.py').read_text()\n" + RIGHT_BODY
    ),
    "reads the environment of the grader": body(
        "import os\nopen(f'/proc/{os.getppid()}/environ').read()\n" + RIGHT_BODY
    ),
    "a socket": body("import socket\nsocket.socket()\n" + RIGHT_BODY),
    "a subprocess": body("import subprocess\nsubprocess.run(['true'], check=True)\n" + RIGHT_BODY),
    "writes elsewhere": body("open('/tmp/vfm-was-here', 'w').write('x')\n" + RIGHT_BODY),
    "writes on the grader's line": body(
        "import os\nfor number in range(64):\n    try:\n        os.write(number, b'{\"ok\": 1}\\n')\n"
        "    except OSError:\n        pass\n" + RIGHT_BODY
    ),
    "raises something strange": body("class Odd(BaseException): pass\nraise Odd('\\ud800' * 10)"),
    "raises at the top": "raise SystemExit(3)\n" + SECOND,
    "a syntax error": '@exercise("6.2")\ndef normalise_pixels(image, mean, std)\n    return image',
    "not a function": 'exercise("6.2")(7)',
}
# Strange, but not wrong: the points of 6.2 are earned.
HARMLESS = {
    "threads left running": body(
        "import threading, time\nfor _ in range(4):\n    threading.Thread(target=time.sleep, args=(600,)).start()\n"
        + RIGHT_BODY
    ),
    "prints a lot": body("print('x' * (1 << 22))\n" + RIGHT_BODY),
    "writes a note of its own": body("open('note.txt', 'w').write('mine')\n" + RIGHT_BODY),
    "magics": "%matplotlib inline\n!ls\n" + SECOND,
}


def notebook(cells: list[str]) -> dict:
    """nbformat 4.5."""
    return {
        "nbformat": 4,
        "nbformat_minor": 5,
        "metadata": {},
        "cells": [
            {"cell_type": "code", "id": f"c{number}", "metadata": {}, "source": source, "outputs": [],
             "execution_count": None}
            for number, source in enumerate(cells)
        ],
    }  # fmt: skip


def write(path: Path, second: str = SECOND) -> Path:
    """A submission whose other two exercises are right."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(notebook([SETUP, FIRST, second, THIRD])), encoding="utf-8")
    return path
