"""ZVT's payment terminal: which command begins which dialogue, and the driver that runs one dialogue at a time."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from terminal.config import RegisterOptions
from terminal.register.machine import Abort, Action, Answer, Hangup, Note, Remark, Send, Till, Undelivered
from terminal.register.zvt import admin, bmp, codes, messages, money
from terminal.register.zvt.apdu import Apdu, MalformedError
from terminal.register.zvt.link import Failed, Incoming, Link, LinkEvent, Sent, SerialLink, TcpLink
from terminal.register.zvt.registration import Registration
from terminal.register.zvt.steps import (
    POSITIVE,
    T3_S,
    Call,
    Context,
    Dialogue,
    Do,
    GoneError,
    Pause,
    RefusedError,
    Reply,
    Settle,
    Step,
    Taken,
    Tell,
)

ABORT, STATUS_ENQUIRY, DISPLAY_TEXT = 0x06B0, 0x0501, 0x06E0
DEFER_S = 4.0  # a register that begins anew gets its answer when the old request has ended; T3 is 5 s
SETTLE_PATIENCE_S = 3.0  # for the core to write down what the register acknowledged, before 06 0F goes out all the same
INTERMEDIATE_EVERY_S = 15.0  # 04 FF is repeated; registers want one at least every 30 s
INTERMEDIATE_MINUTES = 3  # the new T4 that 04 FF carries

Handler = Callable[[Context, Apdu], Dialogue]

COMMANDS: dict[int, Handler] = {
    0x0501: admin.status_enquiry,
    0x0600: admin.register,
    0x0601: money.pay,
    0x0602: admin.log_off,
    0x0610: admin.turnover,
    0x0612: admin.reprint,
    0x0618: admin.reset,
    0x0620: money.repeat_receipt,
    0x0622: money.reserve,
    0x0623: money.release_part,
    0x0624: money.book,
    0x0625: money.release,
    0x0630: money.reverse,
    0x0631: money.refund,
    0x0650: admin.end_of_day,
    0x0670: admin.diagnosis,
    0x0691: admin.set_clock,
    0x0693: admin.initialise,
    0x06E0: admin.display_text,
    0x0840: admin.change_rate,
}
# A register that sends one of these while a request is open has started anew: it will not take that request's result.
BEGINS_ANEW = frozenset({0x0600, 0x0602, 0x0618, 0x0620})


class ZvtMachine:
    """See `terminal.register.machine.Machine`; with `settled` of `Settles`."""

    def __init__(self, till: Till, link: Link, wall: Callable[[], datetime] = datetime.now) -> None:
        self._link = link
        has_rate = isinstance(link, SerialLink)
        self._context = Context(till, Registration.from_settings(till.settings), has_rate, wall=wall)
        self._now_s = 0.0
        self._out: list[Action] = []
        self._dialogue: Dialogue | None = None
        self._step: Step | None = None
        self._step_s: float | None = None  # when the step's patience ends
        self._told = False  # the step's command has been sent, not only queued
        self._gone = ""  # why the register will not take the open request's result
        self._deferred: tuple[Apdu, float] | None = None
        self._note: Note | None = None  # what 04 FF says
        self._note_s: float | None = None  # when to say it (again)
        self._note_open_s: float | None = None  # until when its reply is waited for

    # Machine: events in, actions out.

    def received(self, data: bytes, now_s: float) -> list[Action]:
        """See Machine."""
        self._now_s = now_s
        self._absorb(self._link.received(data, now_s))
        return self._flush()

    def answered(self, answer: Answer, now_s: float) -> list[Action]:
        """See Machine."""
        self._now_s = now_s
        step = self._step
        if isinstance(step, Call) and step.ask.number == answer.number:
            self._note = self._note_s = None
            if self._gone:
                if answer.needs_confirmation:
                    self._out.append(Undelivered(answer.number, self._gone))
                self._end()
            else:
                self._resume(answer)
        elif answer.needs_confirmation:
            self._out.append(Undelivered(answer.number, "nobody waits for this answer"))
        return self._flush()

    def abort_answered(self, number: int, accepted: bool, now_s: float) -> list[Action]:
        """See Machine."""
        self._now_s = now_s
        if not self._gone:  # else the abort was our own idea and the register waits for no answer to it
            if accepted:
                self._note = self._note_s = self._note_open_s = None
            self._send(POSITIVE if accepted else messages.negative(codes.NOT_POSSIBLE), first=True)
        return self._flush()

    def noted(self, number: int, note: Note, now_s: float) -> list[Action]:
        """See Machine."""
        self._now_s = now_s
        step = self._step
        if isinstance(step, Call) and step.ask.number == number and self._context.registration.intermediate and not self._gone:
            self._note, self._note_s = note, now_s
            self._intermediate()
        return self._flush()

    def settled(self, number: int, kept: bool, now_s: float) -> list[Action]:
        """See Settles."""
        self._now_s = now_s
        step = self._step
        if isinstance(step, Settle) and step.delivered.number == number:
            self._resume(kept)
        return self._flush()

    def ticked(self, now_s: float) -> list[Action]:
        """See Machine."""
        self._now_s = now_s
        self._absorb(self._link.ticked(now_s))
        if self._step_s is not None and now_s >= self._step_s:
            self._step_s = None
            self._resume(True if isinstance(self._step, Settle) else None)
        if self._note_open_s is not None and now_s >= self._note_open_s:
            self._note_open_s = None
            self._tell_now()
        self._intermediate()
        if self._deferred is not None and now_s >= self._deferred[1]:
            self._deferred = None
            self._send(messages.negative(codes.PLEASE_WAIT))
        return self._flush()

    def line_lost(self, now_s: float) -> list[Action]:
        """See Machine."""
        self._now_s = now_s
        self._link.reset()
        self._deferred = None
        self._abandon("the line to the register was lost before it acknowledged")
        return self._flush()

    def line_opened(self, now_s: float) -> list[Action]:
        """See Machine."""
        return self.line_lost(now_s)  # whoever speaks now knows nothing of what was before

    @property
    def next_deadline_s(self) -> float | None:
        """See Machine."""
        own = (self._step_s, self._note_s if self._note_open_s is None else None, self._note_open_s)
        deferred = self._deferred[1] if self._deferred is not None else None
        return min((t for t in (*own, deferred, self._link.next_deadline_s) if t is not None), default=None)

    @property
    def settings(self) -> dict[str, str]:
        """See Machine."""
        return self._context.registration.settings()

    @property
    def idle(self) -> bool:
        """True while no request is open."""
        return self._dialogue is None and self._link.idle

    # From the link.

    def _absorb(self, events: list[LinkEvent]) -> None:
        for event in events:
            match event:
                case Send() | Remark() | Hangup():
                    self._out.append(event)
                case Incoming(None):
                    self._out.append(Remark("a message whose length field is wrong"))
                    if self._dialogue is None:
                        self._send(messages.negative(codes.MALFORMED))
                case Incoming(apdu):
                    assert apdu is not None
                    if apdu.is_reply:
                        self._replied(apdu)
                    else:
                        self._commanded(apdu)
                case Failed():
                    self._abandon("the register did not take a message of ours after all repeats")
                case Sent():
                    if isinstance(self._step, Taken) and self._link.idle:
                        self._resume(None)

    def _replied(self, apdu: Apdu) -> None:
        if self._note_open_s is not None:
            self._note_open_s = None
            self._tell_now()
            self._intermediate()
        elif isinstance(self._step, Tell) and self._told:
            self._resume(apdu)
        else:
            self._out.append(Remark(f"{apdu.control:04X} answers nothing of ours"))

    def _commanded(self, apdu: Apdu) -> None:
        control = apdu.control
        if control == ABORT:
            self._abort()
        elif self._dialogue is not None and isinstance(self._step, Tell) and self._step.last:
            # It goes on without a reply to our last word.
            self._end()
            self._begin(apdu)
        elif self._dialogue is None and self._deferred is None:
            self._begin(apdu)
        elif control == DISPLAY_TEXT:
            self._send(POSITIVE)
        elif control == STATUS_ENQUIRY and not self._gone:
            self._enquired()
        elif control in BEGINS_ANEW or self._gone:
            self._deferred = (apdu, self._now_s + DEFER_S)
            self._abandon(f"the register began anew ({control:04X}) without acknowledging")
        elif control in COMMANDS:
            self._out.append(Remark(f"{control:04X} while a request is open: busy"))
            self._send(messages.negative(codes.PLEASE_WAIT))
        else:
            self._send(messages.negative(codes.NOT_POSSIBLE))

    def _enquired(self) -> None:
        """05 01 inside a request. A completion would be taken for that of the payment, so the answer is "still at it"."""
        self._send(POSITIVE)
        if isinstance(self._step, Call) and self._context.registration.intermediate and self._note_open_s is None:
            self._note = self._note or Note.LOOKING
            self._note_s = self._now_s
            self._intermediate()

    def _abort(self) -> None:
        if self._dialogue is None:
            self._send(POSITIVE)  # nothing is open: it is ended already
        elif isinstance(self._step, Call) and not self._gone:
            self._link.forget()  # a 04 FF that crossed the abort must not be repeated before its answer
            self._out.append(Abort(self._step.ask.number))
        else:
            self._send(messages.negative(codes.NOT_POSSIBLE))

    # The dialogue.

    def _begin(self, apdu: Apdu) -> None:
        self._link.forget()
        handler = COMMANDS.get(apdu.control)
        if handler is None:
            self._out.append(Remark(f"{apdu.control:04X} is not supported"))
            self._send(messages.negative(codes.NOT_POSSIBLE))
            return
        try:
            self._dialogue = handler(self._context, apdu)
        except MalformedError as error:
            self._out.append(Remark(f"{apdu.control:04X} is malformed: {error}"))
            self._send(messages.negative(codes.MALFORMED))
        except bmp.UnknownBitmapError as error:
            self._out.append(Remark(f"{apdu.control:04X} holds an unknown {error}"))
            self._send(messages.negative(codes.NOT_POSSIBLE))
        except RefusedError as refused:
            self._send(messages.negative(refused.code, refused.data))
        else:
            self._gone = ""
            self._resume(None)

    def _resume(self, value: object) -> None:
        """Give the dialogue what came of its step, and do the next ones until one has to be waited for."""
        self._step_s = None
        dialogue = self._dialogue
        assert dialogue is not None
        try:
            step = dialogue.send(value)
            while not self._waits_for(step):
                step = dialogue.send(None)
        except StopIteration:
            self._end()

    def _waits_for(self, step: Step) -> bool:
        self._step = step
        match step:
            case Reply(apdu):
                self._send(apdu)
                return False
            case Do(action):
                self._out.append(action)
                return False
            case Call(ask):
                self._out.append(ask)
            case Tell():
                self._told = False
                self._tell_now()
            case Pause(seconds):
                self._step_s = self._now_s + seconds
            case Taken(patience_s):
                self._step_s = self._now_s + patience_s
            case Settle(delivered):
                self._out.append(delivered)
                self._step_s = self._now_s + SETTLE_PATIENCE_S
        return True

    def _tell_now(self) -> None:
        """Send the step's command, unless the register still owes its reply to a 04 FF."""
        step = self._step
        if isinstance(step, Tell) and not self._told and self._note_open_s is None:
            self._told = True
            self._step_s = self._now_s + step.patience_s
            self._send(step.apdu)

    def _abandon(self, why: str) -> None:
        """The register will not take the open request's result."""
        self._note = self._note_s = self._note_open_s = None
        step, dialogue = self._step, self._dialogue
        if dialogue is None or self._gone:
            return
        self._gone = why
        if isinstance(step, Call):
            self._out.append(Abort(step.ask.number))  # its answer is still waited for, and undone if money hangs on it
            return
        try:
            rest = dialogue.throw(GoneError(why))
            while isinstance(rest, Reply | Do):
                self._waits_for(rest)
                rest = dialogue.send(None)
            dialogue.close()
        except (StopIteration, GoneError):
            pass
        self._end()

    def _end(self) -> None:
        self._dialogue = self._step = self._step_s = None
        self._gone = ""
        self._note = self._note_s = self._note_open_s = None
        if self._deferred is not None:
            (apdu, _), self._deferred = self._deferred, None
            self._begin(apdu)

    # To the link.

    def _send(self, apdu: Apdu, *, first: bool = False) -> None:
        self._absorb(self._link.send(apdu, self._now_s, first=first))

    def _intermediate(self) -> None:
        """04 FF, when it is due and none is under way."""
        if self._note is None or self._note_s is None or self._now_s < self._note_s or self._note_open_s is not None:
            return
        words = codes.INTERMEDIATE_TEXT[self._note]
        self._note_s = self._now_s + INTERMEDIATE_EVERY_S
        self._note_open_s = self._now_s + T3_S
        self._send(messages.intermediate(self._context, codes.INTERMEDIATE[self._note], words, INTERMEDIATE_MINUTES))

    def _flush(self) -> list[Action]:
        out, self._out = self._out, []
        return out


def open_machine(options: RegisterOptions, till: Till) -> ZvtMachine:
    """For the registry: serial framing on a serial line, raw messages over TCP."""
    return ZvtMachine(till, TcpLink() if options.line == "tcp" else SerialLink())
