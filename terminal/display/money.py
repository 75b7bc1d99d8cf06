"""Amounts as people in each language write them (after Unicode's CLDR; Swiss francs as Switzerland writes them in all languages)."""

from __future__ import annotations

from terminal.display.words import Language

NARROW, HARD = "\u202f", "\u00a0"  # spaces that never break a line

DECIMALS = {"JPY": 0, "KRW": 0, "CLP": 0, "ISK": 0, "HUF": 2, "BHD": 3, "KWD": 3, "TND": 3}
"""Digits of the minor unit where they are not 2 (ISO 4217)."""

SIGNS = {"EUR": "€", "GBP": "£", "USD": "$", "JPY": "¥"}


def money(amount_minor: int, currency: str, language: Language) -> str:
    """For example 1234, "EUR" -> "€12.34" (en), "12,34 €" (de, fr, it); "CHF" -> "CHF 12.34" everywhere."""
    digits = DECIMALS.get(currency, 2)
    whole, part = divmod(abs(amount_minor), 10**digits)
    minus = "\u2212" if amount_minor < 0 else ""
    if currency == "CHF":
        group, point = "’", "."
    else:
        group, point = {"en": (",", "."), "de": (".", ","), "fr": (NARROW, ","), "it": (".", ",")}[language]
    number = f"{whole:,}".replace(",", group) + (f"{point}{part:0{digits}d}" if digits else "")
    sign = SIGNS.get(currency, currency)
    if currency == "CHF" or (language == "en" and currency not in SIGNS):
        return f"{minus}{sign}{HARD}{number}"
    return f"{minus}{sign}{number}" if language == "en" else f"{minus}{number}{HARD}{sign}"
