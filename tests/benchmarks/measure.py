"""What the benchmarks share: a process of its own for each run, its seconds and its peak of memory; folders."""

import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Measured:
    """`seconds` from start to end, imports included; `peak` in MiB is the most memory resident at once."""

    seconds: float
    peak: float
    output: str


def run(arguments: list[str], cache: Path) -> Measured:
    """Runs Python with these arguments, with its cache in the folder `cache`.

    Raises:
        RuntimeError: it failed; the text is what it printed.
    """
    log = cache / "output.txt"
    with log.open("w") as output:
        start = time.perf_counter()
        environment = os.environ | {"VFM_CACHE": str(cache), "PYTHONPATH": str(ROOT)}
        command = [sys.executable, *arguments]
        process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT, env=environment, cwd=ROOT)
        _, status, usage = os.wait4(process.pid, 0)  # what this child alone has used
        process.returncode = os.waitstatus_to_exitcode(status)
        seconds = time.perf_counter() - start
    text = log.read_text(errors="replace")
    if process.returncode:
        raise RuntimeError(text)
    return Measured(seconds, usage.ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10), text)


def drawn_pictures(folder: Path, n: int, size: int, different: int = 200) -> Path:
    """`n` JPEG files of the drawn world at `size` pixels.

    After `different` of them the pictures come again, each file with other bytes after its end, so that none is known
    by its content.
    """
    from vfm_course.world import World
    from vfm_course.world.marker import MARKER

    folder.mkdir(parents=True)
    world = World(seed=0, size=224, objects=(1, 3))
    contents: list[bytes] = []
    for number in range(n):
        path = folder / f"{number:05}.jpg"
        if number < different:
            image = Image.fromarray(world.scene(number).image).resize((size, size), Image.Resampling.BICUBIC)
            image.save(path, quality=90, comment=MARKER)
            contents.append(path.read_bytes())
        else:
            path.write_bytes(contents[number % different] + number.to_bytes(4, "big"))
    return folder


def load_average() -> str:
    """How busy the machine was, for the reader of the numbers."""
    return f"{os.cpu_count()} cores, load average {os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else ""
