"""The verdict finds every way in which register and ledger can differ."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from terminal.simulation.stage.reckoning import Booked, Rung, reckon

PAID = Rung("10:00:00", 1234, True)
CAPTURED = Booked("a" * 32, "10:00:00", 1234, 1234, "EUR", "captured")
REVERSED = Booked("b" * 32, "10:00:01", 555, 0, "EUR", "reversed")


def test_a_morning_that_agrees() -> None:
    verdict = reckon([PAID, Rung("10:00:01", 555, False)], [CAPTURED, REVERSED])
    assert verdict.agree
    assert (verdict.register_minor, verdict.ledger_minor) == (1234, 1234)


@pytest.mark.parametrize(
    ("register", "ledger", "says"),
    [
        ([PAID], [], "The register has 12.34 as paid 1 time"),
        ([], [CAPTURED], "The ledger captured 12.34 1 time"),
        ([PAID], [CAPTURED, replace(CAPTURED, key="c" * 32)], "The ledger captured 12.34 1 time"),
        ([PAID], [CAPTURED, CAPTURED], "has the purchase"),
        ([PAID], [replace(CAPTURED, captured_minor=1233)], "as paid 1 time"),
        ([PAID], [replace(CAPTURED, amount_minor=1000)], "of an authorised 10.00"),
        ([replace(PAID, paid=None)], [], "does not know how 12.34"),
        ([], [replace(REVERSED, state="authorised")], "neither captured nor reversed"),
    ],
)
def test_every_difference_is_named(register: list[Rung], ledger: list[Booked], says: str) -> None:
    verdict = reckon(register, ledger)
    assert not verdict.agree
    assert any(says in difference for difference in verdict.differences), verdict.differences


amounts = st.lists(st.integers(1, 50), max_size=12)


@given(amounts, amounts)
def test_it_agrees_exactly_when_the_same_amounts_moved(register: list[int], ledger: list[int]) -> None:
    rung = [Rung("", amount, True) for amount in register]
    booked = [Booked(f"{i:032x}", "", amount, amount, "EUR", "captured") for i, amount in enumerate(ledger)]
    verdict = reckon(rung, booked)
    assert verdict.agree is (sorted(register) == sorted(ledger))
    assert verdict.register_minor - verdict.ledger_minor == sum(register) - sum(ledger)
