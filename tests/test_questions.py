"""Questions about drawn scenes: the words, the program and the answer of each form, annotators and files."""

import json
from collections import Counter

import numpy as np
import pytest

from vfm_course.errors import UserError
from vfm_course.world import Scene, SceneObject
from vfm_course.world import question_forms as forms
from vfm_course.world.answers import SYNONYMS, Annotators, wrong_answers
from vfm_course.world.question_draw import DRAWERS, draw
from vfm_course.world.question_forms import Phrase
from vfm_course.world.questions import KINDS, OPERATIONS, UNANSWERABLE, Step, answer
from vfm_course.world.vqa import vqa_world
from vfm_course.world.vqa_files import read_questions, write_questions

DRAWN_KINDS = (*DRAWERS, "unanswerable")


def thing(concept: str, colour: str, x: float, y: float, depth: int, extent: float) -> SceneObject:
    return SceneObject(concept, colour, "flat", (x, y), extent, 0, False, depth, (0, 0, 1, 1), 1.0, np.zeros((64, 64)))


def made_up(*things: SceneObject) -> Scene:
    return Scene(np.zeros((64, 64, 3), np.uint8), things, "plain", 0.0, 0, 0)


# From left to right: a red apple, a blue cat, a red dog, a green car; the apple is highest, the car nearest.
BY_HAND = made_up(
    thing("car", "green", 56, 30, 0, 0.5), thing("dog", "red", 40, 44, 1, 0.4), thing("cat", "blue", 24, 30, 2, 0.3),
    thing("apple", "red", 8, 10, 3, 0.2),
)  # fmt: skip


@pytest.mark.parametrize(
    ("form", "text", "truth"),
    [
        (forms.exists(Phrase("apple", "red")), "Is there a red apple?", "yes"),
        (forms.exists(Phrase("animal")), "Is there an animal?", "yes"),
        (forms.exists(Phrase("apple", "orange")), "Is there an orange apple?", "no"),
        (forms.ask_colour(Phrase("cat")), "What colour is the cat?", "blue"),
        (forms.ask_colour(Phrase("boat")), "What colour is the boat?", UNANSWERABLE),
        (forms.count(Phrase("thing", "red")), "How many red things are there?", "2"),
        (forms.count(Phrase("food")), "How many food items are there?", "1"),
        (forms.count(Phrase("fish")), "How many fish are there?", "0"),
        (forms.ask_side(Phrase("cat")), "Is the cat in the left or right half of the picture?", "left"),
        (forms.ask_order(Phrase("dog"), Phrase("cat"), "left or right of"), "Is the dog left or right of the cat?",
         "right"),
        (forms.ask_order(Phrase("dog"), Phrase("cat"), "in front of or behind"),
         "Is the dog in front of or behind the cat?", "in front"),
        (forms.ask_order(Phrase("dog"), Phrase("cat"), "above or below"), "Is the dog above or below the cat?",
         "below"),
        (forms.is_placed(Phrase("apple"), "above", Phrase("car")), "Is the apple above the car?", "yes"),
        (forms.is_placed(Phrase("apple"), "behind", Phrase("boat")), "Is the apple behind the boat?", UNANSWERABLE),
        (forms.is_colour(Phrase("dog"), "blue"), "Is the dog blue?", "no"),
        (forms.joined(Phrase("cat"), "and", Phrase("boat")), "Is there a cat and a boat?", "no"),
        (forms.joined(Phrase("cat"), "or", Phrase("boat")), "Is there a cat or a boat?", "yes"),
        (forms.more(Phrase("animal"), Phrase("vehicle")), "Are there more animals than vehicles?", "yes"),
        (forms.more(Phrase("food"), Phrase("vehicle")), "Are there more food items than vehicles?", "no"),
        (forms.same_colour(Phrase("apple"), Phrase("dog")), "Are the apple and the dog of the same colour?", "yes"),
        # One relation: only the apple is left of the cat.
        (forms.ask_name(Phrase("thing", None, "left of", Phrase("cat"))), "What is the thing left of the cat?",
         "apple"),
        # Two: the animal behind the dog is the cat; left of it the apple.
        (forms.ask_colour(Phrase("thing", None, "left of", Phrase("animal", None, "behind", Phrase("dog")))),
         "What colour is the thing left of the animal behind the dog?", "red"),
        # Three: below the car stands the dog (the cat is as high), left of it the cat, above that the apple.
        (forms.ask_name(Phrase("thing", None, "above", Phrase("animal", None, "left of", Phrase(
            "thing", None, "below", Phrase("car"))))),
         "What is the thing above the animal left of the thing below the car?", "apple"),
        # Below the cat stands the dog, in front of it the car, and behind the car of all food the apple.
        (forms.ask_name(Phrase("food", None, "behind", Phrase("thing", None, "in front of", Phrase(
            "thing", None, "below", Phrase("cat"))))),
         "Which food item is behind the thing in front of the thing below the cat?", "apple"),
        # Behind the dog are the cat and the apple: nobody knows which is meant.
        (forms.ask_name(Phrase("thing", None, "behind", Phrase("dog"))), "What is the thing behind the dog?", None),
        # Left of the thing right of the cat …: the way comes back to the cat.
        (forms.ask_name(Phrase("animal", None, "above", Phrase("animal", None, "below", Phrase("cat")))),
         "Which animal is above the animal below the cat?", None),
        (forms.not_drawn(Phrase("cat"), "How much does {} weigh?"), "How much does the cat weigh?", UNANSWERABLE),
    ],
)  # fmt: skip
def test_words_program_and_answer_of_each_form(form, text, truth):
    assert form.text == text and form.look(BY_HAND) == truth
    if truth is not None:
        assert answer(BY_HAND, form.steps) == truth


def test_the_interpreter_agrees_with_the_geometry_on_a_thousand_scenes():
    rng, asked, wrong = np.random.default_rng(0), Counter(), 0
    for scene in vqa_world(77).sample(1000):
        for kind in DRAWN_KINDS:
            form = draw(kind, scene, rng)
            truth = form and form.look(scene)
            if truth is None:
                continue
            assert answer(scene, form.steps) == truth, f"{form.text} of scene {scene.index}"
            asked[kind] += 1
            wrong += answer_or_none(scene, spoilt(form.steps)) != truth
    assert min(asked.values()) > 250 and asked.total() > 6000, asked
    assert wrong > 0.25 * asked.total(), "an interpreter of another language would not be noticed"


def spoilt(steps: tuple[Step, ...]) -> tuple[Step, ...]:
    """The program with each argument replaced by the next one of its operation."""
    found = []
    for step in steps:
        known = list(OPERATIONS[step.operation][3] or [""])
        found.append(step._replace(argument=known[(known.index(step.argument) + 1) % len(known)]))
    return tuple(found)


def answer_or_none(scene: Scene, steps: tuple[Step, ...]) -> str | None:
    try:
        return answer(scene, steps)
    except UserError:
        return None


def test_what_is_ambiguous_or_doubtful_is_not_asked():
    twins = made_up(thing("cat", "red", 10, 10, 0, 0.5), thing("cat", "blue", 50, 10, 1, 0.4))
    assert forms.ask_colour(Phrase("cat")).look(twins) is None
    with pytest.raises(UserError, match="speaks of one thing where scene 0 has 2"):
        answer(twins, forms.ask_colour(Phrase("cat")).steps)
    assert forms.ask_side(Phrase("cat", "red")).look(twins) == "left"
    close = made_up(thing("cat", "red", 30, 10, 0, 0.42), thing("dog", "blue", 37, 50, 1, 0.4))
    for axis, truth in (("left or right of", None), ("in front of or behind", None), ("above or below", "above")):
        assert forms.ask_order(Phrase("cat"), Phrase("dog"), axis).look(close) == truth, axis
    assert forms.ask_side(Phrase("cat")).look(close) is None, "2 of 64 pixels left of the middle"
    assert forms.ask_name(Phrase("thing", None, "left of", Phrase("dog"))).look(close) is None


@pytest.mark.parametrize(
    ("steps", "sentence"),
    [
        ([Step("fly")], "no operation 'fly': the interpreter knows select"),
        ([Step("select", "unicorn")], "select\\) cannot take 'unicorn'"),
        ([Step("select", "cat"), Step("exists", "", (1,))], "a result that no step before it gives"),
        ([Step("select", "cat"), Step("more", "", (0,))], "needs 2 inputs: things, things"),
        ([Step("select", "cat"), Step("exists", "", (0,)), Step("count", "", (1,))], "needs 1 inputs: things"),
        ([Step("select", "cat")], "ends with an operation that gives an answer"),
        ([], "ends with an operation that gives an answer"),
    ],
)
def test_programs_that_are_none_are_refused_in_words(steps, sentence):
    with pytest.raises(UserError, match=sentence):
        answer(BY_HAND, steps)


def test_rates_of_the_annotators_are_their_parameters():
    rates = Annotators(synonym=0.3, wrong={kind: 0.2 for kind in KINDS}, unsure=0.05)
    steps = forms.ask_colour(Phrase("cat")).steps
    said = Counter(each for key in range(4000) for each in rates.write("purple", "colour", steps, (key, "text")))
    unsure = sum(said[each] for each in (UNANSWERABLE, *SYNONYMS[UNANSWERABLE]))
    right = said["purple"] + said["violet"]
    assert abs(unsure / 40_000 - 0.05) < 0.01
    assert abs(right / 40_000 - 0.95 * 0.8) < 0.02
    assert abs(said["violet"] / right - 0.3) < 0.025
    assert set(said) - {UNANSWERABLE, *SYNONYMS[UNANSWERABLE], "purple", "violet"} == set(
        wrong_answers("purple", steps)
    )
    # The spread over questions of the share of wrong ones: sqrt(0.2 * 0.8 / (evenness + 1)), and that of ten draws.
    shares = []
    for key in range(1000):
        written = Annotators(synonym=0, wrong={kind: 0.2 for kind in KINDS}, evenness=3, unsure=0).write(
            "purple", "colour", steps, (key, "text")
        )
        shares.append(sum(each != "purple" for each in written) / 10)
    assert abs(np.mean(shares) - 0.2) < 0.02
    assert abs(np.var(shares) - (0.16 / 4 + 0.16 * 3 / 4 / 10)) < 0.006
    exact = Annotators(synonym=0, wrong={kind: 0 for kind in KINDS}, unsure=0)
    assert exact.write("2", "count", forms.count(Phrase("cat")).steps, (1,)) == ("2",) * 10


def test_annotators_depend_on_the_question_alone():
    steps = forms.count(Phrase("cat")).steps
    one = Annotators().write("2", "count", steps, (4002, 7, "How many cats are there?"))
    assert one == Annotators().write("2", "count", steps, (4002, 7, "How many cats are there?"))
    other = [
        Annotators().write("2", "count", steps, (4002, number, "How many cats are there?")) for number in range(20)
    ]
    assert len(set(other)) > 10
    assert wrong_answers("0", steps) == ("1",) and wrong_answers("2", steps) == ("1", "3")


def test_no_synonym_is_another_right_answer():
    every = [word for words in SYNONYMS.values() for word in words]
    assert len(set(every)) == len(every) and not set(every) & set(SYNONYMS)


@pytest.mark.parametrize("arguments", [{"synonym": 1.5}, {"unsure": -0.1}, {"wrong": {"count": 0.1}}, {"evenness": 0}])
def test_impossible_annotators_are_refused_in_words(arguments):
    with pytest.raises(UserError):
        Annotators(**arguments)


ROW = {"text": "Is there a cat?", "answer": "yes", "kind": "existence", "scene_seed": 4002, "scene_number": 3,
       "steps": [["select", "cat", []], ["exists", "", [0]]], "answerable": True, "answers": ["yes"] * 10}  # fmt: skip


@pytest.mark.parametrize(
    ("row", "sentence"),
    [
        ({**ROW, "answer": 3}, "question 1: answer is 3"),
        ({**ROW, "kind": "riddle"}, "question 1: there is no kind 'riddle'"),
        ({**ROW, "steps": [["exists"]]}, "question 1: a step is an operation"),
        ({**ROW, "steps": [["fly", "", []]]}, "question 1: there is no operation 'fly'"),
        ({"text": "Why?"}, "question 1: its fields are not text, answer"),
        (7, "question 1: its fields are not"),
    ],
)
def test_broken_question_files_are_refused_in_one_sentence(tmp_path, row, sentence):
    path = tmp_path / "questions.json"
    path.write_text(json.dumps({"about": "", "questions": [ROW, row], "entailed": {}}))
    with pytest.raises(UserError, match=sentence) as error:
        read_questions(path)
    assert "questions.json" in str(error.value) and "\n" not in str(error.value)


def test_other_files_are_refused_in_one_sentence(tmp_path):
    path = tmp_path / "questions.json"
    with pytest.raises(UserError, match="cannot be read"):
        read_questions(path)
    for text in ("[1", "[]", '{"questions": []}', '{"questions": [], "entailed": {"x": []}}'):
        path.write_text(text)
        with pytest.raises(UserError, match="is no file of questions"):
            read_questions(path)
    path.write_text(json.dumps({"questions": [ROW], "entailed": {"0": [1]}}))
    with pytest.raises(UserError, match="that it does not hold"):
        read_questions(path)
    path.write_text(json.dumps({"questions": [ROW], "entailed": {}}))
    questions, groups = read_questions(path)
    write_questions(tmp_path / "again.json", "", questions, groups)
    assert read_questions(tmp_path / "again.json") == (questions, groups) and not groups
