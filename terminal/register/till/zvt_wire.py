"""A register's transport for ZVT: whole messages to and from a terminal, over a serial line or TCP."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Literal

from terminal.register.line import Line
from terminal.register.till import zvt_codec as codec

LOG = logging.getLogger(__name__)

ACK_PATIENCE_S = 5.0  # T2
GAP_S = 0.2  # T1
SENDINGS_MAX = 3
INBOX_MAX = 256  # messages that nobody has asked for yet; a terminal has one under way
BUFFER_BYTES_MAX = 140_000  # one message of the longest kind, every byte doubled

Tap = Callable[[Literal["in", "out", "note"], bytes | str], None]


class LineGoneError(Exception):
    """The line was lost, or the terminal does not take what is sent."""


class ZvtWire:
    """Sends and receives messages; acknowledges, repeats, and drops what was repeated to it."""

    def __init__(self, line: Line, *, serial: bool, tap: Tap | None = None) -> None:
        self._line = line
        self._serial = serial
        self._tap = tap
        self._buffer = bytearray()
        self._inbox: asyncio.Queue[bytes | None] = asyncio.Queue(INBOX_MAX)
        self._opened = asyncio.Event()
        self._taken: asyncio.Future[bool] | None = None  # of the message that waits for its ACK
        self._replied_to = b""  # the terminal's message that our unacknowledged reply answers
        self._last_reply = b""
        self._gap: asyncio.TimerHandle | None = None
        self._sending = asyncio.Lock()
        self._losses = 0  # how often the line was lost
        self._known_losses = 0  # when the dialogue began

    async def start(self) -> None:
        """Open the line; `opened` says when it is there."""
        await self._line.start(self)

    async def close(self) -> None:
        """Let go of the line."""
        if self._gap is not None:
            self._gap.cancel()
        await self._line.close()

    async def opened(self, patience_s: float) -> bool:
        """Wait until the line is there."""
        try:
            async with asyncio.timeout(patience_s):
                await self._opened.wait()
        except TimeoutError:
            return False
        return True

    @property
    def is_open(self) -> bool:
        """True while the line is there."""
        return self._opened.is_set()

    def forget(self) -> None:
        """Drop what came in before: a new dialogue begins."""
        self._known_losses = self._losses
        while not self._inbox.empty():
            self._inbox.get_nowait()

    async def send(self, message: bytes) -> None:
        """Send until it is acknowledged. Raises LineGoneError."""
        async with self._sending:
            await self._send(message)

    async def reply(self, to: bytes, message: bytes) -> None:
        """Send the reply to a message of the terminal. Raises LineGoneError."""
        async with self._sending:
            self._replied_to, self._last_reply = to, message
            try:
                await self._send(message)
            finally:
                self._replied_to = b""

    async def _send(self, message: bytes) -> None:
        if not self._opened.is_set():
            raise LineGoneError("the line is not there")
        if not self._serial:
            self._write(message)
            return
        for _ in range(SENDINGS_MAX):
            self._taken = asyncio.get_running_loop().create_future()
            self._write(codec.frame(message))
            try:
                async with asyncio.timeout(ACK_PATIENCE_S):
                    if await self._taken:
                        return
            except TimeoutError:
                continue
            finally:
                self._taken = None
            if not self._opened.is_set():
                break
        raise LineGoneError("the terminal does not take what is sent")

    async def receive(self, patience_s: float) -> bytes | None:
        """The next message; None where none came in time. Raises LineGoneError, also where the line was lost and is back."""
        message = None
        try:
            async with asyncio.timeout(patience_s):
                while message is None and self._losses == self._known_losses:
                    message = await self._inbox.get()
        except TimeoutError:
            return None
        if message is None or self._losses != self._known_losses:
            raise LineGoneError("the line was lost")
        return message

    # LineEvents.

    def line_opened(self) -> None:
        """See LineEvents."""
        self._buffer.clear()
        self._opened.set()

    def line_lost(self) -> None:
        """See LineEvents."""
        self._losses += 1
        self._opened.clear()
        self._buffer.clear()
        if self._taken is not None and not self._taken.done():
            self._taken.set_result(False)
        self._put(None)

    def line_received(self, data: bytes) -> None:
        """See LineEvents."""
        if self._tap is not None:
            self._tap("in", data)
        self._buffer += data
        if len(self._buffer) > BUFFER_BYTES_MAX:
            self._buffer.clear()
        if self._gap is not None:
            self._gap.cancel()
            self._gap = None
        if self._serial:
            self._cut_frames()
        else:
            self._cut_messages()
        if self._buffer and self._serial:
            self._gap = asyncio.get_running_loop().call_later(GAP_S, self._half)

    def _half(self) -> None:
        self._gap = None
        begun = self._buffer.startswith(codec.START)
        self._buffer.clear()
        if begun:
            self._write(bytes((codec.NAK,)))

    def _cut_messages(self) -> None:
        while (size := codec.whole(bytes(self._buffer))) and len(self._buffer) >= size:
            self._put(bytes(self._buffer[:size]))
            del self._buffer[:size]

    def _cut_frames(self) -> None:
        while True:
            kind, message, used = codec.cut_frame(bytes(self._buffer))
            if not kind:
                return
            del self._buffer[:used]
            if kind in ("ack", "nak"):
                if self._taken is not None and not self._taken.done():
                    self._taken.set_result(kind == "ack")
            elif kind == "broken":
                self._write(bytes((codec.NAK,)))
            elif kind == "message":
                self._write(bytes((codec.ACK,)))
                self._framed(message)

    def _framed(self, message: bytes) -> None:
        if self._taken is not None and not self._taken.done() and self._replied_to:
            if message == self._replied_to:
                # The terminal did not hear our ACK and says it again; our reply is still under way.
                self._write(codec.frame(self._last_reply))
                return
            self._taken.set_result(True)  # it has gone on: then it has our reply
        elif self._taken is not None and not self._taken.done() and message[0] in (0x80, 0x84):
            self._taken.set_result(True)  # it answers, so it has our command
        self._put(message)

    def _put(self, message: bytes | None) -> None:
        if self._inbox.full():
            LOG.warning("register: more messages than anybody waits for; the oldest is dropped")
            self._inbox.get_nowait()
        self._inbox.put_nowait(message)

    def _write(self, data: bytes) -> None:
        if self._tap is not None:
            self._tap("out", data)
        self._line.write(data)
