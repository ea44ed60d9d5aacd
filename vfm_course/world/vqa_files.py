"""Question files: JSON with one question a line, and what was frozen in `data/vqa/`."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from vfm_course.errors import UserError
from vfm_course.paths import data_dir
from vfm_course.whole_file import whole_text
from vfm_course.world.questions import KINDS, OPERATIONS, Question, Step

FROZEN = ("balanced", "unbalanced", "consistency")
_TYPES = {"text": str, "answer": str, "kind": str, "steps": list, "scene_seed": int, "scene_number": int,
          "answerable": bool, "answers": list}  # fmt: skip


def write_questions(
    path: Path, about: str, questions: Sequence[Question], entailed: Mapping[int, Sequence[int]] | None = None
) -> None:
    """Writes a file that `read_questions` reads; the same questions give the same bytes.

    Raises:
        UserError: the file cannot be written.
    """

    def line(value: Any) -> str:
        return json.dumps(value, ensure_ascii=False)

    with whole_text(path) as file:
        file.write(f'{{"about": {line(about)},\n"questions": [\n')
        file.write(",\n".join(line(asdict(each)) for each in questions))
        file.write(f'\n],\n"entailed": {line({str(key): list(each) for key, each in (entailed or {}).items()})}}}\n')


def read_questions(path: Path) -> tuple[list[Question], dict[int, tuple[int, ...]]]:
    """The questions of a file, and which of them follow from which, by their numbers.

    Raises:
        UserError: no such file, or the row of it that is no question.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        rows, entailed = content["questions"], content["entailed"]
        groups = {int(key): tuple(map(int, each)) for key, each in entailed.items()}
    except OSError as error:
        raise UserError(f"{str(path)!r} cannot be read: {error.strerror or error}.") from None
    except (ValueError, TypeError, KeyError, AttributeError):
        raise UserError(f"{str(path)!r} is no file of questions.") from None
    questions = [_question(path, number, row) for number, row in enumerate(rows)]
    if not all(0 <= number < len(rows) for key, each in groups.items() for number in (key, *each)):
        raise UserError(f"{str(path)!r} speaks of entailed questions that it does not hold.")
    return questions, groups


def _question(path: Path, number: int, row: Any) -> Question:
    where = f"{str(path)!r}, question {number}"
    if not isinstance(row, dict) or set(row) != set(_TYPES):
        raise UserError(f"{where}: its fields are not {', '.join(_TYPES)}.")
    for name, kind in _TYPES.items():
        if not isinstance(row[name], kind):
            raise UserError(f"{where}: {name} is {row[name]!r}.")
    if row["kind"] not in KINDS or not all(isinstance(each, str) for each in row["answers"]):
        raise UserError(f"{where}: there is no kind {row['kind']!r}, or an answer is no text.")
    try:
        steps = tuple(Step(operation, argument, tuple(inputs)) for operation, argument, inputs in row["steps"])
    except (ValueError, TypeError):
        raise UserError(f"{where}: a step is an operation, an argument and a list of inputs.") from None
    unknown = [step.operation for step in steps if step.operation not in OPERATIONS]
    if unknown:
        raise UserError(f"{where}: there is no operation {unknown[0]!r}.")
    return Question(**{**row, "steps": steps, "answers": tuple(row["answers"])})


def frozen(name: str) -> list[Question]:
    """The course's own test questions: "balanced", "unbalanced" or "consistency".

    Raises:
        UserError: an unknown name, or the course's data is missing.
    """
    return frozen_groups(name)[0]


def frozen_groups(name: str = "consistency") -> tuple[list[Question], dict[int, tuple[int, ...]]]:
    """The same with which question follows from which; only "consistency" has any. Raises as `frozen` does."""
    if name not in FROZEN:
        raise UserError(f"There are no frozen questions {name!r}: choose from {', '.join(FROZEN)}.")
    return read_questions(data_dir() / "vqa" / f"{name}.json")
