"""Concert ("Caisse-AP") V2, messages E and E+, over a serial line: the payment terminal's side. Facts: registers.md 2.1.

Every message is offered (ENQ, ACK), sent (STX ... ETX LRC, ACK) and closed (EOT), in both directions. Its exceptions to the money rule:

- A010: the register waits for the answer. An approval that nobody acknowledged is undone, or kept where the shop says so
  (`concert_unheard_approval`), since the register then believes "not paid".
- A011: the register does not listen by design. It is told "9, taken into account" at once; the payment stands as soon as it is
  approved, and the terminal's own screen is the truth.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass

from terminal.checkout import Outcome
from terminal.register import currency
from terminal.register.machine import Action, Answer, Ask, Delivered, Kind, Note, Remark, Send, Till, Undelivered
from terminal.register.stx_frames import ACK, ENQ, EOT, ETX, NAK, STX, Block, Control, Dropped, FrameReader, lrc

MESSAGE_WAIT_S = 5.0
"""From our ACK of an ENQ to the whole message."""

EOT_WAIT_S = 3.0
"""From our ACK of a message to the register's EOT; without it the request was not meant."""

OFFER_WAIT_S = 1.0
OFFERS_MAX = 3
"""Our ENQ is repeated this often, this far apart."""

GAP_BEFORE_OFFER_S = 0.05
"""Between our last byte and our own ENQ: registers read an ENQ that is glued to an ACK as noise."""

ANSWER_WAIT_S = 3.0
ANSWERS_MAX = 3
"""The answer is repeated this often on NAK or silence."""

REQUEST_BYTES = {26: "E", 34: "E+"}
STATUS_DONE, STATUS_NOT_DONE, STATUS_TAKEN = "0", "7", "9"

KIND_OF_TYPE = {"0": Kind.PAY, "1": Kind.REFUND, "2": Kind.REVERSE, "4": Kind.RESERVE}


@dataclass(frozen=True, slots=True)
class Request:
    """One request of the register, fields as on the wire."""

    pos: str
    amount_minor: int
    with_text: bool
    mode: str
    type: str
    currency: str  # three digits
    private: str
    at_once: bool  # A011

    @staticmethod
    def parse(body: bytes) -> Request | None:
        """None where lengths or digits are not those of E or E+."""
        if len(body) not in REQUEST_BYTES or not body.isascii():
            return None
        text = body.decode("ascii")
        if not (text[:10].isdigit() and text[13:16].isdigit()):
            return None
        return Request(
            pos=text[:2],
            amount_minor=int(text[2:10]),
            with_text=text[10] == "1",
            mode=text[11],
            type=text[12],
            currency=text[13:16],
            private=text[16:26],
            at_once=text[26:30] == "A011",
        )

    def answer(self, status: str, text: str = "") -> bytes:
        """The answer's frame: 28 bytes, or 83 where the register asked for a text. Clients read exactly that many."""
        middle = f"{text:<55.55}" if self.with_text else ""
        body = f"{self.pos}{status}{self.amount_minor:08d}{self.mode}{middle}{self.currency}{self.private}"
        return frame(body.encode("ascii", "replace"))


def frame(body: bytes) -> bytes:
    """STX body ETX LRC; the LRC covers body and ETX."""
    covered = body + bytes([ETX])
    return bytes([STX]) + covered + bytes([lrc(covered)])


class _State(enum.Enum):
    IDLE = enum.auto()
    MESSAGE = enum.auto()  # ENQ acknowledged, the request may come
    CLOSING = enum.auto()  # request acknowledged, its EOT is awaited
    WORKING = enum.auto()  # the core is asked
    PAUSING = enum.auto()  # about to offer our answer
    OFFERING = enum.auto()  # our ENQ is out
    ANSWERING = enum.auto()  # our answer is out


class ConcertMachine:
    """A `Machine` (see machine.py)."""

    def __init__(self, till: Till, *, keep_unheard: bool = False, reserve_allowed: bool = False) -> None:
        self._till = till
        self._keep_unheard = keep_unheard
        self._reserve_allowed = reserve_allowed
        self._reader = FrameReader(seven_bits=True)
        self._state = _State.IDLE
        self._deadline_s: float | None = None
        self._tries = 0
        self._request: Request | None = None
        self._number = 0
        self._working: int | None = None
        self._unheard_by_design: set[int] = set()
        self._answer = b""
        self._confirm: int | None = None

    @property
    def next_deadline_s(self) -> float | None:
        """When `ticked` is due."""
        return self._deadline_s

    @property
    def settings(self) -> dict[str, str]:
        """Concert keeps nothing over restarts."""
        return {}

    def received(self, data: bytes, now_s: float) -> list[Action]:
        """Bytes from the register."""
        actions: list[Action] = []
        for event in self._reader.feed(data, now_s):
            if isinstance(event, Control):
                actions += self._control(event.code, now_s)
            elif isinstance(event, Block):
                actions += self._block(event, now_s)
            elif isinstance(event, Dropped):
                actions.append(Remark(f"{event.count} bytes dropped: {event.why}"))
        return actions

    def answered(self, answer: Answer, now_s: float) -> list[Action]:
        """The core's answer: offered to the register, or already told."""
        if answer.number in self._unheard_by_design:
            self._unheard_by_design.discard(answer.number)
            if answer.number == self._working:
                self._working = None
            return [Delivered(answer.number)] if answer.needs_confirmation else []
        if self._working != answer.number or self._request is None:
            return [Undelivered(answer.number, "the request is no longer open")] if answer.needs_confirmation else []
        self._working = None
        self._confirm = answer.number if answer.needs_confirmation else None
        approved = answer.outcome is Outcome.APPROVED
        code = answer.receipt.authorisation if answer.receipt else ""
        text = f"PALM {code}".rstrip() if approved else answer.text
        self._answer = self._request.answer(STATUS_DONE if approved else STATUS_NOT_DONE, text)
        return self._offer(now_s)

    def abort_answered(self, number: int, accepted: bool, now_s: float) -> list[Action]:
        """Concert registers can't abort."""
        return []

    def noted(self, number: int, note: Note, now_s: float) -> list[Action]:
        """Concert shows no progress."""
        return []

    def line_opened(self, now_s: float) -> list[Action]:
        """Registers close and re-open their port between commands: nothing to do."""
        return []

    def line_lost(self, now_s: float) -> list[Action]:
        """A half request is forgotten; work that is under way goes on and is offered for as long as its tries last."""
        self._reader.reset()
        if self._state in (_State.MESSAGE, _State.CLOSING):
            self._rest()
        return []

    def ticked(self, now_s: float) -> list[Action]:
        """A timer ran out."""
        if self._deadline_s is None or now_s < self._deadline_s:
            return []
        if self._state in (_State.MESSAGE, _State.CLOSING):
            self._rest()
            return [Remark("the register offered a message and did not finish it")]
        if self._state is _State.PAUSING:
            self._state, self._tries = _State.OFFERING, 0
            return self._again(now_s)
        if self._state in (_State.OFFERING, _State.ANSWERING):
            return self._again(now_s)
        self._deadline_s = None
        return []

    def _control(self, code: int, now_s: float) -> list[Action]:
        if code == ENQ:
            return self._offered(now_s)
        if code == EOT:
            if self._state is _State.CLOSING:
                return self._begin(now_s)
            if self._state is _State.MESSAGE:  # ENQ and EOT alone: a presence test
                self._rest()
            return []
        if self._state is _State.OFFERING and code == ACK:
            self._state, self._tries = _State.ANSWERING, 0
            return self._again(now_s)
        if self._state is _State.ANSWERING:
            return self._heard() if code == ACK else self._again(now_s)
        return []

    def _offered(self, now_s: float) -> list[Action]:
        if self._state in (_State.IDLE, _State.MESSAGE):
            self._state, self._deadline_s = _State.MESSAGE, now_s + MESSAGE_WAIT_S
            return [Send(bytes([ACK]))]
        if self._state is _State.OFFERING:
            return []  # an echo of our own ENQ, or both offered at once: our repeat settles it
        return [Send(bytes([NAK])), Remark("busy: a request is open")]

    def _block(self, block: Block, now_s: float) -> list[Action]:
        if self._state is not _State.MESSAGE:
            return [Remark("a message that was not offered is ignored")]
        if lrc(block.body, ETX) != block.check:
            return [Send(bytes([NAK])), Remark("wrong LRC")]
        request = Request.parse(block.body)
        if request is None:
            return [Send(bytes([NAK])), Remark(f"{len(block.body)} bytes are no E or E+ request")]
        self._request = request
        self._state, self._deadline_s = _State.CLOSING, now_s + EOT_WAIT_S
        return [Send(bytes([ACK]))]

    def _begin(self, now_s: float) -> list[Action]:
        request = self._request
        if request is None:
            raise AssertionError("CLOSING is entered with a request only")
        kind = KIND_OF_TYPE.get(request.type)
        letters = currency.letters(request.currency)
        if kind is None or letters is None or (kind is Kind.RESERVE and not self._reserve_allowed):
            self._answer, self._confirm = request.answer(STATUS_NOT_DONE), None
            return [Remark(f"type {request.type!r} in currency {request.currency!r} is refused"), *self._offer(now_s)]
        self._number += 1
        self._working = self._number
        ask = Ask(self._number, kind, amount_minor=request.amount_minor, currency=letters, note=request.private.strip())
        if request.at_once:
            self._unheard_by_design.add(self._number)
            self._answer, self._confirm = request.answer(STATUS_TAKEN), None
            return [ask, *self._offer(now_s)]
        self._state, self._deadline_s = _State.WORKING, None
        return [ask]

    def _offer(self, now_s: float) -> list[Action]:
        self._state, self._deadline_s = _State.PAUSING, now_s + GAP_BEFORE_OFFER_S
        return []

    def _again(self, now_s: float) -> list[Action]:
        """Send ENQ or the answer, once more, or give up."""
        offering = self._state is _State.OFFERING
        if self._tries >= (OFFERS_MAX if offering else ANSWERS_MAX):
            return self._unheard()
        self._tries += 1
        self._deadline_s = now_s + (OFFER_WAIT_S if offering else ANSWER_WAIT_S)
        return [Send(bytes([ENQ]) if offering else self._answer)]

    def _heard(self) -> list[Action]:
        confirm = self._confirm
        self._rest()
        return [Send(bytes([EOT])), *([Delivered(confirm)] if confirm is not None else [])]

    def _unheard(self) -> list[Action]:
        confirm = self._confirm
        self._rest()
        said: list[Action] = [Send(bytes([EOT])), Remark("the register did not take the answer")]
        if confirm is None:
            return said
        if self._keep_unheard:
            return [*said, Delivered(confirm)]
        return [*said, Undelivered(confirm, "the register did not acknowledge the answer (Concert A010)")]

    def _rest(self) -> None:
        self._state, self._deadline_s, self._tries, self._confirm = _State.IDLE, None, 0, None
