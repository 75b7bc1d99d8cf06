"""Who may do what: certificates of the wrong authority, of the wrong role, none at all; health; a port that is taken."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from identity.certificates import Authority
from identity.roles import peer
from identity.server import ServerError, running
from proto.palmpay.v1 import checkout_pb2 as pb
from proto.palmpay.v1.enrolment_pb2 import DescribeRequest, ForgetRequest
from proto.palmpay.v1.operations_pb2 import BlockRequest, LedgerRequest, PeopleRequest
from tests.identity.support import Palm, Served, TillStream, credentials, request, served, set_up

CODE = grpc.StatusCode


@pytest.fixture
async def service(tmp_path: Path) -> AsyncIterator[Served]:
    async with served(tmp_path) as running_service:
        yield running_service


async def code_of(call: Any) -> grpc.StatusCode:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    return caught.value.code()


async def health_of(channel: grpc.aio.Channel, name: str = "") -> Any:
    return await health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(service=name), timeout=10)


async def test_no_certificate_no_connection(service: Served) -> None:
    assert await code_of(health_of(service.channel(None))) is CODE.UNAVAILABLE


async def test_a_certificate_of_another_authority_does_not_connect(service: Served, tmp_path: Path) -> None:
    Authority(tmp_path / "others").till("till-1")
    assert await code_of(health_of(service.channel("till-1", tmp_path / "others"))) is CODE.UNAVAILABLE


async def test_a_till_notices_a_service_of_another_authority(service: Served, tmp_path: Path) -> None:
    Authority(tmp_path / "others")
    shutil.copy(
        tmp_path / "others" / "ca.pem", service.certificates / "ca.pem"
    )  # what the till trusts; the service has read its own
    assert await code_of(health_of(service.channel())) is CODE.UNAVAILABLE


async def test_health_for_every_service(service: Served) -> None:
    for name in ("", "palmpay.v1.Checkout", "palmpay.v1.Enrolment", "palmpay.v1.Operations"):
        assert (await health_of(service.channel(), name)).status == health_pb2.HealthCheckResponse.SERVING


async def test_a_till_may_not_do_what_operators_do(service: Served) -> None:
    enrolment, operations = service.enrolment("till-1"), service.operations("till-1")
    assert await code_of(enrolment.Describe(DescribeRequest(person="p"))) is CODE.PERMISSION_DENIED
    assert await code_of(enrolment.Forget(ForgetRequest(person="p", asked_by="x"))) is CODE.PERMISSION_DENIED
    assert await code_of(operations.Block(BlockRequest(person="p"))) is CODE.PERMISSION_DENIED
    assert await code_of(operations.Ledger(LedgerRequest()).read()) is CODE.PERMISSION_DENIED
    assert await code_of(operations.People(PeopleRequest()).read()) is CODE.PERMISSION_DENIED


async def test_only_listed_tills_enrol(service: Served) -> None:
    assert (await service.enrolment("till-1").Enrol(request(Palm(1)))).person
    assert await code_of(service.enrolment("till-2").Enrol(request(Palm(2)))) is CODE.PERMISSION_DENIED


async def test_an_operator_can_not_pay(service: Served) -> None:
    stream = TillStream(service.channel("demo"), "demo")
    await stream.begin()
    assert (await stream.decision()).refused.reason == pb.REFUSAL_REASON_NOT_ALLOWED
    await stream.close()


async def test_a_lost_till_is_locked_out(tmp_path: Path) -> None:
    async with served(tmp_path, tills={"refused": ["till-1"]}) as service:
        stream = service.till()
        await stream.begin()
        refused = (await stream.decision()).refused
        assert refused.reason == pb.REFUSAL_REASON_NOT_ALLOWED
        assert "locked out" in refused.detail
        assert await code_of(service.enrolment("till-1").Enrol(request(Palm(1)))) is CODE.PERMISSION_DENIED


async def test_another_tills_purchase_is_none_of_its_business(service: Served) -> None:
    ann = Palm(1)
    await service.enrolment().Enrol(request(ann))
    stream, other = service.till(), service.till("till-2")
    await stream.pay(ann)
    for attempt in (
        {"capture": pb.Capture(purchase_key=stream.key)},
        {"reverse": pb.Reverse(purchase_key=stream.key)},
        {"void": pb.Void(purchase_key=stream.key, void_key="0" * 32)},
    ):
        assert (await other.settle(**attempt)).refused.reason == pb.REFUSAL_REASON_NOT_ALLOWED


@pytest.mark.parametrize(
    "uris",
    [
        [],
        [b"palmpay://till/till-1", b"palmpay://operator/demo"],
        [b"palmpay://cashier/x"],
        [b"palmpay://till/till-1/more"],
        [b"palmpay://till/"],
        [b"palmpay://till/Till"],
        [b"\xff"],
    ],
)
def test_certificates_without_one_clear_role_have_none(uris: list[bytes]) -> None:
    class Context:
        def auth_context(self) -> dict[str, list[bytes]]:
            return {"peer_uri": uris, "x509_subject_alternative_name": uris}

    assert peer(Context()).role is None  # type: ignore[arg-type]


async def test_a_port_that_is_taken(service: Served, tmp_path: Path) -> None:
    folder = tmp_path / "second"
    folder.mkdir()
    config = set_up(folder, service={"listen": service.address})
    with pytest.raises(ServerError, match="can't listen"):
        async with running(config):
            pass


async def test_certificate_files_that_are_not_there(tmp_path: Path) -> None:
    config = set_up(tmp_path)
    config.service.key.unlink()
    with pytest.raises(ServerError, match=r"\[service\] key"):
        async with running(config):
            pass


async def test_calls_end_when_the_service_stops(tmp_path: Path) -> None:
    config = set_up(tmp_path)
    async with running(config) as (address, _state):
        assert config.address_file.read_text().strip() == address
        channel = grpc.aio.secure_channel(address, credentials(config.service.ca.parent, "till-1"))
        stream = TillStream(channel, "till-1")
        await stream.begin()
        assert (await stream.answer()) is not None
    with pytest.raises(grpc.aio.AioRpcError):
        await stream.answer()
    await channel.close()
    assert not config.address_file.exists()
