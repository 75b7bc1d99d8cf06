"""What a technician reads in a trace of Concert, ECR17 and Transbank."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from terminal.register.trace import DESCRIBERS

PAY = b"\x020100001234110978" + b" " * 10 + b"A010B010\x03\x03"


def words(protocol: str, data: bytes) -> list[str]:
    return [spoken.words for spoken in DESCRIBERS[protocol]().feed("ECR", data)]


def test_concert() -> None:
    assert words("concert", b"\x05" + PAY + b"\x04") == [
        "ENQ: may I speak",
        "request: pay 12.34 in 978, waits for the end",
        "EOT: that was all",
    ]
    assert words("concert", b"\x0201000001234" + b"1978" + b" " * 10 + b"\x03\x31") == ["answer: accepted, 12.34"]


def test_ecr17() -> None:
    pay = b"\x02123456780P00000001" + b"0" + b"00" + b"0" + b"0" + b"00001234" + b" " * 128 + b"0" * 8 + b"\x03\x21"
    assert words("ecr17", pay) == ["payment of 12.34, terminal 12345678, LRC over message+ETX"]


def test_ecr17_progress() -> None:
    progress = b"\x01ATTENDERE PREGO     \x04"
    assert words("ecr17", b"\x06\x03\x7a" + progress + progress[:9]) == ["ACK: taken", 'progress: "ATTENDERE PREGO"']
    assert words("ecr17", b"\x01" + b"x" * 100)[0] == "65 bytes: a progress message without an end"


def test_transbank() -> None:
    assert words("transbank", b"\x020200|1234|TICK01|||1|\x03\x20") == ["sale 1234, 7 fields"]


def test_concert_v3_hides_what_could_be_an_account() -> None:
    (said,) = words("concert-v3", b"CZ0040300AA0164111111111111111")
    assert "4111" not in said


@given(st.sampled_from(sorted(DESCRIBERS)), st.lists(st.binary(max_size=200), max_size=8))
def test_no_bytes_do_harm(protocol: str, chunks: list[bytes]) -> None:
    describer = DESCRIBERS[protocol]()
    for chunk in chunks:
        describer.feed("PT", chunk)


@pytest.mark.parametrize("protocol", sorted(DESCRIBERS))
def test_there_are_words_for_every_protocol(protocol: str) -> None:
    from terminal.register import PROTOCOLS
    from terminal.register.till.base import REGISTERS

    assert set(PROTOCOLS) == set(REGISTERS) == set(DESCRIBERS)
