"""An older and a newer side understand each other: unknown fields, unknown members of a oneof, unknown values of an enum.

"Newer" messages are made with a copy of today's schema to which things were added, so that the bytes are real ones of a later version.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

from proto.palmpay.v1 import checkout_pb2 as pb
from proto.palmpay.v1 import enrolment_pb2, operations_pb2, palm_pb2
from tests.identity.support import MODEL, Palm, Served, TillStream, request, served

FIELD = descriptor_pb2.FieldDescriptorProto


def newer() -> dict[str, Any]:
    """Message classes by name of a schema in which everything has one more of everything."""
    pool = descriptor_pool.DescriptorPool()
    for module in (palm_pb2, enrolment_pb2, operations_pb2, pb):
        file = descriptor_pb2.FileDescriptorProto()
        module.DESCRIPTOR.CopyToProto(file)
        for message in file.message_type:
            message.field.add(name="from_the_future", number=1000, type=FIELD.TYPE_STRING, label=FIELD.LABEL_OPTIONAL)
            if message.oneof_decl:
                message.field.add(name="new_thing", number=1001, type=FIELD.TYPE_BYTES, label=FIELD.LABEL_OPTIONAL, oneof_index=0)
        for enum in file.enum_type:
            enum.value.add(name=enum.name.upper() + "_FROM_THE_FUTURE", number=100)
        pool.Add(file)
    names = [
        m.full_name
        for module in (palm_pb2, enrolment_pb2, operations_pb2, pb)
        for m in module.DESCRIPTOR.message_types_by_name.values()
    ]
    return {name.rpartition(".")[2]: message_factory.GetMessageClass(pool.FindMessageTypeByName(name)) for name in names}


NEWER = newer()

# As of the first release: a field's number is its place after the message's name, a value's number its place after the enum's prefix.
# Lines may grow at their ends and there may be more of them; nothing may move.
MESSAGES = """
Probe frame_id surface veins quality side captured_ns age_us mixed
Authorised authorisation_code greeting_name amount_minor currency probes_used log10_likelihood_ratio
Begin purchase_key till money kind model_version patience_ms
Begun
Capture purchase_key amount_minor
Captured amount_minor
Identified
Increase purchase_key amount_minor
Increased amount_minor
Money amount_minor currency
More probes_used certainty
Refused reason detail
Reverse purchase_key why
Reversed had_been_authorised
ServiceMessage purchase_key begun more authorised refused captured reversed voided identified increased
TillMessage begin probe capture reverse void increase
Void purchase_key void_key amount_minor
Voided amount_minor
Consent text_version given_unix_s witnessed_by
DescribeRequest person
DescribeResponse person greeting_name consent kept payments
EnrolRequest request_key greeting_name payment_token limit_minor currency consent model_version probes
EnrolResponse person probes_kept consistency
ForgetRequest person asked_by
ForgetResponse signatures_deleted
LedgerEntry purchase_key till amount_minor captured_minor currency state person began_unix_ms kind voided_minor
    settled_unix_ms
BlockRequest person blocked
BlockResponse
LedgerRequest till since_unix_ms at_most
PeopleRequest at_most
PersonEntry person greeting_name enrolled_unix_s blocked usable
"""
ENUMS = """
HandSide HAND_SIDE_ UNSPECIFIED LEFT RIGHT
PurchaseKind PURCHASE_KIND_ UNSPECIFIED PAY RESERVE REFUND
RefusalReason REFUSAL_REASON_ UNSPECIFIED NOBODY UNSURE LIMIT ACCOUNT KEY_SETTLED NOT_ALLOWED BAD_REQUEST MODEL BUSY
"""


def lines(text: str) -> list[list[str]]:
    return [line.split() for line in text.replace("\n    ", " ").strip().splitlines()]


def test_no_field_that_was_released_has_moved() -> None:
    today = {
        name: {field.number: field.name for field in kind.fields}
        for module in (palm_pb2, enrolment_pb2, operations_pb2, pb)
        for name, kind in module.DESCRIPTOR.message_types_by_name.items()
    }
    for name, *fields in lines(MESSAGES):
        released = dict(enumerate(fields, 1))
        assert {number: today[name].get(number) for number in released} == released, name


def test_no_enum_value_that_was_released_has_moved() -> None:
    today = {
        name: {value.number: value.name for value in kind.values}
        for module in (palm_pb2, enrolment_pb2, operations_pb2, pb)
        for name, kind in module.DESCRIPTOR.enum_types_by_name.items()
    }
    for name, prefix, *values in lines(ENUMS):
        released = {number: prefix + value for number, value in enumerate(values)}
        assert {number: today[name].get(number) for number in released} == released, name


def as_today(cls: Any, message: Any) -> Any:
    return cls.FromString(message.SerializeToString())


def test_unknown_fields_are_passed_over_and_kept() -> None:
    begin = NEWER["Begin"](purchase_key="0" * 32, till="till-1", from_the_future="x" * 10)
    today = as_today(pb.Begin, begin)
    assert (today.purchase_key, today.till) == ("0" * 32, "till-1")
    assert NEWER["Begin"].FromString(today.SerializeToString()).from_the_future == "x" * 10


def test_an_older_message_has_the_new_fields_at_rest() -> None:
    older = pb.Begin(purchase_key="0" * 32, till="till-1")
    later = NEWER["Begin"].FromString(older.SerializeToString())
    assert later.from_the_future == ""
    assert later.till == "till-1"


@pytest.mark.parametrize(("cls", "name"), [(pb.TillMessage, "TillMessage"), (pb.ServiceMessage, "ServiceMessage")])
def test_an_unknown_member_of_a_oneof_is_none_of_today(cls: Any, name: str) -> None:
    assert as_today(cls, NEWER[name](new_thing=b"?")).WhichOneof("what") is None


def test_an_unknown_enum_value_stays_a_number() -> None:
    refused = as_today(pb.Refused, NEWER["Refused"](reason=100, detail="new reason"))
    assert refused.reason == 100
    assert refused.detail == "new reason"


@pytest.fixture
async def service(tmp_path: Path) -> AsyncIterator[Served]:
    async with served(tmp_path) as running:
        yield running


class NewerTill(TillStream):
    """A till from the future on the same wire."""

    def __init__(self, service: Served) -> None:
        super().__init__(service.channel(), "till-1")
        self.call = service.channel().stream_stream(
            "/palmpay.v1.Checkout/Purchase",
            request_serializer=lambda message: message.SerializeToString(),
            response_deserializer=pb.ServiceMessage.FromString,
        )()


async def test_a_newer_till_pays_at_todays_service(service: Served) -> None:
    ann = Palm(1)
    await service.enrolment().Enrol(request(ann))
    till = NewerTill(service)
    message, begin, money = NEWER["TillMessage"], NEWER["Begin"], NEWER["Money"]
    await till.call.write(message(new_thing=b"hello"))
    await till.call.write(
        message(
            begin=begin(
                purchase_key=till.key, till="till-1", kind=1, model_version=MODEL, patience_ms=20_000, from_the_future="x",
                money=money(amount_minor=500, currency="EUR", from_the_future="y"),
            )
        )
    )  # fmt: skip
    for probe in ann.probes(10):
        later = NEWER["Probe"].FromString(probe.SerializeToString())
        later.from_the_future = "z"
        await till.call.write(message(probe=later))
    assert (await till.decision()).authorised.amount_minor == 500
    await till.call.write(message(new_thing=b"good bye"))
    await till.call.write(message(capture=NEWER["Capture"](purchase_key=till.key, from_the_future="z")))
    assert (await till.decision()).captured.amount_minor == 500


async def test_an_enum_value_from_the_future_is_refused_with_a_sentence(service: Served) -> None:
    till = NewerTill(service)
    begin = NEWER["Begin"](
        purchase_key=till.key, till="till-1", kind=100, model_version=MODEL, money=NEWER["Money"](amount_minor=500, currency="EUR")
    )
    await till.call.write(NEWER["TillMessage"](begin=begin))
    refused = (await till.decision()).refused
    assert refused.reason == pb.REFUSAL_REASON_BAD_REQUEST
    assert "kind" in refused.detail


async def test_todays_till_reads_a_newer_services_answers() -> None:
    answer = NEWER["ServiceMessage"](
        purchase_key="0" * 32, from_the_future="x", authorised={"authorisation_code": "ABC234", "from_the_future": "y"}
    )
    today = as_today(pb.ServiceMessage, answer)
    assert today.WhichOneof("what") == "authorised"
    assert today.authorised.authorisation_code == "ABC234"
