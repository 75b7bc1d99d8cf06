"""What the board says of itself: temperature, and whether its supply is too weak. Read from files; no program is started for it."""

from __future__ import annotations

import time
from pathlib import Path

TEMPERATURE = Path("/sys/class/thermal/thermal_zone0/temp")
THROTTLED = Path("/sys/devices/platform/soc/soc:firmware/get_throttled")
MODEL = Path("/proc/device-tree/model")
BITS = {
    0: "under-voltage now",
    1: "frequency capped now",
    2: "throttled now",
    3: "too hot now",
    16: "under-voltage since the start",
    17: "frequency capped since the start",
    18: "throttled since the start",
    19: "too hot since the start",
}


def _text(path: Path) -> str | None:
    try:
        return path.read_text(encoding="ascii", errors="replace").strip(" \0\n")
    except OSError:
        return None


def model() -> str:
    """Which board; empty where it does not say."""
    return _text(MODEL) or ""


def temperature_c() -> float | None:
    """Of the processor; None where it does not say."""
    text = _text(TEMPERATURE)
    try:
        return int(text) / 1000 if text else None
    except ValueError:
        return None


def throttled(path: Path = THROTTLED) -> tuple[str, ...] | None:
    """What was wrong with supply and cooling; empty: nothing; None where it does not say (not a Pi)."""
    text = _text(path)
    try:
        bits = int(text, 16) if text else None
    except ValueError:
        return None
    if bits is None:
        return None
    return tuple(words for bit, words in BITS.items() if bits >> bit & 1)


def uptime_s(started_s: float) -> int:
    """Since a monotonic moment."""
    return round(time.monotonic() - started_s)
