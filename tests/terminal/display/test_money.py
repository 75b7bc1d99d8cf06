"""Amounts as people write them."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from terminal.display.money import money
from terminal.display.words import LANGUAGES, Language


@pytest.mark.parametrize(
    ("minor", "currency", "language", "written"),
    [
        (1234, "EUR", "en", "€12.34"),
        (1234, "EUR", "de", "12,34\u00a0€"),
        (1234, "EUR", "fr", "12,34\u00a0€"),
        (1234, "EUR", "it", "12,34\u00a0€"),
        (1234, "CHF", "de", "CHF\u00a012.34"),
        (1234, "CHF", "fr", "CHF\u00a012.34"),
        (123456789, "CHF", "it", "CHF\u00a01’234’567.89"),
        (123456789, "EUR", "en", "€1,234,567.89"),
        (123456789, "EUR", "de", "1.234.567,89\u00a0€"),
        (123456789, "EUR", "fr", "1\u202f234\u202f567,89\u00a0€"),
        (5, "EUR", "it", "0,05\u00a0€"),
        (0, "GBP", "en", "£0.00"),
        (1990, "CLP", "en", "CLP\u00a01,990"),
        (1990, "JPY", "de", "1.990\u00a0¥"),
        (1234, "KWD", "en", "KWD\u00a01.234"),
        (-1234, "EUR", "en", "−€12.34"),
    ],
)
def test_written_as_people_write_it(minor: int, currency: str, language: Language, written: str) -> None:
    assert money(minor, currency, language) == written


@given(st.integers(0, 10**12), st.sampled_from(["EUR", "CHF", "USD", "GBP", "PLN"]), st.sampled_from(LANGUAGES))
def test_no_cent_is_lost_and_no_line_breaks_inside(minor: int, currency: str, language: Language) -> None:
    text = money(minor, currency, language)
    assert int(re.sub(r"\D", "", text)) == minor
    assert " " not in text
