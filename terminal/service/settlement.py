"""What is said to the service without a palm: debts paid (capture, reversal, undoing), a hold increased. Each on a stream of its own,
each harmless when repeated."""

from __future__ import annotations

import enum
import logging

import grpc

from proto.palmpay.v1 import checkout_pb2 as pb
from terminal.checkout import Outcome
from terminal.service.link import Link, ServiceLost
from terminal.service.messages import reason

log = logging.getLogger(__name__)

ANSWERS_MAX = 8
"""Messages read while waiting for the one that settles."""

DEFINITE = (pb.REFUSAL_REASON_KEY_SETTLED, pb.REFUSAL_REASON_BAD_REQUEST)
"""Refusals that no repetition changes; any other may pass (a busy service, a certificate to be renewed)."""


INCREASE_REFUSALS = {
    pb.REFUSAL_REASON_LIMIT: Outcome.LIMIT,
    pb.REFUSAL_REASON_ACCOUNT: Outcome.BLOCKED,
    pb.REFUSAL_REASON_KEY_SETTLED: Outcome.NOT_FOUND,
    pb.REFUSAL_REASON_BAD_REQUEST: Outcome.NOT_FOUND,
}


class Settlement(enum.Enum):
    """A definite answer."""

    DONE = "done"
    CONFLICT = "conflict"  # the service's books say otherwise


def _message(what: str, key: str, amount_minor: int, undo_key: str, why: str) -> pb.TillMessage:
    if what == "capture":
        return pb.TillMessage(capture=pb.Capture(purchase_key=key, amount_minor=amount_minor))
    if what == "reverse":
        return pb.TillMessage(reverse=pb.Reverse(purchase_key=key, why=why))
    if what == "void":
        return pb.TillMessage(void=pb.Void(purchase_key=key, void_key=undo_key, amount_minor=amount_minor))
    raise ValueError(what)


ANSWERS = {"capture": "captured", "reverse": "reversed", "void": "voided"}


async def _asked(link: Link, what: str, message: pb.TillMessage, wanted: str) -> pb.ServiceMessage:
    """Send one message on a stream of its own; the answer that was wanted, or the refusal. Raises ServiceLost."""
    options = link.options
    stub = await link.checkout(options.connect_deadline_s)
    call = stub.Purchase(timeout=options.answer_deadline_s)
    try:
        await call.write(message)
        await call.done_writing()
        for _ in range(ANSWERS_MAX):
            answer = await call.read()
            if not isinstance(answer, pb.ServiceMessage):
                raise ServiceLost(f"the service ended the stream without answering {what}")
            if answer.WhichOneof("what") in (wanted, "refused"):
                return answer
        raise ServiceLost(f"the service answered {what} with something else")
    except grpc.aio.AioRpcError as error:
        raise ServiceLost(f"{what} was not answered ({error.code().name.lower()}: {error.details()})") from None
    finally:
        call.cancel()


async def increase(link: Link, key: str, amount_minor: int) -> Outcome:
    """Hold this much in all on an open reservation: APPROVED, or why not. Harmless when repeated. Raises ServiceLost."""
    message = pb.TillMessage(increase=pb.Increase(purchase_key=key, amount_minor=amount_minor))
    answer = await _asked(link, "increase", message, "increased")
    if answer.WhichOneof("what") == "increased":
        return Outcome.APPROVED
    log.info("service refuses increase key=%s reason=%s detail=%r", key, reason(answer.refused), answer.refused.detail)
    return INCREASE_REFUSALS.get(answer.refused.reason, Outcome.NO_SERVICE)


async def settle(link: Link, what: str, key: str, amount_minor: int = 0, undo_key: str = "", why: str = "") -> Settlement:
    """Pay one debt (`what`: capture, reverse or void). Raises ServiceLost where no definite answer came in time."""
    answer = await _asked(link, what, _message(what, key, amount_minor, undo_key, why), ANSWERS[what])
    if answer.WhichOneof("what") == ANSWERS[what]:
        return Settlement.DONE
    if answer.refused.reason in DEFINITE:
        log.error("service refuses %s key=%s reason=%s detail=%r", what, key, reason(answer.refused), answer.refused.detail)
        return Settlement.CONFLICT
    raise ServiceLost(f"the service refuses {what} for now ({reason(answer.refused)}: {answer.refused.detail})")
