"""Draws what each pocket checkpoint sees in held-out scenes, into a folder of JPEG files.

    python -m vfm_course.viz.gallery [FOLDER]

FOLDER is docs/checkpoints if not given. A figure that needs a checkpoint which is not there is left out.
"""

import argparse
from pathlib import Path

import matplotlib
import numpy as np
from PIL import Image
from scipy.ndimage import distance_transform_edt

from vfm_course.families import Loaded, load
from vfm_course.families.catalog import CATALOG
from vfm_course.features.patches import WITHOUT_CLS, untrained
from vfm_course.paths import data_dir
from vfm_course.viz import inside
from vfm_course.world import Scene, World

SEED = 78  # no model was trained on this world
ENCODERS = ("dinov2", "mae", "ijepa", "clip", "siglip", "supervised")
LOOKED_AT = (0, 1, 2, 4, 5)
ON_THE_MAP = 480


def draw(folder: Path) -> list[Path]:
    """Writes the figures of all checkpoints present and returns their files."""
    folder.mkdir(parents=True, exist_ok=True)
    there = {name: load(name, "pocket", "cpu") for name in CATALOG if _is_there(name)}
    written = []

    def file(name: str) -> Path:
        written.append(folder / f"{name}.jpg")
        return written[-1]

    one = World(SEED, 224)
    scenes = [one.scene(number) for number in LOOKED_AT]
    images, things = [Image.fromarray(scene.image) for scene in scenes], [scene.foreground() for scene in scenes]
    encoders = [there[name] for name in ENCODERS if name in there]
    looking = [loaded for loaded in encoders if loaded.name not in WITHOUT_CLS]
    if encoders:
        rows = [*encoders, untrained(encoders[0])]
        inside.components(rows, images, file=file("components"))
        inside.components(rows, images, hide_background=True, file=file("components_foreground"))
        small = World(SEED, 64).sample(ON_THE_MAP)
        groups = {
            "concept": [scene.main.concept for scene in small],
            "drawing style": [scene.main.style for scene in small],
        }
        for loaded in encoders:
            inside.maps([loaded], [Image.fromarray(scene.image) for scene in small], groups,
                        file=file(f"map_{loaded.name}"))  # fmt: skip
    if looking:
        inside.mean_attention(looking, images, things, file=file("attention"))
        for loaded in looking:
            inside.attention(loaded, images[:3], things[:3], file=file(f"attention_{loaded.name}"))
    if "mae" in there:
        inside.reconstructions(there["mae"], images[:4], file=file("reconstructions"))
    if "sam" in there:
        _masks(there["sam"], file)
    return written


def _masks(sam: Loaded, file) -> None:
    scenes = World(SEED, 224, objects=3).sample(4)
    images, things = [Image.fromarray(scene.image) for scene in scenes], [scene.main.mask for scene in scenes]
    inside.clicks(sam, images[:3], [middle(scene) for scene in scenes[:3]], things[:3], file=file("masks_click"))
    inside.boxes(sam, images, [scene.main.box for scene in scenes], things, file=file("masks_box"))


def middle(scene: Scene) -> tuple[float, float]:
    """x and y of the pixel of the nearest thing that is farthest from everything else."""
    distance = distance_transform_edt(np.pad(scene.main.mask, 1))[1:-1, 1:-1]
    y, x = np.unravel_index(distance.argmax(), distance.shape)
    return float(x), float(y)


def _is_there(name: str) -> bool:
    return (data_dir() / "checkpoints" / name / "model.safetensors").is_file()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, nargs="?", default=Path("docs/checkpoints"))
    matplotlib.use("Agg")  # files only, whatever the user's setting
    for path in draw(parser.parse_args().folder):
        print(f"{path}  {path.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main()
