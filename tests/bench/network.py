"""A network between till and service that is as slow as asked: a TCP relay on loopback that holds every byte back."""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque

LISTEN_PERIOD_S = 0.2
CHUNK_BYTES = 65_536
HELD_CHUNKS_MAX = 1024
"""Per direction; a sender that outruns this waits, as it would on a full pipe."""


async def listening(port: int, limit_s: float) -> None:
    """Wait until somebody listens on this port of loopback. Raises TimeoutError."""
    async with asyncio.timeout(limit_s):
        while True:
            with contextlib.suppress(OSError):
                _, writer = await asyncio.open_connection("127.0.0.1", port)
                writer.close()
                return
            await asyncio.sleep(LISTEN_PERIOD_S)


class SlowNetwork:
    """Relays loopback connections to `target`, each direction delayed by `one_way_s`. Order and content are kept."""

    def __init__(self, target: tuple[str, int], one_way_s: float) -> None:
        self._target = target
        self._one_way_s = one_way_s
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> SlowNetwork:
        self._server = await asyncio.start_server(self._relay, "127.0.0.1", 0)
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._server is not None:
            self._server.close()
        for task in self._tasks:
            task.cancel()

    @property
    def port(self) -> int:
        """Where the relay listens."""
        if self._server is None:
            raise RuntimeError("use `async with SlowNetwork(...)`")
        return int(self._server.sockets[0].getsockname()[1])

    async def _relay(self, near_in: asyncio.StreamReader, near_out: asyncio.StreamWriter) -> None:
        far_in, far_out = await asyncio.open_connection(*self._target)
        async with asyncio.TaskGroup() as group:
            for source, sink in ((near_in, far_out), (far_in, near_out)):
                group.create_task(self._one_way(source, sink))

    async def _one_way(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        loop = asyncio.get_running_loop()
        held: deque[tuple[float, bytes]] = deque()
        arrived, room = asyncio.Event(), asyncio.Semaphore(HELD_CHUNKS_MAX)

        async def deliver() -> None:
            while True:
                while not held:
                    arrived.clear()
                    await arrived.wait()
                due, data = held.popleft()
                room.release()
                await asyncio.sleep(max(0.0, due - loop.time()))
                if not data:
                    sink.close()
                    return
                sink.write(data)
                await sink.drain()

        with contextlib.suppress(ConnectionError):
            task = asyncio.create_task(deliver())
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
            while True:
                data = await source.read(CHUNK_BYTES)
                await room.acquire()
                held.append((loop.time() + self._one_way_s, data))
                arrived.set()
                if not data:
                    break
            await task
