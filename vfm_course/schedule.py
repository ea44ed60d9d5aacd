"""How large the steps of a training run are."""

import math


def schedule(progress: float, warm_up: float) -> float:
    """Learning rate as a share of its peak, for a share of the run that is done: linear warm-up, then half a cosine
    down to 1 %."""
    if progress < warm_up:
        return (progress + 1e-3) / (warm_up + 1e-3)
    return 0.01 + 0.99 * (1 + math.cos((progress - warm_up) / (1 - warm_up) * math.pi)) / 2
