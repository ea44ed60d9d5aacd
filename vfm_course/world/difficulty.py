"""How hard the drawn world is: a linear probe on pixels, a small supervised CNN, and chance, on held-out scenes.

    python -m vfm_course.world.difficulty --out data/world/difficulty.json

Hard enough to need learning, easy enough to be learnt in minutes: that is the window in which a comparison of
pretraining objectives says something. `tests/test_difficulty.py` holds the stored numbers against it.
"""

import argparse
import json
import os
import time
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from vfm_course.world import CONCEPTS, World

TRAIN_SEED, TEST_SEED = 100, 200  # of the world, not of the networks: held-out scenes come from another world


def scenes(seed: int, n: int, size: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Images uint8 (n, 3, size, size) and concept numbers (n,)."""
    images = np.empty((n, 3, size, size), dtype=np.uint8)
    labels = np.empty(n, dtype=np.int64)
    for row, scene in enumerate(World(seed, size).sample(n)):
        images[row] = scene.image.transpose(2, 0, 1)
        labels[row] = CONCEPTS.index(scene.main.concept)
    return torch.from_numpy(images), torch.from_numpy(labels)


def pixel_probe(train: tuple, test: tuple, weight_decay: float) -> float:
    """Accuracy of a multinomial logistic regression on standardised 32 x 32 pixels, by full-batch L-BFGS."""

    def flat(images: torch.Tensor) -> torch.Tensor:
        return F.adaptive_avg_pool2d(images.float(), 32).flatten(1)

    x, labels = flat(train[0]), train[1]
    mean, std = x.mean(0), x.std(0) + 1e-6
    x = (x - mean) / std
    head = nn.Linear(x.shape[1], len(CONCEPTS))
    nn.init.zeros_(head.weight)
    optimiser = torch.optim.LBFGS(head.parameters(), max_iter=60, line_search_fn="strong_wolfe")

    def closure() -> torch.Tensor:
        optimiser.zero_grad()
        loss = F.cross_entropy(head(x), labels) + weight_decay * head.weight.square().sum()
        loss.backward()
        return loss

    optimiser.step(closure)
    with torch.no_grad():
        return (head((flat(test[0]) - mean) / std).argmax(1) == test[1]).float().mean().item()


def small_cnn(width: int = 24, classes: int = len(CONCEPTS)) -> nn.Sequential:
    """Five 3 x 3 convolutions with BatchNorm, global average, linear head: (B, 3, H, W) -> (B, classes)."""
    layers: list[nn.Module] = []
    channels = 3
    for out in (width, 2 * width, 4 * width, 4 * width, 6 * width):
        layers += [nn.Conv2d(channels, out, 3, 1 if channels == out else 2, 1, bias=False)]
        layers += [nn.BatchNorm2d(out), nn.ReLU(inplace=True)]
        channels = out
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, classes))


def augment(images: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Flips half of the batch, shifts and scales it and mixes the channels; uint8 in, float around zero out."""
    n = len(images)
    x = images.float() / 127.5 - 1
    scale = 0.8 + 0.3 * torch.rand(n, generator=generator)
    flip = torch.where(torch.rand(n, generator=generator) < 0.5, -1.0, 1.0)
    theta = torch.zeros(n, 2, 3)
    theta[:, 0, 0], theta[:, 1, 1] = scale * flip, scale
    theta[:, :, 2] = (torch.rand(n, 2, generator=generator) - 0.5) * 0.2
    x = F.grid_sample(
        x, F.affine_grid(theta, x.shape, align_corners=False), padding_mode="reflection", align_corners=False
    )
    return x[:, torch.randperm(3, generator=generator)]


def train_cnn(train: tuple, test: tuple, samples: int, seed: int, batch: int = 64) -> float:
    """Held-out accuracy after `samples` augmented images, AdamW with a one-cycle schedule."""
    torch.manual_seed(seed)
    generator = torch.Generator().manual_seed(seed)
    model = small_cnn().to(memory_format=torch.channels_last)
    steps = max(1, samples // batch)
    optimiser = torch.optim.AdamW(model.parameters(), lr=4e-3, weight_decay=0.02)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 4e-3, total_steps=steps)
    started = time.perf_counter()
    for step in range(steps):
        rows = torch.randint(len(train[1]), (batch,), generator=generator)
        x = augment(train[0][rows], generator).contiguous(memory_format=torch.channels_last)
        loss = F.cross_entropy(model(x), train[1][rows])
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
        if step % 200 == 0:
            rate = (step + 1) * batch / (time.perf_counter() - started)
            print(f"  step {step}/{steps}  loss {loss.item():.3f}  {rate:.0f} images/s", flush=True)
    model.eval()
    with torch.no_grad():
        parts = zip(test[0].split(500), test[1].split(500), strict=True)
        hits = [(model(images.float() / 127.5 - 1).argmax(1) == labels).sum() for images, labels in parts]
    return sum(hits).item() / len(test[1])


def card(record: dict) -> str:
    """The measured numbers as the page that stands beside them."""
    networks = ", ".join(f"{accuracy:.3f}" for accuracy in record["cnn"])
    return f"""# How hard the drawn world is

Accuracy on {record["held_out_scenes"]:,} held-out scenes of {record["size"]} px, 16 concepts, chance
{record["chance"]:.4f}. Measured by `python -m vfm_course.world.difficulty`, which also writes this page.

| model | what it saw | accuracy |
|---|---|---|
| linear probe on 32 x 32 pixels | 4,000 scenes | {record["pixels_linear_4000_labels"]:.3f} |
| linear probe on 32 x 32 pixels | {record["training_scenes"]:,} scenes | {record["pixels_linear_all_labels"]:.3f} |
| small CNN, supervised, {len(record["cnn"])} seeds | {record["samples_seen"]:,} augmented images | {networks} |

The probes' weight decay is the best of a few on the held-out scenes, which flatters the pixels. The seeds are the
networks': the scenes are the same for all.
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("data/world/difficulty.json"))
    parser.add_argument("--size", type=int, default=64, help="side of the pictures in pixels")
    parser.add_argument("--scenes", type=int, default=24_000, help="training scenes")
    parser.add_argument("--samples", type=int, default=240_000, help="augmented images the CNN sees")
    parser.add_argument("--seeds", type=int, default=3, help="networks trained")
    arguments = parser.parse_args()
    train, test = scenes(TRAIN_SEED, arguments.scenes, arguments.size), scenes(TEST_SEED, 4000, arguments.size)
    print(f"{arguments.scenes} training and 4000 held-out scenes drawn", flush=True)
    few = (train[0][:4000], train[1][:4000])
    record = {
        "size": arguments.size, "training_scenes": arguments.scenes, "held_out_scenes": 4000,
        "chance": 1 / len(CONCEPTS), "samples_seen": arguments.samples,
        # The best weight decay is chosen on the held-out scenes: it flatters the pixels, and they are still poor.
        "pixels_linear_4000_labels": max(pixel_probe(few, test, decay) for decay in (1e-4, 1e-3, 1e-2)),
        "pixels_linear_all_labels": max(pixel_probe(train, test, decay) for decay in (1e-4, 1e-3)),
        "cnn": [],
    }  # fmt: skip
    print(record, flush=True)
    for seed in range(arguments.seeds):
        record["cnn"].append(train_cnn(train, test, arguments.samples, seed))
        print(record["cnn"], flush=True)
        arguments.out.parent.mkdir(parents=True, exist_ok=True)
        partial = arguments.out.with_suffix(".partial")
        partial.write_text(json.dumps(record, indent=1) + "\n")
        os.replace(partial, arguments.out)
        (arguments.out.parent / "README.md").write_text(card(record), encoding="utf-8")


if __name__ == "__main__":
    main()
