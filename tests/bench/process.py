"""What a process costs, from /proc: time on the cores and resident memory."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path

TICKS_PER_S = os.sysconf("SC_CLK_TCK")
PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


@dataclass(frozen=True, slots=True)
class Cost:
    """Of one process over a time."""

    core_percent: float
    resident_mib: float


def core_seconds(pid: int) -> float:
    """User and system time so far, all threads."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS_PER_S


def resident_mib(pid: int) -> float:
    """Resident set now."""
    return int(Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1]) * PAGE_BYTES / 2**20


def watch(pid: int, seconds: float) -> Cost:
    """Let it run for `seconds`."""
    before, began = core_seconds(pid), time.monotonic()
    time.sleep(seconds)
    return Cost(100 * (core_seconds(pid) - before) / (time.monotonic() - began), resident_mib(pid))
