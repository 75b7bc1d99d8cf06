"""Transbank POS Integrado (Chile), over a serial line: the terminal's side. Facts: registers.md 4.

Fields are separated by `|`; a frame is STX, fields, ETX and an LRC over the fields and ETX, from 0; answers to it are a bare ACK or NAK.
Money: the register's ACK of the `0210` is what makes a sale stand. Its library sends that ACK after the first bytes of an answer, so an
answer is one write, and an ACK counts only after the whole of it has left.
"""

from __future__ import annotations

import enum

from terminal.checkout import Outcome
from terminal.register.machine import Action, Answer, Ask, Delivered, Kind, Note, Receipt, Remark, Send, Till, Undelivered
from terminal.register.stx_frames import ACK, ETX, NAK, STX, Block, Control, Dropped, FrameReader, lrc

ANSWER_WAIT_S = 3.0
ANSWERS_MAX = 3
PROGRESS_WAIT_S = 1.0
"""For the register's ACK of a `0900`; its library mistakes two messages in one read for one, so the answer waits for it."""

AMOUNT_MIN = 50
"""Whole pesos."""

COMMERCE = "000000000001"
CODE_OF: dict[Outcome, str] = {
    Outcome.APPROVED: "00",
    Outcome.NOBODY: "01",
    Outcome.LIMIT: "01",
    Outcome.BLOCKED: "01",
    Outcome.NO_SERVICE: "02",
    Outcome.OWED: "02",
    Outcome.NOT_FOUND: "05",
    Outcome.ALREADY_REVERSED: "05",
    Outcome.ABORTED: "07",
    Outcome.TIMED_OUT: "22",
}
CODE_OTHER = "01"
PROGRESS_OF: dict[Note, str] = {Note.PRESENT_PALM: "80", Note.LOOKING: "81", Note.ASKING_SERVICE: "82"}
REQUESTS = {"0100", "0200", "0250", "0300", "0500", "0700", "0800", "0260", "1200"}


class _State(enum.Enum):
    IDLE = enum.auto()
    WORKING = enum.auto()
    TELLING = enum.auto()


def frame(text: str) -> bytes:
    """STX text ETX LRC."""
    covered = text.encode("ascii", "replace") + bytes([ETX])
    return bytes([STX]) + covered + bytes([lrc(covered)])


def sale(code: str, answer_code: str, terminal_id: str, receipt: Receipt | None, ticket: str = "") -> str:
    """`0210` and `0260`: every `|` is kept, since registers count fields. No card: last four digits and account stay empty."""
    if receipt is None:
        return f"{code}|{answer_code}|{COMMERCE}|{terminal_id}|{ticket}|" + "|" * 14
    when = f"{receipt.date[6:]}{receipt.date[4:6]}{receipt.date[:4]}|{receipt.time}"
    return (
        f"{code}|{answer_code}|{COMMERCE}|{terminal_id}|{ticket}|{receipt.authorisation}|{receipt.amount_minor}|0|0||"
        f"{receipt.number}|DB|||PM|{when}||0|"
    )


class TransbankMachine:
    """A `Machine` (see machine.py)."""

    def __init__(self, till: Till) -> None:
        self._till = till
        self._reader = FrameReader()
        self._state = _State.IDLE
        self._deadline_s: float | None = None
        self._tries = 0
        self._number = 0
        self._fields: list[str] = []
        self._answer = b""
        self._confirm: int | None = None
        self._progress_open = False

    @property
    def next_deadline_s(self) -> float | None:
        """When `ticked` is due."""
        return self._deadline_s

    @property
    def settings(self) -> dict[str, str]:
        """Nothing is kept over restarts."""
        return {}

    def received(self, data: bytes, now_s: float) -> list[Action]:
        """Bytes from the register."""
        actions: list[Action] = []
        for event in self._reader.feed(data, now_s):
            if isinstance(event, Block):
                actions += self._block(event)
            elif isinstance(event, Control):
                actions += self._control(event.code, now_s)
            elif isinstance(event, Dropped):
                actions.append(Remark(f"{event.count} bytes dropped: {event.why}"))
        return actions

    def answered(self, answer: Answer, now_s: float) -> list[Action]:
        """The core's answer, sent until the register takes it."""
        if self._state is not _State.WORKING or answer.number != self._number:
            return [Undelivered(answer.number, "the request is no longer open")] if answer.needs_confirmation else []
        self._confirm = answer.number if answer.needs_confirmation else None
        self._answer = frame(self._text(answer))
        self._tries = 0
        if self._progress_open:
            self._state, self._deadline_s = _State.TELLING, now_s + PROGRESS_WAIT_S
            return []
        return self._tell(now_s)

    def abort_answered(self, number: int, accepted: bool, now_s: float) -> list[Action]:
        """Registers can't abort here."""
        return []

    def noted(self, number: int, note: Note, now_s: float) -> list[Action]:
        """`0900`, where the sale asked for it."""
        wants = self._fields[:1] == ["0200"] and len(self._fields) > 5 and self._fields[5] == "1"
        if (
            self._state is not _State.WORKING
            or number != self._number
            or not wants
            or note not in PROGRESS_OF
            or self._progress_open
        ):
            return []
        self._progress_open = True
        return [Send(frame(f"0900|{PROGRESS_OF[note]}|{COMMERCE}|{self._till.terminal_id}|"))]

    def line_opened(self, now_s: float) -> list[Action]:
        """Nothing to do."""
        return []

    def line_lost(self, now_s: float) -> list[Action]:
        """Work goes on; its answer is tried when it comes."""
        self._reader.reset()
        return []

    def ticked(self, now_s: float) -> list[Action]:
        """The register did not take an answer."""
        if self._deadline_s is None or now_s < self._deadline_s:
            return []
        self._progress_open = False
        return self._tell(now_s) if self._state is _State.TELLING else []

    def _control(self, code: int, now_s: float) -> list[Action]:
        if self._progress_open:
            self._progress_open = False
            return self._tell(now_s) if self._state is _State.TELLING else []
        if self._state is not _State.TELLING or code not in (ACK, NAK):
            return []
        if code == NAK:
            return self._tell(now_s)
        confirm = self._confirm
        self._rest()
        return [Delivered(confirm)] if confirm is not None else []

    def _block(self, block: Block) -> list[Action]:
        if lrc(block.body, ETX) != block.check:
            return [Send(bytes([NAK])), Remark("wrong LRC")]
        fields = block.body.decode("ascii", "replace").split("|")
        if fields[0] not in REQUESTS:
            return [Send(bytes([NAK])), Remark("a message that is not handled")]
        gone: list[Action] = []
        if self._state is not _State.IDLE and fields == self._fields:  # our ACK was lost: one request, not two
            again = [Send(self._answer)] if self._state is _State.TELLING else []
            return [Send(bytes([ACK])), *again]
        if self._state is _State.WORKING:
            return [Send(bytes([NAK])), Remark("busy: a request is open")]
        if self._state is _State.TELLING:
            gone = self._given_up("the register went on without the answer")
        if fields[0] in ("0100", "0300"):
            return [*gone, Send(bytes([ACK]))]
        ask = self._ask(fields)
        if ask is None:
            return [*gone, Send(bytes([NAK])), Remark(f"a {fields[0]} whose fields can't be read")]
        self._fields = fields
        self._state, self._deadline_s = _State.WORKING, None
        return [*gone, Send(bytes([ACK])), ask]

    def _ask(self, fields: list[str]) -> Ask | None:
        number, code = self._number + 1, fields[0]
        first = fields[1] if len(fields) > 1 else ""
        if code in ("0200", "1200") and not (first.isascii() and first.isdigit() and len(first) <= 9):
            return None
        self._number = number
        if code == "0200":
            # Below the smallest amount of this market the core is asked for 0, which it refuses in its own words.
            amount = int(first) if int(first) >= AMOUNT_MIN else 0
            note = fields[2][:20] if len(fields) > 2 else ""
            return Ask(number, Kind.PAY, amount_minor=amount, currency=self._till.currency, note=note)
        if code == "1200":
            return Ask(number, Kind.REVERSE, currency=self._till.currency, receipt=int(first))
        if code == "0800":
            return Ask(number, Kind.STATUS)
        if code in ("0500", "0700"):
            return Ask(number, Kind.TOTALS, close=code == "0500")
        return Ask(number, Kind.LAST_RESULT)

    def _text(self, answer: Answer) -> str:
        code, tid = self._fields[0], self._till.terminal_id
        result = CODE_OF.get(answer.outcome, CODE_OTHER)
        receipt = answer.receipt if answer.outcome is Outcome.APPROVED else None
        if code in ("0250", "0260") and receipt is not None and receipt.reversed:  # it was undone: the register must not count it
            result, receipt = CODE_OF[Outcome.ALREADY_REVERSED], None
        if code == "0200":
            return sale("0210", result, tid, receipt, self._fields[2][:20] if len(self._fields) > 2 else "")
        if code in ("0250", "0260"):
            return sale("0260", result, tid, receipt)
        if code == "1200":
            return f"1210|{result}|{COMMERCE}|{tid}|{receipt.authorisation if receipt else ''}|{self._fields[1]}|"
        if code == "0700":
            totals = answer.totals
            return f"0710|{result}|{totals.count if totals else 0}|{totals.amount_minor if totals else 0}|"
        return f"{'0510' if code == '0500' else '0810'}|{result}|{COMMERCE}|{tid}|"

    def _tell(self, now_s: float) -> list[Action]:
        if self._tries >= ANSWERS_MAX:
            return self._given_up("the register did not take the answer")
        self._tries += 1
        self._state, self._deadline_s = _State.TELLING, now_s + ANSWER_WAIT_S
        return [Send(self._answer)]

    def _given_up(self, why: str) -> list[Action]:
        confirm = self._confirm
        self._rest()
        undone = "the register did not acknowledge the answer (Transbank)"
        return [Remark(why), *([Undelivered(confirm, undone)] if confirm is not None else [])]

    def _rest(self) -> None:
        self._state, self._deadline_s, self._tries, self._confirm = _State.IDLE, None, 0, None
        self._fields = []
        self._progress_open = False
        self._progress_open = False
