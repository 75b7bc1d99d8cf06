"""Enrolment at the terminal: good looks of one palm from the real reader and pipeline, then one call to the service."""

from __future__ import annotations

import asyncio
import re
import time

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn

from terminal import parts
from terminal.config import Config
from terminal.palm.types import Guidance, Look, Side
from terminal.service import Enrolled, Enrolling, EnrolmentFailed, Link, ServiceLost, enrol
from terminal.vision import Health, Seen, Vision

PATIENCE_S = 90.0
"""For the whole of it; a person who is helped needs a third of that."""
SPREAD_S = 0.15
"""Between two looks that are kept: one moment twenty times says less about a palm than twenty moments."""
START_S = 60.0
QUEUE_MAX = 32

WORDS: dict[Guidance, str] = {
    Guidance.SHOW_HAND: "Hold the palm over the ring",
    Guidance.PALM_UP: "Turn the palm towards the ring",
    Guidance.ONE_HAND: "One hand only",
    Guidance.OPEN_HAND: "Open the hand",
    Guidance.HIGHER: "A little higher",
    Guidance.LOWER: "A little lower",
    Guidance.CENTRE: "To the middle",
    Guidance.FLATTER: "Hold it flat",
    Guidance.HOLD_STILL: "Hold still",
    Guidance.DAYLIGHT: "Too much sun: shade the ring",
    Guidance.GOOD: "Good, keep it there",
}


class EnrolStopped(Exception):
    """Nobody was enrolled; the sentence says what to do next."""


def minor_units(text: str) -> int:
    """50, 50.5 or 50.00 in minor units. Raises ValueError with a sentence."""
    found = re.fullmatch(r"(\d{1,7})(?:[.,](\d{1,2}))?", text.strip())
    if not found:
        raise ValueError(f"{text!r} is no amount; 50.00 would be one.")
    amount = int(found[1]) * 100 + int((found[2] or "0").ljust(2, "0"))
    if amount == 0:
        raise ValueError("a limit of nothing lets nobody pay; 50.00 would be one.")
    return amount


class Collector:
    """Keeps looks that are spread in time and of one hand; another hand begins anew."""

    def __init__(self, wanted: int) -> None:
        self.wanted = wanted
        self.looks: list[Look] = []
        self._side: Side | None = None

    @property
    def done(self) -> bool:
        """Whether there are enough."""
        return len(self.looks) >= self.wanted

    def take(self, look: Look) -> bool:
        """Keep this look if it adds something; whether it was kept."""
        if look.side is not self._side:
            self._side = look.side
            self.looks.clear()
        if self.looks and look.captured_s - self.looks[-1].captured_s < SPREAD_S:
            return False
        self.looks.append(look)
        return True


async def enrol_here(config: Config, wanted: Enrolling, count: int, console: Console | None = None) -> Enrolled:
    """Show guidance and progress, take `count` looks, enrol. Raises EnrolStopped."""
    console = console or Console(stderr=True)
    link = Link(config.service, config.shop.till)
    link.start()
    waiting: asyncio.Queue[Seen] = asyncio.Queue(QUEUE_MAX)
    changed = asyncio.Event()

    def seen(each: Seen) -> None:
        if waiting.full():
            waiting.get_nowait()
        waiting.put_nowait(each)

    vision = Vision(
        config.reader, lambda: parts.open_reader(config.reader), lambda: parts.make_pipeline(config.palm), seen, changed.set
    )
    vision.start()
    try:
        await _started(vision, changed)
        looks = await _collect(vision, waiting, count, console)
        return await enrol(link, wanted, looks)
    except (EnrolmentFailed, ServiceLost) as error:
        raise EnrolStopped(str(error)) from None
    finally:
        await vision.stop()
        await link.stop()


async def _started(vision: Vision, changed: asyncio.Event) -> None:
    try:
        async with asyncio.timeout(START_S):
            while vision.health is Health.STARTING:
                changed.clear()
                await changed.wait()
    except TimeoutError:
        raise EnrolStopped("The reader gives no frames. Run `palm-terminal doctor`.") from None
    if vision.health is Health.FAULT:
        raise EnrolStopped(f"{vision.sentence} Run `palm-terminal doctor`.")


async def _collect(vision: Vision, waiting: asyncio.Queue[Seen], count: int, console: Console) -> list[Look]:
    collector = Collector(count)
    until_s = time.monotonic() + PATIENCE_S
    columns = (TextColumn("{task.description:<32}"), BarColumn(), TextColumn("{task.completed:.0f}/{task.total:.0f}"))
    vision.look(1)
    try:
        with Progress(*columns, console=console, transient=True) as progress:
            bar = progress.add_task(WORDS[Guidance.SHOW_HAND], total=count)
            while not collector.done:
                left_s = until_s - time.monotonic()
                if left_s <= 0 or vision.health is Health.FAULT:
                    raise EnrolStopped(
                        f"Only {len(collector.looks)} of {count} good looks were taken in {PATIENCE_S:.0f} s. "
                        "Try again with the hand flat and still, a hand's breadth above the ring."
                    )
                try:
                    async with asyncio.timeout(min(left_s, 1.0)):
                        each = await waiting.get()
                except TimeoutError:
                    continue
                if isinstance(each.what, Look):
                    collector.take(each.what)
                else:
                    progress.update(bar, description=WORDS[each.what])
                progress.update(bar, completed=len(collector.looks))
    finally:
        vision.rest()
    return collector.looks
