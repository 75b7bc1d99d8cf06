"""Concert V3 (Caisse-AP over TCP): one request and one answer per connection. Facts: registers.md 2.2.

No framing at all: ASCII `TTnnnVALUE` repeated, two letters, three decimal digits of length, value; `CZ` first. The end of a request
is a short silence after everything parses.

Its exception to the money rule: there is no acknowledgement. An answer that was written to an open connection counts as taken; where the
register had closed before the answer, the payment is undone. With `BA` 1 the register is answered at once and does not wait.
"""

from __future__ import annotations

import enum

from terminal.checkout import Outcome
from terminal.register import currency
from terminal.register.machine import Action, Answer, Ask, Delivered, Hangup, Kind, Note, Remark, Send, Till, Undelivered

REQUEST_BYTES_MAX = 1024
SILENCE_S = 0.05
"""After this, a request that parses is whole."""

INCOMPLETE_WAIT_S = 2.0
"""After this, a request that does not parse is answered as a format error."""

CLOSE_WAIT_S = 5.0
"""The register closes after its one answer; where it does not, we do."""

NEEDED = ("CZ", "CJ", "CA", "CB", "CD", "CE")
ECHOED = ("CZ", "CJ", "CA", "CB", "CD", "CE")
DONE, NOT_DONE = "10", "01"
ACTION = {"0": Kind.PAY, "1": Kind.REFUND, "2": Kind.REVERSE, "3": Kind.LAST_RESULT, "T": Kind.STATUS, "B": Kind.TOTALS}
AF_FORMAT, AF_ACTION, AF_CURRENCY, AF_REFUSED = "09", "12", "13", "04"
REASON_OF: dict[Outcome, str] = {
    Outcome.ABORTED: "06",
    Outcome.TIMED_OUT: "08",
    Outcome.NOBODY: "04",
    Outcome.LIMIT: "04",
    Outcome.BLOCKED: "05",
    Outcome.NO_SERVICE: "07",
    Outcome.OWED: "07",
    Outcome.BUSY: "07",
    Outcome.BAD_AMOUNT: "09",
    Outcome.BAD_CURRENCY: "13",
    Outcome.NOT_SUPPORTED: "12",
}
REASON_OTHER = "07"


def parse(data: bytes) -> dict[str, str] | None:
    """The fields in their order; None where `data` is not (yet) a whole number of them."""
    try:
        text = data.decode("ascii")
    except UnicodeDecodeError:
        return None
    fields: dict[str, str] = {}
    at = 0
    while at < len(text):
        tag, length = text[at : at + 2], text[at + 2 : at + 5]
        if len(length) < 3 or not length.isdigit() or not tag.isalpha() or not tag.isupper():
            return None
        value = text[at + 5 : at + 5 + int(length)]
        if len(value) < int(length):
            return None
        fields[tag] = value
        at += 5 + int(length)
    return fields or None


def build(fields: dict[str, str]) -> bytes:
    """`TTnnnVALUE` for each."""
    return "".join(f"{tag}{len(value):03d}{value}" for tag, value in fields.items()).encode("ascii", "replace")


class _State(enum.Enum):
    READING = enum.auto()
    WORKING = enum.auto()
    ANSWERED = enum.auto()


class ConcertV3Machine:
    """A `Machine` (see machine.py); the line is a TCP server that serves one connection at a time."""

    def __init__(self, till: Till) -> None:
        self._till = till
        self._state = _State.READING
        self._deadline_s: float | None = None
        self._buffer = bytearray()
        self._connected = False
        self._request: dict[str, str] = {}
        self._number = 0
        self._not_waited_for: set[int] = set()

    @property
    def next_deadline_s(self) -> float | None:
        """When `ticked` is due."""
        return self._deadline_s

    @property
    def settings(self) -> dict[str, str]:
        """Nothing is kept over restarts."""
        return {}

    def line_opened(self, now_s: float) -> list[Action]:
        """A register connected."""
        self._connected = True
        self._state, self._deadline_s = _State.READING, None
        self._buffer.clear()
        return []

    def line_lost(self, now_s: float) -> list[Action]:
        """The register closed. A payment that is under way is stopped: nobody is there to hear of it."""
        self._connected = False
        working = self._state is _State.WORKING and self._number not in self._not_waited_for
        self._state, self._deadline_s = _State.READING, None
        self._buffer.clear()
        return [Remark("the register closed before its answer")] if working else []

    def received(self, data: bytes, now_s: float) -> list[Action]:
        """Bytes from the register."""
        if self._state is not _State.READING:
            return [Remark(f"{len(data)} bytes after the request are ignored")]
        self._connected = True
        self._buffer += data
        if len(self._buffer) > REQUEST_BYTES_MAX:
            return self._refuse(AF_FORMAT, "a request longer than any", now_s)
        whole = parse(bytes(self._buffer)) is not None
        self._deadline_s = now_s + (SILENCE_S if whole else INCOMPLETE_WAIT_S)
        return []

    def ticked(self, now_s: float) -> list[Action]:
        """Silence after a request, or a register that never closes."""
        if self._deadline_s is None or now_s < self._deadline_s:
            return []
        self._deadline_s = None
        if self._state is _State.ANSWERED:
            self._state = _State.READING
            return [Hangup()]
        if self._state is not _State.READING:
            return []
        fields = parse(bytes(self._buffer))
        if fields is None:
            return self._refuse(AF_FORMAT, "a request that does not parse", now_s)
        self._request = fields
        return self._begin(fields, now_s)

    def answered(self, answer: Answer, now_s: float) -> list[Action]:
        """The core's answer."""
        if answer.number in self._not_waited_for:
            self._not_waited_for.discard(answer.number)
            return [Delivered(answer.number)] if answer.needs_confirmation else []
        if self._state is not _State.WORKING or answer.number != self._number or not self._connected:
            return [Undelivered(answer.number, "the register had closed its connection")] if answer.needs_confirmation else []
        good = answer.outcome is Outcome.APPROVED and not (answer.receipt is not None and answer.receipt.reversed)
        fields = {"AE": DONE, "AF": "01"} if good else {"AE": NOT_DONE, "AF": REASON_OF.get(answer.outcome, REASON_OTHER)}
        if good and answer.receipt is not None:
            # No account number exists; registers show these as they are.
            fields |= {"AA": "############0000", "AC": answer.receipt.authorisation[:6], "CC": "000", "CI": "2"}
        return [*self._answer(fields, now_s), *([Delivered(answer.number)] if answer.needs_confirmation else [])]

    def abort_answered(self, number: int, accepted: bool, now_s: float) -> list[Action]:
        """Registers can't abort here but by closing."""
        return []

    def noted(self, number: int, note: Note, now_s: float) -> list[Action]:
        """No progress is shown."""
        return []

    def _begin(self, fields: dict[str, str], now_s: float) -> list[Action]:
        missing = [tag for tag in NEEDED if tag not in fields]
        if missing or not fields["CB"].isdigit() or not 1 <= len(fields["CB"]) <= 12:
            return self._refuse(AF_FORMAT, f"missing {missing}" if missing else "CB is no amount", now_s)
        kind, letters = ACTION.get(fields["CD"]), currency.letters(fields["CE"])
        if kind is None:
            return self._refuse(AF_ACTION, f"action {fields['CD']!r} is not supported", now_s)
        if letters is None:
            return self._refuse(AF_CURRENCY, f"currency {fields['CE']!r} is not known", now_s)
        self._number += 1
        ask = Ask(
            self._number,
            kind,
            amount_minor=int(fields["CB"]),
            currency=letters,
            close=kind is Kind.TOTALS,
            note=fields.get("CF", "")[:64],
        )
        if fields.get("BA") == "1":
            self._not_waited_for.add(self._number)
            return [ask, *self._answer({"AE": DONE}, now_s)]
        self._state = _State.WORKING
        return [ask]

    def _refuse(self, reason: str, why: str, now_s: float) -> list[Action]:
        self._request = parse(bytes(self._buffer)) or {}
        return [Remark(why), *self._answer({"AE": NOT_DONE, "AF": reason}, now_s)]

    def _answer(self, fields: dict[str, str], now_s: float) -> list[Action]:
        """One segment: the request's own fields unchanged, then ours."""
        self._state, self._deadline_s = _State.ANSWERED, now_s + CLOSE_WAIT_S
        self._buffer.clear()
        return [Send(build({tag: self._request[tag] for tag in ECHOED if tag in self._request} | fields))]
