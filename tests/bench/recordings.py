"""The main job on recordings of real hands: `python -m tests.bench.recordings FOLDER`, one folder of pictures a person.

Each person is enrolled from the first ten pictures by the real call over TLS, then pays with the later ones: windows of ten pictures are
played through the replay reader and the palm pipeline into a real purchase stream. Counts what came of each. Pictures stay where they
are; nothing of them is written.
"""

from __future__ import annotations

import asyncio
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
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
from terminal.service import Enrolling, Link, PurchaseStream, enrol, settle
from terminal.service.purchase import Wanted
from terminal.simulation.stage import programs
from terminal.simulation.stage.children import Child, stop_all
from terminal.simulation.stage.folder import Folder, free_port

ENROL_PICTURES = 10
WINDOW_PICTURES = 10
WINDOW_STEP = 2
RATE_HZ = 5.0
"""Pictures of separate presentations: slow enough that one is not taken for a jump of the last."""

READY_LIMIT_S = 120.0
ANSWER_LIMIT_S = 2.0
"""For the service's last word after the last picture of a window."""


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


async def pay(link: Link, pipeline: PalmPipeline, chosen: Sequence[Path], who: str) -> tuple[str, int, Counter[str]]:
    """One purchase: what came of it, after how many probes, and the guidance on the way."""
    over: asyncio.Future[checkout.Event] = asyncio.get_running_loop().create_future()

    def heard(event: checkout.Event) -> None:
        if isinstance(event, checkout.Authorised | checkout.Refused | checkout.Stopped) and not over.done():
            over.set_result(event)

    key = f"{abs(hash((who, chosen[0].name))) % 16**32:032x}"
    stream = PurchaseStream(link, Wanted(key, "pay", 100, "EUR", pipeline.model_version, 30.0), heard)
    stream.open()
    guidance: Counter[str] = Counter()
    probes = 0
    for said in looks(chosen, pipeline):
        if isinstance(said, Look):
            probes += 1
            stream.probe(said)
            await asyncio.sleep(0.05)
        else:
            guidance[said.value] += 1
        if over.done():
            break
    try:
        event = await asyncio.wait_for(over, ANSWER_LIMIT_S)
    except TimeoutError:
        event = None
    stream.close()
    await stream.closed()
    await settle(link, "reverse", key, why="bench")
    if isinstance(event, checkout.Authorised):
        return ("recognised" if event.name == who else "CONFUSED WITH THE OTHER"), probes, guidance
    if isinstance(event, checkout.Refused):
        return f"refused ({event.outcome.value})", probes, guidance
    return ("asked for more" if event is None else "stopped"), probes, guidance


async def measure(root: Path, people: Sequence[Path]) -> None:
    """Enrol everybody, then let everybody pay."""
    console, pipeline = Console(width=150), PalmPipeline(PalmOptions())
    with tempfile.TemporaryDirectory() as where:
        folder = Folder(Path(where) / "service")
        folder.claim()
        port = free_port()
        await Child("init", programs.init(folder, port), folder.logs / "init.log").succeed(READY_LIMIT_S)
        service = Child("service", programs.serve(folder), folder.logs / "service.log")
        await service.start()
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
            table = Table(title=f"pictures of {root.name}, model {pipeline.model_version}")
            for heading in ("person", "looks of the first ten", "enrolled", "purchase", "probes until then", "times"):
                table.add_column(heading)
            for person in people:
                made = [said for said in looks(pictures(person)[:ENROL_PICTURES], pipeline) if isinstance(said, Look)]
                enrolled = await enrol(link, Enrolling(person.name, f"token-{person.name}", 10_000, "EUR", "bench", "bench"), made)
                table.add_row(person.name, str(len(made)), f"consistency {enrolled.consistency:.2f}")
            for person in people:
                later = pictures(person)[ENROL_PICTURES:]
                starts = range(0, max(1, len(later) - WINDOW_PICTURES + 1), WINDOW_STEP)
                ends: Counter[str] = Counter()
                probes: list[int] = []
                for start in track(starts, description=person.name, console=console):
                    end, used, _ = await pay(link, pipeline, later[start : start + WINDOW_PICTURES], person.name)
                    ends[end] += 1
                    probes.append(used)
                for end, times in ends.most_common():
                    table.add_row(person.name, "", "", end, f"{min(probes)}-{max(probes)}", str(times))
            console.print(table)
        finally:
            await link.stop()
            await stop_all([service])
            folder.release()


def main(folder: Annotated[Path, typer.Argument(help="One folder of pictures a person.", exists=True, file_okay=False)]) -> None:
    """Enrol and pay with recordings of real hands, in counts."""
    asyncio.run(measure(folder, sorted(p for p in folder.iterdir() if p.is_dir())))


if __name__ == "__main__":
    typer.run(main)
