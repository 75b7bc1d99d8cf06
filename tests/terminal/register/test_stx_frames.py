"""Framing by STX, ETX and LRC: split, glued, broken."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from terminal.register.stx_frames import (
    ACK,
    BODY_BYTES_MAX,
    ENQ,
    ETX,
    GAP_MAX_S,
    NAK,
    STX,
    Block,
    Control,
    Dropped,
    FrameReader,
    lrc,
)

bodies = st.binary(min_size=1, max_size=200).map(lambda b: bytes(x for x in b if x not in (STX, ETX)) or b"x")


def framed(body: bytes) -> bytes:
    return bytes([STX]) + body + bytes([ETX, lrc(body, ETX)])


@given(st.lists(bodies, max_size=5), st.data())
def test_frames_come_out_whole_however_they_are_cut(sent: list[bytes], data: st.DataObject) -> None:
    wire = b"".join(framed(b) for b in sent)
    reader, got, at = FrameReader(), [], 0
    while at < len(wire):
        size = data.draw(st.integers(1, len(wire) - at))
        got += reader.feed(wire[at : at + size], 0.0)
        at += size
    assert got == [Block(b, lrc(b, ETX)) for b in sent]


@given(st.lists(st.binary(max_size=300), max_size=20), st.sampled_from([1, 3]), st.booleans())
def test_no_bytes_do_harm(chunks: list[bytes], control_bytes: int, seven: bool) -> None:
    reader = FrameReader(control_bytes=control_bytes, seven_bits=seven)
    for number, chunk in enumerate(chunks):
        for event in reader.feed(chunk, number * 0.1):
            assert isinstance(event, Block | Control | Dropped)
            assert not isinstance(event, Block) or len(event.body) <= BODY_BYTES_MAX


def test_an_endless_frame_is_dropped_and_the_next_one_is_heard() -> None:
    reader = FrameReader()
    assert Dropped(BODY_BYTES_MAX + 1, "frame longer than any message") in reader.feed(
        bytes([STX]) + b"x" * (BODY_BYTES_MAX + 1), 0.0
    )
    assert reader.feed(framed(b"after"), 0.1) == [Block(b"after", lrc(b"after", ETX))]


def test_a_half_frame_is_forgotten_after_a_silence() -> None:
    reader = FrameReader()
    reader.feed(bytes([STX]) + b"half", 0.0)
    assert reader.feed(framed(b"whole"), GAP_MAX_S + 0.1) == [
        Dropped(4, "silence inside a frame"),
        Block(b"whole", lrc(b"whole", ETX)),
    ]


def test_a_checksum_that_looks_like_a_control_is_a_checksum() -> None:
    for check in (STX, ETX, ACK):
        assert FrameReader().feed(bytes([STX]) + b"a" + bytes([ETX, check]), 0.0) == [Block(b"a", check)]


def test_parity_bits_of_a_7e1_line_are_cleared() -> None:
    wire = bytes(b | (0x80 if b.bit_count() % 2 else 0) for b in framed(b"0100001234"))
    assert FrameReader(seven_bits=True).feed(wire, 0.0) == [Block(b"0100001234", lrc(b"0100001234", ETX))]


def test_controls_of_three_bytes() -> None:
    reader = FrameReader(control_bytes=3)
    assert reader.feed(bytes([ACK, ETX]), 0.0) == []
    assert reader.feed(bytes([0x7A]) + framed(b"s"), 0.01) == [Control(ACK), Block(b"s", lrc(b"s", ETX))]
    assert reader.feed(bytes([NAK, ETX, 0x69, ENQ]), 0.02) == [Control(NAK), Control(ENQ)]
