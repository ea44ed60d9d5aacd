"""Pictures a second of `embed` beside what one would use without it, and beside what the model and machine allow.

`python tests/benchmarks/features.py [--models pocket,vits] [--pictures 1000,128] [--repeats 3] [--threads 2]`

The models are the pocket DINOv2 (64 px) and a DINOv2 ViT-S/14 of real size with random weights (224 px). All ways get
the same JPEG files of 224 px, and models that are in memory; each is tried briefly at several batch sizes, and goes on
with its best. They take turns, forwards and backwards, since other work on the machine slows all of them; ratios are
those within a repeat, and where their range is wide the machine was not the same for both. "Model alone"
looks at one prepared batch again and again, by all threads together or by each on its own, whichever is faster. The
matrix limit is a float32 product of 1024 x 1024 over the model's FLOPs (attention's own two products not counted). Peak
memory is that of a process that embeds folders of growing size.
"""

import argparse
import os
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from statistics import median

import torch
from measure import drawn_pictures, load_average, run
from PIL import Image
from pretraining import multiplications_a_second
from torch.utils.flop_counter import FlopCounterMode
from transformers import BitImageProcessor, Dinov2Config, Dinov2Model, pipeline
from transformers.utils import logging

from vfm_course.families.load import Loaded, load
from vfm_course.features.embed import embed
from vfm_course.features.images import find_images

BATCHES = (8, 32)
SECONDS = 3.0  # of the model alone
# The child's own peak: what `wait4` tells of it is never below what this process, from which it is forked, holds.
EMBED = """
import re, sys
from pathlib import Path
from vfm_course.features.embed import embed
embed(sys.argv[1], tier="pocket", device="cpu")
print(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1])
"""


def real_size(folder: Path) -> Loaded:
    """DINOv2 ViT-S/14 as published, with random weights, from disk like any other."""
    config = Dinov2Config(hidden_size=384, num_hidden_layers=12, num_attention_heads=6, patch_size=14, image_size=224)
    Dinov2Model(config).save_pretrained(folder)
    BitImageProcessor(size={"shortest_edge": 256}, crop_size=224).save_pretrained(folder)
    model = Dinov2Model.from_pretrained(folder).eval().requires_grad_(False)
    return Loaded("dinov2", "hub", model, BitImageProcessor.from_pretrained(folder), "random", "cpu")


def by_pipeline(loaded: Loaded, paths: list[Path], batch: int) -> None:
    """Tensors, not lists: making lists of them takes longer than the rest."""
    made = pipeline("image-feature-extraction", model=loaded.model, image_processor=loaded.processor, device="cpu")
    for answer in made([str(path) for path in paths], batch_size=batch, return_tensors=True):
        answer[:, 0].numpy()


@torch.inference_mode()
def by_loop(loaded: Loaded, paths: list[Path], batch: int) -> None:
    for start in range(0, len(paths), batch):
        images = [Image.open(path).convert("RGB") for path in paths[start : start + batch]]
        pixels = loaded.processor(images=images, return_tensors="pt")["pixel_values"]
        torch.nn.functional.normalize(loaded.model(pixel_values=pixels).pooler_output, dim=1).numpy()


def alone(loaded: Loaded, side: int, batch: int, each: bool, seconds: float = SECONDS) -> float:
    """Pictures a second of the model on prepared pixels; `each` thread on its own, or all on one batch."""
    threads = torch.get_num_threads()
    pixels = torch.randn(batch, 3, side, side)

    @torch.inference_mode()
    def look(_: int) -> int:
        start, done = time.perf_counter(), 0
        while time.perf_counter() - start < seconds:
            loaded.model(pixel_values=pixels)
            done += batch
        return done

    start = time.perf_counter()
    if not each:
        return look(0) / (time.perf_counter() - start)
    torch.set_num_threads(1)
    try:
        with ThreadPoolExecutor(threads) as pool:
            return sum(pool.map(look, range(threads))) / (time.perf_counter() - start)
    finally:
        torch.set_num_threads(threads)


def rate(way: Callable[[], object], n: int) -> float:
    start = time.perf_counter()
    way()
    return n / (time.perf_counter() - start)


def compared(loaded: Loaded, side: int, paths: list[Path], repeats: int, work: Path) -> None:
    """Prints the table of one model."""
    few = paths[: max(8, len(paths) // 4)]

    def best_of(way: Callable[[Loaded, list[Path], int], None]) -> int:
        return max(BATCHES, key=lambda batch: rate(lambda: way(loaded, few, batch), len(few)))

    best = {way: best_of(way) for way in (by_pipeline, by_loop)}
    arrangements = [(batch, each) for batch in BATCHES for each in (False, True)]
    batch, each = max(arrangements, key=lambda one: alone(loaded, side, *one, seconds=1.0))
    with FlopCounterMode(display=False) as counter, torch.inference_mode():
        loaded.model(pixel_values=torch.randn(1, 3, side, side))
    caches = iter(work / f"{number}.sqlite" for number in range(2 * repeats))
    used: list[Path] = []

    def cold() -> float:
        used.append(next(caches))
        return rate(lambda: embed(paths, loaded, cache=used[-1]), len(paths))

    def warm() -> float:
        embed(paths, loaded, cache=used[-1] if used else work / "first.sqlite")
        return rate(lambda: embed(paths, loaded, cache=used[-1] if used else work / "first.sqlite"), len(paths))

    bound = f"model alone, {'each thread' if each else 'all threads on'} {batch}"
    piped, looped = f"pipeline, batches of {best[by_pipeline]}", f"loop, batches of {best[by_loop]}"
    ways = {
        "embed, empty cache": cold,
        bound: lambda: alone(loaded, side, batch, each),
        piped: lambda: rate(lambda: by_pipeline(loaded, paths, best[by_pipeline]), len(paths)),
        looped: lambda: rate(lambda: by_loop(loaded, paths, best[by_loop]), len(paths)),
        "loop, one picture at a time": lambda: rate(lambda: by_loop(loaded, paths, 1), len(paths)),
        "matrix limit": lambda: multiplications_a_second() / counter.get_total_flops(),
        "embed, full cache": warm,
    }
    found: dict[str, list[float]] = {name: [] for name in ways}
    for number in range(repeats):
        for name in list(ways)[:: -1 if number % 2 else 1]:
            found[name].append(ways[name]())
    ours = found["embed, empty cache"]
    print(f"{'':<34} {'images/s':>9} {'range':>16} {'embed is':>9} {'range':>15}")
    for name, rates in found.items():
        shares = [mine / other for mine, other in zip(ours, rates, strict=True)]
        told, shown = f"{min(rates):.1f} to {max(rates):.1f}", f"{min(shares):.2f} to {max(shares):.2f}"
        print(f"{name:<34} {median(rates):9.1f} {told:>16} {median(shares):8.2f}x {shown:>15}", flush=True)


def memory(sizes: list[int], work: Path) -> None:
    for size in sizes:
        folder, cache = drawn_pictures(work / f"folder {size}", size, 224), work / f"cache {size}"
        cache.mkdir()
        measured = run(["-c", EMBED, str(folder)], cache)
        peak = int(measured.output.split()[-1]) / 2**10
        print(f"{size:>8} pictures: {measured.seconds:6.1f} s, peak {peak:5.0f} MiB", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", default="pocket,vits")
    parser.add_argument("--pictures", default="1000,128", help="for each model")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument(
        "--sizes", default="500,2000,8000", help="folders whose peak of memory is taken (Linux only); empty: none"
    )
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    numbers = [int(number) for number in options.pictures.split(",")]
    with tempfile.TemporaryDirectory() as name:
        work = Path(name)
        paths = find_images(drawn_pictures(work / "pictures", max(numbers), 224))
        for model, n in zip(options.models.split(","), numbers, strict=True):
            loaded, side = (
                (load("dinov2", "pocket", "cpu"), 64) if model == "pocket" else (real_size(work / "vits"), 224)
            )
            print(f"\n{model}: {n} pictures, {options.threads} threads, {options.repeats} repeats; {load_average()}")
            (work / f"caches {model}").mkdir()
            compared(loaded, side, paths[:n], options.repeats, work / f"caches {model}")
            print(f"afterwards: {load_average()}")
        if options.sizes:
            print()
            memory([int(size) for size in options.sizes.split(",")], work)


if __name__ == "__main__":
    main()
