"""Measures the two frozen parts of the pocket vision-language models, and writes their cards.

    python -m vfm_course.vlm.parts [NAMES]

`clip-scenes`: does a box of an unseen scene find its phrase? `language`: does it answer what it is told in words?
"""

import argparse
import json
import sys
from pathlib import Path

import numpy as np
import torch
from torch.nn import functional as F

from vfm_course.errors import UserError
from vfm_course.families.load import load, pocket_folder
from vfm_course.intervals import bootstrap_interval
from vfm_course.pretraining.recipes.clip_scenes import PHRASES
from vfm_course.pretraining.regions import box_shares
from vfm_course.vlm.drawn import SIZE, drawn_scenes
from vfm_course.vlm.examine import score
from vfm_course.vlm.features import as_pixels
from vfm_course.vlm.prompts import END, PICTURE, question_prompt
from vfm_course.whole_file import whole_text
from vfm_course.world.captions import with_article
from vfm_course.world.placed_text import placed_text
from vfm_course.world.vqa import scene_of
from vfm_course.world.vqa_files import frozen

SCENES, BATCH = 2000, 100


@torch.inference_mode()
def eyes() -> dict:
    """Shares of the things of unseen scenes whose box finds its phrase among 128, its concept, its colour."""
    loaded, scenes = load("clip-scenes", "pocket", "cpu"), drawn_scenes("test", SCENES)
    model, tokenizer = loaded.model, loaded.processor.tokenizer
    texts = tokenizer([f"{phrase}{END}" for phrase in PHRASES], padding=True, return_tensors="pt")
    phrases = F.normalize(model.get_text_features(**texts).pooler_output, dim=1)
    side = SIZE // model.config.vision_config.patch_size
    hits: dict[str, list[float]] = {"phrase": [], "concept": [], "colour": []}
    for start in range(0, len(scenes), BATCH):
        patches = model.vision_model(pixel_values=as_pixels(scenes.images[start : start + BATCH])).last_hidden_state
        for row, graph in enumerate(scenes.graphs[start : start + BATCH]):
            shares = box_shares(torch.tensor([thing.box for thing in graph.objects]), side, SIZE)
            seen = model.visual_projection(model.vision_model.post_layernorm(shares @ patches[row, 1:]))
            found = [PHRASES[i].split()[1:] for i in (seen @ phrases.T).argmax(dim=1).tolist()]
            own = [with_article(f"{thing.colour} {thing.concept}").split()[1:] for thing in graph.objects]
            pairs = list(zip(found, own, strict=True))
            hits["phrase"].append(np.mean([one == other for one, other in pairs]))
            hits["colour"].append(np.mean([one[0] == other[0] for one, other in pairs]))
            hits["concept"].append(np.mean([one[1] == other[1] for one, other in pairs]))
    return {what: dict(zip(("value", "low", "high"), bootstrap_interval(each), strict=True))
            for what, each in hits.items()}  # fmt: skip


@torch.inference_mode()
def language() -> dict:
    """Accuracy by kind on the frozen balanced questions when the scene is told in words, and when nothing is told."""
    loaded, questions = load("language", "pocket", "cpu"), frozen("balanced")
    return {
        what: score(
            _said(loaded, [told(question) + question_prompt(question.text) for question in questions]), questions
        )
        for what, told in (("told", _in_words), ("told nothing", lambda question: ""))
    }


def _in_words(question) -> str:
    return f"{PICTURE} {placed_text(scene_of(question))}{END}"


def _said(loaded, prompts: list[str]) -> list[str]:
    said = []
    for start in range(0, len(prompts), BATCH):
        inputs = loaded.processor(prompts[start : start + BATCH], padding=True, return_tensors="pt")
        new = loaded.model.generate(**inputs, max_new_tokens=6, do_sample=False)[:, inputs["input_ids"].shape[1] :]
        said += [text.strip() for text in loaded.processor.batch_decode(new, skip_special_tokens=True)]
    return said


ABOUT = {
    "clip-scenes": """The eyes of the pocket vision-language models: a small `CLIPModel` ({parameters:,} parameters),
trained on from the pocket `clip` with scenes of two to five things. Beside CLIP's loss on captions each box had to find
its phrase among 128 (`pretraining/regions.py`), and a decoder, thrown away since, to write all things with their places
(`pretraining/captioner.py`).""",
    "language": """The language of the pocket vision-language models: a small `LlamaForCausalLM` ({parameters:,}
parameters) that read descriptions of drawn scenes, questions and answers (`vlm/corpus.py`) and never saw a picture. It
knows 139 words and nothing else.""",
}


def card(name: str, record: dict) -> str:
    """The README of one part."""
    scores, unit = record["scores"], "documents read" if name == "language" else "images seen"
    if name == "clip-scenes":
        lines = ["| of the things of 2,000 unseen scenes | share (95 % over the scenes) |", "|---|---|"]
        lines += [f"| {what} named right | {each['value']:.3f} ({each['low']:.3f} to {each['high']:.3f}) |"
                  for what, each in scores.items()]  # fmt: skip
    else:
        kinds = [kind for kind in scores["told"] if kind != "vqa"]
        lines = [f"| right, of the 400 balanced questions | {' | '.join(kinds)} |", "|---|" + "---|" * len(kinds)]
        lines += [f"| {what} | {' | '.join(f'{each[kind]:.2f}' for kind in kinds)} |" for what, each in scores.items()]
    losses = "\n".join(f"| {point['images']:,} | {point['loss']:.3f} |" for point in record["curve"])
    return f"""# Pocket {name}

{ABOUT[name].format(**record)}

One run, one seed ({record["seed"]}), {record["images_seen"]:,} {unit} in {record["minutes"]} minutes on one CPU core
beside other work. Again: `vfm-course pretrain {name} --images {record["images_asked"]}`.

Measured by `python -m vfm_course.vlm.parts`:

{chr(10).join(lines)}

Files: float16 safetensors; load them as float32 on a CPU, as `vfm_course.families.load` does.

| {unit} | loss |
|---|---|
{losses}
"""


def write(name: str, folder: Path) -> None:
    """Measures one part and puts the figures into its record and its card."""
    record = json.loads((folder / "record.json").read_text(encoding="utf-8"))
    record["scores"] = {"clip-scenes": eyes, "language": language}[name]()
    with whole_text(folder / "record.json") as file:
        file.write(json.dumps(record, indent=1) + "\n")
    with whole_text(folder / "README.md") as file:
        file.write(card(name, record))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"{', '.join(ABOUT)}; both if none is named")
    for name in parser.parse_args().names or ABOUT:
        if name not in ABOUT:
            raise UserError(f"There is no part {name!r}: choose from {', '.join(ABOUT)}.")
        write(name, pocket_folder(name))


if __name__ == "__main__":
    try:
        main()
    except UserError as error:
        sys.exit(str(error))
