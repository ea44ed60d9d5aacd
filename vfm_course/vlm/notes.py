"""Notes: a picture told to the language model in vectors that are no words of a sentence.

A note holds one thing. It is a sum of embeddings: of the words for its colour and its concept, and of its place and
size. Notes come loose, in any order on some of sixteen slips, or on squared paper, each on the square where the middle
of the thing is. Empty slips and squares hold "nothing".

The language model learns to read both before any picture is shown, so that a connector has somewhere to get to: from
queries to loose notes, from patches to squared ones.
"""

from collections.abc import Sequence
from functools import cache
from pathlib import Path

import numpy as np
import torch
from torch import nn

from vfm_course.errors import UserError
from vfm_course.vlm.tokenizer import vlm_tokenizer
from vfm_course.world.placed_text import GRID, sixteenths
from vfm_course.world.scene import Scene

NOTES_FILE = "notes.safetensors"
SLIPS = 16  # of loose notes
SIDE = 8  # squares along a side, as the encoder's patches
SIZES = 32  # steps in which a size is told: things may be ranked that differ by 15 %
FIELDS = ("concept", "colour", "x", "y", "size")
EMPTY = -1


class NoteEmbedding(nn.Module):
    """What places and sizes add to a note, and what an empty one holds.

    Args:
        width: of the language model.
        std: of the language model's word embeddings at the start.
    """

    def __init__(self, width: int, std: float = 0.08):
        super().__init__()
        self.x, self.y = nn.Embedding(GRID, width), nn.Embedding(GRID, width)
        self.size = nn.Embedding(SIZES, width)
        self.nothing = nn.Parameter(torch.zeros(width))
        for weight in self.parameters():
            nn.init.normal_(weight, std=std)

    def forward(self, words: nn.Embedding, notes: torch.Tensor) -> torch.Tensor:
        """Notes as vectors.

        Args:
            words: the language model's own embeddings.
            notes: (B, V, 5), int64, columns as `FIELDS`: two token numbers, two sixteenths, a size; -1 where empty.

        Returns:
            (B, V, width).
        """
        empty = notes[..., :1] < 0
        concept, colour, x, y, size = notes.clamp(min=0).unbind(dim=-1)
        filled = words(concept) + words(colour) + self.x(x) + self.y(y) + self.size(size)
        return torch.where(empty, self.nothing, filled)


@cache
def _numbers() -> dict[str, int]:
    return vlm_tokenizer().get_vocab()


def notes_of(scene: Scene) -> np.ndarray:
    """A note for each thing, the nearest first: int64 (things, 5)."""
    frame, number = scene.image.shape[1], _numbers()
    rows = []
    for thing in scene.objects:
        size = min(SIZES - 1, max(0, int(SIZES * thing.extent)))
        rows.append((number[thing.concept], number[thing.colour], *sixteenths(thing, frame), size))
    return np.array(rows, dtype=np.int64).reshape(-1, len(FIELDS))


def loose(scenes: Sequence[Scene], rng: np.random.Generator, slips: int = SLIPS) -> np.ndarray:
    """Each scene's notes on random slips, int64 (B, slips, 5); with too few slips the farthest things are left out."""
    out = np.full((len(scenes), slips, len(FIELDS)), EMPTY, dtype=np.int64)
    for row, scene in zip(out, scenes, strict=True):
        notes = notes_of(scene)[:slips]
        row[rng.permutation(slips)[: len(notes)]] = notes
    return out


def squared(scenes: Sequence[Scene]) -> np.ndarray:
    """Each scene's notes where the things' middles are, int64 (B, 64, 5), row by row; of two things on one square the
    nearer stays."""
    out = np.full((len(scenes), SIDE * SIDE, len(FIELDS)), EMPTY, dtype=np.int64)
    for row, scene in zip(out, scenes, strict=True):
        for note in notes_of(scene)[::-1]:
            row[note[3] * SIDE // GRID * SIDE + note[2] * SIDE // GRID] = note
    return out


def load_notes(folder: Path) -> NoteEmbedding:
    """The notes that a language model in this folder can read.

    Raises:
        UserError: it has none.
    """
    from safetensors.torch import load_file

    path = folder / NOTES_FILE
    if not path.is_file():
        raise UserError(f"{folder.name} has no {NOTES_FILE}: its language model reads words only; train it again with "
                        "`vfm-course pretrain language`.")  # fmt: skip
    weights = load_file(path)
    embedding = NoteEmbedding(weights["nothing"].shape[0])
    embedding.load_state_dict(weights)
    return embedding.eval().requires_grad_(False)


def save_notes(embedding: NoteEmbedding, folder: Path) -> None:
    """Writes them beside the language model."""
    from safetensors.torch import save_file

    weights = {name: weight.detach().contiguous() for name, weight in embedding.state_dict().items()}
    save_file(weights, folder / NOTES_FILE, metadata={"format": "pt"})
