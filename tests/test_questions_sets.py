"""Sets of questions: balanced pairs, priors, the model that never looks, what follows from what, frozen files."""

import re
from collections import Counter, defaultdict
from pathlib import Path

import numpy as np
import pytest

from vfm_course.errors import UserError
from vfm_course.vlm.metrics import consistency, official_accuracy, validity, vqa_accuracy
from vfm_course.world import CONCEPTS, SUPERCLASSES
from vfm_course.world import question_forms as forms
from vfm_course.world.answers import SYNONYMS, Annotators, plausible_answers, valid_answers
from vfm_course.world.blind import BlindModel, accuracy, chance, pattern
from vfm_course.world.freeze_questions import TRAINING, blind_figures, blind_sets, freeze
from vfm_course.world.question_draw import DRAWERS, LONGEST, PRIORS, USUAL_COLOUR, draw
from vfm_course.world.question_forms import Phrase
from vfm_course.world.questions import KINDS, UNANSWERABLE, answer
from vfm_course.world.vqa import DIFFICULTY, GRAPH_SIZE, pool_of, scene_of, vqa_set, vqa_world
from vfm_course.world.vqa_files import FROZEN, frozen, frozen_groups
from vfm_course.world.vqa_groups import consistency_set, entailed

ROOT = Path(__file__).resolve().parents[1]
DRAWN_KINDS = (*DRAWERS, "unanswerable")


@pytest.fixture(scope="module")
def sets():
    """The test questions that are frozen, and the training questions: {(split, balanced): questions}."""
    return blind_sets()


def test_answers_can_be_found_from_the_words_and_the_masks_alone(sets):
    """A third way for some forms, which knows neither programs nor centres nor depths."""
    full = defaultdict(list)  # the share of its square that each concept fills
    for scene in vqa_world(78).sample(300):
        for each in scene.objects:
            full[each.concept].append(each.mask.sum() / each.visible / (each.extent * GRAPH_SIZE) ** 2)
    checked, nearer = Counter(), []
    for question in sets["train", True][:1600]:
        seen = {each.concept: each for each in scene_of(question).objects}
        if found := re.fullmatch(r"What colour is the (\w+)\?", question.text):
            assert question.answer == (seen[found[1]].colour if found[1] in seen else UNANSWERABLE)
            checked["colour"] += 1
        elif found := re.fullmatch(r"Is there an? (\w+)\?", question.text):
            there = found[1] in {*seen, *(each.superclass for each in seen.values())}
            assert question.answer == ("yes" if there else "no")
            checked["existence"] += 1
        elif found := re.fullmatch(r"Is the (\w+) (left|above|in front)( of)? or \w+ (of )?the (\w+)\?", question.text):
            if question.answer == UNANSWERABLE:
                assert not {found[1], found[5]} <= set(seen)
                continue
            one, other = seen[found[1]], seen[found[5]]
            if found[2] == "in front":
                sizes = [each.mask.sum() / each.visible / np.mean(full[each.concept]) for each in (one, other)]
                nearer.append((sizes[0] > sizes[1]) == (question.answer == "in front"))
                continue
            axis = 1 if found[2] == "left" else 0
            places = [np.nonzero(each.mask)[axis].mean() for each in (one, other)]
            assert (question.answer == found[2]) == (places[0] < places[1])
            checked[found[2]] += 1
    assert len(checked) == 4 and min(checked.values()) > 30, checked
    assert len(nearer) > 30 and np.mean(nearer) > 0.9, "of two things, the nearer one looks larger"


def test_a_set_is_the_same_each_time_and_asks_nothing_twice(sets):
    for balanced in (True, False):
        test = sets["test", balanced]
        assert vqa_set("test", 400, balanced=balanced) == test
        assert vqa_set("test", 400, seed=1, balanced=balanced) != test
        assert len({(each.text, each.scene_number) for each in test}) == len(test) == 400
        assert len({(each.text, each.scene_number) for each in sets["train", balanced]}) == TRAINING
    assert {each.scene_seed for each in sets["test", True]}.isdisjoint(
        {each.scene_seed for each in (*sets["train", True], *vqa_set("validation", 16))}
    )


def test_every_question_has_the_answer_that_its_program_finds_in_its_picture(sets):
    for balanced in (True, False):
        for question in sets["test", balanced]:
            scene = scene_of(question, 32 if balanced else 96)  # the graph does not depend on the size
            assert answer(scene, question.steps) == question.answer
            assert question.answerable == (question.answer != UNANSWERABLE) == (question.kind != "unanswerable")
            assert question.kind in KINDS and len(question.answers) == 10
        lengths = Counter(sum(step.operation == "relate" for step in each.steps) for each in sets["test", balanced])
        assert set(lengths) == {0, *range(1, LONGEST + 1)} and min(lengths.values()) >= 15


def test_nothing_meaningless_is_drawn_where_things_are_counted_and_nothing_is_hidden():
    assert int(5 * DIFFICULTY) == 0, "the world draws up to 5 * difficulty meaningless shapes"
    for scene in pool_of("test", 1000).scenes.values():
        assert 2 <= len(scene.objects) <= 5 and min(each.visible for each in scene.objects) >= 0.5


def test_balanced_pairs_ask_the_same_of_two_scenes_and_differ_in_the_answer(sets):
    for split in ("train", "test"):
        questions = sets[split, True]
        for one, other in zip(questions[::2], questions[1::2], strict=True):
            assert one.text == other.text and one.steps == other.steps
            assert one.answer != other.answer and one.scene_number != other.scene_number
    first = Counter(each.answer for each in sets["train", True][::2] if each.answer in ("yes", "no"))
    assert 0.45 < first["yes"] / first.total() < 0.55, "the order in a pair gives nothing away"


def test_paired_scenes_are_more_alike_than_any_two(sets):
    def alike(one, other) -> int:
        return len({each.concept for each in one.objects} & {each.concept for each in other.objects})

    scenes = [scene_of(question) for question in sets["test", True]]
    pairs = np.mean([alike(scenes[row], scenes[row + 1]) for row in range(0, 400, 2)])
    strangers = np.mean([alike(scenes[row], scenes[(row + 201) % 400]) for row in range(0, 400, 2)])
    assert pairs > strangers + 0.7


def test_balanced_answers_are_even_and_unbalanced_ones_follow_the_priors(sets):
    even, prior = defaultdict(Counter), defaultdict(Counter)
    for counts, balanced in ((even, True), (prior, False)):
        for question in sets["train", balanced]:
            counts[pattern(question.text)][question.answer] += question.answerable
            counts[question.text][question.answer] += question.answerable
    assert even["Is there a -"]["yes"] == even["Is there a -"]["no"] > 100
    colours = even["What colour is the -"]
    assert max(colours.values()) < 1.1 * colours.total() / 8
    # 4000 / 8 questions of each kind: a share of 0.8 of 100 of them varies by 0.04.
    for text, favourite, share in (
        ("Is there a -", "yes", 0.85), ("Is the - in the left or right half of the picture", "left", 0.75),
        ("Is the - left or right of the -", "left", 0.75), ("Are the - and the - of the same colour", "no", 0.8),
        ("How many - things are there", "2", 0.6), ("Is the - -", "yes", 0.8),
    ):  # fmt: skip
        assert abs(prior[text][favourite] / prior[text].total() - share) < 0.13, text
    usual = Counter()
    for concept, colour in USUAL_COLOUR.items():
        for said, count in prior[f"What colour is the {concept}?"].items():
            usual[said == colour] += count
    assert abs(usual[True] / usual.total() - 0.8) < 0.06
    bananas = prior["What colour is the banana?"]
    assert bananas.most_common(1)[0][0] == "yellow"
    assert {each for each, _ in PRIORS.values()} & {"yes", "no", "2", "left", "dog"}


def test_a_model_that_never_looks_is_at_chance_on_pairs_and_good_where_priors_help(sets):
    blind, helped = blind_figures()["balanced"], blind_figures()["unbalanced"]
    for kind in ("existence", "yes/no", "comparison", "position"):
        assert blind[kind] < 0.57 < 0.62 < helped[kind], kind
    assert blind["colour"] < 0.2 and helped["colour"] > 0.65
    assert blind["count"] < 0.33 and helped["count"] > 0.5  # 0 to 3 in most of them
    assert blind["relation"] < 0.34 and helped["relation"] > 0.45
    guess = chance(sets["test", True]) | {"count": 0.25}  # few scenes have four or five of anything
    assert all(abs(blind[kind] - guess[kind]) < 0.13 for kind in blind), (blind, guess)
    assert blind["all"] < 0.4 and helped["all"] > 0.65

    # Whatever a blind model has learnt, on pairs it cannot do better than one of two.
    crossed = BlindModel(sets["test", True])
    assert accuracy(crossed, sets["test", True])["all"] <= 0.5


def test_the_blind_model_falls_back_from_text_to_pattern_to_opening(sets):
    model = BlindModel(sets["train", False])
    assert model("What colour is the banana?") == "yellow" and model("What colour is the truck?") == "grey"
    assert model("Is there a purple castle?") == "yes" and model("Which vehicle is behind the old barn?") == "car"
    assert model("Why?") in {"yes", UNANSWERABLE}
    with pytest.raises(UserError, match="there are none"):
        BlindModel([])


def test_default_rates_show_in_a_set(sets):
    """Word for word right, a synonym, wrong: the shares that the defaults promise, kind by kind."""
    default, shares = Annotators(), defaultdict(list)
    for question in (*sets["train", True], *sets["train", False]):
        right = {question.answer, *SYNONYMS.get(question.answer, ())}
        shares[question.kind].append(sum(each in right for each in question.answers) / 10)
    for kind in KINDS:
        # The unsure say what is right only where nothing can be answered.
        expected = 1 - default.wrong[kind] * (1 - default.unsure)
        expected -= default.unsure if kind != "unanswerable" else 0
        error = np.std(shares[kind]) / len(shares[kind]) ** 0.5
        assert abs(np.mean(shares[kind]) - expected) < 3.5 * error < 0.035, kind


def test_people_agree_with_the_truth_more_than_with_one_who_never_looks(sets):
    questions = sets["test", True]
    people = [question.answers for question in questions]
    truth = vqa_accuracy([question.answer for question in questions], people)
    model = BlindModel(sets["train", True])
    blind = vqa_accuracy([model(question.text) for question in questions], people)
    assert 0.95 < truth < 1 and blind < 0.5
    spelt = official_accuracy("two", ("2", "two", "two", "3", "2", "2", "2", "two", "2", "2"))
    assert spelt == 1, "number words are normalised"


def test_scopes_hold_the_answers_and_no_other_kind(sets):
    for question in (*sets["train", True], *sets["test", False]):
        plausible, valid = plausible_answers(question.steps), valid_answers(question.steps)
        assert question.answer in plausible and set(plausible) <= set(valid)
        assert not {"yes", "no"} & set(valid) or set(valid) <= {"yes", "no", UNANSWERABLE}
    steps = forms.ask_name(Phrase("vehicle", None, "left of", Phrase("cat"))).steps
    assert set(plausible_answers(steps)) == {*SUPERCLASSES["vehicle"], UNANSWERABLE}
    assert set(valid_answers(steps)) == {*CONCEPTS, UNANSWERABLE}
    blind = BlindModel(sets["train", True])
    test = sets["test", True]
    said = {row: blind(question.text) for row, question in enumerate(test)}
    assert validity(said, {row: valid_answers(question.steps) for row, question in enumerate(test)}) > 0.95


def test_what_follows_from_an_answer_is_true_of_every_scene_with_that_answer():
    rng, pool, checked = np.random.default_rng(1), pool_of("test", 1000), Counter()
    for number in pool.numbers[:300]:
        for kind in DRAWN_KINDS:
            form = draw(kind, pool.scenes[number], rng)
            if form is None:
                continue
            for truth, numbers in pool.answers(form, rng).items():
                for follow in entailed(form, truth):
                    looked = {follow.look(pool.scenes[each]) for each in numbers} - {None}
                    assert len(looked) <= 1, f"{form.text} {truth}: {follow.text} {looked}"
                    checked[form.kind] += bool(looked) * len(numbers)
    assert set(checked) == set(KINDS) and min(checked.values()) > 300, checked


def test_groups_for_consistency():
    questions, groups = consistency_set("validation", 40)
    assert (questions, groups) == consistency_set("validation", 40)
    assert len(groups) > 30 and all(main not in follow for main, follow in groups.items())
    for main, follow in groups.items():
        for each in follow:
            assert questions[each].scene_number == questions[main].scene_number
            assert answer(scene_of(questions[each]), questions[each].steps) == questions[each].answer
    answers = {row: question.answer for row, question in enumerate(questions)}
    assert consistency(answers, answers, groups) == 1
    denying = {row: "no" if question.kind == "existence" else question.answer for row, question in enumerate(questions)}
    assert consistency(denying, answers, groups) < 0.7
    with pytest.raises(UserError):
        consistency_set("holdout", 4)


def test_freezing_again_gives_the_same_bytes(tmp_path):
    freeze(tmp_path / "vqa")
    there = ROOT / "data" / "vqa"
    assert {path.name for path in there.iterdir()} == {*(f"{name}.json" for name in FROZEN), "README.md"}
    for path in there.iterdir():
        assert (tmp_path / "vqa" / path.name).read_bytes() == path.read_bytes(), path.name
    assert sum(path.stat().st_size for path in there.iterdir()) < 1_000_000
    assert "Drawn and written by this project, nothing fetched." in (there / "README.md").read_text(encoding="utf-8")


def test_frozen_questions_are_those_of_the_set(sets):
    assert frozen("balanced") == sets["test", True] and frozen("unbalanced") == sets["test", False]
    questions, groups = frozen_groups()
    assert len(groups) > 100 and len(questions) > 300
    with pytest.raises(UserError, match="no frozen questions 'train': choose from balanced"):
        frozen("train")


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("holdout", 4), "no split 'holdout': choose from train, validation, test"),
        (("test", 3), "made of pairs and cannot have 3 questions"),
        (("test", -2), "cannot have -2 questions"),
        (("test", -1, 0, False), "cannot have -1 questions"),
    ],
)
def test_impossible_sets_are_refused_in_words(arguments, sentence):
    with pytest.raises(UserError, match=sentence):
        vqa_set(*arguments)
