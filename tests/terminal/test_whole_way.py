"""From the register's amount to the service's ledger, in real processes: paid, refused, stranger, abort, nobody, power cuts."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from terminal.journal import Journal
from terminal.register.till import Verdict
from tests.terminal.whole_way import ENROL_CODE_MINOR, Service, Way, needs_models, running_service, whole_way

pytestmark = [needs_models, pytest.mark.slow, pytest.mark.timeout(300), pytest.mark.xdist_group("whole_way")]


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    with running_service(tmp_path_factory.mktemp("service")) as running:
        yield running


@pytest.fixture
async def way(tmp_path: Path, service: Service) -> AsyncIterator[Way]:
    async with whole_way(tmp_path, service) as made:
        yield made


async def test_a_morning_at_the_till(way: Way) -> None:
    """One terminal, every end; the ledger has what the register has, to the cent."""
    since = len(way.service.ledger())
    paid = await way.pay(1234, "ada")
    assert (paid.verdict, paid.amount_minor, paid.receipt) == (Verdict.DONE, 1234, 1)
    limit = await way.pay(1001, "ben")
    assert limit.verdict is Verdict.DECLINED
    stranger = await way.pay(500, "stranger")
    assert not stranger.done

    before = way.terminal.count("register asks kind=pay")
    task = asyncio.create_task(way.register.pay(800))
    await way.terminal.said("register asks kind=pay", before)
    assert await way.register.abort()
    assert (await task).verdict is Verdict.ABORTED

    assert (await way.register.pay(0)).verdict is not Verdict.DONE
    assert (await way.register.pay(99_999)).verdict is not Verdict.DONE
    again = await way.pay(1, "ben")
    assert again.done
    undone = await way.register.reverse(1)
    assert undone.done
    day = await way.register.end_of_day()
    assert (day.done, day.amount_minor) == (True, 1)

    assert await way.terminal.stop() == 0
    ledger = way.ledger(since)
    standing = sum(int(str(row["captured_minor"])) - int(str(row["voided_minor"])) for row in ledger if row["state"] == "captured")
    assert standing == 1
    assert sorted(str(row["state"]) for row in ledger if row["kind"]) == ["captured", "refused", "voided"]
    assert "stranger" not in str(ledger)
    text = way.terminal.log.read_text()
    assert "acknowledged=" in text
    assert "ada" not in text.lower()


@pytest.mark.parametrize(
    ("cut", "state"), [("begun", ""), ("authorised", "reversed"), ("completed", "captured"), ("settled", "captured")]
)
async def test_a_power_cut_between_any_two_states_is_settled_at_the_next_start(way: Way, cut: str, state: str) -> None:
    since = len(way.service.ledger())
    held = way.service.process
    assert held is not None

    def cut_now(*_: object) -> bool:
        way.terminal.kill()
        return True

    def hold_service(*_: object) -> bool:
        """The service stops answering, so that the capture can't arrive before the cut."""
        held.send_signal(signal.SIGSTOP)
        way.at_completion = cut_now  # type: ignore[assignment]
        return False

    task = None
    if cut == "begun":
        before = way.terminal.count("register asks kind=pay")
        task = asyncio.create_task(way.register.pay(321))
        await way.terminal.said("register asks kind=pay", before)
        await way.terminal.said("purchase begun")
        way.terminal.kill()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    elif cut == "settled":
        assert (await way.pay(321, "ada")).done
        await way.terminal.said("settled what=capture")
        way.terminal.kill()
    else:
        way.before_reply = cut_now if cut == "authorised" else hold_service
        task = asyncio.create_task(way.pay(321, "ada"))
        await asyncio.to_thread(way.terminal.process.wait, 120)  # type: ignore[union-attr]
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    way.before_reply = way.at_completion = None
    held.send_signal(signal.SIGCONT)

    await way.terminal.start()
    assert (await way.register.register()).done
    paid = await way.pay(100, "ada")  # nothing is owed any more when this is taken
    assert paid.done
    assert await way.terminal.stop() == 0
    rows = way.ledger(since)
    of_321 = [str(row["state"]) for row in rows if row["amount_minor"] == 321]
    assert of_321 == ([state] if state else [])
    assert "authorised" not in [row["state"] for row in rows]
    journal = Journal(way.folder / "journal")
    journal.open()
    assert journal.owed() == []
    assert journal.period().amount_minor == (421 if state == "captured" else 100)
    journal.close()


async def test_nobody_comes(tmp_path: Path, service: Service) -> None:
    since = len(service.ledger())
    async with whole_way(tmp_path, service, patience_s=3.0) as way:
        nobody = await way.pay(700, None)
        assert (nobody.verdict, nobody.text) == (Verdict.ABORTED, "Nobody was recognised in time.")
    assert service.ledger()[since:] == []


async def test_a_service_that_dies_and_comes_back(way: Way) -> None:
    since = len(way.service.ledger())
    way.service.stop(signal.SIGKILL)
    try:
        await way.terminal.said("service not reachable")
        assert not (await way.pay(250, "ada")).done
    finally:
        way.service.start()
    before = way.terminal.count("service reachable")
    if before < 2:
        await way.terminal.said("service reachable", 1)
    assert (await way.pay(251, "ada")).done
    assert await way.terminal.stop() == 0
    assert [row["amount_minor"] for row in way.ledger(since) if row["state"] == "captured"] == [251]


async def test_a_gate_lets_in_and_charges_on_leaving_and_somebody_new_is_enrolled_there(tmp_path: Path, service: Service) -> None:
    since = len(service.ledger())
    async with whole_way(tmp_path, service, kind="gate") as way:
        for who, receipt in (("ada", 1), ("ben", 2)):
            inside = await way.asks("reserve", way.register.reserve(900), who)
            assert (inside.done, inside.receipt) == (True, receipt)
        leaving = await way.asks("find", way.register.reservations(), "ada")
        assert leaving.receipt == 1
        assert (await way.register.book(1, 350)).done
        again = await way.asks("find", way.register.reservations(), "ada")
        assert (again.code, again.receipt) == ("B8", None)
        enrolled = await way.asks("pay", way.register.pay(ENROL_CODE_MINOR), "chloe")
        assert (enrolled.verdict, enrolled.text[:8]) == (Verdict.ABORTED, "Enrolled")
        paid = await way.pay(100, "chloe")
        assert paid.done
        assert await way.terminal.stop() == 0
    states = [(row["kind"], row["state"], row["captured_minor"]) for row in service.ledger()[since:]]
    assert states == [("reserve", "captured", 350), ("reserve", "authorised", 0), ("pay", "captured", 100)]
