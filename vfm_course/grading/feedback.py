"""One page a student: every exercise with its points, what failed first, the known mistake and a hint."""

from __future__ import annotations

import html
import re
from pathlib import Path

from vfm_course.exercises.verdict import RIGHT, UNATTEMPTED, WRONG
from vfm_course.grading.result import MISSING, OUT_OF_TIME, WRITTEN, Graded, Result
from vfm_course.grading.tables import number
from vfm_course.whole_file import whole_text

_LOOKS = {  # status: mark and colour; the words beside them say the same, for those who do not see colours
    RIGHT: ("✓", "#2e7d32"), WRONG: ("✗", "#c62828"), UNATTEMPTED: ("○", "#b26a00"), MISSING: ("○", "#b26a00"),
    WRITTEN: ("✎", "#1565c0"), OUT_OF_TIME: ("✗", "#c62828"),
}  # fmt: skip
STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 46rem; margin: 2rem auto; padding: 0 1rem; color: #222; }
h1 { font-size: 1.5rem; } h2 { font-size: 1.05rem; margin: 0; }
section { border-left: 4px solid var(--colour); padding: .4rem .9rem; margin: .7rem 0; background: #fafafa; }
.points { float: right; } code { background: #eee; padding: 0 .2em; overflow-wrap: anywhere; }
p { margin: .3rem 0; overflow-wrap: anywhere; } .warn { border: 1px solid #c62828; padding: .4rem .9rem; }
table { border-collapse: collapse; } td, th { padding: .15rem .8rem .15rem 0; text-align: left; }
@media (prefers-color-scheme: dark) {
  body { background: #181818; color: #ddd; } section { background: #222; } code { background: #333; } }
"""


def page(title: str, body: str) -> str:
    """A whole HTML page that loads nothing from elsewhere and runs no script."""
    policy = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">'
        f'<meta name="viewport" content="width=device-width"><title>{html.escape(title)}</title>'
        f"<style>{STYLE}</style></head>\n<body>\n{body}\n</body></html>\n"
    )


def feedback(one: Graded, name: str) -> str:
    """The page of one student; `name` is the assignment's."""
    total = f"{number(one.points)} of {number(one.possible)} points"
    parts = [f"<h1>{html.escape(name)}: {html.escape(one.student)}</h1>", f"<p><b>{total}</b></p>"]
    if one.kept < 1:
        parts.append(f"<p>Handed in late: {number(100 * one.kept)} % of the points are kept.</p>")
    waiting = sum(result.status == WRITTEN for result in one.results)
    if waiting:
        parts.append(f"<p>{_count(waiting, 'written answer is', 'written answers are')} still to be marked.</p>")
    if one.problem:
        parts.append(f'<p class="warn">Nothing could be graded: {inline(one.problem)}</p>')
    for what in one.tampering:
        parts.append(f'<p class="warn">Exercise {inline(what)}: the submission earns nothing.</p>')
    parts += [f"<p>{inline(note)}</p>" for note in one.notes]
    parts += [_section(result) for result in one.results]
    return page(f"{name}: {one.student}", "\n".join(parts))


def write_feedback(one: Graded, name: str, path: Path) -> None:
    """Writes `feedback`."""
    with whole_text(path) as file:
        file.write(feedback(one, name))


def inline(text: str) -> str:
    """HTML of one line that may come from anybody: `code` between backticks."""
    return re.sub(r"`([^`]+)`", r"<code>\1</code>", html.escape(text))


def _section(result: Result) -> str:
    mark, colour = _LOOKS[result.status]
    lines = [
        inline(result.mistake),
        inline(result.message),
        f"Called with: <code>{html.escape(result.inputs)}</code>" if result.inputs else "",
        f"Hint: {inline(result.hint)}" if result.hint else "",
    ]
    points = "to be marked" if result.status == WRITTEN else f"{number(result.points)} of {number(result.possible)}"
    said = "".join(f"<p>{line}</p>" for line in lines if line)
    head = f"{html.escape(result.id)} {html.escape(result.title)}"
    return (
        f'<section style="--colour: {colour}"><span class="points">{points}</span>'
        f'<h2><span style="color: {colour}">{mark}</span> {head}: {result.status}</h2>{said}</section>'
    )


def _count(number: int, one: str, many: str) -> str:
    return f"1 {one}" if number == 1 else f"{number} {many}"
