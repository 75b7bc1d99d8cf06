"""What a register asks for without a palm: undo, book or release something earlier, totals, the last result, how the till is."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import Executor
from typing import TypeVar

from terminal.checkout import Outcome
from terminal.config import Shop
from terminal.journal import End, Entry, Journal, JournalError, Mark, Slip
from terminal.register.machine import Answer, Ask, Kind, Receipt, Totals
from terminal.service import Link, ServiceLost, increase

T = TypeVar("T")
UNDOABLE = ("pay", "refund", "book")
GONE = (End.VOIDED, End.REVERSED)


def receipt_of(slip: Slip) -> Receipt:
    """A receipt in the register's words."""
    return Receipt(
        number=slip.number,
        trace=slip.trace,
        kind=Kind(slip.kind),
        amount_minor=slip.amount_minor,
        currency=slip.currency,
        authorisation=slip.code,
        date=slip.date,
        time=slip.time,
        original_trace=slip.original_trace,
        reversed=slip.undone,
    )


class FollowUps:
    """Answers such asks. What money hangs on is done in two steps: `ask`, then `took` or `did_not`."""

    def __init__(self, shop: Shop, journal: Journal, disk: Executor, link: Link) -> None:
        self._shop, self._journal, self._disk, self._link = shop, journal, disk, link
        self._open: dict[int, tuple[str, bool]] = {}  # request -> purchase key, whether the rest is charged

    async def ask(self, ask: Ask, reachable: bool) -> Answer:
        """Answer one ask of a kind that needs no palm. `reachable`: whether the service is."""
        try:
            match ask.kind:
                case Kind.REVERSE:
                    return await self._reverse(ask, reachable)
                case Kind.BOOK | Kind.RELEASE:
                    return await self._reservation(ask)
                case Kind.RAISE:
                    return await self._raise(ask)
                case Kind.TOTALS:
                    return await self._totals(ask)
                case Kind.LAST_RESULT:
                    return await self._last(ask)
                case Kind.RESERVATIONS:
                    open_ones = tuple(entry.receipt for entry in self._journal.reservations())
                    return Answer(ask.number, Outcome.APPROVED, open_reservations=open_ones)
        except JournalError as error:
            return Answer(ask.number, Outcome.FAULT, text=str(error)[:80])
        return Answer(ask.number, Outcome.NOT_SUPPORTED, text="This till does not do that.")

    def mine(self, number: int) -> bool:
        """Whether this request was answered here and waits for the register."""
        return number in self._open

    @property
    def waiting(self) -> list[int]:
        """Requests that the register has not decided yet."""
        return list(self._open)

    async def took(self, number: int, amount_minor: int | None) -> None:
        """The register has acknowledged. Raises JournalError; then it does not stand."""
        key, charge_rest = self._open.pop(number)
        try:
            await self._write(lambda: self._journal.followed(key, charge_rest=charge_rest, amount_minor=amount_minor))
        except JournalError:
            await self._write(lambda: self._journal.unfollowed(key))
            raise

    async def did_not(self, number: int) -> None:
        """The register did not acknowledge: it never happened."""
        key, _ = self._open.pop(number)
        await self._write(lambda: self._journal.unfollowed(key))

    async def _write(self, write: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._disk, write)

    async def _promise(self, ask: Ask, key: str, kind: str, amount_minor: int, charge_rest: bool = False) -> Answer:
        slip = await self._write(lambda: self._journal.follow(key, kind, amount_minor))
        self._open[ask.number] = (key, charge_rest)
        return Answer(ask.number, Outcome.APPROVED, receipt_of(slip), needs_confirmation=True)

    async def _reverse(self, ask: Ask, reachable: bool) -> Answer:
        found = self._journal.by_receipt(ask.receipt) if ask.receipt is not None else self._last_undoable()
        if found is None:
            return Answer(ask.number, Outcome.NOT_FOUND, text="No such receipt is known here.")
        entry, slip = found
        if entry.mark is Mark.HELD:
            return await self._promise(ask, entry.key, "release", entry.standing_minor)
        if slip.undone or entry.mark in (Mark.VOIDING, Mark.REVERSING) or entry.end in GONE:
            return Answer(ask.number, Outcome.ALREADY_REVERSED, receipt_of(slip), text="It was reversed before.")
        if entry.end is not End.CAPTURED:
            return Answer(ask.number, Outcome.NOT_FOUND, text="There is nothing to reverse on that receipt.")
        if ask.amount_minor not in (0, entry.standing_minor):
            return Answer(ask.number, Outcome.BAD_AMOUNT, text="The receipt has another amount.")
        if not reachable:
            return Answer(ask.number, Outcome.NO_SERVICE, text="The service can't be reached.")
        return await self._promise(ask, entry.key, "reverse", entry.standing_minor)

    def _last_undoable(self) -> tuple[Entry, Slip] | None:
        for slip in reversed(self._journal.slips()):
            if slip.kind in UNDOABLE:
                return self._journal.by_receipt(slip.number)
        return None

    async def _reservation(self, ask: Ask) -> Answer:
        held = self._journal.reservations()
        if ask.receipt is not None:
            held = [entry for entry in held if entry.receipt == ask.receipt]
        if len(held) != 1:  # without a receipt number it must be clear which one is meant
            return Answer(ask.number, Outcome.NOT_FOUND, text="No such reservation is open.")
        entry = held[0]
        whole = ask.amount_minor == 0 and (ask.kind is Kind.RELEASE or ask.close)
        amount = entry.standing_minor if whole else ask.amount_minor
        if not 0 < amount <= entry.standing_minor:
            return Answer(ask.number, Outcome.BAD_AMOUNT, text="More than was reserved, or nothing.")
        return await self._promise(ask, entry.key, ask.kind.value, amount, charge_rest=ask.close)

    async def _raise(self, ask: Ask) -> Answer:
        """The service holds more first: where the register is never told, capture gives back what was not used."""
        entry = next((e for e in self._journal.reservations() if e.receipt == ask.receipt), None)
        if entry is None:
            return Answer(ask.number, Outcome.NOT_FOUND, text="No such reservation is open.")
        held = entry.standing_minor + ask.amount_minor
        if not entry.standing_minor < held <= self._shop.amount_max_minor:
            return Answer(ask.number, Outcome.BAD_AMOUNT, text="Zero, or beyond this till's limit with what is held.")
        try:
            outcome = await increase(self._link, entry.key, held)
        except ServiceLost:
            outcome = Outcome.NO_SERVICE
        if outcome is not Outcome.APPROVED:
            return Answer(ask.number, outcome, text="The account does not allow more.")
        return await self._promise(ask, entry.key, "raise", ask.amount_minor)

    async def _totals(self, ask: Ask) -> Answer:
        period = await self._write(self._journal.close_period) if ask.close else self._journal.period()
        totals = Totals(
            count=period.count,
            amount_minor=period.amount_minor,
            refunds=period.refunds,
            refunds_minor=period.refunds_minor,
            first_receipt=period.first_receipt,
            last_receipt=period.last_receipt,
            currency=self._shop.currency,
        )
        return Answer(ask.number, Outcome.APPROVED, totals=totals)

    async def _last(self, ask: Ask) -> Answer:
        outcome, slip = await self._write(self._journal.last)  # in line: the last outcome may still be on its way to the disk
        if not outcome and slip is None:
            return Answer(ask.number, Outcome.NOT_FOUND, text="There was no transaction yet.")
        return Answer(ask.number, Outcome(outcome or "approved"), receipt_of(slip) if slip is not None else None)
