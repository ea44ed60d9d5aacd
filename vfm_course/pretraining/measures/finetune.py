"""Fine-tuning with few and with many labels: the whole encoder learns on, from where pretraining left it or anew.

The same protocol for every model, the untrained one included (MAE's way of judging an encoder, He et al. 2022): a
linear head, AdamW, warm-up and cosine, crops, flips and slightly other colours. The head starts as the linear probe on
the same few labels: from a random head, the first steps would tear up what pretraining has learnt (Kumar et al. 2022).
"""

from __future__ import annotations

import copy
import dataclasses

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from vfm_course.adapt.linear import Linear, best_linear
from vfm_course.adapt.reading import FEATURES
from vfm_course.pretraining.measures.encode import Encoded, Reader, encode
from vfm_course.pretraining.measures.probes import few
from vfm_course.pretraining.measures.record import hits, record
from vfm_course.pretraining.views import crop, recolour
from vfm_course.schedule import schedule

VERSION = 2
SHOTS = 20  # labels a concept: 320
STEPS, BATCH = 200, 16
RATES = (1e-4, 1e-3)  # the peak learning rate is chosen on validation scenes
TEST, VALIDATION = 800, 300
# With many labels one run a model, at one learning rate for all: more would take hours.
MANY_VERSION = 1
MANY_STEPS, MANY_BATCH, MANY_RATE = 800, 64, 5e-4


class Classifier(nn.Module):
    """A copy of the encoder and a linear head on one of its FEATURES, each number standardised.

    `probe` is a linear probe on the same feature, where the head begins.
    """

    def __init__(self, reader: Reader, kind: str, probe: Linear):
        super().__init__()
        self.kind = kind
        self.encoder = copy.deepcopy(reader.model).requires_grad_(True)
        self.reader = dataclasses.replace(reader, model=self.encoder)
        classes, width = probe.weight.shape
        self.norm = nn.BatchNorm1d(width, affine=False)
        self.head = nn.Linear(width, classes)
        with torch.no_grad():
            self.head.weight.copy_(probe.weight)
            self.head.bias.copy_(probe.bias)
            self.norm.running_mean.copy_(probe.mean)
            self.norm.running_var.copy_(probe.std.square())

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Pictures (B, 3, H, W) from 0 to 255 -> logits (B, classes)."""
        patches, whole = self.reader(images)
        return self.head(self.norm(Encoded(whole, patches.mean(dim=1), patches).feature(self.kind)))


def fine_tune(
    reader: Reader, kind: str, probe: Linear, images: torch.Tensor, labels: torch.Tensor, rate: float, seed: int,
    steps: int = STEPS, batch: int = BATCH,
) -> Classifier:  # fmt: skip
    """Trains encoder and head on labelled pictures, uint8 (N, 3, H, W)."""
    generator = torch.Generator().manual_seed(seed)
    model = Classifier(reader, kind, probe).train()
    optimiser = torch.optim.AdamW(model.parameters(), lr=rate, weight_decay=0.05, betas=(0.9, 0.98))
    for step in range(steps):
        for group in optimiser.param_groups:
            group["lr"] = rate * schedule(step / steps, 0.1)
        rows = torch.randint(len(images), (batch,), generator=generator)
        views = recolour(crop(images[rows], images.shape[-1], (0.6, 1.0), generator), 0.2, generator)
        loss = F.cross_entropy(model(views), labels[rows])
        optimiser.zero_grad(set_to_none=True)  # what has no gradient (a text tower, a decoder) stays as it is
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
    return model.eval()


@torch.no_grad()
def classify(model: Classifier, images: torch.Tensor) -> torch.Tensor:
    """(N, 3, H, W) -> class numbers (N,)."""
    return torch.cat([model(part).argmax(dim=1) for part in images.split(250)])


def few_labels(
    reader: Reader, known: list[tuple], validation: tuple, test: tuple, rates: tuple = RATES, steps: int = STEPS
) -> dict[str, dict]:
    """Accuracy after fine-tuning with SHOTS labels a concept, and of the linear probe that it starts from.

    Args:
        known: one (images (N, 3, H, W), labels (N,)) a seed, from which the few are drawn.
        validation, test: the same for validation and test scenes.
    """

    drawn = [few(labels, SHOTS, seed) for seed, (_, labels) in enumerate(known)]
    few_of = [(images[rows], labels[rows]) for (images, labels), rows in zip(known, drawn, strict=True)]
    said = [encode(reader, images) for images, _ in few_of]
    asked, judged = (encode(reader, part[0]) for part in (validation, test))

    def start(seed: int, kind: str) -> tuple[Linear, float]:
        labelled = said[seed].feature(kind), few_of[seed][1]
        return best_linear(labelled, (asked.feature(kind), validation[1]), classes=16)

    kind = max(FEATURES, key=lambda each: start(0, each)[1])
    starts = [start(seed, kind)[0] for seed in range(len(known))]

    def train(seed: int, rate: float) -> Classifier:
        return fine_tune(reader, kind, starts[seed], *few_of[seed], rate, seed, steps)

    tried = {rate: train(0, rate) for rate in rates}
    scores = {rate: hits(classify(model, validation[0]), validation[1]).mean() for rate, model in tried.items()}
    rate = max(scores, key=scores.get)
    models = [tried[rate], *(train(seed, rate) for seed in range(1, len(known)))]
    return {
        "finetune_start": record(
            np.stack([hits(probe(judged.feature(kind)), test[1]) for probe in starts]),
            f"share of held-out scenes named by a linear probe on {16 * SHOTS} scenes, where fine-tuning begins",
            feature=kind, chance=1 / 16,
        ),
        "finetune": record(
            np.stack([hits(classify(model, test[0]), test[1]) for model in models]),
            f"share of held-out scenes named after the whole encoder was fine-tuned on {16 * SHOTS} labelled scenes "
            f"for {steps} steps of {BATCH}",
            feature=kind, learning_rate=rate, chance=1 / 16,
        ),
    }  # fmt: skip


def many_labels(
    reader: Reader, known: tuple, validation: tuple, test: tuple, rate: float = MANY_RATE, steps: int = MANY_STEPS
) -> dict[str, dict]:
    """Accuracy after fine-tuning with thousands of labels, and of the linear probe that it starts from.

    What MAE's paper claims is about this case: labels enough for every layer to learn from.

    Args:
        known, validation, test: (images (N, 3, H, W), labels (N,)).
    """
    said, asked, judged = (encode(reader, part[0]) for part in (known, validation, test))
    tried = {
        kind: best_linear((said.feature(kind), known[1]), (asked.feature(kind), validation[1]), classes=16)
        for kind in FEATURES
    }
    kind = max(tried, key=lambda each: tried[each][1])
    start = tried[kind][0]
    model = fine_tune(reader, kind, start, *known, rate, 0, steps, MANY_BATCH)
    return {
        "finetune_many_start": record(
            hits(start(judged.feature(kind)), test[1]),
            f"share of held-out scenes named by a linear probe on {len(known[0]):,} scenes, where fine-tuning begins",
            feature=kind, chance=1 / 16,
        ),
        "finetune_many": record(
            hits(classify(model, test[0]), test[1]),
            f"share of held-out scenes named after the whole encoder was fine-tuned on {len(known[0]):,} labelled "
            f"scenes for {steps} steps of {MANY_BATCH}, one run",
            feature=kind, learning_rate=rate, chance=1 / 16,
        ),
    }  # fmt: skip
