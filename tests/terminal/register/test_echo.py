"""Adapters that echo: whatever the protocol, what the terminal says itself is never taken for the register's word."""

from __future__ import annotations

import pytest

from terminal.checkout import Outcome
from terminal.config import RegisterOptions, Shop
from terminal.register import open_machine
from terminal.register.echo import CHUNKS_MAX, EchoFilter
from terminal.register.machine import Action, Answer, Ask, Delivered, Kind, Machine, Receipt, Remark, Send, Settles, Undelivered
from terminal.register.stx_frames import lrc
from tests.terminal.register.fuzz import SEEDS

RECEIPT = Receipt(7, 8, Kind.PAY, 1234, "EUR", "A12345", "20261123", "163100")
TID = "00000001"


class Echoing:
    """A machine on a line that gives back everything at once, with a core that approves."""

    def __init__(self, protocol: str) -> None:
        options = RegisterOptions.model_validate({"protocol": protocol, "terminal_id": TID})
        shop = Shop(currency="CLP" if protocol == "transbank" else "EUR")
        self.machine: Machine = open_machine(options, shop, {"last_trace": ""})
        self.now_s = 0.0
        self.sent: list[bytes] = []
        self.asked: list[Ask] = []
        self.ended: list[Delivered | Undelivered] = []
        self.remarks: list[str] = []

    def says(self, data: bytes) -> None:
        self.now_s += 0.01
        self._do(self.machine.received(data, self.now_s))

    def waits(self, times: int = 40) -> None:
        for _ in range(times):
            if self.machine.next_deadline_s is None:
                return
            self.now_s = max(self.now_s, self.machine.next_deadline_s)
            self._do(self.machine.ticked(self.now_s))

    def _do(self, actions: list[Action]) -> None:
        todo = list(actions)
        while todo:
            assert len(self.sent) < 200, "the terminal talks to its own echo"
            action = todo.pop(0)
            match action:
                case Send(data):
                    self.sent.append(data)
                    todo += self.machine.received(data, self.now_s)
                case Ask():
                    self.asked.append(action)
                    money = action.kind is Kind.PAY
                    answer = Answer(action.number, Outcome.APPROVED, RECEIPT, needs_confirmation=money)
                    todo += self.machine.answered(answer, self.now_s)
                case Delivered(number):
                    self.ended.append(action)
                    if isinstance(self.machine, Settles):
                        todo += self.machine.settled(number, True, self.now_s)
                case Undelivered():
                    self.ended.append(action)
                case Remark(text):
                    self.remarks.append(text)


def ecr17(text: str) -> bytes:
    body = text.encode("ascii")
    return b"\x02" + body + b"\x03" + bytes((lrc(body, 0x7F) ^ 3,))


def test_ecr17_a_payment_is_one_payment_and_its_result_is_repeated_for_the_register() -> None:
    line = Echoing("ecr17")
    pay = f"{TID}0P00000001" + "00000" + "00001234" + " " * 128 + "0" * 8
    line.says(ecr17(pay))
    line.waits()
    assert [a.kind for a in line.asked] == [Kind.PAY]
    assert [type(e) for e in line.ended] == [Delivered]
    results = [data for data in line.sent if data.startswith(b"\x02")]
    assert len(results) == 3, "its echo is not the register's acknowledgement"
    assert any("echoes" in remark for remark in line.remarks)


def test_ecr17_a_status_is_asked_once() -> None:
    line = Echoing("ecr17")
    line.says(ecr17(f"{TID}0s"))
    line.waits()
    assert [a.kind for a in line.asked] == [Kind.STATUS]


def test_transbank_the_echo_of_an_answer_does_not_acknowledge_it() -> None:
    line = Echoing("transbank")
    line.says(SEEDS["transbank"][0])
    line.waits()
    assert [a.kind for a in line.asked] == [Kind.PAY]
    assert [type(e) for e in line.ended] == [Undelivered]


@pytest.mark.parametrize("answered", [True, False])
def test_concert_the_echo_of_an_answer_does_not_acknowledge_it(answered: bool) -> None:
    line = Echoing("concert")
    line.says(b"\x05")
    line.says(SEEDS["concert"][3])
    line.says(b"\x04")
    line.waits(1)
    if answered:
        line.says(b"\x06")
        line.says(b"\x06")
    line.waits()
    assert [type(e) for e in line.ended] == [Delivered if answered else Undelivered]


def test_more_writes_than_are_remembered_while_one_is_half_echoed() -> None:
    """Found by the fuzzer: the place in a forgotten write was looked up in the next one."""
    echo = EchoFilter((b"\x02",), 3)
    echo.sent(b"\x02abcdefgh", 0.0)
    assert echo.strip(b"\x02abcde", 0.0) == b""
    for _ in range(CHUNKS_MAX):
        echo.sent(b"\x06", 0.0)
    assert echo.strip(b"x\x06y", 0.0) == b"xy"
