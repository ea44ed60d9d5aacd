"""The pocket language model: a small Llama that has read of the drawn world and never seen it.

It stands for the frozen language models of BLIP-2 and Flamingo, which knew much about the world before they got eyes.
"""

from pathlib import Path

import numpy as np
import torch
from torch.nn import functional as F
from transformers import LlamaConfig, LlamaForCausalLM

from vfm_course.pretraining.trainer import Learner, Recipe
from vfm_course.vlm.corpus import corpus
from vfm_course.vlm.lessons import Retelling
from vfm_course.vlm.tokenizer import BEGIN, END, PAD, vlm_tokenizer

DOCUMENTS = 120_000
WIDTH, LAYERS, HEADS, INTERMEDIATE = 128, 4, 4, 384  # 0.9 million parameters
POSITIONS = 512
FIRST, ALL_AFTER = 0.05, 0.4  # share of the documents at the start; share of the run after which there are all
RETOLD = 0.5  # share of the documents that are retold
OTHER = 0.1  # weight of the words that no earlier word gives away, beside 1 for those of an answer


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
    """Predicts the next word of documents of about the same length, so that little is padding."""

    batch_size = 32

    def __init__(self, documents: int = DOCUMENTS):
        super().__init__()
        self.data = corpus(documents)
        self.order = np.argsort((self.data.tokens != PAD).sum(axis=1), kind="stable")
        self.model = LlamaForCausalLM(language_config())
        self.teller = Retelling()

    def forward(self, generator: torch.Generator, progress: float) -> dict[str, torch.Tensor]:
        # From the shortest documents, of two things and short questions, to all: without it the model is long content
        # with the most frequent answers before it learns to look up what was told.
        known = int(len(self.order) * min(1.0, FIRST + progress * (1 - FIRST) / ALL_AFTER))
        start = int(torch.randint(known - self.batch_size, (1,), generator=generator))
        rng = np.random.default_rng(int(torch.randint(2**62, (1,), generator=generator)))
        tokens, answers = self.batch(self.order[start : start + self.batch_size], rng)
        logits = self.model(input_ids=tokens[:, :-1]).logits  # padding is last, so that nothing looks at it
        losses = F.cross_entropy(logits.transpose(1, 2), tokens[:, 1:], reduction="none")
        weights = torch.where(answers, 1.0, OTHER) * (tokens[:, 1:] != PAD)
        total = (losses * weights).sum() / weights.sum()
        with torch.no_grad():
            of_answers = losses[answers].mean()
            right = (logits.argmax(-1) == tokens[:, 1:])[answers].float().mean()
        return {"loss": total, "answers": of_answers, "right": right}

    def batch(self, rows: np.ndarray, rng: np.random.Generator) -> tuple[torch.Tensor, torch.Tensor]:
        """Tokens (B, T) and answers, bool (B, T - 1), of these documents, half of them with a retelling."""
        lines = []
        for row in rows:
            tokens, answers = self.data.tokens[row], self.data.answers[row]
            size = int((tokens != PAD).sum())
            line = list(zip(tokens[:size].tolist(), answers[:size].tolist(), strict=True))
            if rng.random() < RETOLD:
                line = self.retold(line, rng)
            lines.append(line)
        length = max(map(len, lines))
        table = torch.tensor([line + [(PAD, False)] * (length - len(line)) for line in lines])  # (B, T, 2)
        return table[..., 0], table[:, 1:, 1].bool()

    def retold(self, line: list[tuple[int, bool]], rng: np.random.Generator) -> list[tuple[int, bool]]:
        """The document with all that was told said again in another order and form, behind its first line.

        "a red cat of size 7 at 3 12" becomes "the cat is red at 3 12": in every word something is to be looked up, and
        that is how looking up is learnt.
        """
        told = [token for token, _ in line]
        end = told.index(END) + 1
        things = self.teller.things(told[:end])
        rng.shuffle(things)
        asked = [(token, False) for token in self.teller.question]
        return line[:end] + asked + [(token, True) for token in self.teller.tell(things)] + line[end:]

    def save(self, folder: Path) -> None:
        self.model.save_pretrained(folder)
        vlm_tokenizer().save_pretrained(folder)


RECIPE = Recipe("language", LanguageLearner, images=120_000, quick_images=30_000, learning_rate=2e-3)
