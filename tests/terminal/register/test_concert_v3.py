"""Concert V3 over TCP: tags and lengths, echoes to the letter, one answer per connection."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from terminal.checkout import Outcome
from terminal.register.concert_v3 import ConcertV3Machine, build, parse
from terminal.register.machine import Action, Answer, Ask, Delivered, Hangup, Kind, Receipt, Send, Till, Undelivered

WORKED = b"CZ0040300CJ012012345678901CA00201CE003978BA0010CD0010CB0041234"
RECEIPT = Receipt(1, 1, Kind.PAY, 1234, "EUR", "A12345", "20261123", "163100")


def machine() -> ConcertV3Machine:
    m = ConcertV3Machine(Till())
    m.line_opened(0.0)
    return m


def take(m: ConcertV3Machine, data: bytes) -> list[Action]:
    actions = m.received(data, 0.0)
    return actions + (m.ticked(m.next_deadline_s) if m.next_deadline_s is not None else [])


def ask_of(actions: list[Action]) -> Ask:
    (ask,) = [a for a in actions if isinstance(a, Ask)]
    return ask


def fields_of(actions: list[Action]) -> dict[str, str]:
    (data,) = [a.data for a in actions if isinstance(a, Send)]
    assert len(data) < 1024
    fields = parse(data)
    assert fields is not None
    return fields


def test_the_worked_payment() -> None:
    m = machine()
    ask = ask_of(take(m, WORKED))
    assert (ask.kind, ask.amount_minor, ask.currency) == (Kind.PAY, 1234, "EUR")
    actions = m.answered(Answer(ask.number, Outcome.APPROVED, RECEIPT, needs_confirmation=True), 1.0)
    assert actions[0].data.startswith(b"CZ0040300CJ012012345678901CA00201CB0041234CD0010CE003978AE00210AF00201")  # type: ignore[union-attr]
    assert actions[-1] == Delivered(ask.number)
    assert fields_of(actions)["AC"] == "A12345"


def test_a_request_in_pieces_is_one_request() -> None:
    m = machine()
    for at in range(0, len(WORKED), 7):
        assert not [a for a in m.received(WORKED[at : at + 7], at * 0.001) if isinstance(a, Ask)]
    assert m.next_deadline_s is not None
    assert ask_of(m.ticked(m.next_deadline_s)).amount_minor == 1234


def test_refused_says_why() -> None:
    m = machine()
    ask = ask_of(take(m, WORKED))
    fields = fields_of(m.answered(Answer(ask.number, Outcome.TIMED_OUT), 1.0))
    assert (fields["AE"], fields["AF"], fields["CB"]) == ("01", "08", "1234")


@pytest.mark.parametrize(
    ("swap", "reason"),
    [
        ((b"CE003978", b""), "09"),
        ((b"CB0041234", b"CB004x234"), "09"),
        ((b"CD0010", b"CD0019"), "12"),
        ((b"CE003978", b"CE003999"), "13"),
    ],
)
def test_what_is_wrong_with_a_request(swap: tuple[bytes, bytes], reason: str) -> None:
    actions = take(machine(), WORKED.replace(*swap))
    assert not [a for a in actions if isinstance(a, Ask)]
    assert (fields_of(actions)["AE"], fields_of(actions)["AF"]) == ("01", reason)


def test_noise_is_answered_as_a_format_error() -> None:
    assert fields_of(take(machine(), b"GET / HTTP/1.1\r\n\r\n")) == {"AE": "01", "AF": "09"}
    assert fields_of(take(machine(), b"\xff" * 2000))["AF"] == "09"


def test_ba_1_is_answered_at_once_and_stands() -> None:
    m = machine()
    actions = take(m, WORKED.replace(b"BA0010", b"BA0011"))
    assert fields_of(actions)["AE"] == "10"
    m.line_lost(0.5)
    assert m.answered(Answer(ask_of(actions).number, Outcome.APPROVED, RECEIPT, needs_confirmation=True), 9.0) == [
        Delivered(ask_of(actions).number)
    ]


def test_a_register_that_closed_before_its_answer_has_not_paid() -> None:
    m = machine()
    ask = ask_of(take(m, WORKED))
    m.line_lost(0.5)
    m.line_opened(0.6)
    (ended,) = m.answered(Answer(ask.number, Outcome.APPROVED, RECEIPT, needs_confirmation=True), 1.0)
    assert isinstance(ended, Undelivered)


def test_a_register_that_never_closes_is_hung_up() -> None:
    m = machine()
    ask = ask_of(take(m, WORKED))
    m.answered(Answer(ask.number, Outcome.NOBODY), 1.0)
    assert m.next_deadline_s is not None
    assert m.ticked(m.next_deadline_s) == [Hangup()]


@given(
    st.dictionaries(st.text("ABCDEFGHIJ", min_size=2, max_size=2), st.text("0123456789abc ", max_size=60), min_size=1, max_size=10)
)
def test_fields_round_trip(fields: dict[str, str]) -> None:
    assert parse(build(fields)) == fields


@given(st.lists(st.binary(max_size=400), max_size=10))
def test_no_bytes_do_harm(chunks: list[bytes]) -> None:
    m = machine()
    for chunk in chunks:
        take(m, chunk)
