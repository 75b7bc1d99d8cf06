"""The one connection to the identity service, kept for life: opened anew with back-off, checked for health, never trusted blindly."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
from collections.abc import Callable
from pathlib import Path

import grpc

from proto.palmpay.v1 import checkout_pb2_grpc, enrolment_pb2_grpc
from terminal.config import ServiceOptions
from terminal.service.diagnosis import Trouble, diagnose

log = logging.getLogger(__name__)

HEALTH_METHOD = "/grpc.health.v1.Health/Check"
SERVING = 1
BACKOFF_MIN_S = 0.25
BACKOFF_FACTOR = 2.0
JITTER = 0.25  # share of the pause: tills that lost the same service do not come back in the same instant
KEEPALIVE_TIMEOUT_MS = 5_000
MESSAGE_BYTES_MAX = 64 * 1024
FOREVER_MS = 2**31 - 1


class ServiceLost(Exception):
    """The service can't be reached, did not answer in time, or broke off; the sentence says what to do next."""


def _read(path: Path) -> bytes:
    return path.read_bytes()


def _serving(answer: bytes) -> bool:
    """Whether a HealthCheckResponse (field 1, an enum) says SERVING. Two bytes do not need generated code."""
    return answer[:2] == bytes((0x08, SERVING))


class Link:
    """`start` returns at once; `reachable` and `trouble` say how it stands; `ready` waits for it."""

    def __init__(self, options: ServiceOptions, till: str, changed: Callable[[], None] | None = None) -> None:
        self.options = options
        self.till = till
        self.trouble: Trouble | None = None
        self.reconnects = 0
        self._changed = changed or (lambda: None)
        self._channel: grpc.aio.Channel | None = None
        self._ready = asyncio.Event()
        self._nudged = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._closing: set[asyncio.Task[None]] = set()

    @property
    def reachable(self) -> bool:
        """The last thing heard of the service was good."""
        return self._ready.is_set()

    def start(self) -> None:
        """Keep a connection from now on."""
        self._task = asyncio.create_task(self._keep(), name="service link")

    async def stop(self) -> None:
        """Let go; harmless when stopped."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
            self._task = None
        self._ready.clear()
        if self._channel is not None:
            await self._channel.close()
            self._channel = None
        for task in list(self._closing):
            task.cancel()
        await asyncio.gather(*self._closing, return_exceptions=True)

    async def ready(self, deadline_s: float) -> grpc.aio.Channel:
        """The connection, once it stands; a pause between tries is cut short. Raises ServiceLost."""
        if not self._ready.is_set():
            self._nudged.set()
            try:
                async with asyncio.timeout(deadline_s):
                    await self._ready.wait()
            except TimeoutError:
                raise ServiceLost(self.trouble.sentence if self.trouble else f"no connection within {deadline_s:g} s") from None
        assert self._channel is not None
        return self._channel

    async def checkout(self, deadline_s: float) -> checkout_pb2_grpc.CheckoutAsyncStub:
        """Raises ServiceLost."""
        return checkout_pb2_grpc.CheckoutStub(await self.ready(deadline_s))

    async def enrolment(self, deadline_s: float) -> enrolment_pb2_grpc.EnrolmentAsyncStub:
        """Raises ServiceLost."""
        return enrolment_pb2_grpc.EnrolmentStub(await self.ready(deadline_s))

    def _open(self) -> grpc.aio.Channel:
        """Raises OSError where a file can't be read."""
        options = self.options
        credentials = grpc.ssl_channel_credentials(_read(options.ca), _read(options.key), _read(options.certificate))
        settings: list[tuple[str, int | str]] = [
            ("grpc.keepalive_time_ms", int(options.keepalive_s * 1000)),
            ("grpc.keepalive_timeout_ms", KEEPALIVE_TIMEOUT_MS),
            ("grpc.keepalive_permit_without_calls", 1),
            ("grpc.http2.max_pings_without_data", 0),
            ("grpc.enable_retries", 0),  # a repeated message is our decision, never the library's
            ("grpc.client_idle_timeout_ms", FOREVER_MS),
            ("grpc.use_local_subchannel_pool", 1),  # a new try is a new connection, not somebody else's back-off
            ("grpc.max_receive_message_length", MESSAGE_BYTES_MAX),
            ("grpc.enable_http_proxy", 0),
        ]
        if options.server_name:
            settings.append(("grpc.ssl_target_name_override", options.server_name))
        return grpc.aio.secure_channel(options.address, credentials, options=settings)

    async def _keep(self) -> None:
        pause_s = BACKOFF_MIN_S
        while True:
            try:
                await self._connect()
            except (OSError, ServiceLost, grpc.aio.AioRpcError, TimeoutError) as error:
                await self._explain(error)
            else:
                pause_s = BACKOFF_MIN_S
                await self._until_lost()
            await self._drop()
            self._nudged.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pause_s * (1 + JITTER * random.random())):
                    await self._nudged.wait()
            pause_s = min(pause_s * BACKOFF_FACTOR, self.options.backoff_max_s)

    async def _connect(self) -> None:
        self._channel = channel = self._open()
        async with asyncio.timeout(self.options.connect_deadline_s):
            while (state := channel.get_state(try_to_connect=True)) is not grpc.ChannelConnectivity.READY:
                if state is grpc.ChannelConnectivity.TRANSIENT_FAILURE:
                    raise ServiceLost("the connection failed")
                await channel.wait_for_state_change(state)
            await self._healthy(channel)
        self.trouble = None
        self.reconnects += 1
        self._ready.set()
        log.info("service reachable address=%s", self.options.address)
        self._changed()

    async def check(self) -> None:
        """Ask once more whether it serves. Raises ServiceLost."""
        try:
            await self._healthy(await self.ready(self.options.connect_deadline_s))
        except grpc.aio.AioRpcError as error:
            raise ServiceLost(f"the service does not say whether it serves ({error.details()})") from None

    async def _healthy(self, channel: grpc.aio.Channel) -> None:
        check = channel.unary_unary(HEALTH_METHOD, request_serializer=bytes, response_deserializer=bytes)
        answer: bytes = await check(b"", timeout=self.options.connect_deadline_s)
        if not _serving(answer):
            raise ServiceLost("the service says that it is not serving")

    async def _until_lost(self) -> None:
        assert self._channel is not None
        await self._channel.wait_for_state_change(grpc.ChannelConnectivity.READY)
        log.warning("service connection lost address=%s", self.options.address)

    async def _explain(self, error: Exception) -> None:
        """Name the reason; said in the log when it changes, not at each try."""
        before = self.trouble
        try:
            self.trouble = await asyncio.to_thread(diagnose, self.options, self.till)
        except Exception:
            log.exception("service diagnosis failed")
            self.trouble = Trouble("service", f"{self.options.address}: the identity service can't be reached ({error}).")
        if before is None or before.sentence != self.trouble.sentence:
            log.warning("service not reachable: %s", self.trouble.sentence)
            self._changed()

    async def _drop(self) -> None:
        """The old connection goes when what is still under way on it has had its time."""
        was, self._channel = self._channel, None
        if self._ready.is_set():
            self._ready.clear()
            self._changed()
        if was is not None:
            task = asyncio.create_task(was.close(grace=self.options.answer_deadline_s))
            self._closing.add(task)
            task.add_done_callback(self._closing.discard)
