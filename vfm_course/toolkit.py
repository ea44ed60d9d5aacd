"""The lab's finished artefact: a folder and labels in; labels, neighbours and disagreements of two models out."""

from __future__ import annotations

from array import array
from collections.abc import Callable
from contextlib import closing, nullcontext
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from vfm_course.errors import UserError
from vfm_course.families.load import chosen_tier, pocket_words
from vfm_course.families.texts import TEMPLATE, check_template, unknown_words
from vfm_course.features.cache import VectorCache, text_key
from vfm_course.features.encoders import Encoder
from vfm_course.features.images import find_images
from vfm_course.features.search import approximate_neighbours, exact_neighbours, extreme_pairs
from vfm_course.features.sources import name_in
from vfm_course.features.stream import embed_folder, open_cache

PAIRS = 5  # disagreements listed each way
INDEX_FROM = 30_000  # pictures: from here on searching by an index is faster than comparing every pair


@dataclass(frozen=True)
class Row:
    """One picture: its best label with the confidence, every label's score, its neighbours with their cosines.

    `labels` is one tuple for all rows, and `values` holds four bytes a label: ten thousand rows of a thousand labels
    fit into 40 MB.
    """

    name: str
    path: Path
    label: str
    confidence: float
    labels: tuple[str, ...]
    values: array
    neighbours: list[tuple[str, float]]
    drawn: bool

    @property
    def scores(self) -> dict[str, float]:
        """Every label's score."""
        return dict(zip(self.labels, self.values, strict=True))

    def line(self) -> str:
        """`cat_03.jpg -> "a cat" (0.91); neighbors: cat_01.jpg, cat_07.jpg, cat_02.jpg`"""
        from vfm_course.solutions.ch06_toolkit import report_line

        return report_line(self.name, self.label, self.confidence, [name for name, _ in self.neighbours])


@dataclass(frozen=True)
class Pair:
    """Two pictures on which the models disagree, with DINOv2's cosine."""

    first: str
    second: str
    labels: tuple[str, str]
    cosine: float


@dataclass
class Report:
    """All that the toolkit found. `notes` are the sentences to be read before the rest."""

    folder: Path
    model: str
    tier: str
    template: str
    rows: list[Row]
    same_label_far: list[Pair]
    other_label_near: list[Pair]
    skipped: list[tuple[str, str]]
    notes: list[str] = field(default_factory=list)
    computed: int = 0


def parse_labels(text: str, model: str) -> list[str]:
    """`"a dog, a cat"` -> its labels.

    Raises:
        UserError: no label, the same one twice, or a single one where the model must choose.
    """
    labels = [" ".join(part.split()) for part in text.split(",")]
    labels = [label for label in labels if label]
    if not labels:
        raise UserError('No labels: give some, as in --labels "a dog, a cat, a car".')
    twice = {label for label in labels if [other.lower() for other in labels].count(label.lower()) > 1}
    if twice:
        raise UserError(f"The label {sorted(twice)[0]!r} is there twice: give each label once.")
    if len(labels) == 1 and model == "clip":
        raise UserError(
            f"With {labels[0]!r} alone there is nothing to choose from, and CLIP would be sure of it: "
            "give two labels or more, or use --model siglip, which scores each label on its own."
        )
    return labels


def run(
    folder: Path,
    labels: list[str],
    template: str = TEMPLATE,
    model: str = "clip",
    neighbours: int = 3,
    tier: str | None = None,
    device: str | None = None,
    cache: VectorCache | None = None,
    show: Callable[[int, int], None] | None = None,
) -> Report:
    """Labels every picture of a folder with CLIP or SigLIP and finds its neighbours with DINOv2; nothing is trained.

    Args:
        labels: as `parse_labels` gives them.
        template: what a label is put into, at `{}`.
        model: clip (probabilities over the labels) or siglip (each label's own probability).
        show: called with (files done, files in all).

    Raises:
        UserError: no pictures, none readable, a bad template, or a checkpoint that is not to be had.
    """
    check_template(template)
    paths = find_images(folder)
    tier = chosen_tier(tier)
    unknown = _unknown_words([*labels, template], model) if tier == "pocket" else {}
    asked = labels
    labels = [label for label in labels if label not in unknown]  # `<unknown>` would win now and then, and mean nothing
    if len(labels) < (2 if model == "clip" else 1):
        raise UserError(f"Too few labels are left to score. {_unknown_sentence(unknown, asked, model)}")
    reader, looker = Encoder(model, tier, device), Encoder("dinov2", tier, device)
    with nullcontext(cache) if cache else closing(open_cache()) as known:
        found = embed_folder(paths, [looker, reader], known, show=show)
        skipped = [(name_in(path, folder), reason) for path, reason in found.skipped]
        if not found.paths:
            raise UserError(f"None of the {len(paths)} files in {str(folder)!r} could be used; {listed(skipped)}.")
        scores = label_scores(found.vectors[model], labels, template, reader, known)
    best = scores.argmax(axis=1)
    names = [name_in(path, folder) for path in found.paths]
    search = exact_neighbours if len(names) < INDEX_FROM else approximate_neighbours
    indices, cosines = search(found.vectors["dinov2"], neighbours)
    shared = tuple(labels)
    rows = [
        Row(
            name=names[i],
            path=path,
            label=labels[best[i]],
            confidence=float(scores[i, best[i]]),
            labels=shared,
            values=array("f", scores[i].tobytes()),
            neighbours=[(names[j], float(c)) for j, c in zip(indices[i], cosines[i], strict=True) if j >= 0],
            drawn=found.drawn[i],
        )
        for i, path in enumerate(found.paths)
    ]
    far, near = extreme_pairs(found.vectors["dinov2"], best, PAIRS)

    def named(pairs: list[tuple[int, int, float]]) -> list[Pair]:
        return [Pair(names[i], names[j], (labels[best[i]], labels[best[j]]), cosine) for i, j, cosine in pairs]

    report = Report(folder, model, tier, template, rows, named(far), named(near), skipped, computed=found.computed)
    report.notes = _notes(report, neighbours)
    if unknown:
        report.notes.insert(0, _unknown_sentence(unknown, asked, model))
    return report


def label_scores(
    vectors: np.ndarray, labels: list[str], template: str, encoder: Encoder, cache: VectorCache
) -> np.ndarray:
    """Pictures (N, D) and L labels -> probabilities (N, L): CLIP's sum to one over the labels, SigLIP's do not.

    The prompts' embeddings are cached too: a second run with the same labels loads no model.
    """
    import torch

    from vfm_course.solutions.ch06_toolkit import fill_template, siglip_scores, zero_shot_probabilities

    prompts = fill_template(labels, template)
    missing = [prompt for prompt in prompts if cache.get(encoder.key, text_key(prompt)) is None]
    if missing:
        cache.put(encoder.key, zip(map(text_key, missing), encoder.embed_texts(missing), strict=True))
    constants = cache.get(encoder.key, b"logit scale and bias")
    if constants is None:
        constants = np.array(encoder.logit_scale_and_bias())
        cache.put(encoder.key, [(b"logit scale and bias", constants)])
    scale, bias = (float(value) for value in constants)
    texts = torch.from_numpy(np.stack([cache.get(encoder.key, text_key(prompt)) for prompt in prompts]))
    images = torch.from_numpy(vectors)
    if encoder.name == "siglip":
        return siglip_scores(images, texts, scale, bias).numpy()
    return zero_shot_probabilities(images, texts, scale).numpy()


def _notes(report: Report, neighbours: int) -> list[str]:
    notes = []
    n, photos = len(report.rows), sum(not row.drawn for row in report.rows)
    if report.tier == "pocket" and photos:
        which = "These pictures are" if photos == n else f"{photos} of these {n} pictures are"
        notes.append(
            f"{which} not from the drawn world, and the pocket models know nothing else: labels and confidences mean "
            "little there. For photographs use --tier hub."
        )
    if n <= neighbours:
        few = f"each has {n - 1} neighbour{'s' * (n > 2)}, not {neighbours}" if n > 1 else "it has no neighbours"
        notes.append(f"Only {n} usable picture{'s' * (n > 1)}: {few}.")
    if n >= INDEX_FROM:
        notes.append(f"Neighbours of {n} pictures come from an index (HNSW), which now and then misses one.")
    if report.skipped:
        notes.append(f"{len(report.skipped)} of {n + len(report.skipped)} files skipped; {listed(report.skipped)}.")
    return notes


def _unknown_words(texts: list[str], model: str) -> dict[str, list[str]]:
    """The texts that the pocket model cannot read, each with the words in question."""
    words = pocket_words(model)
    return {text: unknown for text in texts if (unknown := unknown_words(text, words))}


def _unknown_sentence(unknown: dict[str, list[str]], labels: list[str], model: str) -> str:
    """What cannot be read and what became of it, with all the words that can."""
    faults = [
        f"{', '.join(words)} (in {text!r}, which is left out)"
        if text in labels
        else f"{', '.join(words)} (in the template, where the model reads <unknown> instead)"
        for text, words in unknown.items()
    ]
    known = ", ".join(sorted(pocket_words(model)))
    return f"The pocket model cannot read {'; '.join(faults)}. It knows {known}; with --tier hub any word will do."


def listed(skipped: list[tuple[str, str]], most: int = 10) -> str:
    """`name: reason; name: reason; and 3 more`."""
    said = "; ".join(f"{name}: {reason}" for name, reason in skipped[:most])
    return said + (f"; and {len(skipped) - most} more" if len(skipped) > most else "")
