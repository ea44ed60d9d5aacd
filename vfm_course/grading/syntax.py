"""The syntax of one cell of a submitted notebook: its statements, and the names that they use. Nothing is executed."""

from __future__ import annotations

import ast
import re
import symtable
import sys
import warnings
from collections import deque
from collections.abc import Iterator

_CELL = "<submitted cell>"  # the file name that Python knows a cell by while it is parsed
# Otherwise an odd escape such as "\d" in a learner's text would print a warning on the teacher's terminal.
warnings.filterwarnings("ignore", module=re.escape(_CELL))
_PYTHON_MAGICS = ("%%time", "%%timeit", "%%capture", "%%prun")  # what follows them is Python, run in the notebook
_MAGIC = re.compile(r"\s*(?:\w[\w, ]*=\s*)?[%!]|\s*\?|.*[\w)\]]\?{1,2}\s*$")
_COMPREHENSIONS = ("listcomp", "setcomp", "dictcomp", "genexpr")  # functions to Python, but they run at once
_CHANGING_METHODS = ("append", "extend", "insert", "add", "update", "setdefault")
_MOST_TEXT = 100_000  # characters of a text that is put together while reading
_MOST_MAGICS = 50  # found one by one, parsing each time; a cell with more loses them all at once, and so does
_MOST_PARSED = 500_000  # a cell of which, with all the times together, more characters would be parsed


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


class _Generators(ast.NodeTransformer):
    """Makes generators of other comprehensions: from Python 3.12 on these have no scope of their own in `symtable`."""

    def visit_ListComp(self, node: ast.ListComp | ast.SetComp) -> ast.AST:
        self.generic_visit(node)
        return ast.GeneratorExp(node.elt, node.generators)

    visit_SetComp = visit_ListComp

    def visit_DictComp(self, node: ast.DictComp) -> ast.AST:
        self.generic_visit(node)
        return ast.GeneratorExp(ast.Tuple([node.key, node.value], ast.Load()), node.generators)


def names_of(text: str) -> tuple[set[str], set[str], set[str]]:
    """The global names that a statement binds, uses when it runs, and uses later in functions that it defines.

    Raises:
        SyntaxError: it parses but does not compile.
        RecursionError: it is nested too deeply.
    """
    if sys.version_info >= (3, 12) and " for " in text:
        text = ast.unparse(_Generators().visit(ast.parse(text)))
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
