"""How fast the register is answered while the vision runs at its full rate: request -> ACK, and decision -> first byte of the result.

The terminal's own session, desk, journal (on the disk) and vision with the simulated reader and a hand over it; a register in a process
of its own on a pseudo-terminal. Only the service is played, so that the moment of its decision is known to the microsecond.
"""

from __future__ import annotations

import asyncio
import json
import os
import pty
import shutil
import sys
import time
import tty
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, cast
from unittest.mock import patch

from terminal import checkout, parts
from terminal.app import THREAD_SWITCH_S
from terminal.config import PalmOptions, ReaderOptions, RegisterOptions, ServiceOptions, Shop
from terminal.desk import Desk
from terminal.display import RecordedDisplay
from terminal.journal import Journal
from terminal.metrics import Metrics
from terminal.palm.types import Look
from terminal.reader.frame import Reader
from terminal.register import open_session
from terminal.sale import Parts
from terminal.service import Link, Settlement
from terminal.service.purchase import Wanted
from terminal.settler import Settler
from terminal.simulation.reader import SimulatedReader
from terminal.vision import Health, Seen, Vision
from tests.bench.register_end import ENQUIRIES, PAUSE_S
from tests.bench.table import Figure, Timing

DECIDES_AFTER_S = (ENQUIRIES + 10) * PAUSE_S
"""From the beginning of a purchase: the register has made its enquiries by then, even on a busy machine."""
PAYMENTS_MAX = 100
START_LIMIT_S = 60.0
RUN_LIMIT_S = 300.0
ACK_GOAL_MS, ACK_P99_GOAL_MS, RESULT_P99_GOAL_MS = 2.0, 10.0, 10.0

decided_s: list[float] = []


class DecidingStream:
    """In the place of the stream to the service: decides some time after it was opened, and notes when."""

    def __init__(self, link: Link, wanted: Wanted, heard: Callable[[checkout.Event], None]) -> None:
        self._heard = heard
        self._timer: asyncio.TimerHandle | None = None
        self.probes_sent = 0

    def open(self) -> None:
        """The service has begun at once."""
        loop = asyncio.get_running_loop()
        loop.call_soon(self._heard, checkout.Begun())
        self._timer = loop.call_later(DECIDES_AFTER_S, self._decide)

    def probe(self, look: Look) -> None:
        """Counted, as real ones are."""
        self.probes_sent += 1

    def close(self) -> None:
        """No more events."""
        if self._timer is not None:
            self._timer.cancel()

    def _decide(self) -> None:
        decided_s.append(time.monotonic())
        self._heard(checkout.Authorised("A1B2C3", "Ada"))


class ReachableLink:
    """As much of a link as the desk looks at."""

    options = ServiceOptions()
    till, reachable, trouble = "till-1", True, None


async def _settled(*_: Any, **__: Any) -> Settlement:
    return Settlement.DONE


def _reader() -> Reader:
    reader = SimulatedReader(ReaderOptions(kind="simulated", rate_hz=60.0))
    reader.open()
    reader.stage.show_person("ada")
    return reader


async def _measure(folder: Path, payments: int) -> tuple[dict[str, list[float]], float]:
    """The register's figures, and how many frames a second the vision took meanwhile."""
    link, shop, loop = cast(Link, ReachableLink()), Shop(), asyncio.get_running_loop()
    journal, disk = Journal(folder), ThreadPoolExecutor(1)
    journal.open()
    well = asyncio.Event()
    settler = Settler(journal, link, shop.reservation_hours, lambda: None)
    vision = Vision(
        ReaderOptions(kind="simulated", rate_hz=60.0),
        _reader,
        lambda: parts.make_pipeline(PalmOptions()),
        lambda s: seen(s),
        well.set,
    )
    desk = Desk(
        Parts(shop, journal, link, RecordedDisplay(), Metrics(), vision, disk, settler.kick), vision, settler, unkept_stands=False
    )

    def seen(what: Seen) -> None:
        desk.seen(what)

    master, slave = pty.openpty()
    tty.setraw(slave)
    session = open_session(RegisterOptions(port=os.ttyname(slave)), shop, desk, journal)
    vision.start()
    try:
        async with asyncio.timeout(START_LIMIT_S):
            while vision.health is not Health.WELL:
                well.clear()
                await well.wait()
        settler.start()
        await session.start()
        desk.open()
        frames, began_s = vision.frames, loop.time()
        child = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "tests.bench.register_end", str(master), str(payments),
            pass_fds=(master,), stdout=asyncio.subprocess.PIPE,
        )  # fmt: skip
        async with asyncio.timeout(RUN_LIMIT_S):
            said, _ = await child.communicate()
        if child.returncode:
            raise RuntimeError("the register's end failed; its words are above")
        rate_hz = (vision.frames - frames) / (loop.time() - began_s)
    finally:
        await session.stop()
        await settler.stop()
        await vision.stop()
        disk.shutdown()
        journal.close()
        os.close(slave)
        os.close(master)
    figures: dict[str, list[float]] = json.loads(said)
    return figures, rate_hz


def figures(folder: Path, payments: int) -> list[Figure]:
    """The two lines of the table about the register."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    decided_s.clear()
    sys.setswitchinterval(THREAD_SWITCH_S)
    with patch("terminal.sale.PurchaseStream", DecidingStream), patch("terminal.settler.settle", _settled):
        taken, rate_hz = asyncio.run(_measure(folder, min(payments, PAYMENTS_MAX)))
    ack = Timing(tuple(taken["ack_ms"]))
    result = Timing(tuple((came_s - at_s) * 1e3 for at_s, came_s in zip(decided_s, taken["result_s"], strict=True)))
    load = f"vision at {rate_hz:.0f} frames/s"
    return [
        Figure(
            "register: last byte of a request -> ACK",
            f"median {ACK_GOAL_MS:g} ms, p99 {ACK_P99_GOAL_MS:g} ms",
            f"median {ack.median:.2f} ms, p99 {ack.percentile(99):.2f} ms of {len(ack.ms)}, {load}",
            ack.median <= ACK_GOAL_MS and ack.percentile(99) <= ACK_P99_GOAL_MS,
        ),
        Figure(
            "service's decision -> first byte of the result",
            f"p99 {RESULT_P99_GOAL_MS:g} ms",
            f"median {result.median:.2f} ms, p99 {result.percentile(99):.2f} ms of {len(result.ms)}, with its fsync",
            result.percentile(99) <= RESULT_P99_GOAL_MS,
        ),
    ]
