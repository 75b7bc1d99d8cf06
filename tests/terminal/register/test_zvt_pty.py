"""The session, ZVT and the register's program over a real null-modem cable of pseudo-terminals."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from terminal.checkout import Outcome
from terminal.config import RegisterOptions, Shop
from terminal.register import open_session
from terminal.register.serial_line import SerialLine
from terminal.register.session import RegisterSession
from terminal.register.tcp_line import TcpClientLine
from terminal.register.till import Verdict
from terminal.register.till.zvt_codec import Status
from terminal.register.till.zvt_register import ZvtRegister
from tests.terminal.register.null_modem import NullModem
from tests.terminal.register.till_core import LedgerCore, MemoryStore


@asynccontextmanager
async def till(core: LedgerCore, **options: Any) -> AsyncIterator[tuple[ZvtRegister, RegisterSession, NullModem]]:
    async with NullModem() as cable:
        session = open_session(RegisterOptions(port=cable.terminal_port, reopen_pause_s=0.1), Shop(), core, MemoryStore())
        await session.start()
        try:
            async with ZvtRegister(SerialLine(cable.register_port, reopen_pause_s=0.1), **options) as register:
                yield register, session, cable
        finally:
            await session.stop()


async def test_paid() -> None:
    core = LedgerCore()
    async with till(core) as (register, session, _):
        assert (await register.register()).done
        result = await register.pay(1234)
        assert result.done
        assert (result.amount_minor, result.receipt, result.authorisation) == (1234, 1, "A12345")
        assert any("12.34 EUR" in line for line in result.lines)
        await session.stop()
    assert core.taken_minor == register.journal.taken_minor == 1234
    assert core.undelivered_calls == []


async def test_paid_without_a_registration() -> None:
    core = LedgerCore()
    async with till(core) as (register, _, cable):
        assert (await register.pay(1010)).done
        assert not any(b"\x10\x02\x04\xff" in data or b"\x10\x02\x06\xd1" in data for who, data in cable.seen if who == "terminal")
    assert core.taken_minor == 1010


async def test_refused() -> None:
    core = LedgerCore(outcomes=[Outcome.NOBODY, Outcome.LIMIT, Outcome.TIMED_OUT])
    async with till(core) as (register, _, _cable):
        nobody, limit, late = await register.pay(500), await register.pay(500), await register.pay(500)
    assert (nobody.verdict, nobody.code, nobody.text) == (Verdict.DECLINED, "05", "Please pay another way.")
    assert (limit.verdict, limit.code) == (Verdict.DECLINED, "33")
    assert (late.verdict, late.code) == (Verdict.ABORTED, "6C")
    assert core.taken_minor == register.journal.taken_minor == 0


async def test_an_amount_that_can_not_be_paid() -> None:
    async with till(LedgerCore()) as (register, _, _cable):
        assert (await register.pay(0)).code == "C8"
        assert (await register.pay(99_999_999)).code == "C3"
        assert (await register.pay(1)).done


async def test_aborted_by_the_register() -> None:
    core = LedgerCore(gate=asyncio.Event())
    async with till(core) as (register, _, _cable):
        await register.register()
        paying = asyncio.ensure_future(register.pay(1234))
        await core.until(lambda: core.open_now == 1)
        assert await register.abort()
        result = await paying
        assert (result.verdict, result.code) == (Verdict.ABORTED, "6C")
        assert core.gate is not None
        core.gate.set()
        assert (await register.pay(300)).done
    assert core.taken_minor == register.journal.taken_minor == 300


async def test_too_late_to_abort() -> None:
    core = LedgerCore(gate=asyncio.Event(), abortable=False)
    async with till(core) as (register, _, _cable):
        paying = asyncio.ensure_future(register.pay(1234))
        await core.until(lambda: core.open_now == 1)
        assert not await register.abort()
        assert core.gate is not None
        core.gate.set()
        assert (await paying).done


async def test_a_register_that_forgets_the_result_learns_that_it_was_undone() -> None:
    core = LedgerCore()
    forgets = [True]

    def answer(status: Status) -> bytes | None:
        return None if status.receipt is not None and forgets and forgets.pop() else b"\x80\x00\x00"

    async with till(core, answer_status=answer) as (register, _, _cable):
        await register.register()
        result = await register.pay(1234)
        assert (result.verdict, result.learnt_later) == (Verdict.FAILED, True)
        assert register.journal.unresolved is None
    assert len(core.undelivered_calls) == 1
    assert core.taken_minor == register.journal.taken_minor == 0


async def test_a_register_that_dies_before_acknowledging() -> None:
    core = LedgerCore()
    died = asyncio.Event()

    def die(_: object) -> None:
        died.set()

    async with till(core, answer_status=die) as (register, session, _cable):
        await register.register()
        paying = asyncio.ensure_future(register.pay(1234))
        await died.wait()
        paying.cancel()
        await session.stop()
    assert len(core.undelivered_calls) == 1
    assert core.taken_minor == 0


async def test_status_and_log_off() -> None:
    async with till(LedgerCore()) as (register, _, _cable):
        await register.register()
        status = await register.status()
        assert (status.text, status.more["state"]) == ("PALM 0.1", "00")
        assert (await register.log_off()).done
        assert (await register.diagnosis()).done


# The cable, and both sides losing their power.


async def test_the_cable_is_pulled_while_the_shopper_is_waited_for_and_put_back() -> None:
    core = LedgerCore(gate=asyncio.Event())
    async with till(core) as (register, session, cable):
        await register.register()
        paying = asyncio.ensure_future(register.pay(1234))
        await core.until(lambda: core.open_now == 1)
        cable.plugged = False
        session.line_lost()
        register._wire.line_lost()
        await core.until(lambda: core.open_now == 0)
        cable.plugged = True
        session.line_opened()
        register._wire.line_opened()
        result = await paying
        assert (result.verdict, result.learnt_later) == (Verdict.FAILED, True)
        assert core.gate is not None
        core.gate.set()
        assert (await register.pay(500)).done
    assert core.taken_minor == register.journal.taken_minor == 500


async def test_the_terminal_restarts_after_the_register_acknowledged() -> None:
    """The completion never came; the ledger has it, so the register learns that it was paid."""
    core = LedgerCore(hold_delivered=asyncio.Event())
    store = MemoryStore()
    async with NullModem() as cable:
        options = RegisterOptions(port=cable.terminal_port)
        first = open_session(options, Shop(), core, store)
        await first.start()
        async with ZvtRegister(SerialLine(cable.register_port)) as register:
            await register.register()
            paying = asyncio.ensure_future(register.pay(1234))
            await core.until(lambda: core.delivering == 1)
            assert core.hold_delivered is not None
            core.hold_delivered.set()
            await first.line.close()  # the power goes before the completion leaves
            await first.stop()
            second = open_session(options, Shop(), core, store)
            await second.start()
            register._wire.line_lost()  # so that the test need not wait for the register's own time-outs
            register._wire.line_opened()
            result = await paying
            await second.stop()
        assert (result.verdict, result.learnt_later, result.amount_minor) == (Verdict.DONE, True, 1234)
    assert core.taken_minor == register.journal.taken_minor == 1234


async def test_the_registration_is_still_known_after_a_restart() -> None:
    core, store = LedgerCore(), MemoryStore()
    async with NullModem() as cable:
        options = RegisterOptions(port=cable.terminal_port)
        for round_ in range(2):
            session = open_session(options, Shop(), core, store)
            await session.start()
            async with ZvtRegister(SerialLine(cable.register_port)) as register:
                if round_ == 0:
                    await register.register()
                else:
                    assert (await register.pay(100)).lines, "receipts come by print commands, as registered before the restart"
            await session.stop()


async def test_the_whole_over_tcp() -> None:
    core = LedgerCore(outcomes=[Outcome.APPROVED, Outcome.NOBODY])
    session = open_session(RegisterOptions(line="tcp", listen_port=0), Shop(), core, MemoryStore())
    await session.start()
    line = TcpClientLine("127.0.0.1", int(session.line.name.rpartition(":")[2]), reopen_pause_s=0.05)
    async with ZvtRegister(line, serial=False, tlv=bytes.fromhex("26040A0206D3")) as register:
        assert (await register.register()).done
        paid = await register.pay(1234)
        assert paid.done
        assert "12.34 EUR" in paid.lines, "by print blocks"
        assert (await register.pay(500)).verdict is Verdict.DECLINED
        assert (await register.status()).done
    await session.stop()
    assert core.taken_minor == register.journal.taken_minor == 1234


async def test_forecourt() -> None:
    core = LedgerCore()
    async with till(core) as (register, session, _cable):
        reserved = await register.reserve(5000)
        assert reserved.receipt is not None
        assert (await register.reservations()).receipt == reserved.receipt
        booked = await register.release_part(reserved.receipt, 3766)
        assert (booked.done, booked.amount_minor) == (True, 1234)
        assert (await register.reservations()).receipt is None
        again = await register.reserve(4000)
        assert again.receipt is not None
        assert (await register.book(again.receipt, 5000)).code == "B8"
        assert (await register.release(again.receipt)).done
        paid = await register.pay(700)
        assert paid.receipt is not None
        assert (await register.reverse(paid.receipt)).done
        assert (await register.reverse(paid.receipt)).code == "B4"
        assert (await register.refund(34)).done
        day = await register.end_of_day()
        assert day.done
        await session.stop()
    assert core.taken_minor == register.journal.taken_minor == 1200
