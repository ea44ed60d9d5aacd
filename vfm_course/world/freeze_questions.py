"""Writes `data/vqa/` again: the test questions that results are compared on, and their card.

python -m vfm_course.world.freeze_questions --out data/vqa
"""

import argparse
from collections import Counter
from functools import lru_cache
from pathlib import Path

from vfm_course.world.blind import BlindModel, accuracy, chance
from vfm_course.world.question_draw import PRIORS, USUAL_COLOUR, USUAL_COLOUR_SHARE
from vfm_course.world.questions import KINDS, Question
from vfm_course.world.vqa import SEEDS, vqa_set
from vfm_course.world.vqa_files import write_questions
from vfm_course.world.vqa_groups import consistency_set

QUESTIONS, GROUPS, TRAINING = 400, 120, 4000
ABOUT = {
    "balanced": "pairs of lines: the same question of two similar scenes, with different answers",
    "unbalanced": "each question alone, most answers the favourite of the priors in README.md",
    "consistency": "questions and those that follow from them: entailed, by their numbers from 0",
}


@lru_cache(maxsize=1)
def blind_sets() -> dict[tuple[str, bool], list[Question]]:
    """What the blind model learns from and is judged on: (split, balanced) -> questions."""
    sizes = {"train": TRAINING, "test": QUESTIONS}
    keys = [(split, balanced) for split in sizes for balanced in (True, False)]
    return {(split, balanced): vqa_set(split, sizes[split], balanced=balanced) for split, balanced in keys}


def blind_figures() -> dict[str, dict[str, float]]:
    """Accuracy of the blind model per kind and for all, on balanced and on unbalanced test questions."""
    sets, names = blind_sets(), {"balanced": True, "unbalanced": False}
    return {name: accuracy(BlindModel(sets["train", each]), sets["test", each]) for name, each in names.items()}


def card(sets: dict[str, list[Question]], groups: int) -> str:
    """The page that stands beside the files."""
    blind, guess = blind_figures(), chance(sets["balanced"])
    counts = {name: Counter(question.kind for question in each) for name, each in sets.items()}
    for name, each in sets.items():
        counts[name]["all"] = len(each)
    table = "\n".join(
        f"| {kind} | {' | '.join(str(counts[name][kind]) for name in sets)} "
        f"| {guess[kind]:.3f} | {blind['balanced'][kind]:.3f} | {blind['unbalanced'][kind]:.3f} |"
        for kind in (*KINDS, "all")
    )
    priors = [f"| {pattern} | {favourite} | {share:.0%} |" for pattern, (favourite, share) in PRIORS.items()]
    usual = ", ".join(f"{thing} {colour}" for thing, colour in USUAL_COLOUR.items())
    vain = [question for question in sets["unbalanced"] if not question.answerable]
    hidden = sum(question.steps[-1].operation == "not drawn" for question in vain) / len(vain)
    agree = sum(question.answers.count(question.answer) for each in sets.values() for question in each)
    agree /= sum(10 * len(each) for each in sets.values())
    return f"""# Questions about drawn scenes

Visual question answering for which everything is known: each question comes with the program that answers it, the
seed and the number of its scene (`vfm_course.world.vqa.scene_of` draws it, at any size), its one true answer, and what
ten invented annotators wrote, with synonyms and mistakes. Written by `python -m vfm_course.world.freeze_questions`,
which writes the same bytes again. `vfm_course.world.vqa_files.frozen("balanced")` reads them.

| kind | balanced | unbalanced | consistency | chance | blind, balanced | blind, unbalanced |
|---|---|---|---|---|---|---|
{table}

`blind` is the accuracy of a model that never looks: the most frequent answer to the same text among {TRAINING:,}
training questions made the same way (`vfm_course.world.blind`). `chance` is a guess among the answers that make sense
for a balanced question; of counts, 4 and 5 are so rare that 0.25 is nearer the truth.

## How it was made

- Scenes of two to five things in perspective, without meaningless shapes, from a world of its own for each split: train
  {SEEDS["train"]}, validation {SEEDS["validation"]}, test {SEEDS["test"]}. All questions here are of the test split.
- A question is asked only where its answer is clear: no two things that could be meant, no centres closer than an
  eighth of the frame where left and right, above and below are asked, no sizes within 15 % where the depth is.
- The eight kinds are asked equally often; an answerable question whose partner is not counts as answerable.
- `balanced.json`, after VQAv2 (Goyal et al. 2017): lines 2k and 2k + 1 hold the same question of two similar scenes
  with different answers, and each pattern has its answers about equally often. No blind model is right on both.
- `unbalanced.json`: most answers are the favourite of their pattern (below). Of the unanswerable questions {hidden:.0%}
  ask about what is not drawn, which the text alone gives away.
- `consistency.json`, after GQA (Hudson & Manning 2019): {groups} questions with those that follow from them.
- The annotators write the true answer word for word in {agree:.0%} of all cases. Their rates are parameters of
  `vfm_course.world.answers.Annotators`.

## The priors of the unbalanced questions

| pattern | favourite | share |
|---|---|---|
| colour of a thing | its usual colour | {USUAL_COLOUR_SHARE:.0%} |
{chr(10).join(priors)}

Usual colours: {usual}.

## Licence

Drawn and written by this project, nothing fetched. Apache-2.0.
"""


def freeze(folder: Path) -> None:
    """Writes the three files and their card into a folder, which is made if it is not there."""
    folder.mkdir(parents=True, exist_ok=True)
    sets = {name: vqa_set("test", QUESTIONS, balanced=name == "balanced") for name in ("balanced", "unbalanced")}
    sets["consistency"], groups = consistency_set("test", GROUPS)
    for name, questions in sets.items():
        write_questions(folder / f"{name}.json", ABOUT[name], questions, groups if name == "consistency" else None)
    (folder / "README.md").write_text(card(sets, len(groups)), encoding="utf-8", newline="\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("data/vqa"))
    freeze(parser.parse_args().out)


if __name__ == "__main__":
    main()
