"""ECR17 (Protocollo 17), over TCP or serial: the payment terminal's side. Facts: registers.md 3.

Its exception to the money rule: a register never sends a financial command again once it was ACKed; where the result was lost it asks
for the last one (`G`). So an approved payment stands before its result leaves, is returned by `G` byte for byte, and is undone only by
`S`. `G` carries no number of the request, so the last result of an earlier one must never answer for one that a power cut ended: a
request that begins takes the place of the last result, and what became of it is looked up in the core's journal.
"""

from __future__ import annotations

import datetime
import enum
from collections import deque
from collections.abc import Callable
from dataclasses import replace
from typing import Final

from terminal.checkout import Outcome
from terminal.register import ecr17_messages as messages
from terminal.register.ecr17_messages import Request
from terminal.register.machine import Action, Answer, Ask, Delivered, Kind, Note, Remark, Send, Till
from terminal.register.stx_frames import ACK, EOT, ETX, NAK, SOH, STX, Block, Control, Dropped, FrameReader, lrc

LRC_START = 0x7F
LRC_RANGES = {0x00: "message", 0x03: "message and ETX", 0x01: "STX, message and ETX", 0x02: "STX and message"}
"""What a checksum may cover, by its XOR with that of the message alone. Recognised frame by frame; answered alike."""

LRC_DEFAULT = 0x03
ACK_WAIT_S = 2.0
RESULTS_MAX = 3
"""A result is sent this often until the register takes it."""

MORE_DATA_WAIT_S = 2.0
"""For the U message that a request announced."""

REPEATED_WITHIN_S = 10.0
"""A register that had no ACK sends its request again, three times within seconds; the same request later is another one."""

FINANCIAL = "PXpicSA"
"""Requests that money hangs on: `G` returns the result of the last one."""

PROGRESS_CHARACTERS = 20
PROGRESS_OF: Final[dict[Note, str]] = {
    Note.PRESENT_PALM: "AVVICINARE IL PALMO",
    Note.LOOKING: "LETTURA PALMO",
    Note.ASKING_SERVICE: "ATTENDERE PREGO",
    Note.APPROVED: "OPERAZIONE ESEGUITA",
    Note.DECLINED: "OPERAZIONE NEGATA",
    Note.REVERSING: "STORNO IN CORSO",
}
KIND_OF_CODE = {
    "P": Kind.PAY, "X": Kind.PAY, "p": Kind.RESERVE, "i": Kind.RAISE, "c": Kind.BOOK, "S": Kind.REVERSE, "A": Kind.REFUND,
    "H": Kind.FIND, "C": Kind.TOTALS, "T": Kind.TOTALS, "G": Kind.LAST_RESULT, "R": Kind.LAST_RESULT, "s": Kind.STATUS,
}  # fmt: skip


class _State(enum.Enum):
    IDLE = enum.auto()
    MORE_DATA = enum.auto()  # request acknowledged, its U message is awaited
    LEARNING = enum.auto()  # the core is asked for its last receipt, before the first request of all
    WORKING = enum.auto()  # the core is asked
    KEEPING = enum.auto()  # approved; the core writes down that it stands
    TELLING = enum.auto()  # a result or ticket is out, its ACK is awaited


BUSY = (_State.LEARNING, _State.WORKING, _State.KEEPING)
"""The core is at it: this goes on whatever the line does."""


def _trace(answer: Answer) -> str:
    return f"{answer.receipt.trace % 1_000_000:06d}" if answer.receipt else ""


class Ecr17Machine:
    """A `Machine` (see machine.py), with `settled` of `Settles`. `wall_clock` gives the local date and time for the status message only."""

    def __init__(self, till: Till, *, wall_clock: Callable[[], datetime.datetime] = datetime.datetime.now) -> None:
        self._till = till
        self._wall_clock = wall_clock
        self._reader = FrameReader(control_bytes=3)
        self._state = _State.IDLE
        self._deadline_s: float | None = None
        self._tries = 0
        self._range = LRC_DEFAULT
        self._number = 0
        self._request: Request | None = None
        self._printing = False
        self._unheard: Request | None = None  # the last one that money hangs on, until the register has taken its result
        self._repeated_until_s = 0.0
        self._more = ""  # the additional data that came with the request
        self._answer: Answer | None = None  # what is told once it is kept
        self._outbox: deque[bytes] = deque()
        self._settings = dict(till.settings)

    @property
    def next_deadline_s(self) -> float | None:
        """When `ticked` is due."""
        return self._deadline_s

    @property
    def settings(self) -> dict[str, str]:
        """The last result for `G`, or which request is open and which receipt was the last one before it; kept over a restart."""
        return dict(self._settings)

    def received(self, data: bytes, now_s: float) -> list[Action]:
        """Bytes from the register."""
        actions: list[Action] = []
        for event in self._reader.feed(data, now_s):
            if isinstance(event, Block):
                actions += self._block(event, now_s)
            elif isinstance(event, Control):
                actions += self._control(event.code, now_s)
            elif isinstance(event, Dropped):
                actions.append(Remark(f"{event.count} bytes dropped: {event.why}"))
        return actions

    def answered(self, answer: Answer, now_s: float) -> list[Action]:
        """The core's answer. What was approved stands from here on, and the register is told when that is written down."""
        stands: list[Action] = [Delivered(answer.number)] if answer.needs_confirmation else []
        if answer.number != self._number or self._request is None:
            return stands
        if self._state is _State.LEARNING:
            self._settings["last_trace"] = _trace(answer)
            return [*stands, *self._ask()]
        if self._state is not _State.WORKING:
            return stands
        if stands:
            self._state, self._answer = _State.KEEPING, answer
            return stands
        return self._told(self._request, answer, now_s)

    def settled(self, number: int, kept: bool, now_s: float) -> list[Action]:
        """See Settles. What could not be written down does not stand, and the register is told so."""
        answer, request = self._answer, self._request
        if self._state is not _State.KEEPING or answer is None or request is None or number != answer.number:
            return []
        self._answer = None
        return self._told(request, answer if kept else replace(answer, outcome=Outcome.FAULT, receipt=None), now_s)

    def _told(self, request: Request, answer: Answer, now_s: float) -> list[Action]:
        if request.code == "G" and not self._settings.get("last_text"):
            answer = self._interrupted(answer)
        texts = self._messages(request, answer)
        if request.code in FINANCIAL:
            self._settings["last_text"] = texts[0]
            self._settings["last_trace"] = _trace(answer) or self._settings.get("last_trace", "")
        self._outbox = deque(self._frame(text) for text in texts)
        if request.code in FINANCIAL and self._printing and answer.receipt:
            self._outbox.extend(self._frame(t) for t in self._tickets(answer))
        if self._more[16:18] not in ("", "00"):
            self._outbox.append(self._frame(messages.more_data(self._till.terminal_id, self._more)))
        self._printing = False
        return self._tell(now_s)

    def _interrupted(self, answer: Answer) -> Answer:
        """What became of a request that a power cut ended: done only if the core has a newer receipt than before, and it stands."""
        newer = answer.receipt is not None and _trace(answer) != self._settings.get("last_trace", "")
        if answer.outcome is Outcome.APPROVED and newer and answer.receipt is not None and not answer.receipt.reversed:
            return answer
        return replace(answer, outcome=Outcome.FAULT, receipt=None)

    def abort_answered(self, number: int, accepted: bool, now_s: float) -> list[Action]:
        """ECR17 registers can't abort."""
        return []

    def noted(self, number: int, note: Note, now_s: float) -> list[Action]:
        """Progress, for as long as the request is open."""
        if (
            self._state is not _State.WORKING
            or number != self._number
            or self._request is None
            or self._request.code not in FINANCIAL + "H"
        ):
            return []
        return [self._progress(PROGRESS_OF[note])]

    def line_opened(self, now_s: float) -> list[Action]:
        """A new connection may use another range for its checksums; it shows with its first frame."""
        return []

    def line_lost(self, now_s: float) -> list[Action]:
        """Results are not sent into the void: the register will ask with `G`."""
        self._reader.reset()
        if self._state not in BUSY:
            self._rest()
        return []

    def ticked(self, now_s: float) -> list[Action]:
        """A timer ran out."""
        if self._deadline_s is None or now_s < self._deadline_s:
            return []
        if self._state is _State.MORE_DATA:
            return [Remark("the announced additional data did not come"), *self._begin()]
        if self._state is _State.TELLING:
            return self._tell(now_s)
        self._deadline_s = None
        return []

    def _control(self, code: int, now_s: float) -> list[Action]:
        if self._state is not _State.TELLING or code not in (ACK, NAK):
            return []
        if code == ACK:
            self._unheard = None
            self._outbox.popleft()
            self._tries = 0
            if not self._outbox:
                self._rest()
                return []
        return self._tell(now_s)

    def _block(self, block: Block, now_s: float) -> list[Action]:
        covered = block.check ^ lrc(block.body, LRC_START)
        if covered not in LRC_RANGES:
            return [self._short(NAK), Remark("wrong LRC")]
        self._range = covered
        request = messages.parse(block.body)
        if request is None:
            return [self._short(NAK), Remark("a message that is not handled")]
        if request.terminal_id not in (self._till.terminal_id, "00000000"):
            return [self._short(NAK), Remark(f"terminal id {request.terminal_id} is not ours ({self._till.terminal_id})")]
        if request.code == "U":
            if self._state is not _State.MORE_DATA:
                return [self._short(ACK)]
            self._more = block.body.decode("latin-1")
            return [self._short(ACK), *self._begin()]
        repeated = request == self._unheard and now_s <= self._repeated_until_s
        if repeated:
            self._repeated_until_s = now_s + REPEATED_WITHIN_S
        if self._state in BUSY or self._state is _State.MORE_DATA:
            if repeated or request == self._request:  # our ACK was lost and the register repeats itself: one request, not two
                return [self._short(ACK)]
            return [self._short(NAK), Remark("busy: a request is open")]
        if self._state is _State.TELLING:
            # The register goes on without having taken the last result: it can still ask for it with G.
            self._rest()
        if repeated and (text := self._settings.get("last_text")):
            self._outbox = deque([self._frame(text)])
            return [self._short(ACK), Remark("the register repeats its request: one request, not two"), *self._tell(now_s)]
        return self._accept(request, now_s)

    def _accept(self, request: Request, now_s: float) -> list[Action]:
        ack = self._short(ACK)
        if request.code == "E":
            self._printing = request.switch
            return [ack]
        if request.code == "H" and not self._till.gate:
            return [self._short(NAK), Remark("card verification is for a gate's way out; see [shop] kind")]
        if request.code == "G" and (text := self._settings.get("last_text")):
            self._outbox = deque([self._frame(text)])  # unchanged, whoever else has been served since
            return [ack, *self._tell(now_s)]
        if request.code in FINANCIAL:
            # From here on `G` is about this request. Kept before the core hears of it, so a power cut finds it written.
            self._settings |= {"last_code": request.code, "last_text": ""}
            self._unheard, self._repeated_until_s = request, now_s + REPEATED_WITHIN_S
        if request.code == "S" and request.original not in ("000000", self._settings.get("last_trace", "")):
            text = self._settings["last_text"] = messages.result_of("S", self._till.terminal_id, Outcome.NOT_FOUND, None)
            self._outbox = deque([self._frame(text)])
            return [ack, Remark("the STAN to reverse is not that of the last payment"), *self._tell(now_s)]
        self._request, self._more = request, ""
        if request.more_data:
            self._state, self._deadline_s = _State.MORE_DATA, now_s + MORE_DATA_WAIT_S
            return [ack]
        return [ack, *self._begin()]

    def _begin(self) -> list[Action]:
        request = self._request
        if request is None:
            raise AssertionError("there is a request wherever work begins")
        self._deadline_s = None
        if request.code not in FINANCIAL:
            return self._ask()
        progress = self._progress(PROGRESS_OF[Note.ASKING_SERVICE])
        if "last_trace" in self._settings:
            return [progress, *self._ask()]
        self._number += 1
        self._state = _State.LEARNING
        return [progress, Ask(self._number, Kind.LAST_RESULT)]

    def _ask(self) -> list[Action]:
        request = self._request
        if request is None:
            raise AssertionError("there is a request wherever work begins")
        self._number += 1
        self._state = _State.WORKING
        return [
            Ask(
                self._number,
                KIND_OF_CODE[request.code],
                amount_minor=request.amount_minor,
                currency=self._till.currency,
                receipt=int(request.original) if request.code in "ic" else None,
                close=request.code == "C",
                note=request.text,
            )
        ]

    def _messages(self, request: Request, answer: Answer) -> list[str]:
        tid, good = self._till.terminal_id, answer.outcome
        total = answer.totals.amount_minor if answer.totals else 0
        if request.code == "s":
            operative = good is Outcome.APPROVED
            return [messages.status(tid, self._wall_clock(), operative=operative, software=self._till.software.replace(" ", ""))]
        if request.code == "C":
            return [messages.totals_closed(tid, good, total)]
        if request.code == "T":
            return [messages.totals(tid, good, total)]
        if request.code == "R":
            return self._tickets(answer) if answer.receipt else messages.tickets(tid, ["NESSUNA OPERAZIONE"])
        code = self._settings.get("last_code", "P") if request.code == "G" else request.code
        return [messages.result_of(code, tid, good, answer.receipt)]

    def _tickets(self, answer: Answer) -> list[str]:
        if answer.receipt is None:
            return []
        return messages.tickets(self._till.terminal_id, messages.ticket_lines(answer.receipt, self._till.merchant))

    def _tell(self, now_s: float) -> list[Action]:
        """Send what is first in the outbox, once more, or give up."""
        if self._tries >= RESULTS_MAX:
            self._rest()
            return [Remark("the register did not take the result; it can ask for it with G")]
        self._tries += 1
        self._state, self._deadline_s = _State.TELLING, now_s + ACK_WAIT_S
        return [Send(self._outbox[0])]

    def _rest(self) -> None:
        self._state, self._deadline_s, self._tries, self._request = _State.IDLE, None, 0, None
        self._more, self._answer = "", None
        self._outbox.clear()

    def _frame(self, text: str) -> bytes:
        body = text.encode("latin-1", "replace")
        return bytes([STX]) + body + bytes([ETX, lrc(body, LRC_START) ^ self._range])

    def _short(self, code: int) -> Send:
        return Send(bytes([code, ETX, code ^ LRC_START ^ self._range]))

    def _progress(self, text: str) -> Send:
        return Send(bytes([SOH]) + f"{text:<{PROGRESS_CHARACTERS}.{PROGRESS_CHARACTERS}}".encode("ascii") + bytes([EOT]))
