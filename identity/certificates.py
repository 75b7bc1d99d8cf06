"""An authority of one's own, and the certificates that it gives to the service, tills and operators.

Who a caller is stands in the certificate as a URI: `palmpay://till/NAME` or `palmpay://operator/NAME`. Private keys are written readable
to their owner only. Validity begins a day in the past, since the clock of a till that was without power may lag.
"""

from __future__ import annotations

import datetime
import ipaddress
import os
import re
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

CA_DAYS = 3650
SERVICE_DAYS = 825
TILL_DAYS = 825
OPERATOR_DAYS = 365
BACKDATE_DAYS = 1

NAME = re.compile(r"[a-z0-9-]{1,32}")


class CertificateError(Exception):
    """A certificate can't be made; the sentence says what to do next."""


@dataclass(frozen=True, slots=True)
class _Signed:
    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey


class Authority:
    """Makes certificates in one folder: NAME.pem and NAME.key beside ca.pem and ca.key."""

    def __init__(self, folder: Path, force: bool = False) -> None:
        """Use the authority in `folder`, or make it where there is none (or `force`: anew). Raises CertificateError."""
        self.folder, self.force = folder, force
        self.made: list[str] = []
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if (folder / "ca.pem").exists() and (folder / "ca.key").exists() and not force:
            self._ca = self._load()
        else:
            self._ca = self._make("palm till authority", "ca", CA_DAYS, None, None, None)

    def service(self, hosts: list[str], name: str = "service") -> None:
        """The service's certificate, for these DNS names and addresses."""
        names: list[x509.GeneralName] = []
        for host in hosts:
            try:
                names.append(x509.IPAddress(ipaddress.ip_address(host)))
            except ValueError:
                names.append(x509.DNSName(host))
        self._make("palm till identity service", name, SERVICE_DAYS, names, ExtendedKeyUsageOID.SERVER_AUTH, self._ca)

    def till(self, name: str) -> None:
        """A till's certificate."""
        self._client("till", name, TILL_DAYS)

    def operator(self, name: str) -> None:
        """An operator's certificate."""
        self._client("operator", name, OPERATOR_DAYS)

    def _client(self, role: str, name: str, days: int) -> None:
        if not NAME.fullmatch(name) or name in {"ca", "service"}:
            raise CertificateError(
                f"{name!r}: a {role}'s name has 1 to 32 lower-case letters, digits and hyphens, and is not ca or service"
            )
        uri = x509.UniformResourceIdentifier(f"palmpay://{role}/{name}")
        self._make(name, name, days, [uri], ExtendedKeyUsageOID.CLIENT_AUTH, self._ca)

    def _load(self) -> _Signed:
        try:
            certificate = x509.load_pem_x509_certificate((self.folder / "ca.pem").read_bytes())
            key = serialization.load_pem_private_key((self.folder / "ca.key").read_bytes(), None)
        except (OSError, ValueError) as error:
            raise CertificateError(
                f"{self.folder}: the authority can't be read ({error}). Restore ca.pem and ca.key, or use --force."
            ) from None
        if not isinstance(key, ec.EllipticCurvePrivateKey):
            raise CertificateError(f"{self.folder / 'ca.key'}: not a key of this program (an elliptic-curve key is expected)")
        return _Signed(certificate, key)

    def _make(
        self,
        subject: str,
        file: str,
        days: int,
        names: list[x509.GeneralName] | None,
        usage: x509.ObjectIdentifier | None,
        by: _Signed | None,
    ) -> _Signed:
        pem, key_file = self.folder / f"{file}.pem", self.folder / f"{file}.key"
        if not self.force and (pem.exists() or key_file.exists()):
            raise CertificateError(
                f"{pem}: is there already. Use --force to replace it; who holds the old one is then locked out or in as before."
            )
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, subject)])
        now = datetime.datetime.now(datetime.UTC)
        builder = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(by.certificate.subject if by else name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(days=BACKDATE_DAYS))
            .not_valid_after(now + datetime.timedelta(days=days))
            .add_extension(x509.BasicConstraints(ca=by is None, path_length=0 if by is None else None), critical=True)
            .add_extension(_key_usage(signs=by is None), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key((by.key if by else key).public_key()), critical=False)
        )
        if names:
            builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
        if usage:
            builder = builder.add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
        certificate = builder.sign(by.key if by else key, hashes.SHA256())
        private = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        _write(key_file, private, 0o600)
        _write(pem, certificate.public_bytes(serialization.Encoding.PEM), 0o644)
        self.made.append(pem.name)
        return _Signed(certificate, key)


def _key_usage(signs: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True, key_cert_sign=signs, crl_sign=signs, content_commitment=False, key_encipherment=False,
        data_encipherment=False, key_agreement=False, encipher_only=False, decipher_only=False,
    )  # fmt: skip


def _write(path: Path, content: bytes, mode: int) -> None:
    """Whole or not at all, and never readable to others in between."""
    new = path.with_suffix(path.suffix + ".new")
    new.unlink(missing_ok=True)
    with os.fdopen(os.open(new, os.O_CREAT | os.O_EXCL | os.O_WRONLY, mode), "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    new.replace(path)
