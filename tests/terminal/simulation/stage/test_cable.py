"""The null-modem cable carries every byte as it is, both ways, and survives programs that come and go."""

from __future__ import annotations

import asyncio
import os
import termios
import tty
from collections.abc import AsyncIterator

import pytest

from terminal.simulation.stage.cable import Cable

DEADLINE_S = 60.0
ALL_BYTES = bytes(range(256))


@pytest.fixture
async def cable() -> AsyncIterator[Cable]:
    made = Cable()
    made.open()
    yield made
    made.close()
    made.close()


async def heard(descriptor: int, size: int) -> bytes:
    got = b""
    readable = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_reader(descriptor, readable.set)
    try:
        async with asyncio.timeout(DEADLINE_S):
            while len(got) < size:
                await readable.wait()
                readable.clear()
                got += os.read(descriptor, 4096)
    finally:
        loop.remove_reader(descriptor)
    return got


def plug(port: str) -> int:
    descriptor = os.open(port, os.O_RDWR | os.O_NOCTTY)
    tty.setraw(descriptor)
    return descriptor


async def test_every_byte_gets_across_both_ways(cable: Cable) -> None:
    register, terminal = plug(cable.register_port), plug(cable.terminal_port)
    os.write(register, ALL_BYTES)
    assert await heard(terminal, 256) == ALL_BYTES
    os.write(terminal, ALL_BYTES[::-1])
    assert await heard(register, 256) == ALL_BYTES[::-1]
    os.close(register)
    os.close(terminal)


async def test_a_program_may_end_and_come_back(cable: Cable) -> None:
    register = plug(cable.register_port)
    os.close(plug(cable.terminal_port))
    await asyncio.to_thread(os.write, register, b"x" * 100_000)  # far more than a port holds: nobody reads, and nothing waits
    terminal = plug(cable.terminal_port)
    termios.tcflush(terminal, termios.TCIFLUSH)
    os.write(terminal, b"back")
    assert await heard(register, 4) == b"back"
    os.close(register)
    os.close(terminal)


async def test_a_pulled_cable_carries_nothing(cable: Cable) -> None:
    register, terminal = plug(cable.register_port), plug(cable.terminal_port)
    cable.plugged = False
    os.write(register, b"lost")
    await asyncio.sleep(0)
    # A marker the other way shows that the loop has run past the lost bytes.
    cable.plugged = True
    os.write(terminal, b"!")
    assert await heard(register, 1) == b"!"
    os.close(register)
    os.close(terminal)
