"""Seconds a submission of `vfm-course grade` beside otter-grader and nbgrader, on the same three exercises.

`python tests/benchmarks/grading.py --others PYTHON [--submissions 20] [--repeats 3] [--jobs 1]`

PYTHON is one in whose environment otter-grader, nbgrader, ipykernel and torch are installed. Every third submission has
one wrong answer. Each system gets them in its own form: ours with `@exercise`, nbgrader with cells that assert, otter
with doctests; the answers and what they are compared with are the same. Ours draws its inputs by itself and shuts
every exercise in, the others do not. Otter runs without its container, one command a submission, as on Gradescope;
nbgrader grades the class with one command. The order turns round with each repetition. It also says whether all three
found the same points.
"""

import argparse
import csv
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

from measure import ROOT, load_average

SETUP = "import torch"
RIGHT = {
    "6.1": """def resize_to_patches(height, width, patch_size):
    def nearest(side):
        return max(1, round(side / patch_size)) * patch_size
    return nearest(height), nearest(width)""",
    "6.2": """def normalise_pixels(image, mean, std):
    return ((image.float() / 255 - mean) / std).permute(2, 0, 1)""",
    "6.4": """def cosine_matrix(embeddings):
    unit = embeddings / embeddings.norm(dim=1, keepdim=True).clamp(min=1e-12)
    return unit @ unit.T""",
}
WRONG = {"6.2": """def normalise_pixels(image, mean, std):
    return ((image.float() - mean) / std).permute(2, 0, 1)"""}  # fmt: skip
POINTS = {"6.1": 1, "6.2": 2, "6.4": 1}
CHECKS = {
    "6.1": ["assert resize_to_patches(100, 37, 14) == (98, 42)", "assert resize_to_patches(3, 500, 16) == (16, 496)"],
    "6.2": [
        "image = torch.arange(90, dtype=torch.uint8).reshape(6, 5, 3)",
        "mean, std = torch.tensor([0.5, 0.4, 0.3]), torch.tensor([0.2, 0.3, 0.4])",
        "want = ((image.double() / 255 - mean) / std).permute(2, 0, 1).float()",
        "assert torch.allclose(normalise_pixels(image, mean, std), want, atol=1e-5)",
    ],
    "6.4": [
        "rows = torch.randn(7, 5, generator=torch.Generator().manual_seed(0))",
        "want = torch.nn.functional.cosine_similarity(rows[:, None], rows[None], dim=2)",
        "assert torch.allclose(cosine_matrix(rows), want, atol=1e-5)",
    ],
}


def answers(number: int) -> dict[str, str]:
    return RIGHT | (WRONG if number % 3 == 2 else {})


def cell(source: str, **metadata) -> dict:
    return {"cell_type": "code", "metadata": metadata, "source": source, "outputs": [], "execution_count": None}


def write(path: Path, cells: list[dict]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    cells = [each | {"id": f"c{number}"} for number, each in enumerate(cells)]
    kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    book = {"nbformat": 4, "nbformat_minor": 5, "metadata": kernel, "cells": cells}
    path.write_text(json.dumps(book), encoding="utf-8")


def call(command: list, folder: Path) -> None:
    beside = str(Path(command[0]).parent)  # nbgrader calls programs of its own environment
    path = os.pathsep.join([beside, os.environ.get("PATH", "")])
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "PATH": path}
    done = subprocess.run(list(map(str, command)), cwd=folder, env=environment, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(done.stdout + done.stderr)


class Ours:
    """`vfm-course grade`."""

    def __init__(self, folder: Path, count: int, python: str, jobs: int):
        self.folder, self.jobs, self.run = folder, jobs, 0
        for number in range(count):
            cells = [cell(SETUP + "\nfrom vfm_course.exercises import exercise")]
            cells += [cell(f'@exercise("{key}")\n{source}') for key, source in answers(number).items()]
            write(folder / "in" / f"s{number:02d}.ipynb", cells)

    def grade(self) -> None:
        self.run += 1
        self.out = self.folder / f"out{self.run}"
        call([sys.executable, "-m", "vfm_course.cli", "grade", self.folder / "in", "--out", self.out,
              "--only", ",".join(POINTS), "--jobs", self.jobs], self.folder)  # fmt: skip

    def points(self) -> list[float]:
        with (self.out / "grades.csv").open(encoding="utf-8") as file:
            return [float(row["total"]) for row in sorted(csv.DictReader(file), key=lambda row: row["student"])]


class Otter:
    """otter-grader: `otter run`, a submission at a time."""

    def __init__(self, folder: Path, count: int, python: str, jobs: int):
        self.folder, self.count, self.otter = folder, count, Path(python).with_name("otter")
        tests = folder / "tests"
        tests.mkdir(parents=True)
        for key, lines in CHECKS.items():
            code = "".join(f">>> {line}\n" for line in lines)
            suite = {"cases": [{"code": code, "hidden": False}], "scored": True, "type": "doctest"}
            test = {"name": f"q{key.replace('.', '_')}", "points": POINTS[key], "suites": [suite]}
            (tests / f"{test['name']}.py").write_text(f"OK_FORMAT = True\ntest = {test!r}\n")
        for number in range(count):
            (folder / f"out{number:02d}").mkdir()
            write(folder / f"s{number:02d}.ipynb", [cell(SETUP), *map(cell, answers(number).values())])
        call([self.otter, "generate", "-t", "tests", "-o", "autograder.zip", "--no-config", "--no-requirements",
              "--no-environment"], folder)  # fmt: skip

    def grade(self) -> None:
        for number in range(self.count):
            call([self.otter, "run", f"s{number:02d}.ipynb", "-a", "autograder.zip", "-o", f"out{number:02d}",
                  "--no-logo"], self.folder)  # fmt: skip

    def points(self) -> list[float]:
        found = [json.loads((self.folder / f"out{n:02d}" / "results.json").read_text()) for n in range(self.count)]
        return [sum(test.get("score", 0) for test in each["tests"]) for each in found]


class Nbgrader:
    """nbgrader: one command for the class."""

    def __init__(self, folder: Path, count: int, python: str, jobs: int):
        self.folder, self.nbgrader = folder, Path(python).with_name("nbgrader")
        folder.mkdir(parents=True)
        (folder / "nbgrader_config.py").write_text('c = get_config()\nc.CourseDirectory.course_id = "c"\n')
        write(folder / "source" / "lab" / "lab.ipynb", self.cells(dict.fromkeys(RIGHT, "pass")))
        call([self.nbgrader, "generate_assignment", "lab"], folder)
        for number in range(count):
            write(folder / "submitted" / f"s{number:02d}" / "lab" / "lab.ipynb", self.cells(answers(number)))

    @staticmethod
    def cells(given: dict[str, str]) -> list[dict]:
        found = [cell(SETUP)]
        for key, source in given.items():
            asked = {"schema_version": 3, "task": False, "locked": False, "grade": False, "solution": True}
            tested = {"schema_version": 3, "task": False, "locked": True, "grade": True, "solution": False}
            name = key.replace(".", "_")
            found.append(cell(source, nbgrader=asked | {"grade_id": f"q{name}"}))
            more = {"grade_id": f"t{name}", "points": POINTS[key]}
            found.append(cell("\n".join(CHECKS[key]), nbgrader=tested | more))
        return found

    def grade(self) -> None:
        call([self.nbgrader, "autograde", "lab", "--force"], self.folder)

    def points(self) -> list[float]:
        call([self.nbgrader, "export"], self.folder)
        with (self.folder / "grades.csv").open(encoding="utf-8") as file:
            return [float(row["score"]) for row in sorted(csv.DictReader(file), key=lambda row: row["student_id"])]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--others", required=True, metavar="PYTHON")
    parser.add_argument("--submissions", type=int, default=20)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--jobs", type=int, default=1, help="submissions at a time, of ours; the others take one")
    wanted = parser.parse_args()
    print(f"{wanted.submissions} submissions, {wanted.repeats} repeats; {load_average()}")
    with tempfile.TemporaryDirectory() as name:
        systems = [each(Path(name) / each.__name__, wanted.submissions, wanted.others, wanted.jobs)
                   for each in (Ours, Otter, Nbgrader)]  # fmt: skip
        seconds: dict[str, list[float]] = {type(system).__name__: [] for system in systems}
        for repeat in range(wanted.repeats):
            for system in systems if repeat % 2 == 0 else reversed(systems):
                begun = time.perf_counter()
                system.grade()
                seconds[type(system).__name__].append((time.perf_counter() - begun) / wanted.submissions)
        print(f"{'':16}{'s a submission':>15}{'range':>16}{'times ours':>12}")
        for system, each in seconds.items():
            ratios = [one / ours for one, ours in zip(each, seconds["Ours"], strict=True)]
            print(f"{system:16}{median(each):15.2f}{min(each):9.2f} to {max(each):.2f}{median(ratios):11.1f}x")
        points = [system.points() for system in systems]
    print("all found the same points" if points[0] == points[1] == points[2] else f"different points: {points}")
    print(f"afterwards: {load_average()}")


if __name__ == "__main__":
    main()
