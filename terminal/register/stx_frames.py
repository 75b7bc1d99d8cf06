"""STX ... ETX LRC: the framing that Concert, ECR17 and Transbank share; sans-I/O.

Bytes go in as they come, split or glued in any way; control characters and whole frames come out. The byte after the first ETX is the
checksum whatever its value is: it may well be 02, 03 or 06. What the checksum covers and how it starts differs by protocol, so it is
handed up unjudged.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from functools import reduce
from operator import xor

SOH, STX, ETX, EOT, ENQ, ACK, NAK = 0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x15

BODY_BYTES_MAX = 4096
"""Longest body that is kept; the longest message of any of these protocols is below 1,100 bytes."""

PROGRESS_BYTES_MAX = 64
GAP_MAX_S = 1.0
"""A silence longer than this inside a frame ends it: the sender closed its port in the middle, or was switched off."""


def lrc(data: bytes, start: int = 0) -> int:
    """XOR of all bytes, from `start`."""
    return reduce(xor, data, start)


@dataclass(frozen=True, slots=True)
class Control:
    """A control character outside of a frame: ENQ, ACK, NAK, EOT."""

    code: int


@dataclass(frozen=True, slots=True)
class Block:
    """A whole frame: `body` between STX and ETX, and the checksum byte that followed."""

    body: bytes
    check: int


@dataclass(frozen=True, slots=True)
class Dropped:
    """Something that is no frame: how many bytes, and in words why. The bytes themselves may hold a PAN and are not kept."""

    count: int
    why: str


@dataclass(frozen=True, slots=True)
class Progress:
    """ECR17: SOH, 20 characters, EOT; the terminal says what it is at. Without a checksum."""

    text: bytes


Event = Control | Block | Dropped | Progress


class _Where(enum.Enum):
    OUTSIDE = enum.auto()
    BODY = enum.auto()
    CHECK = enum.auto()
    CONTROL_TAIL = enum.auto()
    PROGRESS = enum.auto()


class FrameReader:
    """Takes bytes, gives events. `control_bytes` is 1 where a control is one byte, 3 where it is framed as code, ETX, LRC (ECR17).

    `seven_bits` clears the top bit: a 7E1 line read as 8N1 shows the parity there. `progress` is for whoever reads a terminal's side.
    """

    def __init__(self, *, control_bytes: int = 1, seven_bits: bool = False, progress: bool = False) -> None:
        self._control_bytes = control_bytes
        self._progress = progress
        self._mask = 0x7F if seven_bits else 0xFF
        self._where = _Where.OUTSIDE
        self._body = bytearray()
        self._tail = 0
        self._last_s = 0.0

    def feed(self, data: bytes, now_s: float) -> list[Event]:
        """Events in the order of their last bytes. Never raises; memory is bounded by BODY_BYTES_MAX."""
        events: list[Event] = []
        if self._where is not _Where.OUTSIDE and now_s - self._last_s > GAP_MAX_S:
            events += self.reset("silence inside a frame")
        self._last_s = now_s
        junk = 0
        for raw in data:
            byte = raw & self._mask
            event = self._take(byte)
            if event is None and self._where is _Where.OUTSIDE:
                junk += 1
            elif event is not None:
                if junk:
                    events.append(Dropped(junk, "bytes outside of any frame"))
                    junk = 0
                events.append(event)
        if junk:
            events.append(Dropped(junk, "bytes outside of any frame"))
        return events

    def reset(self, why: str = "line lost") -> list[Event]:
        """Forget a half frame."""
        half = len(self._body) if self._where is not _Where.OUTSIDE else 0
        self._where = _Where.OUTSIDE
        self._body.clear()
        return [Dropped(half, why)] if half else []

    def _take(self, byte: int) -> Event | None:
        if self._where is _Where.BODY:
            return self._take_body(byte)
        if self._where is _Where.CHECK:
            self._where = _Where.OUTSIDE
            body = bytes(self._body)
            self._body.clear()
            return Block(body, byte)
        if self._where is _Where.CONTROL_TAIL:
            return self._take_tail(byte)
        if self._where is _Where.PROGRESS:
            return self._take_progress(byte)
        if byte == SOH and self._progress:
            self._where = _Where.PROGRESS
            self._body.clear()
            return None
        if byte == STX:
            self._where = _Where.BODY
            self._body.clear()
            return None
        if byte not in (ENQ, ACK, NAK, EOT):
            return None
        if self._control_bytes == 1 or byte not in (ACK, NAK):
            return Control(byte)
        self._where, self._tail = _Where.CONTROL_TAIL, 0
        self._body[:] = bytes([byte])
        return None

    def _take_body(self, byte: int) -> Event | None:
        if byte == ETX:
            self._where = _Where.CHECK
            return None
        if byte == STX:
            # A frame never holds an STX: the sender began again after dying in the middle of the last one.
            lost = len(self._body)
            self._body.clear()
            return Dropped(lost, "a frame began inside another") if lost else None
        self._body.append(byte)
        if len(self._body) > BODY_BYTES_MAX:
            return self.reset("frame longer than any message")[0]
        return None

    def _take_progress(self, byte: int) -> Event | None:
        if byte == EOT:
            text = bytes(self._body)
            self._where = _Where.OUTSIDE
            self._body.clear()
            return Progress(text)
        self._body.append(byte)
        return self.reset("a progress message without an end")[0] if len(self._body) > PROGRESS_BYTES_MAX else None

    def _take_tail(self, byte: int) -> Event | None:
        self._tail += 1
        code = self._body[0]
        if self._tail == 1 and byte != ETX:
            # A bare ACK or NAK, as some clients send: the control ends here and this byte is looked at afresh.
            self._where = _Where.OUTSIDE
            self._body.clear()
            if byte == STX:
                self._where = _Where.BODY
            return Control(code)
        if self._tail < self._control_bytes - 1:
            return None
        self._where = _Where.OUTSIDE
        self._body.clear()
        return Control(code)
