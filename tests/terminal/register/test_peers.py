"""Registers' programs from PyPI, as they are, against the terminal's side over a null-modem cable."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import venv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from terminal.checkout import Outcome
from terminal.config import RegisterOptions, Shop
from terminal.register import open_session
from terminal.register.machine import Answer, Ask, Kind, Note, Receipt, Totals
from tests.terminal.register.null_modem import NullModem

PEERS = Path(__file__).parent / "peers"
PEER_LIMIT_S = 60.0
POSTELIUM = "pypostelium==0.0.5"


class Till:
    """A core that answers as told and remembers what money did."""

    def __init__(self, outcome: Outcome = Outcome.APPROVED) -> None:
        self.outcome = outcome
        self.asked: list[Ask] = []
        self.delivered_numbers: list[int] = []
        self.undelivered_numbers: list[int] = []

    async def ask(self, ask: Ask, note: Callable[[Note], None]) -> Answer:
        self.asked.append(ask)
        note(Note.PRESENT_PALM)
        await asyncio.sleep(0.05)
        note(Note.ASKING_SERVICE)
        money = ask.kind in (Kind.PAY, Kind.REFUND, Kind.REVERSE) and self.outcome is Outcome.APPROVED
        receipt = Receipt(7, 8, ask.kind, ask.amount_minor or 1234, ask.currency, "A12345", "20261123", "163100")
        totals = Totals(3, 600) if ask.kind is Kind.TOTALS else None
        return Answer(ask.number, self.outcome, receipt, totals, needs_confirmation=money)

    def abort(self, number: int) -> bool:
        return False

    async def delivered(self, number: int, amount_minor: int | None) -> None:
        self.delivered_numbers.append(number)

    async def undelivered(self, number: int, why: str) -> None:
        self.undelivered_numbers.append(number)


class Settings:
    def load(self, protocol: str) -> dict[str, str]:
        return {}

    def save(self, protocol: str, settings: dict[str, str]) -> None:
        pass


async def play(protocol: str, till: Till, script: str, *arguments: str, python: str = sys.executable, currency: str = "EUR") -> Any:
    """Run a peer's program on one end of a cable, the terminal on the other; what the peer printed."""
    async with NullModem() as cable:
        options = RegisterOptions.model_validate({"protocol": protocol, "port": cable.terminal_port})
        session = open_session(options, Shop(currency=currency), till, Settings())
        await session.start()
        try:
            peer = await asyncio.create_subprocess_exec(
                python, str(PEERS / script), cable.register_port, *arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE
            )
            out, err = await asyncio.wait_for(peer.communicate(), PEER_LIMIT_S)
            assert peer.returncode == 0, err.decode()[-2000:]
            async with asyncio.timeout(PEER_LIMIT_S):
                while session.busy:  # noqa: ASYNC110 the session has no event for this, and a test may look
                    await asyncio.sleep(0.01)
        finally:
            await session.stop()
    return json.loads(out.decode().splitlines()[-1])


@pytest.mark.parametrize(("kind", "asked"), [("debit", Kind.PAY), ("credit", Kind.REFUND), ("cancel", Kind.REVERSE)])
async def test_telium_manager(kind: str, asked: Kind) -> None:
    till = Till()
    said = await play("concert", till, "telium_register.py", "12.34", kind)
    assert said == {"present": True, "taken": True, "paid": True, "amount": 12.34, "text": "PALM A12345"}
    assert [(a.kind, a.amount_minor, a.currency) for a in till.asked] == [(asked, 1234, "EUR")]
    assert (till.delivered_numbers, till.undelivered_numbers) == ([1], [])


@pytest.mark.parametrize("outcome", [Outcome.NOBODY, Outcome.ABORTED, Outcome.TIMED_OUT, Outcome.NO_SERVICE])
async def test_telium_manager_is_refused(outcome: Outcome) -> None:
    till = Till(outcome)
    said = await play("concert", till, "telium_register.py", "12.34", "debit")
    assert (said["taken"], said["paid"]) == (True, False)
    assert (till.delivered_numbers, till.undelivered_numbers) == ([], [])


@pytest.fixture(scope="session")
def postelium_python(tmp_path_factory: pytest.TempPathFactory) -> str:
    """An environment of its own for an AGPL program."""
    folder = tmp_path_factory.mktemp("pypostelium")
    venv.create(folder, with_pip=True)
    python = folder / "bin" / "python"
    done = subprocess.run(
        [str(python), "-m", "pip", "install", "-q", POSTELIUM], capture_output=True, text=True, check=False, timeout=100
    )
    if done.returncode:
        pytest.skip(f"{POSTELIUM} can't be installed here: {done.stderr.strip().splitlines()[-1:]}")
    return str(python)


async def test_postelium_does_not_wait_and_the_payment_stands(postelium_python: str) -> None:
    till = Till()
    said = await play("concert", till, "pypostelium_register.py", "12.34", python=postelium_python)
    assert said == {"taken": True}
    assert [(a.kind, a.amount_minor) for a in till.asked] == [(Kind.PAY, 1234)]
    assert (till.delivered_numbers, till.undelivered_numbers) == ([1], [])


@pytest.mark.parametrize("outcome", [Outcome.NOBODY, Outcome.ABORTED])
async def test_postelium_is_told_that_it_is_looked_at_whatever_comes_of_it(postelium_python: str, outcome: Outcome) -> None:
    till = Till(outcome)
    said = await play("concert", till, "pypostelium_register.py", "12.34", python=postelium_python)
    assert said == {"taken": True}
    assert (till.delivered_numbers, till.undelivered_numbers) == ([], [])


async def test_transbank_sells() -> None:
    till = Till()
    said = await play("transbank", till, "transbank_register.py", "sale", "1234", currency="CLP")
    assert (said["answer"]["response_code"], said["answer"]["amount"], said["answer"]["ticket"]) == ("00", "1234", "TICK01")
    assert said["answer"]["authorization_code"] == "A12345"
    assert (till.delivered_numbers, till.undelivered_numbers) == ([1], [])


async def test_transbank_follows_progress() -> None:
    till = Till()
    said = await play("transbank", till, "transbank_register.py", "sale_status", "1234", currency="CLP")
    assert said["answer"]["response_code"] == "00"
    assert said["progress"]
    assert till.delivered_numbers == [1]


@pytest.mark.parametrize(
    ("outcome", "code"),
    [(Outcome.NOBODY, "01"), (Outcome.NO_SERVICE, "02"), (Outcome.ABORTED, "07"), (Outcome.TIMED_OUT, "22")],
)
async def test_transbank_is_refused(outcome: Outcome, code: str) -> None:
    till = Till(outcome)
    said = await play("transbank", till, "transbank_register.py", "sale", "1234", currency="CLP")
    assert said["answer"]["response_code"] == code
    assert (till.delivered_numbers, till.undelivered_numbers) == ([], [])


@pytest.mark.parametrize(
    ("command", "kind"),
    [("refund", Kind.REVERSE), ("last_sale", Kind.LAST_RESULT), ("close", Kind.TOTALS), ("totals", Kind.TOTALS)],
)
async def test_transbank_other_commands(command: str, kind: Kind) -> None:
    till = Till()
    said = await play("transbank", till, "transbank_register.py", command, *(["7"] if command == "refund" else []), currency="CLP")
    assert said["answer"]["response_code"] == "00"
    assert [a.kind for a in till.asked] == [kind]


async def test_transbank_polls() -> None:
    assert (await play("transbank", Till(), "transbank_register.py", "poll"))["answer"] is True
