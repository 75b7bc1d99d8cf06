"""Between the till's own words and the messages on the wire."""

from __future__ import annotations

import time

import numpy as np
from numpy.typing import NDArray

from proto.palmpay.v1 import checkout_pb2 as pb
from proto.palmpay.v1 import palm_pb2
from terminal import checkout
from terminal.checkout import Outcome
from terminal.palm.types import Look, Side

KINDS: dict[str, pb.PurchaseKind.ValueType] = {
    "pay": pb.PURCHASE_KIND_PAY,
    "reserve": pb.PURCHASE_KIND_RESERVE,
    "refund": pb.PURCHASE_KIND_REFUND,
    "find": pb.PURCHASE_KIND_FIND,
}

OUTCOMES: dict[int, Outcome] = {
    pb.REFUSAL_REASON_NOBODY: Outcome.NOBODY,
    pb.REFUSAL_REASON_UNSURE: Outcome.TIMED_OUT,
    pb.REFUSAL_REASON_LIMIT: Outcome.LIMIT,
    pb.REFUSAL_REASON_ACCOUNT: Outcome.BLOCKED,
    pb.REFUSAL_REASON_BUSY: Outcome.NO_SERVICE,
    pb.REFUSAL_REASON_NOTHING_OPEN: Outcome.NOT_FOUND,
}
"""What a refusal means at the register; every other reason is a fault of ours, which the log explains."""

SIDES = {Side.LEFT: palm_pb2.HAND_SIDE_LEFT, Side.RIGHT: palm_pb2.HAND_SIDE_RIGHT}
AGE_US_MAX = 2**32 - 1


def _signature(vector: NDArray[np.float32] | None) -> bytes:
    """float32 little-endian bytes; empty where that light was not seen."""
    return b"" if vector is None else vector.astype("<f4", copy=False).tobytes()


def probe(look: Look) -> palm_pb2.Probe:
    """A look on the wire: what was measured, never a picture."""
    age_us = int((time.monotonic() - look.captured_s) * 1e6)
    return palm_pb2.Probe(
        frame_id=look.frame_number,
        surface=_signature(look.surface),
        veins=_signature(look.veins),
        mixed=_signature(look.mixed),
        quality=look.quality,
        side=SIDES[look.side],
        captured_ns=max(0, int(look.captured_s * 1e9)),
        age_us=min(max(age_us, 0), AGE_US_MAX),
    )


def begin(
    purchase_key: str, till: str, kind: str, amount_minor: int, currency: str, model_version: str, patience_s: float
) -> pb.TillMessage:
    """The first message of a purchase."""
    return pb.TillMessage(
        begin=pb.Begin(
            purchase_key=purchase_key,
            till=till,
            money=pb.Money(amount_minor=amount_minor, currency=currency),
            kind=KINDS[kind],
            model_version=model_version,
            patience_ms=int(patience_s * 1000),
        )
    )


def reason(refused: pb.Refused) -> str:
    """The refusal's reason as a word for the log."""
    try:
        return pb.RefusalReason.Name(refused.reason).removeprefix("REFUSAL_REASON_").lower()
    except ValueError:  # a newer service's
        return str(refused.reason)


def event(message: pb.ServiceMessage, amount_minor: int, currency: str) -> checkout.Event | None:
    """What the service said, for the state machine. None for what does not matter here, or is a newer service's.

    An authorisation of another amount than was asked for is not one: the purchase stops, and a reversal is owed.
    """
    what = message.WhichOneof("what")
    if what == "begun":
        return checkout.Begun()
    if what == "more":
        return checkout.More(min(max(message.more.certainty, 0.0), 1.0))
    if what == "identified":
        return checkout.Identified()
    if what == "authorised":
        said = message.authorised
        if said.found_purchase_key:
            return checkout.Found(said.found_purchase_key, said.greeting_name)
        if (said.amount_minor, said.currency) != (amount_minor, currency):
            return checkout.Stopped(Outcome.FAULT, "the service authorised another amount than was asked for")
        return checkout.Authorised(said.authorisation_code, said.greeting_name)
    if what == "refused":
        return checkout.Refused(OUTCOMES.get(message.refused.reason, Outcome.FAULT))
    return None
