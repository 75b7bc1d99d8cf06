"""What looks at a palm without moving money: whose visit ends at a gate, and attended enrolment.

Both wait for a hand with patience, can be aborted, and end in one answer; nothing of them is in the journal, since nothing is owed.
"""

from __future__ import annotations

import asyncio
import logging
import uuid

from terminal import checkout as c
from terminal.checkout import Outcome, Screen
from terminal.config import EnrolmentOptions
from terminal.enrol import Collector
from terminal.palm.types import Guidance, Look
from terminal.sale import Parts
from terminal.service import Enrolling, EnrolmentFailed, PurchaseStream, ServiceLost, enrol
from terminal.service.purchase import Wanted

log = logging.getLogger(__name__)

TOKEN_NOTE_LENGTH_MAX = 40


class Looking:
    """`begin`, then `look`, `guidance` and `feed` until `told` has the outcome; the same as a `Sale` for whoever hands on what is seen."""

    SCREEN = Screen.PRESENT_PALM

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self.told: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        self._timer: asyncio.TimerHandle | None = None

    def begin(self, patience_s: float) -> None:
        """The register has asked."""
        self._parts.display.show(self.SCREEN)
        self._timer = asyncio.get_running_loop().call_later(patience_s, self._end, Outcome.TIMED_OUT)

    def look(self, look: Look) -> None:
        """A look at a palm."""
        raise NotImplementedError

    def guidance(self, word: Guidance) -> None:
        """There is no good look, and this would help."""
        if not self.told.done():
            self._parts.display.show(self.SCREEN, guidance=word.value)

    def feed(self, event: c.Event) -> None:
        """An abort, or a reader that broke."""
        if isinstance(event, c.Stopped):
            self._end(event.outcome)

    def _end(self, outcome: Outcome) -> None:
        if self._timer is not None:
            self._timer.cancel()
        if not self.told.done():
            self.told.set_result(outcome)
            if outcome is not Outcome.APPROVED:
                screen = Screen.CANCELLED if outcome is Outcome.ABORTED else Screen.DECLINED
                self._parts.display.show(screen, outcome=outcome)


class Visit(Looking):
    """Whose open reservation it is; `key` is that of its purchase."""

    def __init__(self, parts: Parts, currency: str) -> None:
        super().__init__(parts)
        self.key = ""
        wanted = Wanted(uuid.uuid4().hex, "find", 0, currency, parts.eyes.model_version, parts.shop.palm_patience_s)
        self._stream = PurchaseStream(parts.link, wanted, self.feed)

    def begin(self, patience_s: float) -> None:
        """See Looking."""
        super().begin(patience_s)
        self._stream.open()

    def look(self, look: Look) -> None:
        """See Looking."""
        if not self.told.done():
            self._stream.probe(look)
            self._parts.display.show(Screen.LOOKING)

    def feed(self, event: c.Event) -> None:
        """What the service says, besides."""
        if isinstance(event, c.More):
            self._parts.display.show(Screen.LOOKING, certainty=event.certainty)
        elif isinstance(event, c.Found):
            self.key = event.key
            self._parts.display.show(Screen.ASKING, certainty=1.0)
            self._end(Outcome.APPROVED)
        elif isinstance(event, c.Refused):
            self._end(event.outcome)
        else:
            super().feed(event)

    def _end(self, outcome: Outcome) -> None:
        self._stream.close()
        super()._end(outcome)


class Attended(Looking):
    """Takes somebody in at the till: `sentence` says how it ended, for the cashier."""

    SCREEN = Screen.ENROL

    def __init__(self, parts: Parts, options: EnrolmentOptions, note: str) -> None:
        super().__init__(parts)
        self._options, self._note = options, note
        self._collector = Collector(options.looks)
        self._asking: asyncio.Task[None] | None = None
        self.sentence = ""

    def look(self, look: Look) -> None:
        """See Looking."""
        if self._asking is not None or self.told.done():
            return
        if self._collector.take(look):
            self._parts.display.show(Screen.ENROL, certainty=len(self._collector.looks) / self._collector.wanted)
        if self._collector.done:
            if self._timer is not None:
                self._timer.cancel()  # the call has a deadline of its own
            self._asking = asyncio.get_running_loop().create_task(self._enrol(), name="enrolment")

    async def _enrol(self) -> None:
        shop, options = self._parts.shop, self._options
        key = uuid.uuid4().hex
        account = self._note[:TOKEN_NOTE_LENGTH_MAX] or key[:12]
        wanted = Enrolling(
            "", f"{options.token_prefix}{account}", options.limit_minor, shop.currency, options.consent_text_version, shop.till, key
        )
        looks, self._collector.looks = self._collector.looks, []  # a palm is not kept longer than its enrolment
        try:
            await enrol(self._parts.link, wanted, looks)
        except (EnrolmentFailed, ServiceLost) as error:
            self.sentence = str(error)
            log.warning("enrolment at the till failed: %s", error)
            self._end(Outcome.NO_SERVICE if isinstance(error, ServiceLost) else Outcome.NOT_SUPPORTED)
            return
        self.sentence = f"Enrolled for account {account}. Nothing was paid."
        log.info("enrolled at the till")
        self._end(Outcome.APPROVED)
        self._parts.display.show(Screen.ENROLLED)

    def feed(self, event: c.Event) -> None:
        """See Looking. Once the service has been asked, what it says counts."""
        if self._asking is None:
            super().feed(event)
