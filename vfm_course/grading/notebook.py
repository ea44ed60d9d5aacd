"""Reads a submitted notebook: its cells without their outputs, and the syntax of one cell. Nothing is executed.

Plain JSON, because nbformat's validation is slow.
"""

from __future__ import annotations

import ast
import codecs
import json
import re
import stat
import symtable
import warnings
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_CELL = "<submitted cell>"  # the file name that Python knows a cell by while it is parsed
# Otherwise an odd escape such as "\d" in a learner's text would print a warning on the teacher's terminal.
warnings.filterwarnings("ignore", module=re.escape(_CELL))

_MARKS = {  # UTF-32 first: its mark begins with that of UTF-16
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF8: "utf-8-sig",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
_PYTHON_MAGICS = ("%%time", "%%timeit", "%%capture", "%%prun")  # what follows them is Python, run in the notebook
_MAGIC = re.compile(r"\s*(?:\w[\w, ]*=\s*)?[%!]|\s*\?|.*[\w)\]]\?{1,2}\s*$")
_COMPREHENSIONS = ("listcomp", "setcomp", "dictcomp", "genexpr")  # functions to Python, but they run at once
_CHANGING_METHODS = ("append", "extend", "insert", "add", "update", "setdefault")
_MOST_TEXT = 100_000  # characters of a text that is put together while reading
_MOST_MAGICS = 50  # found one by one, parsing each time; a cell with more loses them all at once, and so does
_MOST_PARSED = 500_000  # a cell of which, with all the times together, more characters would be parsed


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


def parsed(source: str) -> tuple[str, ast.Module]:
    """A code cell without IPython's own syntax, lines kept in place, and its tree.

    As in the worker's `_python`, but a magic is taken for one only where Python stumbles over it, so that a text may
    have lines that begin with `%` or `!`; and the Python under `%%time` counts, as it does in a notebook.

    Raises:
        SyntaxError: it is not Python.
        ValueError, RecursionError, MemoryError: it is nothing that Python takes.
    """
    if source.lstrip().startswith("%%"):
        magic, _, rest = source.lstrip().partition("\n")
        above = source[: len(source) - len(source.lstrip())].count("\n")
        source = "\n" * (above + 1) + rest if magic.split()[0] in _PYTHON_MAGICS else ""
    for _ in range(min(_MOST_MAGICS, 1 + _MOST_PARSED // (len(source) + 1))):
        try:
            return source, ast.parse(source, _CELL)
        except SyntaxError as error:
            lines = source.split("\n")
            at = (error.lineno or 0) - 1
            if not (0 <= at < len(lines) and _MAGIC.match(lines[at])):
                break
            source = "\n".join(_without_magic(lines, at))
    lines = source.split("\n")
    source = "\n".join(_blank(line) if line.lstrip().startswith(("%", "!", "?")) else line for line in lines)
    return source, ast.parse(source, _CELL)


def _without_magic(lines: list[str], at: int) -> list[str]:
    """`lines` without the magic in line `at` and those that it continues in."""
    end = at
    while lines[end].endswith("\\") and end + 1 < len(lines):
        end += 1
    return [*lines[:at], _blank(lines[at]), *[""] * (end - at), *lines[end + 1 :]]


def _blank(line: str) -> str:
    return line[: len(line) - len(line.lstrip())] + "pass"


def statements(source: str) -> Iterator[tuple[ast.stmt, int, str]]:
    """Each statement at the left margin of a code cell with its first line, from 1, and its text, decorators included.

    Raises:
        as `parsed`.
    """
    source, tree = parsed(source)
    lines, done = source.encode().split(b"\n"), 0  # columns count bytes
    for node in tree.body:
        first, column = node.lineno, node.col_offset
        if decorators := getattr(node, "decorator_list", []):
            first, column = min(one.lineno for one in decorators), 0
            while first > done + 1 and not lines[first - 1].lstrip().startswith(b"@"):
                first -= 1  # the tree knows where a decorator's expression begins, not its @
        done = node.end_lineno
        if first == done:  # a line may hold very many statements
            own = [lines[first - 1][column : node.end_col_offset]]
        else:
            own = [lines[first - 1][column:], *lines[first : done - 1], lines[done - 1][: node.end_col_offset]]
        yield node, first, b"\n".join(own).decode()


def run_now(node: ast.AST) -> Iterator[ast.AST]:
    """The parts of a statement that run when it does: not the bodies of functions."""
    waiting = deque([node])
    while waiting:  # no recursion: what the parser takes may be deeper than Python's own stack
        one = waiting.popleft()
        yield one
        if isinstance(one, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            defaults = [each for each in (*one.args.defaults, *one.args.kw_defaults) if each]
            waiting.extend([*getattr(one, "decorator_list", []), *defaults])
        else:
            waiting.extend(ast.iter_child_nodes(one))


def names_of(text: str) -> tuple[set[str], set[str], set[str]]:
    """The global names that a statement binds, uses when it runs, and uses later in functions that it defines.

    Raises:
        SyntaxError: it parses but does not compile.
        RecursionError: it is nested too deeply.
    """
    whole = symtable.symtable(text, _CELL, "exec")
    binds = {one.get_name() for one in whole.get_symbols() if one.is_assigned() or one.is_imported()}
    now, later = set(), set()
    waiting = [(whole, now)]
    while waiting:
        scope, found = waiting.pop()
        used = [one for one in scope.get_symbols() if (one.is_referenced() if scope is whole else one.is_global())]
        found |= {one.get_name() for one in used}
        for inner in scope.get_children():
            called = inner.get_type() == "function" and inner.get_name() not in _COMPREHENSIONS
            waiting.append((inner, later if called else found))
    return binds, now, later


def value_of(node: ast.expr | None, known: dict[str, object]) -> object:
    """The text or number that an expression stands for; None if that takes more than reading it."""
    found = None
    match node:
        case ast.Constant(value=str() | int() | float()):
            found = node.value
        case ast.Name():
            found = known.get(node.id)
        case ast.FormattedValue(conversion=-1, format_spec=None):
            found = value_of(node.value, known)
        case ast.JoinedStr() | ast.BinOp(op=ast.Add()):
            joined = isinstance(node, ast.JoinedStr)
            parts = [value_of(part, known) for part in (node.values if joined else (node.left, node.right))]
            right = all(part is not None if joined else isinstance(part, str) for part in parts)
            texts = list(map(str, parts)) if right else []
            found = "".join(texts) if right and sum(map(len, texts)) <= _MOST_TEXT else None
        case ast.Call(func=ast.Attribute(attr="strip"), args=[], keywords=[]):
            text = value_of(node.func.value, known)
            found = text.strip() if isinstance(text, str) else None
    return None if isinstance(found, str) and len(found) > _MOST_TEXT else found


def root_of(node: ast.AST) -> str:
    """The name that an expression such as `a.b[0].c()` starts from, else ""."""
    while isinstance(node, ast.Attribute | ast.Subscript | ast.Call):
        node = node.func if isinstance(node, ast.Call) else node.value
    return getattr(node, "id", "")


def changed_by(node: ast.AST) -> set[str]:
    """The names whose contents a statement changes: `a[0] = 1`, `a += 1`, `a.append(1)`."""
    targets = node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AugAssign) else []
    roots = [root_of(each) for each in targets if not isinstance(each, ast.Name) or isinstance(node, ast.AugAssign)]
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Call) and isinstance(node.value.func, ast.Attribute):
        roots += [root_of(node.value.func)] if node.value.func.attr in _CHANGING_METHODS else []
    return set(roots) - {""}
