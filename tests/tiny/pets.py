"""Oxford-IIIT Pet's folder as torchvision reads it, with drawn things in place of photographs."""

from pathlib import Path

from PIL import Image

from vfm_course.world import World

DRAWN = {"cat": "Big_Cat", "dog": "hound", "bird": "parrot"}  # what stands for which breed


def draw_pets(root: Path, known: int = 40, asked: int = 20) -> None:
    """Pictures of several sizes and the two official splits below `root`."""
    folder = root / "oxford-iiit-pet"
    (folder / "images").mkdir(parents=True)
    (folder / "annotations").mkdir()
    scenes, lines = World(31, 64, concepts=tuple(DRAWN)).stream(), []
    for number in range(known + asked):
        scene = next(scenes)
        concept = scene.main.concept
        name, side = f"{DRAWN[concept]}_{number}", 64 + number % 3 * 20
        Image.fromarray(scene.image).resize((side, 64)).save(folder / "images" / f"{name}.jpg")
        lines.append(f"{name} {list(DRAWN).index(concept) + 1} 1 1\n")
    (folder / "annotations" / "trainval.txt").write_text("".join(lines[:known]))
    (folder / "annotations" / "test.txt").write_text("".join(lines[known:]))
