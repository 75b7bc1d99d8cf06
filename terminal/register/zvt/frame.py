"""ZVT's serial framing: DLE STX message DLE ETX CRC, with DLE doubled inside; and bare ACK and NAK."""

from __future__ import annotations

from dataclasses import dataclass

from terminal.register.zvt.apdu import APDU_BYTES_MAX

DLE, STX, ETX, ACK, NAK = 0x10, 0x02, 0x03, 0x06, 0x15


def _crc_table() -> tuple[int, ...]:
    table = []
    for value in range(256):
        crc = value
        for _ in range(8):
            crc = (crc >> 1) ^ 0x8408 if crc & 1 else crc >> 1
        table.append(crc)
    return tuple(table)


_CRC = _crc_table()


def crc(data: bytes | bytearray) -> int:
    """CRC-16/KERMIT (reflected, polynomial 0x8408, start 0); ZVT's specification calls it by another name."""
    value = 0
    for byte in data:
        value = (value >> 8) ^ _CRC[(value ^ byte) & 0xFF]
    return value


def wrap(apdu: bytes) -> bytes:
    """The message as it goes over the wire. The CRC covers the undoubled message and ETX, and is itself not doubled."""
    check = crc(apdu + bytes((ETX,)))
    return b"\x10\x02" + apdu.replace(b"\x10", b"\x10\x10") + b"\x10\x03" + check.to_bytes(2, "little")


@dataclass(frozen=True, slots=True)
class Framed:
    """A message whose CRC is right."""

    apdu: bytes


@dataclass(frozen=True, slots=True)
class Broken:
    """A message whose CRC is wrong, or that breaks the framing; `why` in words."""

    why: str


@dataclass(frozen=True, slots=True)
class Acknowledged:
    """A bare ACK."""


@dataclass(frozen=True, slots=True)
class Refused:
    """A bare NAK."""


Piece = Framed | Broken | Acknowledged | Refused


class Unwrapper:
    """Bytes in, pieces out. Never raises; holds at most one message."""

    def __init__(self) -> None:
        self.noise_bytes = 0  # seen between messages since the start
        self._body = bytearray()
        self._state = self._between

    @property
    def inside(self) -> bool:
        """True between DLE STX and the last CRC byte: here T1 runs."""
        return self._state not in (self._between, self._begun)

    def reset(self) -> None:
        """Forget a message that is half received."""
        self._body.clear()
        self._state = self._between

    def feed(self, data: bytes) -> list[Piece]:
        """All pieces that these bytes complete, in order."""
        pieces = []
        for byte in data:
            piece = self._state(byte)
            if piece is not None:
                pieces.append(piece)
        return pieces

    def _between(self, byte: int) -> Piece | None:
        if byte == DLE:
            self._state = self._begun
        elif byte == ACK:
            return Acknowledged()
        elif byte == NAK:
            return Refused()
        else:
            self.noise_bytes += 1
        return None

    def _begun(self, byte: int) -> Piece | None:
        if byte == STX:
            self._body.clear()
            self._state = self._inside
            return None
        self.noise_bytes += 1
        if byte == DLE:  # the first was noise, this one may begin a message
            return None
        self._state = self._between
        return self._between(byte) if byte in (ACK, NAK) else None

    def _inside(self, byte: int) -> Piece | None:
        if byte == DLE:
            self._state = self._inside_dle
        elif len(self._body) >= APDU_BYTES_MAX:
            self.reset()
            return Broken("longer than any message")
        else:
            self._body.append(byte)
        return None

    def _inside_dle(self, byte: int) -> Piece | None:
        if byte == DLE:
            self._state = self._inside
            self._body.append(DLE)
        elif byte == ETX:
            self._state = self._check_low
        elif byte == STX:  # a new message: the end of the one before got lost
            self._body.clear()
            self._state = self._inside
        else:
            self.reset()
            return Broken(f"DLE followed by {byte:02X}")
        return None

    def _check_low(self, byte: int) -> Piece | None:
        self._body.append(byte)
        self._state = self._check_high
        return None

    def _check_high(self, byte: int) -> Piece | None:
        said = self._body.pop() | byte << 8
        body = bytes(self._body)
        self.reset()
        if crc(body + bytes((ETX,))) != said:
            return Broken("wrong CRC")
        return Framed(body)
