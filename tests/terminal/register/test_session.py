"""The driver between machine, line and core: order, exactly once, and what happens when one of them fails."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from terminal.checkout import Outcome
from terminal.config import RegisterOptions, Shop
from terminal.register import PROTOCOLS, open_machine, open_session
from terminal.register.line import LineError, LineEvents
from terminal.register.machine import (
    Abort,
    Action,
    Answer,
    Ask,
    Delivered,
    Hangup,
    Kind,
    Note,
    Rate,
    Remark,
    Send,
    Undelivered,
)
from terminal.register.session import RegisterSession
from tests.terminal.register.till_core import LedgerCore, MemoryStore


class Line:
    """A line that remembers."""

    name = "test"

    def __init__(self) -> None:
        self.log: list[object] = []
        self.events: LineEvents | None = None

    async def start(self, events: LineEvents) -> None:
        self.events = events

    def write(self, data: bytes) -> None:
        self.log.append(data)

    def set_rate(self, baud: int) -> None:
        self.log.append(baud)

    def hangup(self) -> None:
        self.log.append("hangup")

    async def close(self) -> None:
        self.log.append("closed")


class Script:
    """A machine that does what the received letters say, and logs what it is told."""

    def __init__(self) -> None:
        self.told: list[object] = []
        self.number = 0
        self.on_answer: Callable[[Answer], list[Action]] = lambda answer: [Delivered(answer.number)]
        self.next_deadline_s: float | None = None
        self.settings: dict[str, str] = {}
        self.ticks = asyncio.Event()

    def received(self, data: bytes, now_s: float) -> list[Action]:
        out: list[Action] = []
        for letter in data.decode():
            match letter:
                case "p":
                    self.number += 1
                    out += [Send(b"ack"), Ask(self.number, Kind.PAY, 100)]
                case "a":
                    out.append(Abort(self.number))
                case "d":
                    out.append(Delivered(self.number))
                case "u":
                    out.append(Undelivered(self.number, "said so"))
                case "r":
                    out.append(Rate(19_200))
                case "h":
                    out.append(Hangup())
                case "s":
                    self.settings = {"kept": str(len(self.settings) + self.number)}
                case "x":
                    raise RuntimeError("a fault of ours")
                case "l":
                    out += [Abort(self.number)] * 20_000
                case _:
                    out.append(Remark(letter))
        return out

    def answered(self, answer: Answer, now_s: float) -> list[Action]:
        self.told.append(answer.outcome)
        return self.on_answer(answer) if answer.needs_confirmation else []

    def abort_answered(self, number: int, accepted: bool, now_s: float) -> list[Action]:
        self.told.append(("abort", accepted))
        return []

    def noted(self, number: int, note: Note, now_s: float) -> list[Action]:
        self.told.append(note)
        return []

    def settled(self, number: int, kept: bool, now_s: float) -> list[Action]:
        self.told.append(("settled", kept))
        return [Send(b"done")]

    def ticked(self, now_s: float) -> list[Action]:
        self.next_deadline_s = None
        self.told.append("tick")
        self.ticks.set()
        return [Send(b"tick")]

    def line_lost(self, now_s: float) -> list[Action]:
        self.told.append("lost")
        return []

    def line_opened(self, now_s: float) -> list[Action]:
        self.told.append("opened")
        return []


class Bench:
    def __init__(self, core: LedgerCore | None = None) -> None:
        self.machine, self.line, self.core, self.store = Script(), Line(), core or LedgerCore(), MemoryStore()
        self.session = RegisterSession(self.machine, self.line, self.core, self.store, "script")

    async def start(self) -> Bench:
        await self.session.start()
        self.session.line_opened()
        return self

    def says(self, letters: str) -> None:
        self.session.line_received(letters.encode())


async def test_the_acknowledgement_leaves_before_the_core_begins() -> None:
    bench = await Bench().start()
    bench.says("p")
    assert bench.line.log == [b"ack"]
    assert bench.core.asked == []
    await bench.core.until(lambda: bool(bench.core.delivered_calls))
    await bench.session.stop()
    assert bench.line.log == [b"ack", b"done", "closed"]
    assert bench.machine.told[:4] == ["opened", Note.PRESENT_PALM, Outcome.APPROVED, ("settled", True)]


async def test_the_core_never_has_two_requests() -> None:
    core = LedgerCore(gate=asyncio.Event())
    bench = await Bench(core).start()
    bench.says("p")
    await core.until(lambda: core.open_now == 1)
    bench.says("p")
    await asyncio.sleep(0)
    assert bench.machine.told[-1] is Outcome.BUSY
    assert core.gate is not None
    core.gate.set()
    await core.until(lambda: bool(core.delivered_calls))
    await bench.session.stop()
    assert core.open_most == 1


async def test_delivered_is_dealt_with_before_the_next_request() -> None:
    core = LedgerCore(hold_delivered=asyncio.Event())
    bench = await Bench(core).start()
    bench.says("p")
    await core.until(lambda: len(core.asked) == 1 and core.open_now == 0)
    bench.says("p")
    await asyncio.sleep(0)
    assert len(core.asked) == 1
    assert core.hold_delivered is not None
    core.hold_delivered.set()
    await core.until(lambda: len(core.delivered_calls) == 2)
    await bench.session.stop()


async def test_settled_exactly_once() -> None:
    core = LedgerCore()
    bench = await Bench(core).start()
    bench.machine.on_answer = lambda answer: [
        Delivered(answer.number),
        Undelivered(answer.number, "again"),
        Delivered(answer.number),
    ]
    bench.says("p")
    await core.until(lambda: bool(core.delivered_calls))
    bench.says("ud")
    await bench.session.stop()
    assert core.delivered_calls == [(1, None)]
    assert core.undelivered_calls == []


async def test_what_no_money_hangs_on_is_not_settled() -> None:
    core = LedgerCore(outcomes=[Outcome.NOBODY])
    bench = await Bench(core).start()
    bench.says("p")
    await core.until(lambda: len(core.asked) == 1 and core.open_now == 0)
    bench.says("du")
    await bench.session.stop()
    assert core.delivered_calls == []
    assert core.undelivered_calls == []


async def test_stopping_with_an_answer_that_nobody_acknowledged() -> None:
    core = LedgerCore()
    bench = await Bench(core).start()
    bench.machine.on_answer = lambda answer: []
    bench.says("p")
    await core.until(lambda: len(core.asked) == 1 and core.open_now == 0)
    await bench.session.stop()
    assert [n for n, _ in core.undelivered_calls] == [1]


async def test_stopping_while_the_core_is_writing_down_what_was_acknowledged() -> None:
    core = LedgerCore(hold_delivered=asyncio.Event())
    bench = await Bench(core).start()
    bench.says("p")
    await core.until(lambda: core.delivering == 1)
    assert bench.session.busy
    assert core.hold_delivered is not None
    asyncio.get_running_loop().call_soon(core.hold_delivered.set)
    await bench.session.stop()
    assert core.delivered_calls == [(1, None)]


async def test_stopping_while_the_shopper_is_waited_for() -> None:
    core = LedgerCore(gate=asyncio.Event())
    bench = await Bench(core).start()
    bench.says("p")
    await core.until(lambda: core.open_now == 1)
    await bench.session.stop()
    assert core.open_now == 0
    assert core.delivered_calls == []
    assert core.undelivered_calls == []
    assert not bench.session.busy


async def test_a_machine_that_fails_does_not_take_the_purchase_with_it() -> None:
    core = LedgerCore()
    bench = await Bench(core).start()
    bench.machine.on_answer = lambda answer: []
    bench.says("p")
    await core.until(lambda: len(core.asked) == 1 and core.open_now == 0)
    bench.says("x")
    await core.until(lambda: bool(core.undelivered_calls))
    bench.machine.on_answer = lambda answer: [Delivered(answer.number)]
    bench.says("p")
    await core.until(lambda: bool(core.delivered_calls))
    await bench.session.stop()


async def test_a_machine_that_never_comes_to_rest() -> None:
    bench = await Bench().start()
    bench.says("l")
    bench.says("p")
    await bench.core.until(lambda: bool(bench.core.delivered_calls))
    await bench.session.stop()


async def test_a_core_that_fails_answers_fault(caplog: pytest.LogCaptureFixture) -> None:
    class Failing(LedgerCore):
        async def ask(self, ask: Ask, note: Callable[[Note], None]) -> Answer:
            raise RuntimeError("the core is broken")

    bench = await Bench(Failing()).start()
    bench.says("p")
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert bench.machine.told[-1] is Outcome.FAULT
    await bench.session.stop()


async def test_a_core_that_can_not_write_tells_the_machine() -> None:
    class Full(LedgerCore):
        async def delivered(self, number: int, amount_minor: int | None) -> None:
            self.delivered_calls.append((number, amount_minor))
            self._changed.set()
            raise OSError("no space left")

    bench = await Bench(Full()).start()
    bench.says("p")
    await bench.core.until(lambda: bool(bench.core.delivered_calls))
    await bench.session.stop()
    assert ("settled", False) in bench.machine.told


async def test_an_abort_before_the_core_has_begun() -> None:
    bench = await Bench().start()
    bench.says("pa")
    assert bench.machine.told[-1] == ("abort", True)
    await bench.session.stop()
    assert bench.core.asked == []
    assert Outcome.ABORTED in bench.machine.told


async def test_timers_rate_hangup_and_settings() -> None:
    bench = await Bench().start()
    bench.machine.next_deadline_s = asyncio.get_running_loop().time()
    bench.says("rhsn")
    assert bench.line.log == [19_200, "hangup"]
    assert bench.store.load("script") == {"kept": "0"}
    async with asyncio.timeout(20):
        await bench.machine.ticks.wait()
    assert bench.line.log[-1] == b"tick"
    await bench.session.stop()


async def test_settings_that_can_not_be_kept_do_not_stop_the_till() -> None:
    bench = await Bench().start()

    def full(protocol: str, settings: dict[str, str]) -> None:
        raise OSError("read-only")

    bench.store.save = full  # type: ignore[method-assign]
    bench.says("sp")
    await bench.core.until(lambda: bool(bench.core.delivered_calls))
    await bench.session.stop()


async def test_a_line_that_can_never_be_had() -> None:
    class Taken(Line):
        async def start(self, events: LineEvents) -> None:
            raise LineError("taken")

    session = RegisterSession(Script(), Taken(), LedgerCore(), MemoryStore(), "script")
    with pytest.raises(LineError):
        await session.start()
    await session.stop()


@pytest.mark.parametrize("protocol", sorted(PROTOCOLS))
def test_every_protocol_of_the_registry_opens(protocol: str) -> None:
    machine = open_machine(RegisterOptions.model_validate({"protocol": protocol}), Shop(), {})
    assert machine.next_deadline_s is None
    assert machine.settings == {} or protocol != "zvt"


async def test_open_session_over_tcp() -> None:
    options = RegisterOptions(protocol="zvt", line="tcp", listen_port=0)
    session = open_session(options, Shop(), LedgerCore(), MemoryStore())
    await session.start()
    port = int(session.line.name.rpartition(":")[2])
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(bytes.fromhex("06 70 00"))
    assert await reader.readexactly(3) == bytes.fromhex("80 00 00")
    writer.close()
    await session.stop()


@pytest.mark.parametrize("kind", ["pump", "gate"])
@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_pump_and_a_gate_need_a_register_that_can_reserve(protocol: str, kind: str) -> None:
    options, shop = RegisterOptions.model_validate({"protocol": protocol}), Shop.model_validate({"kind": kind})
    if protocol in ("zvt", "ecr17"):
        open_machine(options, shop, {})
    else:
        with pytest.raises(LineError, match="reserve"):
            open_machine(options, shop, {})
