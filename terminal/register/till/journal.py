"""A register's own book: one JSON object a line, written and fsynced before the register goes on."""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from terminal.register.till.result import RegisterResult

SIGNS = {"pay": 1, "book": 1, "release_part": 1, "refund": -1, "reverse": -1}  # how a finished request changes what was taken


class TillJournal:
    """What the register asked for, and what it believes came of it. Without a path it is kept in memory only."""

    def __init__(self, path: Path | None = None) -> None:
        self._path = path
        self._entries: list[dict[str, Any]] = []
        if path is not None and path.exists():
            for line in path.read_text(encoding="utf-8").splitlines():
                try:
                    self._entries.append(json.loads(line))
                except ValueError:
                    continue  # the last line of a register that lost its power

    @property
    def entries(self) -> list[dict[str, Any]]:
        """All that was written, oldest first."""
        return list(self._entries)

    def asked(self, request: str, amount_minor: int, before: int | None) -> None:
        """A request is about to leave; `before` is the last receipt number known."""
        self._write({"event": "asked", "request": request, "amount_minor": amount_minor, "before": before})

    def ended(self, result: RegisterResult) -> None:
        """A request has ended, or its end isn't known yet."""
        self._write({"event": "ended", **result.as_dict()})

    def seen(self, receipt: int) -> None:
        """The last receipt number of the terminal, where it was learnt outside of a request."""
        self._write({"event": "seen", "receipt": receipt})

    @property
    def last_receipt(self) -> int | None:
        """The newest receipt number that the register has seen."""
        return next((e["receipt"] for e in reversed(self._entries) if e.get("receipt") is not None), None)

    @property
    def unresolved(self) -> dict[str, Any] | None:
        """The request whose end isn't known: asked, but not ended other than unknown."""
        entry: dict[str, Any]
        for entry in reversed(self._entries):
            if entry["event"] == "asked":
                return entry
            if entry["event"] == "ended" and entry["verdict"] != "unknown":
                return None
        return None

    @property
    def taken_minor(self) -> int:
        """What the register believes it has taken, in minor units."""
        return sum(
            SIGNS.get(e["request"], 0) * int(e["amount_minor"])
            for e in self._entries
            if e["event"] == "ended" and e["verdict"] == "done"
        )

    def _write(self, entry: dict[str, Any]) -> None:
        entry = {"at": datetime.now(UTC).isoformat(timespec="milliseconds"), **entry}
        self._entries.append(entry)
        if self._path is None:
            return
        with self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(entry) + "\n")
            file.flush()
            os.fsync(file.fileno())
