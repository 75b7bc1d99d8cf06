"""The ledger's JSON and the register's journal, read as what they say."""

from __future__ import annotations

import json
import sys

import pytest

from terminal.simulation.stage.books import BooksError, parse, read
from terminal.simulation.stage.cashier import rung

ENTRY = {
    "purchase_key": "ab" * 16, "till": "till-1", "amount_minor": 1234, "captured_minor": 1234, "currency": "EUR", "state": "captured",
    "person": "p-1", "began_unix_ms": 1_790_000_000_000, "kind": "pay", "voided_minor": 0, "settled_unix_ms": 0,
}  # fmt: skip


def test_one_object_a_line_and_a_list_are_the_same_and_oldest_comes_first() -> None:
    newer = ENTRY | {"began_unix_ms": ENTRY["began_unix_ms"] + 5, "purchase_key": "cd" * 16}  # type: ignore[operator]
    lines = "\n".join(json.dumps(entry) for entry in (newer, ENTRY))
    assert parse(lines) == parse(json.dumps([newer, ENTRY]))
    assert [b.key[:2] for b in parse(lines)] == ["ab", "cd"]
    assert parse("") == []


def test_what_was_undone_is_not_captured() -> None:
    assert parse(json.dumps(ENTRY | {"voided_minor": 234}))[0].captured_minor == 1000


@pytest.mark.parametrize("text", ["nonsense", "[1]", '{"purchase_key": 1}', json.dumps(ENTRY | {"amount_minor": "x"})])
def test_an_answer_that_is_not_understood(text: str) -> None:
    with pytest.raises(BooksError, match="not understood"):
        parse(text)


async def test_the_commands_own_words_are_kept() -> None:
    with pytest.raises(BooksError, match="no service here"):
        await read([sys.executable, "-c", "import sys; sys.exit('no service here')"])
    assert await read([sys.executable, "-c", f"print({json.dumps(ENTRY)!r})"]) == parse(json.dumps(ENTRY))


def asked(amount: int) -> dict[str, object]:
    return {"at": "2026-11-23T10:00:00.000+00:00", "event": "asked", "request": "pay", "amount_minor": amount, "before": 0}


def ended(verdict: str, amount: int = 0, **more: object) -> dict[str, object]:
    return {
        "at": "2026-11-23T10:00:05.000+00:00",
        "event": "ended",
        "request": "pay",
        "verdict": verdict,
        "amount_minor": amount,
    } | more


def test_the_registers_journal_in_words() -> None:
    entries = [
        {"at": "2026-11-23T09:00:00.000+00:00", "event": "seen", "receipt": 0},
        asked(1234), ended("done", 1234, receipt=1),
        asked(3500), ended("declined"),
        asked(1111), ended("unknown"), ended("failed", learnt_later=True),
        asked(850),
    ]  # fmt: skip
    told = [(r.amount_minor, r.paid, r.text) for r in rung(entries)]
    assert told == [
        (1234, True, "paid"),
        (3500, False, "declined"),
        (1111, False, "not paid, asked afterwards"),
        (850, None, "under way"),
    ]


def test_an_unknown_end_stays_unknown() -> None:
    assert rung([asked(500), ended("unknown")])[0].paid is None
