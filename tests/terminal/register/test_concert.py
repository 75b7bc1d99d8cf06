"""Concert E and E+: the frames of a captured dialogue, and what goes wrong on a line."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from terminal.checkout import Outcome
from terminal.register.concert import ANSWERS_MAX, OFFERS_MAX, ConcertMachine, frame
from terminal.register.machine import Action, Answer, Ask, Delivered, Kind, Receipt, Send, Till, Undelivered

ENQ, ACK, NAK, EOT = b"\x05", b"\x06", b"\x15", b"\x04"
PAY_12_34 = bytes.fromhex("02 30313030303031323334 31 31 30 393738") + b" " * 10 + b"A010B010" + b"\x03\x03"


def machine(keep: bool = False) -> ConcertMachine:
    return ConcertMachine(Till(), keep_unheard=keep)


def sent(actions: list[Action]) -> bytes:
    return b"".join(a.data for a in actions if isinstance(a, Send))


def ask_of(actions: list[Action]) -> Ask:
    (ask,) = [a for a in actions if isinstance(a, Ask)]
    return ask


def begin(m: ConcertMachine, request: bytes = PAY_12_34, now_s: float = 0.0) -> list[Action]:
    assert sent(m.received(ENQ, now_s)) == ACK
    assert sent(m.received(request, now_s)) == ACK
    return m.received(EOT, now_s)


def tick(m: ConcertMachine) -> list[Action]:
    assert m.next_deadline_s is not None
    return m.ticked(m.next_deadline_s)


def approved(number: int, amount: int = 1234) -> Answer:
    receipt = Receipt(1, 1, Kind.PAY, amount, "EUR", "A12345", "20261123", "123456")
    return Answer(number, Outcome.APPROVED, receipt, needs_confirmation=True)


def test_the_captured_payment() -> None:
    m = machine()
    request = PAY_12_34.replace(b"00001234" + b"1", b"00001234" + b"0")[:-1]
    body = request[1:-1]
    ask = ask_of(begin(m, frame(body)))
    assert (ask.kind, ask.amount_minor, ask.currency) == (Kind.PAY, 1234, "EUR")
    assert m.answered(approved(ask.number), 1.0) == []
    assert sent(tick(m)) == ENQ
    # The worked frame of the facts: "01" "0" "00001234" "1" "978" ten spaces, LRC 31.
    assert sent(m.received(ACK, 1.1)) == bytes.fromhex("02 3031 30 3030303031323334 31 393738") + b" " * 10 + b"\x03\x31"
    assert m.received(ACK, 1.2) == [Send(EOT), Delivered(ask.number)]
    assert m.next_deadline_s is None


@pytest.mark.parametrize(("status", "check"), [("0", 0x31), ("7", 0x36), ("9", 0x38)])
def test_checksums_of_the_worked_answers(status: str, check: int) -> None:
    assert frame(f"01{status}000012341978{' ' * 10}".encode())[-1] == check


def test_an_answer_with_text_is_83_bytes_and_names_no_account() -> None:
    m = machine()
    ask = ask_of(begin(m))
    m.answered(approved(ask.number), 1.0)
    tick(m)
    answer = sent(m.received(ACK, 1.0))
    assert len(answer) == 83
    assert answer[13:68] == b"PALM A12345".ljust(55)


def test_declined_is_seven() -> None:
    m = machine()
    ask = ask_of(begin(m))
    m.answered(Answer(ask.number, Outcome.NOBODY), 1.0)
    tick(m)
    assert sent(m.received(ACK, 1.0))[3:4] == b"7"
    assert m.received(ACK, 1.0) == [Send(EOT)]


def test_presence_test() -> None:
    m = machine()
    assert sent(m.received(ENQ, 0.0)) == ACK
    assert m.received(EOT, 0.0) == []
    assert m.next_deadline_s is None


def test_wrong_checksum_is_refused_and_a_good_repeat_is_taken() -> None:
    m = machine()
    m.received(ENQ, 0.0)
    assert sent(m.received(PAY_12_34[:-1] + b"\x55", 0.0)) == NAK
    assert sent(m.received(PAY_12_34, 0.1)) == ACK


@pytest.mark.parametrize("keep", [False, True])
def test_an_approval_that_nobody_takes_follows_the_shops_setting(keep: bool) -> None:
    m = machine(keep)
    ask = ask_of(begin(m))
    m.answered(approved(ask.number), 1.0)
    offers, ended = 0, []
    for _ in range(OFFERS_MAX + 2):
        actions = tick(m)
        offers += sent(actions).count(ENQ)
        ended += [a for a in actions if isinstance(a, Delivered | Undelivered)]
        if m.next_deadline_s is None:
            break
    assert offers == OFFERS_MAX
    assert [type(e) for e in ended] == [Delivered if keep else Undelivered]


def test_an_answer_refused_for_ever_is_undone() -> None:
    m = machine()
    ask = ask_of(begin(m))
    m.answered(approved(ask.number), 1.0)
    tick(m)
    actions = m.received(ACK, 1.0)
    for _ in range(ANSWERS_MAX):
        actions = m.received(NAK, 1.1)
    assert [a.number for a in actions if isinstance(a, Undelivered)] == [ask.number]


def test_a011_is_told_nine_at_once_and_stands_though_nobody_listens() -> None:
    m = machine()
    ask = ask_of(begin(m, frame(PAY_12_34[1:-2].replace(b"A010", b"A011"))))
    assert sent(tick(m)) == ENQ
    assert sent(m.received(ACK, 0.2))[3:4] == b"9"
    assert m.received(ACK, 0.3) == [Send(EOT)]
    assert m.answered(approved(ask.number), 5.0) == [Delivered(ask.number)]


def test_a011_stands_even_where_the_register_closed_its_port() -> None:
    m = machine()
    ask = ask_of(begin(m, frame(PAY_12_34[1:-2].replace(b"A010", b"A011"))))
    m.line_lost(0.1)
    while m.next_deadline_s is not None:
        assert not [a for a in tick(m) if isinstance(a, Undelivered)]
    assert m.answered(approved(ask.number), 5.0) == [Delivered(ask.number)]


@pytest.mark.parametrize("swap", [(b"0978", b"3978"), (b"0978", b"0999"), (b"0978", b"4978")])
def test_what_is_not_supported_is_taken_and_answered_seven(swap: tuple[bytes, bytes]) -> None:
    m = machine()
    actions = begin(m, frame(PAY_12_34[1:-2].replace(*swap)))
    assert not [a for a in actions if isinstance(a, Ask)]
    tick(m)
    assert sent(m.received(ACK, 0.1))[3:4] == b"7"


@pytest.mark.parametrize(("type_", "kind"), [(b"0", Kind.PAY), (b"1", Kind.REFUND), (b"2", Kind.REVERSE)])
def test_types(type_: bytes, kind: Kind) -> None:
    assert ask_of(begin(machine(), frame(PAY_12_34[1:-2].replace(b"0978", type_ + b"978")))).kind is kind


def test_busy_while_working() -> None:
    m = machine()
    begin(m)
    assert sent(m.received(ENQ, 1.0)) == NAK


@given(st.lists(st.one_of(st.binary(max_size=40), st.sampled_from([ENQ, ACK, NAK, EOT, PAY_12_34]), st.none()), max_size=40))
def test_each_approval_ends_once_whatever_the_line_does(steps: list[bytes | None]) -> None:
    """Random line, random silences: every answer that money hangs on is delivered or undelivered exactly once, and rest comes back."""
    m, now, ended, asked = machine(), 0.0, [], []

    def run(actions: list[Action]) -> None:
        for action in actions:
            if isinstance(action, Ask):
                asked.append(action.number)
                run(m.answered(approved(action.number), now))
            elif isinstance(action, Delivered | Undelivered):
                ended.append(action.number)

    for step in steps:
        if step is None:
            now = m.next_deadline_s or now
            run(m.ticked(now))
        else:
            now += 0.01
            run(m.received(step, now))
    for _ in range(20):
        if m.next_deadline_s is None:
            break
        now = m.next_deadline_s
        run(m.ticked(now))
    assert m.next_deadline_s is None
    assert ended == asked
