"""Every way of adapting every model to a task, on the same splits and seeds, in one table."""

from __future__ import annotations

import functools
import gc
import hashlib
import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from vfm_course.adapt.memory import peak_growth
from vfm_course.adapt.methods import METHODS, Method
from vfm_course.adapt.runs import Run, Runs
from vfm_course.adapt.task import Part, Task
from vfm_course.errors import UserError
from vfm_course.families.load import hash_weights
from vfm_course.features.patches import called
from vfm_course.intervals import crossed_interval

if TYPE_CHECKING:
    from vfm_course.adapt.adapted import Adapted
    from vfm_course.families.load import Loaded

VERSION = 1  # counted up when a method's answers change: stored runs of an older one are then not used
Figure = tuple[float, float, float]  # mean, low, high


@dataclass(frozen=True)
class Row:
    """One model adapted to one task in one way.

    Attributes:
        accuracy: share of the test pictures that were named rightly, with the 95 % interval over seeds and pictures.
        shifted: the same for each kind of shifted pictures.
        chance: accuracy of always saying the most frequent class.
        by_seed: accuracy on the test pictures for each seed.
        labels: training pictures.
        trained, total: parameters, see `Adapted`; the mean over seeds, which may choose features of another width.
        seconds, reading: what adapting took, see `Adapted`; the mean over seeds.
        memory: bytes by which memory grew at most while the features were read or while the method learnt, see
            `peak_growth`; the largest of the seeds.
        settings: what was chosen, for each seed.
    """

    model: str
    task: str
    method: str
    accuracy: Figure
    shifted: dict[str, Figure]
    chance: float
    by_seed: tuple[float, ...]
    labels: int
    trained: int
    total: int
    seconds: float
    reading: float
    memory: int
    settings: tuple[dict, ...]

    @property
    def share(self) -> float:
        """Trained parameters as a share of all."""
        return self.trained / self.total


def compare(
    models: Loaded | Sequence[Loaded],
    tasks: Task | Sequence[Task],
    methods: Sequence[str] | Mapping[str, Method] = tuple(METHODS),
    seeds: Sequence[int] = (0, 1, 2),
    *,
    shots: int | None = None,
    file: Path | None = None,
    resume: bool = True,
    show: bool = True,
) -> list[Row]:
    """Adapts every model to every task in every way, once for each seed.

    Args:
        methods: names of METHODS, or ways of one's own by name, such as {"lora 2": partial(lora, rank=2)}.
        seeds: of the order of pictures, of new weights and, with `shots`, of which training pictures are drawn. They
            are the same for all, so that all learn from the same pictures.
        shots: training pictures a class; all if not given.
        file: JSON, written after every run; what it holds already is not run again, unless a weight, a picture, a
            setting or the number of labels has changed.
        resume: if not, the file is begun anew.
        show: a progress bar, which goes away at the end.

    Returns:
        One row a task, model and method, in this order.

    Raises:
        UserError: unknown method; no seed; the file is something else; what a task or a method refuses.
    """
    models = list(models) if isinstance(models, Sequence) else [models]
    tasks = [tasks] if isinstance(tasks, Task) else list(tasks)
    ways = methods if isinstance(methods, Mapping) else _by_name(methods)
    seeds = tuple(int(seed) for seed in seeds)
    if not (models and tasks and ways and seeds):
        raise UserError("A comparison needs at least one model, one task, one method and one seed.")
    if METHODS["lora"] in map(_function, ways.values()):
        import peft  # noqa: F401  its own size is not what LoRA needs for a model
    runs = Runs(file, resume)
    weights = {id(model): weights_digest(model) for model in models}
    wanted = [(task, model, name) for task in tasks for model in models for name in ways]
    rows = []
    with _progress(show, len(wanted) * len(seeds)) as step:
        for task, model, name in wanted:
            done = []
            gc.collect()  # what others have left would be freed in the middle of this one, and hide what it takes
            for seed in seeds:
                step(f"{called(model)}, {task.name}: {name}, seed {seed}")
                key = {
                    "version": VERSION, "model": called(model), "tier": model.tier, "weights": weights[id(model)],
                    "task": task.name, "pictures": task.digest, "shots": shots, "method": name,
                    "settings": described(ways[name]), "seed": seed,
                }  # fmt: skip
                found = runs.find(key)
                if found is None:
                    found = _run(ways[name], model, task if shots is None else task.few(shots, seed), seed)
                    runs.add(key, found)
                done.append(found)
            rows.append(_row(called(model), task, name, done))
    return rows


def _run(method: Method, model: Loaded, task: Task, seed: int) -> Run:
    adapted: Adapted
    adapted, memory = peak_growth(lambda: method(model, task, seed), model.device)

    memory = max(memory, adapted.reading_memory)

    def hits(part: Part) -> np.ndarray:
        return np.asarray(adapted.predict(part.images)) == part.labels

    return Run(
        hits(task.test), {name: hits(part) for name, part in task.shifted.items()}, len(task.train), adapted.trained,
        adapted.total, adapted.seconds, adapted.reading, memory, adapted.settings,
    )  # fmt: skip


def _row(model: str, task: Task, method: str, runs: list[Run]) -> Row:
    tested = np.stack([run.test for run in runs])
    shifted = {name: crossed_interval(np.stack([run.shifted[name] for run in runs])) for name in task.shifted}

    def mean(name: str) -> float:
        return float(np.mean([getattr(run, name) for run in runs]))

    return Row(
        model, task.name, method, crossed_interval(tested), shifted, task.chance, tuple(tested.mean(axis=1).tolist()),
        runs[0].labels, round(mean("trained")), round(mean("total")), mean("seconds"), mean("reading"),
        max(run.memory for run in runs), tuple(run.settings for run in runs),
    )  # fmt: skip


@contextmanager
def _progress(show: bool, total: int) -> Iterator[Callable[[str], None]]:
    """A bar; what it gives is called with what begins now."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, transient=True, disable=not show) as bar:
        shown, begun = bar.add_task("", total=total), 0

        def step(what: str) -> None:
            nonlocal begun
            bar.update(shown, description=what, completed=begun)
            begun += 1

        yield step


def _by_name(names: Sequence[str]) -> dict[str, Method]:
    names = [names] if isinstance(names, str) else list(names)
    unknown = [name for name in names if name not in METHODS]
    if unknown:
        raise UserError(f"There is no method {unknown[0]!r}: choose from {', '.join(METHODS)}.")
    return {name: METHODS[name] for name in names}


def described(method: Method) -> str:
    """A way of adapting with all its settings, those left as they are included: `….lora(alpha=None, batch=16, …)`.

    For a way of one's own its source counts too, where Python knows it.
    """
    given = {}
    while isinstance(method, functools.partial):
        given = method.keywords | given
        method = method.func
    own = {
        name: each.default
        for name, each in inspect.signature(method).parameters.items()
        if each.kind is inspect.Parameter.KEYWORD_ONLY and each.default is not inspect.Parameter.empty
    }
    said = ", ".join(f"{name}={value!r}" for name, value in sorted((own | given).items()))
    name = f"{method.__module__}.{method.__qualname__}({said})"
    if method not in METHODS.values():
        with suppress(OSError, TypeError):
            name += " " + hashlib.blake2b(inspect.getsource(method).encode(), digest_size=8).hexdigest()
    return name


def _function(method: Method) -> Callable:
    return _function(method.func) if isinstance(method, functools.partial) else method


def weights_digest(loaded: Loaded) -> str:
    """Changes with any weight of a model."""
    found = hashlib.blake2b(digest_size=16)
    hash_weights(found, loaded.model)
    return found.hexdigest()


def as_text(rows: Sequence[Row]) -> str:
    """The rows as a plain table: accuracies with their intervals, parameters, seconds and MiB."""
    kinds = list(dict.fromkeys(kind for row in rows for kind in row.shifted))
    head = ["task", "model", "method", "accuracy", *kinds, "chance", "labels", "trained", "of", "share", "s", "MiB"]
    lines = [
        [
            row.task, row.model, row.method, _figure(row.accuracy),
            *(_figure(row.shifted[kind]) if kind in row.shifted else "-" for kind in kinds),
            f"{row.chance:.2f}", f"{row.labels:,}", f"{row.trained:,}", f"{row.total:,}", f"{row.share:.3%}",
            f"{row.seconds:.1f}", f"{row.memory / 2**20:.0f}",
        ]
        for row in rows
    ]  # fmt: skip
    words = 3  # columns of words, set to the left
    widths = [max(map(len, column)) for column in zip(head, *lines, strict=True)]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if number < words else cell.rjust(width)
            for number, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in [head, *lines]
    )


def _figure(figure: Figure) -> str:
    value, low, high = figure
    return f"{value:.3f} ({low:.3f} to {high:.3f})"
