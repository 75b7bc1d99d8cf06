"""A serial line in the event loop: exclusive, raw, no threads, re-opened when the cable comes back.

pyserial opens and configures the port; reading and writing are done on its descriptor, because the event loop wakes us only
when there is something to read, so an idle line costs nothing. A pseudo-terminal has no modem lines; pyserial tolerates that.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import select
import termios
from typing import Any

import serial

from terminal.register.line import LineEvents

LOG = logging.getLogger(__name__)

READ_BYTES_MAX = 4096  # one read; more stays in the kernel and wakes us again
BACKLOG_BYTES_MAX = 65_536  # written but not taken by the kernel: beyond this the other side is gone
EMPTY_READS_MAX = 3  # ready, but no data, in a row: the adapter has gone (pyserial#86)
DRAIN_POLL_S = 0.005  # between looks whether the kernel has handed everything over
DRAIN_MAX_S = 1.5  # ZVT wants the new rate within 2 s
ADAPTER_BUFFER_CHARS = 64  # may still sit in the adapter when the kernel's queue is empty
BITS_PER_CHAR = 11  # start, 8 data, parity or second stop bit, stop

_FORMATS = {
    "8N1": (serial.EIGHTBITS, serial.PARITY_NONE, serial.STOPBITS_ONE),
    "8N2": (serial.EIGHTBITS, serial.PARITY_NONE, serial.STOPBITS_TWO),
    "7E1": (serial.SEVENBITS, serial.PARITY_EVEN, serial.STOPBITS_ONE),
}


class SerialLine:
    """A serial device by name. `bits` is one of 8N1, 8N2, 7E1. See `Line` for the methods."""

    def __init__(self, port: str, baud: int = 9600, bits: str = "8N1", reopen_pause_s: float = 1.0) -> None:
        self._port = port
        self._baud = baud
        self._format = _FORMATS[bits]
        self._pause_s = reopen_pause_s
        self._events: LineEvents | None = None
        self._serial: Any = None  # serial.Serial, which has no types
        self._fd = -1
        self._backlog = bytearray()
        self._empty_reads = 0
        self._retry: asyncio.TimerHandle | None = None
        self._rate_change: asyncio.Task[None] | None = None
        self._last_trouble = ""

    @property
    def name(self) -> str:
        """The device's name as configured."""
        return self._port

    @property
    def is_open(self) -> bool:
        """True while the port is held."""
        return self._serial is not None

    async def start(self, events: LineEvents) -> None:
        """Open the port now, or as soon as it appears."""
        self._events = events
        self._try_open()

    def write(self, data: bytes) -> None:
        """One write(); what the kernel does not take at once is kept and follows in order."""
        if self._serial is None:
            return
        if self._backlog:
            self._backlog += data
        else:
            try:
                taken = os.write(self._fd, data)
            except BlockingIOError:
                taken = 0
            except OSError as error:
                self._lost(f"writing failed ({error.strerror})")
                return
            if taken == len(data):
                return
            self._backlog += data[taken:]
            asyncio.get_running_loop().add_writer(self._fd, self._writable)
        if len(self._backlog) > BACKLOG_BYTES_MAX:
            self._lost("nothing takes what is written")

    def set_rate(self, baud: int) -> None:
        """Switch after the bytes written so far have left. After a pulled cable the configured rate holds again."""
        self._rate_change = asyncio.get_running_loop().create_task(self._change_rate(baud))

    def hangup(self) -> None:
        """Drop what was received but not read yet."""
        if self._serial is not None:
            with contextlib.suppress(OSError, termios.error):
                termios.tcflush(self._fd, termios.TCIFLUSH)

    async def close(self) -> None:
        """Let go of the port and stop trying."""
        self._events = None
        if self._retry is not None:
            self._retry.cancel()
            self._retry = None
        if self._rate_change is not None:
            self._rate_change.cancel()
        self._drop()

    def _try_open(self) -> None:
        self._retry = None
        if self._events is None:
            return
        size, parity, stop = self._format
        try:
            port = serial.Serial(
                self._port, self._baud, size, parity, stop, timeout=0, xonxoff=False, rtscts=False, dsrdtr=False, exclusive=True
            )
        except (OSError, ValueError, termios.error) as error:  # SerialException is an OSError
            self._trouble(f"can't be opened: {error}")
            self._later()
            return
        self._serial, self._fd = port, port.fileno()
        self._empty_reads = 0
        self._last_trouble = ""
        asyncio.get_running_loop().add_reader(self._fd, self._readable)
        LOG.info("register line open port=%s baud=%d", self._port, self._baud)
        self._events.line_opened()

    def _readable(self) -> None:
        try:
            data = os.read(self._fd, READ_BYTES_MAX)
        except BlockingIOError:
            return
        except OSError as error:  # EIO: the adapter was pulled, or the pseudo-terminal's other side is gone
            self._lost(f"reading failed ({error.strerror})")
            return
        if data:
            self._empty_reads = 0
            if self._events is not None:
                self._events.line_received(data)
            return
        self._empty_reads += 1
        if self._empty_reads >= EMPTY_READS_MAX or self._hung_up():
            self._lost("the other side hung up")

    def _hung_up(self) -> bool:
        poll = select.poll()
        poll.register(self._fd, 0)
        return bool(poll.poll(0))  # only POLLHUP, POLLERR and POLLNVAL are reported without being asked for

    def _writable(self) -> None:
        try:
            taken = os.write(self._fd, self._backlog)
        except BlockingIOError:
            return
        except OSError as error:
            self._lost(f"writing failed ({error.strerror})")
            return
        del self._backlog[:taken]
        if not self._backlog:
            asyncio.get_running_loop().remove_writer(self._fd)

    async def _change_rate(self, baud: int) -> None:
        port = self._serial
        if port is None:
            return
        loop = asyncio.get_running_loop()
        until = loop.time() + DRAIN_MAX_S
        try:
            old = int(port.baudrate)
            # The kernel tells nobody when its queue is empty, short of a call that blocks: so look, a few times.
            while (self._backlog or port.out_waiting) and loop.time() < until and port is self._serial:  # noqa: ASYNC110
                await asyncio.sleep(DRAIN_POLL_S)
            await asyncio.sleep(ADAPTER_BUFFER_CHARS * BITS_PER_CHAR / old)
            if port is self._serial:
                port.baudrate = baud
                LOG.info("register line rate port=%s baud=%d", self._port, baud)
        except (OSError, ValueError, termios.error) as error:
            LOG.warning("register line rate unchanged port=%s wanted=%d reason=%s", self._port, baud, error)

    def _lost(self, why: str) -> None:
        self._trouble(why)
        self._drop()
        self._later()
        if self._events is not None:
            self._events.line_lost()

    def _drop(self) -> None:
        if self._serial is None:
            return
        loop = asyncio.get_running_loop()
        loop.remove_reader(self._fd)
        loop.remove_writer(self._fd)
        with contextlib.suppress(OSError, termios.error):
            self._serial.close()
        self._serial, self._fd = None, -1
        self._backlog.clear()

    def _later(self) -> None:
        if self._retry is None and self._events is not None:
            self._retry = asyncio.get_running_loop().call_later(self._pause_s, self._try_open)

    def _trouble(self, why: str) -> None:
        """Say it once, not at every try."""
        if why != self._last_trouble:
            self._last_trouble = why
            LOG.warning("register line %s: %s; trying again every %.1f s", self._port, why, self._pause_s)
