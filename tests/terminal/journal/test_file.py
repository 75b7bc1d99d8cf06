"""Records survive a power cut at any byte, a torn write, damage, a full disk; and there is one writer."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from terminal.journal import file as files
from terminal.journal.file import JournalError, RecordFile, decode, encode


def lines(count: int) -> list[bytes]:
    return [encode(number, {"n": number, "text": "x" * number}) for number in range(1, count + 1)]


def test_what_was_appended_is_read(tmp_path: Path) -> None:
    file = RecordFile(tmp_path)
    assert file.open().records == ()
    file.rewrite([])
    for number in range(5):
        file.append({"n": number})
    file.close()
    reading = RecordFile(tmp_path).open()
    assert [record["n"] for record in reading.records] == [0, 1, 2, 3, 4]
    assert not reading.torn
    assert not reading.damaged


@given(cut=st.integers(0, 60), rest=st.sampled_from([b"", b"\0" * 40, b"\xff" * 40]))
def test_a_last_record_cut_anywhere_is_dropped_and_all_before_it_kept(cut: int, rest: bytes) -> None:
    whole = lines(4)
    last = whole[-1]
    cut = min(cut, len(last) - 2)
    reading = decode(b"".join(whole[:-1]) + last[:cut] + rest)
    assert [record["n"] for record in reading.records] == [1, 2, 3]
    assert not reading.damaged


@given(at=st.integers(0, 10_000), flip=st.integers(1, 255))
@example(at=799, flip=1)  # the end of a line: two records become one line
@example(at=0, flip=32)  # the case of a hexadecimal digit of the checksum
def test_a_byte_gone_wrong_in_the_middle_is_noticed_and_costs_one_record(at: int, flip: int) -> None:
    whole = lines(6)
    data = bytearray(b"".join(whole[:-1]))
    data[at % len(data)] ^= flip
    reading = decode(bytes(data) + whole[-1])
    assert reading.damaged == 1
    assert len(reading.records) >= 4
    assert reading.records[-1]["n"] == 6


@given(st.binary(max_size=400))
def test_noise_is_never_a_record(data: bytes) -> None:
    assert decode(data).records == ()


@given(st.binary(max_size=200), st.integers(0, 5))
@settings(max_examples=60)
def test_noise_after_records_costs_none(noise: bytes, count: int) -> None:
    assert len(decode(b"".join(lines(count)) + noise).records) == count


def test_two_writers_are_one_too_many(tmp_path: Path) -> None:
    first = RecordFile(tmp_path)
    first.open()
    with pytest.raises(JournalError, match="another terminal is using"):
        RecordFile(tmp_path).open()
    first.close()
    RecordFile(tmp_path).open()


def test_a_damaged_file_is_kept_for_a_person(tmp_path: Path) -> None:
    (tmp_path / "journal").write_bytes(b"".join([*lines(2)[:1], b"rubbish\n", lines(2)[1]]))
    file = RecordFile(tmp_path)
    assert file.open().damaged == 1
    assert b"rubbish" in (tmp_path / "journal.damaged").read_bytes()


def test_space_is_taken_beforehand(tmp_path: Path) -> None:
    file = RecordFile(tmp_path)
    file.open()
    file.rewrite([{"n": 1}])
    before = os.stat(file.path).st_size
    for number in range(50):
        file.append({"n": number})
    assert os.stat(file.path).st_size == before
    assert os.stat(file.path).st_blocks * 512 >= before


def test_everything_is_synced_before_it_counts_and_the_new_name_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a power cut takes back is what was not synced: the record before `append` returns, file and folder before `rewrite` does."""
    done: list[str] = []
    for name in ("fsync", "fdatasync", "pwrite", "replace", "rename"):
        real = getattr(os, name)

        def told(*arguments: object, name: str = name, real: Callable[..., object] = real) -> object:
            on = arguments[0]
            folder = isinstance(on, int) and stat.S_ISDIR(os.fstat(on).st_mode)
            done.append(f"{name} folder" if folder else name)
            return real(*arguments)

        monkeypatch.setattr(f"os.{name}", told)
    file = RecordFile(tmp_path)
    file.open()
    file.rewrite([{"n": 1}])
    assert done == ["pwrite", "fsync", "rename", "fsync folder"]
    done.clear()
    file.append({"n": 2})
    assert done == ["pwrite", "fdatasync"]
    file.close()


class FullDisk:
    """Writes fail from the given call on, after a part of the bytes."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, after: int = 0, part: int = 7) -> None:
        self.left, self.part, self.real = after, part, os.pwrite
        monkeypatch.setattr("os.pwrite", self)

    def __call__(self, handle: int, data: bytes, at: int) -> int:
        if self.left > 0:
            self.left -= 1
            return self.real(handle, data, at)
        if self.part:
            part, self.part = self.part, 0
            return self.real(handle, data[:part], at)
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_a_failed_append_leaves_what_was_there_and_trusts_the_file_no_more(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = RecordFile(tmp_path)
    file.open()
    file.rewrite([{"n": 1}])
    with monkeypatch.context() as patch:
        FullDisk(patch)
        with pytest.raises(JournalError, match="full, read-only or worn out"):
            file.append({"n": 2})
    assert not file.sound
    with pytest.raises(JournalError, match="not usable"):
        file.append({"n": 3})
    file.rewrite([{"n": 1}])
    file.append({"n": 4})
    file.close()
    assert [record["n"] for record in RecordFile(tmp_path).open().records] == [1, 4]


def test_a_failed_rewriting_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = RecordFile(tmp_path)
    file.open()
    file.rewrite([{"n": 1}])
    with monkeypatch.context() as patch:
        FullDisk(patch)
        with pytest.raises(JournalError, match="can't be rewritten"):
            file.rewrite([{"n": 9}])
    file.close()
    assert [record["n"] for record in RecordFile(tmp_path).open().records] == [1]
    assert not (tmp_path / "journal.new").exists()


def test_a_record_that_is_too_long_is_refused(tmp_path: Path) -> None:
    with pytest.raises(JournalError, match="longer than"):
        encode(1, {"text": "x" * files.LINE_BYTES_MAX})


def test_a_folder_that_cannot_be_is_said_in_words(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(JournalError, match="Look at the data partition"):
        RecordFile(tmp_path / "file" / "folder").open()
