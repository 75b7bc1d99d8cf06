"""The server: mutual TLS, the services, health, and an orderly start and stop."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import grpc
import sdnotify
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_health.v1._async import HealthServicer

from identity.checkout import Checkout
from identity.config import Config
from identity.enrolment import Enrolment
from identity.operations import Operations
from identity.state import State, open_state
from proto.palmpay.v1 import checkout_pb2_grpc, enrolment_pb2_grpc, operations_pb2_grpc

log = logging.getLogger(__name__)

SERVICES = ("palmpay.v1.Checkout", "palmpay.v1.Enrolment", "palmpay.v1.Operations")

MESSAGE_MAX_BYTES = 512 * 1024
"""Largest message taken in: 40 looks of three signatures with 512 dimensions are 246 kB."""

DEAD_AFTER_MS = 60_000
"""The service itself asks a silent till for a sign of life this often."""

PING_TIMEOUT_MS = 10_000
"""A connection that does not answer a ping within this is dead."""


class ServerError(Exception):
    """The service can't start; the sentence says what to do next."""


@asynccontextmanager
async def running(config: Config) -> AsyncIterator[tuple[str, State]]:
    """Serve inside the block; gives "HOST:PORT" and what the calls share.

    Raises ServerError, and what `open_state` raises.
    """
    state = open_state(config)
    try:
        server, health, address = _server(config, state)
        metrics_port = state.metrics.serve(config.metrics.port) if config.metrics.port is not None else None
        if metrics_port is not None:
            log.info("metrics on 127.0.0.1:%d", metrics_port)
        await server.start()
        for name in ("", *SERVICES):
            await health.set(name, health_pb2.HealthCheckResponse.SERVING)
        tidying = asyncio.create_task(state.tidy_for_ever())
        config.address_file.write_text(address + "\n", encoding="ascii")
        try:
            yield address, state
        finally:
            config.address_file.unlink(missing_ok=True)
            await health.enter_graceful_shutdown()
            tidying.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await tidying
            await server.stop(config.service.stop_grace_s)
    except OSError as error:
        raise ServerError(f"can't start: {error}") from None
    finally:
        state.close()


def _server(config: Config, state: State) -> tuple[grpc.aio.Server, HealthServicer, str]:
    options = config.service
    server = grpc.aio.server(
        maximum_concurrent_rpcs=options.streams_max,
        options=[
            ("grpc.so_reuseport", 0),  # a second service on the same port is an error, not a silent sharing
            ("grpc.max_receive_message_length", MESSAGE_MAX_BYTES),
            ("grpc.http2.min_ping_interval_without_data_ms", int(options.ping_interval_min_s * 1000)),
            ("grpc.keepalive_permit_without_calls", 1),
            ("grpc.keepalive_time_ms", DEAD_AFTER_MS),
            ("grpc.keepalive_timeout_ms", PING_TIMEOUT_MS),
        ],
    )
    checkout_pb2_grpc.add_CheckoutServicer_to_server(Checkout(state), server)
    enrolment_pb2_grpc.add_EnrolmentServicer_to_server(Enrolment(state), server)
    operations_pb2_grpc.add_OperationsServicer_to_server(Operations(state), server)
    health = HealthServicer()
    health_pb2_grpc.add_HealthServicer_to_server(health, server)
    credentials = grpc.ssl_server_credentials(
        [(_read(options.key, "service] key"), _read(options.certificate, "service] certificate"))],
        _read(options.ca, "service] ca"),
        require_client_auth=True,
    )
    host = options.listen.rpartition(":")[0]
    try:
        port = server.add_secure_port(options.listen, credentials)
    except RuntimeError:
        port = 0
    if not port:
        raise ServerError(
            f"{options.listen}: can't listen there, or the certificates don't belong together. "
            "Is another service running? Otherwise correct [service] listen, or make certificates with `palm-identity certificates`."
        )
    return server, health, f"{host}:{port}"


def _read(path: Path, option: str) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ServerError(
            f"{path}: can't be read ({error.strerror}). Correct [{option}, or make it with `palm-identity certificates`."
        ) from None


async def serve(config: Config, ready: Callable[[str], None]) -> None:
    """Serve until SIGTERM or SIGINT. `ready` is told "HOST:PORT" once calls are answered. Raises what `running` raises."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    systemd = sdnotify.SystemdNotifier()
    async with running(config) as (address, _state):
        ready(address)
        systemd.notify(f"READY=1\nSTATUS=answering on {address}")
        log.info("ready address=%s pid=%d", address, os.getpid())
        await stop.wait()
        systemd.notify("STOPPING=1")
        log.info("stopping grace_s=%g", config.service.stop_grace_s)
