"""Enrolling, describing and forgetting over the wire."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import grpc
import pytest

from identity.signatures import Side
from proto.palmpay.v1 import checkout_pb2 as pb
from proto.palmpay.v1.enrolment_pb2 import Consent, DescribeRequest, ForgetRequest
from proto.palmpay.v1.operations_pb2 import BlockRequest, PeopleRequest
from tests.identity.support import MODEL, Palm, Served, key, request, served, set_up

CODE = grpc.StatusCode


@pytest.fixture
async def service(tmp_path: Path) -> AsyncIterator[Served]:
    async with served(tmp_path) as running:
        yield running


async def refused(call: Any) -> tuple[grpc.StatusCode, str]:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    return caught.value.code(), caught.value.details() or ""


async def test_enrolled_once_whatever_is_repeated(service: Served) -> None:
    wanted = request(Palm(1))
    first = await service.enrolment().Enrol(wanted)
    assert first.person.startswith("p-")
    assert first.probes_kept == 10
    assert first.consistency > 0.8
    assert await service.enrolment().Enrol(wanted) == first
    assert service.state.gallery.owners == 1


@pytest.mark.parametrize(
    ("wrong", "code", "says"),
    [
        ({"consent": None}, CODE.FAILED_PRECONDITION, "consent"),
        ({"consent": Consent(text_version="2026-11 en", given_unix_s=5)}, CODE.FAILED_PRECONDITION, "witnessed_by"),
        ({"request_key": "x"}, CODE.INVALID_ARGUMENT, "hex"),
        ({"payment_token": ""}, CODE.INVALID_ARGUMENT, "payment_token"),
        ({"greeting_name": "x" * 41}, CODE.INVALID_ARGUMENT, "greeting_name"),
        ({"greeting_name": "a\nb"}, CODE.INVALID_ARGUMENT, "greeting_name"),
        ({"limit_minor": 0}, CODE.INVALID_ARGUMENT, "limit_minor"),
        ({"currency": "Euro"}, CODE.INVALID_ARGUMENT, "currency"),
        ({"model_version": "palm-9"}, CODE.INVALID_ARGUMENT, MODEL),
        ({"probes": Palm(1).probes(4)}, CODE.INVALID_ARGUMENT, "5 to 40"),
        ({"probes": Palm(1).probes(41)}, CODE.INVALID_ARGUMENT, "5 to 40"),
        ({"probes": Palm(1).probes(4) + Palm(2).probes(4)}, CODE.INVALID_ARGUMENT, "agree"),
        ({"probes": Palm(1).probes(9) + Palm(2).probes(9)}, CODE.INVALID_ARGUMENT, "agree"),
        ({"probes": Palm(1).probes(5) + Palm(1, Side.LEFT).probes(5)}, CODE.INVALID_ARGUMENT, "mixed"),
    ],
)
async def test_what_is_wrong_is_said(service: Served, wrong: dict[str, Any], code: grpc.StatusCode, says: str) -> None:
    got, sentence = await refused(service.enrolment().Enrol(request(Palm(1), **wrong)))
    assert got is code
    assert says in sentence
    assert service.state.gallery.owners == 0


async def test_one_wrong_look_does_not_spoil_an_enrolment(service: Served) -> None:
    answer = await service.enrolment().Enrol(request(Palm(1), probes=Palm(1).probes(9) + Palm(50).probes(1)))
    assert answer.probes_kept == 9


async def test_a_palm_is_enrolled_for_one_person_only(service: Served) -> None:
    await service.enrolment().Enrol(request(Palm(1)))
    code, sentence = await refused(service.enrolment().Enrol(request(Palm(1), greeting_name="Bob")))
    assert code is CODE.ALREADY_EXISTS
    assert "Ann" not in sentence
    assert "p-" not in sentence
    await service.enrolment().Enrol(request(Palm(2), greeting_name="Bob"))
    await service.enrolment().Enrol(request(Palm(1, Side.LEFT)))  # her other hand


async def test_describe_shows_all_and_forget_leaves_a_pseudonym(service: Served) -> None:
    ann, enrolment = Palm(1), service.enrolment()
    wanted = request(ann)
    person = (await enrolment.Enrol(wanted)).person
    stream = service.till()
    await stream.pay(ann)
    await stream.settle(capture=pb.Capture(purchase_key=stream.key))
    described = await enrolment.Describe(DescribeRequest(person=person))
    assert described.greeting_name == "Ann"
    assert described.consent.text_version == "2026-11 en"
    assert len(described.payments) == 1
    assert any("AES-GCM" in line for line in described.kept)
    pseudonym = described.payments[0].person
    assert pseudonym != person

    assert (await enrolment.Forget(ForgetRequest(person=person, asked_by="Ann"))).signatures_deleted >= 1
    assert (await refused(enrolment.Describe(DescribeRequest(person=person))))[0] is CODE.NOT_FOUND
    assert (await refused(enrolment.Forget(ForgetRequest(person=person, asked_by="Ann"))))[0] is CODE.NOT_FOUND
    assert (await refused(enrolment.Enrol(wanted)))[0] is CODE.NOT_FOUND, "a repeated request must not enrol her again"
    assert (await service.till().pay(ann)).refused.reason == pb.REFUSAL_REASON_NOBODY
    later = service.till()
    undone = await later.settle(void=pb.Void(purchase_key=stream.key, void_key=key()))
    assert undone.voided.amount_minor == 1234, "the books go on without the person"


async def test_forgetting_says_who_asked(service: Served) -> None:
    assert (await refused(service.enrolment().Forget(ForgetRequest(person="p-1"))))[0] is CODE.INVALID_ARGUMENT


async def test_people_and_block(service: Served) -> None:
    person = (await service.enrolment().Enrol(request(Palm(1)))).person
    operations = service.operations()
    await operations.Block(BlockRequest(person=person, blocked=True))
    listed = [entry async for entry in operations.People(PeopleRequest())]
    assert [(entry.person, entry.greeting_name, entry.blocked, entry.usable) for entry in listed] == [(person, "Ann", True, True)]
    assert (await refused(operations.Block(BlockRequest(person="p-none", blocked=True))))[0] is CODE.NOT_FOUND


async def test_everybody_is_known_after_a_restart(tmp_path: Path) -> None:
    config = set_up(tmp_path)
    async with served(tmp_path, config) as service:
        for seed in (1, 2):
            await service.enrolment().Enrol(request(Palm(seed)))
    async with served(tmp_path, config) as service:
        assert service.state.gallery.owners == 2
        assert (await service.till().pay(Palm(2))).WhichOneof("what") == "authorised"


async def test_another_model_means_enrolling_again(tmp_path: Path) -> None:
    config = set_up(tmp_path)
    async with served(tmp_path, config) as service:
        await service.enrolment().Enrol(request(Palm(1)))
    calibration = tmp_path / "calibration.json"
    calibration.write_text(calibration.read_text().replace(MODEL, "test-2"))
    async with served(tmp_path, config) as service:
        assert service.state.gallery.owners == 0
        (listed,) = [entry async for entry in service.operations().People(PeopleRequest())]
        assert not listed.usable
        await service.enrolment().Enrol(request(Palm(1), model_version="test-2"))


async def _hung_up_on(service: Served, monkeypatch: pytest.MonkeyPatch, what: str, call: Callable[[], Any]) -> None:
    """Make a call, and hang up when the books have written what it asks for and the service has not gone on yet."""
    written, go_on = threading.Event(), threading.Event()
    work = getattr(service.state.people, what)

    def slow(*arguments: Any) -> Any:
        result = work(*arguments)
        written.set()
        assert go_on.wait(60)
        return result

    monkeypatch.setattr(service.state.people, what, slow)
    under_way = call()
    sent = asyncio.ensure_future(under_way)
    assert await asyncio.to_thread(written.wait, 60)
    under_way.cancel()
    with pytest.raises(asyncio.CancelledError):
        await sent
    # Another call over the same connection: by its answer the service has heard that the first one was given up.
    with pytest.raises(grpc.aio.AioRpcError):
        await service.enrolment().Enrol(request(Palm(9), request_key="none"))
    go_on.set()
    monkeypatch.setattr(service.state.people, what, work)
    async with service.state.enrolling:
        pass


async def test_an_enrolment_that_was_hung_up_on_is_whole_or_not_there(service: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    stub, wanted = service.enrolment(), request(Palm(1))
    await _hung_up_on(service, monkeypatch, "enrol", lambda: stub.Enrol(wanted))
    again = await stub.Enrol(wanted)
    assert again.person
    stream = service.till()
    assert (await stream.pay(Palm(1))).WhichOneof("what") == "authorised", "who was told to be enrolled can pay"


async def test_a_forgetting_that_was_hung_up_on_is_whole(service: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    stub = service.enrolment()
    enrolled = (await stub.Enrol(request(Palm(1)))).person
    await _hung_up_on(service, monkeypatch, "forget", lambda: stub.Forget(ForgetRequest(person=enrolled, asked_by="Ann")))
    assert service.state.gallery.owners == 0
