"""What follows from a payment: reservations and their ends, refund, reversal, repeat receipt, synchronisation."""

from __future__ import annotations

from dataclasses import replace

import pytest

from terminal.checkout import Outcome
from terminal.register.machine import Delivered, Kind, Receipt, Till, Undelivered
from terminal.register.zvt import bmp, tlv
from terminal.register.zvt.apdu import parse
from tests.terminal.register.zvt_bench import OK, RECEIPT, Bench, code_of, ends_well

# What follows from a payment.

RESERVE = "06 22 0A 04 00 00 00 00 50 00 49 09 78"
RESERVED = replace(RECEIPT, number=7, trace=9, kind=Kind.RESERVE, amount_minor=5000)


def test_reserve_without_a_receipt_but_with_all_that_is_needed_later() -> None:
    bench = Bench()
    bench.registers()
    bench.says(RESERVE)
    assert (bench.asked().kind, bench.asked().amount_minor) == (Kind.RESERVE, 5000)
    bench.answers(receipt=RESERVED)
    fields = {f.tag: f.value for f in bmp.decode(parse(bytes.fromhex(bench.heard()[1])).data)}
    assert fields[0x87] == b"\x00\x07"
    assert fields[0x0B] == b"\x00\x00\x09"
    assert fields[0x3B] == b"A12345\x00\x00"
    assert fields[0x04] == bytes.fromhex("000000005000")
    bench.says(OK)
    bench.settles()
    ends_well(bench)


@pytest.mark.parametrize(
    ("message", "kind", "amount", "close"),
    [
        ("06 23 0D 87 00 07 04 00 00 00 00 37 66 49 09 78", Kind.RELEASE, 3766, True),
        ("06 24 0D 87 00 07 04 00 00 00 00 12 34 49 09 78", Kind.BOOK, 1234, False),
        ("06 23 03 87 00 07", Kind.BOOK, 0, True),
        ("06 24 03 87 00 07", Kind.BOOK, 0, True),
        ("06 25 03 87 00 07", Kind.RELEASE, 0, False),
        ("06 30 06 12 34 56 87 00 07", Kind.REVERSE, 0, False),
        ("06 30 0D 12 34 56 87 00 07 04 00 00 00 00 12 34", Kind.REVERSE, 1234, False),
    ],
)
def test_what_names_a_receipt(message: str, kind: Kind, amount: int, close: bool) -> None:
    bench = Bench()
    bench.says(message)
    ask = bench.asked()
    assert (ask.kind, ask.amount_minor, ask.receipt, ask.close) == (kind, amount, 7, close)
    bench.answers(receipt=replace(RECEIPT, original_trace=9))
    status = bench.heard()[1]
    assert "37 00 00 09" in status
    bench.says(OK)
    assert bench.settlements() == [Delivered(ask.number)]
    bench.settles()
    ends_well(bench)


def test_refund() -> None:
    bench = Bench()
    bench.says("06 31 0D 12 34 56 04 00 00 00 00 05 00 49 09 78")
    assert (bench.asked().kind, bench.asked().amount_minor) == (Kind.REFUND, 500)
    bench.answers()
    bench.says("84 05 00")
    assert isinstance(bench.settlements()[0], Undelivered)


@pytest.mark.parametrize(("outcome", "code"), [(Outcome.NOT_FOUND, "B8"), (Outcome.BAD_AMOUNT, "B7"), (Outcome.NO_SERVICE, "A3")])
@pytest.mark.parametrize("message", ["06 24 0D 87 00 07 04 00 00 00 00 12 34 49 09 78", "06 25 03 87 00 07"])
def test_reservations_that_can_not_be_ended(message: str, outcome: Outcome, code: str) -> None:
    bench = Bench()
    bench.says(message)
    bench.answers(outcome)
    assert f"27 {code}" in bench.heard()[1]
    bench.says(OK)
    assert bench.heard() == [f"06 1E 01 {code}"]


@pytest.mark.parametrize(
    ("outcome", "code"), [(Outcome.NOT_FOUND, "B5"), (Outcome.BAD_AMOUNT, "B5"), (Outcome.ALREADY_REVERSED, "B4")]
)
def test_reversals_that_are_not_possible(outcome: Outcome, code: str) -> None:
    bench = Bench()
    bench.says("06 30 06 12 34 56 87 00 07")
    bench.answers(outcome)
    assert f"27 {code}" in bench.heard()[1]
    bench.says(OK)
    assert bench.heard() == [f"06 1E 01 {code}"]


@pytest.mark.parametrize(
    "message",
    [
        "06 23 09 04 00 00 00 00 12 34 49",
        "06 23 0A 87 00 01 04 00 00 00 00 00 00",
        "06 24 0A 87 00 01 04 00 00 00 00 00 00",
        "06 25 00",
        "06 30 03 12 34 56",
        "06 01 00",
        "06 22 00",
    ],
)
def test_what_is_missing_is_malformed(message: str) -> None:
    bench = Bench()
    bench.says(message)
    assert bench.heard() == ["84 9A 00"]
    assert bench.machine.idle
    assert bench.actions == []


def test_open_reservations() -> None:
    bench = Bench()
    bench.says("06 23 03 87 FF FF")
    bench.answers(open_reservations=(7,))
    assert bench.heard() == [OK, "06 1E 04 B8 87 00 07"]


# The last transaction.


def test_repeat_receipt_with_the_status() -> None:
    bench = Bench()
    bench.says("06 20 05 12 34 56 03 01")
    bench.answers(receipt=RECEIPT)
    assert "27 00" in bench.heard()[1]
    bench.says(OK)
    ends_well(bench)


def test_repeat_receipt_of_what_was_reversed_says_so() -> None:
    bench = Bench()
    bench.says("06 20 05 12 34 56 03 01")
    bench.answers(receipt=replace(RECEIPT, reversed=True))
    assert "27 B4" in bench.heard()[1]


def test_repeat_receipt_printed_only() -> None:
    bench = Bench()
    bench.registers()
    bench.says("06 20 03 12 34 56")
    bench.answers(receipt=RECEIPT)
    assert [code_of(m) for m in bench.heard()] == [0x8000, 0x06D1]


def test_repeat_receipt_not_printed() -> None:
    bench = Bench()
    bench.registers()
    bench.says("06 20 05 12 34 56 03 03")
    bench.answers(receipt=RECEIPT)
    bench.heard()
    bench.says(OK)
    ends_well(bench)


def test_repeat_receipt_of_nothing() -> None:
    bench = Bench()
    bench.says("06 20 05 12 34 56 03 01")
    bench.answers(Outcome.NOT_FOUND)
    assert bench.heard() == [OK, "06 1E 01 83"]


def synchronising(mirrored: str, last: Receipt | None) -> Bench:
    """A payment whose TLV 1F1F mirrors this receipt number."""
    element = f"1F 1F {len(bytes.fromhex(mirrored)):02X} {mirrored}"
    size = len(bytes.fromhex(element))
    bench = Bench()
    bench.says(f"06 01 {7 + 2 + size:02X} 04 00 00 00 00 12 34 06 {size:02X} {element}")
    if mirrored:
        bench.answers(receipt=last)
    return bench


def test_a_register_that_missed_the_last_receipt_gets_it_reversed_first() -> None:
    bench = synchronising("00 06", RESERVED_PAYMENT)
    assert (bench.asked().kind, bench.asked().receipt) == (Kind.REVERSE, 7)
    number = bench.asked().number
    bench.answers()
    assert bench.settlements() == [Delivered(number)]
    bench.take(bench.machine.settled(number, True, bench.now_s))
    assert (bench.asked().kind, bench.asked().amount_minor) == (Kind.PAY, 1234)


RESERVED_PAYMENT = replace(RECEIPT, number=7)


@pytest.mark.parametrize(
    ("mirrored", "last"),
    [
        ("00 07", RESERVED_PAYMENT),
        ("00 03", RESERVED_PAYMENT),
        ("00 06", replace(RESERVED_PAYMENT, reversed=True)),
        ("00 06", None),
    ],
)
def test_in_step_or_out_of_reach_nothing_is_reversed(mirrored: str, last: Receipt | None) -> None:
    assert synchronising(mirrored, last).asked().kind is Kind.PAY


def test_a_register_without_any_receipt_is_in_step() -> None:
    assert synchronising("", None).asked().number == 1


def test_a_register_that_mirrors_gets_the_number_to_mirror() -> None:
    bench = synchronising("00 07", RESERVED_PAYMENT)
    bench.answers(receipt=replace(RECEIPT, number=8))
    container = bmp.decode(parse(bytes.fromhex(bench.heard()[1])).data)[-1]
    assert tlv.find(container.value, 0x1F1F) == b"\x00\x08"


def test_receipt_numbers_begin_again() -> None:
    assert synchronising("27 0F", replace(RESERVED_PAYMENT, number=1)).asked().kind is Kind.REVERSE


# Totals.


def test_at_a_gate_the_enquiry_asks_for_the_palm_of_whoever_leaves() -> None:
    bench = Bench(till=Till(terminal_id="12345678", gate=True))
    bench.says("06 23 03 87 FF FF")
    assert bench.asked().kind is Kind.FIND
    bench.answers(open_reservations=(7,))
    assert bench.heard() == [OK, "06 1E 04 B8 87 00 07"]


@pytest.mark.parametrize(
    ("outcome", "said"),
    [(Outcome.NOT_FOUND, "06 1E 04 B8 87 FF FF"), (Outcome.NOBODY, "06 1E 01 05"), (Outcome.TIMED_OUT, "06 1E 01 6C")],
)
def test_at_a_gate_nobody_is_found(outcome: Outcome, said: str) -> None:
    bench = Bench(till=Till(terminal_id="12345678", gate=True))
    bench.says("06 23 03 87 FF FF")
    bench.answers(outcome, receipt=None)
    assert bench.heard() == [OK, said]
