"""The commands: what they are called, and how they end."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from terminal.app import FAILED, run
from terminal.cli import app
from terminal.config import Config, DisplayOptions, JournalOptions, ReaderOptions
from terminal.metrics import Metrics

RUNNER = CliRunner()


def test_all_commands_are_there() -> None:
    said = RUNNER.invoke(app, ["--help"]).output
    for command in ("run", "doctor", "enrol", "check-config", "register", "trace"):
        assert command in said


def test_a_good_configuration_is_fine_and_a_bad_one_says_why(tmp_path: Path) -> None:
    path = tmp_path / "terminal.toml"
    path.write_text("[shop]\n")
    assert RUNNER.invoke(app, ["check-config", "--config", str(path)]).exit_code == 0
    path.write_text("[shop]\ntil = 1\n")
    done = RUNNER.invoke(app, ["check-config", "--config", str(path)])
    assert done.exit_code == 2
    assert "Did you mean 'till'?" in done.output
    assert RUNNER.invoke(app, ["run", "--config", str(tmp_path / "none")]).exit_code == 2


def test_a_wrong_log_level_is_a_usage_error(tmp_path: Path) -> None:
    path = tmp_path / "terminal.toml"
    path.write_text("")
    assert RUNNER.invoke(app, ["run", "--config", str(path), "--log", "loud"]).exit_code == 2


async def test_a_journal_that_cannot_be_ends_the_start_with_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    said: list[str] = []
    config = Config(
        journal=JournalOptions(folder=tmp_path / "file" / "journal"),
        display=DisplayOptions(port=0),
        reader=ReaderOptions(kind="simulated"),
    )
    assert await run(config, said.append) == FAILED
    assert "Look at the data partition" in said[0]


async def test_metrics_answer_on_loopback_and_name_nobody() -> None:
    import urllib.request
    from asyncio import to_thread

    metrics = Metrics()
    metrics.requests.labels("pay", "approved").inc()
    port = metrics.serve(0)
    text = await to_thread(lambda: urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5).read().decode())
    metrics.close()
    assert 'palm_requests_total{kind="pay",outcome="approved"} 1.0' in text
    with pytest.raises(OSError):
        await to_thread(lambda: urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=1))
