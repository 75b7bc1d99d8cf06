"""The till behind the register protocols: one request at a time, the money rule kept by `Sale` and the journal."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable
from typing import Any

from terminal import checkout as c
from terminal.checkout import Outcome, Screen
from terminal.config import EnrolmentOptions
from terminal.follow_up import FollowUps, receipt_of
from terminal.journal import JournalError, Mark
from terminal.looking import Attended, Looking, Visit
from terminal.palm.types import Look
from terminal.register.machine import Answer, Ask, Kind, Note
from terminal.sale import Parts, Sale, Told
from terminal.settler import Settler
from terminal.vision import Health, Seen, Vision

log = logging.getLogger(__name__)

SETTLE_PATIENCE_S = 3.0
"""What is owed from before has this long to be settled before a request is answered `owed`."""
ENROL_PATIENCE_S = 90.0
"""For twelve good looks of somebody who does this for the first time; below ZVT's 180 s."""
RESULT_SHOWN_S = 4.0
"""How long a shopper can read how it ended."""
PURCHASES_SHOWN = 20
CHARGED_KINDS = (Kind.PAY, Kind.REFUND, Kind.RESERVE)
MONEY_KINDS = (*CHARGED_KINDS, Kind.REVERSE, Kind.RAISE, Kind.BOOK, Kind.RELEASE)

SENTENCES = {
    Outcome.BAD_AMOUNT: "The amount is zero or beyond this till's limit.",
    Outcome.BUSY: "A request is open already.",
    Outcome.OWED: "An earlier purchase is being settled; try again soon.",
    Outcome.READER_FAULT: "The reader is out of order.",
    Outcome.NO_SERVICE: "The service can't be reached.",
    Outcome.NOBODY: "The palm is not known.",
    Outcome.LIMIT: "Above the account's limit.",
    Outcome.BLOCKED: "The account is blocked.",
    Outcome.TIMED_OUT: "Nobody was recognised in time.",
    Outcome.ABORTED: "Cancelled.",
    Outcome.NOT_FOUND: "No reservation of this palm is open.",
    Outcome.FAULT: "An error in the terminal; its log has it.",
}


class Desk:
    """`terminal.register.session.Core`. `parts.settle` and the vision's callbacks are connected by the app."""

    def __init__(
        self,
        parts: Parts,
        vision: Vision,
        settler: Settler,
        unkept_stands: bool,
        enrolment: EnrolmentOptions = EnrolmentOptions(),  # noqa: B008 - frozen
    ) -> None:
        """unkept_stands: see `checkout.Purchase`."""
        self._enrolment = enrolment
        self._parts, self._vision, self._settler = parts, vision, settler
        self._unkept_stands = unkept_stands
        self._follow_ups = FollowUps(parts.shop, parts.journal, parts.disk, parts.link)
        self._sales: dict[int, Sale] = {}  # begun, and not decided by the register yet
        self._busy = False
        self._visit = 0
        self._current: Sale | Looking | None = None  # the one that looks at the reader
        self._looking: tuple[int, Looking] | None = None  # a request that needs a palm and moves no money
        self._last: Sale | None = None  # may still have to write down how it ended
        self._stop_asked: set[int] = set()
        self._not_begun: int | None = None  # the request whose purchase has no key yet: nothing is lost by stopping it
        self._idle_timer: asyncio.TimerHandle | None = None
        self._started = False
        self.purchases: deque[dict[str, Any]] = deque(maxlen=PURCHASES_SHOWN)

    # From the app.

    def open(self) -> None:
        """Everything is there: show that a register may ask."""
        self._started = True
        self.show_idle()

    def seen(self, seen: Seen) -> None:
        """A look or a word from the vision, for the purchase that is under way."""
        if self._current is None or seen.visit != self._visit:
            return
        if isinstance(seen.what, Look):
            self._current.look(seen.what)
        else:
            self._current.guidance(seen.what)

    def changed(self) -> None:
        """Reader, service or debts are not what they were."""
        if self._vision.health is Health.FAULT and self._current is not None:
            self._current.feed(c.Stopped(Outcome.READER_FAULT, self._vision.sentence))
        if self._parts.link.reachable:
            self._settler.kick()
        if self._idle_timer is None and not self._busy and not self._sales:
            self.show_idle()

    def show_idle(self) -> None:
        """What is shown while no request is open: welcome, or why not."""
        self._idle_timer = None
        if not self._started or self._busy:
            return
        show, vision, link = self._parts.display.show, self._vision, self._parts.link
        if vision.health is Health.FAULT:
            show(Screen.OUT_OF_ORDER, code=vision.code)
        elif not link.reachable and link.trouble is not None:
            show(Screen.OUT_OF_ORDER, code=link.trouble.code)
        elif self._settler.owes:
            show(Screen.SETTLING)
        else:
            show(Screen.WELCOME)

    # Core.

    async def ask(self, ask: Ask, note: Callable[[Note], None]) -> Answer:
        """Do what the register asks."""
        if self._busy:
            return self._no(ask, Outcome.BUSY)
        self._busy = True
        began_s = time.monotonic()
        try:
            answer = await self._answer(ask, note)
        finally:
            self._busy = False
            self._stop_asked.discard(ask.number)
            self._idle_later()
        self._parts.metrics.requests.labels(ask.kind.value, answer.outcome.value).inc()
        if ask.kind in MONEY_KINDS:
            self._record(ask, answer, time.monotonic() - began_s)
        return answer

    def abort(self, number: int) -> bool:
        """Stop request `number`; False where it is too late."""
        if self._not_begun == number:
            self._stop_asked.add(number)
            return True
        if self._looking is not None and self._looking[0] == number:
            self._looking[1].feed(c.Stopped(Outcome.ABORTED, "aborted by the register"))
            return self._looking[1].told.done()
        sale = self._sales.get(number)
        if sale is None or not c.can_stop(sale.purchase):
            return False
        sale.feed(c.Stopped(Outcome.ABORTED, "aborted by the register"))
        return True

    async def delivered(self, number: int, amount_minor: int | None) -> None:
        """The register took the answer. Returns when that is on the disk; raises JournalError where it can't be."""
        if self._follow_ups.mine(number):
            await self._follow_ups.took(number, amount_minor)
            self._settler.kick()
            return
        sale = self._sales.pop(number, None)
        if sale is None:
            log.error("register acknowledged request=%d, which is not waiting", number)
            return
        sale.feed(c.RegisterTook(amount_minor))
        kept = await sale.kept
        log.debug("purchase key=%s %s", sale.key, sale.timeline.words())
        if not kept and not self._unkept_stands:
            raise JournalError("what the register acknowledged could not be written down")

    async def undelivered(self, number: int, why: str) -> None:
        """The register did not take the answer: undo it."""
        self._parts.metrics.undelivered.inc()
        if self._follow_ups.mine(number):
            await self._follow_ups.did_not(number)
            return
        sale = self._sales.pop(number, None)
        if sale is not None:
            sale.feed(c.RegisterDidNot(why))
            await sale.finished()
            self._idle_later()

    # Inside.

    async def _answer(self, ask: Ask, note: Callable[[Note], None]) -> Answer:
        await self._undo_forgotten()
        if ask.kind is Kind.STATUS:
            return Answer(ask.number, self._status())
        if ask.kind is Kind.FIND:
            return await self._find(ask)
        if ask.kind is Kind.PAY and ask.amount_minor == self._enrolment.code_minor:
            return await self._enrol(ask)
        if ask.kind not in MONEY_KINDS:
            return await self._follow_ups.ask(ask, self._parts.link.reachable)
        if (refusal := self._refusal(ask)) is not None:
            return self._no(ask, refusal)
        if ask.kind in CHARGED_KINDS:
            self._visit += 1
            self._vision.look(self._visit)  # the reader needs a moment to come to full pace
        self._not_begun = ask.number
        try:
            refusal = await self._debts()
        finally:
            self._not_begun = None
        if ask.number in self._stop_asked:
            refusal = Outcome.ABORTED
        if refusal is not None:
            self._vision.rest()
            return self._no(ask, refusal)
        if ask.kind not in CHARGED_KINDS:
            return await self._follow_ups.ask(ask, self._parts.link.reachable)
        return await self._sell(ask, note)

    async def _undo_forgotten(self) -> None:
        """A machine ends each answer with exactly one verdict. Should one ever not, silence is no acknowledgement."""
        for number in [*self._sales, *self._follow_ups.waiting]:
            log.error("register asks anew without a verdict on request=%d: it is undone", number)
            await self.undelivered(number, "the register asked anew without acknowledging")

    def _refusal(self, ask: Ask) -> Outcome | None:
        """What can be said without asking anybody."""
        shop = self._parts.shop
        if ask.currency != shop.currency:
            return Outcome.BAD_CURRENCY
        if ask.kind in CHARGED_KINDS:
            if not 0 < ask.amount_minor <= shop.amount_max_minor:
                return Outcome.BAD_AMOUNT
            if self._vision.health is not Health.WELL:
                return Outcome.READER_FAULT
        return None

    async def written(self) -> None:
        """Wait until the last purchase has written down how it ended: an answer may be on its way before that."""
        if self._last is not None:
            await self._last.finished()

    async def _debts(self) -> Outcome | None:
        """Nothing may be owed from before; None when nothing is."""
        await self.written()
        if not self._settler.owes:
            return None
        self._parts.display.show(Screen.SETTLING)
        return None if await self._settler.paid(SETTLE_PATIENCE_S) else Outcome.OWED

    async def _sell(self, ask: Ask, note: Callable[[Note], None]) -> Answer:
        self._cancel_idle()
        sale = Sale(self._parts, ask.kind.value, ask.amount_minor, ask.currency, note, self._unkept_stands)
        self._sales[ask.number] = self._current = self._last = sale
        try:
            sale.begin()
            told: Told = await sale.told
        finally:
            self._current = None
            self._vision.rest()
        if told.outcome is not Outcome.APPROVED or told.slip is None:
            self._sales.pop(ask.number, None)
            sale.feed(c.RegisterDidNot("the terminal failed"))  # changes nothing unless it was authorised after all
            log.debug("purchase key=%s outcome=%s %s", sale.key, told.outcome.value, sale.timeline.words())
            journal, outcome = self._parts.journal, told.outcome.value
            self._parts.disk.submit(journal.note_outcome, outcome)
            return self._no(ask, told.outcome)
        for name, histogram in (("look", self._parts.metrics.told), ("probe", self._parts.metrics.asked)):
            took_s = sale.timeline.between_s(name, "told" if name == "look" else "authorised")
            if took_s is not None:
                histogram.observe(took_s)
        return Answer(ask.number, Outcome.APPROVED, receipt_of(told.slip), needs_confirmation=True)

    async def _find(self, ask: Ask) -> Answer:
        """A gate's way out: the receipt of the reservation that the palm's owner was let in with."""
        visit = Visit(self._parts, self._parts.shop.currency)
        outcome = await self._looked(ask, visit, self._parts.shop.palm_patience_s)
        entry = self._parts.journal.entry(visit.key) if outcome is Outcome.APPROVED else None
        found = self._parts.journal.by_receipt(entry.receipt) if entry is not None and entry.mark is Mark.HELD else None
        if outcome is Outcome.APPROVED and found is None:  # the service's books are behind: it is booked or given back already
            outcome = Outcome.NOT_FOUND
        if found is None:
            return self._no(ask, outcome)
        receipt = receipt_of(found[1])
        return Answer(ask.number, Outcome.APPROVED, receipt, open_reservations=(receipt.number,))

    async def _enrol(self, ask: Ask) -> Answer:
        """The register's code for attended enrolment. Whatever comes of it, nothing was paid, so it is never approved."""
        attended = Attended(self._parts, self._enrolment, ask.note)
        outcome = await self._looked(ask, attended, ENROL_PATIENCE_S)
        told = Outcome.ABORTED if outcome is Outcome.APPROVED else outcome
        return Answer(ask.number, told, text=attended.sentence or SENTENCES.get(outcome, ""))

    async def _looked(self, ask: Ask, looking: Looking, patience_s: float) -> Outcome:
        if self._vision.health is not Health.WELL:
            return Outcome.READER_FAULT
        self._cancel_idle()
        self._visit += 1
        self._looking, self._current = (ask.number, looking), looking
        self._vision.look(self._visit)
        try:
            looking.begin(patience_s)
            return await looking.told
        finally:
            self._looking = self._current = None
            self._vision.rest()

    def _status(self) -> Outcome:
        if self._vision.health is not Health.WELL:
            return Outcome.READER_FAULT
        if not self._parts.link.reachable:
            return Outcome.NO_SERVICE
        return Outcome.OWED if self._settler.owes else Outcome.APPROVED

    @staticmethod
    def _no(ask: Ask, outcome: Outcome) -> Answer:
        return Answer(ask.number, outcome, text=SENTENCES.get(outcome, ""))

    def _cancel_idle(self) -> None:
        if self._idle_timer is not None:
            self._idle_timer.cancel()
            self._idle_timer = None

    def _idle_later(self) -> None:
        self._cancel_idle()
        self._idle_timer = asyncio.get_running_loop().call_later(RESULT_SHOWN_S, self.show_idle)

    def _record(self, ask: Ask, answer: Answer, took_s: float) -> None:
        """For the technician's page: nothing that names anybody."""
        self.purchases.appendleft(
            {
                "at": time.strftime("%H:%M:%S"),
                "kind": ask.kind.value,
                "amount_minor": answer.receipt.amount_minor if answer.receipt else ask.amount_minor,
                "currency": ask.currency,
                "outcome": answer.outcome.value,
                "receipt": answer.receipt.number if answer.receipt else 0,
                "took_ms": round(took_s * 1000),
            }
        )
