"""The port between a register protocol and the till: sans-I/O machines that speak in the product's own words.

A protocol is a `Machine`: bytes and answers go in, actions come out; it owns no socket, no clock and no task, so the same code
runs over a serial line, over TCP and in a test. `session.py` is the one driver that connects a machine to a line and to the till's
core. All times are `now_s`, a monotonic clock in seconds given by the caller.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

from terminal.checkout import Outcome


class Kind(enum.Enum):
    """What a register may ask for, in the product's own words."""

    PAY = "pay"
    REFUND = "refund"
    REVERSE = "reverse"  # undo a finished payment, by receipt number or the last one
    RESERVE = "reserve"
    RAISE = "raise"  # hold `amount_minor` more on an open reservation
    BOOK = "book"  # charge `amount_minor` of a reservation, release the rest; with `close` all that is held
    RELEASE = "release"  # give back `amount_minor` of a reservation (0: all), keep or charge the rest as the protocol says
    TOTALS = "totals"  # `close` starts a new period (end of day)
    LAST_RESULT = "last_result"
    RESERVATIONS = "reservations"  # which reservations are open
    FIND = "find"  # which of them is the palm's owner's: a gate's way out
    STATUS = "status"


@dataclass(frozen=True, slots=True)
class Ask:
    """The machine asks the core. `number` is the machine's own count; the core's answer carries it back."""

    number: int
    kind: Kind
    amount_minor: int = 0
    currency: str = "EUR"
    receipt: int | None = None  # of the payment or reservation that is meant
    close: bool = False
    note: str = ""  # text from the register for the receipt


@dataclass(frozen=True, slots=True)
class Receipt:
    """What a register may print or show about one finished transaction. Nothing in it names a person or an account."""

    number: int
    trace: int
    kind: Kind
    amount_minor: int
    currency: str
    authorisation: str  # up to 6 letters and digits
    date: str  # YYYYMMDD, local
    time: str  # HHMMSS, local
    original_trace: int = 0
    reversed: bool = False


@dataclass(frozen=True, slots=True)
class Totals:
    """What was taken since the last closing, in minor units."""

    count: int
    amount_minor: int
    refunds: int = 0
    refunds_minor: int = 0
    first_receipt: int = 0
    last_receipt: int = 0
    currency: str = "EUR"


@dataclass(frozen=True, slots=True)
class Answer:
    """The core's answer to an `Ask`."""

    number: int
    outcome: Outcome
    receipt: Receipt | None = None
    totals: Totals | None = None
    open_reservations: tuple[int, ...] = ()
    text: str = ""  # one short sentence for the cashier
    needs_confirmation: bool = False
    """True where money hangs on it: the machine must end with exactly one `Delivered` or `Undelivered` for this number."""


class Note(enum.Enum):
    """Progress inside a request, for protocols that can show it on the register."""

    PRESENT_PALM = "present_palm"
    LOOKING = "looking"
    ASKING_SERVICE = "asking_service"
    APPROVED = "approved"
    DECLINED = "declined"
    REVERSING = "reversing"


@dataclass(frozen=True, slots=True)
class Send:
    """Write these bytes with one write()."""

    data: bytes


@dataclass(frozen=True, slots=True)
class Abort:
    """The register wants request `number` to stop. The core calls `abort_answered` at once, then answers the request itself."""

    number: int


@dataclass(frozen=True, slots=True)
class Delivered:
    """The register has acknowledged the answer to `number`: from now on it stands. `amount_minor` None means all of it."""

    number: int
    amount_minor: int | None = None


@dataclass(frozen=True, slots=True)
class Undelivered:
    """The register did not acknowledge: undo it. `why` is one sentence for the journal and the technician."""

    number: int
    why: str


@dataclass(frozen=True, slots=True)
class Rate:
    """Change the line's rate after the bytes sent so far have left."""

    baud: int


@dataclass(frozen=True, slots=True)
class Hangup:
    """Close this connection (TCP), or drop what is half received (serial)."""


@dataclass(frozen=True, slots=True)
class Remark:
    """A line for the log and the trace: what was odd on the wire, in words, without any payload that could be a PAN."""

    text: str


Action = Send | Ask | Abort | Delivered | Undelivered | Rate | Hangup | Remark


@dataclass(frozen=True, slots=True)
class Till:
    """What a protocol may say about this terminal."""

    terminal_id: str = "00000001"  # 8 digits
    software: str = "PALM 0.1"
    merchant: str = ""  # up to 15 characters
    currency: str = "EUR"
    ready: bool = True
    password: str | None = None  # None: not checked
    gate: bool = False  # people are let in and charged on leaving
    settings: dict[str, str] = field(default_factory=dict)  # what the protocol asked to be kept over restarts


class Machine(Protocol):
    """One register protocol, seen from the payment terminal."""

    def received(self, data: bytes, now_s: float) -> list[Action]:
        """Bytes came from the register: any number of frames, or parts of frames."""

    def answered(self, answer: Answer, now_s: float) -> list[Action]:
        """The core answers an `Ask`."""

    def abort_answered(self, number: int, accepted: bool, now_s: float) -> list[Action]:
        """The core says whether request `number` can still be stopped."""

    def noted(self, number: int, note: Note, now_s: float) -> list[Action]:
        """Progress inside request `number`."""

    def ticked(self, now_s: float) -> list[Action]:
        """`next_deadline_s` has passed."""

    def line_lost(self, now_s: float) -> list[Action]:
        """The cable was pulled, or the TCP connection closed."""

    def line_opened(self, now_s: float) -> list[Action]:
        """The line is there (again)."""

    @property
    def next_deadline_s(self) -> float | None:
        """When `ticked` has to be called at the latest; None: no timer runs."""

    @property
    def settings(self) -> dict[str, str]:
        """What has to survive a restart (for example ZVT's registration); stored by the driver when it changes."""


@runtime_checkable
class Settles(Protocol):
    """A machine that wants to know when the core has written down a `Delivered`.

    ZVT's register counts as paid only when the completion follows; sent after the core's fsync, it can't promise what a power cut
    would take back. A machine without this method is simply not told.
    """

    def settled(self, number: int, kept: bool, now_s: float) -> list[Action]:
        """The core has dealt with the `Delivered` of `number`; `kept` False where it could not write it down."""
