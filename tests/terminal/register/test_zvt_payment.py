"""A payment with ZVT in all its outcomes, on a clock of its own."""

from __future__ import annotations

import pytest

from terminal.checkout import Outcome
from terminal.register.machine import Delivered, Kind, Note, Till, Undelivered
from terminal.register.zvt import bmp, tlv
from terminal.register.zvt.apdu import parse
from tests.terminal.register.zvt_bench import OK, PAY, Bench, code_of, paying

APPROVED = (
    "04 0F 37 27 00 04 00 00 00 00 12 34 0B 00 00 01 0C 12 34 56 0D 11 23 19 60 29 12 34 56 78 "
    "3B 41 31 32 33 34 35 00 00 49 09 78 87 00 01 8B F0 F5 50 41 4C 4D 00"
)


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


def test_an_amount_without_a_currency_is_in_euros_or_in_what_was_registered() -> None:
    swiss = Till(terminal_id="12345678", currency="CHF")
    bench = Bench(till=swiss)
    bench.says("06 01 07 04 00 00 00 00 12 34")
    assert "27 6F" in bench.heard()[1]
    bench = Bench(till=swiss)
    bench.registers("06 00 06 12 34 56 BE 07 56")
    bench.says("06 01 07 04 00 00 00 00 12 34")
    assert bench.asked().currency == "CHF"


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
