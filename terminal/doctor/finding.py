"""One thing that was looked at, and the table of all."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from dataclasses import dataclass

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

MARKS = {True: "[green]well[/]", False: "[red]wrong[/]", None: "[yellow]note[/]"}


@dataclass(frozen=True, slots=True)
class Finding:
    """`well` None: nothing is wrong, but somebody should read it. `next` says what to do; empty where nothing is to be done."""

    part: str
    well: bool | None
    found: str
    next: str = ""


def show(findings: Sequence[Finding], *, as_json: bool, console: Console | None = None) -> None:
    """Print them."""
    wrong = [each for each in findings if each.well is False]
    if as_json:
        typer.echo(json.dumps({"well": not wrong, "findings": [dataclasses.asdict(each) for each in findings]}, indent=2))
        return
    console = console or Console()
    table = Table(box=None, pad_edge=False)
    for title in ("part", "", "found", "what to do next"):
        table.add_column(title, overflow="fold")
    for each in findings:
        table.add_row(each.part, MARKS[each.well], escape(each.found), escape(each.next))
    console.print(table)
    console.print("All is well." if not wrong else f"{len(wrong)} wrong: {', '.join(each.part for each in wrong)}.")
