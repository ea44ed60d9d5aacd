"""Files that call themselves notebooks: read, or refused in one sentence that names the file."""

import ast
import json
import os
import time
import tracemalloc
from pathlib import Path

import hostile
import pytest

from vfm_course.grading import syntax
from vfm_course.grading.notebook import Cell, Unreadable, read_notebook
from vfm_course.grading.syntax import parsed

SOURCE = "x = 'é'\nprint(x)"
WHOLE = json.dumps(hostile.notebook([SOURCE, "y = 2"]), ensure_ascii=False)


def written(folder: Path, content: str | bytes, name: str = "lab.ipynb") -> Path:
    path = folder / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def read(folder: Path, content: object):
    """What is read of a file with this content: text, bytes, or what JSON makes of anything else."""
    return read_notebook(written(folder, content if isinstance(content, str | bytes) else json.dumps(content)))


def cell(source: object, **more: object) -> dict:
    """A notebook with one cell of this source."""
    return {"nbformat": 4, "nbformat_minor": 2, "cells": [{"cell_type": "code", "source": source} | more]}


NO_JSON = "is not a notebook: not JSON from line 1 on."
NO_CELLS = "is JSON but not a notebook: it has no list of cells."
DEEP = "is nested too deeply to be a notebook."
DIGITS = "is not a notebook: it holds a number of thousands of digits."
REFUSED = {  # what is in the file -> what the sentence says after its name
    "empty": (b"", "is empty."),
    "white space": (b" \n\t\r\n", "is empty."),
    "cut short": (WHOLE[:-30].encode(), NO_JSON),
    "conflict marks of git": (b'{\n<<<<<<< HEAD\n"cells": []}', "is not a notebook: not JSON from line 2 on."),
    "two notebooks": ((WHOLE + WHOLE).encode(), NO_JSON),
    "noise": (bytes(range(256)) * 9, NO_JSON),
    "zeros": (bytes(5000), NO_JSON),
    "a picture": (b"\x89PNG\r\n\x1a\n" + bytes(99), NO_JSON),
    "a list": (b"[1, 2]", NO_CELLS),
    "another dictionary": (b'{"name": "x"}', NO_CELLS),
    "cells that are none": (b'{"cells": {"0": 1}}', NO_CELLS),
    "sheets that are none": (b'{"worksheets": [{"cells": 3}]}', NO_CELLS),
    "deep lists": (b"[" * 200_000, DEEP),
    "deep and closed": (b'{"cells":' + b"[" * 99_999 + b"]" * 99_999 + b"}", DEEP),
    "deep dictionaries": (b'{"cells":' * 99_999, DEEP),
    "endless number": (b'{"cells": ' + b"9" * 9_999 + b"}", DIGITS),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_no_notebook_is_refused_in_one_sentence(name, tmp_path):
    content, reason = REFUSED[name]
    with pytest.raises(Unreadable) as caught:
        read(tmp_path, content)
    assert str(caught.value) == f"'lab.ipynb' {reason}"


def test_what_is_no_file_is_refused_in_one_sentence(tmp_path):
    (tmp_path / "folder.ipynb").mkdir()
    os.mkfifo(tmp_path / "pipe.ipynb")
    sentences = {
        "none.ipynb": "cannot be read: No such file or directory.",
        "folder.ipynb": "is a folder, not a notebook.",
        "pipe.ipynb": "is not an ordinary file.",
        "n" * 300: "cannot be read: File name too long.",
    }
    for name, sentence in sentences.items():
        with pytest.raises(Unreadable) as caught:
            read_notebook(tmp_path / name)
        assert str(caught.value) == f"{name!r} {sentence}"


def test_a_file_that_may_not_be_read_is_refused_in_one_sentence(tmp_path, monkeypatch):
    def refuse(path):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "read_bytes", refuse)  # the tests may run as root, who may read everything
    with pytest.raises(Unreadable, match=r"^'lab\.ipynb' cannot be read: Permission denied\.$"):
        read(tmp_path, WHOLE)


def test_a_notebook_of_200_mb_is_refused_unopened(tmp_path):
    path = tmp_path / "huge.ipynb"
    with path.open("wb") as file:  # a file with a hole in it takes no room on the disk
        file.truncate(200_000_000)
    began = time.monotonic()
    with pytest.raises(Unreadable, match=r"^'huge\.ipynb' has 200 MB; at most 50 MB are read\.$"):
        read_notebook(path)
    assert time.monotonic() - began < 1


def test_a_notebook_with_40_mb_of_output_takes_bounded_memory_and_no_room_afterwards(tmp_path):
    huge = hostile.notebook([SOURCE])
    huge["cells"][0]["outputs"] = [{"output_type": "stream", "name": "stdout", "text": "x" * 40_000_000}]
    path = written(tmp_path, json.dumps(huge))
    tracemalloc.start()
    try:
        found = read_notebook(path)
        left, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert found.cells[0].source == SOURCE
    assert most < 250e6 and left < 5e6


def test_cells_are_read_with_their_ids_kinds_and_tags(tmp_path):
    content = hostile.notebook(["x = 1"])
    content["cells"].append({"cell_type": "markdown", "source": ["# Head\n", "text"], "metadata": {"tags": ["a", 7]}})
    found = read(tmp_path, content)
    assert found.cells == (Cell(1, "c0", "code", "x = 1", ()), Cell(2, "", "markdown", "# Head\ntext", ("a",)))
    assert found.notes == ()


SOURCES = {  # what the file has -> what is read of it
    "a text": ("a = 1\nb = 2", "a = 1\nb = 2"),
    "lines": (["a = 1\n", "b = 2"], "a = 1\nb = 2"),
    "no lines": ([], ""),
    "Windows": (["a = 1\r\n", "b = 2\r\n"], "a = 1\nb = 2\n"),
    "an old Mac": ("a = 1\rb = 2", "a = 1\nb = 2"),
}


ODD = {
    "null": (None, ""),
    "dictionary": ({"a": "x"}, ""),
    "mixed": (["a = 1\n", 7, None, "b = 2"], "a = 1\nb = 2"),
    "deep": ([[["a = 1"]]], ""),
}


@pytest.mark.parametrize("name", SOURCES | ODD)
def test_a_source_is_a_text_or_lines_and_anything_else_is_noted(name, tmp_path):
    source, read_of_it = (SOURCES | ODD)[name]
    found = read(tmp_path, cell(source))
    assert found.cells[0].source == read_of_it
    note = "The source of cell 1 is not text throughout; the rest of it was read."
    assert found.notes == ((note,) if name in ODD else ())


def test_half_characters_are_noted_and_replaced(tmp_path):
    found = read(tmp_path, '{"cells": [{"cell_type": "code", "source": "x = \'\\ud800\'"}]}')
    assert found.cells[0].source == "x = '?'" and "half characters" in found.notes[0]


def test_what_is_no_cell_is_left_out_and_the_numbers_stay(tmp_path):
    content = hostile.notebook(["a = 1"])
    content["cells"] = [None, 7, [], "x", *content["cells"]]
    found = read(tmp_path, content)
    assert [(one.number, one.source) for one in found.cells] == [(5, "a = 1")]
    assert found.notes == tuple(f"Cell {number} is not a cell and was left out." for number in range(1, 5))


def test_strange_fields_do_no_harm(tmp_path):
    content = cell("a = 1", id={"x": 1}, cell_type=["code"], metadata=[1], outputs="none")
    (one,) = read(tmp_path, content | {"metadata": "none"}).cells
    assert isinstance(one.id, str) and isinstance(one.kind, str) and one.tags == () and one.source == "a = 1"
    for tags in ({"a": 1}, None, "exercise", 3):
        assert read(tmp_path, cell("a = 1", metadata={"tags": tags})).cells[0].tags == ()


def test_the_old_format_with_worksheets_is_read(tmp_path):
    sheets = [
        {"cells": [{"cell_type": "code", "input": ["a = 1\n", "b = 2"], "language": "python", "outputs": []}]},
        {"cells": [{"cell_type": "heading", "level": 1, "source": "Head"}, {"cell_type": "code", "input": "c = 3"}]},
        {"metadata": {}},
    ]
    found = read(tmp_path, {"nbformat": 3, "nbformat_minor": 0, "metadata": {"name": ""}, "worksheets": sheets})
    expected = [(1, "code", "a = 1\nb = 2"), (2, "heading", "Head"), (3, "code", "c = 3")]
    assert [(one.number, one.kind, one.source) for one in found.cells] == expected

    assert read(tmp_path, {"cells": []}).cells == read(tmp_path, {"worksheets": []}).cells == ()


ENCODINGS = {  # how it was written -> how the note calls it
    "utf-8": "",
    "utf-8-sig": "",
    "utf-16": "UTF-16",
    "utf-16-le": "UTF-16-LE",
    "utf-16-be": "UTF-16-BE",
    "utf-32": "UTF-32",
    "latin-1": "LATIN-1",
}


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_other_encodings_are_read_and_noted(encoding, tmp_path):
    found = read(tmp_path, WHOLE.encode(encoding))
    assert [one.source for one in found.cells] == [SOURCE, "y = 2"]
    note = f"'lab.ipynb' is not UTF-8, as notebooks are; it was read as {ENCODINGS[encoding]}."
    assert found.notes == ((note,) if ENCODINGS[encoding] else ())


def test_utf_16_that_breaks_off_is_refused(tmp_path):
    with pytest.raises(Unreadable, match=r"^'lab\.ipynb' is not a notebook: not JSON"):
        read(tmp_path, WHOLE.encode("utf-16")[:-1])


@pytest.mark.parametrize("language", ["R", "julia", 7, ["python"], "x" * 999])
def test_another_language_is_noted(language, tmp_path):
    found = read(tmp_path, cell("x <- 1") | {"metadata": {"kernelspec": {"language": language}}})
    assert found.notes == (f"The notebook's language is {str(language)[:40]!r}, not Python.",)
    assert read(tmp_path, cell("x") | {"metadata": {"kernelspec": {"language": "python"}}}).notes == ()


MAGICS = {  # a cell -> the Python of it, line by line
    "%matplotlib inline\nx = 1": "pass\nx = 1",
    "!ls\n!pip install \\\n  -q torch\nx = 1": "pass\npass\n\nx = 1",
    "files = !ls\nhere = %pwd\nx = 1": "pass\npass\nx = 1",
    "?x\nx?\nx.y??\nf()?\nx = 1": "pass\npass\npass\npass\nx = 1",
    "if True:\n    !ls\n    x = 1": "if True:\n    pass\n    x = 1",
    "%%time\nx = 1": "\nx = 1",
    "\n\n%%capture out\nx = 1": "\n\n\nx = 1",
    "%%time\n%matplotlib inline\nx = 1": "\npass\nx = 1",
    "%%bash\nrm -rf /": "",
    "%%writefile a.py\nx = 1": "",
    "%%html\n<b>x</b>": "",
    "%%": "",
    "a = 7 \\\n% 3": "a = 7 \\\n% 3",
    "text = '''\n%time\n!ls\n?x\n'''": "text = '''\n%time\n!ls\n?x\n'''",
    "x = a != b": "x = a != b",
    "\n".join(["!ls"] * 200 + ["x = 1"]): "\n".join(["pass"] * 200 + ["x = 1"]),
}


@pytest.mark.parametrize("source", MAGICS)
def test_magics_go_and_lines_stay_where_they_are(source):
    found, tree = parsed(source)
    assert found == MAGICS[source]
    assert ast.dump(tree) == ast.dump(ast.parse(MAGICS[source]))


@pytest.mark.parametrize("source", ["x = ", "def f(:\n  pass", "!ls\nx = = 1", "  x = 1\ny = 2", "x = 1\0", "(" * 999])
def test_what_is_not_python_raises_what_it_says(source):
    with pytest.raises((SyntaxError, ValueError, RecursionError, MemoryError)):
        parsed(source)


def test_statements_know_their_lines_and_texts():
    source = "%%time\nx = 'é'; y = 2\n\n@a(\n  1)\n# of b\n@b\ndef f():\n    return 'ü'; z = 3\nif x: y; z"
    assert [(first, text) for _, first, text in syntax.statements(source)] == [
        (2, "x = 'é'"),
        (2, "y = 2"),
        (4, "@a(\n  1)\n# of b\n@b\ndef f():\n    return 'ü'; z = 3"),
        (10, "if x: y; z"),
    ]


NAMES = {  # a statement -> the names that it binds, uses at once and uses later
    "import a.b as c, d.e": ("c d", "", ""),
    "def f(x=a): return b(x)": ("f", "a", "b"),
    "def f():\n    global n\n    n = 1": ("f", "", "n"),
    "class C(A):\n    b = c\n    def f(self): return d": ("C", "A c", "d"),
    "a = [b(c) for c in d]": ("a", "b d", ""),
    "f = lambda x: x + y": ("f", "", "y"),
    "for i in a: b": ("i", "a b", ""),
}


@pytest.mark.parametrize("text", NAMES)
def test_names_are_sorted_by_when_they_are_used(text):
    assert syntax.names_of(text) == tuple(set(names.split()) for names in NAMES[text])


VALUES = {  # an expression -> what it stands for
    "'a' 'b'": "ab",
    "3": 3,
    "known": "k",
    "unknown": None,
    "f'{known}-{3}'": "k-3",
    "f'{known!r}'": None,
    "'a' + known": "ak",
    "1 + 2": None,
    "' a '.strip()": "a",
    "'a'.upper()": None,
    "f'{large}{large}'": None,
    "large + large": None,
}


@pytest.mark.parametrize("text", VALUES)
def test_values_are_read_where_that_takes_no_running(text):
    known = {"known": "k", "large": "x" * 60_000}
    assert syntax.value_of(ast.parse(text, mode="eval").body, known) == VALUES[text]


def test_what_a_statement_changes():
    changes = {"a[0] = 1": "a", "a.b += 1": "a", "a += 1": "a", "a.b.append(1)": "a", "a = 1": "", "a.sort()": ""}
    for text, names in changes.items():
        assert syntax.changed_by(ast.parse(text).body[0]) == set(names.split())
