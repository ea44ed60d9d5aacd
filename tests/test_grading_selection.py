"""Which code of a notebook runs to define its exercises, and the answers that are read without running it."""

import re
import time
import traceback
import tracemalloc
from pathlib import Path

import pytest

from vfm_course.exercises.record import Exercise
from vfm_course.exercises.registry import chapter, chapters
from vfm_course.grading.notebook import Cell, Notebook, read_notebook
from vfm_course.grading.selection import Selection, mentioned, select

NOTEBOOKS = Path(__file__).parents[1] / "notebooks"
DEF = '@exercise("6.1")\ndef f(x):\n    return '


def book(*sources: str) -> Notebook:
    """A notebook of code cells, numbered from 1."""
    return Notebook(tuple(Cell(number, "", "code", source, ()) for number, source in enumerate(sources, 1)), ())


def chosen(*sources: str, ids=("6.1",)) -> Selection:
    return select(book(*sources), ids)


def code(*sources: str) -> list[str]:
    """The lines that are to run for exercise 6.1."""
    return [line for cell in chosen(*sources).cells for line in cell.split("\n") if line.strip()]


KEPT = {  # a body, and the cells above it that run for it
    "math.pi": ["import math"],
    "p": ["from math import pi as p, e"],
    "os.path.sep": ["import os.path"],
    "pi": ["from math import *"],
    "A": ["A = 3"],
    "A + 0": ["A = 1", "A = 2"],
    "A + 1": ["A: int = 3", "A += 1"],
    "C": ["A, (B, *C) = 1, (2, 3)"],
    "A['x']": ["A = {}", "A['x'] = 1", "A.update(y=2)"],
    "A[0]": ["A = []", "for i in range(3):\n    A.append(i)"],
    "A + 2": ["A = 0\nfor i in range(3):\n    B = i\n    A += B"],
    "A + 3": ["import sys", "if sys:\n    A = 1\n    B = A\nelse:\n    A = 2"],
    "numpy": ["try:\n    import numpy\nexcept ImportError:\n    numpy = None"],
    "B": ["A = 3", "B = [A for _ in range(2)]"],
    "ones": ["import torch", "ones = torch.ones(2) * 3"],
    "g(1)": ["def g(x): return x"],
    "g(2)": ["g = lambda x: x"],
    "g(3)": ["def g(x): return h(x)", "def h(x): return x"],
    "g(4)": ["import functools", "@functools.cache\ndef g(x): return x"],
    "g(5)": ["N = 0", "def g(x):\n    global N\n    N += 1"],
    "G()": ["class G:\n    a = 1\n    b = a"],
    "G(2)": ["class F: pass", "class G(F): pass"],
    "g(6)": ["import math", "A = 1", "class H:\n    a = A", "def g(x): return H(), math"],
}


@pytest.mark.parametrize("body", KEPT)
def test_what_an_exercise_uses_comes_along(body):
    noise = ["unused = 1", "def unused_too(): return unused", "print('x')"]
    found = chosen(*noise, *KEPT[body], DEF + body)
    assert found.cells == (*KEPT[body], DEF + body) and found.numbers == tuple(range(4, 5 + len(KEPT[body])))
    assert found.places == {"6.1": [found.numbers[-1]]} and not found.missing and not found.notes


def test_the_future_comes_along_in_its_own_cell_only():
    assert code("from __future__ import annotations", "A = 1", DEF + "A")[0] == "A = 1"
    assert code("from __future__ import annotations\n" + DEF + "1")[0] == "from __future__ import annotations"


WORK = {  # what does not run, though it stands above the exercise in its cell
    "a print": "print('x')",
    "a plot": "import matplotlib.pyplot as plt\nplt.plot([1])\nplt.show()",
    "a download": "from transformers import AutoModel\nmodel = AutoModel.from_pretrained('x')",
    "a training": "for step in range(9):\n    loss.backward()",
    "a fit": "from sklearn.svm import SVC\nhead = SVC().fit([[1]], [1])",
    "a shell": "import subprocess\nsubprocess.run(['ls'])",
    "the course's own": "import vfm_course\nfrom vfm_course.viz import show\nimages = vfm_course.load()\nshow(images)",
    "a display": "x",
    "magics": "%matplotlib inline\n!ls\n%time x = 1",
    "a loop": "while True:\n    pass",
    "a file": "text = open('x').read()",
    "a question": "from vfm_course.exercises import choice\nchoice('6.q1', 'a')",
    "another exercise": '@exercise("6.2")\ndef g(x): return 1',
    "waiting": "await x\ny = await x",
    "leaving": "exit()",
    "evil": "exec('import os')\neval('1')\n__import__('os').system('ls')",
}


@pytest.mark.parametrize("name", WORK)
def test_work_does_not_run(name):
    assert code(WORK[name] + "\n" + DEF + "1") == (DEF + "1").split("\n")
    assert code(WORK[name], DEF + "1", WORK[name]) == (DEF + "1").split("\n")


def test_what_is_made_by_work_is_missed_with_a_note():
    found = chosen("model = input()", "size = len(model)", DEF + "size")
    assert found.cells == (DEF + "size",)
    assert found.notes == ("An exercise uses size, which cell 2 makes by work that does not run here.",)


def test_a_name_is_as_good_as_what_it_was_made_of_last():
    found = chosen("size = input()", "size = 3", DEF + "size")
    assert found.cells == ("size = 3", DEF + "size")
    found = chosen("size = 3", "size = input()", "double = size * 2", DEF + "double")
    assert found.cells == (DEF + "double",) and "uses double" in found.notes[0]


def test_of_an_exercise_in_two_cells_the_last_counts_and_a_note_says_so():
    found = chosen(DEF + "1", "A = 1", DEF + "A")
    assert found.cells == ("A = 1", DEF + "A") and found.numbers == (2, 3)
    assert found.places == {"6.1": [1, 3]}
    assert found.notes == ("6.1 is there 2 times, in cell 1 and 3: the last one counts.",)


def test_an_exercise_twice_in_one_cell():
    found = chosen(DEF + "1\n" + DEF + "2")
    assert found.cells == ("\n\n\n" + DEF + "2",)
    assert found.notes == ("6.1 is there 2 times, in cell 1: the last one counts.",)


def test_a_missing_exercise_is_listed_in_reading_order():
    found = chosen(DEF + "1", ids=["6.10", "6.q1", "6.2", "6.1"])
    assert found.missing == ("6.2", "6.10", "6.q1") and list(found.places) == ["6.1"]
    nothing = chosen("x = 1", ids=["6.1"])
    assert nothing.cells == () and nothing.missing == ("6.1",) and nothing.places == {}
    assert select(Notebook((Cell(1, "", "markdown", DEF + "1", ()),), ()), ["6.1"]).missing == ("6.1",)
    assert chosen(DEF + "1", ids=[]).cells == ()


SPELLINGS = [
    '@exercise("6.1")\ndef a_name_of_my_own(x): return 1',
    "@exercise('6.1')\nclass Probe: pass",
    '@exercise(exercise_id="6.1")\ndef f(): pass',
    'import vfm_course.exercises as ex\n@ex.exercise("6.1")\ndef f(): pass',
    'from vfm_course.exercises import exercise as task\n@task("6.1")\ndef f(): pass',
    'exercise("6.1")(lambda x: x)',
    'f = exercise("6.1")(len)',
    'ID = "6.1"\n@exercise(ID)\ndef f(): pass',
    'ID = "6." + "1"\n@exercise(f"{ID}")\ndef f(): pass',
    'if True:\n    @exercise("6.1")\n    def f(): pass',
    '@exercise("6.1")\nasync def f(): pass',
    '@exercise(\n    "6.1",\n)\ndef f(): pass',
]


@pytest.mark.parametrize("source", SPELLINGS)
def test_an_exercise_is_found_however_it_is_written(source):
    found = chosen("x = 1", source)
    assert found.places == {"6.1": [2]} and not found.missing
    assert found.cells == (source,) and found.numbers == (2,)


def test_an_exercise_within_a_function_is_missing_with_a_note():
    found = chosen("def outer():\n    " + DEF.replace("\n", "\n    ") + "1")
    assert found.missing == ("6.1",)
    assert found.notes == ("6.1 in cell 1 is within a function, where it is not found: move it out of it.",)


def test_a_cell_that_is_not_python_reaches_the_learner_and_spoils_no_other():
    broken = DEF + "1\nx = = 1"
    found = chosen("A = 1\nif", broken, '@exercise("6.2")\ndef g(x): return 1', ids=["6.1", "6.2"])
    assert found.cells[0] == broken and found.numbers == (2, 3)
    assert found.places == {"6.1": [2], "6.2": [3]} and not found.missing
    assert found.notes == (
        "Cell 1 is not Python and cannot run: invalid syntax, line 2.",
        "Cell 2 is not Python and cannot run: invalid syntax, line 4.",
    )


ANSWERS = {  # code -> the answer to 6.q1 or 6.w1
    'choice("6.q1", "b")': "b",
    "from vfm_course.exercises import choice as c\nc('6.q1', 'b')": "b",
    'choice(question_id="6.q1", picked="b")': "b",
    'MINE = "b"\nchoice("6.q1", MINE)': "b",
    'choice("6.q1", "a")\nchoice("6.q1", "b")': "b",
    'choice("6.q1", "b")\nchoice("6.q1")': "b",
    'if True:\n    choice("6.q1", "b")': "b",
    'for _ in range(1):\n    shown = choice("6.q1", "b")': "b",
    'written("6.w1", "text")': "text",
    'written("6.w1", """\nOne.\nTwo.\n""")': "\nOne.\nTwo.\n",
    'written("6.w1", """\n    text\n""".strip())': "text",
    'written("6.w1", text="one " "two" + " three")': "one two three",
    'n = 3\nwritten("6.w1", f"{n} models")': "3 models",
    'print("x")\nraise SystemExit\nwritten("6.w1", "text")': "text",
}


@pytest.mark.parametrize("source", ANSWERS)
def test_answers_are_read_without_running_anything(source):
    found = chosen(source, ids=["6.q1", "6.w1"])
    answered, other = ("6.q1", "6.w1") if "6.q1" in source else ("6.w1", "6.q1")
    assert found.choices | found.texts == {answered: ANSWERS[source]} and found.cells == ()
    assert found.places.keys() == {answered} and found.missing == (other,)


def test_an_answer_given_again_is_noted_and_an_empty_one_is_none():
    found = chosen('choice("6.q1", "a")', 'choice("6.q1", "b")', ids=["6.q1"])
    assert found.notes == ("6.q1 is answered again in cell 2: the last answer counts.",)
    for empty in ('choice("6.q1")', 'choice("6.q1", None)', 'written("6.q1", "  ")', "choice", "choice()"):
        assert chosen(empty, ids=["6.q1"]).missing == ("6.q1",)


def test_an_answer_that_has_to_be_computed_is_not_read_but_noted():
    found = chosen('choice("6.q1", input())', ids=["6.q1"])
    assert found.choices == {} and found.places == {"6.q1": [1]}
    assert found.notes == ("The answer to 6.q1 in cell 1 is not plain text, so it was not read.",)


def test_lines_keep_their_numbers():
    cell = '# é\nA = "é"; B = 1; print(B)\n\nprint(A)\n\n' + DEF + "B / 0 + len(A)"
    found = chosen("!ls", cell)
    assert [line.strip() for line in found.cells[0].split("\n")][:2] == ["", 'A = "é"; B = 1']
    space = {"exercise": lambda name: lambda function: function}
    exec(compile(found.cells[0], "cell", "exec"), space)
    with pytest.raises(ZeroDivisionError) as caught:
        space["f"](1)
    line = traceback.extract_tb(caught.value.__traceback__)[-1].lineno
    assert cell.split("\n")[line - 1].endswith("B / 0 + len(A)")


def test_what_raises_above_an_exercise_still_does():
    assert code("raise SystemExit(3)\n" + DEF + "1") == ["raise SystemExit(3)", *(DEF + "1").split("\n")]
    assert code("raise SystemExit(3)", DEF + "1\nraise KeyError") == (DEF + "1").split("\n")


def test_everything_that_is_named_is_mentioned():
    found = mentioned(book(DEF + "1", 'x = = choice ( "6.q1", 1', "written(question_id='6.w1')", "exercise(name)"))
    assert found == {"6.1", "6.q1", "6.w1"}
    assert mentioned(Notebook((Cell(1, "", "markdown", DEF, ()),), ())) == frozenset()


@pytest.mark.parametrize("number", chapters())
def test_the_courses_own_notebooks_have_a_place_for_each_exercise(number):
    (path,) = NOTEBOOKS.glob(f"{number}_*.ipynb")
    notebook, entries = read_notebook(path), chapter(number)
    coding = [each for each, entry in entries.items() if isinstance(entry, Exercise)]
    assert notebook.notes == () and mentioned(notebook) == set(entries)
    for ids in (set(entries), *({each} for each in coding)):
        found = select(notebook, ids)
        wanted = ids & set(coding)
        assert wanted <= set(found.places) and not wanted & set(found.missing)
        assert not [note for note in found.notes if "not Python" in note or "counts" in note or "within" in note]
        for cell in found.cells:
            compile(cell, "cell", "exec")
            assert not re.search(r"^\s*(%|!|print\()", cell, re.MULTILINE), cell


HUGE = 60_000
LONG = {  # code that would keep a careless reader busy for hours, or fill the memory
    "spaces before what is no magic": "x = 1\n" + " " * HUGE + "$",
    "statements on one line": "x;" * (HUGE // 10),
    "statements in one cell, all needed": "y = 1;" * (HUGE // 10) + "y = 1\n" + DEF + "y",
    "one after the other": "y = 1\n" + "y = y + 1\n" * (HUGE // 10) + DEF + "y",
    "raises": "raise\n" * (HUGE // 10) + DEF + "1",
    "texts": "a = '" + "x" * 90_000 + "'\n" + "".join(f"b{number} = a + 'y'\n" for number in range(HUGE // 25)),
    "one text": "a = '" + "x" * 50_000 + "'\nb = f'" + "{a}" * (HUGE // 10) + "'",
    "magics": "x = [1, 2]\n" * (HUGE // 11) + "!ls\n" * 60,
    "too long": "x = 1\n" * 100_000,
    "deep": "x = " + "-" * HUGE + "1",
    "deeper": "x = a" + ".b" * HUGE,
    "half a call": "exercise ( " * (HUGE // 11) + "$",
}


@pytest.mark.parametrize("name", LONG)
def test_code_made_to_keep_the_grader_busy_does_not(name):
    began = time.monotonic()
    if "text" in name:  # else it only takes time
        tracemalloc.start()
    try:
        found = chosen(LONG[name], '@exercise("6.2")\ndef g(x): return 1', ids=["6.1", "6.2"])
        assert tracemalloc.get_traced_memory()[1] < 100e6
    finally:
        tracemalloc.stop()
    assert found.places["6.2"] == [2] and found.numbers[-1] == 2 and time.monotonic() - began < 10


def test_notes_come_in_the_same_order_in_each_run():
    names = [f"name{number}" for number in range(9)]
    found = chosen(*(f"{name} = input()" for name in names), DEF + "+".join(reversed(names)))
    assert [note.split()[3] for note in found.notes] == [f"{name}," for name in names]
