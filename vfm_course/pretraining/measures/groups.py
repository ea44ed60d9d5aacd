"""Every measure for every model: who takes part in what, on which scenes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import torch

from vfm_course.pretraining.measures import attack, dense, finetune, held_out, masks, nuisance, probes, texts
from vfm_course.pretraining.measures.encode import Encoded, Read, encode, random_reader, read_pixels, reader
from vfm_course.world import CONCEPTS
from vfm_course.world.captions import with_article

if TYPE_CHECKING:
    from vfm_course.features.encoders import Encoder

REFERENCES = ("random", "pixels")


class Subject:
    """A model or a reference, and what it says of the scenes: read once, at the first need, for all measures."""

    def __init__(self, name: str):
        self.name = name

    @cached_property
    def encoder(self) -> Encoder:
        """The checkpoint with its processor."""
        from vfm_course.features.encoders import Encoder

        return Encoder(self.name, "pocket", "cpu")

    @cached_property
    def read(self) -> Read:
        """Pictures in, patch tokens and the whole's feature out."""
        if self.name in REFERENCES:
            return read_pixels if self.name == "pixels" else random_reader()
        return reader(self.name, self.encoder.loaded.model, self.encoder.loaded.processor)

    @cached_property
    def known(self) -> list[Encoded]:
        """Of the labelled scenes, one part a seed of the probe."""
        return [encode(self.read, part.images, dense.KNOWN) for part in held_out.splits().labelled]

    @cached_property
    def validation(self) -> Encoded:
        return encode(self.read, held_out.splits().validation.images, dense.KNOWN)

    @cached_property
    def test(self) -> Encoded:
        return encode(self.read, held_out.splits().test.images, dense.JUDGED)

    def parts(self, of: Callable[[Encoded, held_out.Drawn], tuple]) -> tuple[list[tuple], tuple, tuple]:
        """`of(what the model says, what is true)` for each labelled part, for validation and for test scenes."""
        drawn = held_out.splits()
        known = [of(*pair) for pair in zip(self.known, drawn.labelled, strict=True)]
        return known, of(self.validation, drawn.validation), of(self.test, drawn.test)


def frozen_group(subject: Subject) -> dict:
    return probes.frozen(*subject.parts(lambda said, drawn: (said, drawn.labels["concept"])))


def nuisance_group(subject: Subject) -> dict:
    return nuisance.nuisance(
        *subject.parts(lambda said, drawn: (said.feature(nuisance.FEATURE), drawn.labels, drawn.centres))
    )


def dense_group(subject: Subject) -> dict:
    def patches(said: Encoded, drawn: held_out.Drawn) -> tuple:
        side = round(said.patches.shape[1] ** 0.5)
        return said.patches, dense.patch_truth(drawn.masks[: len(said.patches)], side)

    test = held_out.splits().test
    return dense.foreground(*subject.parts(patches)) | dense.correspondence(
        subject.read, test.images[: dense.VIEWED], test.masks[: dense.VIEWED]
    )


def finetune_group(subject: Subject) -> dict:
    drawn = held_out.splits()
    known, validation, test = (
        [(part.images[:n], part.labels["concept"][:n]) for part in parts]
        for parts, n in (
            (drawn.labelled, None),
            ([drawn.validation], finetune.VALIDATION),
            ([drawn.test], finetune.TEST),
        )
    )
    return finetune.few_labels(subject.read, known, validation[0], test[0])


def finetune_many_group(subject: Subject) -> dict:
    drawn = held_out.splits()
    images = torch.cat([part.images for part in drawn.labelled])
    labels = torch.cat([part.labels["concept"] for part in drawn.labelled])
    validation, test = ((part.images, part.labels["concept"]) for part in (drawn.validation, drawn.test))
    return finetune.many_labels(subject.read, (images, labels), validation, test)


def texts_group(subject: Subject) -> dict:
    test = held_out.splits().test
    return texts.texts(subject.encoder, subject.test.whole, test.labels["concept"], test.captions)


def attack_group(subject: Subject) -> dict:
    loaded, test = subject.encoder.loaded, held_out.splits().test
    read = reader("clip", loaded.model, loaded.processor)  # clip-signs is a CLIP under another name
    prompts = subject.encoder.embed_texts([texts.DEFAULT.format(with_article(each)) for each in CONCEPTS])
    return attack.attack(
        lambda images: encode(read, images).whole, test.images, test.labels["concept"], torch.from_numpy(prompts)
    )


def masks_group(subject: Subject) -> dict:
    images, things = held_out.masked_scenes()
    loaded = subject.encoder.loaded
    return masks.masks(masks.predictor(loaded.model, loaded.processor, images), things)


@dataclass(frozen=True)
class Group:
    """Measures that are taken together; counted up, `version` has them taken again."""

    version: int
    measure: Callable[[Subject], dict]


GROUPS = {
    "frozen": Group(probes.VERSION, frozen_group),
    "dense": Group(dense.VERSION, dense_group),
    "nuisance": Group(nuisance.VERSION, nuisance_group),
    "texts": Group(texts.VERSION, texts_group),
    "attack": Group(attack.VERSION, attack_group),
    "masks": Group(masks.VERSION, masks_group),
    "finetune": Group(finetune.VERSION, finetune_group),
    "finetune_many": Group(finetune.MANY_VERSION, finetune_many_group),
}


def groups_of(name: str) -> list[str]:
    """Which groups a model or reference can take part in."""
    if name == "sam":
        return ["masks"]
    if name == "clip-signs":
        return ["attack"]  # it is there for this alone, beside the CLIP that it comes from
    left_out = {"masks"}
    if name != "clip":
        left_out.add("attack")
    if name not in ("clip", "siglip"):
        left_out.add("texts")
    if name == "pixels":
        left_out |= {"finetune", "finetune_many"}  # nothing in it can learn
    return [group for group in GROUPS if group not in left_out]
