"""A palm is looked at and no money moves: a gate's way out, and enrolment that a code at the register opens."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest

import terminal.looking
from terminal import checkout as c
from terminal.checkout import Outcome, Screen
from terminal.config import ConfigError, EnrolmentOptions, load
from terminal.journal import file
from terminal.palm.types import Guidance, Look, Side
from terminal.register.machine import Kind
from terminal.service import Enrolled, Enrolling, EnrolmentFailed, Link, ServiceLost
from terminal.vision import Health, Seen
from tests.terminal.desk_world import FakeStream, World, look

CODE = 9_876_543
OPTIONS = EnrolmentOptions(code_minor=CODE, consent_text_version="2026-11 en", looks=10)


class Service:
    """Takes enrolments, or says why not."""

    def __init__(self) -> None:
        self.taken: list[tuple[Enrolling, int]] = []
        self.error: Exception | None = None

    async def enrol(self, link: Link, wanted: Enrolling, looks: Sequence[Look]) -> Enrolled:
        if self.error is not None:
            raise self.error
        self.taken.append((wanted, len(looks)))
        return Enrolled("p-1", len(looks), 0.9)


@pytest.fixture
async def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[World]:
    monkeypatch.setattr(file, "SPACE_BYTES_MIN", 128 * 1024)
    made = World(tmp_path, monkeypatch)
    made.enrolment = OPTIONS
    monkeypatch.setattr(terminal.looking, "PurchaseStream", FakeStream)
    await made.start()
    yield made
    await made.stop()


@pytest.fixture
def service(monkeypatch: pytest.MonkeyPatch) -> Service:
    made = Service()
    monkeypatch.setattr(terminal.looking, "enrol", made.enrol)
    return made


async def begun(world: World) -> None:
    async with asyncio.timeout(5):
        while world.desk._current is None:  # noqa: ASYNC110 - nothing tells of it
            await asyncio.sleep(0)


def shows(world: World, number: int = 1, side: Side = Side.RIGHT) -> None:
    world.desk.seen(Seen(world.vision.visit, Look(number, number * 1.0, side, 0.9, "palm-test", surface=look().surface)))


async def test_on_leaving_the_palm_says_which_reservation_and_it_is_booked(world: World) -> None:
    held = await world.paid(1000, Kind.RESERVE)
    assert held.receipt is not None
    (key,) = world.books.state
    world.books.verdicts = [c.More(0.5), c.Found(key, "Ada")]
    leaving = world.asked(Kind.FIND)
    await world.shows()
    await world.shows()
    found = await leaving
    assert (found.outcome, found.open_reservations) == (Outcome.APPROVED, (held.receipt.number,))
    assert not found.needs_confirmation
    booked = await world.asked(Kind.BOOK, 350, receipt=held.receipt.number)
    await world.desk.delivered(booked.number, None)
    assert await world.settled()
    assert world.books.taken == 350


async def test_a_reservation_that_is_booked_already_is_not_found_again(world: World) -> None:
    await world.paid(1000, Kind.RESERVE)
    (key,) = world.books.state
    booked = await world.asked(Kind.BOOK, 350, receipt=1)
    await world.desk.delivered(booked.number, None)
    world.books.verdicts = [c.Found(key)]
    leaving = world.asked(Kind.FIND)
    await world.shows()
    assert (await leaving).outcome is Outcome.NOT_FOUND


@pytest.mark.parametrize("outcome", [Outcome.NOBODY, Outcome.NOT_FOUND])
async def test_nobody_who_was_let_in(world: World, outcome: Outcome) -> None:
    world.books.verdicts = [c.Refused(outcome)]
    leaving = world.asked(Kind.FIND)
    await world.shows()
    assert (await leaving).outcome is outcome
    assert world.journal.owed() == []


async def test_leaving_is_aborted_and_times_out(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.books.silent = True
    leaving = world.asked(Kind.FIND)
    await begun(world)
    assert world.desk.abort(world.number)
    assert (await leaving).outcome is Outcome.ABORTED
    world.shop = world.shop.model_copy(update={"palm_patience_s": 0.01})
    await world.restart()
    assert (await world.asked(Kind.FIND)).outcome is Outcome.TIMED_OUT


async def test_leaving_while_the_reader_is_broken_or_the_service_is_down(world: World) -> None:
    world.books.up = False
    leaving = world.asked(Kind.FIND)
    assert (await leaving).outcome is Outcome.NO_SERVICE
    world.vision.health = Health.FAULT
    assert (await world.asked(Kind.FIND)).outcome is Outcome.READER_FAULT


async def test_the_code_opens_enrolment_and_nothing_is_paid(world: World, service: Service) -> None:
    enrolling = world.asked(Kind.PAY, CODE, note="card 4711")
    await begun(world)
    world.desk.seen(Seen(world.vision.visit, Guidance.HIGHER))
    for number in range(10):
        shows(world, number)
    answer = await enrolling
    assert (answer.outcome, answer.needs_confirmation) == (Outcome.ABORTED, False)
    assert answer.text == "Enrolled for account card 4711. Nothing was paid."
    ((wanted, looks),) = service.taken
    assert (wanted.payment_token, wanted.limit_minor, wanted.consent_text_version, looks) == (
        "till:card 4711",
        5000,
        "2026-11 en",
        10,
    )
    assert world.display.view.screen is Screen.ENROLLED
    assert (world.books.state, world.journal.slips()) == ({}, [])
    assert (await world.paid(100)).outcome is Outcome.APPROVED


@pytest.mark.parametrize(
    ("error", "outcome"),
    [(EnrolmentFailed("This palm is enrolled already."), Outcome.NOT_SUPPORTED), (ServiceLost("gone"), Outcome.NO_SERVICE)],
)
async def test_an_enrolment_that_fails_says_why(world: World, service: Service, error: Exception, outcome: Outcome) -> None:
    service.error = error
    enrolling = world.asked(Kind.PAY, CODE)
    await begun(world)
    for number in range(10):
        shows(world, number)
    answer = await enrolling
    assert (answer.outcome, answer.text) == (outcome, str(error))


async def test_enrolment_is_aborted(world: World, service: Service) -> None:
    enrolling = world.asked(Kind.PAY, CODE)
    await begun(world)
    shows(world)
    assert world.desk.abort(world.number)
    assert (await enrolling).outcome is Outcome.ABORTED
    assert service.taken == []


async def test_without_a_code_the_amount_is_an_amount(world: World) -> None:
    world.enrolment = EnrolmentOptions()
    await world.restart()
    assert (await world.asked(Kind.PAY, CODE)).outcome is Outcome.BAD_AMOUNT


def test_a_code_without_a_consent_text_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "terminal.toml"
    path.write_text("[enrolment]\ncode_minor = 77\n", encoding="utf-8")
    with pytest.raises(ConfigError, match=r"\[enrolment\].*consent_text_version"):
        load(path)
