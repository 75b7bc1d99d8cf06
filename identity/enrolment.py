"""The Enrolment service: people come in with their consent, see what is kept on them, and are forgotten when they ask."""

from __future__ import annotations

import dataclasses
import logging
from typing import Any, NoReturn

import grpc

from identity import roles, templates
from identity.checkout import AMOUNT_MAX_MINOR, CURRENCY, KEY
from identity.evidence import Evidence
from identity.operations import entry_message
from identity.people import Enrolled, Known, Record
from identity.signatures import BadProbe, Look, parse
from identity.state import State, whole
from identity.templates import PROBES_MAX, PROBES_MIN, Inconsistent, Made
from proto.palmpay.v1 import enrolment_pb2 as pb
from proto.palmpay.v1 import enrolment_pb2_grpc

log = logging.getLogger(__name__)

GREETING_LENGTH_MAX = 40
TOKEN_LENGTH_MAX = 128
WITNESS_LENGTH_MAX = 64
TEXT_VERSION_LENGTH_MAX = 64
DESCRIBED_PAYMENTS_MAX = 1000
"""Payments that Describe shows; the ledger has all."""

Context = grpc.aio.ServicerContext[Any, Any]
Status = grpc.StatusCode


class Enrolment(enrolment_pb2_grpc.EnrolmentServicer):
    """The service."""

    def __init__(self, state: State) -> None:
        self._state = state

    async def Enrol(self, request: pb.EnrolRequest, context: Context) -> pb.EnrolResponse:
        """Take somebody in. The same request key again returns what came of it."""
        state, caller = self._state, roles.peer(context)
        allowed = caller.role == "operator" or (
            caller.role == "till" and caller.name in state.config.enrolment.tills and caller.name not in state.config.tills.refused
        )
        if not allowed:
            await self._abort(
                context, Status.PERMISSION_DENIED, "this certificate may not enrol; the operator lists tills in [enrolment] tills"
            )
        if not KEY.fullmatch(request.request_key):
            await self._abort(context, Status.INVALID_ARGUMENT, "request_key: 32 lower-case hex digits are expected")
        async with state.enrolling:
            before = await state.books(state.people.enrolled_by, request.request_key)
            if before is not None:
                return await self._answer(before, context)
            record = await self._record(request, context)
            made = await self._made(request, context)
            if await state.searching(self._is_known, made.kept):
                await self._abort(context, Status.ALREADY_EXISTS, "this palm is enrolled already; forget it first to enrol it anew")
            enrolled = await whole(self._take_in(request.request_key, record, made))
        state.metrics.enrolments.labels("enrolled").inc()
        log.info("enrolled by=%s/%s probes_kept=%d consistency=%.3f", caller.role, caller.name, len(made.kept), made.consistency)
        return await self._answer(enrolled, context)

    async def Describe(self, request: pb.DescribeRequest, context: Context) -> pb.DescribeResponse:
        """Everything that is kept on a person."""
        caller = await roles.operators_only(context)
        known = await self._state.books(self._state.people.known, request.person)
        if known is None:
            await context.abort(Status.NOT_FOUND, "no such person; `palm-identity people` lists them")
        account = known.record.account
        pages = await self._state.books(lambda: list(self._state.payments.ledger(account=account, at_most=DESCRIBED_PAYMENTS_MAX)))
        log.info("described by=%s", caller.name)
        return pb.DescribeResponse(
            person=known.person,
            greeting_name=known.record.greeting_name,
            consent=pb.Consent(
                text_version=known.record.consent_text_version,
                given_unix_s=known.record.consent_given_unix_s,
                witnessed_by=known.record.consent_witnessed_by,
            ),
            kept=_kept(known, sum(len(page) for page in pages)),
            payments=[entry_message(entry) for page in pages for entry in page],
        )

    async def Forget(self, request: pb.ForgetRequest, context: Context) -> pb.ForgetResponse:
        """Delete what identifies a person, and the signatures."""
        caller = await roles.operators_only(context)
        if not request.asked_by:
            await context.abort(Status.INVALID_ARGUMENT, "asked_by: who asked for this is expected")
        async with self._state.enrolling:
            deleted = await whole(self._let_go(request.person))
        if deleted is None:
            await context.abort(Status.NOT_FOUND, "no such person; was perhaps forgotten before")
        log.info("forgotten by=%s signatures=%d", caller.name, deleted)
        if not self._state.people.scrubbed:
            log.warning("not scrubbed: another program reads the database; tried again until it can be done")
            await context.abort(
                Status.UNAVAILABLE,
                "forgotten, and nobody is recognised by it; but another program reads the database, so deleted bytes are still in its"
                f" log. They go within {self._state.config.payments.expiry_interval_s:g} s of that program's end; end it soon",
            )
        return pb.ForgetResponse(signatures_deleted=deleted)

    async def _take_in(self, request_key: str, record: Record, made: Made) -> Enrolled:
        """Into the books, then into the gallery."""
        state, side = self._state, made.kept[0].side
        version, kept = state.calibration.model_version, len(made.kept)
        enrolled = await state.books(state.people.enrol, request_key, record, side, made.templates, version, kept, made.consistency)
        if enrolled.person is not None:
            state.gallery.add(enrolled.person, side, made.templates)
            state.count_gallery()
        return enrolled

    async def _let_go(self, person: str) -> int | None:
        """Out of the books, then out of the gallery; None where there was no such person."""
        deleted = await self._state.books(self._state.people.forget, person)
        if deleted is not None:
            self._state.gallery.remove(person)
            self._state.count_gallery()
        return deleted

    async def _abort(self, context: Context, status: grpc.StatusCode, sentence: str) -> NoReturn:
        self._state.metrics.enrolments.labels(status.name.lower()).inc()
        await context.abort(status, sentence)

    async def _answer(self, enrolled: Enrolled, context: Context) -> pb.EnrolResponse:
        if enrolled.person is None:
            await self._abort(
                context, Status.NOT_FOUND, "request_key: the person enrolled by it was forgotten; enrol with a new key"
            )
        return pb.EnrolResponse(person=enrolled.person, probes_kept=enrolled.probes_kept, consistency=enrolled.consistency)

    async def _record(self, request: pb.EnrolRequest, context: Context) -> Record:
        """Check everything but the probes."""
        consent = request.consent
        if not (consent.text_version and consent.given_unix_s > 0 and consent.witnessed_by):
            await self._abort(
                context,
                Status.FAILED_PRECONDITION,
                "consent: text_version, given_unix_s and witnessed_by are expected; nobody is enrolled without",
            )
        wrong = None
        if len(request.greeting_name) > GREETING_LENGTH_MAX or not (request.greeting_name.isprintable()):
            wrong = f"greeting_name: at most {GREETING_LENGTH_MAX} printable characters are expected"
        elif not 0 < len(request.payment_token) <= TOKEN_LENGTH_MAX:
            wrong = f"payment_token: 1 to {TOKEN_LENGTH_MAX} characters are expected"
        elif not 0 < request.limit_minor <= AMOUNT_MAX_MINOR:
            wrong = f"limit_minor: 1 to {AMOUNT_MAX_MINOR} is expected"
        elif not CURRENCY.fullmatch(request.currency):
            wrong = "currency: three capital letters (ISO 4217) are expected"
        elif len(consent.witnessed_by) > WITNESS_LENGTH_MAX or len(consent.text_version) > TEXT_VERSION_LENGTH_MAX:
            wrong = f"consent: at most {WITNESS_LENGTH_MAX} characters each are expected"
        elif request.model_version != self._state.calibration.model_version:
            wrong = f"model_version: this service compares {self._state.calibration.model_version}; update the till"
        if wrong:
            await self._abort(context, Status.INVALID_ARGUMENT, wrong)
        return Record(
            greeting_name=request.greeting_name,
            payment_token=request.payment_token,
            limit_minor=request.limit_minor,
            currency=request.currency,
            consent_text_version=consent.text_version,
            consent_given_unix_s=consent.given_unix_s,
            consent_witnessed_by=consent.witnessed_by,
        )

    async def _made(self, request: pb.EnrolRequest, context: Context) -> Made:
        if not PROBES_MIN <= len(request.probes) <= PROBES_MAX:
            await self._abort(
                context, Status.INVALID_ARGUMENT, f"probes: {PROBES_MIN} to {PROBES_MAX} looks at one palm are expected"
            )
        try:
            looks = [parse(probe, self._state.calibration.dimension) for probe in request.probes]
            return templates.make(looks, self._state.calibration, self._state.config.enrolment.templates_max)
        except (BadProbe, Inconsistent) as wrong:
            await self._abort(context, Status.INVALID_ARGUMENT, str(wrong))

    def _is_known(self, looks: list[Look]) -> bool:
        """Whether these looks are somebody's already. Quality does not count here: a poor look at an enrolled palm is one all the same."""
        evidence = Evidence(self._state.gallery, self._state.calibration, self._state.rules)
        for look in looks:
            evidence.add(dataclasses.replace(look, quality=1.0))
        odds = evidence.odds()
        evidence.clear()
        return odds >= self._state.config.enrolment.duplicate_odds


def _kept(known: Known, payments: int) -> list[str]:
    since = f"since {known.enrolled_unix_s} (Unix time)"
    return [
        f"signatures of a palm: {known.templates} templates, {since}, model {', '.join(known.model_versions)},"
        " AES-GCM under a key of this person alone; a rotated copy in memory for searching",
        f"name shown at the till: {'1' if known.record.greeting_name else 'none'}, {since}, AES-GCM under the same key",
        f"payment provider's name for the account, and the limit of {known.record.limit_minor} {known.record.currency} (hundredths)"
        f" a purchase: 1, {since}, AES-GCM under the same key",
        f"consent to text {known.record.consent_text_version!r}: 1, {since}, AES-GCM under the same key",
        f"payments in the ledger: {payments}, under a pseudonym that only the sealed record links to this person",
        "pictures of the palm: none, ever",
    ]
