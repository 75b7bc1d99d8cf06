"""The connection: there, gone, back; and each reason why not in a sentence."""

from __future__ import annotations

import asyncio
import datetime
import socket
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from grpc_health.v1 import health_pb2

from identity.certificates import Authority
from terminal.service import ServiceLost, diagnosis
from terminal.service.diagnosis import clock_trouble, diagnose, files_trouble, read_certificate
from tests.terminal.service.conftest import Running, linked, options_for, serving, until


async def test_it_is_reachable_when_the_service_says_that_it_serves(service: Running) -> None:
    async with linked(service.options) as link:
        await link.ready(5)
        assert link.reachable
        assert link.trouble is None


async def test_a_service_that_starts_later_is_found(certificates: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as held:
        port = held.getsockname()[1]
    async with linked(options_for(certificates, port)) as link:
        await until(lambda: link.trouble is not None)
        assert link.trouble is not None
        assert "can't be reached" in link.trouble.sentence
        async with serving(certificates, port):
            await link.ready(10)


async def test_a_service_that_dies_is_noticed_and_found_again(certificates: Path) -> None:
    async with serving(certificates) as first:
        port = int(first.options.address.rpartition(":")[2])
        link_context = linked(first.options)
        link = await link_context.__aenter__()
        await link.ready(5)
    await until(lambda: not link.reachable)
    async with serving(certificates, port):
        await link.ready(10)
        assert link.reconnects == 2
    await link_context.__aexit__(None, None, None)


async def test_not_serving_is_not_reachable(service: Running) -> None:
    await service.health.set("", health_pb2.HealthCheckResponse.NOT_SERVING)
    async with linked(service.options) as link:
        await until(lambda: link.trouble is not None)
        assert not link.reachable
        await service.health.set("", health_pb2.HealthCheckResponse.SERVING)
        await link.ready(10)


async def test_tcp_up_and_nobody_answering_ends_at_the_deadline(certificates: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as mute:
        options = options_for(certificates, mute.getsockname()[1], connect_deadline_s=0.5)
        async with linked(options) as link:
            with pytest.raises(ServiceLost):
                await link.ready(1.5)
            await until(lambda: link.trouble is not None)
            assert link.trouble is not None
            assert "nothing answers" in link.trouble.sentence


async def test_another_authority_is_not_trusted(tmp_path: Path, service: Running) -> None:
    Authority(tmp_path).till("till-1")
    port = int(service.options.address.rpartition(":")[2])
    async with linked(options_for(tmp_path, port)) as link:
        await until(lambda: link.trouble is not None)
        assert not link.reachable
        assert link.trouble is not None
        assert link.trouble.code == "certificate"
        assert "not signed by the authority" in link.trouble.sentence


async def test_a_till_that_the_service_does_not_trust_is_told(tmp_path: Path, certificates: Path, service: Running) -> None:
    Authority(tmp_path).till("till-1")
    (tmp_path / "ca.pem").write_bytes((certificates / "ca.pem").read_bytes())
    port = int(service.options.address.rpartition(":")[2])
    said = await asyncio.to_thread(diagnose, options_for(tmp_path, port), "till-1")
    assert said.code == "certificate"
    assert "refuses this till's certificate" in said.sentence


async def test_another_name_is_refused_unless_it_is_configured(certificates: Path, service: Running) -> None:
    wrong = service.options.model_copy(update={"server_name": "elsewhere.example"})
    said = await asyncio.to_thread(diagnose, wrong, "till-1")
    assert (said.code, "for another name" in said.sentence) == ("certificate", True)
    right = service.options.model_copy(update={"server_name": "localhost"})
    async with linked(right) as link:
        await link.ready(5)


def expired(folder: Path, authority: Path, name: str) -> None:
    ca = x509.load_pem_x509_certificate((authority / "ca.pem").read_bytes())
    ca_key = serialization.load_pem_private_key((authority / "ca.key").read_bytes(), None)
    assert isinstance(ca_key, ec.EllipticCurvePrivateKey)
    key = ec.generate_private_key(ec.SECP256R1())
    then = datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC)
    names: list[x509.GeneralName] = [x509.DNSName("localhost"), x509.UniformResourceIdentifier("palmpay://till/till-1")]
    import ipaddress

    names.append(x509.IPAddress(ipaddress.ip_address("127.0.0.1")))
    made = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([]))
        .issuer_name(ca.subject)
        .public_key(key.public_key())
        .serial_number(7)
        .not_valid_before(then)
        .not_valid_after(then + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName(names), critical=True)
        .sign(ca_key, hashes.SHA256())
    )
    (folder / f"{name}.pem").write_bytes(made.public_bytes(serialization.Encoding.PEM))
    (folder / f"{name}.key").write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )


async def test_an_expired_service_is_named(tmp_path: Path, certificates: Path) -> None:
    expired(tmp_path, certificates, "service")
    async with serving(tmp_path, ca=certificates / "ca.pem") as running:
        port = int(running.options.address.rpartition(":")[2])
        said = await asyncio.to_thread(diagnose, options_for(certificates, port), "till-1")
    assert (said.code, "has expired" in said.sentence) == ("certificate", True)


def test_an_expired_till_is_named(tmp_path: Path, certificates: Path) -> None:
    expired(tmp_path, certificates, "till-1")
    (tmp_path / "ca.pem").write_bytes((certificates / "ca.pem").read_bytes())
    said = files_trouble(options_for(tmp_path, 1), "till-1")
    assert said is not None
    assert "expired on 2020-01-02" in said.sentence


def test_what_is_wrong_with_the_files_is_said(tmp_path: Path, certificates: Path) -> None:
    options = options_for(certificates, 1)
    assert files_trouble(options, "till-1") is None
    said = files_trouble(options, "till-2")
    assert said is not None
    assert "not for palmpay://till/till-2" in said.sentence
    gone = files_trouble(options.model_copy(update={"ca": tmp_path / "ca.pem"}), "till-1")
    assert gone is not None
    assert "can't be read" in gone.sentence
    other = files_trouble(options.model_copy(update={"key": certificates / "service.key"}), "till-1")
    assert other is not None
    assert "does not belong to" in other.sentence
    (tmp_path / "ca.pem").write_text("not a certificate")
    wrong = files_trouble(options.model_copy(update={"ca": tmp_path / "ca.pem"}), "till-1")
    assert wrong is not None
    assert "not a certificate" in wrong.sentence


def test_a_clock_that_was_never_set_is_its_own_reason() -> None:
    long_ago = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)
    said = clock_trouble(long_ago)
    assert said is not None
    assert (said.code, "timedatectl" in said.sentence) == ("clock", True)
    assert clock_trouble(diagnosis.CLOCK_FLOOR) is None


def test_a_certificate_that_is_not_valid_yet_points_at_the_clock(certificates: Path) -> None:
    early = read_certificate(certificates / "till-1.pem").not_before - datetime.timedelta(days=3)
    said = files_trouble(options_for(certificates, 1), "till-1", early)
    assert said is not None
    assert said.code == "clock"
