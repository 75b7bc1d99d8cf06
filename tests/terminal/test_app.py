"""The terminal as systemd sees it: ready when it can be asked, alive while frames come, stopping when told."""

from __future__ import annotations

import asyncio
import socket
from pathlib import Path

import pytest

from terminal.app import Terminal
from terminal.config import Config, DisplayOptions, JournalOptions, ReaderOptions, RegisterOptions, ServiceOptions

LIMIT_S = 90.0


def config(folder: Path) -> Config:
    return Config(
        reader=ReaderOptions(kind="simulated", idle_rate_hz=30),
        service=ServiceOptions(
            address="127.0.0.1:9", ca=folder / "ca.pem", certificate=folder / "till.pem", key=folder / "till.key", backoff_max_s=1
        ),
        cash_register=RegisterOptions(line="tcp", listen_port=0),
        display=DisplayOptions(port=0),
        journal=JournalOptions(folder=folder / "journal"),
    )


async def test_the_watchdog_is_fed_by_frames_and_by_nothing_else(tmp_path: Path) -> None:
    terminal = Terminal(config(tmp_path))
    said: list[str] = []
    terminal._systemd.notify = said.append
    terminal._beaten(1.0)
    assert said == [], "no frame yet"
    terminal.vision.frames = 5
    terminal._beaten(1.0)
    assert said == ["WATCHDOG=1"]
    terminal._beaten(1.0)
    assert said == ["WATCHDOG=1"], "a camera that hangs is no sign of life"
    assert terminal.status()["frames_per_s"] == 0.0


async def test_ready_alive_and_stopping_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a service, too: a terminal that restarts because the network is away helps nobody."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(str(tmp_path / "notify"))
        systemd.setblocking(False)
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        terminal, told, loop = Terminal(config(tmp_path)), "", asyncio.get_running_loop()
        await terminal.start()
        try:
            async with asyncio.timeout(LIMIT_S):
                while "WATCHDOG=1" not in told:
                    told += (await loop.sock_recv(systemd, 4096)).decode() + "\n"
            assert told.index("READY=1") < told.index("WATCHDOG=1")
            assert terminal.status()["service_reachable"] is False
        finally:
            await terminal.stop()
        async with asyncio.timeout(LIMIT_S):
            while "STOPPING=1" not in told:
                told += (await loop.sock_recv(systemd, 4096)).decode() + "\n"
