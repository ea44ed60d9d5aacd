"""Files of what studies measured: a head, and a run a line, so that what is run again shows in a diff."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from vfm_course.errors import UserError
from vfm_course.whole_file import whole_text


def read_rows(path: Path, again: str) -> list[dict]:
    """The rows of a file as they were measured and stored.

    Args:
        again: the command that measures them again.

    Raises:
        UserError: the file is missing or damaged.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))["rows"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(
            f"{path.name} in data/{path.parent.name} is missing or damaged ({type(error).__name__}): restore it with "
            f"`git checkout -- data`, or measure again with `{again}`."
        ) from error


def write_rows(path: Path, head: Mapping, rows: Sequence[Mapping]) -> None:
    """Writes a file whole, and the folder it lies in."""
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = ",\n".join(json.dumps(row) for row in rows)
    with whole_text(path) as file:
        file.write(f'{json.dumps(head)[:-1]}, "rows": [\n{lines}\n]}}\n')
