"""A service that says what a test tells it to, over real mutual TLS on a free port."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path

import grpc
import numpy as np
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_health.v1._async import HealthServicer

from identity.certificates import Authority
from proto.palmpay.v1 import checkout_pb2 as pb
from proto.palmpay.v1 import checkout_pb2_grpc, enrolment_pb2, enrolment_pb2_grpc
from terminal.config import ServiceOptions
from terminal.palm.types import Look, Side
from terminal.service import Link

Play = Callable[[pb.TillMessage, Callable[[pb.ServiceMessage], Awaitable[None]]], Awaitable[bool]]


async def _silent(message: pb.TillMessage, say: Callable[[pb.ServiceMessage], Awaitable[None]]) -> bool:
    return True


@dataclass
class Scripted(checkout_pb2_grpc.CheckoutServicer, enrolment_pb2_grpc.EnrolmentServicer):
    """`play` is called with each message and answers through `say`; False ends the stream."""

    play: Play = _silent
    heard: list[pb.TillMessage] = field(default_factory=list)
    enrolments: list[enrolment_pb2.EnrolRequest] = field(default_factory=list)
    refuse_enrolment: grpc.StatusCode | None = None
    streams: int = 0
    ended: int = 0

    async def Purchase(self, request_iterator, context):  # type: ignore[no-untyped-def,override]
        self.streams += 1
        try:
            async for message in request_iterator:
                self.heard.append(message)
                if not await self.play(message, context.write):
                    return
        finally:
            self.ended += 1

    async def Enrol(self, request, context):  # type: ignore[no-untyped-def]
        self.enrolments.append(request)
        if self.refuse_enrolment is not None:
            await context.abort(self.refuse_enrolment, "said so")
        return enrolment_pb2.EnrolResponse(person="p-1", probes_kept=len(request.probes), consistency=0.9)

    async def Describe(self, request, context):  # type: ignore[no-untyped-def]
        await context.abort(grpc.StatusCode.UNIMPLEMENTED)

    async def Forget(self, request, context):  # type: ignore[no-untyped-def]
        await context.abort(grpc.StatusCode.UNIMPLEMENTED)


@dataclass
class Running:
    script: Scripted
    server: grpc.aio.Server
    health: HealthServicer
    options: ServiceOptions


def options_for(folder: Path, port: int, **how: object) -> ServiceOptions:
    return ServiceOptions(
        address=f"127.0.0.1:{port}", ca=folder / "ca.pem", certificate=folder / "till-1.pem", key=folder / "till-1.key",
        **{"connect_deadline_s": 3.0, "answer_deadline_s": 2.0, "backoff_max_s": 1.0, **how},
    )  # fmt: skip


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("certificates")
    authority = Authority(folder)
    authority.service(["127.0.0.1", "localhost"])
    authority.till("till-1")
    return folder


@contextlib.asynccontextmanager
async def serving(folder: Path, port: int = 0, name: str = "service", ca: Path | None = None) -> AsyncIterator[Running]:
    script, health = Scripted(), HealthServicer()
    server = grpc.aio.server(options=[("grpc.http2.min_recv_ping_interval_without_data_ms", 1000)])
    checkout_pb2_grpc.add_CheckoutServicer_to_server(script, server)
    enrolment_pb2_grpc.add_EnrolmentServicer_to_server(script, server)
    health_pb2_grpc.add_HealthServicer_to_server(health, server)
    pair = ((folder / f"{name}.key").read_bytes(), (folder / f"{name}.pem").read_bytes())
    credentials = grpc.ssl_server_credentials([pair], (ca or folder / "ca.pem").read_bytes(), require_client_auth=True)
    bound = server.add_secure_port(f"127.0.0.1:{port}", credentials)
    await server.start()
    await health.set("", health_pb2.HealthCheckResponse.SERVING)
    try:
        yield Running(script, server, health, options_for(folder, bound))
    finally:
        await server.stop(0)


@pytest.fixture
async def service(certificates: Path) -> AsyncIterator[Running]:
    async with serving(certificates) as running:
        yield running


@contextlib.asynccontextmanager
async def linked(options: ServiceOptions, till: str = "till-1") -> AsyncIterator[Link]:
    link = Link(options, till)
    link.start()
    try:
        yield link
    finally:
        await link.stop()


def look(number: int = 1) -> Look:
    vector = np.zeros(8, np.float32)
    vector[number % 8] = 1
    return Look(number, 0.0, Side.RIGHT, 0.9, "palm-test", surface=vector, veins=vector)


async def until(true: Callable[[], bool], deadline_s: float = 60.0) -> None:
    async with asyncio.timeout(deadline_s):
        while not true():  # noqa: ASYNC110 - what is waited for happens in another process's library
            await asyncio.sleep(0.005)
