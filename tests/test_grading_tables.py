"""What a graded class leaves: tables, pages, the sheet of written answers."""

import csv
import json
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from vfm_course.errors import UserError
from vfm_course.grading import assignment as assignments
from vfm_course.grading.batch import file_name
from vfm_course.grading.class_report import common_mistakes, plot, report, shares
from vfm_course.grading.feedback import feedback
from vfm_course.grading.outputs import write_all
from vfm_course.grading.result import Graded, Result
from vfm_course.grading.tables import gradescope, safe_cell
from vfm_course.grading.written_sheet import read_sheet, write_sheet

ASSIGNMENT = assignments.Assignment({"6.1": 1.0, "6.2": 2.0, "6.w1": 3.0}, name="lab <1>")
RUBRIC = list(ASSIGNMENT.entries[-1].rubric)


def one(student: str, **more) -> Graded:
    results = (
        Result("6.1", "A size in whole patches", "right", 1.0, 1.0),
        Result(
            "6.2", "Normalise", "wrong", 0.0, 2.0, "It is <b>not</b> right.", "a tensor", "Not scaled.", "Use `/ 255`."
        ),
        Result("6.w1", "In words", "to be marked", 0.0, 3.0),
    )
    return replace(Graded(student, "a.ipynb", results, texts={"6.w1": 'Because, \n"so"'}), **more)


def rows(path):
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_tables_and_pages_of_a_class(tmp_path):
    said = write_all([one("Anna"), one("=cmd()", kept=0.5, notes=("odd",))], ASSIGNMENT, ["Held."], tmp_path, {})
    first, second = rows(tmp_path / "grades.csv")
    assert first["student"] == "Anna" and first["6.1"] == "1" and first["6.2"] == "0" and first["6.w1"] == ""
    assert first["total"] == "1" and first["possible"] == "6"
    assert second["student"] == "'=cmd()" and second["total"] == "0.5" and second["notes"] == "odd"
    exported = rows(tmp_path / "nbgrader.csv")[1]
    assert (
        exported["raw_score"] == "1" and exported["late_submission_penalty"] == "0.5" and exported["max_score"] == "6"
    )
    page = (tmp_path / "feedback" / f"{file_name('Anna')}.html").read_text(encoding="utf-8")
    assert "It is &lt;b&gt;not" in page and "<code>/ 255</code>" in page and "lab &lt;1&gt;" in page
    assert "Content-Security-Policy" in page and "<script" not in page
    assert "2 of 2 written answers wait" in said[1]


def test_gradescope_takes_the_result():
    found = gradescope(one("Anna", kept=0.5, tampering=("6.2 tried",)))
    assert found["score"] == 0.5 and [test["score"] for test in found["tests"]] == [0.5, 0, 0]
    assert [test["status"] for test in found["tests"]] == ["passed", "failed", "failed"]
    assert "Not scaled." in found["tests"][1]["output"] and "6.2 tried" in found["output"]
    json.dumps(found)


def test_a_name_is_no_formula():
    assert safe_cell("=1+1") == "'=1+1" and safe_cell("Anna") == "Anna"


def test_students_never_share_a_file():
    names = ["Anna", "anna", "an na", "an_na", "änna", "", "..", "a/b", "a" * 300]
    files = [file_name(name).lower() for name in names]
    assert len(set(files)) == len(names) and all("/" not in each and len(each) < 80 for each in files)


def test_written_answers_are_marked_and_read_back(tmp_path):
    graded = [one("Anna"), one("=Ben")]
    assert write_sheet(graded, ASSIGNMENT, tmp_path / "written.csv") == 2
    sheet = rows(tmp_path / "written.csv")
    assert [row["criterion"] for row in sheet] == RUBRIC * 2 and sheet[0]["answer"] == 'Because, \n"so"'
    for number, row in enumerate(sheet):
        row["points"] = "" if number == len(RUBRIC) else str(int(number != 0))
    with (tmp_path / "marked.csv").open("w", encoding="utf-8-sig", newline="") as file:
        writer = csv.DictWriter(file, list(sheet[0]), delimiter=";")  # as a spreadsheet of another country saves it
        writer.writeheader()
        writer.writerows(sheet)
    marks = read_sheet(tmp_path / "marked.csv", ASSIGNMENT)
    write_all(graded, ASSIGNMENT, [], tmp_path, marks)
    anna, ben = rows(tmp_path / "grades.csv")
    share = (len(RUBRIC) - 1) / len(RUBRIC)
    assert float(anna["6.w1"]) == pytest.approx(3 * share, abs=1e-3) and float(anna["total"]) == pytest.approx(
        1 + 3 * share, abs=1e-3
    )
    assert ben["6.w1"] == ""  # one criterion has no points yet
    kept = [row["points"] for row in rows(tmp_path / "written.csv")]
    assert kept[0] == "0" and kept[len(RUBRIC)] == ""  # nothing that was filled in is lost


@pytest.mark.parametrize(
    ("column", "value", "says"),
    [("points", "2", "row 2: points are 0 or 1"), ("criterion", "style", "no criterion 'style'"),
     ("exercise", "6.1", "of exercise '6.1'")],
)  # fmt: skip
def test_a_sheet_with_a_slip_is_refused(tmp_path, column, value, says):
    write_sheet([one("Anna")], ASSIGNMENT, tmp_path / "written.csv")
    sheet = rows(tmp_path / "written.csv")
    sheet[0] |= {"points": "1"} | {column: value}
    with (tmp_path / "written.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(sheet[0]))
        writer.writeheader()
        writer.writerows(sheet)
    with pytest.raises(UserError, match=says):
        read_sheet(tmp_path / "written.csv", ASSIGNMENT)


def test_the_page_of_the_class_counts_mistakes_and_lists_what_is_odd():
    graded = [one("Anna"), one("Ben", problem="No <notebook>."), one("Carl", tampering=("6.2 tried",))]
    assert common_mistakes(graded) == [("6.2", "Not scaled.", 3)]
    assert shares(graded, ASSIGNMENT)["6.1"]["right"] == 3
    text = report(graded, ASSIGNMENT, ["No network."])
    assert "No &lt;notebook&gt;." in text and "6.2 tried" in text and "No network." in text and "3 submissions" in text
    assert plot(graded, ASSIGNMENT).startswith(b"\x89PNG")
    assert "0 submissions" in report([], ASSIGNMENT, [])


def test_a_page_of_nobody_s_notebook_says_why():
    page = feedback(one("Anna", problem="It is no notebook.", kept=0.9), "lab")
    assert "Nothing could be graded: It is no notebook." in page and "90 % of the points are kept" in page


def test_lateness_takes_points_by_begun_days():
    late = assignments.late_policy("10 % per day")
    assert late.share_kept(-1) == 1 and late.share_kept(0.1) == pytest.approx(0.9) and late.share_kept(30) == 0
    ours = replace(ASSIGNMENT, deadline=datetime(2026, 12, 1, tzinfo=UTC))
    assert ours.days_late(datetime(2026, 12, 2, 12)) == 1.5 and ours.days_late(None) == 0
    with pytest.raises(UserError, match="10 % per day"):
        assignments.late_policy("half")


def test_an_assignment_is_read(tmp_path):
    path = tmp_path / "lab.toml"
    path.write_text('name = "lab 2"\ndeadline = 2026-12-01T23:59:00+01:00\nlate = "5 % per day"\n[points]\n"6.1" = 2\n')
    found = assignments.read_assignment(path)
    assert found.points == {"6.1": 2.0} and found.late.per_day == 0.05 and found.deadline.hour == 23


@pytest.mark.parametrize(
    ("text", "says"),
    [("[points", "no TOML"), ("a = 1", "'a', which means nothing"), ("name = 'x'", "no table"),
     ("[points]\n'6.99' = 1", "6.99"), ("[points]\n'6.1' = -1", "6.1 is worth"),
     ("deadline = 2026-12-01\n[points]\n'6.1' = 1", "date with a time")],
)  # fmt: skip
def test_an_assignment_with_a_slip_is_refused(tmp_path, text, says):
    path = tmp_path / "lab.toml"
    path.write_text(text)
    with pytest.raises(UserError, match=says):
        assignments.read_assignment(path)


def test_of_a_notebook_all_or_some():
    assert set(assignments.of_notebook("6").points) > {"6.1", "6.q1", "6.w1"}
    assert assignments.of_notebook("", ["6.2"]).points == {"6.2": 2.0}
    with pytest.raises(UserError, match="Nothing is to be graded"):
        assignments.of_notebook("")
