"""One purchase's stream: begin, probes as they come, what the service says as events of the state machine."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

import grpc

from proto.palmpay.v1 import checkout_pb2 as pb
from terminal import checkout
from terminal.checkout import Outcome
from terminal.palm.types import Look
from terminal.service import messages
from terminal.service.link import Link, ServiceLost

log = logging.getLogger(__name__)

PROBES_MAX = 4
"""Probes that wait to be sent; the oldest go first: a late probe is worth less than a fresh one."""
MESSAGES_MAX = 2_000
"""Of the service on one stream; the longest honest purchase has a few hundred."""

OVER = (checkout.Authorised, checkout.Found, checkout.Refused, checkout.Stopped)


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is to be paid."""

    purchase_key: str
    kind: str
    amount_minor: int
    currency: str
    model_version: str
    patience_s: float


class PurchaseStream:
    """`open` returns at once; `heard` gets events until one of OVER, at most once, or `close`."""

    def __init__(self, link: Link, wanted: Wanted, heard: Callable[[checkout.Event], None]) -> None:
        self._link, self._wanted, self._heard = link, wanted, heard
        self._probes: deque[Look] = deque(maxlen=PROBES_MAX)
        self._more = asyncio.Event()
        self._late: asyncio.TimerHandle | None = None
        self._task: asyncio.Task[None] | None = None
        self._over = False
        self.probes_sent = 0
        self.probes_dropped = 0

    def open(self) -> None:
        """Connect and begin."""
        self._task = asyncio.create_task(self._run(), name="purchase stream")

    def probe(self, look: Look) -> None:
        """Send this when there is room; the oldest waiting probe gives way. Ignored once it is over."""
        if self._over:
            return
        self.probes_dropped += len(self._probes) == PROBES_MAX
        self._probes.append(look)
        self._more.set()

    def close(self) -> None:
        """No more events; the stream is given up and what was not sent is forgotten."""
        self._end()
        if self._task is not None and not self._task.done():
            self._task.cancel()

    async def closed(self) -> None:
        """Wait until nothing of it runs any more."""
        if self._task is not None:
            with contextlib.suppress(asyncio.CancelledError):
                await self._task

    def _end(self) -> None:
        self._over = True
        self._probes.clear()
        if self._late is not None:
            self._late.cancel()
            self._late = None

    def _say(self, event: checkout.Event) -> None:
        if self._over:
            return
        if isinstance(event, OVER):
            self._end()
        self._heard(event)

    def _lost(self, why: str) -> None:
        self._say(checkout.Stopped(Outcome.NO_SERVICE, why))

    async def _run(self) -> None:
        options = self._link.options
        call = None
        writer: asyncio.Task[None] | None = None
        try:
            stub = await self._link.checkout(options.connect_deadline_s)
            call = stub.Purchase()
            wanted = self._wanted
            await call.write(
                messages.begin(
                    wanted.purchase_key,
                    self._link.till,
                    wanted.kind,
                    wanted.amount_minor,
                    wanted.currency,
                    wanted.model_version,
                    wanted.patience_s,
                )
            )
            self._expect(options.connect_deadline_s)
            writer = asyncio.create_task(self._write(call), name="purchase probes")
            await self._read(call)
        except ServiceLost as error:
            self._lost(str(error))
        except grpc.aio.AioRpcError as error:
            self._lost(f"the service broke off ({error.code().name.lower()}: {error.details()})")
        except asyncio.InvalidStateError:
            self._lost("the service ended the stream")
        finally:
            # The call first: this task may have been cancelled itself, and would not come past a wait.
            if call is not None:
                call.cancel()
            if writer is not None:
                writer.cancel()
                await asyncio.gather(writer, return_exceptions=True)

    async def _read(self, call: grpc.aio.StreamStreamCall[pb.TillMessage, pb.ServiceMessage]) -> None:
        for _ in range(MESSAGES_MAX):
            message = await call.read()
            if not isinstance(message, pb.ServiceMessage):  # grpc.aio.EOF
                self._lost("the service ended the stream without an answer")
                return
            self._expect(None)
            if message.WhichOneof("what") == "refused":
                # The detail is about the till or the request, never about a person.
                log.info("service refuses reason=%s detail=%r", messages.reason(message.refused), message.refused.detail)
            event = messages.event(message, self._wanted.amount_minor, self._wanted.currency)
            if event is not None:
                self._say(event)
            if self._over:
                return
        self._lost(f"the service sent more than {MESSAGES_MAX} messages")

    async def _write(self, call: grpc.aio.StreamStreamCall[pb.TillMessage, pb.ServiceMessage]) -> None:
        try:
            while not self._over:
                await self._more.wait()
                self._more.clear()
                while self._probes:
                    await call.write(pb.TillMessage(probe=messages.probe(self._probes.popleft())))
                    self.probes_sent += 1
                    if self._late is None:
                        self._expect(self._link.options.answer_deadline_s)
        except (grpc.aio.AioRpcError, asyncio.InvalidStateError):
            log.debug("purchase stream takes no more probes")  # the reader says why

    def _expect(self, deadline_s: float | None) -> None:
        """The service must say something within this time; None: it has."""
        if self._late is not None:
            self._late.cancel()
            self._late = None
        if deadline_s is not None and not self._over:
            self._late = asyncio.get_running_loop().call_later(deadline_s, self._too_late, deadline_s)

    def _too_late(self, deadline_s: float) -> None:
        self._lost(f"the service did not answer within {deadline_s:g} s")
        self.close()
