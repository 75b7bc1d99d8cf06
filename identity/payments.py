"""The money: authorise, capture, reverse, void, each idempotent by its key, each on the disk before it is answered.

The rule: a purchase that the register has not acknowledged is reversed, one that it has acknowledged is captured; never both, never
twice, whatever is lost, repeated or overtaken::

                 (nothing) --authorise--> authorised --capture--> captured --void--> voided (when all of it is)
                 (nothing) --reverse----> reversed       |  |                (a part: stays captured, less is left)
                                             ^-----------+  +--(time)--> expired --capture--> captured
                                             ^-----------------------------+
                 (nothing) --refuse-----> refused --authorise--> authorised

A reversal of a key that was never seen is written down (a tombstone), so that a late Begin with that key is refused. `expired` is a
report to the operator: nobody settled the purchase within `[payments] open_hours_max`. The till may still come back and settle it, one
way or the other, since the register's word is what counts.
"""

from __future__ import annotations

import enum
import secrets
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Engine

from identity.storage import purchase, void, writing

CODE_LETTERS = "23456789ABCDEFGHJKLMNPQRSTUVWXYZ"
"""Of authorisation codes: nothing that looks like something else on a receipt."""

WHY_LENGTH_MAX = 80
"""Characters of a reversal's reason that are kept."""

LEDGER_PAGE_ROWS = 500
"""Rows of the ledger read at once."""


class Why(enum.Enum):
    """Why money was not moved."""

    KEY_SETTLED = "key_settled"
    BAD_REQUEST = "bad_request"
    NOT_ALLOWED = "not_allowed"


class Denied(Exception):
    """The books refuse; `why` for the machine, the sentence for a technician. Nothing was changed."""

    def __init__(self, why: Why, sentence: str) -> None:
        super().__init__(sentence)
        self.why = why


@dataclass(frozen=True, slots=True)
class Wanted:
    """A purchase as the till begins it."""

    purchase_key: str
    till: str
    kind: str  # pay | reserve | refund
    amount_minor: int
    currency: str


@dataclass(frozen=True, slots=True)
class Entry:
    """A purchase as the books have it."""

    purchase_key: str
    till: str
    kind: str
    amount_minor: int
    currency: str
    state: str
    captured_minor: int
    voided_minor: int
    account: str
    code: str
    began_unix_ms: int
    settled_unix_ms: int | None
    why: str
    was_authorised: bool


OPEN = ("authorised", "expired")


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


class Payments:
    """The books of purchases. Methods are called from one thread at a time; other processes may read meanwhile."""

    def __init__(self, engine: Engine, now_ms: Callable[[], int] = _now_ms) -> None:
        self._engine, self._now_ms = engine, now_ms

    def known(self, wanted: Wanted) -> Entry | None:
        """What the books have for a Begin: None (go on), or the authorised purchase (answer the same again).

        Raises Denied: settled before, or begun before with something else.
        """
        with self._engine.connect() as connection:
            return self._check_begin(_entry(connection, wanted.purchase_key), wanted)

    def authorise(self, wanted: Wanted, account: str) -> Entry:
        """Hold the amount for an account. A purchase that is authorised already is returned as it is. Raises Denied."""
        with writing(self._engine) as connection:
            before = _entry(connection, wanted.purchase_key)
            if (entry := self._check_begin(before, wanted)) is not None:
                return entry
            code = "".join(secrets.choice(CODE_LETTERS) for _ in range(6))
            self._put(connection, before, wanted, state="authorised", account=account, code=code, was_authorised=True)
            return _must(connection, wanted.purchase_key)

    def refuse(self, wanted: Wanted, account: str, why: str) -> None:
        """Note that a known person's account did not allow a purchase. Never called for palms that are nobody's."""
        with writing(self._engine) as connection:
            before = _entry(connection, wanted.purchase_key)
            if before is None:
                self._put(connection, before, wanted, state="refused", account=account, why=why)

    def reserved(self, purchase_key: str, till: str) -> Entry:
        """An open reservation. Raises Denied."""
        with self._engine.connect() as connection:
            return _reserved(connection, purchase_key, till)

    def open_reservation(self, till: str, account: str) -> Entry | None:
        """The newest reservation that this till holds open for an account."""
        wanted = sa.select(purchase).where(purchase.c.till == till, purchase.c.account == account, purchase.c.kind == "reserve")
        newest = wanted.where(purchase.c.state.in_(OPEN)).order_by(purchase.c.began_unix_ms.desc()).limit(1)
        with self._engine.connect() as connection:
            row = connection.execute(newest).mappings().first()
        return None if row is None else Entry(**row)

    def increase(self, purchase_key: str, till: str, amount_minor: int) -> int:
        """Hold `amount_minor` in all on an open reservation; less than is held changes nothing. Returns what is held. Raises Denied."""
        with writing(self._engine) as connection:
            entry = _reserved(connection, purchase_key, till)
            held = max(entry.amount_minor, amount_minor)
            connection.execute(sa.update(purchase).where(purchase.c.purchase_key == purchase_key).values(amount_minor=held))
            return held

    def capture(self, purchase_key: str, till: str, amount_minor: int = 0) -> int:
        """Book the purchase, or the part `amount_minor` of it, and release the rest. Returns what was booked. Raises Denied."""
        with writing(self._engine) as connection:
            entry = _entry(connection, purchase_key)
            if entry is None:
                raise Denied(Why.BAD_REQUEST, "capture.purchase_key: no purchase of this key was authorised")
            _same_till(entry, till)
            if entry.state in ("captured", "voided"):
                if amount_minor not in (0, entry.captured_minor):
                    raise Denied(
                        Why.BAD_REQUEST, f"capture.amount_minor: {entry.captured_minor} was captured before; send the same or 0"
                    )
                return entry.captured_minor
            if entry.state not in OPEN:
                raise Denied(Why.KEY_SETTLED, f"this purchase is {entry.state}; it can't be captured")
            booked = amount_minor or entry.amount_minor
            if not 0 < booked <= entry.amount_minor:
                raise Denied(Why.BAD_REQUEST, f"capture.amount_minor: 0 to {entry.amount_minor}, what was authorised, is expected")
            self._settle(connection, purchase_key, state="captured", captured_minor=booked)
            return booked

    def reverse(self, purchase_key: str, till: str, why: str) -> bool:
        """Give the purchase up. Returns whether it had been authorised. A key never seen is refused from now on. Raises Denied."""
        with writing(self._engine) as connection:
            entry = _entry(connection, purchase_key)
            if entry is None:
                nothing = Wanted(purchase_key, till, "", 0, "")
                self._put(connection, None, nothing, state="reversed", why=why, settled_unix_ms=self._now_ms())
                return False
            _same_till(entry, till)
            if entry.state in ("captured", "voided"):
                raise Denied(Why.KEY_SETTLED, "this purchase is captured; send Void to undo it")
            if entry.state != "reversed":
                self._settle(connection, purchase_key, state="reversed", why=why[:WHY_LENGTH_MAX])
            return entry.was_authorised

    def void(self, purchase_key: str, void_key: str, till: str, amount_minor: int = 0) -> int:
        """Undo a captured purchase, all that is left of it (0) or a part. Returns what was undone. Raises Denied."""
        with writing(self._engine) as connection:
            entry = _entry(connection, purchase_key)
            if entry is None:
                raise Denied(Why.BAD_REQUEST, "void.purchase_key: no such purchase")
            _same_till(entry, till)
            made = connection.execute(sa.select(void).where(void.c.void_key == void_key)).mappings().first()
            if made is not None:
                if made["purchase_key"] != purchase_key or amount_minor not in (0, made["amount_minor"]):
                    raise Denied(Why.BAD_REQUEST, "void.void_key: was used for another undoing; make a new one")
                return int(made["amount_minor"])
            if entry.state != "captured":
                raise Denied(
                    Why.KEY_SETTLED if entry.state == "voided" else Why.BAD_REQUEST,
                    f"this purchase is {entry.state}; only a captured one can be voided",
                )
            left = entry.captured_minor - entry.voided_minor
            undone = amount_minor or left
            if not 0 < undone <= left:
                raise Denied(Why.BAD_REQUEST, f"void.amount_minor: 0 to {left}, what is left of the purchase, is expected")
            connection.execute(
                sa.insert(void).values(
                    void_key=void_key, purchase_key=purchase_key, amount_minor=undone, made_unix_ms=self._now_ms()
                )
            )
            state = "voided" if undone == left else "captured"
            self._settle(connection, purchase_key, state=state, voided_minor=entry.voided_minor + undone)
            return undone

    def expire(self, open_ms_max: int) -> int:
        """Mark purchases of kind pay that nobody settled within the bound; returns how many were marked now."""
        before = self._now_ms() - open_ms_max
        overdue = (purchase.c.state == "authorised") & (purchase.c.kind == "pay") & (purchase.c.began_unix_ms < before)
        with writing(self._engine) as connection:
            return int(connection.execute(sa.update(purchase).where(overdue).values(state="expired")).rowcount)

    def ledger(self, till: str = "", since_unix_ms: int = 0, at_most: int = 1000, account: str = "") -> Iterator[list[Entry]]:
        """Purchases in the order in which they began, in pages."""
        wanted = sa.select(purchase).where(purchase.c.began_unix_ms >= since_unix_ms)
        wanted = wanted.where(purchase.c.till == till) if till else wanted
        wanted = wanted.where(purchase.c.account == account) if account else wanted
        after: tuple[int, str] = (-1, "")
        while at_most > 0:
            place = sa.tuple_(purchase.c.began_unix_ms, purchase.c.purchase_key)
            page = wanted.where(place > after).order_by(purchase.c.began_unix_ms, purchase.c.purchase_key)
            with self._engine.connect() as connection:
                rows = connection.execute(page.limit(min(at_most, LEDGER_PAGE_ROWS))).mappings().all()
            if not rows:
                return
            entries = [Entry(**row) for row in rows]
            yield entries
            at_most -= len(entries)
            after = (entries[-1].began_unix_ms, entries[-1].purchase_key)

    @staticmethod
    def _check_begin(entry: Entry | None, wanted: Wanted) -> Entry | None:
        if entry is None:
            return None
        if entry.state == "reversed" and entry.kind == "":
            raise Denied(Why.KEY_SETTLED, "this purchase was reversed before it began; a new purchase needs a new key")
        if (entry.till, entry.kind, entry.amount_minor, entry.currency) != (
            wanted.till,
            wanted.kind,
            wanted.amount_minor,
            wanted.currency,
        ):
            raise Denied(
                Why.BAD_REQUEST, "begin: till, kind, amount and currency must stay what they were when this key was first used"
            )
        if entry.state == "refused":
            return None
        if entry.state not in OPEN:
            raise Denied(Why.KEY_SETTLED, f"this purchase is {entry.state}; a new purchase needs a new key")
        return entry

    def _put(self, connection: Connection, before: Entry | None, wanted: Wanted, **columns: Any) -> None:
        row: dict[str, Any] = {
            "purchase_key": wanted.purchase_key, "till": wanted.till, "kind": wanted.kind, "amount_minor": wanted.amount_minor,
            "currency": wanted.currency, "captured_minor": 0, "voided_minor": 0, "account": "", "code": "", "why": "",
            "began_unix_ms": self._now_ms(), "settled_unix_ms": None, "was_authorised": False,
        } | columns  # fmt: skip
        row["why"] = row["why"][:WHY_LENGTH_MAX]
        if before is None:
            connection.execute(sa.insert(purchase).values(**row))
        else:
            connection.execute(sa.update(purchase).where(purchase.c.purchase_key == wanted.purchase_key).values(**row))

    def _settle(self, connection: Connection, purchase_key: str, **columns: Any) -> None:
        columns["settled_unix_ms"] = self._now_ms()
        connection.execute(sa.update(purchase).where(purchase.c.purchase_key == purchase_key).values(**columns))


def _entry(connection: Connection, purchase_key: str) -> Entry | None:
    row = connection.execute(sa.select(purchase).where(purchase.c.purchase_key == purchase_key)).mappings().first()
    return None if row is None else Entry(**row)


def _must(connection: Connection, purchase_key: str) -> Entry:
    entry = _entry(connection, purchase_key)
    assert entry is not None, "written in this transaction"
    return entry


def _reserved(connection: Connection, purchase_key: str, till: str) -> Entry:
    entry = _entry(connection, purchase_key)
    if entry is None or entry.kind != "reserve":
        raise Denied(Why.BAD_REQUEST, "increase.purchase_key: no reservation of this key was authorised")
    _same_till(entry, till)
    if entry.state not in OPEN:
        raise Denied(Why.KEY_SETTLED, f"this reservation is {entry.state}; only an open one can be increased")
    return entry


def _same_till(entry: Entry, till: str) -> None:
    if entry.till != till:
        raise Denied(Why.NOT_ALLOWED, "this purchase belongs to another till")
