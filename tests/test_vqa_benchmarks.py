"""Readers for the official benchmark files, on tiny files of the same formats, and what they say of broken ones."""

import base64
import csv
import io
import json
import sys

import pytest
from PIL import Image

from vfm_course.errors import UserError
from vfm_course.vlm.benchmarks import read_gqa, read_mmbench, read_mmmu, read_mmvet, read_vqav2
from vfm_course.vlm.metrics import circular_correct, official_accuracy


def picture(colour: str) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (8, 8), colour).save(file, "JPEG")
    return file.getvalue()


def write_json(path, content):
    path.write_text(json.dumps(content), encoding="utf-8")
    return path


VQA_QUESTIONS = {
    "info": {"version": "2.0"}, "task_type": "Open-Ended", "data_type": "mscoco", "data_subtype": "val2014",
    "license": {"name": "a licence"},
    "questions": [
        {"image_id": 262148, "question": "Where is he looking?", "question_id": 262148000},
        {"image_id": 42, "question": "How many?", "question_id": 42001},
    ],
}  # fmt: skip


def annotation(number: int, image: int, answers: list[str], kind: str) -> dict:
    rows = [{"answer": each, "answer_confidence": "yes", "answer_id": k} for k, each in enumerate(answers, start=1)]
    return {"question_type": "none of the above", "multiple_choice_answer": answers[0], "answers": rows,
            "image_id": image, "answer_type": kind, "question_id": number}  # fmt: skip


VQA_ANNOTATIONS = {
    "info": {}, "data_type": "mscoco", "data_subtype": "val2014", "license": {},
    "annotations": [  # in another order than the questions
        annotation(42001, 42, ["2"] * 6 + ["two"] * 4, "number"),
        annotation(262148000, 262148, ["down"] * 9 + ["at table"], "other"),
    ],
}  # fmt: skip


def test_vqav2_joins_questions_and_annotations(tmp_path):
    questions = write_json(tmp_path / "questions.json", VQA_QUESTIONS)
    samples = read_vqav2(questions, write_json(tmp_path / "annotations.json", VQA_ANNOTATIONS))
    assert [sample.id for sample in samples] == ["262148000", "42001"]
    assert samples[0].images == ("COCO_val2014_000000262148.jpg",) and samples[0].question == "Where is he looking?"
    assert samples[1].answers == ("2",) * 6 + ("two",) * 4 and samples[1].categories == ("number",)
    assert official_accuracy("Two.", samples[1].answers) == 1
    assert not samples[0].options
    assert [sample.answers for sample in read_vqav2(questions)] == [(), ()], "the test split has no annotations"


GQA = {
    "201307251": {
        "semantic": [{"operation": "select", "dependencies": [], "argument": "apple (77)"}], "isBalanced": True,
        "entailed": ["201307252", "201307251"], "equivalent": ["201307251"], "question": "What colour is the apple?",
        "imageId": "n578237", "groups": {"global": "color", "local": "10q-apple"}, "answer": "red",
        "semanticStr": "select: apple (77)->query: color [0]", "annotations": {}, "fullAnswer": "The apple is red.",
        "types": {"detailed": "categoryAttr", "semantic": "attr", "structural": "query"},
    },
    "201307252": {"question": "Is the apple red?", "imageId": "2354786", "isBalanced": True},
}  # fmt: skip


def test_gqa(tmp_path):
    asked, bare = read_gqa(write_json(tmp_path / "questions.json", GQA))
    assert asked.images == ("n578237.jpg",) and asked.answers == ("red",) and asked.categories == ("query", "attr")
    assert asked.entailed == ("201307252", "201307251")
    assert (bare.id, bare.answers, bare.entailed) == ("201307252", (), ()), "the challenge split has no answers"


def mmmu_row(number: int, image, **changes) -> dict:
    row = {"id": f"validation_Accounting_{number}", "question": "<image 1> What is it?", "options": "['$6', '$7']",
           "explanation": "", "img_type": "['Tables']", "answer": "B", "topic_difficulty": "Easy",
           "question_type": "multiple-choice", "subfield": "Investment", "image_1": image}  # fmt: skip
    return row | {f"image_{k}": None for k in range(2, 8)} | changes


def test_mmmu_from_parquet_and_from_lines(tmp_path):
    pyarrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    file = {"bytes": picture("red"), "path": "validation_Accounting_1_1.png"}
    rows = [
        mmmu_row(1, file),
        mmmu_row(2, file, image_2=file, options="[]", answer="['24/7', '3.429']", question_type="open"),
        mmmu_row(3, file, options="""["it's 6", 'say "7"', '8', '9', 'ten']""", answer="E"),
        mmmu_row(4, file, answer="?"),
    ]
    path = tmp_path / "validation-00000-of-00001.parquet"
    parquet.write_table(pyarrow.Table.from_pylist(rows), path)
    first, second, third, fourth = read_mmmu(path)
    assert first.options == ("$6", "$7") and first.answers == ("B",) and first.categories == ("Investment",)
    assert Image.open(io.BytesIO(first.images[0])).size == (8, 8)
    assert second.options == () and second.answers == ("24/7", "3.429") and len(second.images) == 2
    assert third.options == ("it's 6", 'say "7"', "8", "9", "ten") and third.answers == ("E",)
    assert fourth.answers == (), "the test split's answers are held back"

    lines = tmp_path / "rows.jsonl"
    named = [mmmu_row(1, "1.png", question="two\u2028lines"), mmmu_row(2, {"bytes": None, "path": "2.png"})]
    lines.write_text("\n".join(json.dumps(row, ensure_ascii=False) for row in named) + "\n\n", encoding="utf-8")
    assert [sample.images for sample in read_mmmu(lines)] == [("1.png",), ("2.png",)]


COLUMNS = ("index", "question", "hint", "A", "B", "C", "D", "answer", "category", "image", "source", "l2-category",
           "comment", "split")  # fmt: skip


def mmbench(path, *rows):
    """The table as it is published: tabs, and quotes around cells with line breaks."""
    with path.open("w", encoding="utf-8", newline="") as file:
        table = csv.DictWriter(file, COLUMNS, delimiter="\t", restval="")
        table.writeheader()
        table.writerows(rows)
    return path


def mmbench_row(**changes) -> dict:
    row = {"index": "241", "question": "Identify the question.", "hint": "Read\nthe text.", "A": "cat", "B": "dog",
           "C": "fish", "D": "bird", "answer": "B", "category": "identity_reasoning", "l2-category":
           "attribute_reasoning", "image": base64.b64encode(picture("blue")).decode(), "split": "dev"}  # fmt: skip
    return row | changes


def test_mmbench(tmp_path):
    rotated = mmbench_row(index="1000241", A="dog", B="fish", C="bird", D="cat", answer="A", image="241")
    path = mmbench(tmp_path / "dev.tsv", mmbench_row(), mmbench_row(index="242", C="", D="", hint=""), rotated,
                   mmbench_row(index="243", answer=""))  # fmt: skip
    before = csv.field_size_limit()
    first, two, again, test = read_mmbench(path)
    assert first.options == ("cat", "dog", "fish", "bird") and first.answers == ("B",) and first.id == "241"
    assert first.hint == "Read\nthe text." and first.categories == ("attribute_reasoning", "identity_reasoning")
    assert Image.open(io.BytesIO(first.images[0])).size == (8, 8)
    assert two.options == ("cat", "dog") and two.hint == ""
    assert again.images == first.images and again.answers == ("A",)
    assert test.answers == ()
    assert csv.field_size_limit() == before
    assert circular_correct(["B", "A", "D", "C"], first.options, first.answers[0])


def test_mmbench_has_large_pictures(tmp_path):
    coded = base64.b64encode(bytes(300_000)).decode()  # more than the csv module's usual limit of a cell
    (sample,) = read_mmbench(mmbench(tmp_path / "dev.tsv", mmbench_row(image=coded)))
    assert sample.images == (bytes(300_000),)


MMVET = {
    "v1_0": {"imagename": "v1_0.png", "question": "What is x?", "answer": "-1<AND>-5", "imagesource": "a page",
             "capability": ["ocr", "math"]},
    "v1_1": {"imagename": "v1_1.jpg", "question": "How much?", "answer": "$5<OR>5 dollars", "imagesource": "a page",
             "capability": ["rec"]},
}  # fmt: skip


def test_mmvet(tmp_path):
    both, either = read_mmvet(write_json(tmp_path / "mm-vet.json", MMVET))
    assert both.answers == ("-1<AND>-5",) and both.categories == ("ocr", "math") and both.images == ("v1_0.png",)
    assert either.answers == ("$5", "5 dollars")


def said(error) -> str:
    """The one sentence."""
    text = str(error.value)
    assert "\n" not in text and text.endswith(".")
    return text


def test_broken_vqav2_files(tmp_path):
    questions = write_json(tmp_path / "questions.json", VQA_QUESTIONS)
    with pytest.raises(UserError, match=r"missing.json' cannot be read") as error:
        read_vqav2(tmp_path / "missing.json")
    said(error)
    fewer = {**VQA_ANNOTATIONS, "annotations": VQA_ANNOTATIONS["annotations"][:1]}
    with pytest.raises(UserError, match=r"questions.json', row 1: question 262148000 has no annotation") as error:
        read_vqav2(questions, write_json(tmp_path / "annotations.json", fewer))
    said(error)
    with pytest.raises(UserError, match=r"questions.json': there is no field 'annotations'") as error:
        read_vqav2(questions, questions)
    said(error)
    rows = [VQA_QUESTIONS["questions"][0], {"image_id": "42", "question": "How many?", "question_id": 42001}]
    with pytest.raises(UserError, match=r"row 2: the field 'image_id' is '42'") as error:
        read_vqav2(write_json(tmp_path / "text.json", {**VQA_QUESTIONS, "questions": rows}))
    said(error)
    with pytest.raises(UserError, match=r"row 1: there is no field 'question_id'") as error:
        read_vqav2(write_json(tmp_path / "text.json", {**VQA_QUESTIONS, "questions": [7]}))
    said(error)


@pytest.mark.parametrize("read", [read_vqav2, read_gqa, read_mmvet, read_mmbench])
@pytest.mark.parametrize("content", [b"[1, 2]", b'{"cut": ', b"\xff\xfe\x00", b"", b"{}"])
def test_other_files(tmp_path, read, content):
    path = tmp_path / "other.json"
    path.write_bytes(content)
    with pytest.raises(UserError, match=r"other.json'") as error:
        read(path)
    said(error)


def test_broken_tables_by_id(tmp_path):
    with pytest.raises(UserError, match=r"gqa.json', question 7: there is no field 'imageId'") as error:
        read_gqa(write_json(tmp_path / "gqa.json", {"7": {"question": "Why?"}}))
    said(error)
    with pytest.raises(UserError, match=r"mm-vet.json', question v1_0: the field 'capability' is 'ocr'") as error:
        read_mmvet(write_json(tmp_path / "mm-vet.json", {"v1_0": {**MMVET["v1_0"], "capability": "ocr"}}))
    said(error)


@pytest.mark.parametrize(
    ("row", "sentence"),
    [
        (mmmu_row(2, "2.png", options="['$6', "), "row 2: .* is no list"),
        (mmmu_row(2, "2.png", options="__import__('os')"), "row 2: .* is no list"),
        (mmmu_row(2, "2.png", options=["$6"]), "row 2: the field 'options' is"),
        (mmmu_row(2, "2.png", answer="C"), "row 2: the answer 'C' is none of its 2 options"),
        (mmmu_row(2, 3), "row 2: a picture is neither a file name nor a file"),
        ({"options": "[]"}, "row 2: there is no field 'id'"),
    ],
)
def test_broken_mmmu_rows(tmp_path, row, sentence):
    path = tmp_path / "rows.jsonl"
    path.write_text("\n".join(map(json.dumps, [mmmu_row(1, "1.png"), row])), encoding="utf-8")
    with pytest.raises(UserError, match=f"rows.jsonl', {sentence}") as error:
        read_mmmu(path)
    said(error)


def test_broken_mmmu_files(tmp_path, monkeypatch):
    pytest.importorskip("pyarrow")
    path = tmp_path / "rows.parquet"
    with pytest.raises(UserError, match=r"rows.parquet' cannot be read") as error:
        read_mmmu(path)
    said(error)
    path.write_bytes(b"PAR1 and no more")
    with pytest.raises(UserError, match=r"rows.parquet' is no parquet file") as error:
        read_mmmu(path)
    said(error)
    (tmp_path / "rows.jsonl").write_text("{}\n{", encoding="utf-8")
    with pytest.raises(UserError, match=r"row 1: there is no field 'options'"):
        read_mmmu(tmp_path / "rows.jsonl")
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(UserError, match="needs the package pyarrow") as error:
        read_mmmu(path)
    said(error)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"B": ""}, "row 2: the options A to D must be at least two and without a gap"),
        ({"answer": "E"}, "row 2: the answer 'E' is none of its 4 options"),
        ({"answer": "AB"}, "row 2: the answer 'AB' is none"),
        ({"image": "no base64, but as long as some"}, "row 2: the image is neither base64"),
        ({"image": "9999"}, "row 2: the image is neither base64"),
        ({"question": ""}, "row 2: no question"),
    ],
)
def test_broken_mmbench_rows(tmp_path, changes, sentence):
    path = mmbench(tmp_path / "dev.tsv", mmbench_row(), mmbench_row(index="242", **changes))
    with pytest.raises(UserError, match=f"dev.tsv', {sentence}") as error:
        read_mmbench(path)
    said(error)


def test_mmbench_without_its_columns(tmp_path):
    path = tmp_path / "dev.tsv"
    path.write_text("index\tquestion\tA\tB\n1\tWhy?\tx\ty\n", encoding="utf-8")
    with pytest.raises(UserError, match="no table of MMBench: it has no column 'image'") as error:
        read_mmbench(path)
    said(error)
