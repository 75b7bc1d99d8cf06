"""Figures as a table: what was measured, its goal, and its ratio to a named peer in the same run."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from time import perf_counter

from rich.console import Console
from rich.table import Table


@dataclass(frozen=True, slots=True)
class Figure:
    """One line of the table. `met` None: no goal to hold it against."""

    name: str
    goal: str
    seen: str
    met: bool | None
    peer: str = ""
    remarks: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Timing:
    """Milliseconds of one thing done many times."""

    ms: tuple[float, ...]

    @property
    def median(self) -> float:
        """In ms."""
        return statistics.median(self.ms)

    def percentile(self, percent: float) -> float:
        """In ms, by nearest rank."""
        ordered = sorted(self.ms)
        return ordered[min(len(ordered) - 1, int(len(ordered) * percent / 100))]


def timed(work: Callable[[int], object], *, rounds: int, warm_up: int = 10) -> Timing:
    """Call `work(i)` `rounds` times after `warm_up` calls that don't count."""
    for i in range(warm_up):
        work(i)
    ms = []
    for i in range(rounds):
        began = perf_counter()
        work(i)
        ms.append((perf_counter() - began) * 1e3)
    return Timing(tuple(ms))


def show(figures: Sequence[Figure], machine: str) -> None:
    """Print the table."""
    table = Table(title=f"Numbers to reach, on {machine}", show_lines=True)
    for heading in ("figure", "goal", "seen", "", "peer in the same run"):
        table.add_column(heading)
    for figure in figures:
        mark = {True: "[green]reached[/green]", False: "[red]missed[/red]", None: ""}[figure.met]
        table.add_row(figure.name, figure.goal, figure.seen, mark, figure.peer)
    console = Console(width=150)
    console.print(table)
    for figure in figures:
        for remark in figure.remarks:
            console.print(f"[dim]{figure.name}: {remark}[/dim]")
