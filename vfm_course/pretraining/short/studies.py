"""Studies too long for a notebook: run once with three seeds and stored; notebook 03 plots what is stored.

    python -m vfm_course.pretraining.short.studies [NAMES]

runs them again on one core, all five if none is named, and writes data/pretraining: a file each, and a page with all
figures. Every single run is kept in the cache folder as soon as it is done: the command can be stopped at any time, and
two with different names can run side by side.
"""

from __future__ import annotations

import argparse
import importlib
import json
import sys
import time
from pathlib import Path
from types import ModuleType

from vfm_course.errors import UserError
from vfm_course.paths import cache_dir, data_dir
from vfm_course.pretraining.short.page import page
from vfm_course.stored_rows import read_rows, write_rows
from vfm_course.whole_file import whole_text

NAMES = ("noise", "collapse", "curation", "gram", "scaling")
SEEDS = (0, 1, 2)
FORM = 1  # of the files; counted up when a run would give other figures, so that kept ones are not taken for them


def find(name: str) -> ModuleType:
    """The module of a study: its QUESTION, `cases(seed)` and `measure(seed, **case)`.

    Raises:
        UserError: there is none of that name.
    """
    _check(name)
    return importlib.import_module(f"vfm_course.pretraining.short.{name}")


def _check(name: str) -> None:
    if name not in NAMES:
        raise UserError(f"There is no study {name!r}: choose from {', '.join(NAMES)}.")


def stored_file(name: str) -> Path:
    """Where a study's rows lie."""
    return data_dir() / "pretraining" / f"{name}.json"


def stored(name: str) -> list[dict]:
    """The rows of a study as they were measured and stored: `seed`, what the case was, what was found, `seconds`.

    Raises:
        UserError: there is no such study, or its file is missing or damaged.
    """
    _check(name)  # without its module: what only reads figures need not wait for torch
    return read_rows(stored_file(name), f"python -m vfm_course.pretraining.short.studies {name}")


def run(name: str, seeds: tuple[int, ...] = SEEDS) -> list[dict]:
    """Runs a study, or what of it was not run yet, and stores its rows."""
    study = find(name)
    rows = [_kept(name, study, seed, case) for seed in seeds for case in study.cases(seed)]
    write_rows(stored_file(name), {"form": FORM, "study": name, "question": study.QUESTION, "seeds": seeds}, rows)
    return rows


def write_page() -> None:
    """data/pretraining/README.md, with all studies that are stored."""
    held = {name: find(name) for name in NAMES if stored_file(name).is_file()}
    tables = {name: (study.QUESTION, list(study.cases(0)[0]), stored(name)) for name, study in held.items()}
    with whole_text(data_dir() / "pretraining" / "README.md") as file:
        file.write(page(tables))


def _kept(name: str, study: ModuleType, seed: int, case: dict) -> dict:
    """One run, from the cache if it was done before."""
    called = " ".join(f"{key}={value}" for key, value in ({"seed": seed} | case).items())
    path = cache_dir() / "short studies" / f"{name}-{FORM}" / f"{called}.json"
    if path.is_file():
        return json.loads(path.read_text(encoding="utf-8"))
    begun = time.perf_counter()
    found = study.measure(seed, **case)
    row = {"seed": seed} | case | found | {"seconds": round(time.perf_counter() - begun, 1)}
    path.parent.mkdir(parents=True, exist_ok=True)
    with whole_text(path) as file:
        file.write(json.dumps(row) + "\n")
    print(f"{name}: {called}, {row['seconds']:.0f} s", flush=True)
    return row


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"{', '.join(NAMES)}; all if none is named")
    names = parser.parse_args().names or list(NAMES)
    for name in names:
        find(name)
    import torch

    torch.set_num_threads(1)  # of small products: two threads wait for each other more than they help
    for name in names:
        run(name)
        write_page()


if __name__ == "__main__":
    try:
        main()
    except UserError as error:
        sys.exit(str(error))
