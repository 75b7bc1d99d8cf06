"""Whether a till's certificates fit together, with nothing but the standard library: the terminal's set has no more."""

from __future__ import annotations

import re
import ssl
from pathlib import Path

_PREFIX = b"palmpay://till/"
_NAME = re.compile(rb"[a-z0-9-]{1,32}")
_URI = 0x86  # tag of a URI among the subject's alternative names; its length, below 128, is one byte
_NOT_YET_VALID = 9  # X509_V_ERR_CERT_NOT_YET_VALID
_EXPIRED = 10  # X509_V_ERR_CERT_HAS_EXPIRED
HANDSHAKE_STEPS_MAX = 10


class CertificateError(Exception):
    """The certificates can't be used; the sentence says which file and what to do."""


def till_of(certificate: Path) -> str:
    """Name of the till that a PEM certificate is for. Raises CertificateError."""
    try:
        text = certificate.read_text(encoding="ascii")
        first = text[text.index("-----BEGIN CERTIFICATE-----") : text.index("-----END CERTIFICATE-----")]
        der = ssl.PEM_cert_to_DER_cert(first + "-----END CERTIFICATE-----\n")
    except (OSError, ValueError):
        raise CertificateError(f"{certificate.name}: not a certificate in PEM form. Copy it again.") from None
    # Such a URI stands in the DER form as plain letters, behind its tag and its length.
    start = der.find(_PREFIX)
    name = der[start + len(_PREFIX) : start + der[start - 1]] if start >= 2 and der[start - 2] == _URI else b""
    if not _NAME.fullmatch(name):
        raise CertificateError(f"{certificate.name}: made for no till. Make one: palm-identity certificates FOLDER --till NAME.")
    return name.decode("ascii")


def check_chain(ca: Path, certificate: Path, key: Path) -> str | None:
    """Whether `key` belongs to `certificate` and `ca` signed it. Raises CertificateError.

    Returns a warning where the only fault is that this board's clock is before the certificate's first day: it may not have found the
    time yet. Done as a TLS handshake in memory, since that is what the service will do.
    """
    server, client = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client.check_hostname = False
    client.verify_mode = ssl.CERT_NONE  # who the service is will be checked when there is one; here the till is
    server.verify_mode = ssl.CERT_REQUIRED
    try:
        server.load_verify_locations(ca)
    except (OSError, ssl.SSLError):
        raise CertificateError(f"{ca.name}: not a certificate in PEM form. Copy it again from the service's folder.") from None
    for context in (server, client):
        try:
            context.load_cert_chain(certificate, key, password=_no_password)
        except (OSError, ssl.SSLError):
            raise CertificateError(f"{key.name} does not belong to {certificate.name}, or is damaged. Copy both again.") from None
    return _handshake(server, client, ca, certificate)


def _no_password() -> str:
    raise ssl.SSLError("a key with a password can't be used: nobody is there to type it")


def _handshake(server: ssl.SSLContext, client: ssl.SSLContext, ca: Path, certificate: Path) -> str | None:
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    sides = [client.wrap_bio(to_client, to_server), server.wrap_bio(to_server, to_client, server_side=True)]
    for _ in range(HANDSHAKE_STEPS_MAX):
        waiting = []
        for side in sides:
            try:
                side.do_handshake()
            except ssl.SSLWantReadError:
                waiting.append(side)
            except ssl.SSLCertVerificationError as error:
                if error.verify_code == _NOT_YET_VALID:
                    return (
                        f"{certificate.name} or {ca.name} is not valid yet by this board's clock. It may not have found the time."
                    )
                if error.verify_code == _EXPIRED:
                    raise CertificateError(f"{certificate.name} or {ca.name} has expired. Make new ones at the service.") from None
                raise CertificateError(
                    f"{certificate.name} was not signed by {ca.name} ({error.verify_message}). Copy all three from one service."
                ) from None
            except ssl.SSLError as error:
                raise CertificateError(
                    f"{certificate.name} can't be used ({error.reason}). Make a new one at the service."
                ) from None
        if not waiting:
            return None
    raise CertificateError(f"{certificate.name} can't be checked: the handshake does not end. Make a new one at the service.")
