"""Where the terminal writes and what it is plugged into: disk, register port, page."""

from __future__ import annotations

import fcntl
import os
import socket
import statistics
import time
from pathlib import Path

import serial

from terminal.config import Config, DisplayOptions, RegisterOptions
from terminal.doctor.finding import Finding

SYNCS = 5
SLOW_SYNC_MS = 100.0
LATENCY_MS_MAX = 1
SYS_TTY = Path("/sys/class/tty")


def disk(config: Config) -> Finding:
    """The journal's folder can be written, and how long a promise takes."""
    folder = config.journal.folder
    probe = folder / "doctor.probe"
    taken_ms = []
    try:
        folder.mkdir(parents=True, exist_ok=True)
        running = _locked(folder / "journal.lock")
        handle = os.open(probe, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        try:
            for _ in range(SYNCS):
                began_s = time.monotonic()
                os.pwrite(handle, bytes(512), 0)
                os.fdatasync(handle)
                taken_ms.append((time.monotonic() - began_s) * 1000)
        finally:
            os.close(handle)
            probe.unlink()
    except OSError as error:
        return Finding(
            "disk",
            False,
            f"{folder}: can't be written ({error.strerror})",
            "Look at the data partition: full, read-only or worn out.",
        )
    took_ms = statistics.median(taken_ms)
    said = f"{folder}: a record takes {took_ms:.1f} ms"
    if running:
        return Finding("disk", None, said + "; a terminal is using this journal", "Stop it first: systemctl stop palm-terminal.")
    if took_ms > SLOW_SYNC_MS:
        return Finding("disk", None, said, "Slow: each purchase waits for this twice. A better SD card helps.")
    return Finding("disk", True, said)


def _locked(path: Path) -> bool:
    """Whether somebody holds this lock."""
    try:
        handle = os.open(path, os.O_RDWR)
    except OSError:
        return False
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return True
    finally:
        os.close(handle)
    return False


def register(options: RegisterOptions) -> list[Finding]:
    """The register's line is there and nobody else uses it."""
    if options.line == "tcp":
        return [_listening("register", options.listen_host, options.listen_port, "[register] listen_port")]
    path = Path(options.port)
    if not path.exists():
        return [Finding("register", False, f"{path}: is not there", "Plug the adapter in, or correct [register] port.")]
    try:
        serial.Serial(options.port, options.baud, exclusive=True).close()
    except (OSError, ValueError) as error:
        return [
            Finding(
                "register", False, f"{path}: can't be opened ({error})",
                "Another program has it (the terminal? ModemManager? brltty?), or this user may not. Stop the one, or add the user to "
                "the group dialout.",
            )
        ]  # fmt: skip
    return [Finding("register", True, f"{path}: free, {options.protocol}, {options.baud} {options.bits}"), *_latency(path)]


def _latency(path: Path) -> list[Finding]:
    """FTDI adapters wait up to 16 ms before they pass bytes on."""
    timer = SYS_TTY / path.resolve().name / "device" / "latency_timer"
    try:
        latency_ms = int(timer.read_text())
    except (OSError, ValueError):
        return []
    if latency_ms > LATENCY_MS_MAX:
        return [Finding("adapter", None, f"waits {latency_ms} ms", "Install the udev rule that sets latency_timer to 1.")]
    return [Finding("adapter", True, f"waits {latency_ms} ms")]


def page(options: DisplayOptions) -> Finding:
    """The shopper's page can be served."""
    return _listening("page", options.host, options.port, "[display] port")


def _listening(part: str, host: str, port: int, option: str) -> Finding:
    try:
        with socket.create_server((host, port)):
            return Finding(part, True, f"{host}:{port} is free")
    except OSError as error:
        return Finding(
            part, False, f"{host}:{port}: {error.strerror}", f"Stop what listens there (the terminal?), or correct {option}."
        )
