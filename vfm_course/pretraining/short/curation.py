"""Quality against quantity: a drawn "web" of pairs with copies and wrong captions, curated in several ways.

As in DINOv2 copies are found by a picture encoder; as in DataComp and DFN captions are judged by an image-text model:
one that was trained on clean pairs (the pocket CLIP), or one that was trained on the raw web itself.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache, lru_cache

import numpy as np
import torch
from torch.nn import functional as F

from vfm_course.pretraining.scenes import CAPTIONS, Scenes, scenes
from vfm_course.pretraining.short.learners import ShortClip
from vfm_course.pretraining.short.run import pretrain
from vfm_course.pretraining.short.scaling import unseen_loss, zero_shot
from vfm_course.pretraining.short.views import to_pixels
from vfm_course.pretraining.short.vit import SIZE

QUESTION = (
    "A drawn web: half of the pictures are copies of a hundred popular ones, half of the captions belong to another "
    "picture. What does a CLIP learn from all of it, from four times as much, and from what curation leaves, when all "
    "see the same number of images?"
)
SCENES, SEEN = 60_000, 48_000
PAIRS = 12_000  # in the raw web
POPULAR, COPIES = 100, 60  # pictures that come that often
WRONG = 0.5  # share of captions that belong to another picture
KEPT = 0.4  # share of pairs that a caption filter keeps
ALIKE = 0.95  # cosine of the pocket DINOv2 from which on two pictures are copies
WAYS = (
    "raw",
    "raw, four times",
    "deduplicated",
    "filtered by a clean CLIP",
    "filtered by its own CLIP",
    "deduplicated and filtered",
    "deduplicated and filtered by its own CLIP",
    "as few at random",
    "the truth",
)


@dataclass(frozen=True)
class Web:
    """Pairs: `data` the pictures, `captions` (N, 1, 24), and what only the drawer knows: the picture's number `source`
    (N,) and whether the caption is `right` (N,)."""

    data: Scenes
    captions: torch.Tensor
    source: torch.Tensor
    right: torch.Tensor

    def __len__(self) -> int:
        return len(self.source)


@lru_cache(maxsize=2)  # a seed's own and the larger one: 0.2 and 0.7 GB
def web(seed: int, pairs: int = PAIRS, popular: int = POPULAR, n_scenes: int = SCENES) -> Web:
    """The raw web of a seed: so many pairs, of which `popular` pictures come COPIES times each, from so many scenes."""
    generator = torch.Generator().manual_seed(seed)
    single = pairs - popular * COPIES
    different = torch.randperm(n_scenes, generator=generator)[: popular + single]
    source = torch.cat([different[:popular].repeat(COPIES), different[popular:]])
    source = source[torch.randperm(pairs, generator=generator)]
    all_scenes = scenes(n_scenes, 72)
    images = altered(torch.from_numpy(all_scenes.images[source.numpy()]), generator)

    right = torch.rand(pairs, generator=generator) >= WRONG
    elsewhere = torch.randint(n_scenes, (pairs,), generator=generator)
    said = torch.where(right, source, elsewhere)
    which = torch.randint(CAPTIONS, (pairs,), generator=generator)
    captions = torch.from_numpy(all_scenes.captions[said.numpy(), which.numpy()])
    rows = source.numpy()
    data = Scenes(images.numpy(), all_scenes.segments[rows], all_scenes.concepts[rows], all_scenes.captions[rows])
    return Web(data, captions[:, None], source, right)


def altered(images: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """What happens to a picture on its way through the web: a little brighter or darker, saved with small errors.

    uint8 (N, 3, H, W) in and out.
    """
    found = torch.empty_like(images)
    for start in range(0, len(images), 1000):
        some = images[start : start + 1000].float()
        shift = 12 * torch.rand(len(some), 1, 1, 1, generator=generator) - 6
        errors = 3 * torch.randn(some.shape, generator=generator)
        found[start : start + 1000] = (some + shift + errors).round().clamp(0, 255).to(torch.uint8)
    return found


def cases(seed: int) -> list[dict]:
    """The runs of one seed."""
    return [{"way": way} for way in WAYS]


def measure(seed: int, way: str) -> dict:
    """One run on what a way leaves of the web, judged on unseen clean pairs."""
    times = 4 if way == "raw, four times" else 1
    raw = web(seed, times * PAIRS, times * POPULAR)
    rows = chosen(seed, way)
    learner = trained(seed, raw, rows)
    return {
        "pairs": len(rows),
        "right": raw.right[rows].float().mean().item(),
        "different": len(raw.source[rows].unique()),
        "loss": unseen_loss(learner),
        "zero_shot": zero_shot(learner),
    }


def chosen(seed: int, way: str) -> torch.Tensor:
    """The rows of the web that a way of curating keeps, ascending."""
    raw = web(seed)
    everything = torch.arange(len(raw))
    if way == "raw":
        return everything
    if way == "raw, four times":
        return torch.arange(4 * PAIRS)
    if way == "the truth":
        first = {source: row for row, source in reversed(list(enumerate(raw.source.tolist()))) if raw.right[row]}
        return torch.tensor(sorted(first.values()))
    if way == "deduplicated":
        return unlike(seed)
    if way == "as few at random":
        n = len(chosen(seed, "deduplicated and filtered"))
        return torch.randperm(len(raw), generator=torch.Generator().manual_seed(seed))[:n].sort().values
    rows = unlike(seed) if way.startswith("deduplicated") else everything
    scores = own_scores(seed) if way.endswith("its own CLIP") else clean_scores(seed)
    best = scores[rows].argsort(descending=True)[: round(KEPT * len(rows))]
    return rows[best].sort().values


def trained(seed: int, raw: Web, rows: torch.Tensor) -> ShortClip:
    """A CLIP that has seen SEEN images of these pairs."""
    data = Scenes(**{name: getattr(raw.data, name)[rows.numpy()] for name in Scenes.__dataclass_fields__})
    torch.manual_seed(seed)
    learner = ShortClip(data, captions=raw.captions[rows].expand(-1, CAPTIONS, -1))
    pretrain(learner, SEEN, seed)
    return learner


@cache
def unlike(seed: int) -> torch.Tensor:
    """The first picture of each group of copies that the pocket DINOv2 finds, and all that are alone."""
    from vfm_course.features.duplicates import near_duplicates

    vectors = picture_vectors(web(seed))
    dropped = {row for group in near_duplicates(vectors, ALIKE) for row in group.rows[1:]}
    return torch.tensor([row for row in range(len(vectors)) if row not in dropped])


def picture_vectors(raw: Web) -> np.ndarray:
    """What the pocket DINOv2 says of each picture, (N, D), rows of length one."""
    from vfm_course.families.load import load
    from vfm_course.features.encoders import Encoder

    encoder = Encoder.of(load("dinov2", "pocket", "cpu"))
    images = torch.from_numpy(raw.data.images)
    return np.concatenate([encoder.embed(encoder.prepare(list(some))) for some in images.split(200)])


@torch.no_grad()
def caption_scores(raw: Web) -> torch.Tensor:
    """Cosine of each picture with its caption, (N,), by the pocket CLIP, which was trained on clean pairs."""
    from vfm_course.families.load import load
    from vfm_course.pretraining.tokenizer import world_tokenizer

    loaded, found = load("clip", "pocket", "cpu"), []
    images = torch.from_numpy(raw.data.images)
    for pictures, tokens in zip(images.split(200), raw.captions[:, 0].long().split(200), strict=True):
        pixels = loaded.processor.image_processor(images=list(pictures), return_tensors="pt")["pixel_values"]
        mask = (tokens != world_tokenizer().pad_token_id).long()
        image_embeds = loaded.model.get_image_features(pixel_values=pixels).pooler_output
        text_embeds = loaded.model.get_text_features(input_ids=tokens, attention_mask=mask).pooler_output
        found.append(F.cosine_similarity(image_embeds, text_embeds))
    return torch.cat(found)


@cache
def clean_scores(seed: int) -> torch.Tensor:
    """The scores of a seed's whole web."""
    return caption_scores(web(seed))


@cache
def own_scores(seed: int) -> torch.Tensor:
    """The same, (N,), by a CLIP that was trained on the raw web."""
    raw = web(seed)
    learner = trained(seed, raw, torch.arange(len(raw)))
    found = []
    with torch.no_grad():
        for at in range(0, len(raw), 200):
            pictures = F.interpolate(torch.from_numpy(raw.data.images[at : at + 200]).float(), SIZE, mode="area")
            texts = learner.embed_texts(raw.captions[at : at + 200, 0].long())
            found.append(F.cosine_similarity(learner.embed_images(to_pixels(pictures)), texts))
    return torch.cat(found)
