"""The worked frames of the wire facts: both codecs write and read them byte for byte, and the machine sends them."""

from __future__ import annotations

import pytest

from terminal.checkout import Outcome
from terminal.register.machine import Answer
from terminal.register.till import zvt_codec
from terminal.register.till.zvt_codec import Status
from terminal.register.zvt import bmp, messages, request
from terminal.register.zvt.apdu import Apdu, parse
from terminal.register.zvt.bmp import Field
from terminal.register.zvt.frame import Framed, Unwrapper, crc, wrap
from terminal.register.zvt.words import describe
from tests.terminal.register.zvt_bench import OK, PAY, TOTALS, Bench

FRAMES = {
    "registration": "10 02 06 00 06 12 34 56 BE 09 78 10 03 C8 B1",
    "yes": "10 02 80 00 00 10 03 F5 1F",
    "registered, with currency": "10 02 06 0F 0A 19 00 29 12 34 56 78 49 09 78 10 03 57 EF",
    "registered": "10 02 06 0F 07 19 00 29 12 34 56 78 10 03 52 23",
    "pay 12.34": "10 02 06 01 0A 04 00 00 00 00 12 34 49 09 78 10 03 B0 91",
    "pay 10.10": "10 02 06 01 0A 04 00 00 00 00 10 10 10 10 49 09 78 10 03 67 D4",
    "insert card": "10 02 04 FF 02 0A 01 10 03 B9 84",
    "please wait": "10 02 04 FF 02 17 01 10 03 53 FE",
    "approved": "10 02 04 0F 23 27 00 04 00 00 00 00 12 34 49 09 78 29 12 34 56 78 0B 00 00 01 87 00 01 "
    "0C 12 34 56 0D 11 23 19 60 8A 05 10 03 8C 6F",
    "aborted": "10 02 04 0F 11 27 6C 04 00 00 00 00 12 34 49 09 78 29 12 34 56 78 10 03 D5 F7",
    "completion": "10 02 06 0F 00 10 03 C6 33",
    "abort 6C": "10 02 06 1E 01 6C 10 03 C9 F2",
    "not possible": "10 02 84 83 00 10 03 91 8E",
    "malformed": "10 02 84 9A 00 10 03 1A 97",
    "goods pending": "10 02 84 9C 00 10 03 C3 41",
    "abort by the register": "10 02 06 B0 00 10 03 43 F3",
    "log-off": "10 02 06 02 00 10 03 B9 CC",
    "status enquiry": "10 02 05 01 03 12 34 56 10 03 E0 43",
    "status": "10 02 06 0F 0C F0 F0 F8 50 41 4C 4D 20 31 2E 30 00 10 03 B0 2C",
    "reserve": "10 02 06 22 0A 04 00 00 00 00 50 00 49 09 78 10 03 A1 D9",
    "release": "10 02 06 23 0D 87 00 01 04 00 00 00 00 37 66 49 09 78 10 03 C5 93",
    "book": "10 02 06 24 0D 87 00 01 04 00 00 00 00 12 34 49 09 78 10 03 8B D3",
    "open reservations?": "10 02 06 23 03 87 FF FF 10 03 FB BD",
    "none open": "10 02 06 1E 04 B8 87 FF FF 10 03 B6 4B",
    "reversal": "10 02 06 30 06 12 34 56 87 00 01 10 03 36 B7",
    "repeat receipt": "10 02 06 20 05 12 34 56 03 01 10 03 C0 0B",
    "end of day": "10 02 06 50 03 12 34 56 10 03 C4 AF",
}  # fmt: skip
WITH_BITMAPS = {"pay 12.34", "pay 10.10", "approved", "aborted", "reserve", "release", "book", "open reservations?"}

frames = pytest.mark.parametrize("frame", [bytes.fromhex(f) for f in FRAMES.values()], ids=list(FRAMES))


def test_the_checksum_is_kermit() -> None:
    assert crc(b"123456789") == 0x2189
    assert zvt_codec.checksum(b"\x80\x00\x00") == b"\xf5\x1f"


@frames
def test_the_terminal_reads_and_writes_it(frame: bytes) -> None:
    (piece,) = Unwrapper().feed(frame)
    assert isinstance(piece, Framed)
    apdu = parse(piece.apdu)
    assert wrap(bytes(apdu)) == frame
    assert wrap(bytes(Apdu(apdu.control, apdu.data))) == frame
    assert "can't be read" not in describe(apdu)


@frames
def test_the_register_reads_and_writes_it(frame: bytes) -> None:
    kind, message, used = zvt_codec.cut_frame(frame)
    assert (kind, used) == ("message", len(frame))
    assert zvt_codec.frame(message) == frame
    assert zvt_codec.frame(zvt_codec.command(zvt_codec.code_of(message), zvt_codec.data_of(message))) == frame


@pytest.mark.parametrize("name", sorted(WITH_BITMAPS))
def test_the_bitmaps_are_written_as_they_were_read(name: str) -> None:
    frame = bytes.fromhex(FRAMES[name])
    (piece,) = Unwrapper().feed(frame)
    assert isinstance(piece, Framed)
    apdu = parse(piece.apdu)
    fields = bmp.decode(apdu.data)
    assert wrap(bytes(Apdu(apdu.control, bmp.encode(fields)))) == frame


def test_what_they_say() -> None:
    assert request.order(parse(bytes.fromhex(PAY)).data).amount_minor == 1234
    status = Status.read(zvt_codec.data_of(zvt_codec.cut_frame(bytes.fromhex(FRAMES["approved"]))[1]))
    assert (status.code, status.amount_minor, status.receipt, status.trace) == (0, 1234, 1, 1)


def test_the_register_writes_its_commands_as_in_the_worked_frames() -> None:
    def amount(minor: int) -> bytes:
        return b"\x04" + zvt_codec.digits(minor, 6) + b"\x49\x09\x78"

    password = bytes.fromhex("123456")
    commands = {
        "registration": zvt_codec.command(0x0600, password + b"\xbe\x09\x78"),
        "pay 12.34": zvt_codec.command(0x0601, amount(1234)),
        "pay 10.10": zvt_codec.command(0x0601, amount(1010)),
        "reserve": zvt_codec.command(0x0622, amount(5000)),
        "release": zvt_codec.command(0x0623, b"\x87\x00\x01" + amount(3766)),
        "book": zvt_codec.command(0x0624, b"\x87\x00\x01" + amount(1234)),
        "reversal": zvt_codec.command(0x0630, password + b"\x87\x00\x01"),
        "end of day": zvt_codec.command(0x0650, password),
    }
    for name, message in commands.items():
        assert zvt_codec.frame(message) == bytes.fromhex(FRAMES[name]), name


def frame_of(message: str) -> str:
    return wrap(bytes.fromhex(message)).hex(" ").upper()


def test_the_machine_answers_with_them() -> None:
    bench = Bench()
    bench.bytes_come(bytes.fromhex(FRAMES["registration"]))
    assert [frame_of(m) for m in bench.heard()] == [FRAMES["yes"], FRAMES["registered, with currency"]]
    bench.says(OK)
    bench.says("06 00 04 12 34 56 86")
    assert [frame_of(m) for m in bench.heard()] == [FRAMES["yes"], FRAMES["registered"]]
    bench.says(OK)
    bench.bytes_come(bytes.fromhex(FRAMES["status enquiry"]))
    bench.answers()
    assert [frame_of(m) for m in bench.heard()] == [FRAMES["yes"], FRAMES["status"]]
    bench.says(OK)
    bench.bytes_come(bytes.fromhex(FRAMES["open reservations?"]))
    bench.answers()
    assert [frame_of(m) for m in bench.heard()] == [FRAMES["yes"], FRAMES["none open"]]
    bench.says(OK)
    bench.bytes_come(bytes.fromhex(FRAMES["log-off"]))
    assert [frame_of(m) for m in bench.heard()] == [FRAMES["yes"]]
    bench.says("06 C0 02 00 00")
    assert [frame_of(m) for m in bench.heard()] == [FRAMES["not possible"]]
    bench.says("06 00 00")
    assert [frame_of(m) for m in bench.heard()] == [FRAMES["malformed"]]


def test_intermediate_states_are_the_worked_ones_with_their_minutes() -> None:
    bench = Bench()
    assert frame_of(bytes(messages.intermediate(bench.machine._context, 0x0A, "", 1)).hex()) == FRAMES["insert card"]
    assert frame_of(bytes(messages.intermediate(bench.machine._context, 0x17, "", 1)).hex()) == FRAMES["please wait"]


def test_the_aborted_status_says_the_same_in_the_order_of_old_registers() -> None:
    bench = Bench()
    order = request.order(parse(bytes.fromhex(PAY)).data)
    info = messages.status_information(bench.machine._context, order, Answer(1, Outcome.ABORTED), 0x6C)
    worked = bmp.decode(bytes.fromhex(FRAMES["aborted"])[5:-4])
    assert sorted(bmp.decode(info.data), key=lambda f: f.tag) == sorted(worked, key=lambda f: f.tag)
    assert [f.tag for f in bmp.decode(info.data)] == [0x27, 0x04, 0x29, 0x49]


def test_totals_of_an_end_of_day_have_53_bytes() -> None:
    bench = Bench()
    info = messages.totals_information(bench.machine._context, TOTALS, 982, ("0406", "081706"))
    assert info.data.hex(" ").startswith(
        "27 00 04 00 00 00 00 37 02 0b 00 09 82 0c 08 17 06 0d 04 06 29 12 34 56 78 60 f0 f5 f3 00 01 00 04"
    )
    totals = next(f for f in bmp.decode(info.data) if f.tag == 0x60)
    assert totals == Field(0x60, bytes.fromhex("00010004") + bytes(42) + bytes.fromhex("03000000003702"))
    assert len(totals.value) == 53
