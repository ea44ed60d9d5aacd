"""Readers for the official files of VQAv2, GQA, MMMU, MMBench and MM-Vet: each gives the same kind of record.

Nothing is downloaded: the files come from the benchmarks' own pages, under their own licences.
"""

import ast
import base64
import binascii
import csv
import io
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from string import ascii_uppercase
from typing import Any

from vfm_course.errors import UserError

LARGEST_CELL = 2**31 - 1  # characters: a picture in base64 is one cell of a table
SHORT = 24  # characters of base64 that are no picture


@dataclass(frozen=True)
class Sample:
    """One question of a benchmark.

    Attributes:
        benchmark: "VQAv2", "GQA", "MMMU", "MMBench" or "MM-Vet".
        id: the benchmark's own.
        images: a file name for each picture as the benchmark names it, or the file's bytes where they are in the table.
        question: as it stands in the file.
        options: texts of A, B, …; empty for an open question.
        answers: what counts as right: ten people's answers (VQAv2), one answer (GQA), the letter or the accepted
            answers (MMMU), the letter (MMBench), alternatives for a judge (MM-Vet); empty in a split without answers.
        categories: what the benchmark reports by: answer type, structure, subfield, ability or capabilities.
        hint: the text that MMBench gives beside some questions.
        entailed: ids of the questions that follow from this one (GQA).
    """

    benchmark: str
    id: str
    images: tuple[str | bytes, ...]
    question: str
    options: tuple[str, ...] = ()
    answers: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    hint: str = ""
    entailed: tuple[str, ...] = ()


def read_vqav2(questions: Path, annotations: Path | None = None) -> list[Sample]:
    """VQAv2 (Goyal et al. 2017): `v2_OpenEnded_mscoco_*_questions.json` and `v2_mscoco_*_annotations.json`.

    Without annotations, as for its test splits, the records have no answers.

    Raises:
        UserError: a file that cannot be read or is another one, with the row; a question without its annotation.
    """
    content = _json(questions)
    subset = _field(content, "data_subtype", str, f"{_name(questions)}")
    people: dict[int, tuple[tuple[str, ...], str]] = {}
    for where, row in _rows(annotations, _json(annotations), "annotations") if annotations else ():
        said = _field(row, "answers", list, where)
        texts = tuple(_field(each, "answer", str, where) for each in said)
        people[_field(row, "question_id", int, where)] = texts, row.get("answer_type", "")
    samples = []
    for where, row in _rows(questions, content, "questions"):
        number = _field(row, "question_id", int, where)
        if annotations and number not in people:
            raise UserError(f"{where}: question {number} has no annotation in {_name(annotations)}.")
        texts, kind = people.get(number, ((), ""))
        image = f"COCO_{subset}_{_field(row, 'image_id', int, where):012d}.jpg"
        question = _field(row, "question", str, where)
        samples.append(Sample("VQAv2", str(number), (image,), question, (), texts, (kind,) if kind else ()))
    return samples


def read_gqa(questions: Path) -> list[Sample]:
    """GQA (Hudson & Manning 2019): `*_balanced_questions.json` or `*_all_questions.json`, a table by question id.

    Raises:
        UserError: a file that cannot be read or is another one, with the question.
    """
    samples = []
    for key, row, where in _by_id(questions, "GQA"):
        image = f"{_field(row, 'imageId', str, where)}.jpg"
        question = _field(row, "question", str, where)
        answers = (_field(row, "answer", str, where),) if "answer" in row else ()
        structure = row.get("types") or {}
        kinds = tuple(structure[name] for name in ("structural", "semantic") if structure.get(name))
        entailed = tuple(str(each) for each in row.get("entailed") or ())
        samples.append(Sample("GQA", key, (image,), question, (), answers, kinds, "", entailed))
    return samples


def read_mmmu(path: Path) -> list[Sample]:
    """MMMU (Yue et al. 2023): the published parquet files, or their rows as one JSON object a line (`.jsonl`).

    `options`, and the answers of some open questions, are strings that hold a Python list. The pictures of the parquet
    files come as bytes, those of a line as file names. An answer "?" (the test split) is none.

    Raises:
        UserError: a file that cannot be read or is another one, with the row; parquet without `pyarrow` installed.
    """
    samples = []
    for where, row in _lines(path) if path.suffix == ".jsonl" else _parquet(path):
        options = tuple(_listed(_field(row, "options", str, where), where))
        answer = row.get("answer")
        answers: tuple[str, ...] = ()
        if answer not in (None, "", "?"):
            answers = tuple(_listed(answer, where)) if str(answer).startswith("[") else (str(answer),)
        if options and answers and not set(answers) <= set(ascii_uppercase[: len(options)]):
            raise UserError(f"{where}: the answer {answer!r} is none of its {len(options)} options.")
        pictures = (row.get(f"image_{number}") for number in range(1, 8))
        images = tuple(_picture(each, where) for each in pictures if each is not None)
        subfield = row.get("subfield") or ""
        samples.append(Sample("MMMU", _field(row, "id", str, where), images, _field(row, "question", str, where),
                              options, answers, (subfield,) if subfield else ()))  # fmt: skip
    return samples


def read_mmbench(path: Path) -> list[Sample]:
    """MMBench (Liu et al. 2023): the tab-separated table, with pictures in base64.

    A cell of `image` that is a number means the picture of the row with that index, as in the tables that hold all
    rotations. Empty options end the list; the test splits have no answers.

    Raises:
        UserError: a file that cannot be read or is another one, with the row.
    """
    rows = list(_table(path))
    pictures = {row["index"]: row["image"] for _, row in rows if not row["image"].isdigit()}
    samples = []
    for where, row in rows:
        texts = [(row.get(letter) or "").strip() for letter in "ABCD"]
        options = tuple(text for text in texts if text)
        if len(options) < 2 or tuple(texts[: len(options)]) != options:
            raise UserError(f"{where}: the options A to D must be at least two and without a gap.")
        answer = (row.get("answer") or "").strip()
        if answer and answer not in tuple(ascii_uppercase[: len(options)]):
            raise UserError(f"{where}: the answer {answer!r} is none of its {len(options)} options.")
        coded = pictures.get(row["image"], row["image"])
        try:
            image = base64.b64decode(coded, validate=True)
        except (binascii.Error, ValueError):
            image = b""
        if len(coded) < SHORT or not image:
            raise UserError(f"{where}: the image is neither base64 nor the index of a row that has one.")
        kinds = tuple(row[name] for name in ("l2-category", "category") if row.get(name))
        samples.append(Sample("MMBench", row["index"], (image,), row["question"], options, (answer,) if answer else (),
                              kinds, (row.get("hint") or "").strip()))  # fmt: skip
    return samples


def read_mmvet(path: Path) -> list[Sample]:
    """MM-Vet (Yu et al. 2023, arXiv:2308.02490): `mm-vet.json`, a table by question id.

    The answer's alternatives are separated at `<OR>`; `<AND>`, between parts that must all be said, stays. MM-Vet is
    scored by a language model that compares with them, not by a match.

    Raises:
        UserError: a file that cannot be read or is another one, with the question.
    """
    samples = []
    for key, row, where in _by_id(path, "MM-Vet"):
        image, question = _field(row, "imagename", str, where), _field(row, "question", str, where)
        answers = tuple(each.strip() for each in _field(row, "answer", str, where).split("<OR>") if each.strip())
        skills = tuple(str(each) for each in _field(row, "capability", list, where))
        samples.append(Sample("MM-Vet", key, (image,), question, (), answers, skills))
    return samples


def _name(path: Path) -> str:
    return repr(str(path))


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise UserError(f"{_name(path)} cannot be read: {error.strerror or error}.") from None
    except UnicodeDecodeError:
        raise UserError(f"{_name(path)} is no text in UTF-8.") from None


def _json(path: Path) -> Any:
    try:
        return json.loads(_text(path))
    except json.JSONDecodeError as error:
        raise UserError(f"{_name(path)} is no JSON: {error.msg} in line {error.lineno}.") from None


def _rows(path: Path, content: Any, name: str) -> Iterator[tuple[str, dict]]:
    """The objects of a list in a file, each with what to call it in an error."""
    rows = _field(content, name, list, _name(path))
    return ((f"{_name(path)}, row {number}", row) for number, row in enumerate(rows, start=1))


def _lines(path: Path) -> Iterator[tuple[str, dict]]:
    for number, line in enumerate(_text(path).split("\n"), start=1):
        if line.strip():
            try:
                row = json.loads(line)
            except json.JSONDecodeError as error:
                raise UserError(f"{_name(path)}, row {number}: no JSON: {error.msg}.") from None
            yield f"{_name(path)}, row {number}", row


def _parquet(path: Path) -> Iterable[tuple[str, dict]]:
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError:
        raise UserError("Reading parquet needs the package pyarrow: `pip install pyarrow`.") from None
    try:
        with path.open("rb") as file:
            rows = pyarrow.parquet.read_table(file).to_pylist()
    except pyarrow.ArrowException:
        raise UserError(f"{_name(path)} is no parquet file.") from None
    except OSError as error:
        raise UserError(f"{_name(path)} cannot be read: {error.strerror or error}.") from None
    return ((f"{_name(path)}, row {number}", row) for number, row in enumerate(rows, start=1))


def _table(path: Path) -> Iterator[tuple[str, dict[str, str]]]:
    before = csv.field_size_limit(LARGEST_CELL)
    try:
        reader = csv.DictReader(io.StringIO(_text(path), newline=""), delimiter="\t")
        missing = {"index", "question", "A", "B", "image"} - set(reader.fieldnames or ())
        if missing:
            raise UserError(f"{_name(path)} is no table of MMBench: it has no column {min(missing)!r}.")
        for number, row in enumerate(reader, start=1):
            where = f"{_name(path)}, row {number}"
            empty = [name for name in ("index", "question", "image") if not row[name]]
            if empty or None in row:
                raise UserError(f"{where}: {f'no {empty[0]}' if empty else 'more cells than columns'}.")
            yield where, row
    except csv.Error as error:
        raise UserError(f"{_name(path)} is no table: {error}.") from None
    finally:
        csv.field_size_limit(before)


def _by_id(path: Path, benchmark: str) -> Iterator[tuple[str, Any, str]]:
    """The rows of a table by question id: the id, the row, and where that is, for what is wrong with it."""
    content = _json(path)
    if not isinstance(content, dict) or not content:
        raise UserError(f"{_name(path)}: {benchmark}'s questions are a table by their id, and this is none.")
    for key, row in content.items():
        yield key, row, f"{_name(path)}, question {key}"


def _field(row: Any, name: str, kind: type, where: str) -> Any:
    """A value of a row, of the type that it must have."""
    if not isinstance(row, dict) or name not in row:
        raise UserError(f"{where}: there is no field {name!r}.")
    if not isinstance(row[name], kind) or isinstance(row[name], bool):
        raise UserError(f"{where}: the field {name!r} is {str(row[name])[:40]!r}.")
    return row[name]


def _listed(text: Any, where: str) -> list[str]:
    """A string that holds a Python list of texts or numbers."""
    try:
        found = ast.literal_eval(text)
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        found = None
    if not isinstance(found, list) or not all(isinstance(each, str | int | float) for each in found):
        raise UserError(f"{where}: {str(text)[:40]!r} is no list.")
    return [str(each) for each in found]


def _picture(value: Any, where: str) -> str | bytes:
    """A picture as the row has it: a file name, or the bytes and the path that parquet keeps together."""
    if isinstance(value, dict):
        value = value.get("bytes") or value.get("path")
    if not isinstance(value, str | bytes) or not value:
        raise UserError(f"{where}: a picture is neither a file name nor a file.")
    return value
