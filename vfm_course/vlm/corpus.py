"""What the pocket language model reads before it ever meets an image: the drawn world in words.

A document tells a scene with places, then a caption of it or questions with their answers:

    <begin> picture : a red cat of size 7 at 3 12 , a blue car of size 4 at 9 5 <end>
    question : is the cat left or right of the car ? answer : left <end> …

So the language model knows the words, how questions are asked, and how an answer follows from what was told. What it
lacks is eyes: a connector gives it visual tokens in the place of the first line.
"""

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

from vfm_course.paths import cache_dir
from vfm_course.vlm.drawn import drawn_scenes
from vfm_course.vlm.kept import keep
from vfm_course.vlm.prompts import CAPTION, END, PICTURE, question_prompt
from vfm_course.vlm.tokenizer import END as END_ID
from vfm_course.vlm.tokenizer import PAD, vlm_tokenizer
from vfm_course.world.placed_text import placed_text, short_caption
from vfm_course.world.question_stream import QuestionStream
from vfm_course.world.scene import Scene

SCENES = 60_000  # of the training split
LENGTH = 208  # tokens of a document at most
TURNS = 8  # questions and answers in a document
CHUNK = 2000


@dataclass(frozen=True)
class Corpus:
    """Documents: `tokens` uint8 (N, LENGTH), zeros behind the end; `answers` bool (N, LENGTH), True where a document
    answers, the `<end>` of the answer included; `scenes` (N,), rows of `drawn_scenes("train", …)`."""

    tokens: np.ndarray
    answers: np.ndarray
    scenes: np.ndarray

    def __len__(self) -> int:
        return len(self.scenes)

    def behind_first_line(self, row: int) -> tuple[np.ndarray, np.ndarray]:
        """Caption and questions of a document, without the telling: tokens and answers, (t,) each."""
        tokens, answers = self.tokens[row], self.answers[row]
        begin, end = int(np.argmax(tokens == END_ID)) + 1, int((tokens != PAD).sum())
        return tokens[begin:end], answers[begin:end]


def corpus(n: int, scenes: int = SCENES) -> Corpus:
    """Documents 0 to n - 1 about the first scenes of the training split, written at the first call, mapped from the
    cache afterwards."""
    folder = cache_dir() / "vlm_corpus" / f"{n}_{scenes}"
    if not folder.is_dir():
        _write(folder, n, scenes)
    return Corpus(**{name: np.load(folder / f"{name}.npy", mmap_mode="r") for name in Corpus.__dataclass_fields__})


def _write(folder: Path, n: int, scenes: int) -> None:
    drawn_scenes("train", scenes)  # before the workers ask for them
    tasks = [(scenes, start, min(CHUNK, n - start)) for start in range(0, n, CHUNK)]
    keep(folder, list(Corpus.__dataclass_fields__), _documents, tasks, f"Writing {n} documents")


@lru_cache(maxsize=1)
def _graphs(scenes: int) -> list[Scene]:
    return drawn_scenes("train", scenes).graphs


def _documents(task: tuple[int, int, int]) -> tuple[np.ndarray, ...]:
    count, start, n = task
    scenes, tokenizer = _graphs(count), vlm_tokenizer()
    rng = np.random.default_rng([17, start])
    stream = QuestionStream(rng)
    tokens = np.zeros((n, LENGTH), dtype=np.uint8)
    answers = np.zeros((n, LENGTH), dtype=bool)
    about = rng.integers(len(scenes), size=n)
    for row in range(n):
        parts = document(scenes[about[row]], stream, rng)
        encoded = [tokenizer(text, add_special_tokens=part == 0)["input_ids"] for part, (text, _) in enumerate(parts)]
        line = np.concatenate(encoded)[:LENGTH]
        tokens[row, : len(line)] = line
        said = np.concatenate([np.full(len(ids), says) for ids, (_, says) in zip(encoded, parts, strict=True)])
        answers[row, : len(line)] = said[:LENGTH]
    return tokens, answers, about


def document(scene: Scene, stream: QuestionStream, rng: np.random.Generator) -> list[tuple[str, bool]]:
    """Its parts in order, each with whether it is an answer: to `Caption:`, or to a question."""
    parts = [(f"{PICTURE} {placed_text(scene)}{END}", False)]
    if rng.random() < 0.3:
        parts += [(CAPTION, False), (f"{short_caption(scene, rng)}{END}", True)]
    for _ in range(TURNS):
        form, answer = stream(scene)
        parts += [(question_prompt(form.text), False), (f"{answer}{END}", True)]
    return parts
