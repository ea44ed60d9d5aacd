"""Who handed in what, in each layout that learning platforms write."""

import json
import os
import shutil
import zipfile
from datetime import UTC, datetime
from pathlib import Path

import hostile
import pytest

from vfm_course.errors import UserError
from vfm_course.grading import submissions
from vfm_course.grading.submissions import find_submissions

NONE = "No notebook (.ipynb) was handed in."
LAB = json.dumps(hostile.notebook(["x = 1"]))


def laid(root: Path, *names: str, **texts: str) -> Path:
    """A folder with these files; a name that ends in / is an empty folder, the later name is the newer file."""
    root.mkdir(parents=True, exist_ok=True)
    for number, name in enumerate(names):
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if name.endswith("/"):
            path.mkdir()
        else:
            path.write_text(LAB, encoding="utf-8")
            os.utime(path, (1_700_000_000 + 60 * number,) * 2)
    return root


def zipped(folder: Path, path: Path) -> Path:
    """All of a folder in a zip: files and empty folders."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as box:
        for each in sorted(folder.rglob("*")):
            if each.is_file() or not any(each.iterdir()):  # many programs write no folders
                box.write(each, each.relative_to(folder))
    return path


def found(source: Path, unpack_to: Path | None = None) -> dict:
    """The submissions by student."""
    listed = find_submissions(source, unpack_to or source.parent / "unpacked")
    assert [one.student for one in listed] == sorted({one.student for one in listed})
    assert all(one.problem or one.path.is_file() for one in listed)
    assert all(sentence.endswith(".") for one in listed for sentence in (*one.notes, one.problem or "."))
    return {one.student: one for one in listed}


def students(source: Path, unpack_to: Path | None = None) -> dict[str, str]:
    """Student -> name of what is graded, or the problem."""
    return {one.student: one.problem or one.path.name for one in found(source, unpack_to).values()}


LAYOUTS = {  # name -> what lies there, and who is found with what
    "a notebook each": (["jane.ipynb", "omar.ipynb"], {"jane": "jane.ipynb", "omar": "omar.ipynb"}),
    "a folder each": (["jane/lab.ipynb", "omar/deep/er/x.ipynb"], {"jane": "lab.ipynb", "omar": "x.ipynb"}),
    "one student": (["jane.ipynb"], {"jane": "jane.ipynb"}),
    "one student's folder": (["jane/lab.ipynb"], {"jane": "lab.ipynb"}),
    "one folder around it": (["class/jane.ipynb", "class/omar.ipynb"], {"jane": "jane.ipynb", "omar": "omar.ipynb"}),
    "folders around it": (["a/jane/lab.ipynb", "a/omar/lab.ipynb"], {"jane": "lab.ipynb", "omar": "lab.ipynb"}),
    "around one who handed in": (["a/jane/lab.ipynb", "a/omar/"], {"jane": "lab.ipynb", "omar": NONE}),
    "Canvas, with a PDF": (
        ["x/doejane_123_456_lab.ipynb", "x/roeomar_124_457_lab.pdf"],
        {"doejane": "doejane_123_456_lab.ipynb", "roeomar": f"{NONE[:-1]}; found: roeomar_124_457_lab.pdf."},
    ),
    "beside a README": (["README.md", "roster.csv", "jane.ipynb"], {"jane": "jane.ipynb"}),
    "capitals": (["jane.IPYNB", "omar/Lab.IpyNB"], {"jane": "jane.IPYNB", "omar": "Lab.IpyNB"}),
    "hidden": (
        [
            "jane/lab.ipynb",
            "jane/.ipynb_checkpoints/lab-checkpoint.ipynb",
            "__MACOSX/._jane.ipynb",
            ".git/x.ipynb",
            "omar/._lab.ipynb",
            "omar/lab.ipynb",
        ],
        {"jane": "lab.ipynb", "omar": "lab.ipynb"},
    ),
    "Canvas": (
        ["doejane_LATE_123_456_lab.ipynb", "roeomar_124_457_lab.ipynb"],
        {"doejane": "doejane_LATE_123_456_lab.ipynb", "roeomar": "roeomar_124_457_lab.ipynb"},
    ),
    "Canvas, handed in again": (
        ["doejane_123_456_lab-1.ipynb", "doejane_123_456_lab.ipynb"],
        {"doejane": "doejane_123_456_lab-1.ipynb"},
    ),
    "Canvas, a later upload": (
        ["doejane_123_1000_a.ipynb", "doejane_123_999_z.ipynb"],
        {"doejane": "doejane_123_1000_a.ipynb"},
    ),
    "Moodle": (
        ["Jane Doe_123_assignsubmission_file_/lab.ipynb", "Omar Roe_124_assignsubmission_file_/lab.ipynb"],
        {"Jane Doe": "lab.ipynb", "Omar Roe": "lab.ipynb"},
    ),
    "Moodle without folders": (
        ["Jane Doe_123_assignsubmission_file_lab.ipynb"],
        {"Jane Doe": "Jane Doe_123_assignsubmission_file_lab.ipynb"},
    ),
    "Moodle with texts": (
        ["Jane_Doe_123_assignsubmission_onlinetext_/x.ipynb", "Jane_Doe_123_assignsubmission_file_/lab.ipynb"],
        {"Jane_Doe": "lab.ipynb"},
    ),
    "one of Moodle": (["Jane Doe_123_assignsubmission_file_/lab.ipynb"], {"Jane Doe": "lab.ipynb"}),
    "Gradescope without its table": (
        ["submission_1/lab.ipynb", "submission_2/lab.ipynb"],
        {"submission_1": "lab.ipynb", "submission_2": "lab.ipynb"},
    ),
    "nbgrader": (
        ["source/lab/lab.ipynb", "submitted/jane/lab/lab.ipynb", "submitted/omar/lab/lab.ipynb"],
        {"jane": "lab.ipynb", "omar": "lab.ipynb"},
    ),
    "nbgrader with one student": (["submitted/jane/lab/lab.ipynb"], {"jane": "lab.ipynb"}),
    "of one name": (
        ["Jane Doe_123_assignsubmission_file_/lab.ipynb", "Jane Doe_99_assignsubmission_file_/lab.ipynb"],
        {"Jane Doe (123)": "lab.ipynb", "Jane Doe (99)": "lab.ipynb"},
    ),
    "of one name, Canvas": (
        ["doejane_123_456_lab.ipynb", "doejane_124_457_lab.ipynb"],
        {"doejane (123)": "doejane_123_456_lab.ipynb", "doejane (124)": "doejane_124_457_lab.ipynb"},
    ),
    "a name made to look like another's": (
        ["Jane_1_assignsubmission_file_/a.ipynb", "Jane_2_assignsubmission_file_/b.ipynb", "Jane (1)/c.ipynb"],
        {"Jane (1)": "c.ipynb", "Jane (1) (2)": "a.ipynb", "Jane (2)": "b.ipynb"},
    ),
    "odd names": (
        ["Jörg Müller.ipynb", "O'Neil, Zoë.ipynb", "王小明/läb 1.ipynb", "=cmd()/lab.ipynb", "a\nb\x1b[1m.ipynb"],
        {
            "=cmd()": "lab.ipynb",
            "Jörg Müller": "Jörg Müller.ipynb",
            "O'Neil, Zoë": "O'Neil, Zoë.ipynb",
            "a_b_[1m": "a\nb\x1b[1m.ipynb",
            "王小明": "läb 1.ipynb",
        },
    ),
    "two ways to write an accent": (
        ["Jo\u0308rg/a.ipynb", "J\u00f6rg.ipynb"],
        {"J\u00f6rg (folder)": "a.ipynb", "J\u00f6rg (ipynb)": "J\u00f6rg.ipynb"},
    ),
    "nothing handed in": (
        ["jane/", "omar/lab.pdf", "zoe/lab.ipynb"],
        {
            "jane": NONE,
            "omar": f"{NONE[:-1]}; found: lab.pdf.",
            "zoe": "lab.ipynb",
        },
    ),
    "a folder called like a notebook": (
        ["jane/lab.ipynb/x.txt", "omar/lab.ipynb/lab.ipynb"],
        {"jane": f"{NONE[:-1]}; found: x.txt.", "omar": "lab.ipynb"},
    ),
}


@pytest.mark.parametrize("name", LAYOUTS)
def test_a_layout_is_understood_as_a_folder_and_as_a_zip(name, tmp_path):
    names, expected = LAYOUTS[name]
    folder = laid(tmp_path / "in", *names)
    assert students(folder) == expected
    if name == "odd names":
        expected = expected | {"a_b_[1m": "a_b_[1m.ipynb"}
    box = zipped(folder, tmp_path / "box" / "class.zip")
    assert students(box, tmp_path / "unpacked") == expected
    assert students(box.parent) == expected  # a folder with nothing but the zip


def test_a_zip_for_each_student_and_one_within_a_folder_are_unpacked(tmp_path):
    jane, omar = laid(tmp_path / "jane", "lab/lab.ipynb"), laid(tmp_path / "omar", "lab.ipynb", "data/x.csv")
    source = laid(tmp_path / "in", "zoe.ipynb")
    zipped(jane, source / "jane.zip")
    zipped(omar, source / "omar" / "Handed In.ZIP")
    zipped(laid(tmp_path / "text", "lab.txt"), source / "roe_LATE_1_2_lab.zip")
    listed = found(source)
    assert {name: one.problem or one.path.name for name, one in listed.items()} == {
        "jane": "lab.ipynb",
        "omar": "lab.ipynb",
        "roe": NONE,
        "zoe": "zoe.ipynb",
    }
    assert all(tmp_path / "unpacked" in listed[name].path.parents for name in ("jane", "omar"))
    shutil.rmtree(tmp_path / "unpacked")
    assert students(zipped(source, tmp_path / "class.zip"))["omar"] == "lab.ipynb"  # zips in the zip of a class


def test_zips_that_mean_no_good_are_told_and_harm_nobody(tmp_path):
    source = laid(tmp_path / "in", "zoe.ipynb")
    with zipfile.ZipFile(source / "jane.zip", "w") as box:
        box.writestr("../zoe.ipynb", "evil")
        box.writestr("inner.zip", "x")
        box.writestr("lab.ipynb", LAB)
    (source / "omar.zip").write_bytes(b"no zip")
    listed = found(source)
    assert (source / "zoe.ipynb").read_text() == LAB
    assert listed["jane"].path.name == "lab.ipynb" and listed["omar"].problem == (
        "'omar.zip' cannot be unpacked: it is no zip, or a broken one; no notebook (.ipynb) was handed in."
    )
    assert listed["jane"].notes == (
        "Tampering attempt: 'zoe.ipynb' in the zip was left out: its name leads out of the folder.",
        "'inner.zip' is a zip within a zip, which is not unpacked.",
    )


def test_what_a_zip_of_the_class_could_not_give_is_told_to_its_student(tmp_path):
    folder = laid(tmp_path / "in", "lab/jane/lab.ipynb", "lab/omar/lab.ipynb", "lab/omar/x.ipynb")
    box = zipped(folder, tmp_path / "box" / "class.zip")
    content = box.read_bytes()
    at = content.index(b"lab/omar/lab.ipynb") + len("lab/omar/lab.ipynb") + 9
    box.write_bytes(content[:at] + bytes(4) + content[at + 4 :])
    listed = found(box)
    assert set(listed) == {"jane", "omar"} and listed["omar"].path.name == "x.ipynb"
    assert listed["omar"].notes == ("'lab/omar/lab.ipynb' in the zip was left out: it is broken.",)


def test_of_several_notebooks_the_newest_is_graded_and_a_note_says_so(tmp_path):
    source = laid(tmp_path / "in", "jane/b.ipynb", "jane/z/a.ipynb", "jane/c.ipynb", "omar.ipynb")
    os.utime(source / "jane" / "b.ipynb", (1_800_000_000,) * 2)
    jane = found(source)["jane"]
    assert jane.path == source / "jane" / "b.ipynb"
    assert jane.notes == ("3 notebooks: b.ipynb, the newest, is graded, and not c.ipynb, a.ipynb.",)
    assert jane.submitted is None  # a file's own time is no evidence


def test_canvas_says_who_was_late(tmp_path):
    listed = found(laid(tmp_path / "in", *LAYOUTS["Canvas"][0]))
    assert [listed[name].late for name in ("doejane", "roeomar")] == [True, False]


GRADESCOPE = """---
submission_101:
  :submitters:
  - :name: Jane O''Doe
    :sid: '123'
    :email: jane@example.org
  :created_at: 2026-11-26 19:11:03.123456000 Z
  :score: 0.0
submission_102:
  :submitters:
  - :name: 'Omar Roe'
    :sid: '124'
  - :name: "Zoë Poe"
    :sid: '125'
  :created_at: 2026-11-26 20:00:00.000000000 +01:00
submission_103:
  :created_at: yesterday
"""


def test_gradescope_says_who_it_was_and_when(tmp_path):
    names = [f"assignment_7_export/submission_{number}/lab.ipynb" for number in (101, 102, 103, 104)]
    source = laid(tmp_path / "in", *names)
    (source / "assignment_7_export" / "submission_metadata.yml").write_text(GRADESCOPE, encoding="utf-8")
    expected = {
        "Jane O'Doe": datetime(2026, 11, 26, 19, 11, 3, tzinfo=UTC),
        "Omar Roe & Zoë Poe": datetime(2026, 11, 26, 19, tzinfo=UTC),
        "submission_103": None,
        "submission_104": None,
    }
    for place in (source, zipped(source, tmp_path / "box" / "class.zip")):
        assert {name: one.submitted for name, one in found(place).items()} == expected


TIMES = {  # as nbgrader writes it -> the time
    "2026-11-26 19:11:03.000000 Europe/Berlin": datetime(2026, 11, 26, 18, 11, 3, tzinfo=UTC),
    "2026-11-26 19:11:03.000000 UTC\n": datetime(2026, 11, 26, 19, 11, 3, tzinfo=UTC),
    "2026-11-26 19:11:03": datetime(2026, 11, 26, 19, 11, 3, tzinfo=UTC),
    "2026-11-26 19:11:03+01:00": datetime(2026, 11, 26, 18, 11, 3, tzinfo=UTC),
    "2026-11-26 19:11:03 Nowhere/Atall": None,
    "2026-11-26 19:11:03 ../../../etc/passwd": None,
    "yesterday": None,
    "": None,
    "2026-11-26 19:11:03 UTC" + " " * 50_000_000 + "x": datetime(2026, 11, 26, 19, 11, 3, tzinfo=UTC),
}


@pytest.mark.parametrize("text", TIMES, ids=lambda text: text[:40])
def test_nbgrader_says_when(text, tmp_path):
    source = laid(tmp_path / "in", "submitted/jane/lab/lab.ipynb", "submitted/jane/lab/old.ipynb")
    (source / "submitted" / "jane" / "lab" / "timestamp.txt").write_text(text, encoding="utf-8")
    jane = found(source)["jane"]
    assert jane.submitted == TIMES[text] and jane.path.name == "old.ipynb"


def test_links_to_what_is_another_students_are_not_followed(tmp_path):
    source = laid(tmp_path / "in", "omar/lab.ipynb", "jane/", "zoe/")
    (source / "jane" / "lab.ipynb").symlink_to(source / "omar" / "lab.ipynb")
    (source / "zoe" / "all").symlink_to(source / "omar")
    (source / "max").symlink_to(source / "omar")
    (source / "eva.ipynb").symlink_to(source / "omar" / "lab.ipynb")
    (source / "ada.zip").symlink_to(zipped(source / "omar", tmp_path / "x.zip"))
    listed = found(source)
    assert listed.pop("omar").path == source / "omar" / "lab.ipynb"
    for name, link in [("jane", "lab.ipynb"), ("zoe", "all"), ("max", "max"), ("eva", "eva.ipynb"), ("ada", "ada.zip")]:
        one = listed.pop(name)
        assert one.problem == f"{link!r} is a link, which is not followed; no notebook (.ipynb) was handed in."
        assert not one.path.is_symlink()
    assert not listed


def test_a_pipe_does_not_keep_the_grader_waiting(tmp_path):
    source = laid(tmp_path / "in", "omar/lab.ipynb", "jane/")
    os.mkfifo(source / "jane" / "lab.ipynb")
    os.mkfifo(source / "jane" / "timestamp.txt")
    assert students(source)["jane"] == f"'lab.ipynb' is no ordinary file; no {NONE[3:]}"


def test_the_order_on_the_disk_changes_nothing(tmp_path, monkeypatch):
    names = sorted({name for names, _ in LAYOUTS.values() for name in names if name.startswith(("j", "o", "r", "J"))})
    names = [name for name in names if ".ipynb/" not in name]
    source = laid(tmp_path / "in", *names)
    for path in source.rglob("*.ipynb"):
        os.utime(path, (1_700_000_000,) * 2)
    first, real = found(source), Path.iterdir
    monkeypatch.setattr(Path, "iterdir", lambda path: iter(sorted(real(path), reverse=True)))
    assert found(source) == first and len(first) > 5


def test_what_holds_nothing_to_grade_is_refused_in_one_sentence(tmp_path):
    laid(tmp_path / "empty")
    laid(tmp_path / "others", "README.md", "grades.csv", ".hidden.ipynb")
    (tmp_path / "no.zip").write_bytes(b"no zip")
    zipped(tmp_path / "empty", tmp_path / "empty.zip")
    laid(tmp_path, "one.ipynb")
    sentences = {
        "missing": "does not exist: name the folder or the zip with the submissions.",
        "empty": "holds no submissions: put one .ipynb, zip or folder there for each student.",
        "empty.zip": "holds no submissions: put one .ipynb, zip or folder there for each student.",
        "others": "holds no submissions: put one .ipynb, zip or folder there for each student.",
        "no.zip": "cannot be unpacked: it is no zip, or a broken one; name a folder or a zip with the submissions.",
        "one.ipynb": "cannot be unpacked: it is no zip, or a broken one; name a folder or a zip with the submissions.",
    }
    for name, sentence in sentences.items():
        with pytest.raises(UserError) as caught:
            found(tmp_path / name)
        assert name in str(caught.value) and str(caught.value).endswith(sentence) and "\n" not in str(caught.value)


def test_a_folder_that_may_not_be_read_is_refused_in_one_sentence(tmp_path, monkeypatch):
    def refuse(folder):
        raise PermissionError(13, "Permission denied", str(folder))

    source = laid(tmp_path / "in", "jane.ipynb")
    monkeypatch.setattr(submissions, "listing", refuse)
    with pytest.raises(UserError, match="in' cannot be read: Permission denied; check its permissions.$"):
        found(source)


def test_what_is_unpacked_within_the_source_is_nobodys(tmp_path):
    source = laid(tmp_path / "in", "omar.ipynb")
    zipped(source, source / "jane.zip")
    assert set(found(source, source / "unpacked")) == set(found(source, source / "unpacked")) == {"jane", "omar"}
