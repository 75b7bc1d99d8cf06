"""The till behind the registers: each outcome, each bad input, and books that agree whatever is cut."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from terminal import checkout as c
from terminal import desk as desk_module
from terminal.checkout import Outcome, Screen
from terminal.config import Shop
from terminal.journal import JournalError, file
from terminal.palm.types import Guidance
from terminal.register.machine import Kind
from terminal.vision import Health, Seen
from tests.terminal.desk_world import World, look


@pytest.fixture
async def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[World]:
    monkeypatch.setattr(file, "SPACE_BYTES_MIN", 128 * 1024)
    made = World(tmp_path, monkeypatch)
    await made.start()
    yield made
    await made.stop()


async def test_a_purchase_is_authorised_told_acknowledged_and_captured(world: World) -> None:
    world.books.verdicts = [c.More(0.4), c.Authorised("A1B2C3", "Ada")]
    task = world.asked(Kind.PAY, 1234)
    await world.shows(Guidance.HIGHER)
    await world.shows()
    await world.shows()
    answer = await task
    assert answer.outcome is Outcome.APPROVED
    assert answer.needs_confirmation
    assert answer.receipt is not None
    assert (answer.receipt.number, answer.receipt.amount_minor, answer.receipt.authorisation) == (1, 1234, "A1B2C3")
    assert world.books.taken == 0, "nothing is captured before the register acknowledges"
    await world.desk.delivered(answer.number, None)
    assert await world.settled()
    assert world.books.taken == 1234
    assert world.display.screens == [Screen.WELCOME, Screen.PRESENT_PALM, Screen.LOOKING, Screen.PAID]
    assert world.display.view.name == "Ada"
    assert world.vision.visit == 0, "the eyes rest when it is over"


async def test_an_answer_that_is_not_acknowledged_is_reversed(world: World) -> None:
    answer = await world.pays()
    await world.desk.undelivered(answer.number, "the register did not acknowledge")
    assert await world.settled()
    assert list(world.books.state.values()) == ["reversed"]
    assert world.display.view.screen is Screen.CANCELLED
    last = await world.asked(Kind.LAST_RESULT)
    assert last.receipt is not None
    assert last.receipt.reversed


async def test_a_part_that_was_delivered_is_captured(world: World) -> None:
    answer = await world.pays(1000)
    await world.desk.delivered(answer.number, 700)
    assert await world.settled()
    assert world.books.taken == 700


@pytest.mark.parametrize("outcome", [Outcome.NOBODY, Outcome.LIMIT, Outcome.BLOCKED, Outcome.TIMED_OUT])
async def test_a_refusal_is_told_and_owes_nothing(world: World, outcome: Outcome) -> None:
    world.books.verdicts = [c.Refused(outcome)]
    answer = await world.pays()
    assert (answer.outcome, answer.needs_confirmation, answer.receipt) == (outcome, False, None)
    assert world.settler.owes == 0
    assert world.display.view.outcome is outcome
    world.books.verdicts = [c.Authorised("A1")]
    await world.paid()


@pytest.mark.parametrize("amount", [0, -5, 15_001, 10**9])
async def test_an_amount_that_cannot_be_is_refused_before_anybody_is_asked(world: World, amount: int) -> None:
    answer = await world.asked(Kind.PAY, amount)
    assert answer.outcome is Outcome.BAD_AMOUNT
    assert answer.text
    assert world.vision.visits == []


async def test_another_currency_is_refused(world: World) -> None:
    assert (await world.asked(Kind.PAY, 100, currency="USD")).outcome is Outcome.BAD_CURRENCY


async def test_a_second_request_is_busy_and_the_first_goes_on(world: World) -> None:
    first = world.asked(Kind.PAY, 100)
    await asyncio.sleep(0)
    assert (await world.asked(Kind.PAY, 200)).outcome is Outcome.BUSY
    await world.shows()
    assert (await first).outcome is Outcome.APPROVED


async def test_an_abort_before_a_hand_owes_nothing(world: World) -> None:
    task = world.asked(Kind.PAY, 100)
    async with asyncio.timeout(60):
        while not world.desk.abort(world.number):  # noqa: ASYNC110
            await asyncio.sleep(0)
    assert (await task).outcome is Outcome.ABORTED
    assert world.books.calls == []


async def test_an_abort_while_the_last_purchase_is_still_being_written_down_is_not_too_late(world: World) -> None:
    world.books.silent = True
    first = world.asked(Kind.PAY, 100)
    await world.shows()
    assert world.desk.abort(world.number)
    await first
    second = world.asked(Kind.PAY, 200)
    await asyncio.sleep(0)
    assert world.desk.abort(world.number)
    assert (await second).outcome is Outcome.ABORTED
    world.books.silent = False
    await world.paid()


async def test_an_abort_after_a_probe_is_reversed_whatever_the_service_did(world: World) -> None:
    world.books.silent = True
    task = world.asked(Kind.PAY, 100)
    await world.shows()
    assert world.desk.abort(world.number)
    assert not world.desk.abort(world.number), "it has ended already"
    assert (await task).outcome is Outcome.ABORTED
    assert await world.settled()
    assert [what for what, _ in world.books.calls] == ["reverse"]


async def test_an_abort_after_the_register_was_told_comes_too_late(world: World) -> None:
    answer = await world.pays()
    assert not world.desk.abort(answer.number)


async def test_nobody_for_the_whole_time_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(tmp_path, monkeypatch, Shop.model_construct(palm_patience_s=0.05))
    await world.start()
    answer = await world.asked(Kind.PAY, 100)
    assert answer.outcome is Outcome.TIMED_OUT
    assert world.books.calls == []
    await world.stop()


async def test_a_hand_that_leaves_half_way_times_out_and_is_reversed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(tmp_path, monkeypatch, Shop.model_construct(palm_patience_s=0.1))
    await world.start()
    world.books.verdicts = [c.More(0.3)]
    answer = await world.pays()
    assert answer.outcome is Outcome.TIMED_OUT
    assert await world.settled()
    assert list(world.books.state.values()) == ["reversed"]
    await world.stop()


async def test_two_hands_are_said_and_nothing_is_sent(world: World) -> None:
    task = world.asked(Kind.PAY, 100)
    await world.shows(Guidance.ONE_HAND)
    async with asyncio.timeout(60):
        while world.display.view.guidance != "one_hand":  # noqa: ASYNC110
            await asyncio.sleep(0)
    world.desk.abort(world.number)
    await task
    assert world.books.state == {}


async def test_the_service_down_is_said_and_the_next_purchase_goes(world: World) -> None:
    world.books.up = False
    assert (await world.asked(Kind.PAY, 100)).outcome is Outcome.NO_SERVICE
    assert (await world.asked(Kind.STATUS)).outcome is Outcome.NO_SERVICE
    world.desk._cancel_idle()
    world.desk.show_idle()
    assert (world.display.view.screen, world.display.view.code) == (Screen.OUT_OF_ORDER, "service")
    world.books.up = True
    await world.paid()


async def test_the_service_dying_in_the_middle_leaves_a_debt_that_is_settled_first(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(desk_module, "SETTLE_PATIENCE_S", 0.05)
    world.books.silent = True
    task = world.asked(Kind.PAY, 100)
    await world.shows()
    world.books.up = False
    assert world.desk._current is not None
    world.desk._current.feed(c.Stopped(Outcome.NO_SERVICE, "it died"))
    assert (await task).outcome is Outcome.NO_SERVICE
    owed = await world.asked(Kind.PAY, 100)
    assert (owed.outcome, world.display.view.screen) == (Outcome.OWED, Screen.SETTLING)
    assert (await world.asked(Kind.STATUS)).outcome is Outcome.NO_SERVICE
    world.books.up, world.books.silent = True, False
    world.desk.changed()
    await world.paid()
    assert [what for what, _ in world.books.calls] == ["reverse", "capture"]


async def test_waiting_for_a_debt_can_be_aborted(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(desk_module, "SETTLE_PATIENCE_S", 0.2)
    answer = await world.pays()
    world.books.up = False
    await world.desk.undelivered(answer.number, "silence")
    task = world.asked(Kind.PAY, 100)
    async with asyncio.timeout(60):
        while not world.desk.abort(world.number):  # noqa: ASYNC110
            await asyncio.sleep(0)
    assert (await task).outcome is Outcome.ABORTED
    world.books.up = True


async def test_a_reader_that_breaks_ends_the_purchase(world: World) -> None:
    task = world.asked(Kind.PAY, 100)
    await world.shows(Guidance.HIGHER)
    world.vision.health, world.vision.code = Health.FAULT, "reader"
    world.desk.changed()
    assert (await task).outcome is Outcome.READER_FAULT
    assert (await world.asked(Kind.PAY, 100)).outcome is Outcome.READER_FAULT
    world.desk._cancel_idle()
    world.desk.show_idle()
    assert (world.display.view.screen, world.display.view.code) == (Screen.OUT_OF_ORDER, "reader")


async def test_what_is_seen_for_an_earlier_visit_is_dropped(world: World) -> None:
    task = world.asked(Kind.PAY, 100)
    await world.shows(Guidance.HIGHER)
    world.desk.seen(Seen(world.vision.visit + 1, look()))
    await asyncio.sleep(0)
    assert world.books.state == {}
    world.desk.abort(world.number)
    await task


async def test_a_journal_that_cannot_write_refuses_before_the_service_hears(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def failing(*_: object) -> int:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("os.pwrite", failing)
        answer = await world.asked(Kind.PAY, 100)
    assert answer.outcome is Outcome.FAULT
    assert world.display.view.code == "journal"
    assert world.books.calls == []
    await world.paid()


@pytest.mark.parametrize(("stands", "state"), [(False, "reversed"), (True, "captured")])
async def test_an_acknowledgement_that_cannot_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stands: bool, state: str
) -> None:
    """ZVT's register is told that it failed, so it is reversed; the others believe that it is paid, so it is captured."""
    world = World(tmp_path, monkeypatch)
    await world.start(unkept_stands=stands)
    answer = await world.pays()
    with monkeypatch.context() as patch:
        patch.setattr("os.fdatasync", lambda _: (_ for _ in ()).throw(OSError(5, "I/O error")))
        if stands:
            await world.desk.delivered(answer.number, None)
        else:
            with pytest.raises(JournalError):
                await world.desk.delivered(answer.number, None)
    assert await world.settled()
    assert list(world.books.state.values()) == [state]
    await world.stop()


async def test_a_machine_that_forgets_its_verdict_has_not_acknowledged(world: World) -> None:
    await world.pays(100)
    await world.paid(200)
    assert sorted(world.books.state.values()) == ["captured", "reversed"]
    assert world.books.taken == 200


async def test_a_refund_and_a_reversal_by_receipt(world: World) -> None:
    await world.paid(1000)
    refund = await world.paid(300, Kind.REFUND)
    undo = await world.asked(Kind.REVERSE, receipt=1)
    assert (undo.outcome, undo.needs_confirmation) == (Outcome.APPROVED, True)
    assert undo.receipt is not None
    assert undo.receipt.original_trace == 1
    await world.desk.delivered(undo.number, None)
    assert await world.settled()
    assert sorted(world.books.state.values()) == ["captured", "voided"]
    assert (await world.asked(Kind.REVERSE, receipt=1)).outcome is Outcome.ALREADY_REVERSED
    assert (await world.asked(Kind.REVERSE, receipt=77)).outcome is Outcome.NOT_FOUND
    totals = (await world.asked(Kind.TOTALS, close=True)).totals
    assert totals is not None
    assert (totals.count, totals.amount_minor, totals.refunds, totals.refunds_minor) == (0, 0, 1, 300)
    assert refund.receipt is not None


async def test_a_reversal_that_is_not_acknowledged_never_happened(world: World) -> None:
    await world.paid(1000)
    undo = await world.asked(Kind.REVERSE)
    await world.desk.undelivered(undo.number, "silence")
    assert world.books.taken == 1000
    wrong = await world.asked(Kind.REVERSE, 999)
    assert wrong.outcome is Outcome.BAD_AMOUNT
    world.books.up = False
    assert (await world.asked(Kind.REVERSE)).outcome is Outcome.NO_SERVICE
    world.books.up = True


@pytest.mark.parametrize(
    ("kind", "amount", "close", "state", "taken"),
    [
        (Kind.BOOK, 700, False, "captured", 700),
        (Kind.RELEASE, 0, False, "reversed", 0),
        (Kind.RELEASE, 400, True, "captured", 600),
        (Kind.REVERSE, 0, False, "reversed", 0),
    ],
)
async def test_a_reservation_is_held_and_then_booked_or_released(
    world: World, kind: Kind, amount: int, close: bool, state: str, taken: int
) -> None:
    held = await world.paid(1000, Kind.RESERVE)
    assert held.receipt is not None
    assert list(world.books.state.values()) == ["authorised"]
    assert (await world.asked(Kind.RESERVATIONS)).open_reservations == (held.receipt.number,)
    assert (await world.asked(Kind.BOOK, 1001, receipt=held.receipt.number)).outcome is Outcome.BAD_AMOUNT
    assert (await world.asked(Kind.BOOK, 1, receipt=4711)).outcome is Outcome.NOT_FOUND
    answer = await world.asked(kind, amount, receipt=held.receipt.number, close=close)
    assert answer.outcome is Outcome.APPROVED
    await world.desk.delivered(answer.number, None)
    assert await world.settled()
    assert list(world.books.state.values()) == [state]
    assert world.books.taken == taken
    assert (await world.asked(Kind.RESERVATIONS)).open_reservations == ()


async def test_a_reservation_is_raised_and_booked(world: World) -> None:
    held = await world.paid(1000, Kind.RESERVE)
    assert held.receipt is not None
    number = held.receipt.number
    raised = await world.asked(Kind.RAISE, 500, receipt=number)
    assert raised.outcome is Outcome.APPROVED
    await world.desk.undelivered(raised.number, "not acknowledged")
    assert (await world.asked(Kind.BOOK, 1001, receipt=number)).outcome is Outcome.BAD_AMOUNT, "it never happened"
    raised = await world.asked(Kind.RAISE, 500, receipt=number)
    await world.desk.delivered(raised.number, None)
    world.books.limit_minor = 1600
    assert (await world.asked(Kind.RAISE, 500, receipt=number)).outcome is Outcome.LIMIT
    assert (await world.asked(Kind.RAISE, 0, receipt=number)).outcome is Outcome.BAD_AMOUNT
    assert (await world.asked(Kind.RAISE, 15_000, receipt=number)).outcome is Outcome.BAD_AMOUNT
    assert (await world.asked(Kind.RAISE, 1, receipt=4711)).outcome is Outcome.NOT_FOUND
    await world.restart()
    booked = await world.asked(Kind.BOOK, 0, receipt=number, close=True)
    assert booked.receipt is not None
    assert booked.receipt.amount_minor == 1500
    await world.desk.delivered(booked.number, None)
    assert await world.settled()
    assert world.books.taken == 1500


async def test_an_old_reservation_is_given_back(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    await world.paid(1000, Kind.RESERVE)
    world.settler._reservation_s = -1
    world.settler.kick()
    async with asyncio.timeout(60):
        while list(world.books.state.values()) != ["reversed"]:  # noqa: ASYNC110
            await asyncio.sleep(0.005)


async def test_questions_are_answered_without_a_palm(world: World) -> None:
    assert (await world.asked(Kind.STATUS)).outcome is Outcome.APPROVED
    assert (await world.asked(Kind.LAST_RESULT)).outcome is Outcome.NOT_FOUND
    await world.paid(100)
    world.books.verdicts = [c.Refused(Outcome.LIMIT)]
    await world.pays(100)
    last = await world.asked(Kind.LAST_RESULT)
    assert last.outcome is Outcome.LIMIT
    assert last.receipt is not None
    assert last.receipt.number == 1


async def test_a_name_is_on_the_screen_and_nowhere_else(world: World, caplog: pytest.LogCaptureFixture) -> None:
    world.books.verdicts = [c.Authorised("A1", "Zacharias")]
    with caplog.at_level(logging.DEBUG):
        answer = await world.paid()
    assert "Zacharias" not in caplog.text
    assert "Zacharias" not in repr((answer, world.desk.purchases, world.display.view))
    assert b"Zacharias" not in (world.folder / "journal").read_bytes()
    assert world.display.view.name == "Zacharias"
    assert "stages_us=encode:5000" in caplog.text


@pytest.mark.parametrize("seed", range(6))
async def test_the_books_agree_whatever_is_cut(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int) -> None:
    """Purchases with every end, power cuts anywhere, a service that comes and goes: the ledger equals the register."""
    monkeypatch.setattr(file, "SPACE_BYTES_MIN", 128 * 1024)
    monkeypatch.setattr(desk_module, "SETTLE_PATIENCE_S", 0.02)
    chance = random.Random(seed)
    world = World(tmp_path, monkeypatch, Shop.model_construct(palm_patience_s=0.05))
    await world.start()
    register = 0
    for _ in range(25):
        world.books.up = chance.random() < 0.9
        world.books.verdicts = [c.Authorised("A1") if chance.random() < 0.7 else c.Refused(Outcome.NOBODY)]
        amount = chance.randint(1, 9999)
        task = world.asked(Kind.PAY, amount)
        for _ in range(chance.randint(0, 30)):
            await asyncio.sleep(0)
            if task.done():
                break
            if world.desk._current is not None and chance.random() < 0.5:
                world.desk.seen(Seen(world.vision.visit, look()))
        if chance.random() < 0.2:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            world.books.up = True
            await world.restart()
            continue
        if not task.done():
            if chance.random() < 0.5:
                world.desk.abort(world.number)
            else:
                world.desk.seen(Seen(world.vision.visit, look()))
        try:
            answer = await asyncio.wait_for(task, 60)
        except TimeoutError:
            pytest.fail("a request never ended")
        if answer.outcome is not Outcome.APPROVED:
            continue
        end = chance.random()
        if end < 0.6:
            await world.desk.delivered(answer.number, None)
            register += amount
        elif end < 0.8:
            await world.desk.undelivered(answer.number, "silence")
        else:
            await world.restart()
    world.books.up = True
    await world.restart()
    assert await world.settled()
    assert world.books.taken == register == world.journal.period().amount_minor
    assert "authorised" not in world.books.state.values()
    assert world.settler.conflicts == 0
    await world.stop()
