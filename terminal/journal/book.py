"""The journal itself: which purchase has come how far, what is owed to the service, receipts, and what a period took.

One record is one transition with all that it changes (purchase, receipt, totals, counters), so a power cut leaves the whole of it or
nothing. Wall time is only in records.
"""

from __future__ import annotations

import dataclasses
import datetime
import logging
import threading
import uuid
from collections import OrderedDict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from terminal.journal.file import JournalError, Record, RecordFile
from terminal.journal.records import (
    RECEIPTS_MAX,
    TRACES_MAX,
    Counters,
    End,
    Entry,
    Follow,
    Mark,
    Owed,
    Period,
    Slip,
    from_json,
    owed_of,
    to_json,
)

log = logging.getLogger(__name__)

SETTLED_MAX = 4000
"""Settled purchases that are kept for reversals by receipt; fewer than receipt numbers, so that a number is never ambiguous."""
SLIPS_MAX = 2 * SETTLED_MAX
OPEN_MAX = 500
"""Open reservations and unsettled purchases together; more are refused."""
PURCHASE_LINES = 12
"""Space for this many records is made sure before a purchase begins: all that one purchase can need."""
DAY_S = 86_400


def _now() -> datetime.datetime:
    return datetime.datetime.now().astimezone()


class Journal:
    """See the module. Thread-safe; every method that changes something returns after the disk has it.

    Methods named for a promise (`begin`, `authorised`, `completed`, `follow`, `followed`) raise JournalError where it can't be kept.
    Those that only repeat what a restart would conclude anyway (`reversing`, `refused`, `settled`, `unfollowed`) never raise.
    """

    def __init__(self, folder: Path, keep_days: int = 30, now: Callable[[], datetime.datetime] = _now) -> None:
        self._file = RecordFile(folder)
        self._keep_s = keep_days * DAY_S
        self._now = now
        self._lock = threading.RLock()
        self._entries: OrderedDict[str, Entry] = OrderedDict()
        self._slips: OrderedDict[int, Slip] = OrderedDict()  # by number, oldest first
        self._period = Period()
        self._counters = Counters()
        self._settings: dict[str, dict[str, str]] = {}
        self.damaged = 0

    def open(self) -> list[Entry]:
        """Claim, read, and conclude what a power cut left open. Returns the purchases that it left open. Raises JournalError."""
        with self._lock:
            reading = self._file.open()
            self.damaged = reading.damaged
            try:
                for record in reading.records:
                    self._absorb(record)
                cut = [entry for entry in self._entries.values() if self._conclude(entry)]
                self._rewrite()
            except JournalError:
                self._file.close()
                raise
            if reading.torn:
                log.warning("journal last record was cut off by a power cut; it was never acted on")
            return cut

    def close(self) -> None:
        """Give the file back; harmless when closed."""
        with self._lock:
            self._file.close()

    # One purchase.

    def begin(self, kind: str, amount_minor: int, currency: str) -> Entry:
        """Make a key and write it down. Raises JournalError."""
        with self._lock:
            if sum(entry.open for entry in self._entries.values()) >= OPEN_MAX:
                raise JournalError(f"{OPEN_MAX} purchases and reservations are open. Book or release some, or look at the service.")
            if not self._file.room_for(PURCHASE_LINES):
                self._rewrite()
            entry = Entry(uuid.uuid4().hex, kind, amount_minor, currency, Mark.BEGUN, int(self._now().timestamp()))
            self._write(entry)
            return entry

    def authorised(self, key: str, code: str) -> Slip:
        """The service has authorised; gives the receipt that the register may be told of. Raises JournalError."""
        with self._lock:
            entry = self._in(key, Mark.BEGUN)
            slip = self._new_slip(entry.kind, entry.amount_minor, code, entry)
            self._write(
                dataclasses.replace(entry, mark=Mark.AUTHORISED, code=code, receipt=slip.number, standing_minor=entry.amount_minor),
                slip,
            )
            return slip

    def completed(self, key: str, amount_minor: int | None = None, *, force: bool = False) -> Slip:
        """The register has acknowledged all of it, or a part. A reservation is held from here on. Raises JournalError.

        force: it counts even if it can't be written (the register believes that it stands); still raises where it can't be.
        """
        with self._lock:
            entry = self._in(key, Mark.AUTHORISED)
            standing = entry.standing_minor if amount_minor is None else min(amount_minor, entry.standing_minor)
            slip = dataclasses.replace(self._slips[entry.receipt], amount_minor=standing)
            held = entry.kind == "reserve"
            mark = Mark.HELD if held else Mark.COMPLETED
            period = self._period if held else self._counted(slip, entry.kind, standing, 1)
            self._write(dataclasses.replace(entry, mark=mark, standing_minor=standing), slip, period, force=force)
            return slip

    def reversing(self, key: str, outcome: str, why: str) -> None:
        """A reversal is owed. Never raises: what is on the disk for this key says so already."""
        with self._lock:
            entry = self._entries.get(key)
            if entry is None or entry.mark not in (Mark.BEGUN, Mark.AUTHORISED, Mark.HELD):
                return
            slip = dataclasses.replace(self._slips[entry.receipt], undone=True) if entry.receipt in self._slips else None
            self._try(
                dataclasses.replace(entry, mark=Mark.REVERSING, outcome=outcome, why=why[:80], standing_minor=0, follow=None),
                slip,
            )

    def refused(self, key: str, outcome: str) -> None:
        """Ended without anything at the service. Never raises: a restart would reverse what the service never had."""
        with self._lock:
            entry = self._entries.get(key)
            if entry is not None and entry.mark is Mark.BEGUN:
                self._try(dataclasses.replace(entry, mark=Mark.SETTLED, end=End.REFUSED, outcome=outcome))

    def settled(self, key: str, end: End | None = None) -> None:
        """The service has given a definite answer to what was owed. Never raises: paying a debt twice is harmless."""
        with self._lock:
            entry = self._entries.get(key)
            if entry is None or owed_of(entry) is None:
                return
            ends = {Mark.COMPLETED: End.CAPTURED, Mark.REVERSING: End.REVERSED, Mark.VOIDING: End.VOIDED}
            self._try(dataclasses.replace(entry, mark=Mark.SETTLED, end=end or ends[entry.mark]))

    # A booking, release or reversal of an earlier purchase.

    def follow(self, key: str, kind: str, amount_minor: int) -> Slip:
        """The register is about to be told that this is done; nothing is changed until it acknowledges. Raises JournalError."""
        with self._lock:
            entry = self._entries[key]
            if not self._file.room_for(PURCHASE_LINES):
                self._rewrite()
            original = self._slips.get(entry.receipt)
            slip = self._new_slip(kind, amount_minor, entry.code, entry, original.trace if original else 0)
            follow = Follow(kind, amount_minor, slip.number, uuid.uuid4().hex if kind == "reverse" else "")
            self._write(dataclasses.replace(entry, follow=follow), slip)
            return slip

    def followed(self, key: str, *, charge_rest: bool = False, amount_minor: int | None = None) -> None:
        """The register has acknowledged the follow-up: it stands, and what it owes is owed. Raises JournalError.

        charge_rest: a release charges what it does not give back. amount_minor: less of a booking, where the register says so.
        """
        with self._lock:
            entry = self._entries[key]
            follow = entry.follow
            if follow is None:
                return
            slip, old = self._slips[follow.receipt], self._slips.get(entry.receipt)
            if follow.kind == "book" and amount_minor is not None:
                follow = dataclasses.replace(follow, amount_minor=min(amount_minor, follow.amount_minor))
                slip = dataclasses.replace(slip, amount_minor=follow.amount_minor)
            entry = dataclasses.replace(entry, follow=None)
            left = entry.standing_minor - follow.amount_minor
            if follow.kind == "book":
                entry = dataclasses.replace(entry, mark=Mark.COMPLETED, standing_minor=follow.amount_minor, receipt=follow.receipt)
                period = self._counted(slip, "pay", follow.amount_minor, 1)
            elif follow.kind == "raise":
                more = follow.amount_minor
                entry = dataclasses.replace(
                    entry, amount_minor=entry.amount_minor + more, standing_minor=entry.standing_minor + more
                )
                period = self._period
            elif follow.kind == "reverse":
                entry = dataclasses.replace(
                    entry, mark=Mark.VOIDING, undo_key=follow.undo_key, undo_minor=follow.amount_minor, standing_minor=left
                )
                period = self._counted(slip, entry.kind, -follow.amount_minor, -1)
            elif left <= 0:
                entry = dataclasses.replace(entry, mark=Mark.REVERSING, standing_minor=0, why="released by the register")
                period = self._period
            elif charge_rest:
                entry = dataclasses.replace(entry, mark=Mark.COMPLETED, standing_minor=left)
                period = self._counted(slip, "pay", left, 1)
            else:
                entry, period = dataclasses.replace(entry, standing_minor=left), self._period
            undone = old is not None and (follow.kind == "reverse" or entry.mark is Mark.REVERSING)
            others = [dataclasses.replace(old, undone=True)] if undone and old is not None else []
            self._write(entry, slip, period, others=others)

    def unfollowed(self, key: str) -> None:
        """The register did not acknowledge the follow-up: it never happened. Never raises."""
        with self._lock:
            entry = self._entries.get(key)
            if entry is None or entry.follow is None:
                return
            slip = dataclasses.replace(self._slips[entry.follow.receipt], undone=True)
            self._try(dataclasses.replace(entry, follow=None), slip)

    # Questions.

    def owed(self) -> list[Owed]:
        """What is owed to the service, oldest first."""
        with self._lock:
            return [owed for entry in self._entries.values() if (owed := owed_of(entry)) is not None]

    def entry(self, key: str) -> Entry | None:
        """One purchase."""
        with self._lock:
            return self._entries.get(key)

    def by_receipt(self, number: int) -> tuple[Entry, Slip] | None:
        """The purchase that a receipt is about."""
        with self._lock:
            slip = self._slips.get(number)
            entry = self._entries.get(slip.key) if slip is not None else None
            return (entry, slip) if entry is not None and slip is not None else None

    def slips(self) -> list[Slip]:
        """All receipts that are kept, oldest first."""
        with self._lock:
            return list(self._slips.values())

    def reservations(self) -> list[Entry]:
        """Reservations that stand, oldest first."""
        with self._lock:
            return [entry for entry in self._entries.values() if entry.mark is Mark.HELD]

    def last(self) -> tuple[str, Slip | None]:
        """How the last request ended (an Outcome's value; empty: none yet), and the last receipt."""
        with self._lock:
            return self._counters.last_outcome, self._slips.get(self._counters.last_receipt)

    def period(self) -> Period:
        """What stands since the last closing."""
        with self._lock:
            return self._period

    def close_period(self) -> Period:
        """Begin a new period; returns the old one. Raises JournalError."""
        with self._lock:
            old = self._period
            self._append({"period": {}})
            self._period = Period()
            return old

    def note_outcome(self, outcome: str) -> None:
        """How the last request of the register ended. Never raises."""
        with self._lock:
            if outcome == self._counters.last_outcome:
                return
            counters = dataclasses.replace(self._counters, last_outcome=outcome)
            self._counters = counters
            try:
                self._append({"counters": to_json(counters)})
            except JournalError as error:
                log.error("journal outcome=%s not kept: %s", outcome, error)  # noqa: TRY400

    # What register protocols keep (the driver's SettingsStore).

    def load(self, protocol: str) -> dict[str, str]:
        """What was saved last; empty where nothing was."""
        with self._lock:
            return dict(self._settings.get(protocol, {}))

    def save(self, protocol: str, settings: dict[str, str]) -> None:
        """Keep this instead. Raises JournalError, which is an OSError."""
        with self._lock:
            self._append({"settings": {protocol: settings}})
            self._settings[protocol] = dict(settings)

    # Inside.

    def _in(self, key: str, mark: Mark) -> Entry:
        entry = self._entries[key]
        if entry.mark is not mark:
            raise JournalError(f"purchase {key[:8]} is {entry.mark.value}, not {mark.value}: out of order")
        return entry

    def _conclude(self, entry: Entry) -> bool:
        """After a power cut: the register has acknowledged nothing that the journal does not say."""
        if entry.follow is not None:
            self._slips[entry.follow.receipt] = dataclasses.replace(self._slips[entry.follow.receipt], undone=True)
            entry = self._entries[entry.key] = dataclasses.replace(entry, follow=None)
        if entry.mark in (Mark.BEGUN, Mark.AUTHORISED):
            self._entries[entry.key] = dataclasses.replace(
                entry, mark=Mark.REVERSING, why=f"power cut while {entry.mark.value}", standing_minor=0
            )
            if entry.receipt in self._slips:
                self._slips[entry.receipt] = dataclasses.replace(self._slips[entry.receipt], undone=True)
        return self._entries[entry.key].open and entry.mark is not Mark.HELD

    def _new_slip(self, kind: str, amount_minor: int, code: str, entry: Entry, original_trace: int = 0) -> Slip:
        now = self._now()
        return Slip(
            self._counters.receipt % RECEIPTS_MAX + 1,
            self._counters.trace % TRACES_MAX + 1,
            kind,
            amount_minor,
            entry.currency,
            code,
            f"{now:%Y%m%d}",
            f"{now:%H%M%S}",
            entry.key,
            original_trace,
        )

    def _counted(self, slip: Slip, kind: str, amount_minor: int, count: int) -> Period:
        period = self._period
        if kind == "refund":
            period = dataclasses.replace(period, refunds=period.refunds + count, refunds_minor=period.refunds_minor + amount_minor)
        else:
            period = dataclasses.replace(period, count=period.count + count, amount_minor=period.amount_minor + amount_minor)
        return dataclasses.replace(period, first_receipt=period.first_receipt or slip.number, last_receipt=slip.number)

    def _write(
        self,
        entry: Entry,
        slip: Slip | None = None,
        period: Period | None = None,
        *,
        others: list[Slip] | None = None,
        force: bool = False,
    ) -> None:
        """One transition to disk, then to memory; `force`: to memory in any case."""
        record: Record = {"entry": to_json(entry)}
        if slip is not None:
            record["slips"] = [to_json(each) for each in (*(others or ()), slip)]
            if slip.number not in self._slips or self._slips[slip.number].key != slip.key:
                record["counters"] = to_json(
                    dataclasses.replace(
                        self._counters, receipt=slip.number, trace=slip.trace, last_receipt=slip.number, last_outcome="approved"
                    )
                )
        if period is not None:
            record["period"] = to_json(period)
        try:
            self._append(record)
        except JournalError:
            if force:
                self._absorb(record)
            raise
        self._absorb(record)

    def _try(self, entry: Entry, slip: Slip | None = None) -> None:
        try:
            self._write(entry, slip, force=True)
        except JournalError as error:
            log.error("journal state=%s not kept: %s", entry.mark.value, error)  # noqa: TRY400

    def _append(self, record: Record) -> None:
        if not self._file.room_for(1):
            self._rewrite()
        try:
            self._file.append(record)
        except JournalError:
            # Nobody knows whether the disk has it. A rewriting from memory, which has it not, makes sure that it hasn't.
            try:
                self._rewrite()
            except JournalError as error:
                log.error("journal not usable: %s", error)  # noqa: TRY400
            raise

    def _absorb(self, record: Record) -> None:
        """A record, from the disk or just written, into memory. One that can't be understood is left out and counted."""
        try:
            slips = [from_json(Slip, data) for data in record.get("slips", ())]
            entry = from_json(Entry, record["entry"]) if "entry" in record else None
            period = from_json(Period, record["period"]) if "period" in record else self._period
            counters = from_json(Counters, record["counters"]) if "counters" in record else self._counters
            settings = {str(k): dict(v) for k, v in record.get("settings", {}).items()}
        except (TypeError, ValueError, KeyError):
            log.error("journal record of an unknown form is left out")  # noqa: TRY400
            self.damaged += 1
            return
        for slip in slips:
            if slip.number in self._slips and self._slips[slip.number].key != slip.key:
                del self._slips[slip.number]  # the numbers have begun again
            self._slips[slip.number] = slip
        if entry is not None:
            self._entries[entry.key] = entry
        self._period, self._counters = period, counters
        self._settings.update(settings)

    def _rewrite(self) -> None:
        self._drop_old()
        self._file.rewrite(self._snapshot())

    def _drop_old(self) -> None:
        oldest = int(self._now().timestamp()) - self._keep_s
        settled = [entry for entry in self._entries.values() if not entry.open]
        extra = max(0, len(settled) - SETTLED_MAX)
        for index, entry in enumerate(settled):
            if index < extra or entry.began_unix_s < oldest:
                del self._entries[entry.key]
        for number in [n for n, slip in self._slips.items() if slip.key not in self._entries]:
            if number != self._counters.last_receipt:
                del self._slips[number]
        entries = self._entries
        closed = [n for n, s in self._slips.items() if s.key not in entries or not entries[s.key].open]
        for number in closed[: max(0, len(self._slips) - SLIPS_MAX)]:
            del self._slips[number]

    def _snapshot(self) -> Iterator[dict[str, Any]]:
        yield {"period": to_json(self._period), "counters": to_json(self._counters)}
        for protocol, settings in self._settings.items():
            yield {"settings": {protocol: settings}}
        for entry in self._entries.values():
            yield {"entry": to_json(entry)}
        for slip in self._slips.values():
            yield {"slips": [to_json(slip)]}
