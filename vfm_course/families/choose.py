"""`choose(frozen=True)`: which family a task asks for, as a tree of questions and as a function of stated needs.

The order is the point: language first, then whether the features stay frozen, then labels; masks come on top of
whichever model says what is to be cut out.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from vfm_course.errors import UserError


@dataclass(frozen=True)
class Question:
    """An inner node: `need` is its keyword in `choose`, `yes` and `no` name the nodes that follow.

    `because` says what an answer means, as (yes, no).
    """

    need: str
    text: str
    yes: str
    no: str
    because: tuple[str, str]


@dataclass(frozen=True)
class Leaf:
    """An answer: the systems, the first one first; why; and when to take something else."""

    systems: tuple[str, ...]
    reason: str
    instead: str


_MASKS = "Are masks of arbitrary objects wanted, from a click or a box?"
_MASKS_BECAUSE = ("masks are wanted", "no masks are wanted")

NODES: dict[str, Question | Leaf] = {
    "language": Question(
        "language",
        "Is language or an open vocabulary involved?",
        "words",
        "frozen",
        ("language is involved", "language plays no part"),
    ),
    # With language: words out, places out, or scores out.
    "words": Question(
        "words",
        "Must the answer be words: a caption, an answer, a dialogue?",
        "no_gpu",
        "named_masks",
        ("the answer is in words", "the answer is not in words"),
    ),
    "no_gpu": Question(
        "no_gpu",
        "Must it run without a GPU?",
        "smolvlm",
        "fine_print",
        ("there is no GPU", "there is a GPU"),
    ),
    "fine_print": Question(
        "fine_print",
        "Must small print be read, or the answer point at places?",
        "qwen",
        "many_images",
        ("small print or places matter", "no small print is read and nothing pointed at"),
    ),
    "many_images": Question(
        "many_images",
        "Must many images share one context?",
        "blip2",
        "llava",
        ("many images share one context", "there are few images at a time"),
    ),
    "named_masks": Question(
        "masks",
        "Are masks wanted of what the words name?",
        "grounded",
        "named_boxes",
        ("masks are wanted of what is named", "no masks are wanted"),
    ),
    "named_boxes": Question(
        "boxes",
        "Are boxes wanted around what the words name?",
        "boxes",
        "several_labels",
        ("boxes are wanted around what is named", "no boxes are wanted"),
    ),
    "several_labels": Question(
        "several_labels",
        "May several labels fit one picture, or none?",
        "siglip",
        "clip",
        ("several labels may fit, or none", "one label fits each picture"),
    ),
    # Without language: frozen features, then labels, then masks alone.
    "frozen": Question(
        "frozen",
        "Does the backbone stay frozen: retrieval, clustering, few-shot, dense correspondence?",
        "motion",
        "labels",
        ("the backbone stays frozen", "the features are not used as they are"),
    ),
    "motion": Question(
        "motion",
        "Is the question about motion in video?",
        "vjepa2",
        "frozen_masks",
        ("motion is asked about", "still pictures are asked about"),
    ),
    "frozen_masks": Question("masks", _MASKS, "dinov2_sam", "dinov2", _MASKS_BECAUSE),
    "labels": Question(
        "labels",
        "Are there labels on which the whole network is fine-tuned?",
        "labels_masks",
        "masks",
        ("labels are at hand to fine-tune on", "there are no labels to fine-tune on"),
    ),
    "labels_masks": Question("masks", _MASKS, "mae_sam", "mae", _MASKS_BECAUSE),
    "masks": Question("masks", _MASKS, "sam", "unsure", _MASKS_BECAUSE),
    # The answers.
    "smolvlm": Leaf(
        ("smolvlm",),
        "a language model with eyes that fits a laptop",
        "With a GPU, LLaVA-1.5 or Qwen2.5-VL answer better.",
    ),
    "qwen": Leaf(
        ("qwen2.5-vl",),
        "it takes a picture at its own resolution and was trained to answer with coordinates",
        "Qwen2-VL has a size of two billion parameters; Molmo answers with points.",
    ),
    "blip2": Leaf(
        ("blip2",),
        "its Q-Former hands 32 tokens an image to the language model, so that many images fit",
        "For one detailed picture take a connector that keeps every patch: LLaVA-1.5.",
    ),
    "llava": Leaf(
        ("llava-1.5",),
        "every patch becomes a token, and it is the best understood of its kind",
        "To fine-tune on one task, PaliGemma is smaller; to keep a text model untouched, Llama-3.2-Vision.",
    ),
    "grounded": Leaf(
        ("grounding-dino", "sam"),
        "a detector that reads text finds the boxes, and SAM cuts masks out of them",
        "SAM 3 does both in one model, where its licence can be accepted.",
    ),
    "boxes": Leaf(
        ("grounding-dino",),
        "its boxes are matched to phrases, also to those it was never trained to detect",
        "SAM 3 gives masks with the boxes, where its licence can be accepted.",
    ),
    "siglip": Leaf(
        ("siglip",),
        "its loss judges every image-text pair on its own, so that a score stands without rivals",
        "SigLIP 2 reads many languages; CLIP forces a choice among the labels.",
    ),
    "clip": Leaf(
        ("clip",),
        "its loss makes texts compete for an image, which is what picking one label asks for",
        "SigLIP's scores stand on their own, where none of the labels may fit.",
    ),
    "vjepa2": Leaf(
        ("vjepa2",),
        "it predicts features of masked regions in space and time, so motion is what it keeps",
        "DINOv2 on single frames is cheaper, where appearance is enough.",
    ),
    "dinov2": Leaf(
        ("dinov2",),
        "self-distillation on images alone makes features that work as they are, for whole images and for patches",
        "DINOv3 is sharper at high resolution, where its licence can be accepted.",
    ),
    "dinov2_sam": Leaf(
        ("dinov2", "sam"),
        "frozen features say what belongs together, and SAM cuts it out",
        "Clustered DINOv2 patches give rough masks without SAM.",
    ),
    "mae": Leaf(
        ("mae",),
        "reconstructing pixels is a good start for fine-tuning every layer, and poor when frozen",
        "With few labels a linear head or LoRA on frozen DINOv2 costs less and may be as good: measure both.",
    ),
    "mae_sam": Leaf(
        ("mae", "sam"),
        "the fine-tuned network says what it is, and SAM cuts it out",
        "With labelled masks, fine-tune a segmentation head on DINOv2 as well and compare.",
    ),
    "sam": Leaf(
        ("sam",),
        "it was trained to segment whatever a prompt points at; it names nothing",
        "SAM 2 follows the object through a video.",
    ),
    "unsure": Leaf(
        ("dinov2",),
        "nothing in the needs asks for more, and frozen features show quickly what the data holds",
        "State what the answer must be: words, a label, a box, a mask.",
    ),
}
ROOT = "language"


@dataclass(frozen=True)
class Choice:
    """What `choose` answers; as text it is the reason in words.

    `path` holds the questions asked and their answers; `unused` those stated needs that were not asked about.
    """

    systems: tuple[str, ...]
    reason: str
    instead: str
    path: tuple[tuple[str, bool], ...]
    unused: tuple[str, ...] = ()

    def __str__(self) -> str:
        from vfm_course.families.systems import SYSTEMS

        titles = " with ".join(SYSTEMS[name].title for name in self.systems)
        told = f"{titles}: {self.reason}. {self.instead}"
        if self.unused:
            told += f" Not asked about on this way: {', '.join(self.unused)}."
        return told


def choose(
    *,
    language: bool = False,
    words: bool = False,
    no_gpu: bool = False,
    fine_print: bool = False,
    many_images: bool = False,
    boxes: bool = False,
    several_labels: bool = False,
    frozen: bool = False,
    motion: bool = False,
    labels: bool = False,
    masks: bool = False,
) -> Choice:
    """The family for a task. Each need is a question of the tree (`tree()`), and is `no` if it is not stated.

    Args:
        language: language or an open vocabulary is involved.
        words: the answer must be words. no_gpu: on a CPU. fine_print: small print is read, or places are pointed at.
        many_images: they share one context.
        boxes, masks: are wanted, of what a text names or of anything that a click or a box points at.
        several_labels: may fit one picture, or none.
        frozen: features are used as they are. motion: it is about motion in video.
        labels: are at hand to fine-tune the whole network.
    """
    stated = dict(locals())
    key, path, told = ROOT, [], []
    while isinstance(node := NODES[key], Question):
        answer = bool(stated[node.need])
        path.append((node.need, answer))
        if answer or not told:
            told.append(node.because[0 if answer else 1])
        key = node.yes if answer else node.no
    asked = {need for need, _ in path}
    unused = tuple(need for need, value in stated.items() if value and need not in asked)
    return Choice(node.systems, f"{', and '.join(told)}; {node.reason}", node.instead, tuple(path), unused)


def walk(answers: Iterable[bool]) -> Question | Leaf:
    """The node reached from the root by answers in turn: the next question, or a leaf.

    Raises:
        UserError: there are more answers than questions.
    """
    node: Question | Leaf = NODES[ROOT]
    for answer in answers:
        if isinstance(node, Leaf):
            raise UserError(f"There are more answers than questions: {' and '.join(node.systems)} was reached already.")
        node = NODES[node.yes if answer else node.no]
    return node


def tree(key: str = ROOT) -> dict[str, Any]:
    """The tree as nested data: {need, question, yes: …, no: …}, and at its ends {systems, reason, instead}."""
    node = NODES[key]
    if isinstance(node, Leaf):
        return {"systems": list(node.systems), "reason": node.reason, "instead": node.instead}
    return {"need": node.need, "question": node.text, "yes": tree(node.yes), "no": tree(node.no)}
