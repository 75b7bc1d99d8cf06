"""A file of records that survives a power cut at any byte: checksummed lines in space that was taken beforehand.

A line is `crc32 number json`; the checksum is over `number json`. The file is made full of zeros, so an append neither grows it nor
needs free space: a disk that fills up during a purchase takes nothing away from that purchase. Every append is synced before it
returns. Rewriting goes to a second file that takes the first one's name when it is on the disk, and the folder is synced too.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import logging
import os
import re
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

log = logging.getLogger(__name__)

SPACE_BYTES_MIN = 512 * 1024
"""Taken at once; about a thousand purchases between two rewritings."""
SPACE_BYTES_MAX = 64 * 1024 * 1024
"""A journal larger than this is a fault, not a journal."""
LINE_BYTES_MAX = 4096
HEAD_BYTES = 9  # eight hex digits and a blank

Record = dict[str, Any]
_HEAD = re.compile(rb"(?=[0-9a-f]{8} \d+ \{)")  # where a line may begin


class JournalError(OSError):
    """The journal can't be used or can't be written; the sentence says what to do next."""


@dataclass(frozen=True, slots=True)
class Reading:
    """What was found in a file. `torn`: the last line was cut off by a power cut. `damaged`: lines in the middle can't be read."""

    records: tuple[Record, ...]
    last_number: int = 0
    torn: bool = False
    damaged: int = 0


def encode(number: int, record: Record) -> bytes:
    """One line. Raises JournalError when it is longer than LINE_BYTES_MAX."""
    body = f"{number} {json.dumps(record, separators=(',', ':'), sort_keys=True)}".encode()
    line = b"%08x %s\n" % (zlib.crc32(body), body)
    if len(line) > LINE_BYTES_MAX:
        raise JournalError(f"a journal record of {len(line)} bytes is longer than {LINE_BYTES_MAX}; report this to the makers")
    return line


def _decode(line: bytes) -> tuple[int, Record] | None:
    """(number, record), or None where the checksum or the form is wrong."""
    try:
        if len(line) > LINE_BYTES_MAX or line[HEAD_BYTES - 1 : HEAD_BYTES] != b" ":
            return None
        # Compared as text: an upper-case digit has the same value, but is a byte gone wrong.
        if line[: HEAD_BYTES - 1] != b"%08x" % zlib.crc32(line[HEAD_BYTES:]):
            return None
        number, _, text = line[HEAD_BYTES:].partition(b" ")
        record = json.loads(text)
        return (int(number), record) if isinstance(record, dict) else None
    except (ValueError, RecursionError):
        return None


def _glued(line: bytes) -> tuple[int, Record] | None:
    """The whole record behind one that can't be read, where the end of line between them went wrong."""
    return next((found for start in _HEAD.finditer(line, 1) if (found := _decode(line[start.start() :])) is not None), None)


def decode(data: bytes) -> Reading:
    """All records that are whole, in order. Never raises: what can't be read is counted.

    What follows the last whole line is a torn write: it was never promised. An unreadable line that has a whole one after it was
    promised once, so it counts as damage.
    """
    records: list[Record] = []
    last, gaps, unread = 0, 0, 0
    for line in data.replace(b"\0", b"\n").split(b"\n"):
        if not line:
            continue
        found = _decode(line)
        if found is None:
            unread += 1
            found = _glued(line)
        if found is None:
            continue
        number, record = found
        if number <= last:  # an old line that a rewriting should have taken away: not newer than what is known
            unread += 1
            continue
        if unread or (last and number != last + 1):
            gaps += 1
        records.append(record)
        last, unread = number, 0
    return Reading(tuple(records), last, torn=unread > 0, damaged=gaps)


def sync_folder(folder: Path) -> None:
    """A new name in a folder is on the disk only after this."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _sentence(doing: str, path: Path, error: OSError) -> str:
    return f"{path}: can't be {doing} ({error.strerror or error}). Look at the data partition: full, read-only or worn out."


class RecordFile:
    """One journal file with one writer. Not thread-safe; the journal above it is."""

    def __init__(self, folder: Path, name: str = "journal") -> None:
        self.folder = folder
        self.path = folder / name
        self._spare = folder / f"{name}.new"
        self._damaged = folder / f"{name}.damaged"
        self._lock_path = folder / f"{name}.lock"
        self._handle = -1
        self._lock = -1
        self._end = 0
        self._space = 0
        self._number = 0
        self.sound = False
        """False while an append would not be safe: nothing was rewritten since the last failure."""

    def open(self) -> Reading:
        """Claim the file and read it; `rewrite` must follow before the first append. Raises JournalError."""
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            self._lock = os.open(self._lock_path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise JournalError(_sentence("opened", self.path, error)) from None
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            self.close()
            raise JournalError(
                f"{self.path}: another terminal is using this journal. Stop it, or give this one its own [journal] folder."
            ) from None
        try:
            size = self.path.stat().st_size if self.path.exists() else 0
            if size > SPACE_BYTES_MAX:
                raise JournalError(f"{self.path}: {size} bytes are too many for a journal. Move it away and report it.")
            data = self.path.read_bytes() if size else b""
            reading = decode(data)
            if reading.damaged:
                # Kept for whoever has to compare it with the service's ledger; the newest one only, so that it can't fill the disk.
                self._damaged.write_bytes(data)
                log.error("journal damaged places=%d kept=%s", reading.damaged, self._damaged)
        except OSError as error:
            self.close()
            if isinstance(error, JournalError):
                raise
            raise JournalError(_sentence("read", self.path, error)) from None
        self._number = reading.last_number
        return reading

    def close(self) -> None:
        """Give the file back; harmless when closed."""
        for handle in (self._handle, self._lock):
            if handle >= 0:
                os.close(handle)
        self._handle = self._lock = -1
        self.sound = False

    def room_for(self, count: int) -> bool:
        """Whether `count` more lines of full length fit without a rewriting."""
        return self.sound and self._end + count * LINE_BYTES_MAX <= self._space

    def append(self, record: Record) -> None:
        """Write one record and sync it. Raises JournalError; then the record does not count, and `sound` is False."""
        if not self.sound:
            raise JournalError(f"{self.path}: not usable after a failed write")
        line = encode(self._number + 1, record)
        if self._end + len(line) > self._space:
            raise JournalError(f"{self.path}: full; it must be rewritten first")
        try:
            self._write(self._handle, line, self._end)
            os.fdatasync(self._handle)
        except OSError as error:
            # After a failed sync nobody knows what is on the disk: this file is not trusted again.
            self.sound = False
            raise JournalError(_sentence("written", self.path, error)) from None
        self._end += len(line)
        self._number += 1

    def rewrite(self, records: Iterable[Record]) -> None:
        """Replace everything by `records`, in a new file that is whole before it takes the name. Raises JournalError."""
        lines = [encode(number, record) for number, record in enumerate(records, self._number + 1)]
        data = b"".join(lines)
        space = min(max(SPACE_BYTES_MIN, 2 * len(data)), SPACE_BYTES_MAX)
        if len(data) > space:
            raise JournalError(f"{self.path}: {len(data)} bytes are too many for a journal. Lower [journal] keep_days.")
        handle = -1
        try:
            handle = os.open(self._spare, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
            self._write(handle, data + bytes(space - len(data)), 0)
            os.fsync(handle)
            self._spare.rename(self.path)
            sync_folder(self.folder)
        except OSError as error:
            if handle >= 0:
                os.close(handle)
            with contextlib.suppress(OSError):
                self._spare.unlink(missing_ok=True)
            self.sound = False
            raise JournalError(_sentence("rewritten", self.path, error)) from None
        if self._handle >= 0:
            os.close(self._handle)
        self._handle, self._end, self._space, self.sound = handle, len(data), space, True
        self._number += len(lines)

    @staticmethod
    def _write(handle: int, data: bytes, at: int) -> None:
        """All of it: a system call may write less than it was given."""
        view = memoryview(data)
        while view:
            written = os.pwrite(handle, view, at)
            if written == 0:
                raise OSError(28, os.strerror(28))
            view, at = view[written:], at + written
