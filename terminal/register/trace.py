"""Captured lines in words: reading a capture, and the transcript of a running line."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, Protocol

Who = Literal["ECR", "PT", "?"]  # the register, the terminal, not known

CAPTURE_BYTES_MAX = 64 * 1024 * 1024
_HEX_LINE = re.compile(r"^(?:[0-9A-Fa-f]{2}[\s:,]*)+$")
_DIRECTIONS: tuple[tuple[re.Pattern[str], Who], ...] = (
    (re.compile(r"^\s*(?:(?:ECR|REG|in|rx)\b|->|=>|>)\s*[:>]*\s*", re.IGNORECASE), "ECR"),
    (re.compile(r"^\s*(?:(?:PT|TPE|POS|out|tx)\b|<-|<=|<)\s*[:<]*\s*", re.IGNORECASE), "PT"),
)
_STAMP = re.compile(r"^\s*(?:\d{4}-\d\d-\d\d[T ])?\d\d:\d\d:\d\d(?:[.,]\d+)?\s+")
_OFFSET = re.compile(r"^\s*[0-9A-Fa-f]{4,8}[:\s]\s+")  # as hexdump and xxd write it
_COMMENT = re.compile(r"\s*(?:[|#;].*)$")


@dataclass(frozen=True, slots=True)
class Spoken:
    """One message or control byte: who said it, its bytes (unwrapped), and what it means."""

    who: Who
    raw: bytes
    words: str


class Describer(Protocol):
    """Turns the bytes of one line into words."""

    def feed(self, who: Who, data: bytes) -> list[Spoken]:
        """Bytes that `who` sent; what they complete. Never raises for bad bytes."""


def _zvt() -> Describer:
    from terminal.register.zvt.words import ZvtDescriber

    return ZvtDescriber()


def _concert() -> Describer:
    from terminal.register.stx_words import ConcertDescriber

    return ConcertDescriber()


def _concert_v3() -> Describer:
    from terminal.register.stx_words import ConcertV3Describer

    return ConcertV3Describer()


def _ecr17() -> Describer:
    from terminal.register.stx_words import Ecr17Describer

    return Ecr17Describer()


def _transbank() -> Describer:
    from terminal.register.stx_words import TransbankDescriber

    return TransbankDescriber()


# A protocol's words are one line here and a file of its own.
DESCRIBERS: dict[str, Callable[[], Describer]] = {
    "zvt": _zvt,
    "concert": _concert,
    "concert-v3": _concert_v3,
    "ecr17": _ecr17,
    "transbank": _transbank,
}


def read_capture(data: bytes) -> Iterator[tuple[Who, bytes]]:
    """A capture, binary or as a hex dump with or without directions, piece by piece."""
    text = data.decode("ascii", "replace") if _is_text(data) else None
    if text is None:
        yield "?", data
        return
    for line in text.splitlines():
        who, said = _directed(line)
        if said:
            yield who, said


def _is_text(data: bytes) -> bool:
    return all(byte in (9, 10, 13) or 32 <= byte < 127 for byte in data)


def _directed(line: str) -> tuple[Who, bytes]:
    line = _STAMP.sub("", line)
    who: Who = "?"
    for pattern, side in _DIRECTIONS:
        if found := pattern.match(line):
            who, line = side, line[found.end() :]
            break
    line = _COMMENT.sub("", line)
    if found := _OFFSET.match(line):
        line = re.split(r"\s{2,}\S*$", line[found.end() :])[0]
    line = line.strip()
    if not _HEX_LINE.match(line + " "):
        return who, b""
    digits = re.sub(r"[^0-9A-Fa-f]", "", line)
    return who, bytes.fromhex(digits) if len(digits) % 2 == 0 else b""


class Transcript:
    """A tap for a line: each message in hex and words, as one line of text. `here` is who writes ("out")."""

    def __init__(self, protocol: str, here: Who, write: Callable[[str], None]) -> None:
        make = DESCRIBERS.get(protocol)
        self._describer = make() if make is not None else None
        self._here: Who = here
        self._there: Who = "PT" if here == "ECR" else "ECR"
        self._write = write

    def __call__(self, direction: Literal["in", "out", "note"], what: bytes | str) -> None:
        """One event of the line."""
        now = f"{datetime.now():%H:%M:%S.%f}"[:-3]
        if isinstance(what, str):
            self._write(f"{now} --  {what}")
            return
        who = self._here if direction == "out" else self._there
        spoken = self._describer.feed(who, what) if self._describer is not None else [Spoken(who, what, "")]
        for said in spoken:
            self._write(f"{now} {said.who:3} {said.raw.hex(' ').upper()}  | {said.words}")
