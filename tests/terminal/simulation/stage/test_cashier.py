"""The stage's register over the stage's cable, against the terminal's own ZVT session: what it shows, books, and where it may be cut."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from terminal.checkout import Outcome
from terminal.config import RegisterOptions, Shop
from terminal.register import open_session
from terminal.register.till import RegisterResult, Verdict
from terminal.simulation.stage.cable import Cable
from terminal.simulation.stage.cashier import COLUMNS, Cashier
from tests.terminal.register.till_core import LedgerCore, MemoryStore


@asynccontextmanager
async def at_the_till(core: LedgerCore, tmp_path: Path) -> AsyncIterator[tuple[Cashier, list[RegisterResult]]]:
    cable, ends = Cable(), list[RegisterResult]()
    cable.open()
    session = open_session(RegisterOptions(port=cable.terminal_port, reopen_pause_s=0.1), Shop(), core, MemoryStore())
    await session.start()
    cashier = Cashier(cable.register_port, tmp_path / "journal.jsonl", ends.append)
    await cashier.open()
    try:
        await cashier.register()
        yield cashier, ends
    finally:
        await cashier.close()
        await session.stop()
        cable.close()


async def test_two_lines_while_it_happens_and_afterwards(tmp_path: Path) -> None:
    core = LedgerCore(gate=asyncio.Event())
    async with at_the_till(core, tmp_path) as (cashier, ends):
        task = cashier.begin(1234)
        await core.until(lambda: core.open_now == 1)
        assert cashier.busy
        assert cashier.display[0] == "TOTAL          12.34"
        assert len(cashier.display[0]) == COLUMNS
        assert cashier.rung[0].text == "under way"
        assert core.gate is not None
        core.gate.set()
        assert (await task).done
        assert cashier.display[1] == "paid"
        assert [(r.amount_minor, r.paid) for r in cashier.rung] == [(1234, True)]
        assert ends == [task.result()]
    assert core.taken_minor == 1234


async def test_refused_and_aborted(tmp_path: Path) -> None:
    core = LedgerCore(outcomes=[Outcome.LIMIT])
    async with at_the_till(core, tmp_path) as (cashier, _):
        assert (await cashier.begin(3500)).verdict is Verdict.DECLINED
        assert cashier.display[1] == "Please pay another way."
        core.gate = asyncio.Event()
        task = cashier.begin(850)
        await core.until(lambda: core.open_now == 1)
        assert await cashier.abort()
        assert (await task).verdict is Verdict.ABORTED
        assert [r.paid for r in cashier.rung] == [False, False]
    assert core.taken_minor == 0


async def test_the_place_before_the_acknowledgement(tmp_path: Path) -> None:
    """Nothing stands at the terminal yet when the hook is called; a register that vanishes there has not been paid."""
    core = LedgerCore()
    async with at_the_till(core, tmp_path) as (cashier, _):
        stood: list[int] = []

        def vanish(_: object) -> bool:
            stood.append(core.taken_minor)
            cashier.before_reply = None
            return True

        cashier.before_reply = vanish
        result = await cashier.begin(1111)
        assert stood == [0]
        assert not result.done
        assert result.learnt_later
        assert core.taken_minor == 0


async def test_the_place_between_acknowledged_and_the_end(tmp_path: Path) -> None:
    """The terminal has it as delivered when the completion comes in."""
    core = LedgerCore()
    async with at_the_till(core, tmp_path) as (cashier, _):
        stood: list[int] = []
        cashier.at_completion = lambda: stood.append(core.taken_minor)
        assert (await cashier.begin(1313)).done
        assert stood == [1313]
