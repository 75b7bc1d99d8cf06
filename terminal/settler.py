"""Pays the identity service what the journal owes it: at once, again with growing pauses, and before the next purchase."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import time
from collections.abc import Callable

from terminal.journal import End, Journal, Owed
from terminal.service import Link, ServiceLost, Settlement, settle

log = logging.getLogger(__name__)

PAUSE_MIN_S = 0.5
PAUSE_FACTOR = 2.0
JITTER = 0.25
RESERVATION_CHECK_S = 60.0
STOP_PATIENCE_S = 2.0
"""For debts that could be paid at once when the terminal stops; the others stand in the journal."""


class Settler:
    """`start`, then `kick` whenever something may be owed; `paid` waits for the end of it."""

    def __init__(self, journal: Journal, link: Link, reservation_hours: float, changed: Callable[[], None]) -> None:
        self._journal, self._link, self._changed = journal, link, changed
        self._reservation_s = reservation_hours * 3600
        self._kicked = asyncio.Event()
        self._clear = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self.conflicts = 0
        if not journal.owed():
            self._clear.set()

    @property
    def owes(self) -> int:
        """How many debts there are."""
        return len(self._journal.owed())

    def start(self) -> None:
        """Settle from now on."""
        self._task = asyncio.create_task(self._run(), name="settler")
        self.kick()

    async def stop(self) -> None:
        """A last try, then stop; harmless when stopped."""
        if self._task is None:
            return
        if self._link.reachable and self.owes:
            await self.paid(STOP_PATIENCE_S)
        self._task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._task
        self._task = None

    def kick(self) -> None:
        """Something is owed, or the service is back: a pause between tries is cut short."""
        if self._journal.owed():
            self._clear.clear()
        self._kicked.set()

    async def paid(self, deadline_s: float) -> bool:
        """Whether nothing is owed, after waiting for it for at most this long."""
        self.kick()
        if self._clear.is_set():
            return True
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(deadline_s):
                await self._clear.wait()
        return self._clear.is_set()

    async def _run(self) -> None:
        # asyncio.timeout, not wait_for: before Python 3.12 the latter can lose a cancellation, and this would never stop.
        pause_s = PAUSE_MIN_S
        while True:
            wait_s = pause_s * (1 + JITTER * random.random()) if self._journal.owed() else RESERVATION_CHECK_S
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(wait_s):
                    await self._kicked.wait()
            self._kicked.clear()
            await self._release_old()
            try:
                await self._pay_all()
                pause_s = PAUSE_MIN_S
            except ServiceLost as error:
                log.warning("settling waits debts=%d why=%s", self.owes, error)
                pause_s = min(pause_s * PAUSE_FACTOR, self._link.options.backoff_max_s)
            except Exception:
                log.exception("settling failed")
                pause_s = min(pause_s * PAUSE_FACTOR, self._link.options.backoff_max_s)

    async def _pay_all(self) -> None:
        """Oldest first; the first that can't be paid ends the round. Raises ServiceLost."""
        while debts := self._journal.owed():
            await self._pay(debts[0])
        if not self._clear.is_set():
            self._clear.set()
            self._changed()

    async def _pay(self, debt: Owed) -> None:
        answer = await settle(self._link, debt.what.value, debt.key, debt.amount_minor, debt.undo_key, debt.why)
        end = None
        if answer is Settlement.CONFLICT:
            self.conflicts += 1
            end = End.CONFLICT
            log.error(
                "settling conflict what=%s key=%s: compare this purchase with the service's ledger", debt.what.value, debt.key
            )
        await asyncio.to_thread(self._journal.settled, debt.key, end)
        log.info("settled what=%s key=%s amount_minor=%d", debt.what.value, debt.key, debt.amount_minor)

    async def _release_old(self) -> None:
        """A reservation that nobody booked in time is given back."""
        oldest = time.time() - self._reservation_s
        for entry in self._journal.reservations():
            if entry.began_unix_s < oldest and entry.follow is None:
                log.warning("reservation receipt=%d is too old: it is given back", entry.receipt)
                await asyncio.to_thread(self._journal.reversing, entry.key, "", "reservation too old")
                self._clear.clear()
