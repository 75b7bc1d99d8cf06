"""`palm-terminal register` and `palm-terminal trace` as a person or a script uses them."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from terminal.checkout import Outcome
from terminal.config import RegisterOptions, Shop
from terminal.register import open_session
from terminal.register.cli import app
from terminal.register.till import RegisterResult, TillJournal, Verdict
from terminal.register.till.console import CommandError, amount_minor, as_expected, parse, parse_script
from tests.terminal.register.null_modem import NullModem
from tests.terminal.register.till_core import LedgerCore, MemoryStore

REGISTRATION = "10 02 06 00 06 12 34 56 BE 09 78 10 03 C8 B1"


@asynccontextmanager
async def terminal(core: LedgerCore) -> AsyncIterator[str]:
    async with NullModem() as cable:
        session = open_session(RegisterOptions(port=cable.terminal_port), Shop(), core, MemoryStore())
        await session.start()
        try:
            yield cable.register_port
        finally:
            await session.stop()


async def runs(*arguments: str, keyboard: str | None = None) -> Any:
    return await asyncio.to_thread(CliRunner().invoke, app, arguments, keyboard)


async def test_pay() -> None:
    core = LedgerCore(outcomes=[Outcome.APPROVED, Outcome.NOBODY])
    async with terminal(core) as port:
        paid = await runs("register", "--port", port, "pay", "12.34")
        assert paid.exit_code == 0, paid.output
        assert "pay: done, 12.34, receipt 1" in paid.output
        refused = await runs("register", "--port", port, "pay", "12,34")
        assert refused.exit_code == 1
        assert "declined, code 05, Please pay another way." in refused.output
    assert core.taken_minor == 1234


async def test_json_and_trace_and_journal(tmp_path: Path) -> None:
    async with terminal(LedgerCore()) as port:
        journal = str(tmp_path / "till.jsonl")
        done = await runs("register", "--port", port, "--json", "--trace", "--journal", journal, "pay", "1.00")
    said = json.loads(done.stdout.splitlines()[0])
    assert (said["verdict"], said["amount_minor"], said["receipt"]) == ("done", 100, 1)
    assert "| payment: amount 1.00, currency 0978" in done.stderr
    assert "ECR 06 01 0A 04 00 00 00 00 01 00 49 09 78" in done.stderr
    assert TillJournal(tmp_path / "till.jsonl").taken_minor == 100


SCRIPT = """\
# a morning
register                   => done
status                     => done
pay 12.34                  => done
pay 5.00                   => declined 05
pay 7.00 abort after 0.1   => aborted 6C
reserve 50.00              => done
book 2 30.00               => done
reverse 1                  => done
refund 1.50                => done
reservations               => done
turnover                   => done
end-of-day                 => done
repeat                     => done
diagnosis                  => done
wait 0.01
taken 28.50
log-off
"""


class Stubborn(LedgerCore):
    """The third payment waits until it is aborted; the others don't."""

    async def _move(self, ask, note):  # type: ignore[no-untyped-def]
        self.gate = asyncio.Event()
        if ask.amount_minor != 700:
            self.gate.set()
        return await super()._move(ask, note)


async def test_a_script(tmp_path: Path) -> None:
    script = tmp_path / "morning.txt"
    script.write_text(SCRIPT)
    core = Stubborn(outcomes=[Outcome.APPROVED, Outcome.NOBODY])
    async with terminal(core) as port:
        done = await runs("register", "--port", port, "--script", str(script))
    assert done.exit_code == 0, done.output
    assert "<--" not in done.output


async def test_a_script_that_is_not_met(tmp_path: Path) -> None:
    script = tmp_path / "morning.txt"
    script.write_text("pay 1.00 => declined\ntaken 5.00\n")
    async with terminal(LedgerCore()) as port:
        done = await runs("register", "--port", port, "--script", str(script))
    assert done.exit_code == 1
    assert "line 1: expected declined" in done.output
    assert "line 2" in done.output


async def test_the_prompt() -> None:
    core = LedgerCore()
    async with terminal(core) as port:
        keys = "help\n\npay 1.x\nfly\npay 2.00\nquit\n"
        done = await runs("register", "--port", port, keyboard=keys)
    assert done.exit_code == 0, done.output
    assert "is not an amount" in done.output
    assert "'fly' is no command" in done.output
    assert core.asked


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--protocol", "morse", "status"], "there are: zvt"),
        (["--bits", "5N1", "status"], "8N1, 8N2, 7E1"),
        (["--currency", "XXX", "status"], "EUR"),
        (["--password", "12", "status"], "six digits"),
        (["--option", "config", "status"], "NAME=VALUE"),
        (["--option", "config=zz", "status"], "--option"),
        (["pay", "much"], "is not an amount"),
        (["pay"], "pay takes 1 word"),
        (["--script", "/nowhere.txt"], "can't be read"),
    ],
)
def test_what_can_not_be_understood_is_said_in_a_sentence(arguments: list[str], sentence: str) -> None:
    done = CliRunner().invoke(app, ["register", "--port", "/nowhere", *arguments])
    assert done.exit_code == 2
    assert sentence in done.output
    assert "Traceback" not in done.output


def test_a_script_with_a_mistake_says_the_line(tmp_path: Path) -> None:
    script = tmp_path / "s.txt"
    script.write_text("pay 1.00\n\nbook 1\n")
    done = CliRunner().invoke(app, ["register", "--script", str(script)])
    assert done.exit_code == 2
    assert "line 3: book takes 2 words" in done.output


def test_a_terminal_that_is_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("terminal.register.till.zvt_register.LINE_PATIENCE_S", 0.05)
    done = CliRunner().invoke(app, ["register", "--port", str(tmp_path / "nothing"), "pay", "1.00"])
    assert done.exit_code == 1
    assert "The terminal is not there; nothing was asked." in done.output


# Captures.


@pytest.mark.parametrize(
    "capture",
    [
        f"ECR {REGISTRATION}\nPT  06\n",
        f"> {REGISTRATION}\n< 06",
        f"2026-11-23 19:45:12.123 ECR> {REGISTRATION}  | what it means",
        f"00000000: {REGISTRATION}",
        REGISTRATION.replace(" ", "").lower(),
        REGISTRATION.replace(" ", ":"),
        "rx 10 02 06 00 06 12 34\nrx 56 BE 09 78 10 03 C8 B1",
    ],
)
def test_captures_as_text(tmp_path: Path, capture: str) -> None:
    file = tmp_path / "capture.txt"
    file.write_text("# captured in the shop\n" + capture)
    done = CliRunner().invoke(app, ["trace", str(file)])
    assert done.exit_code == 0, done.output
    assert "ECR 06 00 06 12 34 56 BE 09 78  | registration" in done.output
    assert "currency 0978" in done.output


def test_a_binary_capture_and_one_over_tcp(tmp_path: Path) -> None:
    file = tmp_path / "capture.bin"
    file.write_bytes(bytes.fromhex(REGISTRATION + "06 10 02 80 00 00 10 03 F5 1F"))
    assert "yes" in CliRunner().invoke(app, ["trace", str(file)]).output
    file.write_bytes(bytes.fromhex("06 01 0A 04 00 00 00 00 12 34 49 09 78 80 00 00 04 FF 02 0A 01"))
    said = CliRunner().invoke(app, ["trace", str(file)]).output
    assert "ECR 06 01 0A 04 00 00 00 00 12 34 49 09 78  | payment: amount 12.34" in said
    assert "PT  04 FF 02 0A 01  | intermediate status: 0A insert card" in said


def test_what_is_no_capture(tmp_path: Path) -> None:
    file = tmp_path / "letter.txt"
    file.write_text("Dear integrator, my register says nothing.")
    done = CliRunner().invoke(app, ["trace", str(file)])
    assert done.exit_code == 1
    assert "Is it another protocol" in done.output
    assert CliRunner().invoke(app, ["trace", str(tmp_path / "none")]).exit_code == 2
    assert CliRunner().invoke(app, ["trace", "--protocol", "morse", str(file)]).exit_code == 2


# Commands as text.


@given(st.integers(0, 99_999_999))
def test_amounts(minor: int) -> None:
    assert amount_minor(f"{minor // 100}.{minor % 100:02d}") == minor
    assert amount_minor(f"{minor // 100},{minor % 100:02d}") == minor


@given(st.text(max_size=30))
def test_no_line_breaks_the_prompt(text: str) -> None:
    with contextlib.suppress(CommandError):
        assert parse(text) is None or parse(text) == parse(text + " # and why")


@pytest.mark.parametrize("said", ["", "-1", "1.234", "NaN", "Infinity", "1e9", "1000000.00"])
def test_amounts_that_are_none(said: str) -> None:
    with pytest.raises(CommandError):
        amount_minor(said)


def test_expectations() -> None:
    declined = RegisterResult(Verdict.DECLINED, "pay", code="05")
    (plain, verdict, code, other, fails) = parse_script(
        "pay 1\npay 1 => declined\npay 1 => declined 05\npay 1 => declined 33\npay 1 => fails"
    )
    assert [as_expected(c, declined) for c in (plain, verdict, code, other, fails)] == [True, True, True, False, True]
    assert not as_expected(plain, RegisterResult(Verdict.UNKNOWN, "pay"))
    with pytest.raises(CommandError, match="no outcome"):
        parse("pay 1 => perhaps")


def test_a_journal_that_was_cut_in_the_middle_of_a_line(tmp_path: Path) -> None:
    file = tmp_path / "till.jsonl"
    journal = TillJournal(file)
    journal.asked("pay", 1234, 0)
    journal.ended(RegisterResult(Verdict.DONE, "pay", 1234, receipt=1))
    journal.asked("pay", 500, 1)
    file.write_bytes(file.read_bytes() + b'{"event": "ended", "verd')
    again = TillJournal(file)
    assert again.taken_minor == 1234
    assert again.last_receipt == 1
    assert again.unresolved is not None
    assert again.unresolved["amount_minor"] == 500
