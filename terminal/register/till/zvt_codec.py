"""ZVT as a register sees it: written from the wire facts, without the terminal's codec.

Works on whole byte strings with searches and slices where the terminal's works byte by byte with tables.
"""

from __future__ import annotations

from dataclasses import dataclass

START, END = b"\x10\x02", b"\x10\x03"
ACK, NAK = 0x06, 0x15


def checksum(body: bytes) -> bytes:
    """The two bytes behind a frame, from the bits (reflected 0x8408, start 0), low byte first."""
    value = 0
    for byte in body + b"\x03":
        value ^= byte
        for _ in range(8):
            odd = value & 1
            value >>= 1
            if odd:
                value ^= 0x8408
    return bytes((value & 0xFF, value >> 8))


def frame(message: bytes) -> bytes:
    """A message as it goes over a serial line."""
    return START + message.replace(b"\x10", b"\x10\x10") + END + checksum(message)


def command(code: int, data: bytes = b"") -> bytes:
    """Class, instruction, length, data."""
    size = bytes((len(data),)) if len(data) < 255 else b"\xff" + len(data).to_bytes(2, "little")
    return code.to_bytes(2, "big") + size + data


def code_of(message: bytes) -> int:
    """Class and instruction as one number."""
    return int.from_bytes(message[:2], "big")


def data_of(message: bytes) -> bytes:
    """What follows the length."""
    return message[5:] if message[2] == 0xFF else message[3:]


def cut_frame(buffer: bytes) -> tuple[str, bytes, int]:
    """The first thing in the buffer: ("ack"|"nak"|"message"|"broken"|"noise"|"", message, bytes used). "" means: not whole yet."""
    if not buffer:
        return "", b"", 0
    if buffer[0] in (ACK, NAK):
        return ("ack" if buffer[0] == ACK else "nak"), b"", 1
    if not buffer.startswith(START):
        if buffer == b"\x10":
            return "", b"", 0
        return "noise", b"", 1
    at = 2
    body = bytearray()
    while True:
        dle = buffer.find(b"\x10", at)
        if dle < 0 or dle + 1 >= len(buffer):
            return "", b"", 0
        body += buffer[at:dle]
        kind = buffer[dle + 1]
        if kind == 0x10:
            body.append(0x10)
            at = dle + 2
        elif kind == 0x03:
            if len(buffer) < dle + 4:
                return "", b"", 0
            good = checksum(bytes(body)) == buffer[dle + 2 : dle + 4] and whole(bytes(body)) == len(body)
            return ("message" if good else "broken"), bytes(body), dle + 4
        elif kind == 0x02:
            return "broken", b"", dle  # a new frame begins here
        else:
            return "broken", b"", dle + 2


def whole(buffer: bytes) -> int:
    """How many bytes the message at the beginning has; 0 while its length can't be told."""
    if len(buffer) < 3:
        return 0
    if buffer[2] < 0xFF:
        return 3 + buffer[2]
    return 5 + buffer[3] + 256 * buffer[4] if len(buffer) >= 5 else 0


def digits(number: int, size: int) -> bytes:
    """Decimal digits, two in a byte."""
    return bytes.fromhex(str(number).zfill(2 * size))


def number(value: bytes) -> int | None:
    """The decimal number in these bytes; None where they are not decimal."""
    shown = value.hex()
    return int(shown) if shown.isdigit() else None


# Sizes of the bitmaps that a terminal may send: a number, or how many digits the length has ("2", "3"), or "t" for TLV's length.
_SIZE: dict[int, int | str] = {
    0x01: 1, 0x02: 1, 0x03: 1, 0x04: 6, 0x05: 1, 0x06: "t", 0x0B: 3, 0x0C: 3, 0x0D: 2, 0x0E: 2, 0x17: 2, 0x19: 1, 0x22: "2",
    0x27: 1, 0x29: 4, 0x2A: 15, 0x37: 3, 0x3B: 8, 0x3C: "3", 0x49: 2, 0x4C: "2", 0x60: "3", 0x87: 2, 0x88: 3, 0x8A: 1, 0x8B: "2",
    0x8C: 1, 0x92: "3", 0x9A: "3", 0xA0: 1, 0xA7: "2", 0xAA: 3, 0xAF: "3", 0xBA: 5,
}  # fmt: skip


def fields(data: bytes) -> dict[int, bytes]:
    """The bitmaps of a message. Raises ValueError where they can't be read."""
    found: dict[int, bytes] = {}
    rest = data
    while rest:
        tag, rest = rest[0], rest[1:]
        size = _SIZE.get(tag)
        if size is None:
            raise ValueError(f"bitmap {tag:02X} is not known")
        if size == "t":
            length, rest = ber_length(rest)
        elif isinstance(size, str):
            count = int(size)
            length = int("".join(f"{b & 0x0F:d}" for b in rest[:count]) or "0")
            rest = rest[count:]
        else:
            length = size
        if len(rest) < length:
            raise ValueError(f"bitmap {tag:02X} is cut off")
        found[tag], rest = rest[:length], rest[length:]
    return found


def ber_length(data: bytes) -> tuple[int, bytes]:
    """A TLV length and what follows it."""
    if not data:
        raise ValueError("a length is missing")
    if data[0] < 0x80:
        return data[0], data[1:]
    more = data[0] & 0x7F
    return int.from_bytes(data[1 : 1 + more], "big"), data[1 + more :]


def elements(data: bytes) -> list[tuple[bytes, bytes]]:
    """The elements of a TLV container, one level: (tag, value)."""
    out = []
    while data:
        size = 1
        if data[0] & 0x1F == 0x1F:
            size = 2
            while size < len(data) and data[size - 1] & 0x80:
                size += 1
        tag, rest = data[:size], data[size:]
        length, rest = ber_length(rest)
        out.append((tag, rest[:length]))
        data = rest[length:]
    return out


@dataclass(frozen=True, slots=True)
class Status:
    """What a status information (04 0F) says."""

    code: int
    amount_minor: int | None
    receipt: int | None
    trace: int | None
    authorisation: str
    text: str
    card: str

    @classmethod
    def read(cls, data: bytes) -> Status:
        """Raises ValueError where it can't be read."""
        said = fields(data)
        if 0x27 not in said:
            raise ValueError("a status without a result code")
        return cls(
            code=said[0x27][0],
            amount_minor=number(said[0x04]) if 0x04 in said else None,
            receipt=number(said[0x87]) if 0x87 in said else None,
            trace=number(said[0x0B]) if 0x0B in said else None,
            authorisation=said.get(0x3B, b"").rstrip(b"\x00").decode("ascii", "replace"),
            text=said.get(0x3C, b"").decode("cp437"),
            card=said.get(0x8B, b"").rstrip(b"\x00").decode("cp437"),
        )
