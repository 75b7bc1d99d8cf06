"""Runs one purchase: feeds events to the state machine and does what it commands, in order, with the real journal, stream and display."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass, field
from typing import Protocol, TypeVar

from terminal import checkout as c
from terminal.checkout import Outcome, Purchase, Screen, State
from terminal.config import Shop
from terminal.display import Display
from terminal.journal import Journal, JournalError, Slip
from terminal.metrics import Metrics
from terminal.palm.types import Guidance, Look
from terminal.register.machine import Note
from terminal.service import Link, PurchaseStream
from terminal.service.purchase import Wanted

log = logging.getLogger(__name__)

NOTE_AFTER_S = 1.0
"""The register hears of progress only where it takes longer than this: a note that it has to acknowledge delays the answer."""
T = TypeVar("T")
BATCHES_MAX = 10_000  # steps of one purchase; its patience ends it long before


class Eyes(Protocol):
    """What a purchase needs of the vision."""

    model_version: str

    def rest(self) -> None:
        """Nobody is expected any more."""


@dataclass(slots=True)
class Parts:
    """What a purchase works with; put together by the app."""

    shop: Shop
    journal: Journal
    link: Link
    display: Display
    metrics: Metrics
    eyes: Eyes
    disk: Executor  # one thread: writes keep their order and never hold up the main loop
    settle: Callable[[], None]


@dataclass(slots=True)
class Timeline:
    """When what happened, monotonic seconds; and the look that was last before the answer."""

    asked_s: float = field(default_factory=time.monotonic)
    moments_s: dict[str, float] = field(default_factory=dict)
    look: Look | None = None

    def mark(self, name: str) -> None:
        """The first time that this happens."""
        self.moments_s.setdefault(name, time.monotonic())

    def between_s(self, first: str, then: str) -> float | None:
        """Seconds from one moment to another, where both were."""
        if first in self.moments_s and then in self.moments_s:
            return self.moments_s[then] - self.moments_s[first]
        return None

    def words(self) -> str:
        """For the log: milliseconds since the register asked, and where the last look came from."""
        said = " ".join(f"{name}={(at - self.asked_s) * 1000:.1f}" for name, at in self.moments_s.items())
        if self.look is None:
            return said
        stages = ",".join(f"{name}:{us}" for name, us in self.look.stages_us.items())
        return (
            f"{said} frame={self.look.frame_number} captured={(self.look.captured_s - self.asked_s) * 1000:.1f} "
            f"model={self.look.model_version} stages_us={stages}"
        )


@dataclass(frozen=True, slots=True)
class Told:
    """What the register is to be told."""

    outcome: Outcome
    slip: Slip | None = None


class Sale:
    """`begin`, then events through `feed`; `told` is the answer for the register, `finished` means that no command is left."""

    def __init__(
        self, parts: Parts, kind: str, amount_minor: int, currency: str, note: Callable[[Note], None], unkept_stands: bool
    ) -> None:
        self._parts = parts
        self._kind, self._amount_minor, self._currency = kind, amount_minor, currency
        self._note = note
        self.purchase = Purchase(kind, unkept_stands=unkept_stands)
        self.key = ""
        self.timeline = Timeline()
        loop = asyncio.get_running_loop()
        self.told: asyncio.Future[Told] = loop.create_future()
        self.kept: asyncio.Future[bool] = loop.create_future()  # whether what the register acknowledged is on the disk
        self._batches: deque[tuple[c.Command, ...]] = deque(maxlen=BATCHES_MAX)
        self._running: asyncio.Task[None] | None = None
        self._stream: PurchaseStream | None = None
        self._slip: Slip | None = None
        self._certainty = 0.0
        self._timers: list[asyncio.TimerHandle] = []

    def begin(self) -> None:
        """The register has asked."""
        loop = asyncio.get_running_loop()
        patience_s = self._parts.shop.palm_patience_s
        stopped = c.Stopped(Outcome.TIMED_OUT, "nobody was recognised in time")
        self._timers.append(loop.call_later(patience_s, self.feed, stopped))
        self._timers.append(loop.call_later(NOTE_AFTER_S, self._note_progress))
        self.feed(c.Asked())
        self._note(Note.PRESENT_PALM)

    def feed(self, event: c.Event) -> None:
        """Something happened."""
        self.purchase, commands = c.step(self.purchase, event)
        if not commands:
            return
        self._batches.append(commands)
        if self._running is None or self._running.done():
            self._running = asyncio.get_running_loop().create_task(self._work(), name="sale")

    def look(self, look: Look) -> None:
        """A probe was made."""
        if c.can_stop(self.purchase):
            self.timeline.mark("hand")
            self.timeline.mark("look")
            self.timeline.look = look
            self.feed(c.PalmSeen(look))

    def guidance(self, word: Guidance) -> None:
        """There is no good probe, and this would help."""
        if word is not Guidance.SHOW_HAND:
            self.timeline.mark("hand")
        self.feed(c.Guided(word.value))

    async def finished(self) -> None:
        """Wait until every command so far is done."""
        while self._running is not None and not self._running.done():
            await asyncio.shield(self._running)

    def _note_progress(self) -> None:
        if self.purchase.state is State.LOOKING:
            self._note(Note.LOOKING)

    # Commands.

    async def _work(self) -> None:
        while self._batches:
            batch = self._batches.popleft()
            try:
                for command in batch:
                    try:
                        await self._do(command)
                    except JournalError as error:
                        log.error("journal refuses %s: %s", type(command).__name__, error)  # noqa: TRY400
                        if isinstance(command, c.WriteCompleted) and not self.kept.done():
                            self.kept.set_result(False)
                        self.purchase, then = c.step(self.purchase, c.NotWritten(command))
                        self._batches.appendleft(then)
                        break
            except Exception:
                # A fault of ours: the purchase must end all the same, and what it owes must be paid.
                log.exception("a purchase failed at state=%s", self.purchase.state.value)
                self.feed(c.Stopped(Outcome.FAULT, "an error in the terminal"))
                if not self.told.done():
                    self.told.set_result(Told(Outcome.FAULT))
                if any(isinstance(each, c.WriteCompleted) for each in batch) and not self.kept.done():
                    self.kept.set_result(False)

    async def _do(self, command: c.Command) -> None:
        parts, journal = self._parts, self._parts.journal
        match command:
            case c.Show():
                self._show(command)
            case c.WriteBegun():
                entry = await self._write(lambda: journal.begin(self._kind, self._amount_minor, self._currency))
                self.key = entry.key
                log.info("purchase begun key=%s kind=%s", self.key, self._kind)
            case c.OpenStream():
                self._open()
            case c.SendProbe(look):
                if self._stream is not None and isinstance(look, Look):
                    self.timeline.mark("probe")
                    self._stream.probe(look)
            case c.WriteAuthorised(code):
                self.timeline.mark("authorised")
                self._slip = await self._write(lambda: journal.authorised(self.key, code))
            case c.Tell(outcome):
                self._tell(outcome)
            case c.WriteCompleted(amount_minor, force):
                await self._write(lambda: journal.completed(self.key, amount_minor, force=force))
                self.timeline.mark("acknowledged")
                if not self.kept.done():
                    self.kept.set_result(True)
            case c.WriteReversing(outcome, why):
                if self.key:
                    await self._write(lambda: journal.reversing(self.key, outcome.value, why))
            case c.WriteRefused(outcome):
                if self.key:
                    await self._write(lambda: journal.refused(self.key, outcome.value))
            case c.Settle():
                parts.settle()
            case c.CloseStream():
                self._close()

    async def _write(self, write: Callable[[], T]) -> T:
        began_s = time.monotonic()
        done = await asyncio.get_running_loop().run_in_executor(self._parts.disk, write)
        self._parts.metrics.write.observe(time.monotonic() - began_s)
        return done

    def _open(self) -> None:
        if self.purchase.state is State.FINISHED:
            return  # stopped while the key was being written: the service need not hear of it
        wanted = Wanted(
            self.key,
            self._kind,
            self._amount_minor,
            self._currency,
            self._parts.eyes.model_version,
            self._parts.shop.palm_patience_s,
        )
        self._stream = PurchaseStream(self._parts.link, wanted, self.feed)
        self._stream.open()

    def _tell(self, outcome: Outcome) -> None:
        if not self.told.done():
            self.timeline.mark("told")
            self.told.set_result(Told(outcome, self._slip if outcome is Outcome.APPROVED else None))
        for timer in self._timers:
            timer.cancel()

    def _close(self) -> None:
        self._parts.eyes.rest()
        self.timeline.look = None if self.timeline.look is None else _bare(self.timeline.look)
        if self._stream is not None:
            self._parts.metrics.probes.observe(self._stream.probes_sent)
            self._stream.close()
            self._stream = None

    def _show(self, show: c.Show) -> None:
        # A word of guidance in between says nothing about the evidence: the ring keeps its place.
        self._certainty = certainty = max(show.certainty, self._certainty if show.screen is Screen.LOOKING else 0.0)
        self._parts.display.show(
            show.screen,
            amount_minor=self._amount_minor,
            currency=self._currency,
            outcome=show.outcome,
            name=show.name,
            certainty=certainty,
            guidance=show.guidance,
            code=show.code,
        )


def _bare(look: Look) -> Look:
    """Where and when, without the signatures: a palm is not kept longer than its purchase."""
    return Look(look.frame_number, look.captured_s, look.side, look.quality, look.model_version, stages_us=look.stages_us)
