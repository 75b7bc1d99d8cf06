"""The operator's side of the wire, for the command line."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import grpc

from identity.config import Config


class ClientError(Exception):
    """The running service could not be asked; the sentence says what to do next."""


@contextmanager
def channel(config: Config) -> Iterator[grpc.Channel]:
    """A channel to the running service with the operator's certificate. Raises ClientError, also for what fails inside the block."""
    options = config.operator
    address = options.address or _address(config)
    credentials = grpc.ssl_channel_credentials(_read(config.service.ca), _read(options.key), _read(options.certificate))
    settings = [("grpc.ssl_target_name_override", options.server_name)] if options.server_name else []
    with grpc.secure_channel(address, credentials, settings) as opened:
        try:
            yield opened
        except grpc.RpcError as error:
            raise ClientError(_sentence(error, address)) from None


def _address(config: Config) -> str:
    try:
        return config.address_file.read_text(encoding="ascii").strip()
    except OSError:
        if config.service.listen.endswith(":0"):
            raise ClientError("the service isn't running. Start it with `palm-identity serve`.") from None
        return config.service.listen


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ClientError(
            f"{path}: can't be read ({error.strerror}). Correct [operator] in the configuration, "
            "or make it with `palm-identity certificates --operator NAME`."
        ) from None


def _sentence(error: grpc.RpcError, address: str) -> str:
    code, details = error.code(), error.details()
    if code == grpc.StatusCode.UNAVAILABLE:
        return f"{address}: the service can't be reached ({details}). Is it running, and were the certificates made by the same authority?"
    if code == grpc.StatusCode.DEADLINE_EXCEEDED:
        return f"{address}: the service did not answer in time. Look at its log."
    return f"{code.name.lower()}: {details}"
