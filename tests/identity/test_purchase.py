"""Purchases over a real stream with real TLS."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from proto.palmpay.v1 import checkout_pb2 as pb
from proto.palmpay.v1.enrolment_pb2 import ForgetRequest, LedgerEntry
from proto.palmpay.v1.operations_pb2 import BlockRequest, LedgerRequest
from tests.identity.support import Palm, Served, key, probe, request, served


async def ledger(service: Served) -> list[LedgerEntry]:
    return [entry async for entry in service.operations().Ledger(LedgerRequest())]


async def test_the_whole_way_once(tmp_path: Path) -> None:
    async with served(tmp_path) as service:
        ann = Palm(1)
        await service.enrolment().Enrol(request(ann))
        stream = service.till()
        paid = await stream.pay(ann)
        assert paid.WhichOneof("what") == "authorised"
        assert paid.purchase_key == stream.key
        assert paid.authorised.greeting_name == "Ann"
        assert (paid.authorised.amount_minor, paid.authorised.currency) == (1234, "EUR")
        assert 3 <= paid.authorised.probes_used <= 6
        assert paid.authorised.log10_likelihood_ratio > 6
        captured = await stream.settle(capture=pb.Capture(purchase_key=stream.key))
        assert captured.captured.amount_minor == 1234
        await stream.close()
        (entry,) = await ledger(service)
        assert (entry.state, entry.amount_minor, entry.captured_minor, entry.kind, entry.till) == (
            "captured",
            1234,
            1234,
            "pay",
            "till-1",
        )
        assert entry.person.startswith("a-"), "a pseudonym, not the person"


async def test_answers_come_in_their_order(tmp_path: Path) -> None:
    async with served(tmp_path) as service:
        ann = Palm(1)
        await service.enrolment().Enrol(request(ann))
        stream = service.till()
        await stream.begin()
        for one in ann.probes(6):
            await stream.send(probe=one)
        said = []
        while "authorised" not in said:
            message = await stream.answer()
            assert message is not None
            said.append(message.WhichOneof("what"))
        assert said[0] == "begun"
        assert said[-2:] == ["identified", "authorised"]
        assert set(said[1:-2]) == {"more"}


async def test_a_stranger_is_nobody_and_is_not_in_the_ledger(tmp_path: Path) -> None:
    async with served(tmp_path) as service:
        for seed in (1, 2, 3):
            await service.enrolment().Enrol(request(Palm(seed)))
        refused = await service.till().pay(Palm(77))
        assert refused.refused.reason == pb.REFUSAL_REASON_NOBODY
        assert await ledger(service) == []


async def test_nobody_enrolled_at_all(tmp_path: Path) -> None:
    async with served(tmp_path) as service:
        assert (await service.till().pay(Palm(1))).refused.reason == pb.REFUSAL_REASON_NOBODY


async def test_a_hand_that_never_suffices_is_unsure_when_patience_is_over(tmp_path: Path) -> None:
    async with served(tmp_path) as service:
        ann = Palm(1)
        await service.enrolment().Enrol(request(ann))
        stream = service.till()
        refused = await stream.pay(ann, probes=2, patience_ms=50)
        assert refused.refused.reason == pb.REFUSAL_REASON_UNSURE
        await stream.send(probe=ann.probes(1)[0])  # a probe under way is no error
        assert (await stream.settle(reverse=pb.Reverse(purchase_key=stream.key))).reversed.had_been_authorised is False


async def test_begin_repeated_and_on_a_later_stream(tmp_path: Path) -> None:
    async with served(tmp_path) as service:
        ann = Palm(1)
        await service.enrolment().Enrol(request(ann))
        first = service.till()
        paid = await first.pay(ann)
        await first.begin()
        again = await first.decision()
        await first.close()
        later = service.till()
        later.key = first.key
        await later.begin()
        after_a_power_cut = await later.decision()
        codes = {message.authorised.authorisation_code for message in (paid, again, after_a_power_cut)}
        assert len(codes) == 1
        assert after_a_power_cut.authorised.greeting_name == "Ann"
        assert (await later.settle(reverse=pb.Reverse(purchase_key=first.key, why="power cut"))).reversed.had_been_authorised
        settled = service.till()
        settled.key = first.key
        await settled.begin()
        assert (await settled.decision()).refused.reason == pb.REFUSAL_REASON_KEY_SETTLED
        assert (await settled.settle(capture=pb.Capture(purchase_key=first.key))).refused.reason == pb.REFUSAL_REASON_KEY_SETTLED
        assert [entry.state for entry in await ledger(service)] == ["reversed"]


async def test_another_palm_on_the_same_key_hears_whose_purchase_it_is(tmp_path: Path) -> None:
    """Two streams of one purchase, two people: the second one's name must not stand beside the first one's money."""
    async with served(tmp_path) as service:
        for seed, name in ((1, "Ann"), (2, "Bob")):
            await service.enrolment().Enrol(request(Palm(seed), greeting_name=name))
        first, second = service.till(), service.till()
        second.key = first.key
        for stream in (first, second):
            await stream.begin()
            begun = await stream.answer()
            assert begun is not None
            assert begun.WhichOneof("what") == "begun"
        said = []
        for stream, seed in ((first, 1), (second, 2)):
            for one in Palm(seed).probes(40):
                await stream.send(probe=one)
            said.append((await stream.decision()).authorised)
        assert [one.greeting_name for one in said] == ["Ann", "Ann"]
        assert said[0].authorisation_code == said[1].authorisation_code
        assert len(await ledger(service)) == 1


async def test_a_refusal_is_said_again_when_begin_is(tmp_path: Path) -> None:
    async with served(tmp_path) as service:
        stream = service.till()
        first = await stream.pay(Palm(5))
        await stream.begin()
        assert await stream.decision() == first


async def test_a_reversal_overtakes_the_purchase_that_is_being_decided(tmp_path: Path) -> None:
    async with served(tmp_path) as service:
        ann = Palm(1)
        await service.enrolment().Enrol(request(ann))
        stream, other = service.till(), service.till()
        await stream.begin()
        assert (await stream.answer()).begun is not None  # type: ignore[union-attr]
        assert (await other.settle(reverse=pb.Reverse(purchase_key=stream.key))).reversed.had_been_authorised is False
        for one in ann.probes(10):
            await stream.send(probe=one)
        assert (await stream.decision()).refused.reason == pb.REFUSAL_REASON_KEY_SETTLED


async def test_settling_an_old_purchase_without_begin_and_a_void(tmp_path: Path) -> None:
    async with served(tmp_path) as service:
        ann = Palm(1)
        await service.enrolment().Enrol(request(ann))
        first = service.till()
        await first.pay(ann, 2000, kind=pb.PURCHASE_KIND_RESERVE)
        await first.close()
        second = service.till()
        assert (await second.settle(capture=pb.Capture(purchase_key=first.key, amount_minor=1500))).captured.amount_minor == 1500
        assert (await second.settle(capture=pb.Capture(purchase_key=first.key, amount_minor=1500))).captured.amount_minor == 1500
        void_key = key()
        for _ in range(2):
            voided = await second.settle(void=pb.Void(purchase_key=first.key, void_key=void_key, amount_minor=500))
            assert voided.voided.amount_minor == 500
        (entry,) = await ledger(service)
        assert (entry.kind, entry.amount_minor, entry.captured_minor, entry.voided_minor) == ("reserve", 2000, 1500, 500)


async def test_a_reservation_is_increased_within_the_accounts_limit(tmp_path: Path) -> None:
    async with served(tmp_path) as service:
        ann = Palm(1)
        person = (await service.enrolment().Enrol(request(ann, limit_minor=5000))).person
        first = service.till()
        await first.pay(ann, 2000, kind=pb.PURCHASE_KIND_RESERVE)
        await first.close()

        async def increase(amount_minor: int, till: str = "till-1") -> pb.ServiceMessage:
            stream = service.till(till)
            answer = await stream.settle(increase=pb.Increase(purchase_key=first.key, amount_minor=amount_minor))
            await stream.close()
            return answer

        for _ in range(2):
            assert (await increase(3000)).increased.amount_minor == 3000
        assert (await increase(5001)).refused.reason == pb.REFUSAL_REASON_LIMIT
        assert (await increase(3500, "till-2")).refused.reason == pb.REFUSAL_REASON_NOT_ALLOWED
        assert (await increase(0)).refused.reason == pb.REFUSAL_REASON_BAD_REQUEST
        await service.operations().Block(BlockRequest(person=person, blocked=True))
        assert (await increase(3500)).refused.reason == pb.REFUSAL_REASON_ACCOUNT
        second = service.till()
        assert (await second.settle(capture=pb.Capture(purchase_key=first.key, amount_minor=2900))).captured.amount_minor == 2900
        assert (await increase(3500)).refused.reason == pb.REFUSAL_REASON_KEY_SETTLED


async def test_a_palm_finds_its_open_reservation_and_nothing_is_written(tmp_path: Path) -> None:
    async with served(tmp_path) as service:
        ann, bob = Palm(1), Palm(2)
        person = (await service.enrolment().Enrol(request(ann))).person
        await service.enrolment().Enrol(request(bob))
        inside = service.till()
        await inside.pay(ann, 2000, kind=pb.PURCHASE_KIND_RESERVE)
        await inside.close()
        await service.operations().Block(BlockRequest(person=person, blocked=True))  # is let out all the same

        async def found(palm: Palm, till: str = "till-1") -> Any:
            stream = service.till(till)
            answer = await stream.pay(palm, 0, kind=pb.PURCHASE_KIND_FIND)
            await stream.close()
            return answer.refused.reason or answer.authorised.found_purchase_key

        assert await found(ann) == inside.key
        assert await found(bob) == pb.REFUSAL_REASON_NOTHING_OPEN
        assert await found(ann, "till-2") == pb.REFUSAL_REASON_NOTHING_OPEN
        assert [entry.purchase_key for entry in await ledger(service)] == [inside.key]


async def test_a_stream_that_breaks_leaves_the_authorisation_open(tmp_path: Path) -> None:
    async with served(tmp_path) as service:
        ann = Palm(1)
        await service.enrolment().Enrol(request(ann))
        stream = service.till()
        await stream.pay(ann)
        stream.call.cancel()
        assert [entry.state for entry in await ledger(service)] == ["authorised"]
        later = service.till()
        assert (await later.settle(capture=pb.Capture(purchase_key=stream.key))).captured.amount_minor == 1234


@pytest.mark.parametrize("kind", [pb.PURCHASE_KIND_PAY, pb.PURCHASE_KIND_REFUND])
async def test_limit_currency_and_block(tmp_path: Path, kind: int) -> None:
    async with served(tmp_path) as service:
        ann = Palm(1)
        person = (await service.enrolment().Enrol(request(ann, limit_minor=5000))).person
        operations = service.operations()

        async def outcome(**what: Any) -> Any:
            stream = service.till()
            answer = await stream.pay(ann, **({"kind": kind} | what))
            await stream.close()
            return answer.refused.reason or answer.WhichOneof("what")

        assert await outcome(amount_minor=5001) == pb.REFUSAL_REASON_LIMIT
        assert await outcome(amount_minor=5000) == "authorised"
        assert await outcome(money=pb.Money(amount_minor=1, currency="CHF")) == pb.REFUSAL_REASON_LIMIT
        await operations.Block(BlockRequest(person=person, blocked=True))
        assert await outcome() == pb.REFUSAL_REASON_ACCOUNT
        await operations.Block(BlockRequest(person=person, blocked=False))
        assert await outcome() == "authorised"
        assert [entry.state for entry in await ledger(service)] == ["refused", "authorised", "refused", "refused", "authorised"]


@pytest.mark.parametrize(
    ("wrong", "reason", "says"),
    [
        ({"purchase_key": "ABC"}, pb.REFUSAL_REASON_BAD_REQUEST, "hex"),
        ({"till": "till-2"}, pb.REFUSAL_REASON_NOT_ALLOWED, "certificate"),
        ({"money": pb.Money(amount_minor=0, currency="EUR")}, pb.REFUSAL_REASON_BAD_REQUEST, "amount"),
        ({"money": pb.Money(amount_minor=-5, currency="EUR")}, pb.REFUSAL_REASON_BAD_REQUEST, "amount"),
        ({"money": pb.Money(amount_minor=2**62, currency="EUR")}, pb.REFUSAL_REASON_BAD_REQUEST, "amount"),
        ({"money": pb.Money(amount_minor=5, currency="eur")}, pb.REFUSAL_REASON_BAD_REQUEST, "currency"),
        ({"kind": pb.PURCHASE_KIND_UNSPECIFIED}, pb.REFUSAL_REASON_BAD_REQUEST, "kind"),
        ({"kind": 99}, pb.REFUSAL_REASON_BAD_REQUEST, "kind"),
        ({"model_version": "palm-9"}, pb.REFUSAL_REASON_MODEL, "test-1"),
    ],
)
async def test_a_wrong_begin_is_refused_with_a_sentence(service: Served, wrong: dict[str, Any], reason: int, says: str) -> None:
    stream = service.till()
    await stream.begin(**wrong)
    refused = (await stream.decision()).refused
    assert refused.reason == reason
    assert says in refused.detail
    stream.call.cancel()


@pytest.fixture
async def service(tmp_path: Path) -> Any:
    async with served(tmp_path) as running:
        yield running


async def test_a_wrong_probe_is_refused_and_the_service_goes_on(service: Served) -> None:
    good = Palm(1).probes(1)[0]
    wrong: dict[str, dict[str, Any]] = {
        "float32": {"surface": b"\0" * 12},
        "finite": {"surface": b"\xff\xff\xff\xff" * 64},
        "norm": {"surface": good.surface[:-4] + b"\0\0\0\x7e"},
        "HAND_SIDE": {"surface": good.surface, "side": 7},
        "quality": {"surface": good.surface, "quality": float("nan")},
        "at least one": {},
    }
    for says, fields in wrong.items():
        stream = service.till()
        await stream.begin()
        bad = type(good)(**({"side": good.side, "quality": 0.5} | fields))
        await stream.send(probe=bad)
        refused = (await stream.decision()).refused
        assert refused.reason == pb.REFUSAL_REASON_BAD_REQUEST
        assert says in refused.detail
        await stream.close()


async def test_a_probe_before_begin_and_a_second_purchase_on_one_stream(service: Served) -> None:
    stream = service.till()
    await stream.send(probe=Palm(1).probes(1)[0])
    assert "Begin" in (await stream.decision()).refused.detail
    await stream.begin()
    assert (await stream.answer()).WhichOneof("what") == "begun"  # type: ignore[union-attr]
    await stream.begin(purchase_key=key())
    assert "one stream is one purchase" in (await stream.decision()).refused.detail


async def test_an_empty_message_is_passed_over(service: Served) -> None:
    stream = service.till()
    await stream.send()
    await stream.begin()
    assert (await stream.answer()).WhichOneof("what") == "begun"  # type: ignore[union-attr]


async def test_streams_of_one_till_are_bounded(tmp_path: Path) -> None:
    async with served(tmp_path, service={"till_streams_max": 2}) as service:
        open_streams = [service.till(), service.till()]
        for stream in open_streams:
            await stream.begin()
            await stream.answer()
        assert (await service.till().decision()).refused.reason == pb.REFUSAL_REASON_BUSY
        other = service.till("till-2")
        await other.begin()
        assert (await other.answer()).WhichOneof("what") == "begun"  # type: ignore[union-attr]
        await open_streams[0].close()
        again = service.till()
        await again.begin()
        assert (await again.answer()).WhichOneof("what") == "begun"  # type: ignore[union-attr]


async def test_probes_of_one_stream_are_bounded(tmp_path: Path) -> None:
    async with served(tmp_path, evidence={"probes_max": 8}) as service:
        ann = Palm(1)
        await service.enrolment().Enrol(request(ann))
        stream = service.till()
        await stream.begin()
        for look in ann.looks(8, quality=0.1):  # too poor to count
            await stream.send(probe=probe(look))
        assert (await stream.decision()).refused.reason == pb.REFUSAL_REASON_UNSURE


async def test_forgotten_while_the_hand_is_shown(tmp_path: Path) -> None:
    async with served(tmp_path) as service:
        ann = Palm(1)
        person = (await service.enrolment().Enrol(request(ann))).person
        stream = service.till()
        await stream.begin()
        probes = ann.probes(30)
        for one in probes[:2]:
            await stream.send(probe=one)
        for _ in range(3):
            await stream.answer()
        await service.enrolment().Forget(ForgetRequest(person=person, asked_by="Ann"))
        for one in probes[2:]:
            await stream.send(probe=one)
        assert (await stream.decision()).refused.reason == pb.REFUSAL_REASON_NOBODY
