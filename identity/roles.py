"""Who is calling: read from the certificate that TLS has checked, never from the message."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Literal

import grpc

URI = re.compile(r"palmpay://(till|operator)/([a-z0-9-]{1,32})")


@dataclass(frozen=True, slots=True)
class Peer:
    """A caller. `role` is None where the certificate names none that is known here."""

    role: Literal["till", "operator"] | None
    name: str


def peer(context: grpc.aio.ServicerContext[Any, Any]) -> Peer:
    """The caller of this call. A certificate that names more than one role counts as naming none."""
    uris = [bytes(uri).decode("utf-8", "replace") for uri in (context.auth_context() or {}).get("peer_uri", ())]
    found = [match for uri in uris if (match := URI.fullmatch(uri))]
    if len(found) != 1 or len(uris) != 1:
        return Peer(None, "")
    return Peer("till" if found[0][1] == "till" else "operator", found[0][2])


async def operators_only(context: grpc.aio.ServicerContext[Any, Any]) -> Peer:
    """The calling operator; anybody else's call ends here with PERMISSION_DENIED."""
    caller = peer(context)
    if caller.role != "operator":
        await context.abort(
            grpc.StatusCode.PERMISSION_DENIED, "an operator's certificate (palmpay://operator/NAME) is needed for this call"
        )
    return caller
