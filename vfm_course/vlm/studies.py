"""Connectors against each other under one budget, too long for a notebook: run once and stored.

    python -m vfm_course.vlm.studies [NAMES]

runs what of them is not stored yet, all if none is named, and writes data/connectors: a file each, and a page with all
figures. A run is stored as soon as it is done: the command can be stopped at any time, and two with different names can
run side by side. Delete a file to measure its study again.

    python -m vfm_course.vlm.studies --device cuda

trains on a GPU. Such a run is another one than the CPU's of the same seed, and as good.
"""

import argparse
import json
import sys
import time
from pathlib import Path

import numpy as np

from vfm_course.errors import UserError
from vfm_course.paths import data_dir
from vfm_course.pretraining.short.page import table
from vfm_course.stored_rows import read_rows, write_rows
from vfm_course.whole_file import whole_text

FORM = 2  # of the files
PLAN = ("connector", "noted", "tune_lm", "stage_one", "queries", "alpha")  # by which runs differ, beside the seed
SEEDS = (0, 1, 2)
SAMPLES = 8_000  # pictures with their text that each connector learns from
QUESTIONS, QUESTIONS_SEED = 2000, 7  # balanced questions of the test split, drawn anew and shared by all runs
QUERIES = (1, 4, 8, 32)  # 16 is in the study of connectors
HALF_OPEN = 0.5  # tanh of it is 0.46
ABOUT = {
    "connectors": "Which connector makes the most of the same pictures, between the same encoder and language model?",
    "frozen": "What is left of it with a language model that stays as it is?",
    "queries": "How many queries does a Q-Former need?",
}


def cases(name: str) -> list[dict]:
    """The keywords of `teach.Plan` by which a study's runs differ.

    Raises:
        UserError: there is no such study.
    """
    if name == "connectors":
        noted = [{"connector": each, "noted": True, "tune_lm": True} for each in ("mlp", "prefix", "qformer", "gated")]
        plain = [{"connector": each, "tune_lm": True} for each in ("mlp", "prefix", "qformer", "gated")]
        return [*noted, *plain, {"connector": "qformer", "tune_lm": True, "stage_one": True},
                {"connector": "gated", "noted": True, "tune_lm": True, "alpha": HALF_OPEN}]  # fmt: skip
    if name == "frozen":
        return [*({"connector": each, "noted": True} for each in ("mlp", "qformer", "gated")),
                {"connector": "gated", "noted": True, "alpha": HALF_OPEN}]  # fmt: skip
    if name == "queries":
        return [{"connector": "qformer", "noted": True, "tune_lm": True, "queries": count} for count in QUERIES]
    raise UserError(f"There is no study {name!r}: choose from {', '.join(ABOUT)}.")


def stored_file(name: str) -> Path:
    """Where a study's rows lie."""
    return data_dir() / "connectors" / f"{name}.json"


def stored(name: str) -> list[dict]:
    """The rows of a study as they were measured: the plan, `seed`, `accuracy` by kind and for "all", number of
    `questions` and `hits` on them, `curve`, `trained` parameters, `device`, `training_seconds` and `seconds` in all.

    Raises:
        UserError: there is no such study, or its file is missing or damaged.
    """
    cases(name)
    return read_rows(stored_file(name), f"python -m vfm_course.vlm.studies {name}")


def hits_of(row: dict) -> np.ndarray:
    """bool (questions,): which of them a run answered right."""
    packed = np.frombuffer(bytes.fromhex(row["hits"]), dtype=np.uint8)
    return np.unpackbits(packed, count=row["questions"]).astype(bool)


class Bench:
    """What all runs share, made once."""

    def __init__(self, device: str = "cpu"):
        from vfm_course.vlm.examine import prepare
        from vfm_course.vlm.teach import School
        from vfm_course.world.vqa import vqa_set

        self.school = School(device=device)
        self.asked = prepare(self.school.vision, vqa_set("test", QUESTIONS, seed=QUESTIONS_SEED))

    def measure(self, seed: int, case: dict) -> dict:
        """Trains one connector and examines it."""
        from vfm_course.vlm.examine import answers_of, score
        from vfm_course.vlm.teach import Plan, teach

        model, curve = teach(Plan(samples=SAMPLES, **case), self.school, seed)
        questions = self.asked.questions
        answers = answers_of(model, self.asked)
        right = np.array([said == question.answer for said, question in zip(answers, questions, strict=True)])
        return {
            "accuracy": score(answers, questions),
            "trained": sum(weight.numel() for name, weight in model.named_parameters()
                           if case.get("tune_lm") or not name.startswith("lm.")),
            "device": self.school.device,
            "questions": len(questions),
            "hits": np.packbits(right).tobytes().hex(),
            "curve": curve.points[::2],
            "training_seconds": round(curve.seconds, 1),
        }  # fmt: skip


def run(name: str, bench: Bench, seeds: tuple[int, ...] = SEEDS) -> list[dict]:
    """Runs a study, or what of it was not run yet, and stores its rows after each run."""
    wanted = {_called(case, seed) for seed in seeds for case in cases(name)}
    known = {_called(row, row["seed"]): row for row in (stored(name) if _comparable(name) else [])}
    known = {called: row for called, row in known.items() if called in wanted}
    head = {"form": FORM, "study": name, "question": ABOUT[name], "samples": SAMPLES}
    for seed in seeds:
        for case in cases(name):
            if _called(case, seed) in known:
                continue
            begun = time.perf_counter()
            row = {"seed": seed} | case | bench.measure(seed, case)
            known[_called(case, seed)] = row | {"seconds": round(time.perf_counter() - begun, 1)}
            print(f"{name}: {_called(case, seed)}, {row['accuracy']['all']:.3f}", flush=True)
            write_rows(stored_file(name), head, list(known.values()))
    return list(known.values())


def _comparable(name: str) -> bool:
    """Whether what is stored was made in the same way; what was not is measured again."""
    if not stored_file(name).is_file():
        return False
    stored(name)  # a damaged file is not written over
    head = json.loads(stored_file(name).read_text(encoding="utf-8"))
    return (head.get("form"), head.get("samples")) == (FORM, SAMPLES)


def _called(case: dict, seed: int) -> tuple:
    """What tells a run from all others."""
    return (seed, *(case.get(key) for key in PLAN))


HEAD = """# Connectors: what was measured

Written by `python -m vfm_course.vlm.studies`, which runs all of it again. Pocket eyes (`clip-scenes`, frozen), the
pocket `language`, and a connector between them, {samples:,} pictures with their text a run. Where it is `noted`, the
connector first learns from {noted:,} pictures to write the notes that the language model reads (`vlm/align.py`, a
minute or two, without the language model) and all samples are questions; else a quarter of them is to tell what is
where, with BLIP-2's first stage half of that quarter. Asked {questions:,} balanced questions about scenes that no run
has seen; shares of right answers, `vqa` is the official accuracy. A cell is the mean over seeds (of weights and
batches), in brackets the least and the largest of them; where there are no brackets there was a single run, and what
luck did to it is not known. Flamingo's gates begin at tanh(`alpha`), closed where it is not given. `trained` counts
weights, the language model's among them where it is tuned; `minutes` are those of one core, not on the same machine in
all runs, and leave out the runs that were made on a GPU (the rows tell which).
"""


def page() -> str:
    """All studies that are stored, as Markdown."""
    from vfm_course.vlm.teach import NOTED

    parts = [HEAD.format(samples=SAMPLES, noted=NOTED, questions=QUESTIONS)]
    for name, question in ABOUT.items():
        if not stored_file(name).is_file():
            continue
        keys = [key for key in PLAN if any(key in case for case in cases(name))]
        rows = [{"seed": row["seed"]} | {key: row.get(key, "") for key in keys} | row["accuracy"]
                | {"trained": row["trained"]} | _minutes(row) for row in stored(name)]  # fmt: skip
        parts.append(f"## {name}\n\n{question}\n\n{table(keys, rows)}\n")
    return "\n".join(parts)


def write_page() -> None:
    """data/connectors/README.md."""
    with whole_text(data_dir() / "connectors" / "README.md") as file:
        file.write(page())


def _minutes(row: dict) -> dict[str, float]:
    """A GPU's minutes would not be those of a core."""
    return {"minutes": row["training_seconds"] / 60} if row["device"] == "cpu" else {}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"{', '.join(ABOUT)}; all if none is named")
    parser.add_argument("--device", default="cpu", help="where models are trained, such as cuda (default: %(default)s)")
    arguments = parser.parse_args()
    names = arguments.names or list(ABOUT)
    for name in names:
        cases(name)
    import torch

    torch.set_num_threads(1)  # of small products: two threads wait for each other more than they help
    bench = Bench(arguments.device)
    for name in names:
        run(name, bench)
        write_page()


if __name__ == "__main__":
    try:
        main()
    except UserError as error:
        sys.exit(str(error))
