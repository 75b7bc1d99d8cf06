"""Enrolment at the terminal: looks that differ, one hand, an amount, and nobody without consent."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from terminal.cli import app
from terminal.enrol import SPREAD_S, Collector, minor_units
from terminal.palm.types import Guidance, Look, Side

RUNNER = CliRunner()


def look(number: int, at_s: float, side: Side = Side.RIGHT) -> Look:
    return Look(number, at_s, side, 0.9, "palm-test", surface=np.ones(4, np.float32))


def test_looks_are_spread_in_time() -> None:
    collector = Collector(3)
    kept = [collector.take(look(n, n * SPREAD_S / 3)) for n in range(8)]
    assert kept == [True, False, False, True, False, False, True, False]
    assert collector.done


def test_another_hand_begins_anew() -> None:
    collector = Collector(3)
    collector.take(look(1, 0.0))
    collector.take(look(2, 1.0))
    collector.take(look(3, 2.0, Side.LEFT))
    assert [each.frame_number for each in collector.looks] == [3]


@pytest.mark.parametrize(("text", "minor"), [("50", 5000), ("50.00", 5000), ("0.5", 50), ("12,34", 1234), (" 7.05 ", 705)])
def test_amounts(text: str, minor: int) -> None:
    assert minor_units(text) == minor


@pytest.mark.parametrize("text", ["", "0", "0.00", "-5", "1.234", "ten", "1e3", "99999999"])
def test_what_is_no_amount_is_said(text: str) -> None:
    with pytest.raises(ValueError, match=r"50\.00 would be one"):
        minor_units(text)


def test_every_word_of_guidance_has_a_sentence() -> None:
    from terminal.enrol import WORDS

    assert set(WORDS) == set(Guidance)


def arguments(folder: Path, *more: str) -> list[str]:
    config = folder / "terminal.toml"
    config.write_text("")
    return [
        "enrol", "--config", str(config), "--name", "Ada", "--payment-token", "t", "--limit", "50.00", "--consent-text-version", "v1",
        "--witness", "w", *more,
    ]  # fmt: skip


def test_nobody_is_enrolled_without_consent(tmp_path: Path) -> None:
    done = RUNNER.invoke(app, arguments(tmp_path))
    assert done.exit_code == 2
    assert "without consent" in done.output


def test_a_limit_that_is_none_is_a_usage_error(tmp_path: Path) -> None:
    done = RUNNER.invoke(app, [*arguments(tmp_path, "--consented")[:7], "--limit", "lots", *arguments(tmp_path, "--consented")[9:]])
    assert done.exit_code == 2


def test_a_reader_that_cannot_be_opened_ends_it_with_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from terminal import parts

    def broken(_: object) -> None:
        raise RuntimeError("hand.onnx is missing")

    monkeypatch.setattr(parts, "make_pipeline", broken)
    done = RUNNER.invoke(app, arguments(tmp_path, "--consented"))
    assert done.exit_code == 1
    assert "hand.onnx is missing" in done.output
    assert "palm-terminal doctor" in done.output
