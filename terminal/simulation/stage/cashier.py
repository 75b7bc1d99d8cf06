"""The cashier: one ZVT register with a two-line display, and the places at which a script may pull somebody's plug."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

from terminal.register.serial_line import SerialLine
from terminal.register.till import RegisterResult, TillJournal, Verdict
from terminal.register.till.zvt_codec import Status
from terminal.register.till.zvt_register import OK, ZvtRegister
from terminal.simulation.stage.reckoning import Rung

COMPLETION = b"\x10\x02\x06\x0f"
"""How a serial frame with the completion (06 0F) begins."""
COLUMNS = 20
REGISTER_TRIES = 5

SAID = {
    Verdict.DONE: "paid", Verdict.DECLINED: "declined", Verdict.ABORTED: "aborted", Verdict.BUSY: "terminal is busy",
    Verdict.FAILED: "not paid", Verdict.UNKNOWN: "unclear: ask again",
}  # fmt: skip


def in_words(verdict: Verdict, text: str, learnt_later: bool) -> str:
    """How a request ended, for a table: where it was not paid for an unusual reason, what the terminal said of it."""
    said = text.rstrip(".") if text and not learnt_later and verdict in (Verdict.ABORTED, Verdict.FAILED) else SAID[verdict]
    return said + (", asked afterwards" if learnt_later else "")


def rung(entries: Sequence[Mapping[str, Any]]) -> list[Rung]:
    """The register's journal as purchases, oldest first. One that was asked and has not ended is unclear."""
    out: list[Rung] = []
    for entry in entries:
        if entry.get("request") != "pay":
            continue
        at = datetime.fromisoformat(entry["at"]).astimezone().strftime("%H:%M:%S")
        if entry["event"] == "asked":
            out.append(Rung(at, int(entry["amount_minor"]), None, "under way"))
        elif entry["event"] == "ended" and out:
            verdict = Verdict(entry["verdict"])
            paid = {Verdict.DONE: True, Verdict.UNKNOWN: None}.get(verdict, False)
            text = in_words(verdict, str(entry.get("text") or ""), bool(entry.get("learnt_later")))
            amount = int(entry["amount_minor"]) if paid else out[-1].amount_minor
            out[-1] = Rung(out[-1].at, amount, paid, text, entry.get("receipt") if paid else None)
    return out


class Cashier:
    """`before_reply` is called when the status (04 0F) is here and not yet acknowledged; True: the register vanishes without a word.

    `at_completion` is called as the completion (06 0F) comes in, before the register answers it. Both are called in the event loop.
    """

    def __init__(self, port: str, journal: Path, on_end: Callable[[RegisterResult], None] | None = None) -> None:
        self.before_reply: Callable[[Status], bool] | None = None
        self.at_completion: Callable[[], None] | None = None
        self._journal = TillJournal(journal)
        self._on_end = on_end
        self._register = ZvtRegister(
            SerialLine(port), journal=self._journal, answer_status=self._answer, display=self._shown, tap=self._tap
        )
        self._lines = ("palm till", "please wait")
        self._task: asyncio.Task[RegisterResult] | None = None
        self._tail = b""

    @property
    def display(self) -> tuple[str, str]:
        """Two lines of COLUMNS letters at most."""
        return self._lines

    @property
    def busy(self) -> bool:
        """A request is under way."""
        return self._task is not None and not self._task.done()

    @property
    def rung(self) -> list[Rung]:
        """What the register's own journal says, oldest first."""
        return rung(self._journal.entries)

    @property
    def last_text(self) -> str:
        """Second line of the display."""
        return self._lines[1]

    async def open(self) -> None:
        """Open the port."""
        await self._register.__aenter__()

    async def register(self) -> None:
        """Log on at the terminal (06 00), trying a few times. Raises ConnectionError."""
        for _ in range(REGISTER_TRIES):
            if (await self._register.register()).done:
                self._lines = ("ready", "")
                return
        raise ConnectionError("The terminal does not answer the register's registration; its log says why.")

    async def close(self) -> None:
        """Stop what is under way and let go of the port."""
        if self._task is not None and not self._task.done():
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        await self._register.__aexit__()

    def begin(self, amount_minor: int) -> asyncio.Task[RegisterResult]:
        """Ask for money; the task ends when the register knows how it ended."""
        self._lines = (f"TOTAL{amount_minor // 100:>{COLUMNS - 8}}.{amount_minor % 100:02d}", "please wait")
        self._task = asyncio.create_task(self._pay(amount_minor))
        return self._task

    async def _pay(self, amount_minor: int) -> RegisterResult:
        result = await self._register.pay(amount_minor)
        self._lines = (self._lines[0], (SAID[result.verdict] if result.done or not result.text else result.text)[: 2 * COLUMNS])
        if self._on_end is not None:
            self._on_end(result)
        return result

    async def quiet(self, deadline_s: float) -> None:
        """Wait until nothing is under way, or for so long."""
        if self._task is not None:
            await asyncio.wait({self._task}, timeout=deadline_s)

    async def abort(self) -> bool:
        """Press stop; True where the terminal stops."""
        return await self._register.abort()

    def _shown(self, text: str) -> None:
        self._lines = (self._lines[0], text)

    def _answer(self, status: Status) -> bytes | None:
        if self.before_reply is not None and self.before_reply(status):
            return None
        return OK

    def _tap(self, direction: Literal["in", "out", "note"], data: bytes | str) -> None:
        if direction != "in" or not isinstance(data, bytes):
            return
        seen = self._tail + data  # a frame may come in pieces
        self._tail = seen[-len(COMPLETION) + 1 :]
        if self.at_completion is not None and COMPLETION in seen:
            self.at_completion()
