"""ZVT beside payments: registration, what follows from a payment, end of day, clock, rate."""

from __future__ import annotations

import pytest

from terminal.checkout import Outcome
from terminal.register.machine import Kind, Till
from terminal.register.zvt import bmp, tlv
from terminal.register.zvt.apdu import parse
from tests.terminal.register.zvt_bench import OK, PAY, RECEIPT, TOTALS, Bench, code_of, ends_well

# Registration.


def test_the_registration_survives_a_restart() -> None:
    bench = Bench()
    bench.registers("06 00 10 12 34 56 BE 09 78 03 01 06 06 26 04 0A 02 06 D3")
    kept = bench.machine.settings
    again = Bench(till=Till(settings=kept))
    assert again.machine.settings == kept
    again.says("06 50 03 00 00 00")
    again.answers(totals=TOTALS)
    again.heard()
    again.says(OK)
    assert code_of(again.heard()[0]) == 0x06D3


def test_settings_that_can_not_be_read_count_as_never_registered() -> None:
    bench = Bench(till=Till(settings={"config": "soon", "columns": "x"}))
    assert bench.machine.settings == {}


def test_log_off_forgets_it() -> None:
    bench = Bench()
    bench.registers()
    bench.says("06 02 00")
    assert bench.heard() == [OK]
    assert bench.machine.settings == {}
    assert bench.machine.idle


def test_registration_with_tlv_tells_what_we_can_do() -> None:
    bench = Bench()
    bench.says("06 00 0A 12 34 56 3E 09 78 03 01 06 00")
    completion = parse(bytes.fromhex(bench.heard()[1]))
    fields = bmp.decode(completion.data)
    assert [f.tag for f in fields] == [0x19, 0x29, 0x49, 0x06]
    listed = tlv.decode(tlv.find(fields[-1].value, 0x26) or b"")
    assert tlv.Tlv(0x0A, b"\x06\x01") in listed


def test_registration_in_another_currency() -> None:
    bench = Bench()
    bench.says("06 00 06 12 34 56 BE 07 56")
    assert bench.heard() == ["84 1E 03 6F 09 78"]
    assert bench.machine.settings == {}


@pytest.mark.parametrize("message", ["06 00 00", "06 00 03 12 34 56", "06 00 02 12 34", "06 00 07 12 34 56 BE 09 78 06"])
def test_malformed_registrations(message: str) -> None:
    bench = Bench()
    bench.says(message)
    assert bench.heard() == ["84 9A 00"]
    assert bench.machine.settings == {}
    assert bench.machine.idle


def test_registration_repeated_changes_the_bits() -> None:
    bench = Bench()
    bench.registers()
    bench.registers("06 00 04 12 34 56 00")
    assert bench.machine.settings["config"] == "00"


# Status.


@pytest.mark.parametrize(
    ("outcome", "state"),
    [
        (Outcome.APPROVED, "00"),
        (Outcome.OWED, "9C"),
        (Outcome.NO_SERVICE, "9C"),
        (Outcome.READER_FAULT, "DF"),
        (Outcome.FAULT, "DF"),
    ],
)
def test_states(outcome: Outcome, state: str) -> None:
    bench = Bench()
    bench.says("05 01 00")
    bench.answers(outcome)
    assert bench.heard() == [OK, f"06 0F 0C F0 F0 F8 50 41 4C 4D 20 31 2E 30 {state}"]


def test_the_registrations_service_byte_is_not_that_of_a_status_enquiry() -> None:
    """Bit 02 means capitals in the one and "no version" in the other."""
    bench = Bench()
    bench.registers("06 00 08 00 00 00 BE 09 78 03 02")
    bench.says("05 01 00")
    bench.answers()
    assert bench.heard()[1].startswith("06 0F 0C F0 F0 F8")


def test_the_version_is_left_out_on_request() -> None:
    bench = Bench()
    bench.says("05 01 05 12 34 56 03 02")
    bench.answers()
    assert bench.heard() == [OK, "06 0F 01 00"]


@pytest.mark.parametrize(("message", "close"), [("06 50 03 00 00 00", True), ("06 10 03 00 00 00", False)])
def test_totals(message: str, close: bool) -> None:
    bench = Bench()
    bench.says(message)
    assert (bench.asked().kind, bench.asked().close) == (Kind.TOTALS, close)
    bench.answers(totals=TOTALS)
    status = bench.heard()[1]
    assert status.startswith("04 0F 52 27 00 04 00 00 00 00 37 02 0B 00 00 00 0C 19 45 12 0D 11 23 29 12 34 56 78")
    assert status.split(" 60 ")[1].startswith("F0 F5 F3 00 01 00 04")
    bench.says(OK)
    ends_well(bench)


def test_the_end_of_the_day_on_the_registers_printer() -> None:
    bench = Bench()
    bench.registers()
    bench.says("06 50 03 00 00 00")
    bench.answers(totals=TOTALS)
    bench.heard()
    bench.says(OK)
    lines = []
    while (heard := bench.heard()) and code_of(heard[0]) == 0x06D1:
        lines.append(heard[0])
        bench.says(OK)
    assert lines[-1] == "06 D1 01 81"
    assert heard == ["06 0F 00"]


def test_the_end_of_the_day_is_not_possible() -> None:
    bench = Bench()
    bench.says("06 50 03 00 00 00")
    bench.answers(Outcome.OWED)
    assert bench.heard()[1].startswith("04 0F 07 27 A1 29")
    bench.says(OK)
    assert bench.heard() == ["06 1E 01 A1"]


# Clock, screen, rate, and what we don't do.


def test_diagnosis_tells_our_time() -> None:
    bench = Bench()
    bench.says("06 70 00")
    assert bench.heard() == [OK, "04 01 08 AA 26 11 23 0C 19 45 12"]
    bench.says(OK)
    ends_well(bench)


@pytest.mark.parametrize("message", ["06 93 03 00 00 00", "06 18 00", "06 91 0B 00 00 00 AA 26 11 23 0C 19 45 00"])
def test_what_is_simply_done(message: str) -> None:
    bench = Bench()
    bench.says(message)
    assert bench.heard() == [OK, "06 0F 00"]
    bench.says(OK)
    assert bench.machine.idle


@pytest.mark.parametrize(
    ("message", "answer"),
    [
        ("06 91 0B 00 00 00 AA 26 13 23 0C 19 45 00", "84 FD 00"),
        ("06 91 07 00 00 00 AA 26 11 23", "84 9A 00"),
        ("06 91 00", "84 9A 00"),
    ],
)
def test_a_clock_that_can_not_be(message: str, answer: str) -> None:
    bench = Bench()
    bench.says(message)
    assert bench.heard() == [answer]


def test_display_text() -> None:
    bench = Bench()
    bench.says("06 E0 09 F0 05 F1 F0 F4 50 55 4D 50")
    assert bench.heard() == [OK]
    assert "1 lines" in bench.remarks[-1]
    assert "PUMP" not in bench.remarks[-1], "it may be a card number, and remarks go into the log"
    bench.says(PAY)
    bench.heard()
    bench.says("06 E0 09 F0 05 F1 F0 F4 50 55 4D 50")
    assert bench.heard() == [OK], "inside a payment too"


@pytest.mark.parametrize(("code", "baud"), [("00", 9600), ("01", 19_200), ("06", 57_600), ("07", 115_200)])
def test_change_of_rate_after_our_answer(code: str, baud: int) -> None:
    bench = Bench()
    bench.says(f"08 40 01 {code}")
    assert bench.heard() == [OK]
    assert bench.rates() == [baud]


def test_the_rate_changes_when_the_register_has_our_answer() -> None:
    bench = Bench(acks=False)
    bench.says("08 40 01 07")
    assert bench.heard() == [OK]
    assert bench.rates() == []
    bench.bytes_come(b"\x06")
    assert bench.rates() == [115_200]
    assert bench.machine.idle


def test_the_rate_changes_within_two_seconds_even_without_an_acknowledgement() -> None:
    bench = Bench(acks=False)
    bench.says("08 40 01 07")
    bench.passes(1.6)
    assert bench.rates() == [115_200]


@pytest.mark.parametrize(("message", "answer"), [("08 40 01 55", "84 FD 00"), ("08 40 00", "84 9A 00")])
def test_a_rate_that_can_not_be(message: str, answer: str) -> None:
    bench = Bench()
    bench.says(message)
    assert bench.heard() == [answer]
    assert bench.rates() == []


def test_over_a_network_there_is_no_rate() -> None:
    bench = Bench(tcp=True)
    bench.bytes_come(bytes.fromhex("08 40 01 07"))
    assert bench.heard() == ["84 7D 00"]


@pytest.mark.parametrize(
    "message", ["06 C0 00", "06 21 00", "06 E2 00", "06 E3 00", "06 E7 00", "08 10 00", "08 13 00", "0F 01 00", "06 0F 00"]
)
def test_what_we_do_not_do(message: str) -> None:
    bench = Bench()
    bench.says(message)
    assert bench.heard() == ["84 83 00"]
    assert bench.machine.idle


def test_bitmaps() -> None:
    bench = Bench()
    bench.says("06 01 09 04 00 00 00 00 12 34 C7 00")
    assert bench.heard() == ["84 83 00"], "of unknown size"
    bench.says("06 01 0C 04 00 00 00 00 12 34 3C F0 F0 F2 41")
    assert bench.heard() == ["84 9A 00"], "cut off"
    bench.says("06 01 0A 05 01 8A 05 04 00 00 00 00 12 34 ".replace("0A", "0B", 1))
    assert bench.heard() == [OK], "known but without meaning here, in any order"


def test_a_long_message() -> None:
    bench = Bench()
    text = "41" * 300
    bench.says(f"06 01 FF 37 01 04 00 00 00 00 12 34 3C F3 F0 F0 {text}")
    assert bench.heard() == [OK]
    assert bench.asked().note == "A" * 300


def test_reprint() -> None:
    bench = Bench()
    bench.registers()
    bench.says("06 12 05 00 00 00 00 01")
    bench.answers(receipt=RECEIPT)
    assert [code_of(m) for m in bench.heard()] == [0x8000, 0x06D1]
