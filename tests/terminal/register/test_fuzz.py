"""A sample of `make fuzz`, and that it would notice."""

from __future__ import annotations

import pytest

from tests.terminal.register import fuzz

SAMPLE = 2000
TARGETS = fuzz.targets(7)


@pytest.mark.parametrize("name", sorted(TARGETS))
def test_nothing_raises(name: str) -> None:
    target, seeds = TARGETS[name]
    assert fuzz.fuzz(name, target, seeds, SAMPLE, seed=7) is None


def test_a_decoder_that_raises_is_found() -> None:
    def fragile(data: bytes) -> None:
        assert b"\x10\x03\x10" not in data

    said = fuzz.fuzz("fragile", fragile, fuzz.SEEDS["zvt"], 200_000, seed=7)
    assert said is not None
    assert "raised AssertionError" in said


def test_a_decoder_that_keeps_everything_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    kept: list[bytes] = []
    sizes = iter(range(1, 10**9, 1024))
    monkeypatch.setattr(fuzz, "resident_kib", lambda: next(sizes) * 64)
    monkeypatch.setattr(fuzz, "LOOK_EVERY", 10)
    assert "memory grew" in (fuzz.fuzz("hoarder", kept.append, fuzz.SEEDS["zvt"], 2000, seed=7) or "")


@pytest.mark.parametrize("digit", [0xB2, 0xB3, 0xB9])
def test_superscripts_are_no_digits(digit: int) -> None:
    """Found by `make fuzz`: str.isdigit says yes to them, int says no."""
    pay = bytearray(fuzz.SEEDS["ecr17"][2])
    pay[30] = digit
    for name in ("ecr17 machine", "ecr17 words"):
        TARGETS[name][0](bytes(pay))
