"""A desk with a real journal and fakes around it: a service with books, eyes that a test moves, a display that remembers."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

import numpy as np
import pytest

import terminal.follow_up
import terminal.sale
import terminal.settler
from terminal import checkout as c
from terminal.checkout import Outcome
from terminal.config import EnrolmentOptions, ServiceOptions, Shop
from terminal.desk import Desk
from terminal.display import RecordedDisplay
from terminal.journal import Journal
from terminal.metrics import Metrics
from terminal.palm.types import Guidance, Look, Side
from terminal.register.machine import Answer, Ask, Kind
from terminal.sale import Parts
from terminal.service import Link, ServiceLost, Settlement
from terminal.service.diagnosis import Trouble
from terminal.service.purchase import Wanted
from terminal.settler import Settler
from terminal.vision import Health, Seen, Vision

LOST = "the service can't be reached"


def look(number: int = 1) -> Look:
    vector = np.zeros(8, np.float32)
    vector[0] = 1
    return Look(number, 0.0, Side.RIGHT, 0.9, "palm-test", surface=vector, veins=vector, stages_us={"encode": 5000})


@dataclass
class Books:
    """The service: what it answers to probes, and its ledger by purchase key."""

    verdicts: list[c.Event] = field(default_factory=list)  # one for each probe; the last one goes on
    state: dict[str, str] = field(default_factory=dict)
    amount: dict[str, int] = field(default_factory=dict)
    up: bool = True
    limit_minor: int = 10_000
    calls: list[tuple[str, str]] = field(default_factory=list)
    silent: bool = False

    def settle(self, what: str, key: str, amount: int) -> Settlement:
        if not self.up:
            raise ServiceLost(LOST)
        self.calls.append((what, key))
        now = self.state.get(key, "nothing")
        then = {"capture": "captured", "reverse": "reversed", "void": "voided"}[what]
        allowed = {
            "capture": ("authorised", "captured"),
            "reverse": ("nothing", "authorised", "reversed"),
            "void": ("captured", "voided"),
        }
        if now not in allowed[what]:
            return Settlement.CONFLICT
        self.state[key] = then
        if what == "capture":
            self.amount[key] = amount
        if what in ("reverse", "void"):
            self.amount[key] = 0
        return Settlement.DONE

    @property
    def taken(self) -> int:
        return sum(self.amount[key] for key, state in self.state.items() if state == "captured")


class FakeStream:
    """In the place of PurchaseStream."""

    books: Books

    def __init__(self, link: Link, wanted: Wanted, heard: Callable[[c.Event], None]) -> None:
        self.wanted, self.heard = wanted, heard
        self.probes_sent = 0
        self.open_ = False

    def open(self) -> None:
        self.open_ = True
        if self.books.up:
            asyncio.get_running_loop().call_soon(self._say, c.Begun())
        else:
            asyncio.get_running_loop().call_soon(self._say, c.Stopped(Outcome.NO_SERVICE, LOST))

    def probe(self, look: Look) -> None:
        self.probes_sent += 1
        if self.books.silent or not self.books.verdicts:
            return
        verdict = self.books.verdicts.pop(0) if len(self.books.verdicts) > 1 else self.books.verdicts[0]
        if isinstance(verdict, c.Authorised):
            self.books.state[self.wanted.purchase_key] = "authorised"
        asyncio.get_running_loop().call_soon(self._say, verdict)

    def _say(self, event: c.Event) -> None:
        if self.open_:
            self.heard(event)

    def close(self) -> None:
        self.open_ = False


@dataclass
class FakeVision:
    health: Health = Health.WELL
    code: str = ""
    sentence: str = ""
    model_version: str = "palm-test"
    visit: int = 0
    visits: list[int] = field(default_factory=list)

    def look(self, visit: int) -> None:
        self.visit = visit
        self.visits.append(visit)

    def rest(self) -> None:
        self.visit = 0


class FakeLink:
    def __init__(self, books: Books) -> None:
        self.books = books
        self.options = ServiceOptions(backoff_max_s=1.0)
        self.till = "till-1"

    @property
    def reachable(self) -> bool:
        return self.books.up

    @property
    def trouble(self) -> Trouble | None:
        return None if self.books.up else Trouble("service", LOST)


class World:
    """`start`, then `pay` and friends; `restart` is a power cut."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch, shop: Shop | None = None) -> None:
        self.folder = folder
        self.shop = shop or Shop(palm_patience_s=3.0)
        self.enrolment = EnrolmentOptions()
        self.books = Books([c.Authorised("A1B2C3", "Ada")])
        self.vision = FakeVision()
        self.display = RecordedDisplay()
        self.notes: list[str] = []
        self.number = 0
        FakeStream.books = self.books
        monkeypatch.setattr(terminal.sale, "PurchaseStream", FakeStream)

        async def settle(link: Link, what: str, key: str, amount: int = 0, undo_key: str = "", why: str = "") -> Settlement:
            return self.books.settle(what, key, amount)

        async def increase(link: Link, key: str, amount: int) -> Outcome:
            if not self.books.up:
                raise ServiceLost(LOST)
            return Outcome.APPROVED if amount <= self.books.limit_minor else Outcome.LIMIT

        monkeypatch.setattr(terminal.settler, "settle", settle)
        monkeypatch.setattr(terminal.follow_up, "increase", increase)

    async def start(self, unkept_stands: bool = False) -> None:
        self.journal = Journal(self.folder)
        self.journal.open()
        self.disk = ThreadPoolExecutor(1)
        link = cast(Link, FakeLink(self.books))
        self.settler = Settler(self.journal, link, self.shop.reservation_hours, self._changed)
        parts = Parts(self.shop, self.journal, link, self.display, Metrics(), self.vision, self.disk, self.settler.kick)
        self.desk = Desk(parts, cast(Vision, self.vision), self.settler, unkept_stands, self.enrolment)
        self.settler.start()
        self.desk.open()

    def _changed(self) -> None:
        self.desk.changed()

    async def stop(self) -> None:
        await self.settler.stop()
        self.disk.shutdown()
        self.journal.close()

    async def restart(self) -> None:
        """As after a power cut: nothing is said, only the disk is left."""
        sales = [sale for sale in (*self.desk._sales.values(), self.desk._last) if sale is not None]
        running = [task for task in (self.settler._task, *(sale._running for sale in sales)) if task is not None]
        for sale in sales:
            for timer in sale._timers:
                timer.cancel()
            if sale._stream is not None:
                sale._stream.close()
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
        self.settler._task = None
        self.desk._cancel_idle()
        self.disk.shutdown()
        self.journal.close()
        await self.start()

    def asked(self, kind: Kind, amount: int = 0, **how: object) -> asyncio.Task[Answer]:
        self.number += 1
        ask = Ask(self.number, kind, amount, **how)  # type: ignore[arg-type]
        return asyncio.create_task(self.desk.ask(ask, lambda note: self.notes.append(note.value)))

    async def shows(self, what: Look | Guidance | None = None) -> None:
        """A hand over the ring, as soon as somebody looks."""
        async with asyncio.timeout(60):
            while not self.vision.visit or self.desk._current is None:  # noqa: ASYNC110
                await asyncio.sleep(0)
        self.desk.seen(Seen(self.vision.visit, what or look()))

    async def settled(self) -> bool:
        await self.desk.written()
        return await self.settler.paid(60)

    async def pays(self, amount: int = 1234, kind: Kind = Kind.PAY) -> Answer:
        task = self.asked(kind, amount)
        await self.shows()
        return await task

    async def paid(self, amount: int = 1234, kind: Kind = Kind.PAY) -> Answer:
        answer = await self.pays(amount, kind)
        assert answer.outcome is Outcome.APPROVED
        await self.desk.delivered(answer.number, None)
        assert await self.settled()
        return answer
