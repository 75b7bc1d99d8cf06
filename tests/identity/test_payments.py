"""The money rule, message by message and as a property of any sequence of messages and restarts."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from sqlalchemy.engine import Engine

from identity.payments import Denied, Payments, Wanted, Why
from identity.storage import open_storage

HOUR_MS = 3_600_000
TILL = "till-1"


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    opened = open_storage(tmp_path / "books.sqlite")
    yield opened
    opened.dispose()


@pytest.fixture
def books(engine: Engine) -> Payments:
    return Payments(engine)


def wanted(number: int = 1, amount: int = 1000, kind: str = "pay", till: str = TILL, currency: str = "EUR") -> Wanted:
    return Wanted(f"{number:032x}", till, kind, amount, currency)


def key(number: int = 1) -> str:
    return f"{number:032x}"


def test_every_connection_syncs_each_commit_and_overwrites_what_is_deleted(engine: Engine) -> None:
    with engine.connect() as one, engine.connect() as other:
        for connection in (one, other):
            said = {name: connection.exec_driver_sql(f"PRAGMA {name}").scalar() for name in ("synchronous", "secure_delete")}
            assert said == {"synchronous": 2, "secure_delete": 1}
            assert connection.exec_driver_sql("PRAGMA journal_mode").scalar() == "wal"
            connection.rollback()


def denied(why: Why) -> pytest.RaisesExc[Denied]:
    return pytest.RaisesExc(Denied, check=lambda error: error.why is why)


def test_a_reservation_is_increased_and_repeating_it_changes_nothing(books: Payments) -> None:
    books.authorise(wanted(kind="reserve"), "a-1")
    assert books.increase(key(), TILL, 1500) == 1500
    assert books.increase(key(), TILL, 1500) == 1500
    assert books.increase(key(), TILL, 1200) == 1500, "less than is held changes nothing"
    assert books.capture(key(), TILL, 1400) == 1400
    with denied(Why.KEY_SETTLED):
        books.increase(key(), TILL, 2000)


def test_what_can_not_be_increased(books: Payments) -> None:
    books.authorise(wanted(), "a-1")
    books.authorise(wanted(2, kind="reserve"), "a-1")
    with denied(Why.BAD_REQUEST):
        books.increase(key(), TILL, 2000)
    with denied(Why.BAD_REQUEST):
        books.increase(key(3), TILL, 2000)
    with denied(Why.NOT_ALLOWED):
        books.increase(key(2), "till-2", 2000)


def test_authorise_capture_and_all_of_it_repeated(books: Payments) -> None:
    first = books.authorise(wanted(), "a-1")
    assert len(first.code) == 6
    assert books.authorise(wanted(), "a-1") == first
    assert books.known(wanted()) == first
    assert books.capture(key(), TILL) == 1000
    assert books.capture(key(), TILL) == 1000
    assert books.capture(key(), TILL, 1000) == 1000
    with denied(Why.BAD_REQUEST):
        books.capture(key(), TILL, 999)
    with denied(Why.KEY_SETTLED):
        books.reverse(key(), TILL, "late")
    with denied(Why.KEY_SETTLED):
        books.known(wanted())


def test_another_palm_on_the_same_key_is_not_charged_as_well(books: Payments) -> None:
    first = books.authorise(wanted(), "a-1")
    assert books.authorise(wanted(), "a-2") == first


def test_reverse_is_final_and_repeats(books: Payments) -> None:
    books.authorise(wanted(), "a-1")
    assert books.reverse(key(), TILL, "register never confirmed") is True
    assert books.reverse(key(), TILL, "again") is True
    with denied(Why.KEY_SETTLED):
        books.capture(key(), TILL)
    with denied(Why.KEY_SETTLED):
        books.authorise(wanted(), "a-1")


def test_a_reversal_that_overtakes_its_begin(books: Payments) -> None:
    assert books.reverse(key(), TILL, "power cut") is False
    assert books.reverse(key(), TILL, "power cut") is False
    with denied(Why.KEY_SETTLED):
        books.known(wanted())
    with denied(Why.KEY_SETTLED):
        books.authorise(wanted(), "a-1")
    with denied(Why.KEY_SETTLED):
        books.capture(key(), TILL)


@pytest.mark.parametrize("other", [wanted(amount=1001), wanted(currency="CHF"), wanted(till="till-2"), wanted(kind="reserve")])
def test_a_known_key_with_something_else(books: Payments, other: Wanted) -> None:
    books.authorise(wanted(), "a-1")
    with denied(Why.BAD_REQUEST):
        books.known(other)


def test_part_of_a_reservation(books: Payments) -> None:
    books.authorise(wanted(amount=10_000, kind="reserve"), "a-1")
    with denied(Why.BAD_REQUEST):
        books.capture(key(), TILL, 10_001)
    with denied(Why.BAD_REQUEST):
        books.capture(key(), TILL, -1)
    assert books.capture(key(), TILL, 4_321) == 4_321
    assert books.capture(key(), TILL) == 4_321


def test_voids_are_bounded_by_what_is_left(books: Payments) -> None:
    books.authorise(wanted(), "a-1")
    with denied(Why.BAD_REQUEST):
        books.void(key(), key(90), TILL)
    books.capture(key(), TILL)
    assert books.void(key(), key(91), TILL, 300) == 300
    assert books.void(key(), key(91), TILL, 300) == 300
    with denied(Why.BAD_REQUEST):
        books.void(key(), key(91), TILL, 200)
    with denied(Why.BAD_REQUEST):
        books.void(key(), key(92), TILL, 701)
    assert books.void(key(), key(92), TILL) == 700
    assert books.void(key(), key(92), TILL) == 700
    with denied(Why.KEY_SETTLED):
        books.void(key(), key(93), TILL)
    (page,) = books.ledger()
    assert (page[0].state, page[0].captured_minor, page[0].voided_minor) == ("voided", 1000, 1000)


def test_unknown_keys(books: Payments) -> None:
    with denied(Why.BAD_REQUEST):
        books.capture(key(), TILL)
    with denied(Why.BAD_REQUEST):
        books.void(key(), key(90), TILL)


def test_another_till_settles_nothing(books: Payments) -> None:
    books.authorise(wanted(), "a-1")
    for attempt in (
        lambda: books.capture(key(), "till-2"),
        lambda: books.reverse(key(), "till-2", ""),
        lambda: books.void(key(), key(90), "till-2"),
    ):
        with denied(Why.NOT_ALLOWED):
            attempt()  # type: ignore[no-untyped-call]


def test_a_refused_purchase_may_be_begun_again_and_is_in_the_ledger(books: Payments) -> None:
    books.refuse(wanted(), "a-1", "limit")
    (page,) = books.ledger()
    assert (page[0].state, page[0].captured_minor) == ("refused", 0)
    assert books.known(wanted()) is None
    assert books.authorise(wanted(), "a-2").account == "a-2"
    books.refuse(wanted(), "a-1", "limit")
    assert books.capture(key(), TILL) == 1000


def test_unsettled_payments_are_reported_and_can_still_be_settled(engine: Engine) -> None:
    now = [1_000_000_000_000]
    books = Payments(engine, lambda: now[0])
    books.authorise(wanted(1), "a-1")
    books.authorise(wanted(2), "a-1")
    books.authorise(wanted(3, kind="reserve"), "a-1")
    assert books.expire(72 * HOUR_MS) == 0
    now[0] += 73 * HOUR_MS
    assert books.expire(72 * HOUR_MS) == 2
    assert books.expire(72 * HOUR_MS) == 0
    (page,) = books.ledger()
    assert [entry.state for entry in page] == ["expired", "expired", "authorised"]
    assert books.capture(key(1), TILL) == 1000
    assert books.reverse(key(2), TILL, "late") is True


def test_the_ledger_comes_in_pages_and_can_be_narrowed(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("identity.payments.LEDGER_PAGE_ROWS", 3)
    now = [1_000]
    books = Payments(engine, lambda: now[0])
    for number in range(10):
        now[0] += number % 2  # several in the same millisecond
        books.authorise(wanted(number, till=f"till-{1 + number % 2}"), f"a-{number % 3}")
    pages = list(books.ledger())
    assert [len(page) for page in pages] == [3, 3, 3, 1]
    keys = [entry.purchase_key for page in pages for entry in page]
    assert keys == [key(number) for number in range(10)]
    assert sum(len(page) for page in books.ledger(at_most=4)) == 4
    assert sum(len(page) for page in books.ledger(till="till-2")) == 5
    assert sum(len(page) for page in books.ledger(account="a-0")) == 4
    assert sum(len(page) for page in books.ledger(since_unix_ms=now[0])) == 1


class MoneyRule(RuleBasedStateMachine):
    """Any sequence of messages (so: any duplication, loss and reordering), with restarts in between.

    Judged by what was *answered*, as a till and an auditor would, not by a second copy of the books' rules.
    """

    folder: Path
    blank: Path | None = None

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(prefix="money-rule-"))
        if MoneyRule.blank is None:
            MoneyRule.blank = Path(tempfile.mkdtemp(prefix="money-blank-")) / "blank.sqlite"
            open_storage(MoneyRule.blank).dispose()
        shutil.copy(MoneyRule.blank, self.folder / "books.sqlite")
        self.now = 1_000_000
        self.codes: dict[int, tuple[str, str]] = {}
        self.captured: dict[int, int] = {}
        self.reversed: set[int] = set()
        self.voids: dict[int, tuple[int, int]] = {}
        self.open()

    def open(self) -> None:
        """The same files again. Not synced to the disk: this is about what is written, test_cli is about when."""
        self.engine = open_storage(self.folder / "books.sqlite")
        sa.event.listen(self.engine, "connect", lambda connection, _: connection.execute("PRAGMA synchronous=OFF"))
        self.engine.dispose()
        self.books = Payments(self.engine, lambda: self.now)

    def teardown(self) -> None:
        self.engine.dispose()
        shutil.rmtree(self.folder)

    keys = st.sampled_from([1, 1, 2])
    amounts = st.sampled_from([0, 0, 400, 1001])

    @initialize(begun=st.booleans(), captured=st.booleans())
    def some_are_under_way(self, begun: bool, captured: bool) -> None:
        if begun or captured:
            self.authorise(1, 1000, "a-1")
        if captured:
            self.capture(1, 0)

    @rule(number=keys, amount=st.sampled_from([1000, 1000, 1000, 2000]), account=st.sampled_from(["a-1", "a-2"]))
    def authorise(self, number: int, amount: int, account: str) -> None:
        try:
            entry = self.books.authorise(wanted(number, amount), account)
        except Denied:
            return
        assert number not in self.reversed, "authorised after it was reversed"
        assert number not in self.captured, "authorised again after it was captured"
        assert self.codes.setdefault(number, (entry.code, entry.account)) == (entry.code, entry.account), "authorised twice"

    @rule(number=keys, amount=amounts)
    def capture(self, number: int, amount: int) -> None:
        try:
            booked = self.books.capture(key(number), TILL, amount)
        except Denied:
            booked = None
        if booked is None:
            assert number not in self.captured or amount not in (0, self.captured[number]), "a repeated capture was denied"
            return
        assert number in self.codes, "captured what was never authorised"
        assert number not in self.reversed, "captured after it was reversed"
        assert self.captured.setdefault(number, booked) == booked, "captured twice"
        assert amount in (0, booked)

    @rule(number=keys)
    def reverse(self, number: int) -> None:
        try:
            had = self.books.reverse(key(number), TILL, "test")
        except Denied:
            assert number in self.captured, "a purchase that is not captured can always be reversed"
            return
        assert number not in self.captured, "reversed after it was captured"
        assert had == (number in self.codes)
        self.reversed.add(number)

    @rule(number=keys, void_number=st.sampled_from([100, 100, 101]), amount=amounts)
    def void(self, number: int, void_number: int, amount: int) -> None:
        try:
            undone = self.books.void(key(number), key(void_number), TILL, amount)
        except Denied:
            undone = None
        if undone is None:
            of, before = self.voids.get(void_number, (0, 0))
            assert of != number or amount not in (0, before), "a repeated undoing was denied"
            return
        assert self.voids.setdefault(void_number, (number, undone)) == (number, undone), "one undoing counted twice"

    @rule(hours=st.sampled_from([1, 73]))
    def time_passes(self, hours: int) -> None:
        self.now += hours * HOUR_MS
        self.books.expire(72 * HOUR_MS)

    @precondition(lambda self: self.codes)
    @rule()
    def restart(self) -> None:
        self.engine.dispose()
        self.open()

    @invariant()
    def the_ledger_says_what_was_answered(self) -> None:
        entries = {int(entry.purchase_key, 16): entry for page in self.books.ledger() for entry in page}
        assert set(entries) >= set(self.codes) | self.reversed
        for number, entry in entries.items():
            undone = sum(amount for of, amount in self.voids.values() if of == number)
            assert entry.captured_minor == self.captured.get(number, 0)
            assert entry.voided_minor == undone <= entry.captured_minor
            assert (entry.state == "reversed") == (number in self.reversed)
            assert (entry.state in ("captured", "voided")) == (number in self.captured)


TestMoneyRule = MoneyRule.TestCase
TestMoneyRule.settings = settings(
    max_examples=40, stateful_step_count=30, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow]
)
