"""Puts trained models where the course loads them from: half precision, measured, with a card each.

    python -m vfm_course.pretraining.publish RUNS

RUNS holds one folder a recipe, as `vfm-course pretrain` writes them. The models go to data/checkpoints; what they can
do is measured by `vfm_course.pretraining.claims`, which also fills in the cards' tables.
"""

import argparse
import json
import os
import shutil
from pathlib import Path

from vfm_course.families.catalog import checkpoint_of
from vfm_course.paths import data_dir
from vfm_course.pretraining import claims
from vfm_course.pretraining.recipes import BEGINS_FROM, NAMES
from vfm_course.pretraining.tables import between

KINDS = {
    "clip": ("contrastive", "objectives/clip.py"),
    "siglip": ("pairwise sigmoid", "objectives/siglip.py"),
    "dinov2": ("self-distillation and masked patches", "objectives/dino.py"),
    "mae": ("masked pixels", "objectives/mae.py"),
    "ijepa": ("features of masked blocks", "objectives/ijepa.py"),
    "supervised": ("cross-entropy on the sixteen labels", "pretraining/recipes/supervised.py"),
    "sam": ("promptable masks", "objectives/sam.py"),
    "clip-signs": ("contrastive, with written names in the pictures", "objectives/clip.py"),
    "clip-scenes": ("contrastive and captioning, several things a picture", "pretraining/captioner.py"),
    "language": ("the next word, text alone", "pretraining/recipes/language.py"),
}
# What goes on with another recipe's run, which lies beside it.
GOES_ON = {"language-more": "language"}


def publish(run: Path, folder: Path) -> dict:
    """Copies one run's model into `folder` as float16 safetensors and returns its record."""
    import torch
    import transformers

    from vfm_course.vlm.notes import NOTES_FILE

    record = json.loads((run / "training.json").read_text())
    name = GOES_ON.get(record["recipe"], record["recipe"])
    if record["seen"] // 100 < record["images"] // 100 - 2:
        print(f"{name}: the run is not finished ({record['seen']} of {record['images']} images)")
    if folder.exists():
        shutil.rmtree(folder)
    folder.mkdir(parents=True)
    for path in run.iterdir():  # configuration, processor, tokenizer; not the training's own state
        if (path.suffix == ".json" and path.name != "training.json") or path.name == NOTES_FILE:
            shutil.copyfile(path, folder / path.name)
    model = getattr(transformers, checkpoint_of(name).model_class).from_pretrained(run, dtype=torch.float32)
    model.half().save_pretrained(folder)
    if name == "mae":
        _rename(folder / "model.safetensors", "decoder_encoder.layer.", "decoder_layers.")
    os.chmod(folder / "model.safetensors", 0o644)
    parameters = sum(weight.numel() for weight in model.parameters())
    before = {}
    if name != record["recipe"]:
        first = json.loads((run.parent / name / "training.json").read_text())
        before = {"before": {"images_seen": first["seen"], "minutes": round(first["seconds"] / 60, 1)}}
    return before | {
        "model": name,
        "parameters": parameters,
        "images_seen": record["seen"],
        "images_asked": record["images"],
        "minutes": round(record["seconds"] / 60, 1),
        "seed": record["seed"],
        "curve": record["curve"][::10] + record["curve"][-1:],
    }


def _rename(path: Path, wrong: str, right: str) -> None:
    """Mends names of weights: transformers 5.24 writes MAE's decoder under names that no published checkpoint has, and
    that transformers 5.15 does not find."""
    from safetensors.torch import load_file, save_file

    weights = {key.replace(wrong, right): weight for key, weight in load_file(path).items()}
    save_file(weights, path, metadata={"format": "pt"})


def card(record: dict) -> str:
    """The README of one checkpoint; its numbers are in `record`, and the measured ones are filled in later."""
    name = record["model"]
    kind, file = KINDS[name]
    start = f"on from the pocket `{BEGINS_FROM[name]}`," if name in BEGINS_FROM else "from scratch"
    losses = "\n".join(f"| {point['images']:,} | {point['loss']:.3f} |" for point in record["curve"])
    return f"""# Pocket {name}

A small `{checkpoint_of(name).model_class}` ({record["parameters"]:,} parameters), trained {start}
on the drawn world: {kind}.
Loss in `vfm_course/{file}`, recipe in `vfm_course/pretraining/recipes/{name.replace("-", "_")}.py`.
It knows drawn pictures of sixteen things and nothing else; on photographs its answers mean little.

One run, one seed ({record["seed"]}), {record["images_seen"]:,} images seen in {record["minutes"]} minutes on one CPU
core beside other work. Again: `vfm-course pretrain {name} --images {record["images_asked"]}`.

Measured by `python -m vfm_course.pretraining.claims` (one pretraining run, three seeds of each probe):

{between("")}

Files: float16 safetensors; load them as float32 on a CPU, as `vfm_course.families.load` does.

| images seen | loss |
|---|---|
{losses}
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", type=Path)
    arguments = parser.parse_args()
    published = []
    for name in NAMES:
        if not (arguments.runs / name / "training.json").is_file():
            continue
        called = GOES_ON.get(name, name)
        folder = data_dir() / "checkpoints" / called
        record = publish(arguments.runs / name, folder)
        (folder / "README.md").write_text(card(record), encoding="utf-8")
        (folder / "record.json").write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
        published.append(called)
    if published:
        claims.run(list(dict.fromkeys(published)))


if __name__ == "__main__":
    main()
