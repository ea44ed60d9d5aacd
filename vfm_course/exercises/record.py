"""What an exercise is: one frozen record each, written down in the chapter modules. No torch here."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Mistake:
    """A plausible wrong answer and the sentence for the learner who gives it.

    `wrong` is a function or class with the same signature as the reference; `says` is shown when the learner's outputs
    agree with those of `wrong` on every input of the check.
    """

    wrong: Callable
    says: str


@dataclass(frozen=True, kw_only=True)
class Entry:
    """What exercises and questions have in common. `level` is B, I or A (beginner, intermediate, advanced)."""

    id: str
    notebook: str
    title: str
    level: str
    minutes: int
    hints: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Exercise(Entry):
    """A coding exercise: a function or a class that the learner writes in one cell.

    `reference` is "module:attribute" and is imported only when somebody needs it. `check(answer, draw)` is written
    once and runs in the notebook and out of process alike (see `answer.py`).

    `whole_notebook`: it needs what the notebook's other cells have made (a trained model), so that a grader runs all of
    them. Otherwise only the definitions that it uses run.
    """

    points: int
    reference: str
    check: Callable
    mistakes: tuple[Mistake, ...]
    kind: str = "function"
    whole_notebook: bool = False

    def load_reference(self) -> Callable:
        """The reference answer itself (a function or a class)."""
        module, _, attribute = self.reference.partition(":")
        return getattr(importlib.import_module(module), attribute)


@dataclass(frozen=True, kw_only=True)
class Choice(Entry):
    """A question with options; `explains` says for every option why it is right or wrong."""

    points: int
    question: str
    options: Mapping[str, str]
    right: str
    explains: Mapping[str, str]
    kind: str = field(default="choice", init=False)


@dataclass(frozen=True, kw_only=True)
class Written(Entry):
    """A question answered in words: `rubric` maps a key to its criterion, one point each."""

    question: str
    rubric: Mapping[str, str]
    model_answer: str
    kind: str = field(default="written", init=False)

    @property
    def points(self) -> int:
        """One point per criterion of the rubric."""
        return len(self.rubric)
