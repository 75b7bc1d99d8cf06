"""People who are drawn from a seed as signatures, a calibration fitted on them, and a real service with real TLS on loopback.

Other parts' tests may use it too: `served(folder)` gives a running service and what a till needs to reach it.
"""

from __future__ import annotations

import asyncio
import functools
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
import numpy as np
from numpy.typing import NDArray

from identity.calibration import Calibration, Kind, KindCalibration, fit_kind
from identity.certificates import Authority
from identity.config import Config
from identity.server import running
from identity.signatures import Look, Side, Signatures
from identity.state import State
from identity.vault import make_key_file
from proto.palmpay.v1 import checkout_pb2, checkout_pb2_grpc, enrolment_pb2, enrolment_pb2_grpc, operations_pb2_grpc, palm_pb2

DIMENSION = 64
MODEL = "test-1"
DAY = 0.45
"""Length of what differs between two presentations of a palm, beside the palm's own length of 1."""
NOISE = 0.25
"""Length of what differs between two frames of a presentation."""


def unit(vector: NDArray[np.float64]) -> NDArray[np.float32]:
    return np.asarray(vector / np.linalg.norm(vector), np.float32)


class Palm:
    """One simulated palm: its signatures are a direction of its own, plus what differs by the day, plus what differs by frame."""

    def __init__(self, seed: int, side: Side = Side.RIGHT) -> None:
        self.side = side
        self._random = np.random.default_rng(seed)
        self._own = self._random.normal(size=(3, DIMENSION)) / np.sqrt(DIMENSION)

    def looks(self, count: int, lights: str = "both", quality: float = 0.9) -> list[Look]:
        """One presentation."""
        day = self._own + DAY * self._random.normal(size=(3, DIMENSION)) / np.sqrt(DIMENSION)
        made = []
        for _ in range(count):
            surface, veins, mixed = (
                unit(row) for row in day + NOISE * self._random.normal(size=(3, DIMENSION)) / np.sqrt(DIMENSION)
            )
            chosen = {
                "both": Signatures(surface, veins),
                "surface": Signatures(surface=surface),
                "veins": Signatures(veins=veins),
                "mixed": Signatures(mixed=mixed),
            }[lights]
            made.append(Look(self.side, quality, chosen))
        return made

    def probes(self, count: int, lights: str = "both", quality: float = 0.9) -> list[palm_pb2.Probe]:
        return [probe(look) for look in self.looks(count, lights, quality)]


def probe(look: Look) -> palm_pb2.Probe:
    def raw(vector: NDArray[np.float32] | None) -> bytes:
        return b"" if vector is None else vector.astype("<f4").tobytes()

    side = palm_pb2.HAND_SIDE_LEFT if look.side is Side.LEFT else palm_pb2.HAND_SIDE_RIGHT
    signatures = look.signatures
    return palm_pb2.Probe(
        surface=raw(signatures.surface), veins=raw(signatures.veins), mixed=raw(signatures.mixed), quality=look.quality, side=side
    )


@functools.cache
def calibrated() -> Calibration:
    """Fitted on 400 people: one look of one presentation against the frames of another."""
    random = np.random.default_rng(99)
    palms, frames = 400, 5

    def presentation(own: NDArray[np.float64]) -> NDArray[np.float64]:
        day = own + DAY * random.normal(size=own.shape) / np.sqrt(DIMENSION)
        looks = day[:, None] + NOISE * random.normal(size=(palms, frames, DIMENSION)) / np.sqrt(DIMENSION)
        return np.asarray(looks / np.linalg.norm(looks, axis=2, keepdims=True))

    genuine, impostor = [], []
    for _ in range(2):  # surface, veins
        own = random.normal(size=(palms, DIMENSION)) / np.sqrt(DIMENSION)
        templates = presentation(own)[:, 0]
        cosines = np.einsum("td,pfd->tpf", templates, presentation(own))
        same = np.eye(palms, dtype=bool)
        genuine.append(cosines[same])
        impostor.append(cosines[~same])
    kinds: dict[Kind, KindCalibration] = {
        "surface": fit_kind(genuine[0], impostor[0]),
        "veins": fit_kind(genuine[1], impostor[1]),
        "mixed": fit_kind(genuine[0], impostor[0]),
        "both": fit_kind((genuine[0] + genuine[1]) / 2, (impostor[0] + impostor[1]) / 2),
    }
    return Calibration(format=1, model_version=MODEL, dimension=DIMENSION, kinds=kinds)


def key() -> str:
    return uuid.uuid4().hex


def set_up(folder: Path, **sections: dict[str, Any]) -> Config:
    """Keys, certificates (tills till-1 and till-2, operator demo) and a configuration with port 0."""
    authority = Authority(folder / "certificates")
    authority.service(["localhost", "127.0.0.1"])
    for name in ("till-1", "till-2"):
        authority.till(name)
    authority.operator("demo")
    make_key_file(folder / "people.key")
    calibrated().save(folder / "calibration.json")
    certificates = folder / "certificates"
    options: dict[str, dict[str, Any]] = {
        "service": {
            "listen": "127.0.0.1:0", "ca": certificates / "ca.pem", "certificate": certificates / "service.pem",
            "key": certificates / "service.key", "stop_grace_s": 0,
        },
        "storage": {"database": folder / "identity.sqlite", "key_file": folder / "people.key"},
        "evidence": {"calibration": folder / "calibration.json"},
        "enrolment": {"tills": ["till-1"]},
        "operator": {"certificate": certificates / "demo.pem", "key": certificates / "demo.key"},
    }  # fmt: skip
    for name, more in sections.items():
        options[name] = options.get(name, {}) | more
    return Config.model_validate(options)


def credentials(certificates: Path, name: str | None, ca: Path | None = None) -> grpc.ChannelCredentials:
    pem = None if name is None else (certificates / f"{name}.pem").read_bytes()
    private = None if name is None else (certificates / f"{name}.key").read_bytes()
    return grpc.ssl_channel_credentials((ca or certificates / "ca.pem").read_bytes(), private, pem)


@dataclass
class Served:
    """A running service, and callers of it."""

    address: str
    certificates: Path
    state: State
    config: Config
    channels: list[grpc.aio.Channel] = field(default_factory=list)

    def channel(self, name: str | None = "till-1", certificates: Path | None = None) -> grpc.aio.Channel:
        opened = grpc.aio.secure_channel(
            self.address,
            credentials(certificates or self.certificates, name, self.certificates / "ca.pem"),
            [("grpc.enable_retries", 0)],
        )
        self.channels.append(opened)
        return opened

    def enrolment(self, name: str = "demo") -> enrolment_pb2_grpc.EnrolmentAsyncStub:
        return enrolment_pb2_grpc.EnrolmentStub(self.channel(name))

    def operations(self, name: str = "demo") -> operations_pb2_grpc.OperationsAsyncStub:
        return operations_pb2_grpc.OperationsStub(self.channel(name))

    def till(self, name: str = "till-1") -> TillStream:
        return TillStream(self.channel(name), name)


class TillStream:
    """One stream as a till has it."""

    def __init__(self, channel: grpc.aio.Channel, till: str) -> None:
        self.till = till
        self.key = key()
        self.call: Any = checkout_pb2_grpc.CheckoutStub(channel).Purchase()

    async def send(self, **what: Any) -> None:
        await self.call.write(checkout_pb2.TillMessage(**what))

    async def answer(self) -> checkout_pb2.ServiceMessage | None:
        """The next message; None at the end of the stream."""
        message = await asyncio.wait_for(self.call.read(), 60)
        return None if message is grpc.aio.EOF else message

    async def begin(self, amount_minor: int = 1234, **other: Any) -> None:
        fields: dict[str, Any] = {
            "purchase_key": self.key, "till": self.till, "kind": checkout_pb2.PURCHASE_KIND_PAY, "model_version": MODEL,
            "patience_ms": 20_000, "money": checkout_pb2.Money(amount_minor=amount_minor, currency="EUR"),
        } | other  # fmt: skip
        await self.send(begin=checkout_pb2.Begin(**fields))

    async def decision(self) -> checkout_pb2.ServiceMessage:
        """The next answer that is not on the way to one."""
        while (message := await self.answer()) is not None:
            if message.WhichOneof("what") not in ("begun", "more", "identified"):
                return message
        raise AssertionError("the stream ended without a decision")

    async def pay(self, palm: Palm, amount_minor: int = 1234, lights: str = "both", probes: int = 40, **other: Any) -> Any:
        """Begin, show a hand, and return what came of it."""
        await self.begin(amount_minor, **other)
        for one in palm.probes(probes, lights):
            await self.send(probe=one)
        return await self.decision()

    async def settle(self, **what: Any) -> checkout_pb2.ServiceMessage:
        await self.send(**what)
        return await self.decision()

    async def close(self) -> None:
        await self.call.done_writing()
        while await self.answer() is not None:
            pass


@asynccontextmanager
async def served(folder: Path, config: Config | None = None, **sections: dict[str, Any]) -> AsyncIterator[Served]:
    config = config or set_up(folder, **sections)
    async with running(config) as (address, state):
        service = Served(address, config.service.ca.parent, state, config)
        try:
            yield service
        finally:
            for channel in service.channels:
                await channel.close()


def request(palm: Palm, **other: Any) -> enrolment_pb2.EnrolRequest:
    fields: dict[str, Any] = {
        "request_key": key(), "greeting_name": "Ann", "payment_token": "tok_ann", "limit_minor": 5000, "currency": "EUR",
        "model_version": MODEL, "probes": palm.probes(10),
        "consent": enrolment_pb2.Consent(text_version="2026-11 en", given_unix_s=1_790_000_000, witnessed_by="demo"),
    } | other  # fmt: skip
    return enrolment_pb2.EnrolRequest(**fields)
