"""Questions without end about scenes at hand, no answer favoured: what a model that answers is trained on."""

from collections import Counter, defaultdict
from collections.abc import Sequence
from itertools import cycle

import numpy as np

from vfm_course.world.question_draw import LONGEST, draw
from vfm_course.world.question_forms import Form
from vfm_course.world.questions import KINDS, UNANSWERABLE
from vfm_course.world.scene import Scene

TRIES = 5  # forms drawn for a question; the one whose answer has been given least is taken


class QuestionStream:
    """Draws (form, answer) about a scene; over many calls all answers of a pattern come about equally often.

    `vqa.vqa_set` looks for the most similar scene of the other answer and keeps a record of everything asked. This is
    ten times faster, makes no pairs, and is for training only.

    Args:
        kinds: as `draw` takes them, asked in turn; without them all there are, and more of chains.
    """

    def __init__(self, rng: np.random.Generator, kinds: Sequence[str] = ()):
        self.rng = rng
        self.used: dict[str, Counter[str]] = defaultdict(Counter)
        self.kinds = cycle(kinds or _all_kinds())
        self.before: Scene | None = None

    def __call__(self, scene: Scene) -> tuple[Form, str]:
        """A question about the scene and its true answer."""
        asked: list[tuple[Form, str]] = []
        while not asked:  # a scene may offer nothing of a kind, such as a chain of three where there are two things
            kind = next(self.kinds)
            asked = [found for _ in range(TRIES) if (found := self._one(kind, scene))]
        form, answer = min(asked, key=self._frequency)
        self.used[form.template][answer] += 1
        self.before = scene
        return form, answer

    def _one(self, kind: str, scene: Scene) -> tuple[Form, str] | None:
        about = scene
        if kind == "unanswerable" and self.before and self.rng.random() < 0.5:
            about = self.before  # asks for what was in another picture
        form = draw(kind, about, self.rng)
        answer = form and form.look(scene)
        if not answer or (kind == "unanswerable") != (answer == UNANSWERABLE):
            return None
        return form, answer

    def _frequency(self, asked: tuple[Form, str]) -> float:
        """How often this answer was given, beside the mean of the answers of its pattern."""
        form, answer = asked
        given = self.used[form.template]
        return given[answer] / (sum(given.values()) / len(given)) if given else 0.0


def _all_kinds() -> list[str]:
    """All kinds once for each length of chains; where "relation" comes two chains, since many scenes offer none."""
    chains = [f"relation {length}" for length in range(1, LONGEST + 1)]
    return [name for chain in chains for kind in KINDS
            for name in ((chain, chains[0]) if kind == "relation" else (kind,))]  # fmt: skip
