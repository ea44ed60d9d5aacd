"""Files that are whole or not there."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from vfm_course.errors import UserError


@contextmanager
def whole_text(path: Path) -> Iterator[TextIO]:
    """A text file that takes its name only when all is written; what stands there already stays until then.

    Raises:
        UserError: the file cannot be written.
    """
    partial = path.with_name(f"{path.name}.partial{os.getpid()}")
    try:
        with partial.open("w", encoding="utf-8", errors="replace", newline="") as file:
            yield file
        os.replace(partial, path)
    except OSError as error:
        raise UserError(f"{str(path)!r} cannot be written: {error.strerror or error}.") from None
    finally:
        partial.unlink(missing_ok=True)
