"""This project's own registers for Concert, ECR17 and Transbank against the terminal, over a cable and over TCP: books agree."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from terminal.checkout import Outcome
from terminal.config import RegisterOptions, Shop
from terminal.register import open_session
from terminal.register.line import Line
from terminal.register.serial_line import SerialLine
from terminal.register.session import RegisterSession
from terminal.register.tcp_line import TcpClientLine, TcpServerLine
from terminal.register.till import Verdict
from terminal.register.till.concert_register import ConcertRegister, ConcertV3Register
from terminal.register.till.ecr17_register import RANGES, Ecr17Register
from terminal.register.till.transbank_register import TransbankRegister
from tests.terminal.register.null_modem import NullModem
from tests.terminal.register.till_core import LedgerCore, MemoryStore

TID = "12345678"


@asynccontextmanager
async def over_cable(
    protocol: str, core: LedgerCore, currency: str = "EUR"
) -> AsyncIterator[tuple[Line, RegisterSession, NullModem]]:
    async with NullModem() as cable:
        options = RegisterOptions.model_validate({"protocol": protocol, "port": cable.terminal_port, "terminal_id": TID})
        session = open_session(options, Shop(currency=currency), core, MemoryStore())
        await session.start()
        try:
            yield SerialLine(cable.register_port), session, cable
        finally:
            await session.stop()


@asynccontextmanager
async def over_tcp(protocol: str, core: LedgerCore) -> AsyncIterator[tuple[TcpClientLine, RegisterSession]]:
    options = RegisterOptions.model_validate({"protocol": protocol, "line": "tcp", "listen_port": 0, "terminal_id": TID})
    session = open_session(options, Shop(), core, MemoryStore())
    await session.start()
    assert isinstance(session.line, TcpServerLine)
    try:
        yield TcpClientLine("127.0.0.1", session.line.port, reopen_pause_s=0.05), session
    finally:
        await session.stop()


async def test_concert_pays_refuses_refunds_and_reverses() -> None:
    core = LedgerCore(outcomes=[Outcome.APPROVED, Outcome.NOBODY])
    async with over_cable("concert", core) as (line, session, _), ConcertRegister(line) as register:
        assert (await register.status()).done
        paid = await register.pay(1234)
        assert (paid.verdict, paid.authorisation) == (Verdict.DONE, "A12345")
        assert (await register.pay(500)).verdict is Verdict.DECLINED
        assert (await register.pay(200)).done
        assert (await register.reverse(200)).done
        assert (await register.refund(34)).done
        await session.stop()
    assert register.journal.taken_minor == core.taken_minor == 1200


async def test_concert_that_does_not_wait() -> None:
    core = LedgerCore()
    async with over_cable("concert", core) as (line, session, _), ConcertRegister(line, waits=False) as register:
        assert (await register.pay(1234)).code == "9"
        await session.stop()
    assert core.taken_minor == 1234


async def test_concert_register_that_vanishes_has_not_paid() -> None:
    core = LedgerCore(gate=asyncio.Event())
    async with over_cable("concert", core) as (line, session, cable), ConcertRegister(line) as register:
        paying = asyncio.create_task(register.pay(1234))
        await core.until(lambda: core.open_now == 1)
        cable.plugged = False
        assert core.gate is not None
        core.gate.set()
        await core.until(lambda: bool(core.undelivered_calls))
        paying.cancel()
        await session.stop()
    assert core.taken_minor == 0


@pytest.mark.parametrize("covers", RANGES)
async def test_ecr17_over_a_cable(covers: str) -> None:
    core = LedgerCore(outcomes=[Outcome.APPROVED, Outcome.LIMIT])
    async with over_cable("ecr17", core) as (line, session, _), Ecr17Register(line, terminal_id=TID, covers=covers) as register:
        assert (await register.status()).done
        paid = await register.pay(1234)
        assert (paid.verdict, paid.authorisation) == (Verdict.DONE, "A12345")
        refused = await register.pay(500)
        assert (refused.verdict, refused.text) == (Verdict.DECLINED, "LIMITE SUPERATO")
        assert register.progress
        await session.stop()
    assert register.journal.taken_minor == core.taken_minor == 1234


async def test_ecr17_reserves_and_books_over_tcp() -> None:
    core = LedgerCore()
    async with over_tcp("ecr17", core) as (line, session), Ecr17Register(line, terminal_id=TID) as register:
        held = await register.reserve(5000)
        assert held.receipt is not None
        assert (await register.raise_hold(held.receipt, 1000)).done
        assert (await register.book(held.receipt, 6001)).verdict is Verdict.DECLINED
        assert (await register.book(held.receipt, 1234)).done
        assert (await register.refund(34)).done
        assert (await register.turnover()).text == f"{core.taken_minor:016d}"
        assert (await register.end_of_day()).done
        await session.stop()
    assert core.taken_minor == register.journal.taken_minor == 1200


async def test_ecr17_asks_for_a_lost_result_and_reverses() -> None:
    core = LedgerCore()
    async with over_tcp("ecr17", core) as (line, session), Ecr17Register(line, terminal_id=TID) as register:
        paid = await register.pay(1234)
        last = await register.repeat()
        assert (last.verdict, last.trace, last.authorisation) == (Verdict.DONE, paid.trace, paid.authorisation)
        assert paid.trace is not None
        assert (await register.reverse(paid.trace + 1)).verdict is Verdict.DECLINED
        assert (await register.reverse(paid.trace)).done
        await session.stop()
    assert core.taken_minor == 0


async def test_ecr17_refuses_another_terminals_id() -> None:
    core = LedgerCore()
    async with over_tcp("ecr17", core) as (line, _), Ecr17Register(line, terminal_id="99999999") as register:
        assert (await register.pay(1234)).verdict is Verdict.FAILED
    assert core.asked == []


async def test_concert_v3_over_tcp() -> None:
    core = LedgerCore(outcomes=[Outcome.APPROVED, Outcome.TIMED_OUT])
    async with over_tcp("concert-v3", core) as (line, session):
        register = ConcertV3Register(line)
        paid = await register.pay(1234)
        assert (paid.verdict, paid.authorisation) == (Verdict.DONE, "A12345")
        assert (await register.pay(500)).text == "time-out"
        await session.stop()
    assert core.taken_minor == register.journal.taken_minor == 1234


async def test_transbank() -> None:
    core = LedgerCore(outcomes=[Outcome.APPROVED, Outcome.NOBODY])
    async with over_cable("transbank", core, currency="CLP") as (line, session, _), TransbankRegister(line) as register:
        assert (await register.status()).done
        paid = await register.pay(1234)
        assert (paid.verdict, paid.amount_minor, paid.authorisation) == (Verdict.DONE, 1234, "A12345")
        assert paid.receipt is not None
        assert (await register.pay(60)).verdict is Verdict.DECLINED
        assert (await register.pay(10)).verdict is Verdict.DECLINED
        assert (await register.reverse(paid.receipt)).done
        assert (await register.end_of_day()).done
        await session.stop()
    assert core.taken_minor == 0
