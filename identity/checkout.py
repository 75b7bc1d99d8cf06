"""The Checkout service: one stream is one purchase.

Begin, then probes until evidence decides, then the account is asked, and `Authorised` goes out on the same stream. Capture, Reverse and
Void may come on this stream or on any later one: the key belongs to the purchase. Every message may be repeated. A stream that ends
leaves an authorisation open; the till settles it later. Probes live in this stream's memory and are dropped with the decision.
"""

from __future__ import annotations

import asyncio
import logging
import re
import time
from collections.abc import AsyncIterator
from typing import Any

import grpc

from identity import roles
from identity.evidence import Evidence, More, Nobody, Sure, Verdict
from identity.payments import Denied, Entry, Wanted, Why
from identity.people import Known
from identity.signatures import BadProbe, Look, parse
from identity.state import State
from proto.palmpay.v1 import checkout_pb2 as pb
from proto.palmpay.v1 import checkout_pb2_grpc

log = logging.getLogger(__name__)

KEY = re.compile(r"[0-9a-f]{32}")
CURRENCY = re.compile(r"[A-Z]{3}")
AMOUNT_MAX_MINOR = 10**10
"""An amount above this is a mistake, whatever the currency."""

PATIENCE_DEFAULT_S = 30.0
"""How long probes are waited for where the till did not say."""

IDLE_MAX_S = 300.0
"""A stream on which nothing comes for this long is ended; what it authorised stays open."""

WAITING_MESSAGES_MAX = 16
"""Messages read ahead of what is worked on; more stay in the network (flow control)."""

LINGER_MAX_S = 5.0
"""A stream that is refused at the door is ended by the service after this, if the till has not done so."""

MESSAGES_MAX = 4_000
"""Messages of one stream; the largest honest purchase has a few hundred."""

KINDS: dict[int, str] = {
    pb.PURCHASE_KIND_PAY: "pay",
    pb.PURCHASE_KIND_RESERVE: "reserve",
    pb.PURCHASE_KIND_REFUND: "refund",
    pb.PURCHASE_KIND_FIND: "find",
}
REASONS: dict[Why, pb.RefusalReason.ValueType] = {
    Why.KEY_SETTLED: pb.REFUSAL_REASON_KEY_SETTLED,
    Why.BAD_REQUEST: pb.REFUSAL_REASON_BAD_REQUEST,
    Why.NOT_ALLOWED: pb.REFUSAL_REASON_NOT_ALLOWED,
}

Context = grpc.aio.ServicerContext[pb.TillMessage, pb.ServiceMessage]


class Refusal(Exception):
    """What is asked can't be done; answered as Refused."""

    def __init__(self, reason: pb.RefusalReason.ValueType, detail: str) -> None:
        super().__init__(detail)
        self.reason, self.detail = reason, detail


class Checkout(checkout_pb2_grpc.CheckoutServicer):
    """The service; one `_Purchase` for each stream."""

    def __init__(self, state: State) -> None:
        self._state = state

    async def Purchase(self, request_iterator: AsyncIterator[pb.TillMessage], context: Context) -> None:  # type: ignore[override]
        """Serve one stream until the till ends it."""
        caller, state = roles.peer(context), self._state
        refusal = None
        if caller.role != "till" or caller.name in state.config.tills.refused:
            why = (
                "this till was locked out by the operator"
                if caller.role == "till"
                else "a till's certificate (palmpay://till/NAME) is needed"
            )
            refusal = _refused("", pb.REFUSAL_REASON_NOT_ALLOWED, why)
        elif state.streams_of[caller.name] >= state.config.service.till_streams_max:
            refusal = _refused("", pb.REFUSAL_REASON_BUSY, "too many purchases of this till at once; end one of them first")
        if refusal is not None:
            await context.write(refusal)
            await _linger(request_iterator)
            return
        state.streams_of[caller.name] += 1
        state.metrics.streams.inc()
        stream = _Purchase(state, caller.name, context)
        try:
            await stream.serve(request_iterator)
        finally:
            stream.evidence.clear()
            state.metrics.streams.dec()
            state.streams_of[caller.name] -= 1
            if not state.streams_of[caller.name]:
                del state.streams_of[caller.name]


class _Purchase:
    """One stream."""

    def __init__(self, state: State, till: str, context: Context) -> None:
        self._state, self._till, self._context = state, till, context
        self.evidence = Evidence(state.gallery, state.calibration, state.rules)
        self._wanted: Wanted | None = None
        self._looking = False
        self._deadline_s = 0.0  # monotonic; of the till's patience, while looking
        self._first_probe_s: float | None = None
        self._refused: pb.ServiceMessage | None = None  # how this stream's purchase was refused, to be said again when asked again

    async def serve(self, messages: AsyncIterator[pb.TillMessage]) -> None:
        """Answer messages in their order. A task reads ahead, so that waiting with a deadline never cancels a read."""
        waiting: asyncio.Queue[pb.TillMessage | None] = asyncio.Queue(WAITING_MESSAGES_MAX)

        async def read() -> None:
            try:
                async for message in messages:
                    await waiting.put(message)
            except (grpc.aio.AbortError, grpc.RpcError, OSError) as error:
                log.debug("stream broke till=%s error=%s", self._till, type(error).__name__)
            await waiting.put(None)  # not where this task is cancelled: nobody empties the queue any more

        reader = asyncio.create_task(read())
        try:
            await self._answer(waiting)
        finally:
            reader.cancel()
            await asyncio.gather(reader, return_exceptions=True)

    async def _answer(self, waiting: asyncio.Queue[pb.TillMessage | None]) -> None:
        for _ in range(MESSAGES_MAX):
            patience_s = self._deadline_s - time.monotonic() if self._looking else IDLE_MAX_S
            try:
                message = await asyncio.wait_for(waiting.get(), max(0.0, patience_s))
            except TimeoutError:
                if not self._looking:
                    log.info("stream ended till=%s why=idle", self._till)
                    return
                await self._give_up("the till's patience is over")
                continue
            if message is None:
                return
            try:
                await self._handle(message)
            except Refusal as refusal:
                await self._refuse(_key_of(message) or self._key, refusal.reason, refusal.detail)
            except Denied as denied:
                await self._refuse(_key_of(message) or self._key, REASONS[denied.why], str(denied))
        log.warning("stream ended till=%s why=too many messages", self._till)

    @property
    def _key(self) -> str:
        return self._wanted.purchase_key if self._wanted else ""

    async def _handle(self, message: pb.TillMessage) -> None:
        what = message.WhichOneof("what")
        if what == "begin":
            await self._begin(message.begin)
        elif what == "probe":
            await self._probe(message)
        elif what == "capture":
            await self._capture(message.capture)
        elif what == "reverse":
            await self._reverse(message.reverse)
        elif what == "void":
            await self._void(message.void)
        elif what == "increase":
            await self._increase(message.increase)
        else:  # a newer till's message
            log.debug("message ignored till=%s why=unknown kind", self._till)

    async def _begin(self, begin: pb.Begin) -> None:
        wanted = self._wanted_by(begin)
        if self._wanted is not None and self._wanted != wanted:
            raise Refusal(pb.REFUSAL_REASON_BAD_REQUEST, "begin: one stream is one purchase; open a new stream for another")
        if self._refused is not None:
            await self._context.write(self._refused)
            return
        again = self._wanted is not None
        before = await self._state.books(self._state.payments.known, wanted)
        self._wanted = wanted
        if before is not None:
            self._looking = False
            await self._authorised(before, await self._state.books(self._state.people.holder_of, before.account), None)
            return
        await self._write(pb.ServiceMessage(begun=pb.Begun()))
        if not again:
            patience_s = begin.patience_ms / 1000 or PATIENCE_DEFAULT_S
            self._deadline_s = time.monotonic() + min(patience_s, self._state.config.evidence.patience_max_s)
            self._looking = True

    def _wanted_by(self, begin: pb.Begin) -> Wanted:
        """Check a Begin field by field. Raises Refusal."""
        key = _checked_key("begin.purchase_key", begin.purchase_key)
        if begin.till != self._till:
            raise Refusal(pb.REFUSAL_REASON_NOT_ALLOWED, "begin.till: the name in the till's certificate is expected")
        if begin.kind != pb.PURCHASE_KIND_FIND and not 0 < begin.money.amount_minor <= AMOUNT_MAX_MINOR:
            raise Refusal(pb.REFUSAL_REASON_BAD_REQUEST, f"begin.money.amount_minor: 1 to {AMOUNT_MAX_MINOR} is expected")
        if not CURRENCY.fullmatch(begin.money.currency):
            raise Refusal(pb.REFUSAL_REASON_BAD_REQUEST, "begin.money.currency: three capital letters (ISO 4217) are expected")
        if (kind := KINDS.get(begin.kind)) is None:
            raise Refusal(pb.REFUSAL_REASON_BAD_REQUEST, "begin.kind: pay, reserve, refund or find is expected")
        if begin.model_version != self._state.calibration.model_version:
            raise Refusal(
                pb.REFUSAL_REASON_MODEL,
                f"begin.model_version: this service compares {self._state.calibration.model_version}; update the till",
            )
        return Wanted(key, self._till, kind, begin.money.amount_minor, begin.money.currency)

    async def _probe(self, message: pb.TillMessage) -> None:
        if self._wanted is None:
            raise Refusal(pb.REFUSAL_REASON_BAD_REQUEST, "probe: Begin is expected first")
        if not self._looking:
            return  # was under way when the decision fell
        try:
            look = parse(message.probe, self._state.calibration.dimension)
        except BadProbe as bad:
            raise Refusal(pb.REFUSAL_REASON_BAD_REQUEST, str(bad)) from None
        self._first_probe_s = self._first_probe_s or time.monotonic()
        self._state.metrics.probes.inc()
        verdict = await self._state.searching(self._weigh, look)
        if isinstance(verdict, More):
            await self._write(pb.ServiceMessage(more=pb.More(probes_used=verdict.probes, certainty=verdict.certainty)))
        elif isinstance(verdict, Sure):
            await self._identified(verdict)
        elif isinstance(verdict, Nobody):
            await self._refuse(self._key, pb.REFUSAL_REASON_NOBODY, "the palm is nobody's who is enrolled")
        else:
            await self._give_up("the most probes that one purchase may have were used")

    def _weigh(self, look: Look) -> Verdict:
        self.evidence.add(look)
        return self.evidence.verdict()

    async def _identified(self, sure: Sure) -> None:
        self._stop_looking()
        await self._write(pb.ServiceMessage(identified=pb.Identified()))
        assert self._wanted is not None, "probes are refused before Begin"
        entry, known = await self._state.books(self._ask_account, self._wanted, sure.owner)
        await self._authorised(entry, known, sure)

    def _ask_account(self, wanted: Wanted, person: str) -> tuple[Entry, Known | None]:
        """In the books' thread, so that nobody is blocked or forgotten in between. Raises Refusal, Denied."""
        known = self._state.people.known(person)
        if known is None:  # forgotten a moment ago
            raise Refusal(pb.REFUSAL_REASON_NOBODY, "the palm is nobody's who is enrolled")
        account = known.record.account
        if wanted.kind == "find":  # whoever was let in is let out and pays, blocked since or not
            found = self._state.payments.open_reservation(wanted.till, account)
            if found is None:
                raise Refusal(pb.REFUSAL_REASON_NOTHING_OPEN, "no reservation of this till is open for the palm's owner")
            return found, known
        if known.blocked:
            self._state.payments.refuse(wanted, account, "account blocked")
            raise Refusal(pb.REFUSAL_REASON_ACCOUNT, "the account is blocked")
        if wanted.currency != known.record.currency:
            self._state.payments.refuse(wanted, account, "currency")
            raise Refusal(pb.REFUSAL_REASON_LIMIT, "the account does not have this currency")
        if wanted.amount_minor > known.record.limit_minor:
            self._state.payments.refuse(wanted, account, "limit")
            raise Refusal(pb.REFUSAL_REASON_LIMIT, "the amount is above the account's limit for one purchase")
        entry = self._state.payments.authorise(wanted, account)
        if entry.account != account:  # another stream of this purchase was faster, with another palm: that one pays
            return entry, self._state.people.holder_of(entry.account)
        return entry, known

    async def _authorised(self, entry: Entry, known: Known | None, sure: Sure | None) -> None:
        await self._write(
            pb.ServiceMessage(
                authorised=pb.Authorised(
                    authorisation_code=entry.code,
                    greeting_name=known.record.greeting_name if known else "",
                    amount_minor=entry.amount_minor,
                    currency=entry.currency,
                    probes_used=sure.probes if sure else 0,
                    log10_likelihood_ratio=sure.log10_ratio if sure else 0.0,
                    found_purchase_key=entry.purchase_key if entry.purchase_key != self._key else "",
                )
            )
        )
        self._decided("authorised")
        log.info("authorised till=%s kind=%s probes=%d again=%s", self._till, entry.kind, sure.probes if sure else 0, sure is None)

    async def _capture(self, capture: pb.Capture) -> None:
        key = _checked_key("capture.purchase_key", capture.purchase_key)
        booked = await self._state.books(self._state.payments.capture, key, self._till, capture.amount_minor)
        self._settled("captured")
        await self._write(pb.ServiceMessage(captured=pb.Captured(amount_minor=booked)), key)

    async def _reverse(self, reverse: pb.Reverse) -> None:
        key = _checked_key("reverse.purchase_key", reverse.purchase_key)
        if key == self._key:
            self._stop_looking()
        had = await self._state.books(self._state.payments.reverse, key, self._till, reverse.why)
        self._settled("reversed")
        await self._write(pb.ServiceMessage(reversed=pb.Reversed(had_been_authorised=had)), key)

    async def _void(self, message: pb.Void) -> None:
        key = _checked_key("void.purchase_key", message.purchase_key)
        void_key = _checked_key("void.void_key", message.void_key)
        undone = await self._state.books(self._state.payments.void, key, void_key, self._till, message.amount_minor)
        self._settled("voided")
        await self._write(pb.ServiceMessage(voided=pb.Voided(amount_minor=undone)), key)

    async def _increase(self, message: pb.Increase) -> None:
        key = _checked_key("increase.purchase_key", message.purchase_key)
        if not 0 < message.amount_minor <= AMOUNT_MAX_MINOR:
            raise Refusal(pb.REFUSAL_REASON_BAD_REQUEST, f"increase.amount_minor: 1 to {AMOUNT_MAX_MINOR} is expected")
        held = await self._state.books(self._increase_hold, key, message.amount_minor)
        self._settled("increased")
        await self._write(pb.ServiceMessage(increased=pb.Increased(amount_minor=held)), key)

    def _increase_hold(self, key: str, amount_minor: int) -> int:
        """In the books' thread, so that nobody is blocked or forgotten in between. Raises Refusal, Denied."""
        entry = self._state.payments.reserved(key, self._till)
        known = self._state.people.holder_of(entry.account)
        if known is None or known.blocked:
            raise Refusal(pb.REFUSAL_REASON_ACCOUNT, "the account is blocked, or its owner was forgotten")
        if amount_minor > known.record.limit_minor:
            raise Refusal(pb.REFUSAL_REASON_LIMIT, "the amount is above the account's limit for one purchase")
        return self._state.payments.increase(key, self._till, amount_minor)

    async def _give_up(self, detail: str) -> None:
        await self._refuse(self._key, pb.REFUSAL_REASON_UNSURE, detail)

    async def _refuse(self, key: str, reason: pb.RefusalReason.ValueType, detail: str) -> None:
        if key == self._key:
            self._stop_looking()
        name = pb.RefusalReason.Name(reason).removeprefix("REFUSAL_REASON_").lower()
        self._decided(name)
        # A stranger's visit is not even a line in the log: it is counted, and that is all.
        level = logging.DEBUG if reason in (pb.REFUSAL_REASON_NOBODY, pb.REFUSAL_REASON_UNSURE) else logging.INFO
        log.log(level, "refused till=%s reason=%s detail=%r", self._till, name, detail)
        refused = _refused(key, reason, detail)
        if key and key == self._key:
            self._refused = self._refused or refused
        await self._context.write(refused)

    def _stop_looking(self) -> None:
        self._looking = False
        self.evidence.clear()

    def _decided(self, outcome: str) -> None:
        self._state.metrics.purchases.labels(outcome).inc()
        if self._first_probe_s is not None:
            self._state.metrics.decision_s.observe(time.monotonic() - self._first_probe_s)
            self._first_probe_s = None

    def _settled(self, how: str) -> None:
        self._state.metrics.settled.labels(how).inc()
        log.info("%s till=%s", how, self._till)

    async def _write(self, message: pb.ServiceMessage, key: str = "") -> None:
        message.purchase_key = key or self._key
        await self._context.write(message)


async def _linger(messages: AsyncIterator[pb.TillMessage]) -> None:
    """Read on for a moment after a refusal at the door: a stream cut at once would reach the till as a broken line, not as the refusal."""

    async def drop() -> None:
        async for _ in messages:
            pass

    dropping = asyncio.create_task(drop())
    await asyncio.wait([dropping], timeout=LINGER_MAX_S)
    dropping.cancel()
    await asyncio.gather(dropping, return_exceptions=True)


def _checked_key(field: str, key: str) -> str:
    if not KEY.fullmatch(key):
        raise Refusal(pb.REFUSAL_REASON_BAD_REQUEST, f"{field}: 32 lower-case hex digits are expected")
    return key


def _key_of(message: pb.TillMessage) -> str:
    """The key that a message names, where it is one; "" for a probe."""
    what = message.WhichOneof("what")
    body: Any = getattr(message, what) if what else None
    key = getattr(body, "purchase_key", "")
    return key if KEY.fullmatch(key) else ""


def _refused(key: str, reason: pb.RefusalReason.ValueType, detail: str) -> pb.ServiceMessage:
    return pb.ServiceMessage(purchase_key=key, refused=pb.Refused(reason=reason, detail=detail))
