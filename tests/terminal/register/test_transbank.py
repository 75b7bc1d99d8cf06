"""Transbank POS Integrado: the example frame, counted fields, and what stands when."""

from __future__ import annotations

from dataclasses import replace

import pytest

from terminal.checkout import Outcome
from terminal.register.machine import Action, Answer, Ask, Delivered, Kind, Note, Receipt, Send, Till, Totals, Undelivered
from terminal.register.transbank import ANSWERS_MAX, TransbankMachine, frame

ACK, NAK = b"\x06", b"\x15"
SALE = bytes.fromhex("02") + b"0200|1234|TICK01|||1|" + bytes.fromhex("0320")
RECEIPT = Receipt(7, 8, Kind.PAY, 1234, "CLP", "A12345", "20261123", "163100")


def machine() -> TransbankMachine:
    return TransbankMachine(Till(terminal_id="12345678", currency="CLP"))


def sent(actions: list[Action]) -> list[bytes]:
    return [a.data for a in actions if isinstance(a, Send)]


def ask_of(actions: list[Action]) -> Ask:
    (ask,) = [a for a in actions if isinstance(a, Ask)]
    return ask


def test_the_example_sale() -> None:
    assert frame("0200|1234|TICK01|||1|") == SALE
    m = machine()
    actions = m.received(SALE, 0.0)
    ask = ask_of(actions)
    assert sent(actions) == [ACK]
    assert (ask.kind, ask.amount_minor, ask.currency) == (Kind.PAY, 1234, "CLP")
    (progress,) = sent(m.noted(ask.number, Note.PRESENT_PALM, 0.1))
    assert progress.startswith(b"\x020900|80|")
    # The register's library mistakes two messages in one read for one: the answer waits for the ACK of the progress.
    assert m.answered(Answer(ask.number, Outcome.APPROVED, RECEIPT, needs_confirmation=True), 1.0) == []
    (answer,) = sent(m.received(ACK, 1.05))
    fields = answer[1:-2].decode().split("|")
    assert len(fields) == 20
    assert (fields[0], fields[1], fields[4], fields[5], fields[6]) == ("0210", "00", "TICK01", "A12345", "1234")
    assert fields[15:17] == ["23112026", "163100"]
    assert m.received(ACK, 1.1) == [Delivered(ask.number)]


def test_a_refused_sale_keeps_its_fields() -> None:
    m = machine()
    ask = ask_of(m.received(SALE, 0.0))
    (answer,) = sent(m.answered(Answer(ask.number, Outcome.NOBODY), 1.0))
    fields = answer[1:-2].decode().split("|")
    assert (fields[1], len(fields)) == ("01", 20)


def test_polls_are_acknowledged_and_nothing_else() -> None:
    for text in ("0100", "0300"):
        assert machine().received(frame(text), 0.0) == [Send(ACK)]


@pytest.mark.parametrize(
    ("text", "kind", "answer"),
    [("0250|", Kind.LAST_RESULT, "0260"), ("1200|7|", Kind.REVERSE, "1210"), ("0500||", Kind.TOTALS, "0510")],
)
def test_others(text: str, kind: Kind, answer: str) -> None:
    m = machine()
    ask = ask_of(m.received(frame(text), 0.0))
    assert ask.kind is kind
    assert sent(m.answered(Answer(ask.number, Outcome.APPROVED, RECEIPT), 0.1))[0][1:5].decode() == answer


def test_totals() -> None:
    m = machine()
    ask = ask_of(m.received(frame("0700||"), 0.0))
    assert sent(m.answered(Answer(ask.number, Outcome.APPROVED, totals=Totals(3, 600)), 0.1))[0][1:-2] == b"0710|00|3|600|"


def test_silence_undoes_the_sale() -> None:
    m = machine()
    ask = ask_of(m.received(SALE, 0.0))
    times = len(sent(m.answered(Answer(ask.number, Outcome.APPROVED, RECEIPT, needs_confirmation=True), 1.0)))
    ended: list[Action] = []
    while m.next_deadline_s is not None:
        actions = m.ticked(m.next_deadline_s)
        times += len(sent(actions))
        ended += [a for a in actions if isinstance(a, Delivered | Undelivered)]
    assert times == ANSWERS_MAX
    assert [type(e) for e in ended] == [Undelivered]


def test_bad_frames_are_refused() -> None:
    m = machine()
    assert sent(m.received(SALE[:-1] + b"\x00", 0.0)) == [NAK]
    assert sent(m.received(frame("0200|twelve|"), 0.0)) == [NAK]
    assert sent(m.received(frame("9999|"), 0.0)) == [NAK]
    assert sent(m.received(frame("0200|" + "9" * 40 + "|"), 0.0)) == [NAK]


def test_a_second_sale_is_busy_and_a_repeat_is_one() -> None:
    m = machine()
    m.received(SALE, 0.0)
    assert m.received(SALE, 0.1) == [Send(ACK)]
    assert sent(m.received(frame("0200|99|OTHER|||0|"), 0.2)) == [NAK]


def test_a_sale_repeated_after_its_answer_is_still_one_sale() -> None:
    m = machine()
    ask = ask_of(m.received(SALE, 0.0))
    (answer,) = sent(m.answered(Answer(ask.number, Outcome.APPROVED, RECEIPT, needs_confirmation=True), 1.0))
    assert sent(m.received(SALE, 2.0)) == [ACK, answer]
    assert m.received(ACK, 2.1) == [Delivered(ask.number)]


def test_a_register_that_goes_on_has_not_acknowledged() -> None:
    m = machine()
    ask = ask_of(m.received(SALE, 0.0))
    m.answered(Answer(ask.number, Outcome.APPROVED, RECEIPT, needs_confirmation=True), 1.0)
    actions = m.received(frame("0250|"), 2.0)
    assert [a.number for a in actions if isinstance(a, Undelivered)] == [ask.number]
    assert (sent(actions), ask_of(actions).kind) == ([ACK], Kind.LAST_RESULT)


def test_the_last_sale_is_not_said_to_stand_where_it_was_undone() -> None:
    """Found by the soak: the register counted a sale that this terminal had undone."""
    m = machine()
    ask = ask_of(m.received(frame("0250|"), 0.0))
    (answer,) = sent(m.answered(Answer(ask.number, Outcome.APPROVED, replace(RECEIPT, reversed=True)), 0.1))
    fields = answer[1:-2].decode().split("|")
    assert (fields[0], fields[1], fields[6], len(fields)) == ("0260", "05", "", 20)
