"""A play without programs: enough for the page's tests."""

from __future__ import annotations

from dataclasses import replace

from terminal.simulation.stage.play import PlayError, Snapshot, Up
from terminal.simulation.stage.reckoning import Booked, Rung, Verdict


class FakePlay:
    """Remembers what was asked; shows what it is given."""

    def __init__(self, now: Snapshot | None = None) -> None:
        self.now = now or Snapshot(terminal=Up.RUNNING, service=Up.RUNNING)
        self.acts: list[tuple[object, ...]] = []
        self.refusal = ""
        self.png: bytes | None = None

    def snapshot(self) -> Snapshot:
        return self.now

    def _did(self, *what: object) -> None:
        if self.refusal:
            raise PlayError(self.refusal)
        self.acts.append(what)

    async def hand(self, who: str) -> None:
        self._did("hand", who)
        self.now = replace(self.now, hand=who)

    async def pay(self, amount_minor: int) -> None:
        self._did("pay", amount_minor)
        self.now = replace(self.now, busy=True, display=("TOTAL          12.34", "hold out your palm"))

    async def abort(self) -> None:
        self._did("abort")
        self.now = replace(self.now, busy=False)

    async def pull_plug(self) -> None:
        self._did("plug")
        self.now = replace(self.now, terminal=Up.OFF)

    async def service(self, *, up: bool) -> None:
        self._did("service", up)
        self.now = replace(self.now, service=Up.RUNNING if up else Up.OFF)

    async def picture(self) -> bytes | None:
        return self.png


BOOKS = Snapshot(
    terminal=Up.RUNNING,
    service=Up.RUNNING,
    hand="ada",
    display=("TOTAL          12.34", "paid, thank you"),
    rung=(
        Rung("10:15:03", 1234, True, "paid", 17),
        Rung("10:14:11", 4000, False, "declined"),
        Rung("10:13:20", 850, False, "aborted"),
    ),
    ledger=(
        Booked("3f9a8c0d" * 4, "10:15:03", 1234, 1234, "EUR", "captured", "p-5be0c1aa"),
        Booked("0b77e1d2" * 4, "10:14:11", 4000, 0, "EUR", "refused", "p-91aa02cd"),
        Booked("77aa04f1" * 4, "10:13:20", 850, 0, "EUR", "reversed", "p-5be0c1aa"),
    ),
    verdict=Verdict(1234, 1234, ()),
    starts=1,
)
