"""Certificates: names, lifetimes, file modes, and nothing replaced by accident."""

from __future__ import annotations

import datetime
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID

from identity.certificates import Authority, CertificateError


def certificate(path: Path) -> x509.Certificate:
    return x509.load_pem_x509_certificate(path.read_bytes())


def names(path: Path) -> x509.SubjectAlternativeName:
    return certificate(path).extensions.get_extension_for_class(x509.SubjectAlternativeName).value


def test_what_is_made(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    authority.service(["till.example", "10.0.0.5"])
    authority.till("till-1")
    authority.operator("anna")
    assert names(tmp_path / "till-1.pem").get_values_for_type(x509.UniformResourceIdentifier) == ["palmpay://till/till-1"]
    assert names(tmp_path / "anna.pem").get_values_for_type(x509.UniformResourceIdentifier) == ["palmpay://operator/anna"]
    assert names(tmp_path / "service.pem").get_values_for_type(x509.DNSName) == ["till.example"]
    assert [str(ip) for ip in names(tmp_path / "service.pem").get_values_for_type(x509.IPAddress)] == ["10.0.0.5"]
    ca = certificate(tmp_path / "ca.pem")
    now = datetime.datetime.now(datetime.UTC)
    for name, days, usage in (
        ("service", 825, ExtendedKeyUsageOID.SERVER_AUTH),
        ("till-1", 825, ExtendedKeyUsageOID.CLIENT_AUTH),
        ("anna", 365, ExtendedKeyUsageOID.CLIENT_AUTH),
    ):
        made = certificate(tmp_path / f"{name}.pem")
        made.verify_directly_issued_by(ca)
        assert list(made.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value) == [usage]
        assert not made.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
        assert made.not_valid_before_utc < now - datetime.timedelta(hours=23)
        assert abs((made.not_valid_after_utc - now).days - days) <= 1
    assert ca.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    for key in tmp_path.glob("*.key"):
        assert key.stat().st_mode & 0o777 == 0o600


def test_the_authority_is_used_again_and_nothing_is_replaced(tmp_path: Path) -> None:
    Authority(tmp_path).till("till-1")
    ca, till = (tmp_path / "ca.pem").read_bytes(), (tmp_path / "till-1.key").read_bytes()
    again = Authority(tmp_path)
    with pytest.raises(CertificateError, match="--force"):
        again.till("till-1")
    assert (tmp_path / "till-1.key").read_bytes() == till
    again.till("till-2")
    assert (tmp_path / "ca.pem").read_bytes() == ca
    certificate(tmp_path / "till-2.pem").verify_directly_issued_by(certificate(tmp_path / "ca.pem"))
    again.force = True
    again.till("till-1")
    assert (tmp_path / "till-1.key").read_bytes() != till


@pytest.mark.parametrize("name", ["", "Till", "a/b", "../x", "ca", "service", "x" * 33, "a b"])
def test_names_that_can_not_be(tmp_path: Path, name: str) -> None:
    with pytest.raises(CertificateError, match="lower-case"):
        Authority(tmp_path).till(name)


def test_an_authority_that_can_not_be_read(tmp_path: Path) -> None:
    Authority(tmp_path)
    (tmp_path / "ca.key").write_text("nonsense")
    with pytest.raises(CertificateError, match=r"Restore ca\.pem"):
        Authority(tmp_path)


def test_half_an_authority_is_not_replaced(tmp_path: Path) -> None:
    Authority(tmp_path)
    (tmp_path / "ca.key").unlink()
    with pytest.raises(CertificateError, match="--force"):
        Authority(tmp_path)
