"""One stream: probes as they come, every answer as an event, and every way of breaking off."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import numpy as np
import pytest

from proto.palmpay.v1 import checkout_pb2 as pb
from terminal import checkout
from terminal.checkout import Outcome
from terminal.service import Link, PurchaseStream, ServiceLost, Settlement, increase, messages, settle
from terminal.service.purchase import PROBES_MAX, Wanted
from tests.terminal.service.conftest import Running, linked, look, options_for, serving, until

KEY = "0123456789abcdef0123456789abcdef"
WANTED = Wanted(KEY, "pay", 1234, "EUR", "palm-test", 30.0)
Say = Callable[[pb.ServiceMessage], Awaitable[None]]


def authorised(amount: int = 1234) -> pb.ServiceMessage:
    said = pb.Authorised(authorisation_code="A1B2C3", greeting_name="Ada", amount_minor=amount, currency="EUR")
    return pb.ServiceMessage(purchase_key=KEY, authorised=said)


async def honest(message: pb.TillMessage, say: Say) -> bool:
    if message.HasField("begin"):
        await say(pb.ServiceMessage(begun=pb.Begun()))
    elif message.HasField("probe"):
        await say(pb.ServiceMessage(more=pb.More(probes_used=1, certainty=0.5)))
        await say(pb.ServiceMessage(identified=pb.Identified()))
        await say(authorised())
    return True


def opened(link: Link) -> tuple[PurchaseStream, list[checkout.Event]]:
    heard: list[checkout.Event] = []
    stream = PurchaseStream(link, WANTED, heard.append)
    stream.open()
    return stream, heard


async def test_a_purchase_is_begun_probed_and_authorised(service: Running) -> None:
    service.script.play = honest
    async with linked(service.options) as link:
        stream, heard = opened(link)
        await until(lambda: heard == [checkout.Begun()])
        stream.probe(look(7))
        await until(lambda: len(heard) == 4)
        await stream.closed()
    assert heard[1:] == [checkout.More(0.5), checkout.Identified(), checkout.Authorised("A1B2C3", "Ada")]
    begin, probe = service.script.heard
    assert (begin.begin.purchase_key, begin.begin.till, begin.begin.money.amount_minor) == (KEY, "till-1", 1234)
    assert probe.probe.frame_id == 7
    assert np.frombuffer(probe.probe.surface, "<f4").tolist() == look(7).surface.tolist()  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("reason", "outcome"),
    [
        (pb.REFUSAL_REASON_NOBODY, Outcome.NOBODY),
        (pb.REFUSAL_REASON_UNSURE, Outcome.TIMED_OUT),
        (pb.REFUSAL_REASON_LIMIT, Outcome.LIMIT),
        (pb.REFUSAL_REASON_ACCOUNT, Outcome.BLOCKED),
        (pb.REFUSAL_REASON_MODEL, Outcome.FAULT),
        (99, Outcome.FAULT),
    ],
)
def test_each_refusal_has_an_outcome(reason: int, outcome: Outcome) -> None:
    message = pb.ServiceMessage(refused=pb.Refused(reason=reason))  # type: ignore[arg-type]
    assert messages.event(message, 1, "EUR") == checkout.Refused(outcome)


def test_an_authorisation_of_another_amount_stops_the_purchase() -> None:
    event = messages.event(authorised(99_999), 1234, "EUR")
    assert isinstance(event, checkout.Stopped)
    assert event.outcome is Outcome.FAULT


def test_what_a_newer_service_says_is_left_alone() -> None:
    assert messages.event(pb.ServiceMessage(), 1, "EUR") is None


async def test_probes_wait_in_a_bounded_line_and_the_oldest_go_first(service: Running) -> None:
    async with linked(service.options) as link:
        stream = PurchaseStream(link, WANTED, lambda _: None)
        for number in range(PROBES_MAX + 3):
            stream.probe(look(number))
        stream.open()
        await until(lambda: len(service.script.heard) == PROBES_MAX + 1)
        stream.close()
        await stream.closed()
    assert [m.probe.frame_id for m in service.script.heard[1:]] == [3, 4, 5, 6]
    assert stream.probes_dropped == 3


async def test_no_service_ends_at_the_deadline_with_its_reason(certificates: Path) -> None:
    async with linked(options_for(certificates, 9, connect_deadline_s=0.5)) as link:
        _, heard = opened(link)
        await until(lambda: bool(heard))
    (event,) = heard
    assert isinstance(event, checkout.Stopped)
    assert event.outcome is Outcome.NO_SERVICE


async def test_a_service_that_dies_in_the_middle_stops_the_purchase_once(certificates: Path) -> None:
    async with serving(certificates) as running, linked(running.options) as link:
        running.script.play = honest
        stream, heard = opened(link)
        await until(lambda: bool(heard))
        await running.server.stop(0)
        await until(lambda: len(heard) == 2)
        await stream.closed()
    assert isinstance(heard[1], checkout.Stopped)


async def test_a_service_that_ends_the_stream_without_an_answer_stops_it(service: Running) -> None:
    async def ends(message: pb.TillMessage, say: Say) -> bool:
        return False

    service.script.play = ends
    async with linked(service.options) as link:
        _, heard = opened(link)
        await until(lambda: bool(heard))
    assert isinstance(heard[0], checkout.Stopped)
    assert "without an answer" in heard[0].why


async def test_a_service_that_answers_too_late_is_not_waited_for(service: Running) -> None:
    async with linked(service.options.model_copy(update={"connect_deadline_s": 0.5})) as link:
        await link.ready(5)
        stream, heard = opened(link)
        await until(lambda: bool(heard))
        await stream.closed()
    assert isinstance(heard[0], checkout.Stopped)
    assert "did not answer within" in heard[0].why


async def test_closing_while_something_is_heard_ends_the_call_at_the_service_too(service: Running) -> None:
    """Found at a gate: each visit left a stream open, until the service would take no more of this till."""

    async def finds(message: pb.TillMessage, say: Say) -> bool:
        await say(pb.ServiceMessage(authorised=pb.Authorised(found_purchase_key=KEY)))
        return True

    service.script.play = finds
    heard: list[checkout.Event] = []
    async with linked(service.options) as link:

        def hears(event: checkout.Event) -> None:
            heard.append(event)
            stream.close()

        stream = PurchaseStream(link, WANTED, hears)
        stream.open()
        await stream.closed()
        await until(lambda: service.script.ended == 1)
    assert heard == [checkout.Found(KEY)]


async def test_nothing_is_heard_after_closing(service: Running) -> None:
    service.script.play = honest
    async with linked(service.options) as link:
        stream, heard = opened(link)
        await until(lambda: bool(heard))
        stream.probe(look())
        stream.close()
        await stream.closed()
        await asyncio.sleep(0)
    assert heard == [checkout.Begun()]


@pytest.mark.parametrize(("what", "answer"), [("capture", "captured"), ("reverse", "reversed"), ("void", "voided")])
async def test_each_debt_is_paid_by_its_own_answer(service: Running, what: str, answer: str) -> None:
    answers = {
        "captured": pb.ServiceMessage(captured=pb.Captured()),
        "reversed": pb.ServiceMessage(reversed=pb.Reversed()),
        "voided": pb.ServiceMessage(voided=pb.Voided()),
    }

    async def pays(message: pb.TillMessage, say: Say) -> bool:
        await say(answers[answer])
        return True

    service.script.play = pays
    async with linked(service.options) as link:
        assert await settle(link, what, KEY, 0, "f" * 32, "why") is Settlement.DONE
    assert service.script.heard[0].WhichOneof("what") == what


@pytest.mark.parametrize(
    ("reason", "outcome"),
    [
        (None, Outcome.APPROVED),
        (pb.REFUSAL_REASON_LIMIT, Outcome.LIMIT),
        (pb.REFUSAL_REASON_ACCOUNT, Outcome.BLOCKED),
        (pb.REFUSAL_REASON_KEY_SETTLED, Outcome.NOT_FOUND),
        (pb.REFUSAL_REASON_BUSY, Outcome.NO_SERVICE),
    ],
)
async def test_a_hold_is_increased(service: Running, reason: pb.RefusalReason.ValueType | None, outcome: Outcome) -> None:
    async def answers(message: pb.TillMessage, say: Say) -> bool:
        increased = pb.ServiceMessage(increased=pb.Increased(amount_minor=message.increase.amount_minor))
        await say(increased if reason is None else pb.ServiceMessage(refused=pb.Refused(reason=reason)))
        return True

    service.script.play = answers
    async with linked(service.options) as link:
        assert await increase(link, KEY, 1500) is outcome
    assert service.script.heard[0].increase.amount_minor == 1500


@pytest.mark.parametrize(
    ("reason", "definite"),
    [(pb.REFUSAL_REASON_KEY_SETTLED, True), (pb.REFUSAL_REASON_BAD_REQUEST, True), (pb.REFUSAL_REASON_NOT_ALLOWED, False),
     (pb.REFUSAL_REASON_BUSY, False)],
)  # fmt: skip
async def test_only_a_definite_refusal_ends_a_debt(service: Running, reason: pb.RefusalReason.ValueType, definite: bool) -> None:
    async def refuses(message: pb.TillMessage, say: Say) -> bool:
        await say(pb.ServiceMessage(refused=pb.Refused(reason=reason)))
        return True

    service.script.play = refuses
    async with linked(service.options) as link:
        if definite:
            assert await settle(link, "capture", KEY) is Settlement.CONFLICT
        else:
            with pytest.raises(ServiceLost, match="for now"):
                await settle(link, "capture", KEY)


async def test_a_debt_that_is_not_answered_stays(service: Running) -> None:
    async def ends(message: pb.TillMessage, say: Say) -> bool:
        return False

    service.script.play = ends
    async with linked(service.options) as link:
        with pytest.raises(ServiceLost, match="without answering"):
            await settle(link, "reverse", KEY)
