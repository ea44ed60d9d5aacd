"""Judges every claim of the field by what was measured here, and writes the verdicts into `data/claims.json`.

    python -m vfm_course.pretraining.verdicts

The claims are in `statements`, their rules in `rules`, `model_rules` and `study_rules`. Nothing is measured here: where
a figure is missing, that is said, and nothing is written. `vfm_course.claims.statement(id)` reads what was written.
"""

from __future__ import annotations

import argparse
import json
from collections import Counter
from collections.abc import Sequence

from vfm_course.claims import read_claims
from vfm_course.errors import UserError
from vfm_course.paths import data_dir
from vfm_course.pretraining.rules import VERDICTS, Statement
from vfm_course.pretraining.statements import STATEMENTS
from vfm_course.whole_file import whole_text


def judged(statement: Statement) -> dict:
    """The row of a statement, with the verdict that today's figures give.

    Raises:
        UserError: a figure that it needs was not measured, or its file is missing or damaged.
    """
    found = statement.judge()
    said = {name: getattr(statement, name) for name in ("id", "section", "claim", "source", "experiment")}
    return said | {"verdict": found.verdict, "reason": found.reason, "evidence": found.evidence}


def run(statements: Sequence[Statement] = STATEMENTS) -> list[dict]:
    """Judges all and writes them into data/claims.json, whose other figures stay as they are.

    Raises:
        UserError: as `judged`, and nothing is written then; or the file is damaged or cannot be written.
    """
    rows = [judged(statement) for statement in statements]
    claims = read_claims() | {"statements": rows}
    with whole_text(data_dir() / "claims.json") as file:
        file.write(json.dumps(claims, indent=1, ensure_ascii=False) + "\n")
    return rows


def show(rows: Sequence[dict]) -> None:
    """Prints a table of ids, verdicts and reasons, and how many there are of each verdict."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(show_lines=True)
    for head in ("id", "verdict", "why"):
        table.add_column(head, overflow="fold")
    for row in rows:
        table.add_row(*(Text(row[name]) for name in ("id", "verdict", "reason")))
    counts = Counter(row["verdict"] for row in rows)
    console = Console()
    console.print(table)
    console.print(", ".join(f"{counts[verdict]} {verdict}" for verdict in VERDICTS))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.parse_args()
    try:
        show(run())
    except UserError as error:
        parser.exit(2, f"{error}\n")


if __name__ == "__main__":
    main()
