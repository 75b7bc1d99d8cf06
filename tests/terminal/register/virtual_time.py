"""An event loop whose clock jumps to the next timer: hours of time-outs in milliseconds, the same on every run."""

from __future__ import annotations

import asyncio
import selectors


class StuckError(Exception):
    """Nothing is scheduled and nothing is ready: whoever waits will wait for ever."""


class _Jump(selectors.SelectSelector):
    def __init__(self) -> None:
        super().__init__()
        self.now_s = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None:
            raise StuckError
        self.now_s += max(timeout, 0.0)
        return []


class VirtualLoop(asyncio.SelectorEventLoop):
    """No sockets, no threads: timers and tasks only."""

    def __init__(self) -> None:
        self._jump = _Jump()
        super().__init__(self._jump)
        self._clock_resolution = 1e-9

    def time(self) -> float:
        """Virtual seconds since this loop began."""
        return self._jump.now_s
