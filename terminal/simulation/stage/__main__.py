"""`python -m terminal.simulation.stage`: the whole way on one machine, for a person or, with --script morning, without one.

Exit codes: 0 fine, 1 something failed or the books differ, 2 wrong usage.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
import webbrowser
from contextlib import contextmanager, suppress
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.panel import Panel
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from terminal.simulation.stage import morning, summary
from terminal.simulation.stage.children import ChildError
from terminal.simulation.stage.folder import Folder, FolderError
from terminal.simulation.stage.hand import HandError
from terminal.simulation.stage.server import StageServer
from terminal.simulation.stage.stage import PEOPLE, Stage

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

PORT = 8088
PATIENCE_S = 30.0
STEPS = 5 + len(PEOPLE)
"""What `Stage.set_up` tells of."""
TROUBLES = (ChildError, HandError, FolderError, ConnectionError, morning.MorningError)

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
console = Console()


@contextmanager
def _steps(title: str, total: int) -> Iterator[Callable[[str], None]]:
    """A progress bar; the function that comes out begins the next step."""
    columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(bar_width=28), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        task, begun = progress.add_task(title, total=total), 0

        def told(step: str) -> None:
            nonlocal begun
            progress.update(task, description=step.ljust(52), completed=begun)
            if not console.is_terminal:
                console.print(f"  {step}")
            begun += 1

        yield told
        progress.update(task, completed=total)


@app.command()
def main(
    script: Annotated[str | None, typer.Option(help="play this without a person: morning")] = None,
    folder: Annotated[Path, typer.Option(help="working folder, emptied at the start")] = Path(".run"),
    port: Annotated[int, typer.Option(min=0, max=65_535, help="of the stage's page; another where it is taken")] = PORT,
    patience_s: Annotated[
        float | None, typer.Option(min=3, max=170, help="how long the terminal waits for a hand; absent: 30, in a script 8")
    ] = None,
    browser: Annotated[bool, typer.Option(help="open the page in the browser where there is a screen")] = True,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="log what the stage does")] = False,
) -> None:
    """Start the service, the terminal and a register, and let a person act on a page; or play a script."""
    if script not in (None, "morning"):
        typer.echo(f"There is no script {script!r}. Known: morning.", err=True)
        raise typer.Exit(2)
    logging.basicConfig(level=logging.INFO if verbose else logging.ERROR, format="%(levelname)s %(message)s")
    signal.signal(signal.SIGTERM, lambda *_: signal.raise_signal(signal.SIGINT))
    try:
        status = asyncio.run(_run(Folder(folder), script, port, browser, patience_s))
    except TROUBLES as error:
        console.print(Panel(str(error), title="It did not work", border_style="red", expand=False))
        raise typer.Exit(1) from None
    except KeyboardInterrupt:
        status = 0 if script is None else 1
        console.print("Stopped; nothing is left running.")
    raise typer.Exit(status)


async def _run(folder: Folder, script: str | None, port: int, browser: bool, patience_s: float | None) -> int:
    began_s = monotonic()
    folder.claim()
    stage = Stage(folder, patience_s=patience_s or (morning.PATIENCE_S if script else PATIENCE_S))
    try:
        with _steps("setting the stage", STEPS) as told:
            await stage.set_up(told)
        console.print(f"Ready after {monotonic() - began_s:.1f} s; everything lies in {folder.root}.")
        return await (_morning(stage) if script else _person(stage, port, browser))
    finally:
        await stage.tear_down()
        folder.release()


async def _morning(stage: Stage) -> int:
    began_s = monotonic()
    with _steps("the morning", len(morning.ACTS)) as step:

        def told(title: str, played: morning.Played | None) -> None:
            if played is None:
                step(title)

        report = await morning.play(stage, told)
    summary.show(report, console)
    console.print(f"Played in {monotonic() - began_s:.1f} s.")
    if report.troubles:
        console.print(f"The programs' logs are in {stage.folder.logs}.")
    return 1 if report.troubles else 0


async def _person(stage: Stage, port: int, browser: bool) -> int:
    server = StageServer(stage, port)
    await server.start()
    try:
        lines = (
            f"[bold]{server.url}[/bold]",
            "",
            "Key in an amount, press Pay by palm, hold out a hand.",
            f"The shopper's page alone: {stage.snapshot().shopper_url}",
            "Ctrl-C stops everything.",
        )
        console.print(Panel("\n".join(lines), title="The stage is set", border_style="green", expand=False))
        if browser and sys.stdout.isatty() and (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
            with suppress(webbrowser.Error):
                webbrowser.open(server.url)
        await asyncio.Event().wait()
    finally:
        await server.stop()
    return 0


if __name__ == "__main__":
    app()
