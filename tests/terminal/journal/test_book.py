"""Which purchase has come how far, over restarts, kill -9, and what is owed."""

from __future__ import annotations

import datetime
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from terminal.journal import End, Journal, JournalError, Mark, Owing, book, file

KILL_STEPS = ["begin", "authorised", "completed", "settled"]


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(file, "SPACE_BYTES_MIN", 64 * 1024)


def opened(folder: Path, **how: object) -> Journal:
    journal = Journal(folder, **how)  # type: ignore[arg-type]
    journal.open()
    return journal


def again(journal: Journal, folder: Path) -> Journal:
    journal.close()
    return opened(folder)


def paid(journal: Journal, amount: int = 1234, kind: str = "pay") -> str:
    entry = journal.begin(kind, amount, "EUR")
    journal.authorised(entry.key, "A1B2C3")
    journal.completed(entry.key)
    if kind != "reserve":
        journal.settled(entry.key)
    return entry.key


def test_a_key_is_32_hex_digits_and_new_each_time(tmp_path: Path) -> None:
    journal = opened(tmp_path)
    keys = {journal.begin("pay", 1, "EUR").key for _ in range(20)}
    assert len(keys) == 20
    assert all(len(key) == 32 and set(key) <= set("0123456789abcdef") for key in keys)


@pytest.mark.parametrize("until", ["begin", "authorised"])
def test_what_the_register_never_acknowledged_is_reversed_after_a_cut(tmp_path: Path, until: str) -> None:
    journal = opened(tmp_path)
    key = journal.begin("pay", 1234, "EUR").key
    if until == "authorised":
        journal.authorised(key, "A1")
    journal.close()
    after = Journal(tmp_path)
    assert [entry.key for entry in after.open()] == [key]
    assert [(owed.what, owed.key) for owed in after.owed()] == [(Owing.REVERSE, key)]
    assert "power cut" in after.owed()[0].why
    assert all(slip.undone for slip in after.slips())
    after.settled(key)
    assert again(after, tmp_path).owed() == []


def test_what_the_register_acknowledged_is_captured_after_a_cut(tmp_path: Path) -> None:
    journal = opened(tmp_path)
    key = journal.begin("pay", 1234, "EUR").key
    journal.authorised(key, "A1")
    journal.completed(key, 1000)
    journal = again(journal, tmp_path)
    (owed,) = journal.owed()
    assert (owed.what, owed.key, owed.amount_minor) == (Owing.CAPTURE, key, 1000)
    journal.settled(key)
    entry = again(journal, tmp_path).entry(key)
    assert entry is not None
    assert (entry.mark, entry.end, entry.standing_minor) == (Mark.SETTLED, End.CAPTURED, 1000)


def test_receipts_last_result_and_totals_survive(tmp_path: Path) -> None:
    journal = opened(tmp_path)
    paid(journal, 1234)
    paid(journal, 500)
    paid(journal, 300, "refund")
    journal.note_outcome("limit")
    journal = again(journal, tmp_path)
    outcome, slip = journal.last()
    assert outcome == "limit"
    assert slip is not None
    assert (slip.number, slip.trace, slip.kind, slip.amount_minor) == (3, 3, "refund", 300)
    period = journal.period()
    assert (period.count, period.amount_minor, period.refunds, period.refunds_minor) == (2, 1734, 1, 300)
    assert (period.first_receipt, period.last_receipt) == (1, 3)
    assert journal.close_period() == period
    assert again(journal, tmp_path).period().count == 0


def test_a_reversal_by_receipt_owes_a_void_and_comes_off_the_totals(tmp_path: Path) -> None:
    journal = opened(tmp_path)
    key = paid(journal)
    slip = journal.follow(key, "reverse", 1234)
    assert slip.original_trace == 1
    journal = again(journal, tmp_path)  # never acknowledged: it never happened
    assert journal.owed() == []
    assert journal.by_receipt(slip.number)[1].undone  # type: ignore[index]
    journal.follow(key, "reverse", 1234)
    journal.followed(key)
    journal = again(journal, tmp_path)
    (owed,) = journal.owed()
    assert (owed.what, owed.amount_minor, len(owed.undo_key)) == (Owing.VOID, 1234, 32)
    assert journal.period().amount_minor == 0
    assert journal.by_receipt(1)[1].undone  # type: ignore[index]
    journal.settled(key)
    assert journal.entry(key).end is End.VOIDED  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("kind", "amount", "charge_rest", "mark", "standing"),
    [
        ("book", 700, False, Mark.COMPLETED, 700),
        ("release", 1000, False, Mark.REVERSING, 0),
        ("release", 400, True, Mark.COMPLETED, 600),
        ("release", 400, False, Mark.HELD, 600),
    ],
)
def test_a_reservation_is_booked_or_released(
    tmp_path: Path, kind: str, amount: int, charge_rest: bool, mark: Mark, standing: int
) -> None:
    journal = opened(tmp_path)
    key = paid(journal, 1000, "reserve")
    journal = again(journal, tmp_path)
    assert [entry.key for entry in journal.reservations()] == [key]
    journal.follow(key, kind, amount)
    journal.unfollowed(key)
    assert [entry.key for entry in journal.reservations()] == [key]
    journal.follow(key, kind, amount)
    journal.followed(key, charge_rest=charge_rest)
    entry = again(journal, tmp_path).entry(key)
    assert entry is not None
    assert (entry.mark, entry.standing_minor) == (mark, standing)


def test_settings_of_a_protocol_survive(tmp_path: Path) -> None:
    journal = opened(tmp_path)
    journal.save("zvt", {"config": "BA"})
    journal = again(journal, tmp_path)
    assert journal.load("zvt") == {"config": "BA"}
    assert journal.load("ecr17") == {}


def test_numbers_begin_again_after_9999_without_losing_the_new_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(book, "RECEIPTS_MAX", 3)
    journal = opened(tmp_path)
    for _ in range(5):
        paid(journal)
    journal = again(journal, tmp_path)
    assert sorted(slip.number for slip in journal.slips()) == [1, 2, 3]
    assert journal.last()[1].trace == 5  # type: ignore[union-attr]


def test_its_size_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(book, "SETTLED_MAX", 20)
    monkeypatch.setattr(book, "SLIPS_MAX", 20)
    journal = opened(tmp_path)
    held = paid(journal, 500, "reserve")
    for _ in range(60):
        paid(journal)
    journal = again(journal, tmp_path)
    assert journal.entry(held) is not None, "an open reservation is never dropped"
    assert len(journal.slips()) <= 22
    assert (tmp_path / "journal").stat().st_size <= 64 * 1024


def test_old_purchases_go_and_their_totals_stay(tmp_path: Path) -> None:
    day = datetime.datetime(2026, 11, 23, 12, tzinfo=datetime.UTC)
    journal = opened(tmp_path, keep_days=2, now=lambda: day)
    key = paid(journal)
    journal.close()
    journal = opened(tmp_path, keep_days=2, now=lambda: day + datetime.timedelta(days=3))
    assert journal.entry(key) is None
    assert journal.period().amount_minor == 1234
    assert journal.last()[1] is not None, "the last result is kept however old it is"


def test_a_full_disk_refuses_the_purchase_and_forgets_the_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    journal = opened(tmp_path)

    def full(*_: object) -> int:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("os.pwrite", full)
        with pytest.raises(JournalError, match="No space"):
            journal.begin("pay", 1, "EUR")
    assert journal.owed() == []
    paid(journal)  # it works again by itself


def test_a_completion_that_could_not_be_written_is_not_on_the_disk_later(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A failed sync leaves it open whether the bytes arrived: the file is rewritten from what is known, without them."""
    journal = opened(tmp_path)
    key = journal.begin("pay", 1234, "EUR").key
    journal.authorised(key, "A1")

    def failing(handle: int) -> None:
        raise OSError(5, "Input/output error")

    with monkeypatch.context() as patch:
        patch.setattr("os.fdatasync", failing)
        with pytest.raises(JournalError):
            journal.completed(key)
    assert journal.entry(key).mark is Mark.AUTHORISED  # type: ignore[union-attr]
    assert [owed.what for owed in again(journal, tmp_path).owed()] == [Owing.REVERSE]


def test_a_completion_that_counts_anyway_is_owed_although_it_raises(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    journal = opened(tmp_path)
    key = journal.begin("pay", 1234, "EUR").key
    journal.authorised(key, "A1")
    with monkeypatch.context() as patch:
        patch.setattr("os.pwrite", lambda *_: (_ for _ in ()).throw(OSError(5, "I/O")))
        with pytest.raises(JournalError):
            journal.completed(key, force=True)
        journal.reversing(key, "aborted", "too late")
    assert [owed.what for owed in journal.owed()] == [Owing.CAPTURE]


def test_a_damaged_middle_is_said_and_the_rest_is_used(tmp_path: Path) -> None:
    journal = opened(tmp_path)
    for _ in range(3):
        paid(journal)
    journal.close()
    path = tmp_path / "journal"
    data = path.read_bytes()
    where = data.index(b"authorised")
    path.write_bytes(data[:where] + b"X" + data[where + 1 :])
    journal = opened(tmp_path)
    assert journal.damaged == 1
    assert journal.period().count == 3


def test_out_of_order_is_refused(tmp_path: Path) -> None:
    journal = opened(tmp_path)
    key = journal.begin("pay", 1, "EUR").key
    with pytest.raises(JournalError, match="out of order"):
        journal.completed(key)
    journal.refused(key, "nobody")
    journal.reversing(key, "aborted", "late")
    assert journal.owed() == []


def test_nothing_in_it_names_a_person(tmp_path: Path) -> None:
    journal = opened(tmp_path)
    paid(journal)
    journal.close()
    text = (tmp_path / "journal").read_bytes()
    assert not any(word in text for word in (b"name", b"person", b"palm", b"signature", b"account"))


@settings(max_examples=25, deadline=None)
@given(cut=st.integers(0, 4000))
def test_a_file_cut_off_anywhere_is_a_state_that_was(tmp_path_factory: pytest.TempPathFactory, cut: int) -> None:
    folder = tmp_path_factory.mktemp("journal")
    journal = opened(folder)
    for _ in range(2):
        paid(journal)
    journal.close()
    path = folder / "journal"
    data = path.read_bytes().rstrip(b"\0")
    path.write_bytes(data[: min(cut, len(data))])
    journal = opened(folder)
    assert journal.damaged == 0
    assert len(journal.owed()) <= 1
    standing = [slip.amount_minor for slip in journal.slips() if not slip.undone]
    assert sum(standing) == journal.period().amount_minor
    journal.close()


CHILD = """
import os, signal, sys
from pathlib import Path
from terminal.journal import Journal
folder, step = Path(sys.argv[1]), sys.argv[2]
journal = Journal(folder)
journal.open()
def done(name):
    if name == step:
        os.kill(os.getpid(), signal.SIGKILL)
entry = journal.begin("pay", 1234, "EUR")
done("begin")
journal.authorised(entry.key, "A1")
done("authorised")
journal.completed(entry.key)
done("completed")
journal.settled(entry.key)
done("settled")
"""


@pytest.mark.parametrize("step", KILL_STEPS)
def test_a_process_that_is_killed_leaves_what_it_had_written(tmp_path: Path, step: str) -> None:
    done = subprocess.run([sys.executable, "-c", CHILD, str(tmp_path), step], timeout=60, check=False)
    assert done.returncode == -signal.SIGKILL
    journal = opened(tmp_path)
    owed = {"begin": [Owing.REVERSE], "authorised": [Owing.REVERSE], "completed": [Owing.CAPTURE], "settled": []}[step]
    assert [each.what for each in journal.owed()] == owed
    assert journal.damaged == 0
