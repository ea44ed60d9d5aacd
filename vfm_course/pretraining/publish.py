"""Puts trained models where the course loads them from: half precision, measured, with a card each.

    python -m vfm_course.pretraining.publish RUNS [--into data/checkpoints]

RUNS holds one folder a recipe, as `vfm-course pretrain` writes them.
"""

import argparse
import hashlib
import json
import os
import shutil
from pathlib import Path

from vfm_course.families.catalog import CATALOG
from vfm_course.pretraining.recipes import NAMES
from vfm_course.pretraining.scores import measure

KINDS = {
    "clip": ("contrastive", "objectives/clip.py"),
    "siglip": ("pairwise sigmoid", "objectives/siglip.py"),
    "dinov2": ("self-distillation and masked patches", "objectives/dino.py"),
    "mae": ("masked pixels", "objectives/mae.py"),
    "ijepa": ("features of masked blocks", "objectives/ijepa.py"),
    "supervised": ("cross-entropy on the sixteen labels", "pretraining/recipes/supervised.py"),
    "sam": ("promptable masks", "objectives/sam.py"),
}


def publish(run: Path, folder: Path) -> dict:
    """Copies one run's model into `folder` as float16 safetensors and returns its record with the measured scores."""
    import torch
    import transformers

    record = json.loads((run / "training.json").read_text())
    name = record["recipe"]
    if record["seen"] // 100 < record["images"] // 100 - 2:
        print(f"{name}: the run is not finished ({record['seen']} of {record['images']} images)")
    if folder.exists():
        shutil.rmtree(folder)
    folder.mkdir(parents=True)
    for path in run.iterdir():  # configuration, processor, tokenizer; not the training's own state
        if path.suffix == ".json" and path.name != "training.json":
            shutil.copyfile(path, folder / path.name)
    model = getattr(transformers, CATALOG[name].model_class).from_pretrained(run, dtype=torch.float32)
    model.half().save_pretrained(folder)
    os.chmod(folder / "model.safetensors", 0o644)
    parameters = sum(weight.numel() for weight in model.parameters())
    return {
        "model": name,
        "parameters": parameters,
        "images_seen": record["seen"],
        "minutes": round(record["seconds"] / 60, 1),
        "seed": record["seed"],
        "curve": record["curve"][::10] + record["curve"][-1:],
    }


def card(record: dict) -> str:
    """The README of one checkpoint; every number in it is in `record`."""
    name = record["model"]
    kind, file = KINDS[name]
    rows = "\n".join(f"| {what} | {value} |" for what, value in record["scores"].items())
    losses = "\n".join(f"| {point['images']:,} | {point['loss']:.3f} |" for point in record["curve"])
    return f"""# Pocket {name}: a quick run

A small `{CATALOG[name].model_class}` ({record["parameters"]:,} parameters) trained from scratch on the drawn world:
{kind}, loss in `vfm_course/{file}`, recipe in `vfm_course/pretraining/recipes/{name}.py`.
It knows drawn pictures of sixteen things and nothing else; on photographs its answers mean little.

**Quick** means one run, one seed ({record["seed"]}), {record["images_seen"]:,} images seen in {record["minutes"]}
minutes on one CPU core beside other work. A longer run will replace it.
Again: `vfm-course pretrain {name} --images {record["images_seen"]}`.

Measured by `python -m vfm_course.pretraining.publish` on 2,000 held-out scenes (chance 0.0625 for the 16 concepts; one
seed, so no interval but the binomial one of about ±0.02):

| | |
|---|---|
{rows}

Files: float16 safetensors; load them as float32 on a CPU, as `vfm_course.families.load` does.

| images seen | loss |
|---|---|
{losses}
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", type=Path)
    parser.add_argument("--into", type=Path, default=Path("data/checkpoints"))
    arguments = parser.parse_args()
    for name in NAMES:
        if not (arguments.runs / name / "training.json").is_file():
            continue
        folder = arguments.into / name
        record = publish(arguments.runs / name, folder)
        record["scores"] = measure(name, folder)
        (folder / "README.md").write_text(card(record), encoding="utf-8")
        (folder / "record.json").write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
        print(name, record["scores"], flush=True)
    sums = []
    for path in sorted(arguments.into.glob("*/*")):
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        sums.append(f"{digest}  {path.relative_to(arguments.into).as_posix()}")
    (arguments.into / "SHA256SUMS").write_text("\n".join(sums) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
