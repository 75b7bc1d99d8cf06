"""A register's end of a line, byte by byte, with patience: what the dialogues of Concert, ECR17 and Transbank need."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import reduce
from operator import xor
from typing import Literal

from terminal.register.line import Line

INBOX_BYTES_MAX = 65_536
LINE_PATIENCE_S = 5.0

Tap = Callable[[Literal["in", "out", "note"], bytes | str], None]


class SilenceError(Exception):
    """Nothing came in time, or the line was lost; the sentence says what was waited for."""


def xor_of(data: bytes, start: int = 0) -> int:
    """XOR of all bytes."""
    return reduce(xor, data, start)


class BytesWire:
    """Reads and writes on a `Line`."""

    def __init__(self, line: Line, tap: Tap | None = None) -> None:
        self._line = line
        self._tap = tap
        self._inbox = bytearray()
        self._arrived = asyncio.Event()
        self._open = asyncio.Event()

    async def start(self) -> None:
        """Open the line; `opened` waits until it is there."""
        await self._line.start(self)

    async def opened(self) -> None:
        """Wait for the line. Raises SilenceError."""
        try:
            async with asyncio.timeout(LINE_PATIENCE_S):
                await self._open.wait()
        except TimeoutError:
            raise SilenceError(
                f"{self._line.name} can't be reached: is the terminal running, and is this the right port?"
            ) from None

    async def close(self) -> None:
        """Let go of the line."""
        await self._line.close()

    def write(self, data: bytes) -> None:
        """One write."""
        if self._tap is not None:
            self._tap("out", data)
        self._line.write(data)

    def forget(self) -> None:
        """Drop what came and was not read."""
        self._inbox.clear()

    async def quiet(self, silence_s: float, patience_s: float) -> None:
        """Wait until nothing has come for `silence_s`, and drop it: late answers to an earlier request must not pass for this one's."""
        until_s = asyncio.get_running_loop().time() + patience_s
        while asyncio.get_running_loop().time() < until_s:
            self._inbox.clear()
            try:
                await self.read(1, silence_s, "noise")
            except SilenceError:
                return

    async def read(self, count: int, patience_s: float, what: str) -> bytes:
        """Exactly `count` bytes. Raises SilenceError naming `what`."""
        try:
            async with asyncio.timeout(patience_s):
                while len(self._inbox) < count:
                    self._arrived.clear()
                    await self._arrived.wait()
                    if not self._open.is_set():
                        raise SilenceError(f"the line was lost while {what} was awaited")
        except TimeoutError:
            raise SilenceError(f"no {what} within {patience_s:g} s") from None
        data = bytes(self._inbox[:count])
        del self._inbox[:count]
        return data

    def unread(self, data: bytes) -> None:
        """Put back what was read: the next read gives it again."""
        self._inbox[:0] = data

    async def read_until(self, last: int, after: int, patience_s: float, what: str) -> bytes:
        """Up to and with byte `last`, and `after` bytes more. Raises SilenceError."""
        data = bytearray()
        while not data or data[-1] != last:
            data += await self.read(1, patience_s, what)
        return bytes(data) + (await self.read(after, patience_s, what) if after else b"")

    async def rest(self, silence_s: float, patience_s: float, what: str) -> bytes:
        """Everything until the line is silent for `silence_s`. Raises SilenceError where nothing comes at all."""
        data = await self.read(1, patience_s, what)
        while True:
            try:
                data += await self.read(1, silence_s, what)
            except SilenceError:
                return data

    # LineEvents.

    def line_opened(self) -> None:
        """See LineEvents."""
        self._inbox.clear()
        self._open.set()

    def line_lost(self) -> None:
        """See LineEvents."""
        self._open.clear()
        self._arrived.set()

    def line_received(self, data: bytes) -> None:
        """See LineEvents."""
        if self._tap is not None:
            self._tap("in", data)
        if len(self._inbox) + len(data) <= INBOX_BYTES_MAX:
            self._inbox += data
        self._arrived.set()
