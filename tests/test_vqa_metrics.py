"""VQA's two accuracies and its normalisation, GQA's consistency and validity, circular evaluation, exact match."""

import ast
import math
from pathlib import Path

import pytest

from vfm_course.errors import UserError
from vfm_course.vlm.metrics import (
    accuracy,
    circular_accuracy,
    circular_correct,
    consistency,
    exact_match,
    official_accuracy,
    rotated_answer,
    rotations,
    simple_accuracy,
    validity,
    vqa_accuracy,
)
from vfm_course.vlm.normalise import CONTRACTIONS, extract_choice, normalise

PACKAGE = Path(__file__).resolve().parents[1] / "vfm_course" / "vlm"


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ("Yes", "yes"),  # lower case
        ("yes.", "yes"),  # a period that no digit follows goes
        ("  a   Red\tcar ", "red car"),  # articles and spare space go
        ("The", ""),  # nothing but an article
        ("theatre", "theatre"),  # begins like an article and is none
        ("2.5", "2.5"),  # decimal
        (".5", ".5"),  # a digit follows
        ("2.", "2"),  # none follows
        ("u.s.a.", "usa"),  # no digits, no periods, and no space in their place
        ("100,978", "100978"),  # a comma between digits leaves nothing: the published example
        ("1,000.50", "1000.50"),  # both exceptions at once
        ("1,2,3", "123"),  # between digits twice
        ("red,green", "red green"),  # a comma elsewhere leaves a space
        ("red, green", "red green"),  # which is squeezed with the one there
        ("black/white", "black white"),  # punctuation becomes a space
        ("t-shirt", "t shirt"),  # the hyphen too
        ("one-way", "1 way"),  # and then "one" stands alone
        ("(b)", "b"),  # brackets
        ("what?!", "what"),
        ('"stop"', "stop"),
        ("2:50 pm", "2:50 pm"),  # the colon tells the time: published
        ("girl's", "girl's"),  # the apostrophe tells who: published
        ("dont", "don't"),  # a contraction gets its apostrophe: published
        ("Dont know", "don't know"),
        ("don't", "don't"),  # it has it already
        ("its", "its"),  # a word of its own, not "it's"
        ("hes a man", "he's man"),  # contraction and article
        ("two", "2"),  # number words
        ("Ten", "10"),
        ("eleven", "eleven"),  # only to ten
        ("none", "0"),  # counts as a number
        ("two thirty", "2 thirty"),
        ("someone", "someone"),  # holds "one" and is none
        ("$5", "$5"),  # a sign with a meaning stays
        ("50%", "50%"),
        ("no, 2", "no 2"),  # the comma is not between digits
        ("3.5 - 4.", "3.5 4"),  # decimal, hyphen, final period
        ("", ""),
    ],
)
def test_normalisation(answer, expected):
    assert normalise(answer) == expected
    assert normalise(normalise(answer)) == expected


def test_contractions_are_no_other_words():
    assert len(CONTRACTIONS) > 70
    assert not {"its", "ill", "well", "were", "shed", "hell", "id", "wed", "shell"} & set(CONTRACTIONS)
    assert all(word == full.replace("'", "") for word, full in CONTRACTIONS.items())


@pytest.mark.parametrize(
    ("agree", "simple", "official"),
    [
        # Leaving out one of ten: with k who agree, k times k - 1 are left and 10 - k times k.
        (0, 0, 0),
        (1, 1 / 3, 0.3),  # (1 * 0 + 9 * 1/3) / 10
        (2, 2 / 3, 0.6),  # (2 * 1/3 + 8 * 2/3) / 10
        (3, 1, 0.9),  # (3 * 2/3 + 7 * 1) / 10
        (4, 1, 1),  # three are left at least
        (10, 1, 1),
    ],
)
def test_both_vqa_accuracies(agree, simple, official):
    humans = ["cat"] * agree + ["dog"] * (10 - agree)
    assert simple_accuracy("cat", humans) == pytest.approx(simple)
    assert official_accuracy("cat", humans) == pytest.approx(official)


def test_only_the_official_accuracy_normalises():
    humans = ["2"] * 4 + ["two"] * 3 + ["Two."] * 3
    assert simple_accuracy("two", humans) == 1 and simple_accuracy("a two", humans) == 0
    assert official_accuracy("A two!", humans) == 1
    assert simple_accuracy("Yes", ["yes"] * 10) == 0 and official_accuracy("Yes", ["yes"] * 10) == 1


def test_vqa_accuracy_is_the_mean_over_questions():
    humans = [["cat"] * 10, ["dog"] * 9 + ["cat"]]
    assert vqa_accuracy(["cat", "cat"], humans) == pytest.approx((1 + 0.3) / 2)
    assert vqa_accuracy(["cat", "cat"], humans, simple_accuracy) == pytest.approx((1 + 1 / 3) / 2)


ENTAILED = {"red?": ["apple?", "colour?"], "colour?": ["red?", "colour?"], "boat?": [], "cat?": ["animal?"]}
RIGHT = {"red?": "yes", "apple?": "yes", "colour?": "red", "boat?": "no", "cat?": "yes", "animal?": "yes"}


def test_consistency_counts_what_follows_from_right_answers():
    assert consistency(RIGHT, RIGHT, ENTAILED) == 1
    # red? is right: of apple? and colour? one is. colour? is wrong: does not count. cat? is right, animal? is not.
    said = {**RIGHT, "colour?": "blue", "animal?": "no"}
    assert consistency(said, RIGHT, ENTAILED) == pytest.approx((1 / 2 + 0) / 2)
    # colour? right and red? wrong: itself is not counted among what follows from it.
    assert consistency({**RIGHT, "red?": "no"}, RIGHT, {"colour?": ["red?", "colour?"]}) == 0
    assert math.isnan(consistency({key: "?" for key in RIGHT}, RIGHT, ENTAILED))
    with pytest.raises(UserError, match="no prediction for question 'animal\\?'"):
        consistency({key: said for key, said in RIGHT.items() if key != "animal?"}, RIGHT, ENTAILED)


def test_validity_asks_for_the_kind_of_answer_only():
    scopes = {1: {"red", "blue"}, 2: {"yes", "no"}, 3: {"yes", "no"}}
    assert validity({1: "blue", 2: "red", 3: "no"}, scopes) == pytest.approx(2 / 3)
    assert accuracy(["blue", "red", "no"], ["red", "red", "no"]) == pytest.approx(2 / 3)
    with pytest.raises(UserError, match="no prediction for question 3"):
        validity({1: "blue", 2: "red"}, scopes)


OPTIONS = ("cat", "dog", "black cat", "vitamin C")


@pytest.mark.parametrize(
    ("reply", "letter"),
    [
        ("B", "B"),
        ("b.", "B"),
        ("(b)", "B"),
        ("**B**", "B"),
        ("The answer is B.", "B"),
        ("The correct option is b", "B"),
        ("Answer: (C)", "C"),
        ("B) dog", "B"),
        ("C: the black cat", "C"),
        ("I'd say it's D.", "D"),
        ("A is correct", "A"),
        ("The answer is B because the animal barks", "B"),
        ("It is B, not A", "B"),
        ("The answer is C. There is a cat and a dog, too", "C"),
        ("dog", "B"),
        ("A dog", "B"),  # an article, no letter
        ("The answer is a dog", "B"),
        ("It's a black cat.", "C"),  # no mere cat
        ("vitamin C", "D"),  # no letter C
        ("", None),
        ("E", None),  # there is no fifth
        ("I am not sure", None),
        ("A or B", None),
        ("Both (a) and (b)", None),
        ("A cat or a dog", None),
        ("A. cat\nB. dog", None),
        ("B) cat", None),  # letter and text differ
        ("The answer is B, cat", None),
        ("It is not a dog", None),
        ("The answer is not A.", None),
        ("apple(s)", None),
        ("A bird", None),
    ],
)
def test_extraction_of_a_choice(reply, letter):
    assert extract_choice(reply, OPTIONS) == letter


def test_extraction_with_other_options():
    assert extract_choice("No, there isn't.", ["yes", "no"]) == "B"
    assert extract_choice("It is 2.5", ["2", "2.5", "5"]) == "B"
    assert extract_choice("12", ["1", "2", "12"]) == "C"
    assert extract_choice("A", ["B", "A"]) == "A", "the letter, not the text"
    assert extract_choice("cat", ["cat", "Cat."]) is None, "two options of one text"
    with pytest.raises(UserError, match="1 to 26 options, not of 0"):
        extract_choice("A", [])


def test_rotations_move_the_answer():
    assert rotations(["w", "x", "y"]) == [("w", "x", "y"), ("x", "y", "w"), ("y", "w", "x")]
    for answer in "ABC":
        text = ["w", "x", "y"]["ABC".index(answer)]
        for k, order in enumerate(rotations(["w", "x", "y"])):
            assert order["ABC".index(rotated_answer(answer, k, 3))] == text
    with pytest.raises(UserError, match="a letter of ABC, not 'D'"):
        rotated_answer("D", 0, 3)


def test_circular_evaluation_wants_every_rotation():
    options = ["cat", "dog", "fish", "bird"]
    assert circular_correct(["B", "A", "D", "C"], options, "B")
    assert circular_correct(["the dog", "A.", "(d)", "The answer is C."], options, "B")
    assert not circular_correct(["B", "A", "D", "B"], options, "B")
    assert not circular_correct(["B", "A", "D", "no idea"], options, "B")
    assert not any(circular_correct(["A"] * 4, options, answer) for answer in "ABCD"), "always A"
    assert circular_accuracy([["dog"] * 4, ["dog"] * 4], [options] * 2, ["B", "A"]) == 0.5
    with pytest.raises(UserError, match="4 options are asked in 4 rotations, and there are 3"):
        circular_correct(["B"] * 3, options, "B")


def test_exact_match():
    assert exact_match("(B) $7", ["B"], ["$6", "$7"]) and not exact_match("hard to say", ["A"], ["$6", "$7"])
    assert exact_match("1,234.50", ["1234.5"]) and exact_match(" Blue Whale. ", ["blue whale"])
    assert exact_match("0.333", ["1/3", "0.33"]) and not exact_match("the blue whale", ["blue whale"])
    with pytest.raises(UserError, match="needs a right answer"):
        exact_match("A", [])


@pytest.mark.parametrize(
    "call",
    [
        lambda: simple_accuracy("cat", []),
        lambda: official_accuracy("cat", ["cat"]),
        lambda: vqa_accuracy(["cat"], []),
        lambda: vqa_accuracy([], []),
        lambda: accuracy(["cat"], ["cat", "dog"]),
        lambda: validity({}, {}),
        lambda: circular_accuracy([["A"]], [["x"], ["y"]], ["A"]),
    ],
)
def test_scores_of_nothing_are_refused_in_one_sentence(call):
    with pytest.raises(UserError) as error:
        call()
    assert "\n" not in str(error.value)


def test_metrics_know_nothing_of_the_drawn_world():
    for name in ("metrics", "normalise", "benchmarks"):
        tree = ast.parse((PACKAGE / f"{name}.py").read_text(encoding="utf-8"))
        imported = {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
        ours = {module for module in imported if module.startswith("vfm_course")}
        assert ours <= {"vfm_course.errors", "vfm_course.vlm.normalise"}, name
