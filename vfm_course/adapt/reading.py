"""What a frozen encoder says of pictures, read once and kept in memory: every head on every task shares one pass."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

import torch

from vfm_course.adapt.memory import peak_growth
from vfm_course.adapt.task import Part, digest, picture
from vfm_course.errors import UserError
from vfm_course.families.parts import ENCODER, OTHER, part_of
from vfm_course.features.patches import AT_ONCE, features, prepare

if TYPE_CHECKING:
    import numpy as np

    from vfm_course.families.load import Loaded

FEATURES = ("whole", "mean", "both")  # what a head may read


@dataclass(frozen=True)
class Said:
    """What an encoder says of N pictures, float32 on the CPU.

    `whole` (N, D) is the feature of the whole picture, `mean` (N, width) the mean of its patch tokens. Whether it was
    now or earlier: `seconds` is what reading them took, `memory` the bytes that memory grew by while this model read.
    """

    whole: torch.Tensor
    mean: torch.Tensor
    seconds: float
    memory: int

    def feature(self, kind: str) -> torch.Tensor:
        """One of FEATURES: `whole`, `mean`, or `both` side by side."""
        return torch.cat([self.whole, self.mean], dim=1) if kind == "both" else getattr(self, kind)


@dataclass
class _Kept:
    """By a picture's digest: its two features and the seconds that reading it took, while the weights are these."""

    weights: tuple[float, ...]
    rows: dict[bytes, tuple[torch.Tensor, torch.Tensor, float]] = field(default_factory=dict)
    memory: int = 0


_KEPT: WeakKeyDictionary[torch.nn.Module, _Kept] = WeakKeyDictionary()


def read_part(loaded: Loaded, part: Part) -> Said:
    """The features of a part's pictures; only those that this encoder has not seen yet are passed through it.

    No graph is kept, whatever the weights are marked as. A model whose weights have changed reads everything again.

    Raises:
        UserError: the model has no feature of a whole picture (SAM).
    """
    return _read(loaded, part.images, part.digests)


def read_images(loaded: Loaded, images: np.ndarray | Sequence) -> Said:
    """The same for pictures without labels, uint8 (N, H, W, 3) or PIL."""
    return _read(loaded, images, [digest(picture(images, row)) for row in range(len(images))])


@torch.no_grad()
def _read(loaded: Loaded, images: np.ndarray | Sequence, digests: list[bytes]) -> Said:
    refuse_sam(loaded)
    if not digests:
        raise UserError("There is no picture to look at: give at least one.")
    weights = tuple(float(weight.sum(dtype=torch.float64)) for weight in loaded.model.state_dict().values())
    kept = _KEPT.get(loaded.model)
    if kept is None or kept.weights != weights:
        kept = _KEPT[loaded.model] = _Kept(weights)
    missing = list({each: row for row, each in enumerate(digests) if each not in kept.rows}.values())
    if missing:
        found, memory = peak_growth(lambda: list(_pass(loaded, images, missing)), loaded.device)
        kept.rows.update({digests[row]: said for row, said in zip(missing, found, strict=True)})
        kept.memory = max(kept.memory, memory)
    wholes, means, seconds = zip(*(kept.rows[each] for each in digests), strict=True)
    return Said(torch.stack(wholes), torch.stack(means), sum(seconds), kept.memory)


def _pass(loaded: Loaded, images: np.ndarray | Sequence, rows: list[int]) -> Iterator[tuple]:
    """Whole feature, mean of the patches and seconds of each picture."""
    with evaluating(loaded.model):
        for start in range(0, len(rows), AT_ONCE):
            begun = time.perf_counter()
            some = [picture(images, row) for row in rows[start : start + AT_ONCE]]
            patches, whole = features(loaded.name, loaded.model, prepare(loaded, some))
            whole, mean = whole.float().cpu(), patches.float().mean(dim=1).cpu()
            seconds = (time.perf_counter() - begun) / len(some)
            yield from ((*each, seconds) for each in zip(whole, mean, strict=True))


@contextmanager
def evaluating(model: torch.nn.Module) -> Iterator[None]:
    """BatchNorm and Dropout as in use, whatever mode a model is in; afterwards each module is in the mode it was."""
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        yield
    finally:
        for module, mode in modes:
            module.training = mode


def forget() -> None:
    """Drops all features kept in memory, so that the next reading is measured anew."""
    _KEPT.clear()


def refuse_sam(loaded: Loaded) -> None:
    """Says so where a model has no feature for a head to read.

    Raises:
        UserError: the model is SAM.
    """
    if loaded.name == "sam":
        raise UserError("SAM answers prompts and has no feature of a whole picture: use one of the other models.")


def encoder_weights(model: torch.nn.Module) -> dict[str, torch.nn.Parameter]:
    """The parameters of the part that reads pictures, by name: without a text tower, a decoder or an old classifier."""
    return {
        name: weight
        for name, weight in model.named_parameters()
        if part_of(name) in (*ENCODER, OTHER) and not name.startswith("classifier.")
    }
