"""A null-modem cable made of two pseudo-terminals: a register's program on one end, the terminal on the other."""

from __future__ import annotations

import asyncio
import os
import pty
import tty
from typing import Self

READ_BYTES_MAX = 4096


class NullModem:
    """`async with NullModem() as cable`: `cable.register_port` and `cable.terminal_port` are two ends of one cable.

    Both far ends are kept open here, so a program that closes and re-opens its port finds the cable as it was. What a register
    wrote while it was pulled is gone, as on a real cable.
    """

    def __init__(self) -> None:
        self._masters: list[int] = []
        self._slaves: list[int] = []
        self.plugged = True
        self.seen: list[tuple[str, bytes]] = []

    async def __aenter__(self) -> Self:
        for _ in range(2):
            master, slave = pty.openpty()
            tty.setraw(slave)
            os.set_blocking(master, False)
            self._masters.append(master)
            self._slaves.append(slave)
        loop = asyncio.get_running_loop()
        loop.add_reader(self._masters[0], self._pass, 0, "register")
        loop.add_reader(self._masters[1], self._pass, 1, "terminal")
        return self

    async def __aexit__(self, *_: object) -> None:
        for master in self._masters:
            asyncio.get_running_loop().remove_reader(master)
        for fd in self._masters + self._slaves:
            os.close(fd)

    @property
    def register_port(self) -> str:
        return os.ttyname(self._slaves[0])

    @property
    def terminal_port(self) -> str:
        return os.ttyname(self._slaves[1])

    def _pass(self, end: int, who: str) -> None:
        data = os.read(self._masters[end], READ_BYTES_MAX)
        self.seen.append((who, data))
        if self.plugged:
            os.write(self._masters[1 - end], data)
