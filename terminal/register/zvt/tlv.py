"""ZVT's TLV containers (inside BMP 06): BER-style tags and lengths."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from terminal.register.zvt.apdu import MalformedError

TAG_BYTES_MAX = 4
DEPTH_MAX = 8  # containers in containers; more is somebody playing with us
CONSTRUCTED = 0x20  # in the first byte of a tag: the value is itself a list
MORE_TAG = 0x1F  # all low bits of the first byte: the tag goes on


@dataclass(frozen=True, slots=True)
class Tlv:
    """One element; `value` is the raw bytes, `parts()` what is inside a container."""

    tag: int
    value: bytes = b""

    @property
    def is_container(self) -> bool:
        """True where the tag says that the value is a list of elements."""
        size = max(1, (self.tag.bit_length() + 7) // 8)
        return bool(self.tag >> 8 * (size - 1) & CONSTRUCTED)

    def parts(self) -> list[Tlv]:
        """What is inside. Raises MalformedError."""
        return decode(self.value)


def encode_length(size: int) -> bytes:
    """The length as BER writes it: one byte to 7F, else 81 nn or 82 hi lo."""
    if size <= 0x7F:
        return bytes((size,))
    if size <= 0xFF:
        return bytes((0x81, size))
    if size <= 0xFFFF:
        return b"\x82" + size.to_bytes(2, "big")
    raise ValueError(f"a container has at most 65535 bytes, not {size}")


def decode_length(data: bytes, at: int) -> tuple[int, int]:
    """The length that stands at `at`, and where its value begins. Raises MalformedError."""
    if at >= len(data):
        raise MalformedError("a length is missing")
    first = data[at]
    if first <= 0x7F:
        return first, at + 1
    more = first - 0x80
    if more not in (1, 2) or at + more >= len(data):
        raise MalformedError(f"length byte {first:02X}")
    return int.from_bytes(data[at + 1 : at + 1 + more], "big"), at + 1 + more


def encode(elements: Iterable[Tlv]) -> bytes:
    """The elements one after the other, without the container around them."""
    return b"".join(
        e.tag.to_bytes(max(1, (e.tag.bit_length() + 7) // 8), "big") + encode_length(len(e.value)) + e.value for e in elements
    )


def container(tag: int, *elements: Tlv) -> Tlv:
    """A container with these elements."""
    return Tlv(tag, encode(elements))


def decode(data: bytes) -> list[Tlv]:
    """The elements of a container's value, one level. Raises MalformedError."""
    elements = []
    at = 0
    while at < len(data):
        begin = at
        if data[at] & MORE_TAG == MORE_TAG:
            at += 1
            while at < len(data) and data[at] & 0x80:
                at += 1
        at += 1
        if at > len(data) or at - begin > TAG_BYTES_MAX:
            raise MalformedError("a tag has no end")
        tag = int.from_bytes(data[begin:at], "big")
        size, at = decode_length(data, at)
        if at + size > len(data):
            raise MalformedError(f"tag {tag:X} is longer than its container")
        elements.append(Tlv(tag, data[at : at + size]))
        at += size
    return elements


def walk(data: bytes, depth: int = 0) -> Iterator[tuple[int, Tlv]]:
    """Every element at every level with its depth, in order; a value that isn't what its tag says is taken as plain."""
    if depth > DEPTH_MAX:
        raise MalformedError("containers too deep")
    for element in decode(data):
        yield depth, element
        if element.is_container:
            yield from walk(element.value, depth + 1)


def find(data: bytes, tag: int) -> bytes | None:
    """The first element with this tag at any level; None where there is none. Raises MalformedError."""
    return next((element.value for _, element in walk(data) if element.tag == tag), None)
