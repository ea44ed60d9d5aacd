"""`vfm-course doctor`: what this machine can do, and what to do about each problem."""

import json
from dataclasses import asdict
from typing import Annotated

import typer

from vfm_course.checks import BROKEN, GOOD, all_checks

WORDS = {GOOD: "[green]good[/]", "note": "[yellow]note[/]", BROKEN: "[red]broken[/]"}


def doctor(as_json: Annotated[bool, typer.Option("--json", help="The report as JSON.")] = False) -> None:
    """Say what this machine can do; exit status 1 when something needed is broken."""
    findings = [check() for check in all_checks()]
    if as_json:
        typer.echo(json.dumps([asdict(finding) for finding in findings], indent=1, ensure_ascii=False))
    else:
        from rich.console import Console
        from rich.markup import escape
        from rich.table import Table

        table = Table("", "", "found", "what to do", box=None, pad_edge=False)
        for finding in findings:
            table.add_row(finding.name, WORDS[finding.state], escape(finding.found), escape(finding.advice))
        Console().print(table)
    if any(finding.state == BROKEN for finding in findings):
        raise typer.Exit(1)
