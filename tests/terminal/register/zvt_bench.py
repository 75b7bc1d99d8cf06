"""A ZVT machine on a bench with a clock of its own: bytes of a register in, messages out, no line and no core."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from terminal.checkout import Outcome
from terminal.register.machine import (
    Abort,
    Action,
    Answer,
    Ask,
    Delivered,
    Hangup,
    Kind,
    Note,
    Rate,
    Receipt,
    Remark,
    Send,
    Till,
    Totals,
    Undelivered,
)
from terminal.register.zvt.apdu import Apdu, parse
from terminal.register.zvt.frame import Acknowledged, Framed, Refused, Unwrapper, wrap
from terminal.register.zvt.link import SerialLink, TcpLink
from terminal.register.zvt.machine import ZvtMachine

OK = "80 00 00"
PAY = "06 01 0A 04 00 00 00 00 12 34 49 09 78"
RECEIPT = Receipt(1, 1, Kind.PAY, 1234, "EUR", "A12345", "20261123", "123456")
TOTALS = Totals(3, 3702, refunds=1, refunds_minor=100, first_receipt=1, last_receipt=4)


@dataclass
class Bench:
    """`says` gives the register's message, with its ACK of ours before; `heard` are the terminal's messages since the last look."""

    tcp: bool = False
    till: Till = field(default_factory=lambda: Till(terminal_id="12345678", software="PALM 1.0"))
    acks: bool = True
    now_s: float = 1000.0
    actions: list[Action] = field(default_factory=list)  # all but Send and Remark
    raw: list[bytes] = field(default_factory=list)  # what was written, write by write
    remarks: list[str] = field(default_factory=list)
    _heard: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.machine = ZvtMachine(
            self.till, TcpLink() if self.tcp else SerialLink(), wall=lambda: datetime(2026, 11, 23, 19, 45, 12)
        )
        self._unwrapper = Unwrapper()
        self.take(self.machine.line_opened(self.now_s))

    def take(self, actions: list[Action]) -> None:
        todo = list(actions)
        for action in todo:
            match action:
                case Send(data):
                    self.raw.append(data)
                    todo += self._sent(data)
                case Remark(text):
                    self.remarks.append(text)
                case _:
                    self.actions.append(action)

    def _sent(self, data: bytes) -> list[Action]:
        if self.tcp:
            self._heard.append(data.hex(" ").upper())
            return []
        out: list[Action] = []
        for piece in self._unwrapper.feed(data):
            match piece:
                case Acknowledged():
                    self._heard.append("ACK")
                case Refused():
                    self._heard.append("NAK")
                case Framed(apdu):
                    self._heard.append(apdu.hex(" ").upper())
                    if self.acks:
                        out += self.machine.received(b"\x06", self.now_s)
        return out

    def says(self, message: str) -> None:
        raw = bytes.fromhex(message)
        self.take(self.machine.received(raw if self.tcp else wrap(raw), self.now_s))

    def bytes_come(self, data: bytes) -> None:
        self.take(self.machine.received(data, self.now_s))

    def heard(self) -> list[str]:
        """The messages since the last look, without ACKs."""
        heard, self._heard = self._heard, []
        return [h for h in heard if h != "ACK"]

    def heard_all(self) -> list[str]:
        heard, self._heard = self._heard, []
        return heard

    def passes(self, seconds: float) -> None:
        """Time passes; timers fire when they are due."""
        until = self.now_s + seconds
        while (due := self.machine.next_deadline_s) is not None and due <= until:
            self.now_s = max(self.now_s, due)
            self.take(self.machine.ticked(self.now_s))
        self.now_s = until

    def asked(self) -> Ask:
        """The last ask."""
        return [a for a in self.actions if isinstance(a, Ask)][-1]

    def answers(self, outcome: Outcome = Outcome.APPROVED, **more: object) -> None:
        """The core answers the last ask."""
        ask = self.asked()
        moves = ask.kind in (Kind.PAY, Kind.REFUND, Kind.REVERSE, Kind.RESERVE, Kind.BOOK, Kind.RELEASE)
        if outcome is Outcome.APPROVED and moves:
            more = {"receipt": RECEIPT, "needs_confirmation": True} | more
        answer = Answer(ask.number, outcome, **more)  # type: ignore[arg-type]
        self.take(self.machine.answered(answer, self.now_s))

    def notes(self, note: Note) -> None:
        self.take(self.machine.noted(self.asked().number, note, self.now_s))

    def settles(self, kept: bool = True) -> None:
        self.take(self.machine.settled(self.asked().number, kept, self.now_s))

    def settlements(self) -> list[Action]:
        return [a for a in self.actions if isinstance(a, Delivered | Undelivered)]

    def aborts(self) -> int:
        return sum(isinstance(a, Abort) for a in self.actions)

    def rates(self) -> list[int]:
        return [a.baud for a in self.actions if isinstance(a, Rate)]

    def hung_up(self) -> bool:
        return any(isinstance(a, Hangup) for a in self.actions)

    def registers(self, message: str = "06 00 06 12 34 56 BE 09 78") -> None:
        self.says(message)
        self.says(OK)
        self.heard()


def code_of(message: str) -> int:
    apdu: Apdu = parse(bytes.fromhex(message))
    return apdu.control


def paying(bench: Bench, message: str = PAY) -> Bench:
    bench.says(message)
    assert bench.heard() == [OK]
    return bench


def ends_well(bench: Bench) -> None:
    assert bench.heard() == ["06 0F 00"]
    bench.says(OK)
    assert bench.machine.idle
