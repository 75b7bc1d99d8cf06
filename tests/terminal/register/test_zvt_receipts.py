"""Receipts on the register's printer: by lines, as blocks, and a printer without paper."""

from __future__ import annotations

import pytest

from terminal.register.machine import Delivered, Undelivered
from terminal.register.zvt import bmp, tlv
from terminal.register.zvt.apdu import parse
from tests.terminal.register.zvt_bench import OK, Bench, code_of, paying


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
