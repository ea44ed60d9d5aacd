"""What one would write without the toolkit: everything opened, prepared and embedded at once by plain transformers.

`python tests/benchmarks/obvious_script.py FOLDER "a dog, a cat" [--batch 32]`
"""

import argparse
from pathlib import Path

import torch
from PIL import Image
from torch.nn.functional import normalize
from transformers import AutoImageProcessor, AutoProcessor, CLIPModel, Dinov2Model

CHECKPOINTS = Path(__file__).resolve().parents[2] / "data" / "checkpoints"


@torch.no_grad()
def main(folder: str, labels: list[str], batch: int | None = None) -> tuple[list[str], torch.Tensor, torch.Tensor]:
    """Prints a line for each picture; returns names and the embeddings (N, D) of CLIP and DINOv2."""
    # The files hold half precision, which is slow on a CPU.
    clip = CLIPModel.from_pretrained(CHECKPOINTS / "clip", dtype=torch.float32).eval()
    dino = Dinov2Model.from_pretrained(CHECKPOINTS / "dinov2", dtype=torch.float32).eval()
    clip_processor = AutoProcessor.from_pretrained(CHECKPOINTS / "clip")
    dino_processor = AutoImageProcessor.from_pretrained(CHECKPOINTS / "dinov2")

    paths = sorted(Path(folder).glob("*.jpg"))
    names = [path.name for path in paths]
    clip_parts, dino_parts = [], []
    for start in range(0, len(paths), batch or len(paths)):
        images = [Image.open(path).convert("RGB") for path in paths[start : start + (batch or len(paths))]]
        pixels = clip_processor(images=images, return_tensors="pt")["pixel_values"]
        clip_parts.append(normalize(clip.get_image_features(pixels).pooler_output))
        pixels = dino_processor(images=images, return_tensors="pt")["pixel_values"]
        dino_parts.append(normalize(dino(pixels).pooler_output))
    clip_images, dino_images = torch.cat(clip_parts), torch.cat(dino_parts)

    prompts = clip_processor(text=[f"a photo of {label}" for label in labels], padding=True, return_tensors="pt")
    texts = normalize(clip.get_text_features(**prompts).pooler_output)
    confidences, best = (clip.logit_scale.exp() * clip_images @ texts.T).softmax(dim=1).max(dim=1)
    similarity = (dino_images @ dino_images.T).fill_diagonal_(-1)
    near = similarity.topk(min(3, len(names) - 1)).indices
    for i, name in enumerate(names):
        neighbors = ", ".join(names[j] for j in near[i])
        print(f'{name} -> "{labels[best[i]]}" ({confidences[i]:.2f}); neighbors: {neighbors}')
    return names, clip_images, dino_images


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder")
    parser.add_argument("labels", help="separated by commas")
    parser.add_argument("--batch", type=int, help="pictures at a time; all if not given")
    options = parser.parse_args()
    main(options.folder, [label.strip() for label in options.labels.split(",")], options.batch)
