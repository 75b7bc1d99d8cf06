"""`python -m tests.bench`: see `--help`."""

from __future__ import annotations

import os
import platform
from pathlib import Path
from typing import Annotated

import typer

from tests.bench.peers.install import BENCH_FOLDER
from tests.bench.table import Figure, show

BUSY_LOAD = 0.5
"""Above this the table says that it was not measured in quiet."""

PARTS = ("vision", "gallery", "register", "way")


def measure(
    purchases: Annotated[int, typer.Option(min=1, help="How many purchases the whole way is measured over.")] = 200,
    only: Annotated[str, typer.Option(help=f"One part alone: {', '.join(PARTS)}.")] = "",
) -> None:
    """Measure design.md's numbers on this machine and print them as a table, each beside its peer in the same run."""
    if only and only not in PARTS:
        raise typer.BadParameter(f"{only!r} is no part; there are: {', '.join(PARTS)}")
    BENCH_FOLDER.mkdir(exist_ok=True)
    busy = os.getloadavg()[0]
    lines: list[Figure] = []
    if only in ("", "vision"):
        from tests.bench import vision

        lines += vision.figures()
    if only in ("", "gallery"):
        from tests.bench import gallery

        lines += gallery.figures()
    if only in ("", "register"):
        from tests.bench import register

        lines += register.figures(BENCH_FOLDER / "register", purchases)
    if only in ("", "way"):
        from tests.bench import way

        lines += way.figures(Path(BENCH_FOLDER / "way"), purchases)
    machine = f"{os.cpu_count()} cores, {platform.machine()}, Python {platform.python_version()}"
    if busy > BUSY_LOAD:
        machine += f" (which was busy with other things: load {busy:.1f} before the start)"
    show(lines, machine)


if __name__ == "__main__":
    typer.run(measure)
