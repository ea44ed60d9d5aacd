"""What every chapter's exercises must be: each check can fail, here and out of process; its texts are whole."""

import inspect
import time
from pathlib import PurePath

import pytest
import torch
from torch import nn

from vfm_course.exercises import registry
from vfm_course.exercises.answer import LocalHandle
from vfm_course.exercises.prove import prove
from vfm_course.exercises.record import Choice, Exercise, Written
from vfm_course.exercises.remote import Worker
from vfm_course.exercises.verdict import RIGHT, judge

ENTRIES = {entry.id: entry for number in registry.chapters() for entry in registry.chapter(number).values()}
CODING = [key for key, entry in ENTRIES.items() if isinstance(entry, Exercise)]
HELD = {  # to code, choose, write; points of the code
    "01": (9, 5, 1, 18),
    "02": (13, 5, 1, 29),
    "03": (17, 5, 1, 44),
    "04": (10, 4, 1, 26),
    "05": (13, 5, 2, 32),
    "06": (14, 2, 1, 27),
}


@pytest.fixture(scope="module")
def worker():
    torch.set_num_threads(1)
    with Worker(limit=20) as process:
        yield process


def test_every_chapter_has_all_its_exercises_in_order():
    assert set(HELD) == set(registry.chapters())
    for number, (coding, choices, written, points) in HELD.items():
        wanted = [f"{int(number)}.{n}" for n in range(1, coding + 1)]
        wanted += [f"{int(number)}.q{n}" for n in range(1, choices + 1)]
        wanted += [f"{int(number)}.w{n}" for n in range(1, written + 1)]
        chapter = registry.chapter(number)
        assert list(chapter) == wanted
        assert sum(entry.points for entry in chapter.values() if isinstance(entry, Exercise)) == points


@pytest.mark.parametrize("exercise_id", CODING)
def test_check_can_fail_in_this_process(exercise_id):
    for seed in range(20):
        prove(ENTRIES[exercise_id], seed)


@pytest.mark.parametrize("exercise_id", CODING)
def test_check_can_fail_out_of_process(exercise_id, worker):
    for seed in range(3):
        prove(ENTRIES[exercise_id], seed, worker)


@pytest.mark.parametrize("exercise_id", CODING)
def test_a_check_takes_less_than_a_second(exercise_id):
    answer, begun = LocalHandle(ENTRIES[exercise_id].load_reference()), time.process_time()
    judge(ENTRIES[exercise_id], answer)
    assert time.process_time() - begun < 1


@pytest.mark.parametrize("exercise_id", CODING)
def test_a_reference_needs_nothing_that_a_notebook_lacks(exercise_id):
    """As a learner's cell: torch is imported, and the names of the chapter's other exercises are bound."""
    chapter = registry.chapter(ENTRIES[exercise_id].notebook).values()
    own = ENTRIES[exercise_id].load_reference()
    references = [entry.load_reference() for entry in chapter if isinstance(entry, Exercise)]
    cell = {"torch": torch, "nn": nn, "PurePath": PurePath, "__name__": "__main__"}
    cell |= {each.__name__: each for each in references if each is not own}
    exec("from __future__ import annotations\n" + inspect.getsource(own), cell)
    assert judge(ENTRIES[exercise_id], LocalHandle(cell[own.__name__])).status == RIGHT


@pytest.mark.parametrize("exercise_id", CODING)
def test_texts_are_whole(exercise_id):
    entry = ENTRIES[exercise_id]
    assert 2 <= len(entry.hints) <= 3 and len(entry.mistakes) >= 4
    assert inspect.getdoc(entry.load_reference())
    for text in [*entry.hints, *(mistake.says for mistake in entry.mistakes)]:
        assert text.endswith((".", "?")) and "  " not in text


def test_questions_explain_every_option_and_what_is_written_has_a_model_answer():
    for entry in ENTRIES.values():
        if isinstance(entry, Choice):
            assert entry.options.keys() == entry.explains.keys() and entry.right in entry.options
            assert list(entry.options) == ["a", "b", "c", "d"]
            assert all(len(text.split()) > 8 and text.endswith((".", "?")) for text in entry.explains.values())
        if isinstance(entry, Written):
            assert entry.points == 3 and len(entry.model_answer.split()) > 80
