"""Sets of questions about drawn scenes: in balanced pairs, as VQAv2 has them, or with priors that give answers away.

A model that never looks can answer "yellow" for bananas. VQAv2 (Goyal et al. 2017, arXiv:1612.00837) asks each question
of two similar pictures with different answers, so that one who never looks is right on one of the two at most.
"""

from collections import Counter, defaultdict
from dataclasses import replace
from functools import lru_cache
from itertools import cycle

import numpy as np

from vfm_course.errors import UserError
from vfm_course.world.answers import Annotators
from vfm_course.world.question_draw import LONGEST, draw, pick, prior
from vfm_course.world.question_forms import Form
from vfm_course.world.questions import KINDS, MOST, UNANSWERABLE, Question
from vfm_course.world.scene import Scene
from vfm_course.world.world import World

SEEDS = {"train": 4000, "validation": 4001, "test": 4002}  # of the worlds: no scene is in two splits
OBJECTS = (2, MOST)
DIFFICULTY = 0.19  # up to here the world draws no meaningless shapes, and a red disc is no "red thing"
GRAPH_SIZE = 64  # pixels at which scenes are drawn to learn what can be seen of each thing
LEAST_VISIBLE = 0.5  # of a thing's area: nothing is asked of a scene with a thing more hidden than that
SCENES = 1000  # that a set draws from at least; a larger one has a scene for every two questions
CANDIDATES, OTHERS = 150, 40  # scenes looked through for a form: with the thing that it is about, and any
NEIGHBOURS = 48  # scenes among which the most similar one becomes the partner
TRIES = 3000  # draws until a set gives up on a question


def vqa_world(seed: int, size: int = GRAPH_SIZE) -> World:
    """The world that questions are about: two to five things that differ in distance, no meaningless shapes."""
    return World(seed, size, objects=OBJECTS, difficulty=DIFFICULTY, perspective=True)


def scene_of(question: Question, size: int = GRAPH_SIZE) -> Scene:
    """The scene that a question is about, drawn with `size` pixels a side; its graph does not depend on the size."""
    return vqa_world(question.scene_seed, size).scene(question.scene_number)


def vqa_set(
    split: str, n: int, seed: int = 0, balanced: bool = True, annotators: Annotators | None = None
) -> list[Question]:
    """A set of questions; the same arguments give the same set.

    Args:
        split: "train", "validation" or "test"; no two have a scene in common.
        n: how many; the eight kinds are asked equally often.
        seed: another seed draws other questions about the split's scenes.
        balanced: questions 2k and 2k + 1 are a pair: the same text, two similar scenes, different answers, and over
            the set all answers of a pattern about equally often. In the unbalanced set each question stands alone and
            most answers are the favourite of `question_draw.PRIORS` or, for colours, `question_draw.USUAL_COLOUR`.
        annotators: who answers; `Annotators()` if not given.

    Raises:
        UserError: an unknown split, a negative or, for pairs, an odd n.
    """
    if split not in SEEDS:
        raise UserError(f"There is no split {split!r}: choose from {', '.join(SEEDS)}.")
    if n < 0 or (balanced and n % 2):
        raise UserError(f"A {'balanced set is made of pairs and' if balanced else 'set'} cannot have {n} questions.")
    rng = np.random.default_rng([SEEDS[split], seed, balanced])
    pool = pool_of(split, max(SCENES, n // 2))
    maker = Maker(pool, rng)
    kinds = schedule(n // 2 if balanced else n, rng)
    made = [asked for kind in kinds for asked in (maker.pair(kind) if balanced else [maker.single(kind)])]
    annotators = annotators or Annotators()
    return [question(form, found, pool.seed, number, annotators) for form, found, number in made]


def schedule(n: int, rng: np.random.Generator) -> list[str]:
    """The kinds of n forms in a random order: each kind equally often, the chains of one to three relations too."""
    chains = cycle(f"relation {length}" for length in range(1, LONGEST + 1))
    kinds = [KINDS[slot % len(KINDS)] for slot in range(n)]
    kinds = [next(chains) if kind == "relation" else kind for kind in kinds]
    rng.shuffle(kinds)
    return kinds


def question(form: Form, found: str, seed: int, number: int, annotators: Annotators) -> Question:
    """A form asked of a scene whose answer is `found`."""
    answerable = found != UNANSWERABLE
    kind = form.kind if answerable else "unanswerable"
    steps = form.steps
    written = annotators.write(found, kind, steps, (seed, number, form.text))
    return Question(form.text, found, kind, steps, seed, number, answerable, written)


class Pool:
    """The scenes of a split without their pixels: number -> scene, and who shows what."""

    def __init__(self, seed: int, n: int):
        self.seed = seed
        self.scenes: dict[int, Scene] = {}
        self.showing: dict[str, list[int]] = defaultdict(list)
        nothing = np.zeros((GRAPH_SIZE, GRAPH_SIZE, 3), dtype=np.uint8)
        for scene in vqa_world(seed).sample(n):
            if min(thing.visible for thing in scene.objects) < LEAST_VISIBLE:
                continue
            things = tuple(replace(thing, mask=nothing[..., 0]) for thing in scene.objects)
            self.scenes[scene.index] = replace(scene, image=nothing, objects=things)
            for concept in {thing.concept for thing in things}:
                self.showing[concept].append(scene.index)
        self.numbers = list(self.scenes)

    def answers(self, form: Form, rng: np.random.Generator) -> dict[str, list[int]]:
        """The scenes that a form can be asked of, by its answer; looked for among those with what it is about."""
        fitting = self.showing.get(form.phrases[-1].anchor.noun, self.numbers)
        if len(fitting) > CANDIDATES:
            fitting = [fitting[i] for i in rng.choice(len(fitting), CANDIDATES, replace=False)]
        others = [self.numbers[i] for i in rng.integers(0, len(self.numbers), OTHERS)]
        found = defaultdict(list)
        for number in dict.fromkeys([*fitting, *others]):
            answer = form.look(self.scenes[number])
            if answer is not None:
                found[answer].append(number)
        return found


@lru_cache(maxsize=4)
def pool_of(split: str, n: int) -> Pool:
    """The first n scenes of a split, less those that hide too much."""
    return Pool(SEEDS[split], n)


def likeness(one: Scene, other: Scene) -> float:
    """How similar two scenes are: things in common, with their colours counted again, and the background."""
    same = Counter(thing.concept for thing in one.objects) & Counter(thing.concept for thing in other.objects)
    dyed = Counter((thing.concept, thing.colour) for thing in one.objects)
    dyed &= Counter((thing.concept, thing.colour) for thing in other.objects)
    fewer = abs(len(one.objects) - len(other.objects))
    return same.total() + dyed.total() + 0.5 * (one.background == other.background) - 0.5 * fewer


class Maker:
    """Makes the questions of one set: no question is asked twice of the same scene."""

    def __init__(self, pool: Pool, rng: np.random.Generator):
        self.pool, self.rng = pool, rng
        self.asked: set[tuple[str, int]] = set()
        self.used: dict[str, Counter[str]] = defaultdict(Counter)  # answers by pattern

    def _forms(self, kind: str):
        """Random forms about random scenes, each with the unused scenes by their answers."""
        for _ in range(TRIES):
            form = draw(kind, self.pool.scenes[pick(self.rng, self.pool.numbers)], self.rng)
            if form is None:
                continue
            found = self.pool.answers(form, self.rng)
            fresh = {}
            for answer, numbers in found.items():
                left = [number for number in numbers if (form.text, number) not in self.asked]
                if left:
                    fresh[answer] = left
            yield form, fresh
        raise UserError(f"No further question of the kind {kind!r} was found: ask for fewer.")

    def _take(self, form: Form, answer: str, number: int) -> tuple[Form, str, int]:
        self.asked.add((form.text, number))
        self.used[form.template][answer] += 1
        return form, answer, number

    def pair(self, kind: str) -> list[tuple[Form, str, int]]:
        """One form, two similar scenes, the two answers that its pattern has had least."""
        for form, found in self._forms(kind):
            rank = {answer: (self.used[form.template][answer], self.rng.random()) for answer in found}
            wanted = sorted(set(found) - {UNANSWERABLE}, key=rank.__getitem__)
            if kind == "unanswerable":
                wanted = [UNANSWERABLE, *wanted] if UNANSWERABLE in found else []
            if len(wanted) < 2:
                continue
            first = pick(self.rng, found[wanted[0]])
            scene = self.pool.scenes[first]
            likes = {number: likeness(scene, self.pool.scenes[number]) for number in found[wanted[1]][:NEIGHBOURS]}
            second = max(likes, key=likes.__getitem__)
            both = [self._take(form, wanted[0], first), self._take(form, wanted[1], second)]
            return both if self.rng.random() < 0.5 else both[::-1]
        raise AssertionError  # _forms raises first

    def single(self, kind: str) -> tuple[Form, str, int]:
        """One form with an answer after its prior: whether it is the favourite is drawn once, before any scene."""
        chance = self.rng.random()
        for form, found in self._forms(kind):
            if kind == "unanswerable":
                answers = [UNANSWERABLE] if UNANSWERABLE in found else []
            else:
                favourite, share = prior(form)
                left = [answer for answer in found if answer not in (favourite, UNANSWERABLE)]
                answers = [favourite] * (favourite in found) if chance < share else left
            if answers:
                answer = pick(self.rng, sorted(answers))
                return self._take(form, answer, pick(self.rng, found[answer]))
        raise AssertionError  # _forms raises first
