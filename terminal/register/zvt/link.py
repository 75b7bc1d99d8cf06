"""ZVT's two transports, sans-I/O: messages in order, acknowledged and repeated (serial), or raw (TCP)."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Protocol

from terminal.register.echo import EchoFilter
from terminal.register.machine import Hangup, Remark, Send
from terminal.register.zvt.apdu import APDU_BYTES_MAX, Apdu, MalformedError, announced_bytes, parse
from terminal.register.zvt.frame import ACK, NAK, Acknowledged, Broken, Framed, Refused, Unwrapper, wrap

T1_S = 0.2  # longest gap between two bytes of a message
T2_S = 5.0  # until ACK or NAK has to come
SENDINGS_MAX = 3  # the first and two repeats
# Class 04, and 06 0F, 06 1E, 06 D1, 06 D3.
TERMINAL_ONLY = tuple(
    b"\x10\x02" + p for p in (b"\x04\x0f", b"\x04\xff", b"\x04\x01", b"\x06\x0f", b"\x06\x1e", b"\x06\xd1", b"\x06\xd3")
)
OUTBOX_MAX = 16  # messages waiting for the one before to be acknowledged; a dialogue has two at most
PARTIAL_S = 5.0  # TCP: a message that has begun has to be whole after this, else the stream is out of step


@dataclass(frozen=True, slots=True)
class Incoming:
    """A whole message of the register; None where its CRC is right but its length field is not."""

    apdu: Apdu | None


@dataclass(frozen=True, slots=True)
class Sent:
    """The register's transport has taken this message of ours."""

    apdu: Apdu


@dataclass(frozen=True, slots=True)
class Failed:
    """The register's transport has not taken this message after all repeats; what waited behind it is dropped too."""

    apdu: Apdu


LinkEvent = Send | Remark | Hangup | Incoming | Sent | Failed


class Link(Protocol):
    """What the machine needs of a transport."""

    def received(self, data: bytes, now_s: float) -> list[LinkEvent]:
        """Bytes from the line."""

    def send(self, apdu: Apdu, now_s: float, *, first: bool = False) -> list[LinkEvent]:
        """Send, or queue behind what waits for its ACK (`first`: before everything else that waits)."""

    def forget(self) -> None:
        """The register has gone on: what of ours it has not taken does not matter any more."""

    def ticked(self, now_s: float) -> list[LinkEvent]:
        """The deadline has passed."""

    def reset(self) -> None:
        """The line was lost or opened: forget everything that is under way."""

    @property
    def next_deadline_s(self) -> float | None:
        """When `ticked` has to be called."""

    @property
    def idle(self) -> bool:
        """True while nothing of ours is under way."""


class SerialLink:
    """DLE framing, ACK and NAK, T1 and T2, two repeats, echoing adapters."""

    def __init__(self) -> None:
        self._unwrapper = Unwrapper()
        self._echo = EchoFilter(TERMINAL_ONLY, 6)
        self._outbox: deque[Apdu] = deque(maxlen=OUTBOX_MAX)
        self._waiting: Apdu | None = None  # sent, not acknowledged
        self._sendings = 0
        self._t1_s: float | None = None
        self._t2_s: float | None = None
        self._last_in = b""  # the message that `_waiting` answers, to know its repetition

    @property
    def next_deadline_s(self) -> float | None:
        """See Link."""
        return min((t for t in (self._t1_s, self._t2_s) if t is not None), default=None)

    @property
    def idle(self) -> bool:
        """See Link."""
        return self._waiting is None and not self._outbox

    def reset(self) -> None:
        """See Link."""
        self._unwrapper.reset()
        self._echo.reset()
        self.forget()
        self._t1_s = None
        self._last_in = b""

    def forget(self) -> None:
        """See Link."""
        self._outbox.clear()
        self._waiting = None
        self._t2_s = None

    def send(self, apdu: Apdu, now_s: float, *, first: bool = False) -> list[LinkEvent]:
        """See Link."""
        if len(self._outbox) == OUTBOX_MAX:
            return [Failed(apdu)]
        if first:
            self._outbox.appendleft(apdu)
        else:
            self._outbox.append(apdu)
        return self._next(now_s)

    def received(self, data: bytes, now_s: float) -> list[LinkEvent]:
        """See Link."""
        events: list[LinkEvent] = []
        before = self._echo.found
        data = self._echo.strip(data, now_s)
        if self._echo.found and not before:
            events.append(Remark("the adapter echoes what we send; the echo is ignored from now on"))
            # What the echo made us believe is taken back: our message has not been acknowledged by anybody.
            self._unwrapper.reset()
        for piece in self._unwrapper.feed(data):
            events += self._piece(piece, now_s)
        self._t1_s = now_s + T1_S if self._unwrapper.inside else None
        return events

    def ticked(self, now_s: float) -> list[LinkEvent]:
        """See Link."""
        events: list[LinkEvent] = []
        if self._t1_s is not None and now_s >= self._t1_s:
            self._t1_s = None
            self._unwrapper.reset()
            events += [Remark("half a message, then silence (T1): NAK"), self._raw(bytes((NAK,)), now_s)]
        if self._t2_s is not None and now_s >= self._t2_s:
            self._t2_s = None
            events += self._again("no ACK (T2)", now_s)
        return events

    def _piece(self, piece: Framed | Broken | Acknowledged | Refused, now_s: float) -> list[LinkEvent]:
        match piece:
            case Framed(raw):
                return self._framed(raw, now_s)
            case Broken(why):
                return [Remark(f"a message can't be read ({why}): NAK"), self._raw(bytes((NAK,)), now_s)]
            case Acknowledged():
                return self._taken(now_s)
            case Refused():
                return self._again("NAK", now_s) if self._waiting is not None else []

    def _framed(self, raw: bytes, now_s: float) -> list[LinkEvent]:
        events: list[LinkEvent] = [self._raw(bytes((ACK,)), now_s)]
        try:
            apdu = parse(raw)
        except MalformedError:
            return [*events, Incoming(None)]
        if self._waiting is not None:
            if self._waiting.is_reply and raw == self._last_in:
                # Our ACK got lost: the register says the same again, so it gets the same answer again.
                return [*events, *self._again("the register repeats itself", now_s)]
            if apdu.is_reply != self._waiting.is_reply:
                # It answers what it has not acknowledged, or goes on after our answer: then it has it.
                events += self._taken(now_s)
        if not apdu.is_reply:
            self._last_in = raw
        return [*events, Incoming(apdu)]

    def _taken(self, now_s: float) -> list[LinkEvent]:
        if self._waiting is None:
            return []
        taken, self._waiting, self._t2_s = self._waiting, None, None
        return [Sent(taken), *self._next(now_s)]

    def _again(self, why: str, now_s: float) -> list[LinkEvent]:
        assert self._waiting is not None
        if self._sendings < SENDINGS_MAX:
            self._sendings += 1
            self._t2_s = now_s + T2_S
            return [Remark(f"{why}: sending {self._waiting.control:04X} again"), self._raw(wrap(bytes(self._waiting)), now_s)]
        lost = self._waiting
        self.forget()
        return [Remark(f"{why}: {lost.control:04X} was not taken after {SENDINGS_MAX} sendings"), Failed(lost)]

    def _next(self, now_s: float) -> list[LinkEvent]:
        if self._waiting is not None or not self._outbox:
            return []
        self._waiting = self._outbox.popleft()
        self._sendings = 1
        self._t2_s = now_s + T2_S
        return [self._raw(wrap(bytes(self._waiting)), now_s)]

    def _raw(self, data: bytes, now_s: float) -> Send:
        self._echo.sent(data, now_s)
        return Send(data)


class TcpLink:
    """Messages one after the other, nothing around them; TCP itself acknowledges and repeats."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._partial_s: float | None = None

    @property
    def next_deadline_s(self) -> float | None:
        """See Link."""
        return self._partial_s

    @property
    def idle(self) -> bool:
        """See Link."""
        return True

    def reset(self) -> None:
        """See Link."""
        self._buffer.clear()
        self._partial_s = None

    def forget(self) -> None:
        """See Link."""

    def send(self, apdu: Apdu, now_s: float, *, first: bool = False) -> list[LinkEvent]:
        """See Link."""
        return [Send(bytes(apdu)), Sent(apdu)]

    def received(self, data: bytes, now_s: float) -> list[LinkEvent]:
        """See Link."""
        self._buffer += data
        events: list[LinkEvent] = []
        while (size := announced_bytes(self._buffer)) is not None and size <= len(self._buffer):
            events.append(Incoming(parse(self._buffer[:size])))
            del self._buffer[:size]
        assert len(self._buffer) <= APDU_BYTES_MAX
        self._partial_s = now_s + PARTIAL_S if self._buffer else None
        return events

    def ticked(self, now_s: float) -> list[LinkEvent]:
        """See Link."""
        if self._partial_s is None or now_s < self._partial_s:
            return []
        self.reset()
        return [Remark("half a message, then silence: the connection is closed"), Hangup()]
