"""Puts the parts together; nothing else does. `run` is the terminal from power-on to SIGTERM."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from importlib import metadata
from typing import Any

import sdnotify

from terminal import board, parts
from terminal.checkout import Screen
from terminal.config import Config
from terminal.desk import Desk
from terminal.display.server import DisplayError, PageDisplay
from terminal.journal import Journal, JournalError
from terminal.metrics import Metrics
from terminal.register import LineError, RegisterSession, open_session
from terminal.sale import Parts
from terminal.service import Link
from terminal.settler import Settler
from terminal.vision import Health, Vision

log = logging.getLogger(__name__)

BEAT_S = 1.0
"""How often frames are looked for to feed the watchdog, and the metrics are brought up to date."""
BOARD_BEATS = 60
"""The board's supply is looked at once a minute."""
VISION_WAIT_S = 60.0
"""For reader and models at the start; then the terminal goes on without them and says so."""
THREAD_SWITCH_S = 0.0005
"""The vision thread gives way to the main loop after this; Python's own 5 ms would be seen in the register's answers."""
FINE, FAILED = 0, 1


def version() -> str:
    """Of the installed program."""
    try:
        return metadata.version("palm-till")
    except metadata.PackageNotFoundError:
        return "0 (not installed)"


class Terminal:
    """All parts of one terminal. `await start()`, then `await stop()`."""

    def __init__(self, config: Config) -> None:
        self.config = config
        self.started_s = time.monotonic()
        self.journal = Journal(config.journal.folder, config.journal.keep_days)
        self.metrics = Metrics()
        self.display = PageDisplay(config.display, config.shop.languages, self.status)
        self.link = Link(config.service, config.shop.till, self._changed)
        self.disk = ThreadPoolExecutor(1, thread_name_prefix="journal")
        self.vision = Vision(
            config.reader,
            lambda: parts.open_reader(config.reader),
            lambda: parts.make_pipeline(config.palm),
            lambda seen: self.desk.seen(seen),
            self._changed,
        )
        self.settler = Settler(self.journal, self.link, config.shop.reservation_hours, self._changed)
        self.desk = Desk(
            Parts(config.shop, self.journal, self.link, self.display, self.metrics, self.vision, self.disk, self.settler.kick),
            self.vision,
            self.settler,
            parts.unkept_stands(config),
            config.enrolment,
        )
        self.session: RegisterSession | None = None
        self._beat: asyncio.Task[None] | None = None
        self._systemd = sdnotify.SystemdNotifier()
        self._ready = False
        self._first = asyncio.Event()  # the vision has said how it is
        self._fault: tuple[str, str] | None = None  # what was said of the vision last
        self._frames_beaten = 0
        self._rate_hz = 0.0

    async def start(self) -> None:
        """Everything up, in the order in which it is needed. Raises JournalError, DisplayError, LineError or OSError."""
        cut = self.journal.open()
        if cut:
            log.warning("journal: %d purchases were open when the terminal last stopped; they are settled first", len(cut))
        await self.display.start()
        self.display.show(Screen.STARTING)
        log.info("page url=%s", self.display.url)
        if self.config.metrics.port is not None:
            self.metrics.serve(self.config.metrics.port)
        self.vision.start()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(VISION_WAIT_S):
                await self._first.wait()
        self.link.start()
        self.settler.start()
        self.session = open_session(self.config.cash_register, self.config.shop, self.desk, self.journal)
        await self.session.start()
        self.desk.open()
        self._ready = True
        self._beat = asyncio.create_task(self._beats(), name="beat")
        self._systemd.notify("READY=1\nSTATUS=waiting for the register")
        log.info(
            "ready till=%s version=%s model=%s reader=%s register=%s line=%s start_s=%.1f",
            self.config.shop.till,
            version(),
            self.vision.model_version or "none",
            self.config.reader.kind,
            self.config.cash_register.protocol,
            self.session.line.name,
            time.monotonic() - self.started_s,
        )

    async def stop(self) -> None:
        """Everything down, the register first; what is owed stands in the journal. Never raises."""
        self._systemd.notify("STOPPING=1")
        if self._beat is not None:
            self._beat.cancel()
        if self.session is not None:
            await _quietly("register", self.session.stop())
        await _quietly("settler", self.settler.stop())
        await _quietly("vision", self.vision.stop())
        await _quietly("service", self.link.stop())
        await _quietly("display", self.display.stop())
        await asyncio.to_thread(self.disk.shutdown)
        self.metrics.close()
        self.journal.close()
        log.info("stopped")

    def _changed(self) -> None:
        """Reader, models, service or debts are not what they were."""
        if self.vision.health is not Health.STARTING:
            self._first.set()
        fault = (self.vision.code, self.vision.sentence) if self.vision.health is Health.FAULT else None
        if fault is not None and fault != self._fault:
            log.error("vision fault code=%s: %s", *fault)
        self._fault = fault
        if self._ready:
            self.desk.changed()

    async def _beats(self) -> None:
        """The watchdog is fed by frames: a camera that hangs is restarted, whatever else still moves."""
        beats = 0
        while True:
            before = time.monotonic()
            await asyncio.sleep(BEAT_S)
            self._beaten(time.monotonic() - before)
            beats += 1
            if beats % BOARD_BEATS == 0 and (said := board.throttled()):
                log.warning("board: %s. Use the supply that came with it, and let air to it.", ", ".join(said))

    def _beaten(self, elapsed_s: float) -> None:
        """One beat: no new frame, no sign of life to systemd."""
        frames = self.vision.frames
        self._rate_hz = (frames - self._frames_beaten) / elapsed_s
        if frames != self._frames_beaten:
            self._systemd.notify("WATCHDOG=1")
        self._frames_beaten = frames
        self._measure()

    def _measure(self) -> None:
        metrics = self.metrics
        metrics.frames.set(self.vision.frames)
        metrics.restarts.set(self.vision.restarts)
        metrics.reconnects.set(self.link.reconnects)
        metrics.reachable.set(self.link.reachable)
        metrics.owed.set(self.settler.owes)
        metrics.conflicts.set(self.settler.conflicts)

    def status(self) -> dict[str, Any]:
        """For the technician's page: nothing that names anybody."""
        said = board.throttled()
        return {
            "till": self.config.shop.till,
            "version": version(),
            "model_version": self.vision.model_version,
            "uptime_s": board.uptime_s(self.started_s),
            "frames_per_s": round(self._rate_hz, 1),
            "frames_dropped": self.vision.frames_missed,
            "service": self.link.trouble.sentence if self.link.trouble else self.config.service.address,
            "service_reachable": self.link.reachable,
            "register": self.config.cash_register.protocol,
            "register_open": self.session is not None and bool(getattr(self.session.line, "is_open", True)),
            "owed": self.settler.owes,
            "temperature_c": board.temperature_c(),
            "throttled": None if said is None else ", ".join(said) or "no",
            "purchases": list(self.desk.purchases),
        }


async def _quietly(name: str, stopping: Any) -> None:
    """One part that can't stop does not keep the others."""
    try:
        await stopping
    except Exception:
        log.exception("%s did not stop cleanly", name)


async def run(config: Config, said: Callable[[str], None]) -> int:
    """The terminal until SIGTERM or SIGINT; the exit code. `said` gets one sentence where it can't start."""
    sys.setswitchinterval(THREAD_SWITCH_S)
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    terminal = Terminal(config)
    try:
        starting = asyncio.create_task(terminal.start())
        stopping = asyncio.create_task(stop.wait())
        await asyncio.wait({starting, stopping}, return_when=asyncio.FIRST_COMPLETED)
        if starting.done():
            await starting
            await stopping
        else:
            starting.cancel()
            await asyncio.gather(starting, return_exceptions=True)
    except (JournalError, DisplayError, LineError, OSError) as error:
        said(str(error))
        return FAILED
    finally:
        await terminal.stop()
    return FINE
