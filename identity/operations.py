"""The Operations service: what an operator asks."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from typing import Any

import grpc

from identity import roles
from identity.payments import Entry
from identity.state import State
from proto.palmpay.v1 import enrolment_pb2, operations_pb2_grpc
from proto.palmpay.v1 import operations_pb2 as pb

log = logging.getLogger(__name__)

AT_MOST_DEFAULT = 1000
AT_MOST_MAX = 1_000_000

Context = grpc.aio.ServicerContext[Any, Any]


def entry_message(entry: Entry) -> enrolment_pb2.LedgerEntry:
    """A purchase as it goes over the wire."""
    return enrolment_pb2.LedgerEntry(
        purchase_key=entry.purchase_key,
        till=entry.till,
        amount_minor=entry.amount_minor,
        captured_minor=entry.captured_minor,
        currency=entry.currency,
        state=entry.state,
        person=entry.account,
        began_unix_ms=entry.began_unix_ms,
        kind=entry.kind,
        voided_minor=entry.voided_minor,
        settled_unix_ms=entry.settled_unix_ms or 0,
    )


class Operations(operations_pb2_grpc.OperationsServicer):
    """The service."""

    def __init__(self, state: State) -> None:
        self._state = state

    async def Ledger(self, request: pb.LedgerRequest, context: Context) -> AsyncIterator[enrolment_pb2.LedgerEntry]:
        """Purchases, oldest first, read in pages."""
        await roles.operators_only(context)
        at_most = min(request.at_most or AT_MOST_DEFAULT, AT_MOST_MAX)
        pages = self._state.payments.ledger(request.till, request.since_unix_ms, at_most)
        while (page := await self._state.books(next, pages, None)) is not None:
            for entry in page:
                yield entry_message(entry)

    async def Block(self, request: pb.BlockRequest, context: Context) -> pb.BlockResponse:
        """Let a person pay no more, or again."""
        caller = await roles.operators_only(context)
        if not await self._state.books(self._state.people.block, request.person, request.blocked):
            await context.abort(grpc.StatusCode.NOT_FOUND, "no such person; `palm-identity people` lists them")
        log.info("%s by=%s", "blocked" if request.blocked else "unblocked", caller.name)
        return pb.BlockResponse()

    async def People(self, request: pb.PeopleRequest, context: Context) -> AsyncIterator[pb.PersonEntry]:
        """Who is enrolled."""
        await roles.operators_only(context)
        at_most = min(request.at_most or AT_MOST_DEFAULT, AT_MOST_MAX)
        version = self._state.calibration.model_version
        for known in await self._state.books(lambda: list(self._state.people.everybody(at_most))):
            yield pb.PersonEntry(
                person=known.person,
                greeting_name=known.record.greeting_name,
                enrolled_unix_s=known.enrolled_unix_s,
                blocked=known.blocked,
                usable=version in known.model_versions,
            )
