"""What comes between: an abort, other commands inside a payment, a line that goes, a network in the place of a line."""

from __future__ import annotations

from dataclasses import replace

import pytest

from terminal.checkout import Outcome
from terminal.register.machine import Answer, Delivered, Kind, Note, Till, Undelivered
from tests.terminal.register.zvt_bench import OK, PAY, RECEIPT, Bench, code_of, paying

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
