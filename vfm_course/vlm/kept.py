"""Arrays made once by all cores and kept as a folder of files, which is whole or not there."""

import os
import shutil
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import numpy as np

ALONE = 3  # chunks that are not worth starting other processes for


def keep(folder: Path, names: Sequence[str], work: Callable, tasks: Sequence, title: str) -> None:
    """Writes `work(task)` of all tasks, an array for each name, joined along the first axis.

    Writes into a folder beside it and renames at the end: a killed run leaves nothing half done.
    """
    from rich.progress import track

    partial = folder.with_name(f"{folder.name}.partial{os.getpid()}")
    partial.mkdir(parents=True, exist_ok=True)
    try:
        with ProcessPoolExecutor(mp_context=get_context("spawn")) as pool:
            made = pool.map(work, tasks) if len(tasks) > ALONE else map(work, tasks)
            parts = list(track(made, title, total=len(tasks)))
        for name, chunks in zip(names, zip(*parts, strict=True), strict=True):
            np.save(partial / f"{name}.npy", np.concatenate(chunks))
        os.rename(partial, folder)
    except OSError:  # another run was faster, and its files are the same
        if not folder.is_dir():
            raise
    finally:
        shutil.rmtree(partial, ignore_errors=True)
