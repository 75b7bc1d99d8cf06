"""The one driver between a protocol machine, its line and the till's core.

Bytes go to the machine as they come and its answers leave in the same turn of the event loop, so an acknowledgement never waits
for work. What the core has to do (asks, and the settling of answers) goes through one ordered queue: the core sees one request at
a time, and the end of one before the beginning of the next.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import deque
from collections.abc import Callable
from typing import Literal, Protocol

from terminal.checkout import Outcome
from terminal.register.line import Line
from terminal.register.machine import (
    Abort,
    Action,
    Answer,
    Ask,
    Delivered,
    Hangup,
    Machine,
    Note,
    Rate,
    Remark,
    Send,
    Settles,
    Undelivered,
)

LOG = logging.getLogger(__name__)

JOBS_MAX = 64  # asks and settlements waiting for the core; a machine has one request open, so this is never reached
ACTIONS_MAX = 10_000  # actions that may follow from one event; more means a machine that talks to itself
STOP_PATIENCE_S = 5.0  # for the core to end what is open when the session stops

Tap = Callable[[Literal["in", "out", "note"], bytes | str], None]


class Core(Protocol):
    """The till behind the protocols."""

    async def ask(self, ask: Ask, note: Callable[[Note], None]) -> Answer:
        """Do what the register asks; `note` tells progress. Never called twice at the same time."""

    def abort(self, number: int) -> bool:
        """Stop request `number`; False where it is too late. `ask` still answers."""

    async def delivered(self, number: int, amount_minor: int | None) -> None:
        """The register took the answer: it stands. Returns when that is written down; raises where it can't be."""

    async def undelivered(self, number: int, why: str) -> None:
        """The register did not take the answer: undo it."""


class SettingsStore(Protocol):
    """Where protocols keep what has to survive a restart."""

    def load(self, protocol: str) -> dict[str, str]:
        """What was saved last; empty where nothing was."""

    def save(self, protocol: str, settings: dict[str, str]) -> None:
        """Keep this instead."""


class RegisterSession:
    """Runs one machine on one line. `await start()`, and `await stop()` in the end."""

    def __init__(
        self, machine: Machine, line: Line, core: Core, settings_store: SettingsStore, protocol: str, tap: Tap | None = None
    ) -> None:
        self._machine = machine
        self._line = line
        self._core = core
        self._store = settings_store
        self._protocol = protocol
        self._tap = tap
        self._saved = dict(machine.settings)
        self._todo: deque[Action] = deque()
        self._applying = False
        self._timer: asyncio.TimerHandle | None = None
        self._jobs: asyncio.Queue[Ask | Delivered | Undelivered] = asyncio.Queue(JOBS_MAX)
        self._worker: asyncio.Task[None] | None = None
        self._open: int | None = None  # the request the core is working on, or is about to
        self._working = False  # the core is at a job
        self._begun = False  # the core has been given the open request
        self._dropped = False  # the register gave up before that
        self._unsettled: set[int] = set()  # answered, and money hangs on it
        self._started = False

    @property
    def line(self) -> Line:
        """The line underneath, for its name and (TCP) its port."""
        return self._line

    @property
    def busy(self) -> bool:
        """True while a request is open or money hangs on an answer."""
        return self._open is not None or bool(self._unsettled) or self._working or not self._jobs.empty()

    async def start(self) -> None:
        """Open the line and serve the register until `stop`. Raises LineError where the line can never be had."""
        self._started = True
        self._worker = asyncio.get_running_loop().create_task(self._work(), name="register core")
        try:
            await self._line.start(self)
        except BaseException:
            await self.stop()
            raise

    async def stop(self) -> None:
        """Let go of the line; what was answered but not acknowledged is undone before this returns."""
        if not self._started:
            return
        self._started = False
        await self._line.close()
        if self._timer is not None:
            self._timer.cancel()
        if self._open is not None:
            self._stop_request(self._open)
        self._feed(self._machine.line_lost)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(STOP_PATIENCE_S):
                while self.busy:
                    if self._open is None and not self._working and self._jobs.empty():
                        self._settle_leftovers("the terminal stopped before the register acknowledged")
                    await self._jobs.join()
                    await asyncio.sleep(0)
        if self._worker is not None:
            self._worker.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._worker

    # What the line says.

    def line_opened(self) -> None:
        """See LineEvents."""
        self._note("line open")
        self._feed(self._machine.line_opened)

    def line_received(self, data: bytes) -> None:
        """See LineEvents."""
        if self._tap is not None:
            self._tap("in", data)
        self._feed(lambda now_s: self._machine.received(data, now_s))

    def line_lost(self) -> None:
        """See LineEvents."""
        self._note("line lost")
        self._feed(self._machine.line_lost)

    # What the machine wants.

    def _feed(self, call: Callable[[float], list[Action]]) -> None:
        """Give the machine one event and do what it answers, and what follows from that."""
        now_s = asyncio.get_running_loop().time()
        try:
            self._todo.extend(call(now_s))
        except Exception:
            # A machine that fails is a fault of ours, but the purchase that hangs on it must still be settled.
            LOG.exception("register machine failed protocol=%s", self._protocol)
            self._settle_leftovers("the terminal failed before the register acknowledged")
        if self._applying:
            return
        self._applying = True
        try:
            count = 0
            while self._todo:
                count += 1
                if count > ACTIONS_MAX:
                    LOG.error("register machine never comes to rest protocol=%s", self._protocol)
                    self._todo.clear()
                    break
                self._apply(self._todo.popleft())
        finally:
            self._applying = False
        self._reschedule()
        self._keep_settings()

    def _apply(self, action: Action) -> None:
        match action:
            case Send(data):
                if self._tap is not None:
                    self._tap("out", data)
                self._line.write(data)
            case Ask():
                self._begin(action)
            case Abort(number):
                accepted = number == self._open and self._stop_request(number)
                self._feed(lambda now_s: self._machine.abort_answered(number, accepted, now_s))
            case Delivered() | Undelivered():
                self._settle(action)
            case Rate(baud):
                self._line.set_rate(baud)
            case Hangup():
                self._line.hangup()
            case Remark(text):
                LOG.info("register %s: %s", self._protocol, text)
                self._note(text)

    def _stop_request(self, number: int) -> bool:
        if self._begun:
            return self._core.abort(number)
        self._dropped = True
        return True

    def _begin(self, ask: Ask) -> None:
        if self._open is not None or not self._started:
            LOG.warning("register %s asked for a second request while one is open", self._protocol)
            busy = Answer(ask.number, Outcome.BUSY)
            asyncio.get_running_loop().call_soon(self._feed, lambda now_s: self._machine.answered(busy, now_s))
            return
        self._open, self._begun, self._dropped = ask.number, False, False
        LOG.info("register asks kind=%s amount_minor=%d currency=%s", ask.kind.value, ask.amount_minor, ask.currency)
        self._jobs.put_nowait(ask)

    def _settle(self, job: Delivered | Undelivered) -> None:
        if job.number not in self._unsettled:
            LOG.error("register %s settled request %d, on which no money hangs", self._protocol, job.number)
            return
        self._unsettled.discard(job.number)
        self._jobs.put_nowait(job)

    def _settle_leftovers(self, why: str) -> None:
        for number in sorted(self._unsettled):
            self._settle(Undelivered(number, why))

    # What the core does.

    async def _work(self) -> None:
        while True:
            job = await self._jobs.get()
            self._working = True
            try:
                match job:
                    case Ask():
                        await self._ask(job)
                    case Delivered(number, amount_minor):
                        await self._deliver(number, amount_minor)
                    case Undelivered(number, why):
                        LOG.warning("register did not take the answer request=%d why=%s", number, why)
                        await self._core.undelivered(number, why)
            except Exception:
                LOG.exception("the core failed at %s", type(job).__name__)
            finally:
                self._working = False
                self._jobs.task_done()

    async def _ask(self, ask: Ask) -> None:
        def note(what: Note) -> None:
            if self._open == ask.number:
                self._feed(lambda now_s: self._machine.noted(ask.number, what, now_s))

        self._begun = True
        try:
            answer = Answer(ask.number, Outcome.ABORTED) if self._dropped else await self._core.ask(ask, note)
        except Exception:
            LOG.exception("the core failed to answer a request kind=%s", ask.kind.value)
            answer = Answer(ask.number, Outcome.FAULT)
        self._open = None
        if answer.needs_confirmation:
            self._unsettled.add(ask.number)
        LOG.info("till answers kind=%s outcome=%s", ask.kind.value, answer.outcome.value)
        self._feed(lambda now_s: self._machine.answered(answer, now_s))

    async def _deliver(self, number: int, amount_minor: int | None) -> None:
        kept = True
        try:
            await self._core.delivered(number, amount_minor)
        except Exception:
            LOG.exception("the core could not keep a delivered answer request=%d", number)
            kept = False
        machine = self._machine
        if isinstance(machine, Settles):
            self._feed(lambda now_s: machine.settled(number, kept, now_s))

    # Timers and settings.

    def _reschedule(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        deadline_s = self._machine.next_deadline_s
        if deadline_s is not None and self._started:
            self._timer = asyncio.get_running_loop().call_at(deadline_s, self._ticked)

    def _ticked(self) -> None:
        self._timer = None
        self._feed(self._machine.ticked)

    def _keep_settings(self) -> None:
        settings = self._machine.settings
        if settings != self._saved:
            self._saved = dict(settings)
            try:
                self._store.save(self._protocol, self._saved)
            except OSError as error:
                LOG.error("register settings can't be kept (%s); a restart will forget the registration", error)  # noqa: TRY400

    def _note(self, text: str) -> None:
        if self._tap is not None:
            self._tap("note", text)
