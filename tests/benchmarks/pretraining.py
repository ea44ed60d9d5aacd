"""Throughput of the trainer beside what the machine's matrix multiplication allows, recipe by recipe.

`python tests/benchmarks/pretraining.py [--recipes mae,clip] [--steps 10] [--threads 1]`

Each recipe is trained for a few steps by the trainer itself, at the low resolution for four fifths of them like a real
run. FLOPs are those of the matrix multiplications of one such step, counted by torch while it runs, forward and
backward (attention's own two products are fused on a CPU and not counted: a few per cent at 64 patches). The limit is
float32 matrix multiplication, measured before and after each recipe, so that other work on the machine slows both.
The scenes are few and drawn before the clock starts. Also counts the tokens that MAE's encoder gets.
"""

import argparse
import sys
import tempfile
import time
from pathlib import Path

import torch
from measure import load_average
from torch.utils.flop_counter import FlopCounterMode

from vfm_course.pretraining import encoder
from vfm_course.pretraining.recipes import NAMES, find_recipe
from vfm_course.pretraining.trainer import Learner, Recipe, train

SCENES = 256


def multiplications_a_second(side: int = 1024, seconds: float = 1.0) -> float:
    """FLOP/s of float32 products of two square matrices, over about a second."""
    one, other = torch.randn(2, side, side)
    one @ other
    start, done = time.perf_counter(), 0
    while time.perf_counter() - start < seconds:
        one @ other
        done += 1
    return done * 2 * side**3 / (time.perf_counter() - start)


def few_scenes(recipe: Recipe) -> Learner:
    """The recipe's learner on a few scenes and from nothing: neither changes its speed."""
    module = sys.modules[recipe.build.__module__]
    module.SCENES = SCENES  # read by those that take no number
    module.begin_from_mae = lambda backbone: None  # DINOv2's start
    try:
        return recipe.build(n_scenes=SCENES)
    except TypeError:
        return recipe.build()


def flops_an_image(learner: Learner) -> float:
    """FLOPs of forward and backward for one image of the batch, four fifths at the low resolution."""
    found = []
    for progress in (0.0, 0.99):
        with FlopCounterMode(display=False) as counter:
            learner(torch.Generator().manual_seed(0), progress)["loss"].backward()
        found.append(counter.get_total_flops() / learner.batch_size)
    return encoder.LOW_SHARE * found[0] + (1 - encoder.LOW_SHARE) * found[1]


def tokens_of_mae() -> list[int]:
    """How many tokens MAE's first layer gets at 48 and at 64 px: CLS and a quarter of the patches."""
    learner = few_scenes(find_recipe("mae"))
    seen: list[int] = []
    learner.model.vit.layers[0].register_forward_pre_hook(lambda layer, inputs: seen.append(inputs[0].shape[1]))
    for progress in (0.0, 0.99):
        learner(torch.Generator().manual_seed(0), progress)
    return seen


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--recipes", default=",".join(NAMES))
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    tokens = tokens_of_mae()
    patches = [(side // encoder.PATCH) ** 2 for side in (encoder.LOW_SIZE, encoder.SIZE)]
    expected = [1 + number // 4 for number in patches]
    print(f"MAE's encoder gets {tokens[0]} and {tokens[1]} tokens of {patches[0]} and {patches[1]} patches and CLS")
    if tokens != expected:
        raise SystemExit(f"expected were {expected}: it does not run on the visible patches only")
    print(f"{load_average()}; {options.threads} threads, {options.steps} steps a recipe")
    print(f"{'recipe':>11} {'images/s':>9} {'GFLOP/image':>12} {'GFLOP/s':>8} {'limit':>6} {'share':>6}")
    for name in options.recipes.split(","):
        recipe = find_recipe(name)
        learner = few_scenes(recipe)
        flops = flops_an_image(learner)
        limit = multiplications_a_second()
        with tempfile.TemporaryDirectory() as folder:
            again = Recipe(name, lambda recipe=recipe: few_scenes(recipe), images=0, quick_images=0)
            record = train(again, Path(folder), options.steps * learner.batch_size)
        limit = (limit + multiplications_a_second()) / 2
        rate = record.seen / record.seconds
        print(
            f"{name:>11} {rate:9.0f} {flops / 1e9:12.3f} {rate * flops / 1e9:8.1f} {limit / 1e9:6.0f} "
            f"{rate * flops / limit:6.0%}",
            flush=True,
        )


if __name__ == "__main__":
    main()
