"""Questions that follow from one another, for GQA's consistency: who says that the apple is red must say that there is
an apple.
"""

import numpy as np

from vfm_course.errors import UserError
from vfm_course.world import question_forms as forms
from vfm_course.world.answers import Annotators
from vfm_course.world.concepts import CONCEPTS, SUPERCLASS_OF, SUPERCLASSES
from vfm_course.world.palette import COLOURS
from vfm_course.world.question_forms import Form, Phrase
from vfm_course.world.questions import AXES, PLACES, UNANSWERABLE, Question
from vfm_course.world.vqa import SCENES, SEEDS, Maker, pool_of, question, schedule

OPPOSITE = {one: other for pair in AXES.values() for one, other in (pair, pair[::-1])}


def consistency_set(
    split: str, n: int, seed: int = 0, annotators: Annotators | None = None
) -> tuple[list[Question], dict[int, tuple[int, ...]]]:
    """Questions in groups of one and those that follow from it.

    Returns:
        The questions, n of them drawn as those of a balanced set and the others entailed; and for each of the n that
        has any, its number in the list and the numbers of what follows from it and its true answer.

    Raises:
        UserError: an unknown split or a negative n.
    """
    if split not in SEEDS or n < 0:
        raise UserError(f"There is no set of {n} questions of {split!r}: the splits are {', '.join(SEEDS)}.")
    rng = np.random.default_rng([SEEDS[split], seed, 2])
    pool = pool_of(split, max(SCENES, n))
    maker, annotators = Maker(pool, rng), annotators or Annotators()
    questions: list[Question] = []
    place: dict[tuple[str, int], int] = {}
    groups: dict[int, tuple[int, ...]] = {}

    def number(form: Form, found: str, scene: int) -> int:
        if (form.text, scene) not in place:
            place[form.text, scene] = len(questions)
            questions.append(question(form, found, pool.seed, scene, annotators))
        return place[form.text, scene]

    for kind in schedule(n, rng):
        form, found, scene = maker.pair(kind)[0]
        main = number(form, found, scene)
        looked = [(each, each.look(pool.scenes[scene])) for each in entailed(form, found)]
        follow = tuple(number(each, seen, scene) for each, seen in looked if seen is not None)
        if follow:
            groups[main] = follow
    return questions, groups


def entailed(form: Form, answer: str) -> list[Form]:
    """The forms whose answers follow from a form and its answer, whatever the scene; some may leave room for doubt."""
    if answer == UNANSWERABLE:
        if form.template == "not drawn":
            return [forms.exists(form.phrases[0])]
        if len(form.phrases) == 2:
            return [forms.joined(form.phrases[0], "and", form.phrases[1])]
        return [forms.exists(form.phrases[0])] if form.phrases[0].of is None else []
    return _RULES[form.template.split(" asks ")[0] if form.kind != "colour" else "colour"](form, answer)


def _existence(form: Form, answer: str) -> list[Form]:
    (phrase,) = form.parts
    if answer == "yes":
        wider = [Phrase(phrase.noun), Phrase("thing", phrase.colour)] if phrase.colour else []
        wider += [Phrase(SUPERCLASS_OF[phrase.noun])] if phrase.noun in CONCEPTS else []
        return [forms.exists(each) for each in wider if each.noun != "thing" or (each.colour and each != phrase)]
    narrower = [Phrase(phrase.noun, colour) for colour in ("red", "blue")] if phrase.colour is None else []
    narrower += [Phrase(name) for name in SUPERCLASSES.get(phrase.noun, ())[:2]]
    return [*(forms.exists(each) for each in narrower), forms.count(phrase)]


def _colour(form: Form, answer: str) -> list[Form]:
    (phrase,) = form.parts
    colours = list(COLOURS)
    other = colours[(colours.index(answer) + 1) % len(colours)]
    return [forms.is_colour(phrase, answer), forms.is_colour(phrase, other), forms.exists(phrase),
            forms.exists(Phrase(phrase.noun, answer))]  # fmt: skip


def _count(form: Form, answer: str) -> list[Form]:
    (phrase,) = form.parts
    return [] if phrase == Phrase("thing") else [forms.exists(phrase)]


def _position(form: Form, answer: str) -> list[Form]:
    if form.template == "position asks side":
        return [forms.exists(form.parts[0])]
    first, second, axis = form.parts
    relation = next(name for name in AXES[axis] if PLACES[name] == answer)
    return [forms.ask_order(second, first, axis), forms.is_placed(first, relation, second),
            forms.is_placed(second, relation, first), forms.exists(first), forms.exists(second)]  # fmt: skip


def _comparison(form: Form, answer: str) -> list[Form]:
    first, second = form.parts
    if form.template == "comparison colour":
        return [forms.same_colour(second, first), forms.exists(first), forms.exists(second)]
    return [forms.exists(first), forms.more(second, first)] if answer == "yes" else []


def _yes_no(form: Form, answer: str) -> list[Form]:
    if form.template == "yes/no colour":
        phrase, _ = form.parts
        return [forms.ask_colour(phrase)] * (answer == "yes") + [forms.exists(phrase)]
    first, word, second = form.parts
    there = [forms.exists(first), forms.exists(second)]
    if form.template == "yes/no placed":
        turned = [forms.is_placed(second, OPPOSITE[word], first)] if answer == "yes" else []
        return [*turned, *there]
    return there if (word, answer) in (("and", "yes"), ("or", "no")) else []


def _relation(form: Form, answer: str) -> list[Form]:
    (phrase,) = form.parts
    found = [forms.exists(phrase.anchor)]
    if form.template == "relation asks colour":
        found.append(forms.exists(Phrase(phrase.noun, answer, phrase.relation, phrase.of)))
    elif form.template != "relation exists":
        found += [forms.exists(Phrase(answer, None, phrase.relation, phrase.of)), forms.exists(Phrase(answer))]
    return found


_RULES = {
    "existence exists": _existence, "colour": _colour, "count": _count, "position": _position,
    "comparison more": _comparison, "comparison colour": _comparison, "yes/no colour": _yes_no,
    "yes/no placed": _yes_no, "yes/no and": _yes_no, "yes/no or": _yes_no, "relation": _relation,
    "relation exists": _relation,
}  # fmt: skip
