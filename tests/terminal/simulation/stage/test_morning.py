"""What the morning's judge lets through, and what it does not."""

from __future__ import annotations

import io
from dataclasses import replace

import pytest
from rich.console import Console

from terminal.register.till import RegisterResult, Verdict
from terminal.simulation.stage import summary
from terminal.simulation.stage.morning import ACTS, Played, Report, judge
from terminal.simulation.stage.reckoning import Booked, Rung, reckon


def as_meant() -> tuple[list[Played], list[Booked], list[Rung]]:
    played, ledger, rung = [], [], []
    for number, act in enumerate(ACTS):
        verdict = min(act.verdicts, key=lambda v: v.value)
        played.append(Played(act, RegisterResult(verdict, "pay", act.amount_minor if act.paid else 0), 1.0 + number))
        rung.append(Rung("10:00:00", act.amount_minor, act.paid))
        state = "captured" if act.paid else "reversed"
        ledger.append(Booked(f"{number:032x}", "10:00:00", act.amount_minor, act.amount_minor if act.paid else 0, "EUR", state))
    return played, ledger, rung


def judged(played: list[Played], ledger: list[Booked], rung: list[Rung]) -> Report:
    return judge(played, ledger, reckon(rung, ledger))


def shown(report: Report) -> str:
    out = io.StringIO()
    summary.show(report, Console(file=out, width=110))
    return out.getvalue()


def test_each_act_has_its_own_amount() -> None:
    assert len({act.amount_minor for act in ACTS}) == len(ACTS)
    assert all(act.paid is (Verdict.DONE in act.verdicts) for act in ACTS)


def test_a_morning_as_it_is_meant() -> None:
    report = judged(*as_meant())
    assert report.troubles == ()
    text = shown(report)
    assert "agree to the cent" in text
    assert all(act.title in text for act in ACTS)
    assert "✗" not in text


@pytest.mark.parametrize("number", range(len(ACTS)))
def test_a_cent_that_moved_or_did_not_is_found(number: int) -> None:
    played, ledger, rung = as_meant()
    was = ledger[number]
    ledger[number] = replace(was, captured_minor=0 if was.captured_minor else was.amount_minor)
    report = judged(played, ledger, rung)
    assert any(trouble.startswith(ACTS[number].title + ":") for trouble in report.troubles)
    assert "✗" in shown(report)


@pytest.mark.parametrize("number", range(len(ACTS)))
def test_a_register_that_heard_something_else_is_found(number: int) -> None:
    played, ledger, rung = as_meant()
    act = ACTS[number]
    wrong = Verdict.UNKNOWN if act.paid else Verdict.DONE
    played[number] = Played(act, RegisterResult(wrong, "pay"), 1.0)
    assert any(t.startswith(f"{act.title}: the register heard {wrong.value}") for t in judged(played, ledger, rung).troubles)


def test_a_double_charge_and_an_open_purchase_are_found() -> None:
    played, ledger, rung = as_meant()
    assert judged(played, [*ledger, replace(ledger[0], key="f" * 32)], rung).troubles
    assert judged(played, [*ledger, Booked("f" * 32, "", 4711, 0, "EUR", "authorised")], rung).troubles
