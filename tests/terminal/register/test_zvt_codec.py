"""Both ZVT codecs: every message, bitmap and TLV element comes back as it was written; nothing that comes in raises."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from terminal.register.till import zvt_codec
from terminal.register.trace import read_capture
from terminal.register.zvt import bmp, tlv
from terminal.register.zvt.apdu import Apdu, MalformedError, announced_bytes, parse
from terminal.register.zvt.bmp import Field
from terminal.register.zvt.frame import Framed, Unwrapper, wrap
from terminal.register.zvt.tlv import Tlv
from terminal.register.zvt.words import ZvtDescriber, describe

CONTROLS = st.integers(0, 0xFFFF)
APDUS = st.builds(Apdu, CONTROLS, st.binary(max_size=600))


def tags() -> st.SearchStrategy[int]:
    one = st.integers(0, 0xFE).filter(lambda t: t & 0x1F != 0x1F)
    two = st.tuples(st.sampled_from([0x1F, 0x3F, 0x5F, 0x7F, 0x9F, 0xDF]), st.integers(0, 0x7F)).map(lambda t: t[0] << 8 | t[1])
    return one | two


ELEMENTS = st.builds(Tlv, tags(), st.binary(max_size=300))


@st.composite
def fields(draw: st.DrawFn) -> Field:
    tag = draw(st.sampled_from(sorted(bmp.SIZES)))
    size = bmp.SIZES[tag]
    if size == bmp.TLV:
        return Field(tag, tlv.encode(draw(st.lists(ELEMENTS, max_size=3))))
    if size < 0:
        return Field(tag, draw(st.binary(max_size=99 if size == bmp.LL else 999)))
    return Field(tag, draw(st.binary(min_size=size, max_size=size)))


@given(APDUS)
def test_messages(apdu: Apdu) -> None:
    raw = bytes(apdu)
    assert parse(raw) == apdu
    assert announced_bytes(raw) == len(raw) == zvt_codec.whole(raw)
    assert (zvt_codec.code_of(raw), zvt_codec.data_of(raw)) == (apdu.control, apdu.data)
    assert zvt_codec.command(apdu.control, apdu.data) == raw


@pytest.mark.parametrize("size", [0, 1, 253, 254, 255, 256, 0x1010, 0xFFFF])
def test_lengths_at_the_edges(size: int) -> None:
    raw = bytes(Apdu(0x0601, b"\x10" * size))
    assert len(raw) == size + (3 if size < 255 else 5)
    assert parse(raw).data == b"\x10" * size
    (piece,) = Unwrapper().feed(wrap(raw))
    assert piece == Framed(raw)
    assert zvt_codec.frame(raw) == wrap(raw)


@given(APDUS, st.data())
def test_frames_in_any_pieces(apdu: Apdu, data: st.DataObject) -> None:
    raw = bytes(apdu)
    frame = wrap(raw)
    assert zvt_codec.frame(raw) == frame
    assert zvt_codec.cut_frame(frame) == ("message", raw, len(frame))
    stream = frame + frame
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=6)))
    unwrapper, pieces = Unwrapper(), []
    for begin, end in zip([0, *cuts], [*cuts, len(stream)], strict=True):
        pieces += unwrapper.feed(stream[begin:end])
    assert pieces == [Framed(raw), Framed(raw)]


@given(APDUS, st.data())
def test_one_changed_bit_never_passes(apdu: Apdu, data: st.DataObject) -> None:
    frame = bytearray(wrap(bytes(apdu)))
    at = data.draw(st.integers(0, len(frame) * 8 - 1))
    frame[at // 8] ^= 1 << at % 8
    assert Framed(bytes(apdu)) not in Unwrapper().feed(bytes(frame))
    kind, message, _ = zvt_codec.cut_frame(bytes(frame))
    assert kind != "message" or message != bytes(apdu)


@given(st.lists(fields(), max_size=8))
def test_bitmaps(said: list[Field]) -> None:
    assert bmp.decode(bmp.encode(said)) == said


@given(st.lists(ELEMENTS, max_size=8))
def test_tlv(said: list[Tlv]) -> None:
    data = tlv.encode(said)
    assert tlv.decode(data) == said
    assert [int.from_bytes(tag, "big") for tag, _ in zvt_codec.elements(data)] == [e.tag for e in said]
    assert [value for _, value in zvt_codec.elements(data)] == [e.value for e in said]


@given(st.integers(0, 10**12 - 1))
def test_amounts(amount: int) -> None:
    assert bmp.from_bcd(bmp.bcd(amount, 6)) == amount
    assert bmp.bcd(amount, 6) == zvt_codec.digits(amount, 6)


def test_values_that_do_not_fit_are_refused_by_the_writer() -> None:
    with pytest.raises(ValueError, match="does not fit"):
        bmp.bcd(100, 1)
    with pytest.raises(ValueError, match="6 bytes"):
        bmp.encode_field(0x04, b"\x01")
    with pytest.raises(ValueError, match="at most 99"):
        bmp.encode_field(0x8B, bytes(100))
    with pytest.raises(ValueError, match="at most 65535"):
        bytes(Apdu(0x0601, bytes(70_000)))


@given(st.binary(max_size=400))
def test_nothing_raises_but_what_is_announced(data: bytes) -> None:
    with contextlib.suppress(MalformedError, bmp.UnknownBitmapError):
        bmp.decode(data)
    with contextlib.suppress(MalformedError):
        tlv.decode(data)
    with contextlib.suppress(MalformedError):
        list(tlv.walk(data))
    with contextlib.suppress(MalformedError):
        parse(data)
    with contextlib.suppress(ValueError):
        zvt_codec.fields(data)
    Unwrapper().feed(data)


@given(CONTROLS, st.binary(max_size=100))
def test_every_message_has_words(control: int, data: bytes) -> None:
    assert describe(Apdu(control, data))


@given(st.binary(max_size=300))
def test_every_capture_has_an_end(data: bytes) -> None:
    describer = ZvtDescriber()
    for who, piece in read_capture(data):
        describer.feed(who, piece)


def test_card_data_and_passwords_are_never_shown() -> None:
    status = bmp.encode([Field(0x22, bytes.fromhex("4111111111111111")), Field(0x23, b"411111"), Field(0x0E, b"\x29\x12")])
    said = describe(Apdu(0x040F, status)) + describe(Apdu(0x0630, bytes.fromhex("654321870001")))
    assert "4111" not in said
    assert "654321" not in said
    assert "not shown" in said
