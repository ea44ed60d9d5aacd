"""What became of the claims of the field: a table of claim, evidence in words, and verdict."""

from __future__ import annotations

import html
import textwrap
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from vfm_course.errors import UserError
from vfm_course.viz.pictures import PLAIN
from vfm_course.viz.pictures import RIGHT as GREEN
from vfm_course.viz.pictures import WRONG as RED

# Verdict -> mark and colour. The marks and the words tell verdicts apart without the colours.
MARKS = {
    "reproduced": ("✓", GREEN),
    "not reproduced at this scale": ("✗", RED),
    "not testable here": ("○", PLAIN),
}
COLUMNS = ("claim", "evidence", "verdict")
PAGE = 100  # characters of a line in plain text


@dataclass(frozen=True)
class VerdictTable:
    """Rows of `claims.statements()`: an HTML table in a notebook, plain text where it is printed."""

    rows: tuple[dict, ...]

    def __str__(self) -> str:
        lines = []
        for row in self.rows:
            mark, _ = MARKS[row["verdict"]]
            lines += textwrap.wrap(f"{mark} {row['id']}: {row['claim']}", PAGE, subsequent_indent="  ")
            said = f"{row['verdict']}: {row['reason']}"
            lines += textwrap.wrap(said, PAGE, initial_indent="    ", subsequent_indent="    ")
        return "\n".join([*lines, self.counts])

    __repr__ = __str__

    def _repr_html_(self) -> str:
        heads = "".join(f'<th scope="col" style="text-align:left">{column}</th>' for column in COLUMNS)
        body = "".join(self._line(row) for row in self.rows)
        return (
            f"<table><caption>{html.escape(self.counts)}</caption><thead><tr>{heads}</tr></thead>"
            f"<tbody>{body}</tbody></table>"
        )

    @property
    def counts(self) -> str:
        """How many there are of each verdict."""
        numbers = Counter(row["verdict"] for row in self.rows)
        return ", ".join(f"{numbers[verdict]} {verdict}" for verdict in MARKS if verdict in numbers)

    @staticmethod
    def _line(row: dict) -> str:
        mark, colour = MARKS[row["verdict"]]
        claim, source, name, reason, verdict = (
            html.escape(row[key]) for key in ("claim", "source", "id", "reason", "verdict")
        )
        cells = (
            f"{claim}<br><small>{source}; <code>{name}</code></small>",
            reason,
            f'<b style="color:{colour}">{mark}</b> {verdict}',  # the words keep the theme's own colour
        )
        return "<tr>" + "".join(f'<td style="text-align:left">{cell}</td>' for cell in cells) + "</tr>"


def table(statements: Sequence[dict] | dict) -> VerdictTable:
    """The statements as a table, to be the last line of a cell or to be printed.

    Args:
        statements: rows as `claims.statements()` gives them, or one row as `claims.statement(id)` does.

    Raises:
        UserError: there are none, or one has no verdict that is known.
    """
    rows = (statements,) if isinstance(statements, dict) else tuple(statements)
    if not rows:
        raise UserError("There is nothing in the table: give at least one statement.")
    for row in rows:
        if row.get("verdict") not in MARKS:
            raise UserError(f"The statement {row.get('id')!r} has none of the verdicts {', '.join(MARKS)}.")
    return VerdictTable(rows)
