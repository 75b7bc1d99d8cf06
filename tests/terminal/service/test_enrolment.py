"""Enrolment carries the consent and says in words why it was refused."""

from __future__ import annotations

import grpc
import pytest

from terminal.service import Enrolling, EnrolmentFailed, enrol
from tests.terminal.service.conftest import Running, linked, look

WHO = Enrolling("Ada", "token-secret", 5000, "EUR", "2026-11 en", "till-1")


async def test_looks_and_consent_arrive(service: Running) -> None:
    async with linked(service.options) as link:
        done = await enrol(link, WHO, [look(n) for n in range(10)])
    assert (done.person, done.probes_kept) == ("p-1", 10)
    (request,) = service.script.enrolments
    assert (request.consent.text_version, request.consent.witnessed_by) == ("2026-11 en", "till-1")
    assert request.consent.given_unix_s > 1_700_000_000
    assert (request.limit_minor, request.model_version) == (5000, "palm-test")


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (grpc.StatusCode.ALREADY_EXISTS, "enrolled already"),
        (grpc.StatusCode.PERMISSION_DENIED, "may not enrol"),
        (grpc.StatusCode.FAILED_PRECONDITION, "said so"),
    ],
)
async def test_a_refusal_is_a_sentence(service: Running, code: grpc.StatusCode, words: str) -> None:
    service.script.refuse_enrolment = code
    async with linked(service.options) as link:
        with pytest.raises(EnrolmentFailed, match=words):
            await enrol(link, WHO, [look(n) for n in range(10)])


async def test_too_few_looks_are_not_sent(service: Running) -> None:
    async with linked(service.options) as link:
        with pytest.raises(EnrolmentFailed, match="are needed"):
            await enrol(link, WHO, [look()])
    assert service.script.enrolments == []


def test_name_and_token_are_in_no_repr() -> None:
    assert "Ada" not in repr(WHO)
    assert "secret" not in repr(WHO)
