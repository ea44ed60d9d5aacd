"""Trains the pocket models that answer and puts them where `load` finds them, as the giants' own classes.

    python -m vfm_course.vlm.pocket NAMES [--samples N] [--seed S]

Each is trained as its paper does it, on one core in about a quarter of an hour; then it is loaded again from its folder
and asked through its own processor and `generate`, and what it scores goes into its card.
"""

import argparse
import hashlib
import json
import re
import sys
from dataclasses import replace
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import nn

from vfm_course.errors import UserError
from vfm_course.families.catalog import checkpoint_of
from vfm_course.families.load import load
from vfm_course.intervals import bootstrap_interval
from vfm_course.paths import cache_dir, data_dir
from vfm_course.vlm.corpus import SCENES
from vfm_course.vlm.drive import answers
from vfm_course.vlm.examine import score
from vfm_course.vlm.features import scene_features
from vfm_course.vlm.prompts import CAPTION
from vfm_course.vlm.published.blip2 import save_blip2
from vfm_course.vlm.published.flamingo import save_flamingo
from vfm_course.vlm.published.llava import save_llava
from vfm_course.vlm.published.paligemma import save_paligemma
from vfm_course.vlm.teach import Plan, School, teach
from vfm_course.vlm.train import Curve
from vfm_course.whole_file import whole_text
from vfm_course.world.blind import BlindModel, accuracy, chance
from vfm_course.world.concepts import CONCEPTS
from vfm_course.world.palette import COLOURS
from vfm_course.world.questions import Question
from vfm_course.world.vqa import scene_of, vqa_set
from vfm_course.world.vqa_files import frozen

SAMPLES = 36_000
CAPTIONED = 100  # pictures of which captions are asked for
NAMED = re.compile(rf"({'|'.join(COLOURS)}) ({'|'.join(CONCEPTS)})")
PLANS = {
    "llava-1.5": Plan("mlp", SAMPLES, tune_lm=True, noted=True),
    "blip2": Plan("qformer", SAMPLES, tune_lm=True, stage_one=True, noted=True),
    "flamingo": Plan("gated", SAMPLES, tune_lm=True, noted=True),
    "paligemma": Plan("prefix", SAMPLES, tune_lm=True, noted=True),
}
SAVE = {"llava-1.5": save_llava, "blip2": save_blip2, "flamingo": save_flamingo, "paligemma": save_paligemma}
EYES = dict.fromkeys(PLANS, "the eyes of the pocket `clip-scenes`") | {
    "blip2": "a tower taught to see as that of the pocket `clip-scenes`"
}
TAUGHT = {
    "llava-1.5": "the connector first learnt to write notes (`vlm/align.py`), then both were trained on questions",
    "blip2": "a first stage without the language model (contrast, matching, generation), then notes, then questions",
    "flamingo": "the resampler first learnt to write notes (`vlm/align.py`), then all was trained on questions",
    "paligemma": "as LLaVA, but the prompt read both ways",
}


class Blip2School(School):
    """BLIP-2's tower in the place of CLIP's: `vfm-course pretrain blip2-tower` trains it."""

    @cached_property
    def vision(self) -> nn.Module:
        """The distilled tower.

        Raises:
            UserError: it was not trained yet.
        """
        import transformers

        folder = tower_folder()
        if not (folder / "model.safetensors").is_file():
            raise UserError(
                f"BLIP-2 needs its tower in {folder}: run `vfm-course pretrain blip2-tower --out {folder}`."
            )
        return transformers.Blip2VisionModel.from_pretrained(folder).eval().requires_grad_(False)

    @cached_property
    def features(self) -> np.ndarray:
        """(scenes, 65, 128), float16."""
        weights = (tower_folder() / "model.safetensors").read_bytes()
        return scene_features(self.vision, hashlib.sha256(weights).hexdigest(), "train", self.scenes)


def tower_folder() -> Path:
    """Where the trained tower of BLIP-2 lies until it is part of the model."""
    return cache_dir() / "pretraining" / "blip2-tower"


def make(name: str, plan: Plan, seed: int, school: School) -> dict:
    """Trains one model and saves it; its record, without scores."""

    def show(samples: int, point: dict) -> None:
        numbers = ", ".join(f"{key} {value:.3f}" for key, value in point.items() if key not in ("stage", "samples"))
        print(f"{name}: {samples:,} samples, {numbers}", flush=True)

    model, curve = teach(plan, school, seed, show)
    folder = data_dir() / "checkpoints" / name
    SAVE[name](school.vision, model, folder, half=True)
    return record(name, plan, seed, model, curve)


def record(name: str, plan: Plan, seed: int, model: nn.Module, curve: Curve) -> dict:
    """What is to be known of a run."""
    connector = sum(weight.numel() for part, weight in model.named_parameters() if not part.startswith("lm."))
    return {
        "model": name,
        "plan": vars(plan),
        "seed": seed,
        "trained": connector + plan.tune_lm * sum(weight.numel() for weight in model.lm.parameters()),
        "connector": connector,
        "language_model": sum(weight.numel() for weight in model.lm.parameters()),
        "minutes": round(curve.seconds / 60, 1),
        "curve": curve.points[::8] + curve.points[-1:],
    }


def ask(name: str, questions: list[Question]) -> list[str]:
    """The answers of the model as it lies in its folder."""
    loaded = load(name, "pocket", "cpu")
    images = [Image.fromarray(scene_of(question).image) for question in questions]
    return answers(loaded.model, loaded.processor, images, [question.text for question in questions])


def captioned(name: str, questions: list[Question]) -> float:
    """The share of the things named in captions of the questions' pictures, such as "a red cat", that are there."""
    loaded, scenes = load(name, "pocket", "cpu"), [scene_of(question) for question in questions]
    images = [Image.fromarray(scene.image) for scene in scenes]
    said = answers(loaded.model, loaded.processor, images, [CAPTION] * len(images), max_new_tokens=64, form=str)
    named = [thing in {(each.colour, each.concept) for each in scene.objects}
             for text, scene in zip(said, scenes, strict=True) for thing in NAMED.findall(text)]  # fmt: skip
    return float(np.mean(named)) if named else 0.0


def examined(name: str) -> dict:
    """Scores on the frozen sets: by kind, with an interval over the questions for all of them; and `captioned`."""
    found = {"captioned": captioned(name, frozen("balanced")[:CAPTIONED])}
    for split in ("balanced", "unbalanced"):
        questions = frozen(split)
        said = ask(name, questions)
        right = [answer == question.answer for answer, question in zip(said, questions, strict=True)]
        mean, low, high = bootstrap_interval(right)
        pairs = [one and other for one, other in zip(right[::2], right[1::2], strict=True)]
        found[split] = score(said, questions) | {"low": low, "high": high}
        if split == "balanced":
            found[split]["pairs"] = sum(pairs) / len(pairs)
    return found


def card(record: dict) -> str:
    """The README of one checkpoint."""
    name, scores = record["model"], record["scores"]
    checkpoint = checkpoint_of(name)
    blind = BlindModel(vqa_set("train", 4000))
    balanced = frozen("balanced")
    rows = {"this model": scores["balanced"], "never looks": accuracy(blind, balanced), "guesses": chance(balanced)}
    kinds = [kind for kind in rows["never looks"] if kind != "all"]
    head = f"| balanced, 400 questions | all | {' | '.join(kinds)} |"
    lines = [f"| {who} | {each['all']:.3f} | {' | '.join(f'{each[kind]:.2f}' for kind in kinds)} |"
             for who, each in rows.items()]  # fmt: skip
    ours = scores["balanced"]
    return f"""# Pocket {name}

A small `{checkpoint.model_class}` that answers questions about drawn scenes: {EYES[name]}, the
language of the pocket `language` ({record["language_model"]:,} weights), and a connector of {record["connector"]:,}
weights between them. {TAUGHT[name].capitalize()}: {record["trained"]:,} weights trained in all.
It knows drawn pictures of sixteen things and 139 words, and nothing else; on photographs its answers mean nothing.

One run, one seed ({record["seed"]}), {record["plan"]["samples"]:,} pictures with their text in {record["minutes"]}
minutes on one CPU core beside other work. Again:
`python -m vfm_course.vlm.pocket {name} --samples {record["plan"]["samples"]}`.

Loaded from here and asked through its processor and `generate` (the 400 questions that are frozen in data/vqa):
{ours["all"]:.3f} right (95 % over the questions: {ours["low"]:.3f} to {ours["high"]:.3f}), {ours["pairs"]:.3f} of the
pairs right on both sides, {ours["vqa"]:.3f} by VQA's official accuracy; on the unbalanced questions
{scores["unbalanced"]["all"]:.3f}.

{head}
|{"---|" * (len(kinds) + 2)}
{chr(10).join(lines)}

Prompts: `Question: … Answer:` and `Caption:`. Of the things named in its captions of {CAPTIONED} of these pictures
{100 * scores["captioned"]:.0f} % are there, in the colour named. Files: float16 safetensors; load them as float32 on
a CPU, as `vfm_course.families.load` does.
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"{', '.join(PLANS)}; all if none is named")
    parser.add_argument("--samples", type=int, help="pictures with their text, in place of its plan's")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--cards", action="store_true", help="only examine what is there, and write the cards again")
    arguments = parser.parse_args()
    torch.set_num_threads(1)  # of small products: two threads wait for each other more than they help
    for name in arguments.names or PLANS:
        if name not in PLANS:
            raise UserError(f"There is no plan for {name!r}: choose from {', '.join(PLANS)}.")
        folder = data_dir() / "checkpoints" / name
        if arguments.cards:
            made = json.loads((folder / "record.json").read_text(encoding="utf-8"))
        else:
            school = Blip2School(SCENES) if name == "blip2" else School(SCENES)
            plan = replace(PLANS[name], samples=arguments.samples or PLANS[name].samples)
            made = make(name, plan, arguments.seed, school)
        made["scores"] = examined(name)
        with whole_text(folder / "record.json") as file:
            file.write(json.dumps(made, indent=1) + "\n")
        with whole_text(folder / "README.md") as file:
            file.write(card(made))
        print(f"{name}: {made['scores']['balanced']['all']:.3f} on the balanced questions", flush=True)


if __name__ == "__main__":
    try:
        main()
    except UserError as error:
        sys.exit(str(error))
