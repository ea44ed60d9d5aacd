"""Reads a submitted notebook: its cells without their outputs. Nothing is executed.

Plain JSON, because nbformat's validation is slow.
"""

from __future__ import annotations

import codecs
import json
import stat
from dataclasses import dataclass
from pathlib import Path

_MARKS = {  # UTF-32 first: its mark begins with that of UTF-16
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF8: "utf-8-sig",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}


class Unreadable(Exception):
    """Why a file is no notebook that can be graded, in one sentence."""


@dataclass(frozen=True)
class Cell:
    """One cell. `number` counts from 1 as in the notebook, `kind` is code, markdown, raw or heading, `id` may be ""."""

    number: int
    id: str
    kind: str
    source: str
    tags: tuple[str, ...]


@dataclass(frozen=True)
class Notebook:
    """The cells in order; `notes` are sentences on what is odd about the file."""

    cells: tuple[Cell, ...]
    notes: tuple[str, ...]


def read_notebook(path: Path, most_mb: float = 50) -> Notebook:
    """Reads nbformat 4, and 3 with its worksheets. Nothing is executed.

    Args:
        most_mb: a larger file, in millions of bytes, is not opened.

    Raises:
        Unreadable: it is no file, too large, cannot be read, or holds no notebook.
    """
    notes: list[str] = []
    text = _text(_bytes(path, most_mb), path.name, notes)
    try:
        found = json.loads(text)
    except RecursionError:
        raise Unreadable(f"{path.name!r} is nested too deeply to be a notebook.") from None
    except MemoryError:
        raise Unreadable(f"{path.name!r} needs more memory than there is.") from None
    except json.JSONDecodeError as error:
        raise Unreadable(f"{path.name!r} is not a notebook: not JSON from line {error.lineno} on.") from None
    except ValueError:
        raise Unreadable(f"{path.name!r} is not a notebook: it holds a number of thousands of digits.") from None
    cells = [_cell(number, each, notes) for number, each in enumerate(_listed(found, path.name), 1)]
    language = _inner(found, "metadata", "kernelspec").get("language", "python")
    if language != "python":
        notes.append(f"The notebook's language is {str(language)[:40]!r}, not Python.")
    return Notebook(tuple(cell for cell in cells if cell is not None), tuple(dict.fromkeys(notes)))


def _bytes(path: Path, most_mb: float) -> bytes:
    try:
        found = path.stat()
        if stat.S_ISDIR(found.st_mode):
            raise Unreadable(f"{path.name!r} is a folder, not a notebook.")
        if not stat.S_ISREG(found.st_mode):  # opening a pipe would wait for ever
            raise Unreadable(f"{path.name!r} is not an ordinary file.")
        if found.st_size > most_mb * 1e6:
            raise Unreadable(f"{path.name!r} has {found.st_size / 1e6:,.0f} MB; at most {most_mb:g} MB are read.")
        content = path.read_bytes()
    except OSError as error:
        raise Unreadable(f"{path.name!r} cannot be read: {error.strerror or error}.") from None
    if not content.strip():
        raise Unreadable(f"{path.name!r} is empty.")
    return content


def _text(content: bytes, name: str, notes: list[str]) -> str:
    """Decodes as the marks at its beginning say, else as UTF-8, else as latin-1, which takes any bytes."""
    encoding = next((encoding for mark, encoding in _MARKS.items() if content.startswith(mark)), "")
    if not encoding and b"\x00" in content[:2]:
        encoding = "utf-16-le" if content[:1] != b"\x00" else "utf-16-be"
    try:
        text = content.decode(encoding or "utf-8")
    except UnicodeDecodeError:
        encoding, text = "latin-1", content.decode("latin-1")
    if encoding not in ("", "utf-8-sig"):
        notes.append(f"{name!r} is not UTF-8, as notebooks are; it was read as {encoding.upper()}.")
    return text


def _inner(found: object, *keys: str) -> dict:
    """The dictionary at the end of `keys`; an empty one where there is something else."""
    for key in keys:
        found = found.get(key) if isinstance(found, dict) else None
    return found if isinstance(found, dict) else {}


def _listed(found: object, name: str) -> list:
    if isinstance(found, dict):
        if isinstance(found.get("cells"), list):
            return found["cells"]
        sheets = found.get("worksheets")
        if isinstance(sheets, list) and all(isinstance(_inner(sheet).get("cells", []), list) for sheet in sheets):
            return [cell for sheet in sheets for cell in _inner(sheet).get("cells", [])]
    raise Unreadable(f"{name!r} is JSON but not a notebook: it has no list of cells.")


def _cell(number: int, found: object, notes: list[str]) -> Cell | None:
    if not isinstance(found, dict):
        notes.append(f"Cell {number} is not a cell and was left out.")
        return None
    source = found.get("source", found.get("input", ""))  # nbformat 3 calls the code of a cell its input
    lines = source if isinstance(source, list) else [source]
    if not all(isinstance(line, str) for line in lines):
        notes.append(f"The source of cell {number} is not text throughout; the rest of it was read.")
    text = "".join(line for line in lines if isinstance(line, str)).replace("\r\n", "\n").replace("\r", "\n")
    clean = text.encode("utf-8", "replace").decode("utf-8")
    if clean != text:
        notes.append(f"Cell {number} holds half characters, which no text may; each was read as a question mark.")
    tags = _inner(found, "metadata").get("tags")
    return Cell(
        number,
        str(found.get("id") or ""),
        str(found.get("cell_type") or ""),
        clean,
        tuple(tag for tag in tags if isinstance(tag, str)) if isinstance(tags, list) else (),
    )
