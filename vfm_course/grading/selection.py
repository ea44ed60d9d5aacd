"""Which of a notebook's code has to run to define its exercises. Reads syntax trees; nothing here runs any of it."""

from __future__ import annotations

import ast
import builtins
import re
from collections import defaultdict, deque
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import groupby

from vfm_course.exercises.registry import reading_order
from vfm_course.grading.notebook import Notebook
from vfm_course.grading.syntax import changed_by, names_of, root_of, run_now, statements, value_of

# A call of these, or into these packages, is work that belongs to the notebook: it prints, plots, loads or trains.
_BUSY_NAMES = {"print", "display", "input", "open", "exec", "eval", "breakpoint", "help", "exit", "quit"}
_BUSY_PACKAGES = {"vfm_course", "matplotlib", "seaborn", "plotly", "IPython", "ipywidgets", "tqdm", "subprocess"}
_BUSY_METHODS = {"backward", "fit", "fit_transform", "from_pretrained", "show", "savefig"}
_DEFINING = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Import, ast.ImportFrom, ast.Assign, ast.AnnAssign,
             ast.AugAssign, ast.If, ast.Try, ast.With, ast.For, ast.Pass, ast.Break, ast.Continue, ast.Assert,
             ast.Raise, ast.Delete, ast.Expr, getattr(ast, "TypeAlias", ast.Pass))  # fmt: skip
_WAITING = (ast.Await, ast.Yield, ast.YieldFrom, ast.NamedExpr)
_CALL = re.compile(r"""\b(exercise|choice|written)\s*\(\s*(?:\w{1,40}\s*=\s*)?["']([^"'\n]{1,20})["']""")
_MOST_CODE = 300_000  # characters of a notebook's code
_MOST_TEXTS = 10_000_000  # characters of the texts that it puts together


@dataclass(frozen=True)
class Selection:
    """What to run, and the answers that could be read without running anything.

    `cells` are to run in order, a string for each notebook cell that has any; lines keep their numbers, what is not
    needed is blank. `numbers` are those cells' numbers in the notebook. `places` maps each id that was found to the
    cells that have it; `choices` and `texts` map ids to answers; `missing` are the ids that were not found.
    """

    cells: tuple[str, ...]
    numbers: tuple[int, ...]
    places: dict[str, list[int]]
    choices: dict[str, str]
    texts: dict[str, str]
    missing: tuple[str, ...]
    notes: tuple[str, ...]


@dataclass
class _Statement:
    """One at the left margin: the names it binds, changes, uses when it runs and uses later; `asked` are questions."""

    cell: int
    node: ast.stmt
    line: int
    text: str
    ids: set[str] = field(default_factory=set)
    asked: list[tuple[str, str, str | None]] = field(default_factory=list)  # kind, id, answer if it can be read
    binds: set[str] = field(default_factory=set)
    changes: set[str] = field(default_factory=set)
    now: set[str] = field(default_factory=set)
    later: set[str] = field(default_factory=set)
    usable: bool = False


@dataclass
class _Book:
    """A notebook's code; `broken` maps the numbers of cells that are not Python to their source and the reason."""

    statements: list[_Statement] = field(default_factory=list)
    broken: dict[int, tuple[str, str]] = field(default_factory=dict)
    called: dict[str, str] = field(default_factory=lambda: {name: name for name in ("exercise", "choice", "written")})
    packages: dict[str, str] = field(default_factory=dict)  # imported name -> its package
    known: dict[str, object] = field(default_factory=dict)  # name -> its text or number, at this point of the reading
    left: int = _MOST_TEXTS

    def value(self, node: ast.expr | None) -> object:
        """As `value_of`, as long as the texts that are put together are not too long in all."""
        free = isinstance(node, ast.Constant | ast.Name)
        found = value_of(node, self.known) if free or self.left > 0 else None
        self.left -= 0 if free else len(str(found))
        return found


def select(notebook: Notebook, ids: Collection[str]) -> Selection:
    """What defines the exercises in `ids`, with all of the notebook that they use, and the answers to questions.

    Of two cells for one exercise the last counts. A helper that is defined twice is run twice, as in the notebook.
    """
    book, wanted, notes = _read(notebook), set(ids), []
    places: dict[str, list[int]] = defaultdict(list)
    last: dict[str, int] = {}
    for index, one in enumerate(book.statements):
        for each in sorted(one.ids & wanted):
            places[each].append(one.cell)
            last[each] = index
    for each in [each for each, found in places.items() if len(found) > 1]:
        notes.append(f"{each} is there {len(places[each])} times, in cell {_and(places[each])}: the last one counts.")
    kept = groupby(_needed(book, set(last.values()), notes), lambda one: one.cell)
    cells = {number: _rendered(found) for number, found in kept}
    choices, texts = _answers(book, wanted, places, notes)
    for number, (source, reason) in book.broken.items():
        notes.append(f"Cell {number} is not Python and cannot run: {reason}.")
        for each in {each for _, each in _CALL.findall(source)} & wanted:
            places[each].append(number)
            cells[number] = source  # so that its error reaches the learner
    missing = tuple(sorted(wanted - set(places), key=reading_order))
    notes += _buried(book, missing)
    ordered = {each: sorted(set(places[each])) for each in sorted(places, key=reading_order)}
    runs = dict(sorted(cells.items()))
    return Selection(tuple(runs.values()), tuple(runs), ordered, choices, texts, missing, tuple(dict.fromkeys(notes)))


def mentioned(notebook: Notebook) -> frozenset[str]:
    """The ids of all exercises and questions that the code names, whether or not it is Python."""
    return frozenset(each for cell in notebook.cells if cell.kind == "code" for _, each in _CALL.findall(cell.source))


@lru_cache(maxsize=16)  # a grader selects for one exercise after the other
def _read(notebook: Notebook) -> _Book:
    book, left = _Book(), _MOST_CODE
    for cell in [cell for cell in notebook.cells if cell.kind == "code"]:
        try:
            if len(cell.source) > left:
                raise ValueError("the notebook's code is too long")
            left -= len(cell.source)
            book.statements += [_statement(book, cell.number, *found) for found in list(statements(cell.source))]
        except SyntaxError as error:
            book.broken[cell.number] = cell.source, f"{error.msg}, line {error.lineno or 1}"
        except (ValueError, RecursionError, MemoryError) as error:
            reason = str(error) if isinstance(error, ValueError) else "it is nested too deeply"
            book.broken[cell.number] = cell.source, reason
    _mark_usable(book)
    return book


def _statement(book: _Book, cell: int, node: ast.stmt, line: int, text: str) -> _Statement:
    one = _Statement(cell, node, line, text)
    try:
        one.binds, one.now, one.later = names_of(text)
    except SyntaxError:  # such as `return` out here: its error shows if it is needed
        one.now = {each.id for each in ast.walk(node) if isinstance(each, ast.Name)}
    for part in ast.walk(node):
        if isinstance(part, ast.Import | ast.ImportFrom):
            _note_import(book, part)
    parts = list(run_now(node))
    calls = [part for part in parts if isinstance(part, ast.Call)]
    decorators = [each for part in parts for each in getattr(part, "decorator_list", [])]
    one.ids = _exercises(book, [*decorators, *(call.func for call in calls)])
    one.asked = _questions(book, sorted(calls, key=lambda call: (call.lineno, call.col_offset)))
    one.changes = {name for part in parts for name in changed_by(part)}
    one.now |= one.changes
    for name in one.binds | one.changes:
        book.known.pop(name, None)
    if isinstance(node, ast.Assign) and len(node.targets) == 1 and isinstance(node.targets[0], ast.Name):
        book.known[node.targets[0].id] = book.value(node.value)
    return one


def _note_import(book: _Book, node: ast.Import | ast.ImportFrom) -> None:
    for alias in node.names:
        module = (node.module or "") if isinstance(node, ast.ImportFrom) else alias.name
        local = alias.asname or (alias.name if isinstance(node, ast.ImportFrom) else alias.name.split(".")[0])
        book.packages[local] = module.split(".")[0]
        if module.startswith("vfm_course") and alias.name in ("exercise", "choice", "written"):
            book.called[local] = alias.name


def _course_call(book: _Book, func: ast.expr) -> str:
    """exercise, choice or written if that is called, else ""."""
    return book.called.get(func.attr if isinstance(func, ast.Attribute) else getattr(func, "id", ""), "")


def _argument(call: ast.Call, place: int, *keywords: str) -> ast.expr | None:
    named = [each.value for each in call.keywords if each.arg in keywords]
    return call.args[place] if len(call.args) > place else named[0] if named else None


def _exercises(book: _Book, called: list[ast.expr]) -> set[str]:
    """The ids among decorators and among what is called, as in `exercise("6.2")(name)`."""
    calls = [each for each in called if isinstance(each, ast.Call) and _course_call(book, each.func) == "exercise"]
    found = {book.value(_argument(each, 0, "exercise_id")) for each in calls}
    return {each for each in found if isinstance(each, str)}


def _questions(book: _Book, calls: list[ast.Call]) -> list[tuple[str, str, str | None]]:
    found = []
    for call in calls:
        kind, each = _course_call(book, call.func), book.value(_argument(call, 0, "question_id"))
        given = _argument(call, 1, "picked", "text")
        shown_only = given is None or (isinstance(given, ast.Constant) and given.value is None)
        if kind in ("choice", "written") and isinstance(each, str) and not shown_only:
            answer = book.value(given)
            found.append((kind, each, None if answer is None else str(answer)))
    return found


def _defines(book: _Book, one: _Statement) -> bool:
    """Whether a statement only defines: nothing that it runs prints, plots, loads or trains."""
    for part in run_now(one.node):
        if isinstance(part, _WAITING) or (isinstance(part, ast.Call) and _busy(book, part.func)):
            return False
        if isinstance(part, ast.Expr) and not isinstance(part.value, ast.Constant) and not changed_by(part):
            return False
        if isinstance(part, ast.stmt) and not isinstance(part, _DEFINING):
            return False
    return True


def _busy(book: _Book, func: ast.expr) -> bool:
    root = root_of(func)
    if book.called.get(root) == "exercise" or _course_call(book, func) == "exercise":
        return False
    method = isinstance(func, ast.Attribute) and func.attr in _BUSY_METHODS
    return method or root in _BUSY_NAMES or book.packages.get(root) in _BUSY_PACKAGES


def _mark_usable(book: _Book) -> None:
    """Marks what can run without the rest: it only defines, and what it uses at once was defined above it."""
    everywhere = {name for one in book.statements for name in one.binds}
    alive, above = set(), set()
    for one in book.statements:
        unknown = {name for name in one.now - alive if name in everywhere or not hasattr(builtins, name)}
        if isinstance(one.node, ast.For | ast.If | ast.Try | ast.With):
            unknown -= one.binds - above  # such as a loop's variable
        unknown &= everywhere if "*" in book.packages else unknown  # the rest may come from an import of everything
        one.usable = not unknown and _defines(book, one)
        (alive.update if one.usable else alive.difference_update)(one.binds)
        above |= one.binds


def _needed(book: _Book, start: set[int], notes: list[str]) -> list[_Statement]:
    """The statements with these numbers and all that they use, in the notebook's order."""
    about, decisive = defaultdict(set), defaultdict(deque)
    for index, one in enumerate(book.statements):
        for name in one.binds | one.changes:
            about[name].add(index)
        if isinstance(one.node, ast.Raise) or getattr(one.node, "module", "") == "__future__":
            decisive[one.cell].append(index)  # what follows in the cell depends on it: `raise` ends the cell there
        if isinstance(one.node, ast.ImportFrom) and one.node.names[0].name == "*":
            about["*"].add(index)
    kept, waiting, done = set(start), sorted(start), set()
    while waiting:
        index = waiting.pop()
        one, more = book.statements[index], set()
        while decisive[one.cell] and decisive[one.cell][0] < index:
            more.add(decisive[one.cell].popleft())
        for name in sorted((one.now | one.later) - done):
            done.add(name)  # once is enough: what it leads to stays the same
            found = {each for each in about.get(name, ()) if book.statements[each].usable or each in kept}
            if not about.get(name) and not hasattr(builtins, name):
                found = about["*"]
            elif not found and about.get(name):
                where = _and(book.statements[each].cell for each in about[name])
                notes.append(f"An exercise uses {name}, which cell {where} makes by work that does not run here.")
            more |= found
        waiting += sorted(more - kept)
        kept |= more
    return [book.statements[index] for index in sorted(kept)]


def _rendered(chosen: Iterable[_Statement]) -> str:
    """The statements of one cell, each at its own line."""
    lines: dict[int, list[str]] = defaultdict(list)
    for one in chosen:
        for number, part in enumerate(one.text.split("\n"), one.line):
            lines[number].append(part)
    return "\n".join("; ".join(lines[number]) for number in range(1, max(lines) + 1))


def _answers(book: _Book, wanted: set[str], places: dict[str, list[int]], notes: list[str]) -> tuple[dict, dict]:
    """The options chosen and the texts written, by id; a later answer replaces an earlier one."""
    choices, texts = {}, {}
    for one in book.statements:
        for kind, each, answer in one.asked:
            into = choices if kind == "choice" else texts
            if each not in wanted or (answer is not None and not answer.strip()):
                continue  # an empty answer only shows the question
            places[each].append(one.cell)
            if answer is None:
                notes.append(f"The answer to {each} in cell {one.cell} is not plain text, so it was not read.")
            elif into.setdefault(each, answer) != answer:
                notes.append(f"{each} is answered again in cell {one.cell}: the last answer counts.")
                into[each] = answer
    return choices, texts


def _buried(book: _Book, missing: Collection[str]) -> list[str]:
    """Sentences on exercises that are there, but within a function that nothing here calls."""
    notes = []
    for one in book.statements if missing else []:
        inner = [each for part in ast.walk(one.node) for each in getattr(part, "decorator_list", [])]
        for each in sorted(_exercises(book, inner) & set(missing)):
            notes.append(f"{each} in cell {one.cell} is within a function, where it is not found: move it out of it.")
    return notes


def _and(numbers: Iterable[int]) -> str:
    *rest, last = sorted(set(numbers))
    return f"{', '.join(map(str, rest))} and {last}" if rest else str(last)
