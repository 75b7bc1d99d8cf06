"""TCP lines: the terminal's end (one register at a time) and a register's end (connects, and connects again)."""

from __future__ import annotations

import asyncio
import logging
import socket

from terminal.register.line import LineError, LineEvents

LOG = logging.getLogger(__name__)

BACKLOG_BYTES_MAX = 65_536  # written but not taken by the other side: beyond this it is gone
# A register that lost its power is noticed after KEEPALIVE_IDLE_S + KEEPALIVE_PROBES x KEEPALIVE_PAUSE_S.
KEEPALIVE_IDLE_S = 10
KEEPALIVE_PAUSE_S = 3
KEEPALIVE_PROBES = 3
CONNECT_MAX_S = 5.0


def _prepare(transport: asyncio.BaseTransport) -> None:
    """Small frames leave at once, and a dead other side is noticed."""
    link: socket.socket | None = transport.get_extra_info("socket")
    if link is None:
        return
    link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    link.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    link.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, KEEPALIVE_IDLE_S)
    link.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, KEEPALIVE_PAUSE_S)
    link.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, KEEPALIVE_PROBES)


class _Connection(asyncio.Protocol):
    """One TCP connection; hands everything on to its owner."""

    def __init__(self, owner: TcpServerLine | TcpClientLine) -> None:
        self._owner = owner
        self.transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        _prepare(transport)
        self._owner.connected(self)

    def data_received(self, data: bytes) -> None:
        self._owner.data(self, data)

    def connection_lost(self, exc: Exception | None) -> None:
        self._owner.disconnected(self)


class _TcpLine:
    """What both ends share: at most one connection, written to without lag, lost once."""

    def __init__(self, host: str, port: int) -> None:
        self._host = host
        self._port = port
        self._events: LineEvents | None = None
        self._connection: _Connection | None = None

    @property
    def name(self) -> str:
        """host:port."""
        return f"{self._host}:{self._port}"

    @property
    def is_open(self) -> bool:
        """True while the other side is connected."""
        return self._connection is not None

    def write(self, data: bytes) -> None:
        """One frame, one segment where the network allows."""
        transport = self._connection.transport if self._connection is not None else None
        if transport is None:
            return
        transport.write(data)
        if transport.get_write_buffer_size() > BACKLOG_BYTES_MAX:
            LOG.warning("register line %s: nothing takes what is written; closing", self.name)
            transport.abort()

    def set_rate(self, baud: int) -> None:
        """A network has no rate."""

    def hangup(self) -> None:
        """Close the connection after what was written has left."""
        if self._connection is not None and self._connection.transport is not None:
            self._connection.transport.close()

    def data(self, connection: _Connection, data: bytes) -> None:
        """Bytes of the one connection."""
        if connection is self._connection and self._events is not None:
            self._events.line_received(data)

    def disconnected(self, connection: _Connection) -> None:
        """The other side closed, or the network did."""
        if connection is not self._connection:
            return
        self._connection = None
        if self._events is not None:
            self._events.line_lost()


class TcpServerLine(_TcpLine):
    """Listens; the register connects. A second register is closed at once: one till, one register. See `Line`."""

    def __init__(self, host: str, port: int) -> None:
        super().__init__(host, port)
        self._server: asyncio.Server | None = None

    @property
    def port(self) -> int:
        """The port really bound (the configured one may be 0)."""
        return self._port

    async def start(self, events: LineEvents) -> None:
        """Bind and listen. Raises LineError where the address can't be had."""
        self._events = events
        loop = asyncio.get_running_loop()
        try:
            self._server = await loop.create_server(lambda: _Connection(self), self._host, self._port, reuse_address=True)
        except OSError as error:
            raise LineError(
                f"The register's address {self.name} can't be listened on ({error.strerror}). "
                "Check [register] listen_host and listen_port, and that no other program holds the port."
            ) from None
        self._port = int(self._server.sockets[0].getsockname()[1])
        LOG.info("register line listening address=%s", self.name)

    def connected(self, connection: _Connection) -> None:
        """Take the first, refuse the second: it sees an orderly close."""
        assert connection.transport is not None
        if self._connection is not None or self._events is None:
            LOG.warning("register line %s: a second register was refused; one is connected already", self.name)
            connection.transport.close()
            return
        self._connection = connection
        self._events.line_opened()

    async def close(self) -> None:
        """Stop listening and close the connection."""
        self._events = None
        if self._server is not None:
            self._server.close()
        if self._connection is not None and self._connection.transport is not None:
            self._connection.transport.close()
        self._connection = None


class TcpClientLine(_TcpLine):
    """Connects to a terminal, and again after a bounded pause when the connection is lost. See `Line`."""

    def __init__(self, host: str, port: int, reopen_pause_s: float = 1.0) -> None:
        super().__init__(host, port)
        self._pause_s = reopen_pause_s
        self._task: asyncio.Task[None] | None = None
        self._wanted = asyncio.Event()

    async def start(self, events: LineEvents) -> None:
        """Connect now, or as soon as the other side listens."""
        self._events = events
        self._wanted.set()
        self._task = asyncio.get_running_loop().create_task(self._keep_connected())

    def connected(self, connection: _Connection) -> None:
        """The terminal took the connection."""
        self._connection = connection
        self._wanted.clear()
        if self._events is not None:
            self._events.line_opened()

    def disconnected(self, connection: _Connection) -> None:
        """Lost: connect again."""
        super().disconnected(connection)
        self._wanted.set()

    async def close(self) -> None:
        """Close the connection and stop trying."""
        self._events = None
        if self._task is not None:
            self._task.cancel()
        if self._connection is not None and self._connection.transport is not None:
            self._connection.transport.close()
        self._connection = None

    async def _keep_connected(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await self._wanted.wait()
            try:
                async with asyncio.timeout(CONNECT_MAX_S):
                    await loop.create_connection(lambda: _Connection(self), self._host, self._port)
            except (OSError, TimeoutError) as error:
                LOG.info("register line %s: can't be connected (%s); trying again", self.name, error)
            await asyncio.sleep(self._pause_s)
