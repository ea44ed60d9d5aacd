"""Measures the two frozen parts of the pocket vision-language models, and writes their cards.

    python -m vfm_course.vlm.parts [NAMES]

`clip-scenes`: does a thing of an unseen scene find its phrase, by the patches under its box and by the one on its
middle? `language`: does it answer what it is told, in words and in notes?
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
from vfm_course.pretraining.regions import box_shares, middle_patches
from vfm_course.vlm.drawn import SIZE, drawn_scenes
from vfm_course.vlm.examine import score
from vfm_course.vlm.features import as_pixels
from vfm_course.vlm.model import PrefixVLM, answer
from vfm_course.vlm.notes import load_notes, loose, squared
from vfm_course.vlm.prompts import END, PICTURE, question_prompt
from vfm_course.vlm.tokenizer import END as END_ID
from vfm_course.whole_file import whole_text
from vfm_course.world.captions import with_article
from vfm_course.world.placed_text import placed_text
from vfm_course.world.vqa import scene_of
from vfm_course.world.vqa_files import frozen

SCENES, BATCH = 2000, 100
MOST = 6  # tokens of an answer


@torch.inference_mode()
def eyes() -> dict:
    """Shares of the things of unseen scenes that find their phrase among 128, its concept, its colour: by the mean of
    the patches under the box, and the phrase also by the patch on the middle alone."""
    loaded, scenes = load("clip-scenes", "pocket", "cpu"), drawn_scenes("test", SCENES)
    model, tokenizer = loaded.model, loaded.processor.tokenizer
    texts = tokenizer([f"{phrase}{END}" for phrase in PHRASES], padding=True, return_tensors="pt")
    phrases = F.normalize(model.get_text_features(**texts).pooler_output, dim=1)
    side = SIZE // model.config.vision_config.patch_size
    hits: dict[str, list[float]] = {"phrase": [], "concept": [], "colour": [], "phrase, by the middle patch": []}

    def found(seen: torch.Tensor) -> list[list[str]]:
        seen = model.visual_projection(model.vision_model.post_layernorm(seen))
        return [PHRASES[i].split()[1:] for i in (seen @ phrases.T).argmax(dim=1).tolist()]

    for start in range(0, len(scenes), BATCH):
        patches = model.vision_model(pixel_values=as_pixels(scenes.images[start : start + BATCH])).last_hidden_state
        for row, graph in enumerate(scenes.graphs[start : start + BATCH]):
            own = [with_article(f"{thing.colour} {thing.concept}").split()[1:] for thing in graph.objects]
            shares = box_shares(torch.tensor([thing.box for thing in graph.objects]), side, SIZE)
            pairs = list(zip(found(shares @ patches[row, 1:]), own, strict=True))
            hits["phrase"].append(np.mean([one == other for one, other in pairs]))
            hits["colour"].append(np.mean([one[0] == other[0] for one, other in pairs]))
            hits["concept"].append(np.mean([one[1] == other[1] for one, other in pairs]))
            middles = middle_patches(torch.tensor([thing.centre for thing in graph.objects]), side, SIZE)
            seen = found(patches[row, 1:][middles])
            hits["phrase, by the middle patch"].append(
                np.mean([one == other for one, other in zip(seen, own, strict=True)])
            )
    return {what: dict(zip(("value", "low", "high"), bootstrap_interval(each), strict=True))
            for what, each in hits.items()}  # fmt: skip


@torch.inference_mode()
def language() -> dict:
    """Accuracy by kind on the frozen balanced questions when the scene is told in words, in notes, and not at all."""
    loaded, questions = load("language", "pocket", "cpu"), frozen("balanced")
    scenes = [scene_of(question) for question in questions]
    rng = np.random.default_rng(0)
    said = {
        "told in words": _said(loaded, [_in_words(q) + question_prompt(q.text) for q in questions]),
        "told in loose notes": _said_of_notes(loaded, loose(scenes, rng), questions),
        "told in squared notes": _said_of_notes(loaded, squared(scenes), questions),
        "told nothing": _said(loaded, [question_prompt(q.text) for q in questions]),
    }
    return {what: score(each, questions) for what, each in said.items()}


def _in_words(question) -> str:
    return f"{PICTURE} {placed_text(scene_of(question))}{END}"


def _said(loaded, prompts: list[str]) -> list[str]:
    said = []
    for start in range(0, len(prompts), BATCH):
        inputs = loaded.processor(prompts[start : start + BATCH], padding=True, return_tensors="pt")
        new = loaded.model.generate(**inputs, max_new_tokens=MOST, do_sample=False)[:, inputs["input_ids"].shape[1] :]
        said += [text.strip() for text in loaded.processor.batch_decode(new, skip_special_tokens=True)]
    return said


def _said_of_notes(loaded, notes: np.ndarray, questions) -> list[str]:
    """Answers to the notes (questions, V, 5) in the place of a picture."""
    embedding = load_notes(pocket_folder("language"))
    seen = embedding(loaded.model.get_input_embeddings(), torch.from_numpy(notes))
    reader = PrefixVLM(loaded.model, torch.nn.Identity())
    prompts = loaded.processor([question_prompt(question.text) for question in questions])["input_ids"]
    said: list[list[int]] = []
    for start in range(0, len(prompts), BATCH):
        said += answer(reader, seen[start : start + BATCH], prompts[start : start + BATCH], END_ID, MOST)
    return [text.strip() for text in loaded.processor.batch_decode(said, skip_special_tokens=True)]


ABOUT = {
    "clip-scenes": """The eyes of the pocket vision-language models: a small `CLIPModel` ({parameters:,} parameters),
trained on from the pocket `clip` with scenes of two to five things. Beside CLIP's loss on captions each box had to find
its phrase among 128, and so had the patch on its middle (`pretraining/regions.py`), which also had to tell where it is
and how large; a decoder, thrown away since, had to write all things with their places (`pretraining/captioner.py`).""",
    "language": """The language of the pocket vision-language models: a small `LlamaForCausalLM` ({parameters:,}
parameters) that was told drawn scenes in words and in notes (`vlm/notes.py`), with questions and answers, and never
saw a picture. It knows 139 words and nothing else. `notes.safetensors` holds what makes notes, beside its words.
Before it read more, its drills had less even answers than those of the recipe have now, and whether a run learns to
look things up takes luck (`pretraining/recipes/language.py` says how to see it early).""",
}


def card(name: str, record: dict) -> str:
    """The README of one part."""
    scores, unit = record["scores"], "documents read" if name == "language" else "images seen"
    if name == "clip-scenes":
        lines = ["| of the things of 2,000 unseen scenes | share (95 % over the scenes) |", "|---|---|"]
        lines += [f"| {what} right | {each['value']:.3f} ({each['low']:.3f} to {each['high']:.3f}) |"
                  for what, each in scores.items()]  # fmt: skip
    else:
        kinds = [kind for kind in next(iter(scores.values())) if kind != "vqa"]
        lines = [f"| right, of the 400 balanced questions | {' | '.join(kinds)} |", "|---|" + "---|" * len(kinds)]
        lines += [f"| {what} | {' | '.join(f'{each[kind]:.2f}' for kind in kinds)} |" for what, each in scores.items()]
    losses = "\n".join(f"| {point['images']:,} | {point['loss']:.3f} |" for point in record["curve"])
    length, before = f"{record['images_seen']:,} {unit} in {record['minutes']} minutes", record.get("before")
    again = f"`vfm-course pretrain {name} --images {record['images_asked']}`"
    if before:
        length = f"{before['images_seen']:,} {unit} in {before['minutes']} minutes and then {length}"
        again = f"`vfm-course pretrain {name}`, then `vfm-course pretrain {name}-more`"
    return f"""# Pocket {name}

{ABOUT[name].format(**record)}

One run, one seed ({record["seed"]}), {length} on one CPU core
beside other work. Again: {again}.

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
