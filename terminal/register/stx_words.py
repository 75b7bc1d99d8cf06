"""Captured bytes of Concert, ECR17 and Transbank in words, for `palm-terminal trace` and for transcripts.

Fields that could hold an account number are counted, never shown.
"""

from __future__ import annotations

from typing import ClassVar

from terminal.register import concert, concert_v3
from terminal.register.ecr17_messages import REQUEST_BYTES
from terminal.register.stx_frames import ACK, ENQ, EOT, NAK, Block, Control, Dropped, FrameReader, Progress, lrc
from terminal.register.trace import Spoken, Who

CONTROL_WORDS = {ENQ: "ENQ: may I speak", ACK: "ACK: taken", NAK: "NAK: not taken", EOT: "EOT: that was all"}


class _StxDescriber:
    """Frames of one protocol, from both sides."""

    CONTROL_BYTES = 1
    SEVEN_BITS = False
    PROGRESS = False

    def __init__(self) -> None:
        self._readers: dict[Who, FrameReader] = {}
        self._time_s = 0.0

    def feed(self, who: Who, data: bytes) -> list[Spoken]:
        """See Describer."""
        reader = self._readers.setdefault(
            who, FrameReader(control_bytes=self.CONTROL_BYTES, seven_bits=self.SEVEN_BITS, progress=self.PROGRESS)
        )
        spoken = []
        for event in reader.feed(data, self._time_s):
            if isinstance(event, Control):
                spoken.append(Spoken(who, bytes([event.code]), CONTROL_WORDS.get(event.code, f"control {event.code:02X}")))
            elif isinstance(event, Block):
                spoken.append(Spoken(who, event.body, self._words(event)))
            elif isinstance(event, Progress):
                spoken.append(Spoken(who, event.text, f'progress: "{event.text.decode("latin-1").rstrip()}"'))
            elif isinstance(event, Dropped):
                spoken.append(Spoken(who, b"", f"{event.count} bytes: {event.why}"))
        return spoken

    def _words(self, block: Block) -> str:
        raise NotImplementedError


def _money(minor: int) -> str:
    return f"{minor // 100}.{minor % 100:02d}"


class ConcertDescriber(_StxDescriber):
    """Concert E and E+."""

    SEVEN_BITS = True

    def _words(self, block: Block) -> str:
        good = "" if lrc(block.body, 3) == block.check else " (wrong LRC)"
        request = concert.Request.parse(block.body)
        if request is not None:
            kind = concert.KIND_OF_TYPE.get(request.type)
            waits = "does not wait (A011)" if request.at_once else "waits for the end"
            return f"request: {kind.value if kind else 'unknown type'} {_money(request.amount_minor)} in {request.currency}, {waits}{good}"
        if len(block.body) in (25, 80) and block.body[3:11].isdigit():
            status = {"0": "accepted", "7": "not accepted", "9": "taken into account"}.get(chr(block.body[2]), "unknown status")
            return f"answer: {status}, {_money(int(block.body[3:11]))}{good}"
        return f"{len(block.body)} bytes that are no Concert message{good}"


class Ecr17Describer(_StxDescriber):
    """ECR17."""

    CONTROL_BYTES = 3
    PROGRESS = True
    NAMES: ClassVar[dict[str, str]] = {
        "P": "payment", "X": "extended payment", "p": "pre-authorisation", "i": "incremental", "c": "closure", "S": "reversal",
        "A": "refund", "C": "close session", "T": "totals", "G": "send last result", "E": "printing or result", "R": "reprint",
        "U": "additional data", "s": "status", "e": "pre-authorisation result", "V": "result with exchange", "H": "card verification",
        "K": "VAS", "J": "obsolete",
    }  # fmt: skip

    def _words(self, block: Block) -> str:
        text = block.body.decode("latin-1")
        covered = {0: "message", 3: "message+ETX", 1: "STX+message+ETX", 2: "STX+message"}.get(block.check ^ lrc(block.body, 0x7F))
        check = f"LRC over {covered}" if covered else "wrong LRC"
        if len(text) < 10:
            return f"{len(text)} bytes that are no ECR17 message, {check}"
        code = text[9]
        said = self.NAMES.get(code, f"unknown code {code!r}")
        if code in "PXp" and len(text) >= REQUEST_BYTES["P"] and text[23:31].isdecimal():
            said += f" of {_money(int(text[23:31]))}"
        elif code in "Ee" and len(text) > 70:
            said = f"result {text[10:12]}" + ("" if text[10:12] == "00" else f" {text[12:36].strip()}")
        return f"{said}, terminal {text[:8]}, {check}"


class TransbankDescriber(_StxDescriber):
    """Transbank POS Integrado."""

    NAMES: ClassVar[dict[str, str]] = {
        "0100": "poll", "0200": "sale", "0210": "sale's answer", "0250": "last sale?", "0260": "last sale", "0300": "normal mode",
        "0500": "close", "0510": "closed", "0700": "totals?", "0710": "totals", "0800": "load keys", "0810": "keys loaded",
        "0900": "progress", "1200": "refund", "1210": "refund's answer",
    }  # fmt: skip

    def _words(self, block: Block) -> str:
        fields = block.body.decode("ascii", "replace").split("|")
        said = self.NAMES.get(fields[0], f"unknown message {fields[0][:8]!r}")
        detail = f" {fields[1]}" if len(fields) > 1 and fields[1].isdecimal() else ""
        return f"{said}{detail}, {len(fields)} fields{'' if lrc(block.body, 3) == block.check else ', wrong LRC'}"


class ConcertV3Describer:
    """Concert V3: tags as they are, but for those that could hold an account number."""

    HIDDEN = ("AA", "AB")

    def __init__(self) -> None:
        self._buffers: dict[Who, bytearray] = {}

    def feed(self, who: Who, data: bytes) -> list[Spoken]:
        """See Describer."""
        buffer = self._buffers.setdefault(who, bytearray())
        buffer += data
        if len(buffer) > concert_v3.REQUEST_BYTES_MAX:
            buffer.clear()
            return [Spoken(who, b"", "more bytes than any message has")]
        fields = concert_v3.parse(bytes(buffer))
        if fields is None:
            return []
        raw = bytes(buffer)
        buffer.clear()
        shown = " ".join(f"{tag}={'*' * len(value) if tag in self.HIDDEN else value}" for tag, value in fields.items())
        return [Spoken(who, b"" if any(tag in fields for tag in self.HIDDEN) else raw, shown)]
