"""Taking somebody in, with consent."""

from __future__ import annotations

import time
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field

import grpc

from proto.palmpay.v1 import enrolment_pb2 as pb
from terminal.palm.types import Look
from terminal.service import messages
from terminal.service.link import Link

PROBES_MIN, PROBES_MAX = 5, 40  # what the service takes


class EnrolmentFailed(Exception):
    """Nobody was enrolled; the sentence says what to do next."""


@dataclass(frozen=True, slots=True)
class Enrolling:
    """Who is to be enrolled, with the consent that was given. repr() shows neither name nor token."""

    greeting_name: str = field(repr=False)
    payment_token: str = field(repr=False)
    limit_minor: int
    currency: str
    consent_text_version: str
    witness: str
    request_key: str = field(default_factory=lambda: uuid.uuid4().hex)


@dataclass(frozen=True, slots=True)
class Enrolled:
    """The service's answer: its opaque name of the person, and how well the looks agree (mean cosine)."""

    person: str
    probes_kept: int
    consistency: float


_SENTENCES = {
    grpc.StatusCode.ALREADY_EXISTS: "This palm is enrolled already. Ask the operator to look it up, or to forget it first.",
    grpc.StatusCode.PERMISSION_DENIED: "This till may not enrol. The operator adds its name to [enrolment] tills of the service.",
    grpc.StatusCode.DEADLINE_EXCEEDED: "The service did not answer in time. Try again: nothing is done twice.",
    grpc.StatusCode.UNAVAILABLE: "The service can't be reached. Run `palm-terminal doctor`, then try again: nothing is done twice.",
}


async def enrol(link: Link, wanted: Enrolling, looks: Sequence[Look]) -> Enrolled:
    """Send the looks of one palm. Raises EnrolmentFailed, and ServiceLost where there is no connection."""
    if not PROBES_MIN <= len(looks) <= PROBES_MAX:
        raise EnrolmentFailed(f"{len(looks)} looks: {PROBES_MIN} to {PROBES_MAX} are needed.")
    request = pb.EnrolRequest(
        request_key=wanted.request_key,
        greeting_name=wanted.greeting_name,
        payment_token=wanted.payment_token,
        limit_minor=wanted.limit_minor,
        currency=wanted.currency,
        consent=pb.Consent(text_version=wanted.consent_text_version, given_unix_s=int(time.time()), witnessed_by=wanted.witness),
        model_version=looks[0].model_version,
        probes=[messages.probe(look) for look in looks],
    )
    stub = await link.enrolment(link.options.connect_deadline_s)
    try:
        answer = await stub.Enrol(request, timeout=link.options.answer_deadline_s)
    except grpc.aio.AioRpcError as error:
        # The service's own sentence is about the request, never about another person.
        sentence = _SENTENCES.get(error.code(), f"The service refuses ({error.code().name.lower()}).")
        detail = f" {error.details()}" if error.details() else ""
        raise EnrolmentFailed(sentence + detail) from None
    return Enrolled(answer.person, answer.probes_kept, answer.consistency)
