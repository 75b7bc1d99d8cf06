"""The main job on recordings of real hands: `python -m tests.bench.recordings FOLDER`, one folder of pictures a person.

Each person is enrolled from the first ten pictures by the real call over TLS, then pays with the later ones: windows of ten pictures are
played through the replay reader and the palm pipeline into a real purchase stream. Then each in turn is forgotten and tries again as a
stranger among the others. Counts what came of each. Pictures stay where they are; nothing of them is written.
"""

from __future__ import annotations

import asyncio
import contextlib
import tempfile
import uuid
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import track
from rich.table import Table

from terminal import checkout
from terminal.config import PalmOptions, ReaderOptions, ServiceOptions
from terminal.palm.pipeline import PalmPipeline
from terminal.palm.types import Guidance, Look
from terminal.reader.frame import Pace, ReaderEnded
from terminal.reader.recording import natural_key
from terminal.reader.replay import ReplayReader
from terminal.service import Enrolled, Enrolling, Link, PurchaseStream, enrol, settle
from terminal.service.purchase import Wanted
from terminal.simulation.stage import programs
from terminal.simulation.stage.children import Child, stop_all
from terminal.simulation.stage.folder import Folder, free_port
from tests.bench.network import listening

ENROL_PICTURES = 10
WINDOW_PICTURES = 10
WINDOW_STEP = 2
"""Windows overlap: they are tries, not independent witnesses."""

RATE_HZ = 5.0
"""Pictures of separate presentations: slow enough that one is not taken for a jump of the last."""

READY_LIMIT_S = 120.0
PROBE_PAUSE_S = 0.05
"""Between two probes, as a live reader would give them."""

ANSWER_LIMIT_S = 2.0
"""For the service's last word after the last picture of a window."""

RECOGNISED, MORE, REFUSED, CONFUSED, STOPPED = "recognised", "asked for more", "refused", "taken for another", "stopped"
ENROLLED, STRANGER = "enrolled", "a stranger among the others"
ENDS = (RECOGNISED, MORE, REFUSED, CONFUSED, STOPPED)


def pictures(folder: Path) -> list[Path]:
    """In natural order: 2 before 10."""
    found = [p for p in folder.iterdir() if p.suffix.lower() in {".bmp", ".png", ".jpg", ".jpeg", ".tif", ".tiff"}]
    return sorted(found, key=lambda p: natural_key(p.name))


def looks(chosen: Sequence[Path], pipeline: PalmPipeline) -> Iterator[Look | Guidance]:
    """What the pipeline says while these are played."""
    with tempfile.TemporaryDirectory() as folder:
        for number, path in enumerate(chosen):
            (Path(folder) / f"{number:04d}{path.suffix}").symlink_to(path.resolve())
        clock = [0.0]

        def pass_time(seconds: float) -> None:
            clock[0] += seconds

        reader = ReplayReader(
            ReaderOptions(kind="replay", replay_path=Path(folder), rate_hz=RATE_HZ), clock=lambda: clock[0], sleep=pass_time
        )
        reader.open()
        reader.pace(Pace.ACTIVE)
        pipeline.reset()
        try:
            while True:
                yield from pipeline.push(reader.read(2.0))
        except ReaderEnded:
            return
        finally:
            reader.close()


@dataclass
class Tries:
    """What came of one person's windows. `used`: probes until the answer."""

    ends: Counter[str] = field(default_factory=Counter)
    used: list[int] = field(default_factory=list)
    guidance: Counter[str] = field(default_factory=Counter)


async def pay(link: Link, pipeline: PalmPipeline, chosen: Sequence[Path], who: str, tries: Tries) -> None:
    """One purchase with these pictures."""
    over: asyncio.Future[checkout.Event] = asyncio.get_running_loop().create_future()

    def heard(event: checkout.Event) -> None:
        if isinstance(event, checkout.Authorised | checkout.Refused | checkout.Stopped) and not over.done():
            over.set_result(event)

    key = uuid.uuid4().hex
    stream = PurchaseStream(link, Wanted(key, "pay", 100, "EUR", pipeline.model_version, 30.0), heard)
    stream.open()
    probes = 0
    for said in looks(chosen, pipeline):
        if isinstance(said, Look):
            probes += 1
            stream.probe(said)
            await asyncio.sleep(PROBE_PAUSE_S)
        else:
            tries.guidance[said.value] += 1
        if over.done():
            break
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(asyncio.shield(over), ANSWER_LIMIT_S)
    event = over.result() if over.done() else None
    stream.close()
    await stream.closed()
    await settle(link, "reverse", key, why="bench")
    if isinstance(event, checkout.Authorised):
        end = RECOGNISED if event.name == who else CONFUSED
    elif isinstance(event, checkout.Refused):
        end = REFUSED
    else:
        end = MORE if event is None else STOPPED
    tries.ends[end] += 1
    tries.used.append(probes)


@asynccontextmanager
async def service() -> AsyncIterator[tuple[Link, Folder]]:
    """A real service of its own, and a till's connection to it."""
    with tempfile.TemporaryDirectory() as where:
        folder, port = Folder(Path(where) / "service"), free_port()
        folder.claim()
        await Child("init", programs.init(folder, port), folder.logs / "init.log").succeed(READY_LIMIT_S)
        serving = Child("service", programs.serve(folder), folder.logs / "service.log")
        await serving.start()
        await listening(port, READY_LIMIT_S)
        keys = folder.identity / "certificates"
        options = ServiceOptions(
            address=f"127.0.0.1:{port}",
            ca=keys / "ca.pem",
            certificate=keys / f"{programs.TILL}.pem",
            key=keys / f"{programs.TILL}.key",
        )
        link = Link(options, programs.TILL)
        link.start()
        try:
            await link.ready(READY_LIMIT_S)
            yield link, folder
        finally:
            await link.stop()
            await stop_all([serving])
            folder.release()


async def take_in(link: Link, pipeline: PalmPipeline, person: Path) -> tuple[Enrolled, int]:
    """Enrol from the first pictures; also says how many looks they gave."""
    made = [said for said in looks(pictures(person)[:ENROL_PICTURES], pipeline) if isinstance(said, Look)]
    return await enrol(link, Enrolling(person.name, f"token-{person.name}", 10_000, "EUR", "bench", "bench"), made), len(made)


async def play(link: Link, pipeline: PalmPipeline, person: Path) -> Tries:
    """All windows of the later pictures."""
    later, tries = pictures(person)[ENROL_PICTURES:], Tries()
    for start in range(0, max(1, len(later) - WINDOW_PICTURES + 1), WINDOW_STEP):
        await pay(link, pipeline, later[start : start + WINDOW_PICTURES], person.name, tries)
    return tries


async def measure(root: Path, people: Sequence[Path]) -> None:
    """Enrol everybody, let everybody pay, then let each try as a stranger among the others."""
    console, pipeline = Console(width=150), PalmPipeline(PalmOptions())
    enrolled: dict[str, tuple[Enrolled, int]] = {}
    told: dict[tuple[str, str], Tries] = {}
    async with service() as (link, folder):
        for person in people:
            enrolled[person.name] = await take_in(link, pipeline, person)
        for person in track(people, description="paying", console=console):
            told[person.name, ENROLLED] = await play(link, pipeline, person)
        for person in track(people, description="as strangers", console=console):
            forget = programs.forget(folder, enrolled[person.name][0].person)
            await Child("forget", forget, folder.logs / "forget.log").succeed(READY_LIMIT_S)
            told[person.name, STRANGER] = await play(link, pipeline, person)
            await take_in(link, pipeline, person)
    table = Table(title=f"pictures of {root.name}, model {pipeline.model_version}")
    for heading in ("person", "looks of the first ten", "tries as", *ENDS, "probes until the answer"):
        table.add_column(heading)
    for (name, as_what), tries in told.items():
        kept, made = enrolled[name]
        said = f"{made}, consistency {kept.consistency:.2f}" if as_what == ENROLLED else ""
        used = f"{min(tries.used)} to {max(tries.used)}"
        table.add_row(name, said, as_what, *(str(tries.ends[end]) for end in ENDS), used)
    console.print(table)
    for (name, as_what), tries in told.items():
        console.print(f"[dim]{name}, {as_what}: the shopper was told {dict(tries.guidance)}[/dim]")


def main(folder: Annotated[Path, typer.Argument(help="One folder of pictures a person.", exists=True, file_okay=False)]) -> None:
    """Enrol and pay with recordings of real hands, in counts."""
    people = sorted(p for p in folder.iterdir() if p.is_dir())
    if not people:
        raise typer.BadParameter(f"{folder} has no folders in it: one for each person is expected, with at least 11 pictures.")
    short = [p.name for p in people if len(pictures(p)) <= ENROL_PICTURES]
    if short:
        raise typer.BadParameter(f"{', '.join(short)}: more than {ENROL_PICTURES} pictures of each person are expected.")
    asyncio.run(measure(folder, people))


if __name__ == "__main__":
    typer.run(main)
