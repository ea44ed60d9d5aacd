"""The engine in a notebook's own process: what is said, what the name is bound to, progress, time limit."""

import json
import subprocess
import sys
import time

import pytest
import torch

from vfm_course.errors import UserError
from vfm_course.exercises import assess, choice, exercise, hint, progress, session, show, solution, store, written
from vfm_course.solutions import ch06_toolkit as reference


@pytest.fixture(autouse=True)
def fresh(tmp_path, monkeypatch):
    torch.set_num_threads(1)
    monkeypatch.setenv("VFM_CACHE", str(tmp_path))
    monkeypatch.delenv("VFM_PROGRESS", raising=False)
    store.forget_session()
    session._hints_given.clear()
    yield
    store.forget_session()


def test_import_is_light():
    code = "import sys, vfm_course.exercises; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_right_answer_keeps_its_name(capsys):
    def l2_normalise(x):
        return torch.nn.functional.normalize(x, dim=1)

    assert exercise("6.3")(l2_normalise) is l2_normalise
    assert capsys.readouterr().out == "✓ 6.3 Rows of unit length: correct, 1 point.\n"


def test_wrong_answer_is_named_and_replaced(capsys):
    def l2_normalise(x):
        return x / x.norm(dim=0)

    assert exercise("6.3")(l2_normalise) is reference.l2_normalise
    said = capsys.readouterr().out
    assert "✗ 6.3 Rows of unit length: not right yet." in said
    assert "The columns were normalised, not the rows" in said
    assert "Called with: a float32 tensor of shape (4, 6)." in said
    assert "expected " in said and "the reference answer, so the cells below work" in said
    exercise("6.3")(l2_normalise)
    assert capsys.readouterr().out == said


def test_unattempted_is_bound_to_the_reference(capsys):
    def dots(x): ...

    def doc(x):
        """Only words."""

    def raises(x):
        raise NotImplementedError("your turn")

    def later(x):
        if x.ndim == 2:
            raise NotImplementedError
        return x

    for function in (dots, doc, raises, later):
        assert exercise("6.3")(function) is reference.l2_normalise
        assert capsys.readouterr().out.startswith("○ 6.3 Rows of unit length: not attempted yet.")

    class LinearHead(torch.nn.Module):
        def __init__(self, width, classes):
            super().__init__()

        def forward(self, features):
            raise NotImplementedError

    assert exercise("6.14")(LinearHead) is reference.LinearHead
    assert "not attempted yet" in capsys.readouterr().out


def test_exception_becomes_a_sentence_with_its_line(capsys):
    def l2_normalise(x):
        return x / undefined_name  # noqa: F821

    assert exercise("6.3")(l2_normalise) is reference.l2_normalise
    line = l2_normalise.__code__.co_firstlineno + 1
    said = capsys.readouterr().out
    assert f"Line {line} of your cell" in said and "raised NameError: name 'undefined_name' is not defined." in said
    assert "Traceback" not in said


@pytest.mark.parametrize(
    ("answer", "sentence"),
    [
        (lambda x: [1.0], "should be a torch tensor; it is [1]"),
        (lambda x: print(end=""), "is a `return` missing?"),
        (lambda x: x[:, :2], "should have shape (4, 6); it has shape (4, 2)"),
        (lambda x: x * float("nan"), "holds NaN at position (0, 0)"),
        (lambda x: x.div_(x.norm(dim=1, keepdim=True)), "Argument 1 was changed in place"),
        (lambda x, y: x, "raised TypeError"),
    ],
)
def test_wrong_kinds_of_output_are_told(answer, sentence, capsys):
    exercise("6.3")(answer)
    assert sentence in capsys.readouterr().out


def test_kind_of_object_is_judged(capsys):
    assert exercise("6.14")(lambda width: None) is reference.LinearHead
    assert "asks for a class" in capsys.readouterr().out
    assert exercise("6.3")(torch.nn.Linear) is reference.l2_normalise
    assert "asks for a function" in capsys.readouterr().out


def test_unknown_ids_are_sentences():
    with pytest.raises(UserError, match=r"There is no exercise 6\.22; ids near it: .*6\.2"):
        exercise("6.22")
    with pytest.raises(UserError, match=r'choice\("6\.q1"'):
        exercise("6.q1")
    with pytest.raises(UserError, match="Name the exercise"):
        exercise(lambda x: x)
    with pytest.raises(UserError, match="has no exercises"):
        progress("77")


def test_a_users_mistake_shows_one_sentence_in_a_notebook():
    code = "from vfm_course.exercises import hint; hint('6.22')"
    done = subprocess.run(
        [sys.executable, "-m", "IPython", "--colors=NoColor", "-c", code], capture_output=True, text=True
    )
    said = done.stdout + done.stderr
    assert "There is no exercise 6.22" in said and "Traceback" not in said and "registry.py" not in said


def endless(x):
    while True:
        pass


def swallows(x):
    while True:
        try:  # noqa: SIM105
            time.sleep(0.01)
        except:  # noqa: E722
            pass


@pytest.mark.parametrize("answer", [endless, swallows])
def test_endless_loop_ends(answer, capsys):
    started, tracer = time.monotonic(), sys.gettrace()
    assert exercise("6.3", limit=0.3)(answer) is reference.l2_normalise
    assert time.monotonic() - started < 5
    assert "took longer than 0.3 seconds" in capsys.readouterr().out
    assert sys.gettrace() is tracer


def test_limit_by_thread():
    from vfm_course.exercises import limit

    with pytest.raises(limit.TimeUp), limit._by_thread(0.2):
        endless(None)
    with limit._by_thread(5):
        done = True
    assert done


def test_hints_then_solution(capsys):
    for n in (1, 2, 3):
        hint("6.3")
        assert f"hint {n} of 3" in capsys.readouterr().out
    hint("6.3")
    assert "no more hints" in capsys.readouterr().out
    solution("6.3")
    assert "def l2_normalise" in capsys.readouterr().out
    solution("6.q1")
    assert "(b)" in capsys.readouterr().out
    solution("6.w1")
    assert "One point (tagging)" in capsys.readouterr().out


def test_questions(capsys):
    choice("6.q1")
    assert "(a)" in capsys.readouterr().out
    choice("6.q1", "c")
    assert "DINOv2 has no text encoder" in capsys.readouterr().out
    choice("6.q1", "B")
    assert "correct, 1 point" in capsys.readouterr().out
    with pytest.raises(UserError, match="its options: a, b, c, d"):
        choice("6.q1", "z")
    written("6.w1")
    said = capsys.readouterr().out
    assert "whom would you believe" in said and "CLIP for tags" not in said
    written("6.w1", "CLIP sees names.")
    assert "3 words taken" in capsys.readouterr().out
    assess("6.w1", {"tagging": 1, "duplicates": 0})
    assert "1 of 3" in capsys.readouterr().out
    with pytest.raises(UserError, match="has no"):
        assess("6.w1", {"beauty": 1})
    with pytest.raises(UserError, match="0 or 1"):
        written("6.w1", "text", self_points={"tagging": 7})
    progress("6")
    said = capsys.readouterr().out
    assert "6.q1" in said and "Notebook 06: 2 of " in said


def test_progress_file(tmp_path, capsys):
    choice("6.q1", "b")
    store.forget_session()
    choice("6.q1", "a")  # a later wrong try takes nothing away
    file = tmp_path / "progress.json"
    assert json.loads(file.read_text())["exercises"] == {"6.q1": {"status": "right", "points": 1}}
    file.write_text("{broken")
    store.forget_session()
    capsys.readouterr()
    progress("06")
    assert "could not be read; it was set aside as progress.broken.json." in capsys.readouterr().out
    assert (tmp_path / "progress.broken.json").read_text() == "{broken"


def test_progress_off(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("VFM_PROGRESS", "off")
    choice("6.q2", "c")
    progress(6)
    assert "1 of 1" in capsys.readouterr().out
    assert list(tmp_path.iterdir()) == []


def test_notebook_gets_html_and_text(monkeypatch):
    import IPython.display

    shown = []
    monkeypatch.setattr(show, "in_notebook", lambda: True)
    monkeypatch.setattr(IPython.display, "display", lambda bundle, raw: shown.append((bundle, raw)))
    exercise("6.3")(lambda x: {}["<b>"])
    progress("06")
    solution("6.3")
    for bundle, raw in shown:
        assert raw and bundle.keys() == {"text/plain", "text/html"} and "\x1b" not in bundle["text/plain"]
    assert len(shown) == 3 and "<b>&quot;" not in shown[0][0]["text/html"]
    assert 'role="status"' in shown[0][0]["text/html"] and "<table>" in shown[1][0]["text/html"]
