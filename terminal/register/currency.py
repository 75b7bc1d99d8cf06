"""ISO 4217: the numeric codes that registers send, and the letters that everybody else uses."""

from __future__ import annotations

NUMERIC_OF = {
    "EUR": 978, "CHF": 756, "GBP": 826, "USD": 840, "SEK": 752, "NOK": 578, "DKK": 208, "PLN": 985, "CZK": 203, "HUF": 348, "RON": 946,
    "BGN": 975, "CLP": 152,
}  # fmt: skip
LETTERS_OF = {number: letters for letters, number in NUMERIC_OF.items()}


def letters(numeric: str) -> str | None:
    """`978` or `0978` to `EUR`; None for what is not a number or not known."""
    return LETTERS_OF.get(int(numeric)) if numeric.isascii() and numeric.isdigit() else None


def numeric(code: str) -> int:
    """`EUR` to 978. Raises KeyError with the code for an unknown one."""
    return NUMERIC_OF[code]
