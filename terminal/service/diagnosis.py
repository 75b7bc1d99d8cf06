"""Why the service can't be reached, in a sentence that says what to do next.

gRPC says only "handshake failed". So after a failure the same handshake is made once more with Python's own TLS, which names the
reason. Checks are never switched off: this only explains.
"""

from __future__ import annotations

import contextlib
import datetime
import socket
import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from terminal.config import ServiceOptions

CLOCK_FLOOR = datetime.datetime(2026, 11, 1, tzinfo=datetime.UTC)
"""No clock that is right shows an earlier time: this program is younger."""

NOT_YET_VALID, EXPIRED, MISMATCHES = 9, 10, (62, 64)  # X509_V_ERR_... of OpenSSL
ANSWER_BYTES = 64


@dataclass(frozen=True, slots=True)
class Trouble:
    """`code` is one of those that the technician's page explains; `retry`: it may go away by itself."""

    code: str
    sentence: str
    retry: bool = True


@dataclass(frozen=True, slots=True)
class Certificate:
    """What matters of one."""

    subject: str
    not_before: datetime.datetime
    not_after: datetime.datetime
    uris: tuple[str, ...]


def clock_trouble(now: datetime.datetime | None = None) -> Trouble | None:
    """Whether the clock can't be right."""
    now = now or datetime.datetime.now(datetime.UTC)
    if now >= CLOCK_FLOOR:
        return None
    return Trouble(
        "clock",
        f"The clock says {now:%Y-%m-%d %H:%M} UTC, which can't be. Certificates can't be checked until the network's time server "
        "has set it; look at the network cable and at `timedatectl`.",
    )


def _moment(text: str) -> datetime.datetime:
    return datetime.datetime.fromtimestamp(ssl.cert_time_to_seconds(text), datetime.UTC)


def read_certificate(path: Path) -> Certificate:
    """Dates and names of a PEM file. Raises OSError or ValueError with a sentence."""
    try:
        # Python's own parser has no public name for a certificate that is not an authority's; this one is stable since 2.6.
        said: dict[str, Any] = ssl._ssl._test_decode_cert(str(path))  # type: ignore[attr-defined]
    except ssl.SSLError:
        raise ValueError(f"{path}: not a certificate in PEM form. Copy it again.") from None
    subject = "/".join(value for part in said.get("subject", ()) for _, value in part)
    uris = tuple(value for kind, value in said.get("subjectAltName", ()) if kind == "URI")
    return Certificate(subject, _moment(said["notBefore"]), _moment(said["notAfter"]), uris)


def files_trouble(options: ServiceOptions, till: str, now: datetime.datetime | None = None) -> Trouble | None:
    """What is wrong with the files, before anybody is connected to."""
    now = now or datetime.datetime.now(datetime.UTC)
    for name in ("ca", "certificate", "key"):
        path: Path = getattr(options, name)
        try:
            path.read_bytes()
        except OSError as error:
            return Trouble(
                "certificate",
                f"{path}: can't be read ({error.strerror}). Copy this till's certificates there, or correct [service] {name}.",
            )
    try:
        authority, own = read_certificate(options.ca), read_certificate(options.certificate)
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_cert_chain(options.certificate, options.key)
    except ssl.SSLError:
        return Trouble("certificate", f"{options.key}: does not belong to {options.certificate.name}. Copy both from the same set.")
    except (OSError, ValueError) as error:
        return Trouble("certificate", str(error))
    for path, each in ((options.ca, authority), (options.certificate, own)):
        if now > each.not_after:
            return Trouble("certificate", f"{path}: expired on {each.not_after:%Y-%m-%d}. Make and copy a new one.")
        if now < each.not_before:
            return Trouble("clock", f"{path}: valid from {each.not_before:%Y-%m-%d} on, and the clock says {now:%Y-%m-%d %H:%M}.")
    wanted = f"palmpay://till/{till}"
    if wanted not in own.uris:
        return Trouble(
            "certificate",
            f"{options.certificate}: is for {', '.join(own.uris) or 'nobody'}, not for {wanted}. "
            "Set [shop] till to that name, or copy the right certificate.",
        )
    return None


def diagnose(options: ServiceOptions, till: str) -> Trouble:
    """Try the connection step by step and say where it ends. Blocks for at most two connect deadlines."""
    if (trouble := clock_trouble() or files_trouble(options, till)) is not None:
        return trouble
    host, _, port = options.address.rpartition(":")
    context = ssl.create_default_context(cafile=str(options.ca))
    context.load_cert_chain(options.certificate, options.key)
    context.set_alpn_protocols(["h2"])
    try:
        connection = socket.create_connection((host, int(port)), options.connect_deadline_s)
    except (OSError, OverflowError) as error:
        why = getattr(error, "strerror", None) or str(error) or "no answer"
        return Trouble(
            "service",
            f"{options.address}: the identity service can't be reached ({why}). Check network and [service] address, and that it runs.",
        )
    with contextlib.closing(connection):
        connection.settimeout(options.connect_deadline_s)
        return _handshake(context, connection, options, host)


def _handshake(context: ssl.SSLContext, connection: socket.socket, options: ServiceOptions, host: str) -> Trouble:
    name = options.server_name or host
    try:
        with context.wrap_socket(connection, server_hostname=name) as secured:
            # With TLS 1.3 the service's verdict on our certificate comes only with its first bytes.
            if not secured.recv(ANSWER_BYTES):
                return _turned_away(options)
    except ssl.SSLCertVerificationError as error:
        return _rejected(error, options, name)
    except ssl.SSLError as error:
        if "ALERT" in (error.reason or "") or isinstance(error, ssl.SSLEOFError):
            return _turned_away(options)
        return Trouble("service", f"{options.address}: what answers there does not speak TLS ({_words(error)}). Check the port.")
    except ConnectionResetError:
        return _turned_away(options)
    except TimeoutError:
        return Trouble("service", f"{options.address}: connected, but nothing answers. Look at the service's log.")
    except OSError as error:
        return Trouble("service", f"{options.address}: the connection broke ({error.strerror or error}). Look at the network.")
    return Trouble("service", f"{options.address}: the service answers, but does not say that it is serving. Look at its log.")


def _turned_away(options: ServiceOptions) -> Trouble:
    """A service that is content speaks first; one that hangs up after our certificate does not trust it (or is just stopping)."""
    return Trouble(
        "certificate",
        f"{options.address}: the service refuses this till's certificate {options.certificate.name}, without saying why. "
        "It must be made by the authority that the service trusts, and not be locked out there; its log has the reason.",
    )


def _words(error: ssl.SSLError) -> str:
    return (error.reason or "TLS error").replace("_", " ").lower()


def _rejected(error: ssl.SSLCertVerificationError, options: ServiceOptions, name: str) -> Trouble:
    if error.verify_code == EXPIRED:
        return Trouble("certificate", f"{options.address}: the service's certificate has expired. Its operator must renew it.")
    if error.verify_code == NOT_YET_VALID:
        return Trouble("clock", f"{options.address}: the service's certificate is not valid yet. Is this terminal's clock right?")
    if error.verify_code in MISMATCHES:
        return Trouble(
            "certificate",
            f"{options.address}: the service's certificate is for another name than {name!r}. Correct [service] address or server_name.",
        )
    return Trouble(
        "certificate",
        f"{options.address}: the service's certificate is not signed by the authority in {options.ca.name} "
        f"({error.verify_message}). Copy the right ca.pem, or this is not our service.",
    )
