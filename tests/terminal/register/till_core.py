"""A till's core for tests: answers as told, and keeps a ledger of what stands."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from terminal.checkout import Outcome
from terminal.register.machine import Answer, Ask, Kind, Note, Receipt, Totals

MOVES_MONEY = {Kind.PAY, Kind.REFUND, Kind.REVERSE, Kind.RESERVE, Kind.RAISE, Kind.BOOK, Kind.RELEASE}


@dataclass
class LedgerCore:
    """`outcomes` are used up one for each request that moves money; then everything is approved.

    `gate`: where given, a request that moves money waits for it (or for an abort) after having noted PRESENT_PALM.
    """

    outcomes: list[Outcome] = field(default_factory=list)
    gate: asyncio.Event | None = None
    abortable: bool = True
    amount_max_minor: int = 100_000
    receipts: list[Receipt] = field(default_factory=list)  # what stands, and what was reversed since
    asked: list[Ask] = field(default_factory=list)
    delivered_calls: list[tuple[int, int | None]] = field(default_factory=list)
    undelivered_calls: list[tuple[int, str]] = field(default_factory=list)
    open_now: int = 0
    delivering: int = 0  # how often `delivered` was called, perhaps without having returned
    open_most: int = 0
    reservations: dict[int, int] = field(default_factory=dict)
    hold_delivered: asyncio.Event | None = None
    _pending: dict[int, Receipt] = field(default_factory=dict)
    _aborted: asyncio.Event = field(default_factory=asyncio.Event)
    _next: int = 0
    _changed: asyncio.Event = field(default_factory=asyncio.Event)

    async def until(self, true: Callable[[], bool]) -> None:
        """Wait for something that this core sees."""
        async with asyncio.timeout(20):
            while not true():
                self._changed.clear()
                await self._changed.wait()

    @property
    def taken_minor(self) -> int:
        """What the shop has taken by this ledger."""
        signs = {Kind.PAY: 1, Kind.BOOK: 1, Kind.REFUND: -1}
        return sum(signs.get(r.kind, 0) * r.amount_minor for r in self.receipts if not r.reversed)

    async def ask(self, ask: Ask, note: Callable[[Note], None]) -> Answer:
        self.asked.append(ask)
        self.open_now += 1
        self.open_most = max(self.open_most, self.open_now)
        self._aborted.clear()
        self._changed.set()
        try:
            return await self._answer(ask, note)
        finally:
            self.open_now -= 1
            self._changed.set()

    async def _answer(self, ask: Ask, note: Callable[[Note], None]) -> Answer:
        number = ask.number
        last = self.receipts[-1] if self.receipts else None
        match ask.kind:
            case Kind.STATUS:
                return Answer(number, Outcome.APPROVED)
            case Kind.LAST_RESULT:
                return Answer(number, Outcome.APPROVED if last else Outcome.NOT_FOUND, receipt=last)
            case Kind.RESERVATIONS:
                return Answer(number, Outcome.APPROVED, open_reservations=tuple(self.reservations))
            case Kind.TOTALS:
                done = [r for r in self.receipts if not r.reversed]
                ends = (done[0].number, done[-1].number) if done else (0, 0)
                totals = Totals(len(done), self.taken_minor, first_receipt=ends[0], last_receipt=ends[1])
                return Answer(number, Outcome.APPROVED, totals=totals)
            case _:
                return await self._move(ask, note)

    async def _move(self, ask: Ask, note: Callable[[Note], None]) -> Answer:
        note(Note.PRESENT_PALM)
        if self.gate is not None:
            waits = [asyncio.ensure_future(self.gate.wait()), asyncio.ensure_future(self._aborted.wait())]
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
            for wait in waits:
                wait.cancel()
        if self._aborted.is_set():
            return Answer(ask.number, Outcome.ABORTED, text="Stopped.")
        if not 0 < ask.amount_minor <= self.amount_max_minor and ask.kind in (Kind.PAY, Kind.REFUND, Kind.RESERVE):
            return Answer(ask.number, Outcome.BAD_AMOUNT, text="This amount can't be paid here.")
        outcome = self.outcomes.pop(0) if self.outcomes else Outcome.APPROVED
        if outcome is not Outcome.APPROVED:
            return Answer(ask.number, outcome, text="Please pay another way.")
        return self._approved(ask)

    def _approved(self, ask: Ask) -> Answer:
        known = self.receipts if ask.receipt is not None else self.receipts[-1:]  # without a number the last one is meant
        original = next((r for r in known if ask.receipt in (None, r.number)), None)
        amount = ask.amount_minor
        if ask.kind is Kind.REVERSE:
            if original is None:
                return Answer(ask.number, Outcome.NOT_FOUND, text="No such receipt.")
            if original.reversed:
                return Answer(ask.number, Outcome.ALREADY_REVERSED, text="Reversed already.")
            amount = original.amount_minor
        if ask.kind in (Kind.BOOK, Kind.RELEASE):
            assert ask.receipt is not None
            held = self.reservations.get(ask.receipt)
            amount = held if held is not None and ask.kind is Kind.BOOK and ask.close else amount
            if held is None or amount > held:
                return Answer(ask.number, Outcome.NOT_FOUND, text="No such reservation.")
            if ask.kind is Kind.RELEASE and ask.close:
                amount = held - amount
        if ask.kind is Kind.RAISE and ask.receipt not in self.reservations:
            return Answer(ask.number, Outcome.NOT_FOUND, text="No such reservation.")
        self._next += 1
        receipt = Receipt(
            self._next, 100 + self._next, ask.kind, amount, ask.currency, "A12345", "20261123", "194500",
            original_trace=original.trace if original else 0,
        )  # fmt: skip
        if ask.kind is Kind.RELEASE and ask.close:
            receipt = replace(receipt, kind=Kind.BOOK)
        self._pending[ask.number] = receipt
        self._pending_ask = ask
        return Answer(ask.number, Outcome.APPROVED, receipt=receipt, needs_confirmation=True)

    def abort(self, number: int) -> bool:
        if not self.abortable or not self.open_now:
            return False
        self._aborted.set()
        return True

    async def delivered(self, number: int, amount_minor: int | None) -> None:
        self.delivering += 1
        self._changed.set()
        if self.hold_delivered is not None:
            await self.hold_delivered.wait()
        self.delivered_calls.append((number, amount_minor))
        self._changed.set()
        receipt = self._pending.pop(number)
        if amount_minor is not None:
            receipt = replace(receipt, amount_minor=amount_minor)
        asked = self._pending_ask
        if asked.kind is Kind.REVERSE:
            number = asked.receipt if asked.receipt is not None else self.receipts[-1].number
            self.receipts = [replace(r, reversed=True) if r.number == number else r for r in self.receipts]
        if asked.kind is Kind.RESERVE:
            self.reservations[receipt.number] = receipt.amount_minor
        if asked.kind is Kind.RAISE and asked.receipt is not None:
            self.reservations[asked.receipt] += receipt.amount_minor
        if asked.kind in (Kind.BOOK, Kind.RELEASE) and asked.receipt is not None:
            self.reservations.pop(asked.receipt, None)
        self.receipts.append(receipt)

    async def undelivered(self, number: int, why: str) -> None:
        self.undo(number, why)

    def undo(self, number: int, why: str) -> None:
        self.undelivered_calls.append((number, why))
        self._changed.set()
        self.receipts.append(replace(self._pending.pop(number), reversed=True))


class MemoryStore:
    """Settings in memory, as a restart would find them."""

    def __init__(self) -> None:
        self.kept: dict[str, dict[str, str]] = {}

    def load(self, protocol: str) -> dict[str, str]:
        return dict(self.kept.get(protocol, {}))

    def save(self, protocol: str, settings: dict[str, str]) -> None:
        self.kept[protocol] = dict(settings)
