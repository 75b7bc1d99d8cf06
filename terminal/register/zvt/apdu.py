"""One ZVT message: class, instruction, length, data; the same over serial and TCP."""

from __future__ import annotations

from dataclasses import dataclass

LONG = 0xFF  # in the length byte: two more bytes follow, little end first
SHORT_MAX = 0xFE
DATA_BYTES_MAX = 0xFFFF
HEADER_BYTES_MAX = 5
APDU_BYTES_MAX = HEADER_BYTES_MAX + DATA_BYTES_MAX


class MalformedError(ValueError):
    """The bytes are not what the format asks for; answered with 84 9A 00."""


@dataclass(frozen=True, slots=True)
class Apdu:
    """`control` is class and instruction as one number, 0x0601 for a payment; `data` is what follows the length."""

    control: int
    data: bytes = b""

    def __bytes__(self) -> bytes:
        head = self.control.to_bytes(2, "big")
        size = len(self.data)
        if size <= SHORT_MAX:
            return head + bytes((size,)) + self.data
        if size > DATA_BYTES_MAX:
            raise ValueError(f"a message has at most {DATA_BYTES_MAX} bytes of data, not {size}")
        return head + bytes((LONG,)) + size.to_bytes(2, "little") + self.data

    @property
    def is_reply(self) -> bool:
        """80 xx or 84 xx: the answer to a command of ours."""
        return self.control >> 8 in (0x80, 0x84)

    @property
    def is_positive(self) -> bool:
        """80 xx, or 84 00, which means the same."""
        return self.control >> 8 == 0x80 or self.control == 0x8400

    @property
    def error(self) -> int:
        """The error id of a negative reply; 0 where it is positive."""
        return 0 if self.is_positive else self.control & 0xFF


def announced_bytes(head: bytes | bytearray) -> int | None:
    """How many bytes the message has in all, by its length field; None while that is not there yet."""
    if len(head) < 3:
        return None
    if head[2] != LONG:
        return 3 + head[2]
    return 5 + int.from_bytes(head[3:5], "little") if len(head) >= 5 else None


def parse(raw: bytes | bytearray) -> Apdu:
    """One whole message. Raises MalformedError where its length field says otherwise."""
    size = announced_bytes(raw)
    if size is None or size != len(raw):
        raise MalformedError(f"{len(raw)} bytes, {size} announced")
    return Apdu(int.from_bytes(raw[:2], "big"), bytes(raw[5 if raw[2] == LONG else 3 :]))
