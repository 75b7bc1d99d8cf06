"""ZVT's bitmaps: one tag byte, then a value whose size the tag knows."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from terminal.register.zvt import tlv
from terminal.register.zvt.apdu import MalformedError

LL, LLL, TLV = -2, -3, -1  # sizes that stand in front of the value: two digits, three digits, BER


@dataclass(frozen=True, slots=True)
class Field:
    """A bitmap and its value, without the length digits."""

    tag: int
    value: bytes


class UnknownBitmapError(ValueError):
    """A tag of which the size isn't known, so that what follows can't be read either; answered with 84 83 00."""


_NAMED: dict[int, tuple[int, str]] = {
    0x01: (1, "timeout"), 0x02: (1, "max. status infos"), 0x03: (1, "service byte"), 0x04: (6, "amount"), 0x05: (1, "pump"),
    0x06: (TLV, "TLV container"), 0x0B: (3, "trace"), 0x0C: (3, "time"), 0x0D: (2, "date"), 0x0E: (2, "expiry"),
    0x17: (2, "card sequence"), 0x19: (1, "status byte"), 0x22: (LL, "PAN"), 0x23: (LL, "track 2"), 0x24: (LLL, "track 3"),
    0x27: (1, "result"), 0x29: (4, "terminal id"), 0x2A: (15, "merchant contract"), 0x2D: (LL, "track 1"),
    0x2E: (LLL, "sync chip data"), 0x37: (3, "original trace"), 0x3A: (2, "CVV"), 0x3B: (8, "authorisation"),
    0x3C: (LLL, "additional text"), 0x3D: (3, "password"), 0x49: (2, "currency"), 0x4C: (LL, "blocked goods groups"),
    0x60: (LLL, "totals"), 0x87: (2, "receipt"), 0x88: (3, "turnover number"), 0x8A: (1, "card type"), 0x8B: (LL, "card name"),
    0x8C: (1, "card type of the network"), 0x92: (LLL, "offline chip"), 0x9A: (LLL, "Geldkarte"), 0xA0: (1, "host result"),
    0xA7: (LL, "chip data"), 0xAA: (3, "date YYMMDD"), 0xAF: (LLL, "EF_Info"), 0xBA: (5, "AID parameter"),
    0xD0: (1, "algorithm"), 0xD1: (LL, "offset"), 0xD2: (1, "card direction"), 0xD3: (1, "key"),
    0xE0: (1, "shortest input"), 0xE9: (1, "longest input"), 0xEA: (1, "echo"), 0xEB: (8, "input key"),
    0xF0: (1, "display seconds"), 0xF9: (1, "beeps"), 0xFA: (1, "card action"), 0xFB: (1, "key action"), 0xFC: (1, "display device"),
    0xFD: (1, "display flag"),
}  # fmt: skip
_NAMED |= {0xE0 + n: (LL, f"text {n}") for n in range(1, 9)}
_NAMED |= {0xF0 + n: (LL, f"line {n}") for n in range(1, 9)}

SIZES = {tag: size for tag, (size, _) in _NAMED.items()}
NAMES = {tag: name for tag, (_, name) in _NAMED.items()}

# Old registers rely on this order of the status information (04 0F).
STATUS_ORDER: Sequence[int] = (
    0x27, 0x04, 0x0B, 0x37, 0x0C, 0x0D, 0x0E, 0x17, 0x19, 0x22, 0x29, 0x3B, 0x49, 0x4C, 0x87, 0x8A, 0x8C, 0x9A, 0xBA, 0x2A, 0x3C,
    0xA0, 0x60, 0x88, 0x8B, 0x06,
)  # fmt: skip


def bcd(number: int, size: int) -> bytes:
    """`number` as `size` bytes of two decimal digits each. Raises ValueError where it does not fit."""
    digits = f"{number:0{2 * size}d}"
    if number < 0 or len(digits) > 2 * size:
        raise ValueError(f"{number} does not fit into {2 * size} digits")
    return bytes.fromhex(digits)


def from_bcd(value: bytes) -> int:
    """The number that these digits say. Raises MalformedError where a half byte is no digit."""
    digits = value.hex()
    if not digits.isdecimal():
        raise MalformedError(f"{digits.upper()} is not decimal")
    return int(digits)


def encode_field(tag: int, value: bytes) -> bytes:
    """One bitmap. Raises ValueError where the value's size is not what the tag wants."""
    size = SIZES[tag]
    if size == TLV:
        return bytes((tag,)) + tlv.encode_length(len(value)) + value
    if size in (LL, LLL):
        digits = f"{len(value):0{-size}d}"
        if len(digits) > -size:
            raise ValueError(f"bitmap {tag:02X} holds at most {10**-size - 1} bytes, not {len(value)}")
        return bytes((tag, *(0xF0 | int(d) for d in digits))) + value
    if len(value) != size:
        raise ValueError(f"bitmap {tag:02X} has {size} bytes, not {len(value)}")
    return bytes((tag,)) + value


def encode(fields: Iterable[Field]) -> bytes:
    """The bitmaps one after the other, in the order given."""
    return b"".join(encode_field(f.tag, f.value) for f in fields)


def var_length(data: bytes, at: int, digits: int) -> tuple[int, int]:
    """An LL or LLL length at `at` and where its value begins. Raises MalformedError."""
    said = data[at : at + digits]
    if len(said) < digits or any(byte >> 4 != 0xF or byte & 0xF > 9 for byte in said):
        raise MalformedError(f"length digits {said.hex().upper()}")
    return int("".join(str(byte & 0xF) for byte in said)), at + digits


def decode(data: bytes) -> list[Field]:
    """All bitmaps, in order. Raises MalformedError, and UnknownBitmapError where a tag's size isn't known."""
    fields = []
    at = 0
    while at < len(data):
        tag = data[at]
        size = SIZES.get(tag)
        at += 1
        if size is None:
            raise UnknownBitmapError(f"bitmap {tag:02X}")
        if size == TLV:
            size, at = tlv.decode_length(data, at)
        elif size < 0:
            size, at = var_length(data, at, -size)
        if at + size > len(data):
            raise MalformedError(f"bitmap {tag:02X} wants {size} bytes, {len(data) - at} are left")
        fields.append(Field(tag, data[at : at + size]))
        at += size
    return fields
