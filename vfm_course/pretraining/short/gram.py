"""Patches in a long run: does a picture-level objective spoil them, and does Gram anchoring hold them (DINOv3)?"""

from __future__ import annotations

import torch

from vfm_course.adapt.linear import best_linear
from vfm_course.objectives.gram import gram_loss, gram_matrix
from vfm_course.pretraining.measures.dense import correspondence
from vfm_course.pretraining.measures.held_out import WORDS
from vfm_course.pretraining.measures.record import hits, record
from vfm_course.pretraining.scenes import scenes
from vfm_course.pretraining.short import probe
from vfm_course.pretraining.short.distil import Anchored, ShortDino, likeness
from vfm_course.pretraining.short.learners import BATCH, ShortClip
from vfm_course.pretraining.short.run import pretrain
from vfm_course.pretraining.short.views import to_pixels

QUESTION = (
    "While CLIP and DINO learn from whole pictures, what becomes of their patches: of how well a patch finds its place "
    "in another view, and of who resembles whom? And what when the Gram matrix is tied to that of a quarter of the run?"
)
SEEN, SCENES = 24_000, 60_000
SHARES = (0.0, 1 / 16, 1 / 8, 1 / 4, 1 / 2, 1.0)  # of the run, at which it is looked at
TIED = {True: 1 / 4, "early": 1 / 16}  # share of the run after which the Gram matrix is held
WEIGHT = 10.0  # of the Gram term
LOOKED = 200  # scenes
EXAMPLE = 3  # of these, whose Gram matrix is kept of seed 0
LEARNERS = {"clip": ShortClip, "dino": ShortDino}


def cases(seed: int) -> list[dict]:
    """The runs of one seed."""
    both = [{"objective": name, "anchored": anchored} for name in LEARNERS for anchored in (False, True)]
    # Added when the others were done: by a quarter of the run CLIP's patches had lost already what was to be held.
    return [*both, {"objective": "clip", "anchored": "early"}]


def measure(seed: int, objective: str, anchored: bool | str) -> dict:
    """One run, looked at on the way; `anchored` is False or a key of TIED."""
    torch.manual_seed(seed)
    learner = Anchored(LEARNERS[objective](scenes(SCENES, 72)), gram_loss, WEIGHT if anchored else 0.0)
    steps = SEEN // BATCH
    when = {round(share * steps) * BATCH for share in SHARES}
    seen = [look(learner.encoder, 0, seed)]

    def watch(images: int, found: dict) -> None:
        if images in when:
            learner.eval()
            seen.append(look(learner.encoder, images, seed))
            learner.train()
        if anchored and images == round(TIED[anchored] * steps) * BATCH:
            learner.tie()

    pretrain(learner, SEEN, seed, watch=watch)
    return {"seen": seen}


@torch.no_grad()
def look(encoder: torch.nn.Module, images: int, seed: int) -> dict:
    """What picture and patches are good for, after so many images."""
    found = {"images": images}
    wholes = {name: probe.embed(encoder, part.pixels).mean(dim=1) for name, part in probe.parts(0).items()}
    labels = {name: part.scenes.labels["concept"] for name, part in probe.parts(0).items()}
    with torch.enable_grad():
        known, validation = ((wholes[name], labels[name]) for name in ("labelled", "validation"))
        head, _ = best_linear(known, validation, len(WORDS["concept"]))
    found["concept"] = record(hits(head(wholes["test"]), labels["test"]), "linear probe, held-out scenes")

    def read(pictures: torch.Tensor) -> tuple[torch.Tensor, None]:
        return probe.embed(encoder, to_pixels(pictures)), None

    some = probe.parts(0)["test"].scenes
    found |= correspondence(read, some.images[:LOOKED], some.masks[:LOOKED], seeds=1)
    patches = read(some.images[:LOOKED])[0]
    found["likeness"] = record(likeness(patches), "mean cosine of two patches of a picture")
    if seed == 0:
        cosines = gram_matrix(patches[EXAMPLE : EXAMPLE + 1])[0]
        found["gram"] = [[round(value, 2) for value in row] for row in cosines.tolist()]
    return found
