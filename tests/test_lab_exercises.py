"""Every check of notebook 06 can fail: reference, known mistakes and unwritten answers, here and out of process."""

import inspect

import pytest
import torch

from vfm_course.exercises import registry
from vfm_course.exercises.prove import prove
from vfm_course.exercises.record import Choice, Exercise, Written
from vfm_course.exercises.remote import Worker

LAB = registry.chapter("06")
CODING = [entry.id for entry in LAB.values() if isinstance(entry, Exercise)]


@pytest.fixture(scope="module")
def worker():
    torch.set_num_threads(1)
    with Worker(limit=20) as process:
        yield process


def test_the_lab_has_all_its_exercises():
    assert [f"6.{n}" for n in range(1, 15)] == CODING
    assert [key for key in LAB if key not in CODING] == ["6.q1", "6.q2", "6.w1"]


@pytest.mark.parametrize("seed", [0, 1, 2])
@pytest.mark.parametrize("exercise_id", CODING)
def test_check_can_fail_in_this_process(exercise_id, seed):
    prove(LAB[exercise_id], seed)


@pytest.mark.parametrize("exercise_id", CODING)
def test_check_can_fail_out_of_process(exercise_id, worker):
    for seed in (0, 1, 2):
        prove(LAB[exercise_id], seed, worker)


@pytest.mark.parametrize("exercise_id", CODING)
def test_texts_are_whole(exercise_id):
    entry = LAB[exercise_id]
    assert 2 <= len(entry.hints) <= 3
    assert inspect.getdoc(entry.load_reference())
    for text in [*entry.hints, *(mistake.says for mistake in entry.mistakes)]:
        assert text.endswith((".", "?")) and "  " not in text


def test_questions_explain_every_option():
    for entry in LAB.values():
        if isinstance(entry, Choice):
            assert entry.options.keys() == entry.explains.keys() and entry.right in entry.options
        if isinstance(entry, Written):
            assert entry.points == 3 and len(entry.model_answer.split()) > 60
