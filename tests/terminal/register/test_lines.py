"""Serial lines over pseudo-terminals and TCP lines over loopback: opened, lost, opened again; nothing polls."""

from __future__ import annotations

import asyncio
import contextlib
import os
import pty
import tty
from collections.abc import Callable
from pathlib import Path

import pytest

from terminal.config import RegisterOptions
from terminal.register.line import LineError, open_line
from terminal.register.serial_line import SerialLine
from terminal.register.tcp_line import TcpClientLine, TcpServerLine


class Events:
    """What a line told, and a way to wait for it."""

    def __init__(self) -> None:
        self.opened = 0
        self.lost = 0
        self.data = b""
        self._changed = asyncio.Event()

    def line_opened(self) -> None:
        self.opened += 1
        self._changed.set()

    def line_received(self, data: bytes) -> None:
        self.data += data
        self._changed.set()

    def line_lost(self) -> None:
        self.lost += 1
        self._changed.set()

    async def until(self, true: Callable[[], bool]) -> None:
        async with asyncio.timeout(20):
            while not true():
                self._changed.clear()
                await self._changed.wait()


class Pty:
    """The far end of a port: an adapter that can be pulled."""

    def __init__(self) -> None:
        self.master, self._slave = pty.openpty()
        tty.setraw(self._slave)
        self.name = os.ttyname(self._slave)

    def pull(self) -> None:
        os.close(self.master)
        os.close(self._slave)


async def test_both_directions() -> None:
    far, events = Pty(), Events()
    line = SerialLine(far.name, 115_200, "8N2")
    await line.start(events)
    assert (events.opened, line.name, line.is_open) == (1, far.name, True)
    os.write(far.master, b"\x10\x02\x00\xff\x03\x11\x13\r\n")
    await events.until(lambda: len(events.data) == 9)
    assert events.data == b"\x10\x02\x00\xff\x03\x11\x13\r\n", "raw: no flow control, no line ends"
    line.write(b"\x04\x0d\x0a\x00\x11")
    assert os.read(far.master, 100) == b"\x04\x0d\x0a\x00\x11", "one write, as it is"
    await line.close()
    assert not line.is_open
    far.pull()


async def test_seven_bits_and_parity_open_on_a_port_that_has_neither() -> None:
    far, events = Pty(), Events()
    line = SerialLine(far.name, 9600, "7E1")
    await line.start(events)
    assert events.opened == 1
    await line.close()
    far.pull()


async def test_pulled_and_put_back_under_its_stable_name(tmp_path: Path) -> None:
    name = tmp_path / "by-path"
    first = Pty()
    name.symlink_to(first.name)
    events = Events()
    line = SerialLine(str(name), reopen_pause_s=0.02)
    await line.start(events)
    first.pull()
    await events.until(lambda: events.lost == 1)
    line.write(b"into the void")
    second = Pty()
    name.unlink()
    name.symlink_to(second.name)
    await events.until(lambda: events.opened == 2)
    os.write(second.master, b"\x06")
    await events.until(lambda: events.data == b"\x06")
    await line.close()
    second.pull()


async def test_a_port_that_is_not_there_yet(tmp_path: Path) -> None:
    name = tmp_path / "by-path"
    events = Events()
    line = SerialLine(str(name), reopen_pause_s=0.02)
    await line.start(events)
    assert events.opened == 0
    far = Pty()
    name.symlink_to(far.name)
    await events.until(lambda: events.opened == 1)
    await line.close()
    far.pull()


async def test_a_second_program_does_not_get_the_port() -> None:
    far, mine, other = Pty(), Events(), Events()
    first, second = SerialLine(far.name, reopen_pause_s=0.02), SerialLine(far.name, reopen_pause_s=0.02)
    await first.start(mine)
    await second.start(other)
    assert (mine.opened, other.opened) == (1, 0)
    await first.close()
    await other.until(lambda: other.opened == 1)
    await second.close()
    far.pull()


async def test_the_rate_changes_after_what_was_written() -> None:
    far, events = Pty(), Events()
    line = SerialLine(far.name, 9600)
    await line.start(events)
    line.write(b"\x10\x02\x80\x00\x00\x10\x03\xf5\x1f")
    line.set_rate(115_200)
    assert line._rate_change is not None
    assert line._serial.baudrate == 9600
    await line._rate_change
    assert line._serial.baudrate == 115_200
    await line.close()
    far.pull()


async def test_nobody_reads_what_is_written() -> None:
    """The other side has hung: what the kernel does not take is kept up to a bound, then the line counts as lost."""
    far, events = Pty(), Events()
    line = SerialLine(far.name, reopen_pause_s=20)
    await line.start(events)
    for _ in range(100):
        line.write(bytes(4096))
    assert events.lost == 1
    await line.close()
    far.pull()


async def test_what_the_kernel_did_not_take_follows_in_order() -> None:
    far, events = Pty(), Events()
    line = SerialLine(far.name)
    await line.start(events)
    sent = b"".join(n.to_bytes(2, "big") for n in range(10_000))
    for at in range(0, len(sent), 1000):
        line.write(sent[at : at + 1000])
    os.set_blocking(far.master, False)
    got = b""
    async with asyncio.timeout(20):
        while len(got) < len(sent):
            with contextlib.suppress(BlockingIOError):
                got += os.read(far.master, 65_536)
            await asyncio.sleep(0)
    assert got == sent
    await line.close()
    far.pull()


async def test_a_port_that_is_always_ready_and_never_has_anything(monkeypatch: pytest.MonkeyPatch) -> None:
    """pyserial#86: an adapter that went away in the middle says so only by being ready."""
    far, events = Pty(), Events()
    line = SerialLine(far.name, reopen_pause_s=20)
    await line.start(events)
    monkeypatch.setattr("terminal.register.serial_line.os.read", lambda fd, size: b"")
    for _ in range(3):
        assert events.lost == 0
        line._readable()
    assert events.lost == 1
    await line.close()
    far.pull()


# TCP.


async def connected() -> tuple[TcpServerLine, Events, TcpClientLine, Events]:
    here, there = Events(), Events()
    server = TcpServerLine("127.0.0.1", 0)
    await server.start(here)
    client = TcpClientLine("127.0.0.1", server.port, reopen_pause_s=0.02)
    await client.start(there)
    await here.until(lambda: here.opened == 1)
    await there.until(lambda: there.opened == 1)
    return server, here, client, there


async def test_tcp_both_directions() -> None:
    server, here, client, there = await connected()
    client.write(b"\x06\x01\x00")
    await here.until(lambda: here.data == b"\x06\x01\x00")
    server.write(b"\x80\x00\x00")
    await there.until(lambda: there.data == b"\x80\x00\x00")
    await client.close()
    await here.until(lambda: here.lost == 1)
    await server.close()


async def test_tcp_a_second_register_is_closed_and_the_first_is_not_disturbed() -> None:
    server, here, client, there = await connected()
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    assert await reader.read() == b""
    writer.close()
    client.write(b"\x06")
    await here.until(lambda: here.data == b"\x06")
    assert (here.opened, here.lost, there.lost) == (1, 0, 0)
    await client.close()
    await here.until(lambda: here.lost == 1)
    again = TcpClientLine("127.0.0.1", server.port)
    await again.start(there)
    await here.until(lambda: here.opened == 2)
    await again.close()
    await server.close()


async def test_tcp_hangup_and_connect_again() -> None:
    server, here, client, there = await connected()
    server.hangup()
    await here.until(lambda: here.opened == 2)
    assert there.lost == 1
    await client.close()
    await server.close()


async def test_tcp_a_port_that_is_taken_is_said_at_once() -> None:
    server = TcpServerLine("127.0.0.1", 0)
    await server.start(Events())
    second = TcpServerLine("127.0.0.1", server.port)
    with pytest.raises(LineError, match="listen_port"):
        await second.start(Events())
    await server.close()


async def test_the_configuration_chooses() -> None:
    tcp = open_line(RegisterOptions(line="tcp", listen_port=0))
    assert isinstance(tcp, TcpServerLine)
    assert isinstance(open_line(RegisterOptions()), SerialLine)
