"""What a vision-language model is taught, in LLaVA's two stages, from a corpus that was written from text alone.

Aligning: say what is there and where, a thing at a time. The language model knows how to tell again what it was told
in words; now the telling comes from the picture. Instruction: several questions about one scene in a row, of which only
the answers are to be learnt.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from vfm_course.vlm.corpus import Corpus
from vfm_course.vlm.practice import Speller, listed
from vfm_course.vlm.tokenizer import BEGIN, MARKS, PAD
from vfm_course.world.scene import Scene


@dataclass(frozen=True)
class Lessons:
    """Token numbers (N, T), zeros last; `answers` bool (N, T), True for what is to be learnt; `scenes` (N,)."""

    tokens: np.ndarray
    answers: np.ndarray
    scenes: np.ndarray

    def __len__(self) -> int:
        return len(self.scenes)

    def batch(self, rows: Sequence[int]) -> tuple[np.ndarray, torch.Tensor, torch.Tensor]:
        """Scenes (B,), tokens (B, T) and answers (B, T), as long as the longest of them."""
        length = int((self.tokens[rows] != PAD).sum(axis=1).max())
        tokens = torch.from_numpy(self.tokens[rows, :length].astype(np.int64))
        return self.scenes[rows], tokens, torch.from_numpy(self.answers[rows, :length])

    def marked(self) -> "Lessons":
        """The same with Flamingo's marks of an image behind `<begin>`, as its processor writes them."""
        marks = np.tile(np.array(MARKS, dtype=np.uint8), (len(self), 1))
        tokens = np.concatenate([self.tokens[:, :1], marks, self.tokens[:, 1:]], axis=1)
        answers = np.concatenate([self.answers[:, :1], np.zeros_like(marks, dtype=bool), self.answers[:, 1:]], axis=1)
        return Lessons(tokens, answers, self.scenes)


def _lessons(parts: list[tuple[np.ndarray, np.ndarray]], scenes: np.ndarray) -> Lessons:
    """Of (tokens, answers) of any lengths; the shortest come first, so that neighbours make a batch without padding."""
    order = np.argsort([len(tokens) for tokens, _ in parts], kind="stable")
    length = max(len(tokens) for tokens, _ in parts)
    tokens = np.full((len(parts), length), PAD, dtype=np.uint8)
    answers = np.zeros((len(parts), length), dtype=bool)
    for row, each in enumerate(order):
        one, other = parts[each]
        tokens[row, : len(one)], answers[row, : len(other)] = one, other
    return Lessons(tokens, answers, scenes[order])


def aligning(corpus: Corpus, graphs: Sequence[Scene]) -> Lessons:
    """What is there, for each document's scene, the nearest thing first:

    question : what is there ? answer : the cat is red at 3 12 , the car is blue at 9 5 <end>

    Args:
        graphs: the scenes that `corpus.scenes` counts.
    """
    speller, parts, scenes = Speller(), [], np.asarray(corpus.scenes)
    for scene in (graphs[row] for row in scenes):
        tokens, answers = zip((BEGIN, False), *speller(listed(scene, range(len(scene.objects)))), strict=True)
        parts.append((np.array(tokens, dtype=np.uint8), np.array(answers)))
    return _lessons(parts, scenes)


def instruction(corpus: Corpus) -> Lessons:
    """Everything behind the first line: captions asked for, and questions in a row with their answers."""
    parts = []
    for row in range(len(corpus)):
        tokens, answers = corpus.behind_first_line(row)
        parts.append((np.append(np.uint8(BEGIN), tokens), np.append(False, answers)))
    return _lessons(parts, np.asarray(corpus.scenes))
