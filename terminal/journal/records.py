"""What the journal knows of a purchase, a receipt and a period; nothing in it says who paid."""

from __future__ import annotations

import dataclasses
import enum
from dataclasses import dataclass
from typing import Any, TypeVar

RECEIPTS_MAX = 9999  # receipt numbers begin again after this (four digits in every register protocol)
TRACES_MAX = 999_999


class Mark(enum.Enum):
    """How far a purchase has come. What each one owes the service after a power cut stands beside it."""

    BEGUN = "begun"  # a reversal: the service may have authorised, and the register was never told
    AUTHORISED = "authorised"  # a reversal: the register was perhaps told, but never acknowledged
    HELD = "held"  # nothing: a reservation that stands until it is booked, released or too old
    COMPLETED = "completed"  # a capture
    REVERSING = "reversing"  # a reversal
    VOIDING = "voiding"  # an undoing of what was captured
    SETTLED = "settled"  # nothing


class End(enum.Enum):
    """What became of a settled purchase at the service."""

    NONE = ""
    CAPTURED = "captured"
    REVERSED = "reversed"
    REFUSED = "refused"  # never authorised, nothing to undo
    VOIDED = "voided"
    CONFLICT = "conflict"  # the service's books say otherwise; a person has to compare


@dataclass(frozen=True, slots=True)
class Slip:
    """One receipt. `date` YYYYMMDD and `time` HHMMSS are local. `undone`: it does not stand (any more)."""

    number: int
    trace: int
    kind: str  # pay, refund, reserve, raise, book, release, reverse
    amount_minor: int
    currency: str
    code: str
    date: str
    time: str
    key: str  # of the purchase
    original_trace: int = 0
    undone: bool = False


@dataclass(frozen=True, slots=True)
class Follow:
    """A booking, release, raise or reversal that the register was told of and has not acknowledged yet."""

    kind: str  # raise, book, release, reverse
    amount_minor: int  # held more, booked, given back, or undone
    receipt: int  # of its own slip
    undo_key: str = ""


@dataclass(frozen=True, slots=True)
class Entry:
    """One purchase. `standing_minor`: what is held or was charged and not undone."""

    key: str
    kind: str  # pay, refund, reserve
    amount_minor: int
    currency: str
    mark: Mark
    began_unix_s: int
    code: str = ""
    receipt: int = 0  # of the slip that stands for it now; 0: none
    standing_minor: int = 0
    undo_key: str = ""
    undo_minor: int = 0
    follow: Follow | None = None
    end: End = End.NONE
    outcome: str = ""  # value of the Outcome that the register was told, where it was not approved
    why: str = ""

    @property
    def open(self) -> bool:
        """Whether the service or the register still has a part in it."""
        return self.mark is not Mark.SETTLED


@dataclass(frozen=True, slots=True)
class Period:
    """What stands since the last closing, in minor units."""

    count: int = 0
    amount_minor: int = 0
    refunds: int = 0
    refunds_minor: int = 0
    first_receipt: int = 0
    last_receipt: int = 0


@dataclass(frozen=True, slots=True)
class Counters:
    """The last numbers given out, and how the last request ended (an Outcome's value)."""

    receipt: int = 0
    trace: int = 0
    last_receipt: int = 0
    last_outcome: str = ""


class Owing(enum.Enum):
    """What is owed to the service."""

    CAPTURE = "capture"
    REVERSE = "reverse"
    VOID = "void"


@dataclass(frozen=True, slots=True)
class Owed:
    """One debt to the service; may be paid twice without harm."""

    what: Owing
    key: str
    amount_minor: int = 0  # 0: all
    undo_key: str = ""
    why: str = ""


def owed_of(entry: Entry) -> Owed | None:
    """What this purchase owes; None while nothing is, or while the register still decides."""
    if entry.mark is Mark.COMPLETED:
        return Owed(Owing.CAPTURE, entry.key, entry.standing_minor)
    if entry.mark is Mark.REVERSING:
        return Owed(Owing.REVERSE, entry.key, why=entry.why)
    if entry.mark is Mark.VOIDING:
        return Owed(Owing.VOID, entry.key, entry.undo_minor, entry.undo_key, entry.why)
    return None


# To and from JSON. Unknown fields are left out, missing ones take their defaults: an older or newer program can read it.

T = TypeVar("T")


def to_json(thing: Any) -> dict[str, Any]:
    """A dataclass above as plain data; defaults are left out to keep lines short."""
    out: dict[str, Any] = {}
    for field in dataclasses.fields(thing):
        value = getattr(thing, field.name)
        if value == field.default:
            continue
        if isinstance(value, enum.Enum):
            value = value.value
        elif dataclasses.is_dataclass(value):
            value = to_json(value)
        out[field.name] = value
    return out


def from_json(kind: type[T], data: dict[str, Any]) -> T:
    """The reverse of `to_json`. Raises TypeError or ValueError where the data can't be such a thing."""
    known = {f.name for f in dataclasses.fields(kind)}  # type: ignore[arg-type]
    values = {name: value for name, value in data.items() if name in known}
    if kind is Entry:
        values["mark"] = Mark(values["mark"])
        values["end"] = End(values.get("end", ""))
        if values.get("follow"):
            values["follow"] = from_json(Follow, values["follow"])
    return kind(**values)
