"""ECR17: the worked dialogue, the four checksum ranges, full lengths, and the rule that a lost result is asked for."""

from __future__ import annotations

import datetime
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from terminal.checkout import Outcome
from terminal.register import ecr17_messages as messages
from terminal.register.ecr17 import RESULTS_MAX, Ecr17Machine
from terminal.register.machine import Action, Answer, Ask, Delivered, Kind, Note, Receipt, Send, Till, Totals, Undelivered
from terminal.register.stx_frames import lrc

TID = "12345678"
RECEIPT = Receipt(1, 1, Kind.PAY, 1234, "EUR", "A12345", "20261123", "163100")
NOW = datetime.datetime(2026, 11, 23, 16, 31)
GET_LAST_TEXT = f"{TID}0G00000001" + "0" * 4
RANGES = {"message and ETX": 3, "message": 0, "STX, message and ETX": 1, "STX and message": 2}


def machine(settings: dict[str, str] | None = None) -> Ecr17Machine:
    kept = {"last_trace": ""} if settings is None else settings
    return Ecr17Machine(Till(terminal_id=TID, software="PLM00100", settings=kept), wall_clock=lambda: NOW)


def told(m: Ecr17Machine, answer: Answer, now_s: float) -> list[Action]:
    """The answer, and that the core has written it down."""
    actions = m.answered(answer, now_s)
    return [*actions, *(m.settled(answer.number, True, now_s) if answer.needs_confirmation else [])]


def frame(text: str, covered: int = 3) -> bytes:
    body = text.encode("latin-1")
    return b"\x02" + body + b"\x03" + bytes([lrc(body, 0x7F) ^ covered])


GET_LAST = frame(GET_LAST_TEXT)


def pay(code: str = "P", amount: int = 1234) -> str:
    return f"{TID}0{code}00000001" + "0" + "00" + "0" + "0" + f"{amount:08d}" + " " * 128 + "0" * 8


def closure(original: str = "000000001", amount: int = 1234) -> str:
    return f"{TID}0c00000001" + "0" + "0000" + f"{amount:08d}" + " " * 128 + original + "0" * 8


def sent(actions: list[Action]) -> list[bytes]:
    return [a.data for a in actions if isinstance(a, Send)]


def ask_of(actions: list[Action]) -> Ask:
    (ask,) = [a for a in actions if isinstance(a, Ask)]
    return ask


def test_the_worked_payment() -> None:
    m = machine()
    request = frame(pay())
    assert request[-1] == 0x21
    actions = m.received(request, 0.0)
    assert sent(actions) == [b"\x06\x03\x7a", b"\x01ATTENDERE PREGO     \x04"]
    ask = ask_of(actions)
    assert (ask.kind, ask.amount_minor, ask.currency) == (Kind.PAY, 1234, "EUR")
    actions = m.answered(Answer(ask.number, Outcome.APPROVED, RECEIPT, needs_confirmation=True), 1.0)
    assert sent(actions) == [], "the register hears of it only when a power cut can't take it back"
    actions += m.settled(ask.number, True, 1.01)
    assert [a.number for a in actions if isinstance(a, Delivered)] == [ask.number]
    (result,) = sent(actions)
    assert result[1:-2].decode() == messages.result_e(TID, Outcome.APPROVED, RECEIPT)
    assert m.received(b"\x06\x03\x7a", 1.1) == []
    assert m.next_deadline_s is None


def test_the_worked_result_to_the_letter() -> None:
    text = messages.result_e(TID, Outcome.APPROVED, RECEIPT, pan="0000000000000004242")
    assert text == TID + "0E00" + "0000000000000004242" + "CLI" + "A12345" + "3271631" + "1" + "PALMPAY    " + "000001" + "000001"
    assert frame(text)[-1] == 0x5D


def test_the_worked_status() -> None:
    m = machine()
    assert frame(f"{TID}0s")[-1] == 0x37
    assert frame(f"{TID}0s", 0)[-1] == 0x34
    actions = m.received(frame(f"{TID}0s"), 0.0)
    ask = ask_of(actions)
    (answer,) = sent(m.answered(Answer(ask.number, Outcome.APPROVED), 0.1))
    assert answer[1:-2].decode() == TID + "0s" + "0000000000" + "2311261631" + "2" + "PLM00100"


@pytest.mark.parametrize(("covered", "ack", "nak"), [(3, 0x7A, 0x69), (0, 0x79, 0x6A), (1, 0x78, 0x6B), (2, 0x7B, 0x68)])
def test_checksum_ranges_are_recognised_and_answered_alike(covered: int, ack: int, nak: int) -> None:
    m = machine()
    actions = m.received(frame(pay(), covered), 0.0)
    assert sent(actions)[0] == bytes([0x06, 0x03, ack])
    assert sent(m.received(frame(pay(amount=1), covered), 0.0))[0] == bytes([0x15, 0x03, nak])
    (result,) = sent(m.answered(Answer(ask_of(actions).number, Outcome.NOBODY), 1.0))
    assert result[-1] == lrc(result[1:-2], 0x7F) ^ covered


@pytest.mark.parametrize(("code", "length"), [("P", 71), ("X", 92), ("S", 84), ("p", 106), ("i", 75), ("c", 74), ("A", 58)])
@pytest.mark.parametrize("outcome", [Outcome.APPROVED, Outcome.NOBODY, Outcome.NO_SERVICE])
def test_results_have_their_full_fixed_length(code: str, length: int, outcome: Outcome) -> None:
    for receipt in (RECEIPT, None):
        assert len(messages.result_of(code, TID, outcome, receipt)) == length


def test_lengths_of_totals() -> None:
    for outcome in (Outcome.APPROVED, Outcome.FAULT):
        assert len(messages.totals_closed(TID, outcome, 1234)) == 44
        assert len(messages.totals(TID, outcome, 1234)) == 34


def test_every_outcome_has_a_reason_of_24() -> None:
    for outcome in Outcome:
        if outcome is not Outcome.APPROVED:
            assert outcome in messages.REASON_OF
            assert len(messages.REASON_OF[outcome]) <= 24


def test_a_result_nobody_takes_is_returned_by_g_also_after_a_restart() -> None:
    m = machine()
    ask = ask_of(m.received(frame(pay("X")), 0.0))
    actions = told(m, Answer(ask.number, Outcome.APPROVED, RECEIPT, needs_confirmation=True), 1.0)
    first, times = sent(actions)[0], 1
    while m.next_deadline_s is not None:
        actions = m.ticked(m.next_deadline_s)
        assert not [a for a in actions if isinstance(a, Undelivered)]
        times += len(sent(actions))
    assert times == RESULTS_MAX
    assert sent(machine(m.settings).received(GET_LAST, 60.0)) == [b"\x06\x03\x7a", first]


CUT = {
    "before the core approved: the receipt is the one before": (replace(RECEIPT, trace=7), "01"),
    "after: there is a newer one, and it stands": (replace(RECEIPT, trace=8), "00"),
    "in between: it was undone at the start": (replace(RECEIPT, trace=8, reversed=True), "01"),
    "and there never was one": (None, "01"),
}


@pytest.mark.parametrize("when", CUT)
def test_g_after_a_power_cut_is_about_the_request_that_was_cut_not_the_one_before(when: str) -> None:
    receipt, code = CUT[when]
    m = machine()
    ask = ask_of(m.received(frame(pay()), 0.0))
    told(m, Answer(ask.number, Outcome.APPROVED, replace(RECEIPT, trace=7), needs_confirmation=True), 1.0)
    m.received(b"\x06\x03\x7a", 1.1)
    ask_of(m.received(frame(pay(amount=500)), 2.0))
    again = machine(m.settings)
    last = ask_of(again.received(GET_LAST, 60.0))
    (result,) = sent(again.answered(Answer(last.number, Outcome.APPROVED, receipt), 60.1))
    assert result[11:13].decode() == code


def test_what_could_not_be_written_down_is_told_as_not_done() -> None:
    m = machine()
    ask = ask_of(m.received(frame(pay()), 0.0))
    m.answered(Answer(ask.number, Outcome.APPROVED, RECEIPT, needs_confirmation=True), 1.0)
    (result,) = sent(m.settled(ask.number, False, 1.1))
    assert result[11:13] == b"01"
    m.received(b"\x06\x03\x7a", 1.2)
    assert sent(m.received(GET_LAST, 2.0))[1] == result


def test_the_first_request_of_all_learns_which_receipt_was_the_last_one() -> None:
    m = machine({})
    first = ask_of(m.received(frame(pay()), 0.0))
    assert first.kind is Kind.LAST_RESULT
    ask = ask_of(m.answered(Answer(first.number, Outcome.APPROVED, replace(RECEIPT, trace=7)), 0.1))
    assert ask.kind is Kind.PAY
    assert m.settings["last_trace"] == "000007"


def test_additional_data_that_wants_an_answer_gets_one_after_the_result() -> None:
    m = machine()
    m.received(frame(pay()[:18] + "1" + pay()[19:]), 0.0)
    extra = f"{TID}0U" + "000000" + "62" + "DF8D0100" + "0" + "0000" + "00000" + "x\x1b"
    ask = ask_of(m.received(frame(extra), 0.1))
    (result,) = sent(m.answered(Answer(ask.number, Outcome.NOBODY), 0.2))
    assert result[10:11] == b"E"
    assert sent(m.received(b"\x06\x03\x7a", 0.3)) == [frame(extra)]


def test_incremental_raises_a_reservation() -> None:
    m = machine()
    ask = ask_of(m.received(frame(closure(amount=700).replace("0c", "0i", 1)), 0.0))
    assert (ask.kind, ask.receipt, ask.amount_minor) == (Kind.RAISE, 1, 700)
    raised = replace(RECEIPT, kind=Kind.RAISE)
    actions = told(m, Answer(ask.number, Outcome.APPROVED, raised, needs_confirmation=True), 1.0)
    (result,) = sent(actions)
    assert result[1:-2].decode() == messages.result_of("i", TID, Outcome.APPROVED, raised)


def test_reversal_checks_the_stan() -> None:
    m = machine({"last_code": "P", "last_trace": "000007"})
    wrong = m.received(frame(f"{TID}0S00000001" + "000008" + "00"), 0.0)
    assert not [a for a in wrong if isinstance(a, Ask)]
    assert b"NON TROVATA" in sent(wrong)[1]
    m.received(b"\x06\x03\x7a", 0.1)
    assert ask_of(m.received(frame(f"{TID}0S00000001" + "000007" + "00"), 0.2)).kind is Kind.REVERSE


def test_closure_books_the_reservation_by_its_code() -> None:
    ask = ask_of(machine().received(frame(closure()), 0.0))
    assert (ask.kind, ask.receipt, ask.amount_minor) == (Kind.BOOK, 1, 1234)


def test_the_pre_authorisation_code_comes_back_in_the_closure() -> None:
    text = messages.result_of("p", TID, Outcome.APPROVED, RECEIPT)
    assert text[48:57] == "000000001"


def test_additional_data_is_waited_for_and_work_begins_without_it_too() -> None:
    m = machine()
    announced = pay()[:18] + "1" + pay()[19:]
    assert not [a for a in m.received(frame(announced), 0.0) if isinstance(a, Ask)]
    extra = f"{TID}0U" + "000000" + "00" + "DF8D0100" + "0" + "0000" + "00000" + "x\x1b"
    actions = m.received(frame(extra), 0.1)
    assert ask_of(actions).kind is Kind.PAY
    late = machine()
    late.received(frame(announced), 0.0)
    assert late.next_deadline_s is not None
    assert ask_of(late.ticked(late.next_deadline_s)).kind is Kind.PAY


def test_tickets_are_printed_on_the_register_once() -> None:
    m = machine()
    assert sent(m.received(frame(f"{TID}0E1"), 0.0)) == [b"\x06\x03\x7a"]
    ask = ask_of(m.received(frame(pay()), 0.1))
    told(m, Answer(ask.number, Outcome.APPROVED, RECEIPT), 1.0)
    (ticket,) = sent(m.received(b"\x06\x03\x7a", 1.1))
    assert ticket[1:-2].endswith(b"\x7d" * 6 + b"\x1b")
    assert b"12,34" in ticket
    m.received(b"\x06\x03\x7a", 1.2)
    ask = ask_of(m.received(frame(pay()), 2.0))
    m.answered(Answer(ask.number, Outcome.APPROVED, RECEIPT), 3.0)
    assert sent(m.received(b"\x06\x03\x7a", 3.1)) == []


def test_long_tickets_are_split() -> None:
    parts = messages.tickets(TID, ["line"] * 100)
    assert all(len(p) <= 210 for p in parts)
    assert sum(p.endswith("\x1b") for p in parts) == 1


@pytest.mark.parametrize("text", [f"{TID}0J", f"{TID}0H" + "0" * 29, "99999999" + pay()[8:], f"{TID}0P00000001", "x"])
def test_what_is_not_ours_or_not_handled_is_refused(text: str) -> None:
    actions = machine().received(frame(text), 0.0)
    assert sent(actions) == [b"\x15\x03\x69"]
    assert not [a for a in actions if isinstance(a, Ask)]


def test_a_repeated_request_is_one_request() -> None:
    m = machine()
    ask_of(m.received(frame(pay()), 0.0))
    again = m.received(frame(pay()), 2.0)
    assert sent(again) == [b"\x06\x03\x7a"]
    assert not [a for a in again if isinstance(a, Ask)]


def test_a_request_repeated_after_its_result_is_still_one_request() -> None:
    """Found by the soak: all our ACKs were lost, the core was quick, and the register's last repetition was charged again."""
    m = machine()
    ask = ask_of(m.received(frame(pay()), 0.0))
    (result,) = sent(told(m, Answer(ask.number, Outcome.APPROVED, RECEIPT, needs_confirmation=True), 0.5))
    assert sent(m.received(frame(pay()), 4.0)) == [b"\x06\x03\x7a", result]
    while m.next_deadline_s is not None:
        m.ticked(m.next_deadline_s)
    assert sent(m.received(frame(pay()), 12.0)) == [b"\x06\x03\x7a", result]
    m.received(b"\x06\x03\x7a", 12.1)
    assert ask_of(m.received(frame(pay()), 12.2)).number != ask.number, "taken: the next one is another shopper's"


def test_the_same_request_much_later_is_another_one() -> None:
    m = machine()
    ask = ask_of(m.received(frame(pay()), 0.0))
    told(m, Answer(ask.number, Outcome.APPROVED, RECEIPT, needs_confirmation=True), 0.5)
    while m.next_deadline_s is not None:
        m.ticked(m.next_deadline_s)
    assert ask_of(m.received(frame(pay()), 30.0)).number != ask.number


def test_totals_and_closing() -> None:
    m = machine()
    ask = ask_of(m.received(frame(f"{TID}0T00000001" + "0" * 8), 0.0))
    assert (ask.kind, ask.close) == (Kind.TOTALS, False)
    (answer,) = sent(m.answered(Answer(ask.number, Outcome.APPROVED, totals=Totals(2, 2468)), 0.1))
    assert answer[1:-2].decode() == f"{TID}0T00" + "0000000000002468" + "000000"
    m.received(b"\x06\x03\x7a", 0.2)
    assert ask_of(m.received(frame(f"{TID}0C00000001" + "0" * 8), 0.3)).close


def test_progress_is_twenty_characters() -> None:
    m = machine()
    ask = ask_of(m.received(frame(pay()), 0.0))
    for note in Note:
        (progress,) = sent(m.noted(ask.number, note, 0.1))
        assert (len(progress), progress[0], progress[-1]) == (22, 1, 4)


@given(
    st.lists(
        st.one_of(st.binary(max_size=60), st.sampled_from([frame(pay()), frame(f"{TID}0s"), b"\x06\x03\x7a"]), st.none()),
        max_size=30,
    )
)
def test_each_approval_is_delivered_once_whatever_the_line_does(steps: list[bytes | None]) -> None:
    m, now, ended, asked = machine(), 0.0, [], []

    def run(actions: list[Action]) -> None:
        for action in actions:
            if isinstance(action, Ask):
                money = action.kind is Kind.PAY
                asked.extend([action.number] if money else [])
                run(told(m, Answer(action.number, Outcome.APPROVED, RECEIPT, needs_confirmation=money), now))
            elif isinstance(action, Delivered):
                ended.append(action.number)
            assert not isinstance(action, Undelivered)

    for step in steps:
        if step is None:
            now = m.next_deadline_s or now
            run(m.ticked(now))
        else:
            now += 0.01
            run(m.received(step, now))
    assert ended == asked


@pytest.mark.parametrize("text", [pay() + " ", closure()[:-1], f"{TID}0A00000001" + "0" * 5 + "00001234" + "0" * 9])
def test_a_request_for_money_of_another_length_is_refused(text: str) -> None:
    """Found by the soak: two doubled bytes cancel out in the checksum, and 12.34 had become 0.12."""
    assert sent(machine().received(frame(text), 0.0)) == [b"\x15\x03\x69"]


def test_at_a_gate_card_verification_says_which_reservation_is_the_palms() -> None:
    gate = Ecr17Machine(Till(terminal_id=TID, gate=True), wall_clock=lambda: NOW)
    actions = gate.received(frame(f"{TID}0H00000001" + "0" * 21), 0.0)
    assert ask_of(actions).kind is Kind.FIND
    (result,) = sent(gate.answered(Answer(ask_of(actions).number, Outcome.APPROVED, replace(RECEIPT, number=7)), 1.0))
    assert (len(result), result[35:41]) == (71 + 3, b"000007")
