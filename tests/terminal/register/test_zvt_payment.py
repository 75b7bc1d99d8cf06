"""A payment with ZVT in all its outcomes, on a clock of its own."""

from __future__ import annotations

from dataclasses import replace

import pytest

from terminal.checkout import Outcome
from terminal.register.machine import Answer, Delivered, Kind, Note, Till, Undelivered
from terminal.register.zvt import bmp, tlv
from terminal.register.zvt.apdu import parse
from tests.terminal.register.zvt_bench import OK, PAY, RECEIPT, Bench, code_of

APPROVED = (
    "04 0F 37 27 00 04 00 00 00 00 12 34 0B 00 00 01 0C 12 34 56 0D 11 23 19 60 29 12 34 56 78 "
    "3B 41 31 32 33 34 35 00 00 49 09 78 87 00 01 8B F0 F5 50 41 4C 4D 00"
)


def paying(bench: Bench, message: str = PAY) -> Bench:
    bench.says(message)
    assert bench.heard() == [OK]
    return bench


def test_paid_step_by_step() -> None:
    bench = paying(Bench())
    ask = bench.asked()
    assert (ask.kind, ask.amount_minor, ask.currency) == (Kind.PAY, 1234, "EUR")
    bench.answers()
    (status,) = bench.heard()
    assert status.split()[3:] == APPROVED.split()[3:]
    assert bench.settlements() == []
    bench.says(OK)
    assert bench.settlements() == [Delivered(ask.number)]
    assert bench.heard() == [], "no completion before the core has written down that the payment stands"
    bench.settles()
    assert bench.heard() == ["06 0F 00"]
    bench.says(OK)
    assert bench.machine.idle
    assert bench.machine.next_deadline_s is None


def test_the_acknowledgement_comes_before_everything_else() -> None:
    bench = Bench()
    bench.says(PAY)
    assert bench.raw[0] == b"\x06"
    assert bench.heard_all() == ["ACK", OK]


@pytest.mark.parametrize("positive", ["80 00 00", "84 00 00"])
def test_both_positive_answers_count(positive: str) -> None:
    bench = paying(Bench())
    bench.answers()
    bench.says(positive)
    assert isinstance(bench.settlements()[0], Delivered)


def test_without_registration_neither_intermediate_states_nor_print_commands_nor_tlv() -> None:
    bench = paying(Bench())
    bench.notes(Note.PRESENT_PALM)
    bench.passes(60)
    assert bench.heard() == []
    bench.answers()
    bench.says(OK)
    bench.settles()
    assert [code_of(m) for m in bench.heard()] == [0x040F, 0x060F]


def test_intermediate_states_where_they_are_wanted() -> None:
    bench = Bench()
    bench.registers()
    paying(bench)
    bench.notes(Note.PRESENT_PALM)
    assert bench.heard() == ["04 FF 02 0A 03"]
    bench.notes(Note.LOOKING)
    assert bench.heard() == [], "the register has not answered the first yet"
    bench.says(OK)
    assert bench.heard() == ["04 FF 02 0E 03"]
    bench.says(OK)
    bench.passes(29)
    bench.says(OK)
    assert set(bench.heard()) == {"04 FF 02 0E 03"}, "repeated before 30 s are over"


def test_the_result_waits_for_the_answer_to_an_intermediate_state_but_not_for_ever() -> None:
    bench = Bench()
    bench.registers("06 00 06 12 34 56 08 09 78")
    paying(bench)
    bench.notes(Note.LOOKING)
    bench.heard()
    bench.answers()
    assert bench.heard() == []
    bench.passes(5)
    assert [code_of(m) for m in bench.heard()] == [0x040F]
    bench.says(OK)
    assert bench.settlements() == [Delivered(bench.asked().number)]


def test_texts_only_where_tlv_was_registered() -> None:
    bench = Bench()
    bench.registers("06 00 08 12 34 56 08 09 78 06 00")
    paying(bench)
    bench.notes(Note.PRESENT_PALM)
    (message,) = bench.heard()
    (field,) = bmp.decode(parse(bytes.fromhex(message)).data[2:])
    assert tlv.find(field.value, 0x07) == b"Please hold your palm over the reader"


def test_tlv_in_the_request_allows_it_in_the_answer() -> None:
    bench = paying(Bench(), "06 01 09 04 00 00 00 00 12 34 06 00")
    bench.answers()
    (status,) = bench.heard()
    fields = bmp.decode(parse(bytes.fromhex(status)).data)
    assert fields[-1].tag == 0x06
    assert tlv.find(fields[-1].value, 0x1F11) == b"\x01"


def test_the_currency_is_sent_back_only_where_it_was_sent() -> None:
    bench = paying(Bench(), "06 01 07 04 00 00 00 00 12 34")
    bench.answers()
    (status,) = bench.heard()
    assert 0x49 not in [f.tag for f in bmp.decode(parse(bytes.fromhex(status)).data)]


def test_a_currency_that_is_not_ours() -> None:
    bench = paying_refused = Bench()
    bench.says("06 01 0A 04 00 00 00 00 12 34 49 07 56")
    heard = paying_refused.heard()
    assert heard[0] == OK
    assert "27 6F" in heard[1]
    bench.says(OK)
    assert bench.heard() == ["06 1E 01 6F"]
    assert bench.actions == []


@pytest.mark.parametrize(
    ("outcome", "code"),
    [
        (Outcome.NOBODY, "05"), (Outcome.LIMIT, "33"), (Outcome.BLOCKED, "3E"), (Outcome.TIMED_OUT, "6C"), (Outcome.ABORTED, "6C"),
        (Outcome.NO_SERVICE, "A3"), (Outcome.OWED, "A1"), (Outcome.BUSY, "9C"), (Outcome.BAD_AMOUNT, "C3"),
        (Outcome.READER_FAULT, "FC"), (Outcome.FAULT, "FF"), (Outcome.NOT_SUPPORTED, "83"),
    ],
)  # fmt: skip
def test_a_failure_is_said_twice(outcome: Outcome, code: str) -> None:
    bench = paying(Bench())
    bench.answers(outcome, text="Please pay another way.")
    (status,) = bench.heard()
    assert status.startswith(
        f"04 0F {len(bytes.fromhex(status)) - 3:02X} 27 {code} 04 00 00 00 00 12 34 29 12 34 56 78 49 09 78 3C F0 F2 F3"
    )
    bench.says(OK)
    assert bench.heard() == [f"06 1E 01 {code}"]
    bench.says(OK)
    assert bench.machine.idle
    assert bench.settlements() == []


def test_an_amount_of_nothing_is_too_small() -> None:
    bench = paying(Bench(), "06 01 07 04 00 00 00 00 00 00")
    bench.answers(Outcome.BAD_AMOUNT)
    assert "27 C8" in bench.heard()[0]


@pytest.mark.parametrize("answer", ["84 05 00", "84 6C 00", "84 FF 00", "84 9A 00"])
def test_a_register_that_says_no_gets_it_undone(answer: str) -> None:
    bench = paying(Bench())
    bench.answers()
    bench.heard()
    bench.says(answer)
    (undone,) = bench.settlements()
    assert isinstance(undone, Undelivered)
    assert "27 6C" in bench.heard()[0]
    bench.says(OK)
    assert bench.heard() == ["06 1E 01 6C"]


def test_please_wait_sends_the_result_again_after_two_seconds() -> None:
    bench = paying(Bench())
    bench.answers()
    (first,) = bench.heard()
    bench.says("84 9C 00")
    bench.passes(1.9)
    assert bench.heard() == []
    bench.passes(0.2)
    assert bench.heard() == [first]
    bench.says(OK)
    assert bench.settlements() == [Delivered(bench.asked().number)]


def test_please_wait_more_often_than_the_register_allowed_itself() -> None:
    bench = paying(Bench(), "06 01 0C 04 00 00 00 00 12 34 49 09 78 02 02")
    bench.answers()
    for _ in range(3):
        assert bench.settlements() == []
        bench.says("84 9C 00")
        bench.passes(2)
    assert isinstance(bench.settlements()[0], Undelivered)
    assert "27 6C" in bench.heard()[-1]
    bench.says(OK)
    assert bench.heard() == ["06 1E 01 6C"]


def test_only_a_part_was_delivered() -> None:
    bench = paying(Bench())
    bench.answers()
    bench.says("84 9D 07 04 00 00 00 00 05 00")
    assert bench.settlements() == [Delivered(bench.asked().number, 500)]
    bench.settles()
    assert bench.heard()[-1] == "06 0F 00"


@pytest.mark.parametrize("part", ["84 9D 00", "84 9D 07 04 00 00 00 00 12 35", "84 9D 07 04 00 00 00 00 00 00", "84 9D 02 49 09"])
def test_a_part_that_can_not_be(part: str) -> None:
    bench = paying(Bench())
    bench.answers()
    bench.says(part)
    assert isinstance(bench.settlements()[0], Undelivered)


def test_a_register_that_never_confirms() -> None:
    bench = paying(Bench())
    bench.answers()
    bench.heard()
    bench.passes(29.9)
    assert bench.settlements() == []
    bench.passes(0.2)
    assert isinstance(bench.settlements()[0], Undelivered)
    assert "27 6C" in bench.heard()[0]
    bench.passes(30)
    assert bench.heard() == ["06 1E 01 6C"]
    assert bench.machine.idle


def test_the_register_may_say_how_long_it_takes() -> None:
    bench = paying(Bench(), "06 01 0C 04 00 00 00 00 12 34 49 09 78 01 5A")
    bench.answers()
    bench.passes(89)
    assert bench.settlements() == []
    bench.passes(2)
    assert isinstance(bench.settlements()[0], Undelivered)


def test_a_register_that_has_gone() -> None:
    bench = paying(Bench())
    bench.acks = False
    bench.answers()
    bench.passes(14.9)
    assert bench.settlements() == []
    assert len(bench.heard()) == 3, "the first and two repeats"
    bench.passes(0.2)
    assert isinstance(bench.settlements()[0], Undelivered)
    assert bench.heard() == []
    assert bench.machine.idle


def test_the_core_could_not_write_it_down() -> None:
    bench = paying(Bench())
    bench.answers()
    bench.says(OK)
    bench.heard()
    bench.settles(kept=False)
    assert "27 FF" in bench.heard()[0]
    bench.says(OK)
    assert bench.heard() == ["06 1E 01 FF"]
    assert bench.settlements() == [Delivered(bench.asked().number)]


def test_a_driver_that_never_tells_that_it_settled() -> None:
    bench = paying(Bench())
    bench.answers()
    bench.says(OK)
    bench.heard()
    bench.passes(3)
    assert bench.heard() == ["06 0F 00"]


def test_the_completion_is_lost_and_the_payment_stands() -> None:
    bench = paying(Bench())
    bench.answers()
    bench.says(OK)
    bench.acks = False
    bench.settles()
    bench.passes(20)
    assert bench.settlements() == [Delivered(bench.asked().number)]
    assert bench.machine.idle


# Receipts on the register.


def printed(bench: Bench, answer: str = OK) -> list[str]:
    lines = []
    for _ in range(100):
        heard = bench.heard()
        if not heard or code_of(heard[0]) not in (0x06D1, 0x06D3):
            break
        lines += heard
        bench.says(answer)
    bench._heard = [*heard, *bench._heard]
    return lines


def test_receipts_by_lines_and_the_payment_stands_only_after_the_last() -> None:
    bench = Bench()
    bench.registers("06 00 06 12 34 56 82 09 78")
    paying(bench)
    bench.answers()
    bench.heard()
    bench.says(OK)
    assert bench.settlements() == []
    lines = printed(bench)
    assert lines.count("06 D1 01 81") == 2, "the merchant's and the customer's receipt end with a cut"
    assert any(bytes.fromhex(line)[4:] == b"12.34 EUR" for line in lines)
    assert bench.settlements() == [Delivered(bench.asked().number)]
    bench.settles()
    assert bench.heard() == ["06 0F 00"]


def test_receipts_as_blocks_where_the_register_lists_them() -> None:
    bench = Bench()
    bench.registers("06 00 10 12 34 56 BE 09 78 03 01 06 06 26 04 0A 02 06 D3")
    paying(bench)
    bench.answers()
    bench.heard()
    bench.says(OK)
    blocks = printed(bench)
    assert [code_of(b) for b in blocks] == [0x06D3, 0x06D3]
    container = bmp.decode(parse(bytes.fromhex(blocks[0])).data)[0].value
    assert tlv.decode(container)[0] == tlv.Tlv(0x1F07, b"\x01")
    assert tlv.decode(tlv.decode(container)[1].value)[-1] == tlv.Tlv(0x09, b"\x81")


@pytest.mark.parametrize("config", ["06 00 06 12 34 56 02 09 78", "06 00 06 12 34 56 80 09 78"])
def test_no_print_commands_unless_both_bits_say_so(config: str) -> None:
    bench = Bench()
    bench.registers(config)
    paying(bench)
    bench.answers()
    bench.heard()
    bench.says(OK)
    bench.settles()
    assert bench.heard() == ["06 0F 00"]


def test_a_printer_without_paper_undoes_the_payment() -> None:
    bench = Bench()
    bench.registers("06 00 06 12 34 56 82 09 78")
    paying(bench)
    bench.answers()
    bench.says(OK)
    bench.heard()
    bench.says("84 CC 00")
    assert isinstance(bench.settlements()[0], Undelivered)
    assert "27 CC" in bench.heard()[0]
    bench.says(OK)
    assert bench.heard() == ["06 1E 01 CC"]


def test_a_printer_without_paper_does_not_take_back_what_was_partly_delivered() -> None:
    bench = Bench()
    bench.registers("06 00 06 12 34 56 82 09 78")
    paying(bench)
    bench.answers()
    bench.says("84 9D 07 04 00 00 00 00 05 00")
    bench.heard()
    bench.says("84 CC 00")
    assert bench.settlements() == [Delivered(bench.asked().number, 500)]
    bench.settles()
    assert bench.heard() == ["06 0F 00"]


def test_a_line_lost_at_the_receipt_does_not_take_back_what_was_partly_delivered() -> None:
    bench = Bench()
    bench.registers("06 00 06 12 34 56 82 09 78")
    paying(bench)
    bench.answers()
    bench.says("84 9D 07 04 00 00 00 00 05 00")
    bench.take(bench.machine.line_lost(bench.now_s))
    assert bench.settlements() == [Delivered(bench.asked().number, 500)]


# Abort.


def test_abort_while_the_shopper_is_waited_for() -> None:
    bench = Bench()
    bench.registers()
    paying(bench)
    bench.notes(Note.PRESENT_PALM)
    bench.heard()
    bench.says("06 B0 00")
    assert bench.aborts() == 1
    bench.take(bench.machine.abort_answered(bench.asked().number, True, bench.now_s))
    assert bench.heard() == [OK], "the very next message"
    bench.answers(Outcome.ABORTED)
    assert "27 6C" in bench.heard()[0]
    bench.says(OK)
    assert bench.heard() == ["06 1E 01 6C"]
    bench.says(OK)
    assert bench.machine.idle


def test_abort_when_an_intermediate_state_crosses_it() -> None:
    bench = Bench()
    bench.registers()
    paying(bench)
    bench.acks = False
    bench.notes(Note.PRESENT_PALM)
    bench.says("06 B0 00")
    bench.take(bench.machine.abort_answered(bench.asked().number, True, bench.now_s))
    assert bench.heard() == ["04 FF 02 0A 03", OK]
    bench.passes(4.9)
    assert bench.heard() == [], "the state that crossed is not repeated"


def test_abort_when_it_is_too_late() -> None:
    bench = paying(Bench())
    bench.says("06 B0 00")
    bench.take(bench.machine.abort_answered(bench.asked().number, False, bench.now_s))
    assert bench.heard() == ["84 83 00"]
    bench.answers()
    bench.says("06 B0 00")
    assert bench.heard()[-1] == "84 83 00", "the result is out: the register answers that"
    bench.says(OK)
    assert bench.settlements() == [Delivered(bench.asked().number)]
    bench.says("06 B0 00")
    assert bench.heard() == ["84 83 00"]
    bench.settles()
    assert bench.heard() == ["06 0F 00"]


def test_abort_when_nothing_is_open() -> None:
    bench = Bench()
    bench.says("06 B0 00")
    assert bench.heard() == [OK]
    assert bench.actions == []


# Other commands inside a payment.


@pytest.mark.parametrize("second", [PAY, "06 22 07 04 00 00 00 00 00 01", "06 50 03 00 00 00", "06 70 00"])
def test_a_second_request_finds_the_terminal_busy(second: str) -> None:
    bench = paying(Bench())
    bench.says(second)
    assert bench.heard() == ["84 9C 00"]
    assert len(bench.actions) == 1
    bench.answers()
    bench.says(second)
    assert bench.heard()[-1] == "84 9C 00"
    bench.says(OK)
    assert bench.settlements() == [Delivered(bench.asked().number)]


def test_a_status_enquiry_inside_a_payment_is_not_answered_with_a_completion() -> None:
    bench = Bench()
    bench.registers()
    paying(bench)
    bench.says("05 01 03 00 00 00")
    assert bench.heard() == [OK, "04 FF 02 0E 03"]
    bench.says(OK)
    bench.answers()
    assert [code_of(m) for m in bench.heard()] == [0x040F]
    bench.says("05 01 00")
    assert bench.heard() == [OK]
    bench.says(OK)
    assert bench.settlements() == []  # receipts follow: this register wants them printed


def test_an_unknown_command_inside_a_payment() -> None:
    bench = paying(Bench())
    bench.says("06 C0 00")
    assert bench.heard() == ["84 83 00"]
    bench.answers()
    bench.says(OK)
    assert bench.settlements() == [Delivered(bench.asked().number)]


def test_a_register_that_began_anew_while_the_shopper_was_waited_for() -> None:
    bench = paying(Bench())
    bench.says("06 00 06 12 34 56 BE 09 78")
    assert bench.aborts() == 1
    assert bench.heard() == []
    bench.take(bench.machine.abort_answered(bench.asked().number, True, bench.now_s))
    assert bench.heard() == [], "this abort was our own"
    bench.answers(Outcome.ABORTED)
    assert [code_of(m) for m in bench.heard()] == [0x8000, 0x060F], "and then the registration"


def test_a_register_that_began_anew_but_the_payment_can_not_be_stopped() -> None:
    bench = paying(Bench())
    bench.says("06 00 06 12 34 56 BE 09 78")
    bench.take(bench.machine.abort_answered(bench.asked().number, False, bench.now_s))
    bench.passes(4.1)
    assert bench.heard() == ["84 9C 00"], "within T3"
    bench.answers()
    assert isinstance(bench.settlements()[0], Undelivered)
    assert bench.heard() == []
    bench.says(PAY)
    assert bench.heard() == [OK]


def test_a_register_that_began_anew_instead_of_acknowledging() -> None:
    bench = paying(Bench())
    bench.answers()
    bench.heard()
    bench.says("06 20 05 00 00 00 03 01")
    assert isinstance(bench.settlements()[0], Undelivered)
    assert bench.heard() == [OK]
    assert bench.asked().kind is Kind.LAST_RESULT
    bench.answers(receipt=replace(RECEIPT, reversed=True))
    assert "27 B4" in bench.heard()[0]


def test_the_next_command_is_as_good_as_an_answer_to_the_completion() -> None:
    bench = paying(Bench())
    bench.answers()
    bench.says(OK)
    bench.settles()
    bench.heard()
    bench.says(PAY)
    assert bench.heard() == [OK]
    assert len(bench.settlements()) == 1


# The line.


def test_the_line_is_lost_while_the_shopper_is_waited_for() -> None:
    bench = paying(Bench())
    bench.take(bench.machine.line_lost(bench.now_s))
    assert bench.aborts() == 1
    bench.answers()
    assert [type(s) for s in bench.settlements()] == [Undelivered]
    bench.take(bench.machine.line_opened(bench.now_s))
    bench.says(PAY)
    assert bench.heard() == [OK]


def test_the_line_is_lost_before_the_register_acknowledged() -> None:
    bench = paying(Bench())
    bench.answers()
    bench.take(bench.machine.line_lost(bench.now_s))
    assert [type(s) for s in bench.settlements()] == [Undelivered]
    assert bench.machine.idle


def test_the_line_is_lost_after_the_register_acknowledged() -> None:
    bench = paying(Bench())
    bench.answers()
    bench.says(OK)
    bench.take(bench.machine.line_lost(bench.now_s))
    bench.settles()
    assert bench.settlements() == [Delivered(bench.asked().number)]
    assert bench.machine.idle


def test_requests_wait_a_little_where_the_old_one_is_still_ending() -> None:
    bench = paying(Bench())
    bench.take(bench.machine.line_lost(bench.now_s))
    bench.take(bench.machine.line_opened(bench.now_s))
    bench.heard()
    bench.says(PAY)
    assert bench.heard() == []
    bench.answers(Outcome.ABORTED)
    assert bench.heard() == [OK]
    assert bench.asked().number == 2


def test_an_answer_that_nobody_waits_for_is_undone() -> None:
    bench = Bench()
    bench.take(bench.machine.answered(Answer(77, Outcome.APPROVED, needs_confirmation=True), bench.now_s))
    assert [s.number for s in bench.settlements() if isinstance(s, Undelivered)] == [77]


# Over TCP.


def test_over_tcp_the_same_messages_go_raw() -> None:
    bench = Bench(tcp=True)
    bench.bytes_come(bytes.fromhex(PAY + "05 01 00")[:7])
    bench.bytes_come(bytes.fromhex(PAY)[7:])
    assert bench.raw == [bytes.fromhex(OK)]
    bench.answers()
    bench.bytes_come(bytes.fromhex(OK + "06 B0 00"))
    assert bench.settlements() == [Delivered(bench.asked().number)]


def test_over_tcp_a_closed_connection_ends_the_request() -> None:
    bench = Bench(tcp=True)
    bench.bytes_come(bytes.fromhex(PAY))
    bench.answers()
    bench.take(bench.machine.line_lost(bench.now_s))
    assert [type(s) for s in bench.settlements()] == [Undelivered]


def test_over_tcp_half_a_message_closes_the_connection() -> None:
    bench = Bench(tcp=True)
    bench.bytes_come(b"\x06\x01\x0a\x04")
    bench.passes(5)
    assert bench.hung_up()


def test_a_password_where_one_is_checked() -> None:
    bench = Bench(till=Till(password="123456"))
    bench.says("06 00 06 00 00 00 BE 09 78")
    assert bench.heard() == ["84 37 00"]
    bench.says("06 00 06 12 34 56 BE 09 78")
    assert bench.heard()[0] == OK
