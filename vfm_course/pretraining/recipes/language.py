"""The pocket language model: a small Llama that has read of the drawn world and never seen it.

It stands for the frozen language models of BLIP-2 and Flamingo, which knew much about the world before they got eyes.
A scene is told to it in words or in notes (`vlm.notes`). First it only says what belongs together, then it tells again
what was told, then it is asked for single details, then for everything: begun with all sorts of questions, it would
stay with the most frequent answers for long.

Looking things up by their names comes all at once or not at all, somewhere between the pairs and the details, and it
takes luck: the published run found it between 25,000 and 37,000 documents, another one, half as long again, had not
after 95,000 and guessed colours among those told. The share of right words shows it: above 0.8 before the drills begin.
"""

from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from torch.nn import functional as F
from transformers import LlamaConfig, LlamaForCausalLM

from vfm_course.pretraining.trainer import Learner, Recipe
from vfm_course.vlm.corpus import SCENES, Corpus, corpus
from vfm_course.vlm.drawn import drawn_scenes
from vfm_course.vlm.notes import NoteEmbedding, loose, notes_of, save_notes, squared
from vfm_course.vlm.practice import HARD, Speller, detailed, drill, listed, paired
from vfm_course.vlm.prompts import END as END_WORD
from vfm_course.vlm.prompts import PICTURE
from vfm_course.vlm.tokenizer import BEGIN, END, PAD, vlm_tokenizer
from vfm_course.world.placed_text import placed_text
from vfm_course.world.question_stream import QuestionStream
from vfm_course.world.scene import Scene

DOCUMENTS = 60_000
# Two heads and not four: of the few numbers of a small head the rotary positions turn half too fast to find a word by
# what it means wherever it stands. With four, colours stayed guesses among those that were told.
WIDTH, LAYERS, HEADS, INTERMEDIATE = 128, 4, 2, 384  # 0.9 million parameters
POSITIONS = 512
TOLD = {"words": 0.2, "loose": 0.4, "squared": 0.4}  # shares of the batches
# What is asked, by share: from each point of the run on until the next one.
STAGES = (
    (0.00, {"pairs": 1.0}),
    (0.08, {"pairs": 0.2, "list": 0.1, "retell": 0.7}),
    (0.20, {"list": 0.1, "retell": 0.3, "detail": 0.6}),
    (0.38, {"retell": 0.1, "detail": 0.2, "drill": 0.5, "document": 0.2}),
    (0.50, {"retell": 0.1, "detail": 0.05, "drill": 0.35, "document": 0.5}),
)
OTHER = 0.02  # weight of the words that no earlier word gives away, beside 1 for those of an answer


def language_config() -> LlamaConfig:
    """A Llama of four layers of width 128."""
    return LlamaConfig(
        vocab_size=len(vlm_tokenizer()),
        hidden_size=WIDTH,
        intermediate_size=INTERMEDIATE,
        num_hidden_layers=LAYERS,
        num_attention_heads=HEADS,
        num_key_value_heads=HEADS,
        max_position_embeddings=POSITIONS,
        tie_word_embeddings=True,
        initializer_range=0.08,
        bos_token_id=BEGIN,
        eos_token_id=END,
        pad_token_id=PAD,
    )


class LanguageLearner(Learner):
    """Predicts the next word of documents, with the scene told in front in words or in notes."""

    batch_size = 8
    stages = STAGES

    def __init__(self, documents: int = DOCUMENTS, scenes: int = SCENES):
        super().__init__()
        self.documents, self.scenes = documents, scenes
        self.graphs = drawn_scenes("train", scenes).graphs
        self.model = LlamaForCausalLM(language_config())
        self.notes = NoteEmbedding(WIDTH)
        self.speller = Speller()

    @cached_property
    def data(self) -> Corpus:
        """The documents, which only the later stages need."""
        return corpus(self.documents, self.scenes)

    @cached_property
    def order(self) -> np.ndarray:
        """Documents of about the same length come together, so that little is padding."""
        return np.argsort((self.data.tokens != PAD).sum(axis=1), kind="stable")

    def forward(self, generator: torch.Generator, progress: float) -> dict[str, torch.Tensor]:
        rng = np.random.default_rng(int(torch.randint(2**62, (1,), generator=generator)))
        told = str(rng.choice(list(TOLD), p=list(TOLD.values())))
        shares = next(shares for begin, shares in reversed(self.stages) if progress >= begin)
        asked = str(rng.choice(list(shares), p=list(shares.values())))
        notes, tokens, answers = self.batch(told, asked, rng)
        words = self.model.get_input_embeddings()
        inputs = words(tokens)
        if notes is not None:
            inputs = torch.cat([self.notes(words, notes), inputs], dim=1)
        # Padding is last, so that nothing looks at it.
        logits = self.model(inputs_embeds=inputs, use_cache=False).logits[:, -tokens.shape[1] : -1]
        losses = F.cross_entropy(logits.transpose(1, 2), tokens[:, 1:], reduction="none")
        weights = torch.where(answers, 1.0, OTHER) * (tokens[:, 1:] != PAD)
        with torch.no_grad():
            of_answers = losses[answers].mean()
            right = (logits.argmax(-1) == tokens[:, 1:])[answers].float().mean()
        return {"loss": (losses * weights).sum() / weights.sum(), "answers": of_answers, "right": right}

    def batch(
        self, told: str, asked: str, rng: np.random.Generator
    ) -> tuple[torch.Tensor | None, torch.Tensor, torch.Tensor]:
        """Notes (B, V, 5) if not told in words, tokens (B, T), answers, bool (B, T - 1).

        Args:
            told: one of `TOLD`.
            asked: a name in `STAGES`; "document" is a caption and questions of the corpus.
        """
        if asked == "document":
            start = int(rng.integers(len(self.order) - self.batch_size + 1))
            rows = self.order[start : start + self.batch_size]
        else:
            rows = rng.integers(len(self.graphs), size=self.batch_size)
        scenes = [self.graphs[self.data.scenes[row] if asked == "document" else row] for row in rows]
        notes = {"words": lambda: None, "loose": lambda: loose(scenes, rng), "squared": lambda: squared(scenes)}[told]()
        lines, stream = [], QuestionStream(rng, HARD)
        for i, (row, scene) in enumerate(zip(rows, scenes, strict=True)):
            line = [(BEGIN, False)]
            if told == "words":
                line += self.speller([(f"{PICTURE} {placed_text(scene)}{END_WORD}", False)])
            if asked == "document":
                line += zip(*(part.tolist() for part in self.data.behind_first_line(row)), strict=True)
            elif asked == "list":
                line += self.speller(listed(scene, reading_order(scene, None if notes is None else notes[i])))
            elif asked == "retell":  # in any order: what belongs to a thing has to be looked up by its name
                line += self.speller(listed(scene, rng.permutation(len(scene.objects))))
            elif asked == "drill":
                line += self.speller(drill(stream, scene))
            else:
                line += self.speller({"pairs": paired, "detail": detailed}[asked](scene, rng))
            lines.append(line)
        length = max(map(len, lines))
        table = torch.tensor([line + [(PAD, False)] * (length - len(line)) for line in lines])  # (B, T, 2)
        return None if notes is None else torch.from_numpy(notes), table[..., 0], table[:, 1:, 1].bool()

    def save(self, folder: Path) -> None:
        self.model.save_pretrained(folder)
        vlm_tokenizer().save_pretrained(folder)
        save_notes(self.notes, folder)


def reading_order(scene: Scene, notes: np.ndarray | None) -> list[int]:
    """The things in the order in which they were told: notes (V, 5) as they lie, or the nearest first in words."""
    if notes is None:
        return list(range(len(scene.objects)))
    own = [tuple(note) for note in notes_of(scene).tolist()]
    return [own.index(tuple(note)) for note in notes.tolist() if note[0] >= 0]


RECIPE = Recipe("language", LanguageLearner, images=120_000, quick_images=30_000, learning_rate=1.5e-3, warm_up=0.01)
