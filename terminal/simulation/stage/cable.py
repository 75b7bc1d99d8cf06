"""A null-modem cable between two pseudo-terminals: what is written at one end is read at the other."""

from __future__ import annotations

import asyncio
import os
import tty
from contextlib import suppress

CHUNK_BYTES = 4096


class Cable:
    """Two serial ports that are connected. Bytes for a port that nobody reads are lost, as on a real line."""

    def __init__(self) -> None:
        self._masters: list[int] = []
        self._slaves: list[int] = []
        self.plugged = True
        """False: nothing gets across, as with the cable pulled."""

    @property
    def register_port(self) -> str:
        """Device of the register's end."""
        return os.ttyname(self._slaves[0])

    @property
    def terminal_port(self) -> str:
        """Device of the payment terminal's end."""
        return os.ttyname(self._slaves[1])

    def open(self) -> None:
        """Make the ports; the running event loop carries the bytes. The slaves stay open here, so that a program may end and come back."""
        for _ in range(2):
            master, slave = os.openpty()
            tty.setraw(slave)
            os.set_blocking(master, False)
            self._masters.append(master)
            self._slaves.append(slave)
        loop = asyncio.get_running_loop()
        for here, there in (self._masters, self._masters[::-1]):
            loop.add_reader(here, self._carry, here, there)

    def _carry(self, here: int, there: int) -> None:
        with suppress(BlockingIOError):
            data = os.read(here, CHUNK_BYTES)
            if self.plugged:
                os.write(there, data)

    def close(self) -> None:
        """Take the ports away; harmless when not open."""
        loop = asyncio.get_running_loop()
        for master in self._masters:
            loop.remove_reader(master)
        for descriptor in (*self._masters, *self._slaves):
            os.close(descriptor)
        self._masters.clear()
        self._slaves.clear()
