"""Puts text before the learner: rich HTML in a notebook, plain text elsewhere. The same input gives the same output."""

from __future__ import annotations

import html
import re
import sys

_COLOURS = {"right": "#2e7d32", "wrong": "#c62828", "not attempted": "#b26a00", "info": "#1565c0"}
_MARKS = {"right": "✓", "wrong": "✗", "not attempted": "○", "info": "•"}


def in_notebook() -> bool:
    """Whether this process is a notebook's kernel."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    return shell is not None and getattr(shell, "kernel", None) is not None


def show(text: str, rich: str) -> None:
    """Shows `rich` (HTML) in a notebook, with `text` beside it for readers without HTML; prints `text` elsewhere."""
    if not in_notebook():
        print(text)
        return
    from IPython.display import display

    display({"text/plain": text, "text/html": rich}, raw=True)


def box(state: str, head: str, lines: list[str]) -> None:
    """A headline with a mark, and lines under it. `state`: right, wrong, not attempted or info."""
    mark, colour = _MARKS[state], _COLOURS[state]
    text = "\n".join([f"{mark} {head}", *("  " + line for line in lines)])
    body = "".join(f'<div style="margin-top:.3em">{_inline(line)}</div>' for line in lines)
    # The text keeps the theme's own colour, so it is readable in light and dark; state is told by mark and words too.
    show(text, _frame(colour, f'<b><span style="color:{colour}">{mark}</span> {_inline(head)}</b>{body}'))


def source(head: str, code: str) -> None:
    """A headline and a piece of Python, coloured where pygments is there."""
    try:
        from pygments import highlight
        from pygments.formatters import HtmlFormatter
        from pygments.lexers import PythonLexer

        # Some page styles give <pre> the page's own font.
        style = {"noclasses": True, "style": "default", "nobackground": True, "prestyles": "font-family:monospace"}
        coloured = highlight(code, PythonLexer(), HtmlFormatter(**style))
    except ImportError:
        coloured = f"<pre>{html.escape(code)}</pre>"
    ground = f'<div style="background:#fff;color:#222;padding:.3em .8em;overflow-x:auto">{coloured}</div>'
    show(f"{_MARKS['info']} {head}\n\n{code}", _frame(_COLOURS["info"], f"<b>{_inline(head)}</b>{ground}"))


def table(head: str, columns: list[str], rows: list[list[str]], foot: list[str]) -> None:
    """A table with its headline; `foot` are lines under it."""
    widths = [max(len(row[i]) for row in [columns, *rows]) for i in range(len(columns))]
    plain = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
             for row in [columns, *rows]]  # fmt: skip
    cells = "".join(
        "<tr>" + "".join(f'<td style="text-align:left">{html.escape(cell)}</td>' for cell in row) + "</tr>"
        for row in rows
    )
    heads = "".join(f'<th scope="col" style="text-align:left">{html.escape(column)}</th>' for column in columns)
    under = "".join(f"<div>{html.escape(line)}</div>" for line in foot)
    rich = f"<table><caption>{html.escape(head)}</caption><thead><tr>{heads}</tr></thead><tbody>{cells}</tbody></table>"
    show("\n".join([head, *plain, *foot]), rich + under)


def _frame(colour: str, inner: str) -> str:
    return f'<div role="status" style="border-left:4px solid {colour};padding:.4em .8em;margin:.3em 0">{inner}</div>'


def _inline(text: str) -> str:
    """HTML of one line: `code` between backticks, line breaks kept."""
    escaped = html.escape(text).replace("\n", "<br>")
    return re.sub(r"`([^`]+)`", r"<code>\1</code>", escaped)
