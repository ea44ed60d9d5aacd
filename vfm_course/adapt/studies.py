"""Comparisons too long for a notebook, run once with three seeds and stored; notebooks plot what is stored.

    python -m vfm_course.adapt.studies [NAMES]

runs them again, `ways`, `labels` and `parcels`, and writes data/adaptation: a file each, and a page with all figures.
Every single run is kept in the cache folder as soon as it is done, so that the command can be stopped at any time.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

from vfm_course.adapt.table import Row, as_text, compare
from vfm_course.errors import UserError
from vfm_course.paths import cache_dir, data_dir
from vfm_course.whole_file import whole_text

SEEDS = (0, 1, 2)
SHOTS = (2, 5, 10, 20, 40, 80)  # labels a class of the learning curves
FEW = 10  # labels a class of a parcel task of which little is known
HARD = ("defect", "damaged", "tilt", "label side", "camera")  # where a head on DINOv2 leaves most to be wished for
FORM = 1  # of the files


@dataclass(frozen=True)
class Step:
    """A part of a study: these models (a name, or `untrained NAME`) on these tasks in these ways.

    `tasks` draws the tasks when they are needed; `shots` are training pictures a class, all where None.
    """

    models: tuple[str, ...]
    tasks: Callable[[], Sequence]
    methods: Mapping[str, Callable]
    shots: tuple[int | None, ...] = (None,)


@dataclass(frozen=True)
class Study:
    """What a study asks, in a sentence, and its steps."""

    question: str
    steps: tuple[Step, ...]


def _concepts(train: int = 1000) -> list:
    from vfm_course.adapt.task import concept_task

    return [concept_task(sizes=(train, 500, 1000))]


def _parcels(names: Sequence[str] | None = None) -> list:
    from vfm_course.adapt.parcels import parcel_tasks

    return list(parcel_tasks(names=names).values())


def studies() -> dict[str, Study]:
    """All studies by name."""
    from vfm_course.adapt.bespoke import bespoke
    from vfm_course.adapt.methods import METHODS

    def some(*names: str) -> dict[str, Callable]:
        return {name: METHODS[name] for name in names}

    # One learning rate where many runs are needed: the one that was chosen in nearly every run of `ways`.
    own, low_rank, whole = partial(bespoke, rates=4e-3), partial(METHODS["lora"], rates=1e-2), METHODS["full"]
    thin = {"lora 1": partial(METHODS["lora"], rank=1)}
    many = partial(_concepts, 1600)  # 80 of each concept at least
    return {
        "ways": Study(
            "How accurate does each way of adapting make a backbone, and what does it cost? 1,000 labels, 16 concepts.",
            (
                Step(("dinov2", "clip"), _concepts, METHODS | thin),
                Step(("untrained dinov2",), _concepts, some("linear", "full")),
                Step(("dinov2",), _concepts, {"bespoke": own}),
            ),
        ),
        "labels": Study(
            "How many labels of each class does each way need?",
            (
                Step(("dinov2", "clip"), many, some("linear"), SHOTS),
                Step(("dinov2",), many, {"full": partial(whole, rates=1e-3), "bespoke": own}, SHOTS),
            ),
        ),
        "parcels": Study(
            "Thirteen tasks on the same parcels: a network of its own for each, or heads on one shared encoder?",
            (
                Step(("dinov2", "clip"), _parcels, some("linear"), (None, FEW)),
                Step(("dinov2",), _parcels, {"bespoke": own}, (None, FEW)),
                Step(("dinov2",), partial(_parcels, HARD), {"lora": low_rank}),
                Step(("dinov2",), partial(_parcels, ("belt",)), {"bespoke, slower": partial(bespoke, rates=1e-3)}),
            ),
        ),
    }


def stored_file(name: str) -> Path:
    """Where a study's rows lie."""
    return data_dir() / "adaptation" / f"{name}.json"


def stored(name: str) -> list[Row]:
    """The rows of a study as they were measured and stored.

    Raises:
        UserError: there is no such study, or its file is missing or damaged.
    """
    if name not in studies():
        raise UserError(f"There is no study {name!r}: choose from {', '.join(studies())}.")
    path = stored_file(name)
    try:
        held = json.loads(path.read_text(encoding="utf-8"))
        return [_row(each) for each in held["rows"]]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(
            f"{path.name} in data/adaptation is missing or damaged ({type(error).__name__}): restore it with "
            f"`git checkout -- data`, or measure again with `python -m vfm_course.adapt.studies {name}`."
        ) from error


def run(name: str, show: bool = True) -> list[Row]:
    """Runs a study, or what of it was not run yet, and stores its rows."""
    study = studies()[name]
    rows = []
    for step in study.steps:
        models = [_model(each) for each in step.models]
        tasks = step.tasks()
        for shots in step.shots:
            file = cache_dir() / f"study {name}.json"
            rows += compare(models, tasks, step.methods, SEEDS, shots=shots, file=file, show=show)
    path = stored_file(name)
    path.parent.mkdir(parents=True, exist_ok=True)
    held = {
        "form": FORM,
        "study": name,
        "question": study.question,
        "seeds": SEEDS,
        "rows": [asdict(row) for row in rows],
    }
    with whole_text(path) as file:
        file.write(json.dumps(held, indent=1) + "\n")
    return rows


def page() -> str:
    """All stored studies as one page."""
    parts = [
        "# Adaptation: what was measured\n",
        "Written by `python -m vfm_course.adapt.studies`, which runs all of it again. Pocket models on drawn pictures "
        "that no model was pretrained on; three seeds (of the pictures drawn, the order and the new weights); in "
        "brackets 95 % intervals over seeds and test pictures. `s` is what adapting took in all, reading the pictures "
        "included, on one core of a shared machine; `MiB` by how much memory grew.\n",
    ]
    for name, study in studies().items():
        if stored_file(name).is_file():
            parts += [f"## {name}\n", f"{study.question}\n", f"```\n{as_text(stored(name))}\n```\n"]
    return "\n".join(parts)


def _row(held: dict) -> Row:
    figures = {key: tuple(held[key]) for key in ("accuracy", "by_seed", "settings")}
    return Row(**held | figures | {"shifted": {kind: tuple(each) for kind, each in held["shifted"].items()}})


def _model(name: str):
    from vfm_course.families.load import load
    from vfm_course.features.patches import untrained

    kind, _, known = name.rpartition(" ")
    loaded = load(known, "pocket", "cpu")
    return untrained(loaded) if kind else loaded


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help="ways, labels or parcels; all if none is named")
    names = parser.parse_args().names or list(studies())
    for name in names:
        if name not in studies():
            raise UserError(f"There is no study {name!r}: choose from {', '.join(studies())}.")
    for name in names:
        print(f"{name}: {studies()[name].question}", flush=True)
        print(as_text(run(name)), flush=True)
        (data_dir() / "adaptation" / "README.md").write_text(page(), encoding="utf-8")


if __name__ == "__main__":
    try:
        main()
    except UserError as error:
        sys.exit(str(error))
