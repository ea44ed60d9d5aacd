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


def laid(root: Path, *names: str) -> Path:
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


LAYOUTS = {  # name -> student -> what of theirs is graded, or was handed in instead; under "" what else lies there
    "a notebook each": {"jane": "jane.ipynb", "omar": "omar.ipynb"},
    "a folder each": {"jane": "jane/lab.ipynb", "omar": "omar/deep/er/x.ipynb"},
    "one student's folder": {"jane": "jane/lab.ipynb"},
    "a folder around them": {"jane": "class/jane.ipynb", "omar": "class/omar.ipynb"},
    "a folder around theirs": {"jane": "a/jane/lab.ipynb", "omar": "a/omar/lab.ipynb", "": "README.md"},
    "a folder around one notebook": {"jane": "a/jane/lab.ipynb", "omar": "a/omar/"},
    "capitals": {"jane": "jane.IPYNB", "omar": "omar/Lab.IpyNB"},
    "hidden": {
        "jane": "jane/lab.ipynb",
        "": "jane/.ipynb_checkpoints/lab-checkpoint.ipynb | __MACOSX/._jane.ipynb | .git/x.ipynb | jane/._lab.ipynb",
    },
    "Canvas": {"doejane": "doejane_LATE_123_456_lab.ipynb", "roeomar": "roeomar_124_457_lab.ipynb"},
    "Canvas, handed in again": {"doejane": "doejane_123_456_lab-1.ipynb", "": "doejane_123_456_lab.ipynb"},
    "Canvas, a later upload": {"doejane": "doejane_123_1000_a.ipynb", "": "doejane_123_999_z.ipynb"},
    "Canvas, of one name": {"doejane (123)": "doejane_123_4_lab.ipynb", "doejane (124)": "doejane_124_5_lab.ipynb"},
    "Canvas, with a PDF": {"doejane": "x/doejane_123_456_lab.ipynb", "roeomar": "x/roeomar_124_457_lab.pdf"},
    "Moodle": {
        "Jane Doe": "Jane Doe_123_assignsubmission_file_/lab.ipynb",
        "Omar Roe": "Omar Roe_124_assignsubmission_file_/lab.ipynb",
    },
    "Moodle without folders": {"Jane Doe": "Jane Doe_123_assignsubmission_file_lab.ipynb"},
    "Moodle with texts": {
        "Jane_Doe": "Jane_Doe_123_assignsubmission_file_/lab.ipynb",
        "": "Jane_Doe_123_assignsubmission_onlinetext_/x.ipynb",
    },
    "Moodle, one student": {"Jane Doe": "Jane Doe_123_assignsubmission_file_/lab.ipynb"},
    "Moodle, of one name": {
        "Jane Doe (123)": "Jane Doe_123_assignsubmission_file_/lab.ipynb",
        "Jane Doe (99)": "Jane Doe_99_assignsubmission_file_/lab.ipynb",
    },
    "Gradescope without its table": {"submission_1": "submission_1/lab.ipynb", "submission_2": "submission_2/lab.pdf"},
    "nbgrader": {
        "jane": "submitted/jane/lab/lab.ipynb",
        "omar": "submitted/omar/lab/lab.ipynb",
        "": "source/lab/lab.ipynb | release/lab/lab.ipynb | gradebook.db",
    },
    "nbgrader, one student": {"jane": "submitted/jane/lab/lab.ipynb"},
    "a name made to look like another's": {
        "Jane (1)": "Jane (1)/c.ipynb",
        "Jane (1) (2)": "Jane_1_assignsubmission_file_/a.ipynb",
        "Jane (2)": "Jane_2_assignsubmission_file_/b.ipynb",
    },
    "odd names": {
        "Jörg Müller": "Jörg Müller.ipynb",
        "O'Neil, Zoë": "O'Neil, Zoë.ipynb",
        "王小明": "王小明/läb 1.ipynb",
        "=cmd()": "=cmd()/lab.ipynb",
        "a_b_[1m": "a\nb\x1b[1m/lab.ipynb",
    },
    "an accent in two ways": {"J\u00f6rg (folder)": "Jo\u0308rg/a.ipynb", "J\u00f6rg (ipynb)": "J\u00f6rg.ipynb"},
    "nothing handed in": {"jane": "jane/", "omar": "omar/lab.pdf", "zoe": "zoe/lab.ipynb"},
    "folders called like notebooks": {"jane": "jane/lab.ipynb/x.txt", "omar": "omar/lab.ipynb/lab.ipynb"},
}


@pytest.mark.parametrize("name", LAYOUTS)
def test_a_layout_is_understood_as_a_folder_and_as_a_zip(name, tmp_path):
    expected = {}
    for student, place in LAYOUTS[name].items():
        last = place.split("/")[-1]
        expected[student] = last if last.lower().endswith(".ipynb") else f"{NONE[:-1]}{'; found: ' * bool(last)}{last}."
    expected.pop("", None)
    folder = laid(tmp_path / "in", *(each for place in LAYOUTS[name].values() for each in place.split(" | ")))
    assert students(folder) == expected
    box = zipped(folder, tmp_path / "box" / "class.zip")
    assert students(box, tmp_path / "unpacked") == expected
    assert students(box.parent) == expected  # a folder with nothing but the zip


def test_a_zip_for_each_student_and_one_within_a_folder_are_unpacked(tmp_path):
    jane, omar = laid(tmp_path / "jane", "lab/lab.ipynb"), laid(tmp_path / "omar", "lab.ipynb", "data/x.csv")
    source = laid(tmp_path / "in", "zoe.ipynb")
    zipped(jane, source / "jane.zip"), zipped(omar, source / "omar" / "Handed In.ZIP")
    zipped(laid(tmp_path / "text", "lab.txt"), source / "roe_LATE_1_2_lab.zip")
    listed = found(source)
    graded = {name: one.problem or one.path.name for name, one in listed.items()}
    assert graded == {"jane": "lab.ipynb", "omar": "lab.ipynb", "roe": NONE, "zoe": "zoe.ipynb"}
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
    at = (content := box.read_bytes()).index(b"lab/omar/lab.ipynb") + len("lab/omar/lab.ipynb") + 9
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
    listed = found(laid(tmp_path / "in", *LAYOUTS["Canvas"].values()))
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
    links = {"jane": "lab.ipynb", "zoe": "all", "max": "max", "eva": "eva.ipynb", "ada": "ada.zip"}
    told = {name: f"{link!r} is a link, which is not followed; no {NONE[3:]}" for name, link in links.items()}
    assert {name: one.problem for name, one in listed.items()} == told
    assert not any(one.path.is_symlink() for one in listed.values())


def test_a_pipe_does_not_keep_the_grader_waiting(tmp_path):
    source = laid(tmp_path / "in", "omar/lab.ipynb", "jane/")
    for name in ("lab.ipynb", "timestamp.txt"):
        os.mkfifo(source / "jane" / name)
    assert students(source)["jane"] == f"'lab.ipynb' is no ordinary file; no {NONE[3:]}"


def test_the_order_on_the_disk_changes_nothing(tmp_path, monkeypatch):
    places = {place for layout in LAYOUTS.values() for place in layout.values() if place.endswith("b")}
    source = laid(tmp_path / "in", *(place for place in places if place[0] in "jorJ" and ".ipynb/" not in place))
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
    nothing = "holds no submissions: put one .ipynb, zip or folder there for each student."
    no_zip = "cannot be unpacked: it is no zip, or a broken one; name a folder or a zip with the submissions."
    missing = "does not exist: name the folder or the zip with the submissions."
    alone = "is one notebook: name the folder that it lies in, or use `vfm-course check`."
    sentences = {"empty": nothing, "empty.zip": nothing, "others": nothing, "no.zip": no_zip, "one.ipynb": alone}
    for name, sentence in [*sentences.items(), ("missing", missing)]:
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
    zipped(source := laid(tmp_path / "in", "omar.ipynb"), source / "jane.zip")
    assert set(found(source, source / "unpacked")) == set(found(source, source / "unpacked")) == {"jane", "omar"}
