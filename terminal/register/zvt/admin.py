"""The dialogues that no money hangs on: registration, status, end of day, clock, line."""

from __future__ import annotations

from terminal.checkout import Outcome
from terminal.register.currency import numeric
from terminal.register.machine import Answer, Ask, Kind, Rate, Remark
from terminal.register.zvt import bmp, codes, messages, receipts, request, tlv
from terminal.register.zvt.apdu import Apdu, MalformedError
from terminal.register.zvt.registration import NO_VERSION, Registration
from terminal.register.zvt.request import Order
from terminal.register.zvt.steps import Call, Context, Dialogue, Do, RefusedError, Reply, Taken, Tell

READY, OUT_OF_ORDER = 0x00, 0xDF
# What we tell a register that understands TLV (tag 26): the commands that it may send us.
COMMANDS_TOLD = (
    0x0600, 0x0601, 0x0602, 0x0501, 0x0610, 0x0612, 0x0618, 0x0620, 0x0622, 0x0623, 0x0624, 0x0625, 0x0630, 0x0631, 0x0650,
    0x0670, 0x0691, 0x0693, 0x06B0, 0x06E0, 0x0840,
)  # fmt: skip
RATES = {0x00: 9600, 0x01: 19_200, 0x06: 57_600, 0x07: 115_200}
RATE_WAIT_S = 1.5  # the line has to switch within 2 s
DISPLAY_LINES = range(0xF1, 0xF9)


def register(ctx: Context, command: Apdu) -> Dialogue:
    """06 00."""
    rest = request.password(command.data, ctx.till)
    if not rest:
        raise MalformedError("the configuration byte is missing")
    config, rest = rest[0], rest[1:]
    # The currency is two bytes without a tag. Registers that leave it out may still send bitmaps, which begin with 03 or 06.
    currency_sent = len(rest) >= 2 and rest[0] not in (0x03, 0x06)
    if currency_sent:
        currency, rest = bmp.from_bcd(rest[:2]), rest[2:]
        ours = numeric(ctx.till.currency)
        if currency != ours:
            raise CurrencyError(ours)
    said = {f.tag: f.value for f in bmp.decode(rest)}
    container = said.get(0x06)
    listed = tlv.find(container, 0x26) if container else None
    columns = tlv.find(container, 0x12) if container else None
    registration = Registration(
        registered=True,
        config=config,
        currency_sent=currency_sent,
        service=said.get(0x03, b"\x00")[0],
        tlv=container is not None,
        commands=frozenset(_listed(listed)),
        columns=int.from_bytes(columns, "big") if columns else 0,
    )
    return _registered(ctx, registration)


class CurrencyError(RefusedError):
    """A registration in a currency that isn't taken here: 84 1E with result 6F and our own."""

    def __init__(self, ours: int) -> None:
        super().__init__(0x1E, bytes((codes.WRONG_CURRENCY,)) + bmp.bcd(ours, 2))


def _listed(container: bytes | None) -> list[int]:
    return [int.from_bytes(e.value[:2], "big") for e in tlv.decode(container or b"") if e.tag == 0x0A]


def _registered(ctx: Context, registration: Registration) -> Dialogue:
    ctx.registration = registration
    yield Reply()
    data = bmp.encode_field(0x19, bytes((0x00,))) + bmp.encode_field(0x29, bytes.fromhex(ctx.till.terminal_id))
    if registration.currency_sent:
        data += bmp.encode_field(0x49, bmp.bcd(numeric(ctx.till.currency), 2))
    if registration.tlv:
        told = tlv.container(0x26, *(tlv.Tlv(0x0A, c.to_bytes(2, "big")) for c in COMMANDS_TOLD))
        data += bmp.encode_field(0x06, tlv.encode([told]))
    yield Tell(messages.completion(data), last=True)


def log_off(ctx: Context, command: Apdu) -> Dialogue:
    """06 02: as if never registered."""
    ctx.registration = Registration()
    yield Reply()


def status_enquiry(ctx: Context, command: Apdu) -> Dialogue:
    """05 01. The password and all that follows may be left out."""
    service = 0  # not that of the registration, whose bits mean something else
    if command.data:
        rest = request.password(command.data, ctx.till)
        service = {f.tag: f.value for f in bmp.decode(rest)}.get(0x03, b"\x00")[0]
    return _status(ctx, service)


def _status(ctx: Context, service: int) -> Dialogue:
    yield Reply()
    answer: Answer = yield Call(Ask(ctx.next_number(), Kind.STATUS))
    status = READY if answer.outcome is Outcome.APPROVED else OUT_OF_ORDER
    if answer.outcome in (Outcome.OWED, Outcome.BUSY, Outcome.NO_SERVICE):
        status = codes.PLEASE_WAIT
    version = b""
    if not service & NO_VERSION:
        said = codes.text(ctx.till.software)
        version = bytes(0xF0 | int(d) for d in f"{len(said):03d}") + said
    yield Tell(messages.completion(version + bytes((status,))), last=True)


def end_of_day(ctx: Context, command: Apdu) -> Dialogue:
    """06 50."""
    request.password(command.data, ctx.till)
    return _totals(ctx, close=True)


def turnover(ctx: Context, command: Apdu) -> Dialogue:
    """06 10: the same without closing."""
    request.password(command.data, ctx.till)
    return _totals(ctx, close=False)


def _totals(ctx: Context, *, close: bool) -> Dialogue:
    yield Reply()
    number = ctx.next_number()
    answer: Answer = yield Call(Ask(number, Kind.TOTALS, close=close))
    if answer.outcome is not Outcome.APPROVED or answer.totals is None:
        code = messages.result_code(answer, Order(), Kind.TOTALS)
        yield Tell(messages.status_information(ctx, Order(), answer, code))
        yield Tell(messages.abort(code), last=True)
        return
    trace = answer.receipt.trace if answer.receipt else 0
    stamp = (answer.receipt.date[4:], answer.receipt.time) if answer.receipt else ctx.stamp()
    yield Tell(messages.totals_information(ctx, answer.totals, trace, stamp), request.ANSWER_PATIENCE_S)
    if ctx.registration.prints(admin=True):
        for line in receipts.end_of_day(ctx, answer.totals, closed=close):
            reply: Apdu | None = yield Tell(line)
            if reply is None or not reply.is_positive:
                break  # the period is closed whatever the printer does; 04 0F carried the totals
    yield Tell(messages.completion(), last=True)


def reprint(ctx: Context, command: Apdu) -> Dialogue:
    """06 12: the last receipt again; others are not kept here."""
    request.password(command.data, ctx.till)
    return _reprint(ctx)


def _reprint(ctx: Context) -> Dialogue:
    yield Reply()
    answer: Answer = yield Call(Ask(ctx.next_number(), Kind.LAST_RESULT))
    if answer.receipt is None or not ctx.registration.prints():
        yield Tell(messages.abort(codes.NOT_POSSIBLE), last=True)
        return
    for line in receipts.transaction(ctx, answer.receipt, None, copy=True):
        reply: Apdu | None = yield Tell(line)
        if reply is None or not reply.is_positive:
            yield Tell(messages.abort(codes.PRINTER), last=True)
            return
    yield Tell(messages.completion(), last=True)


def diagnosis(ctx: Context, command: Apdu) -> Dialogue:
    """06 70: our clock (04 01), then done."""
    bmp.decode(command.data)
    return _diagnosis(ctx)


def _diagnosis(ctx: Context) -> Dialogue:
    yield Reply()
    year, (date, time) = ctx.year(), ctx.stamp()
    data = bmp.encode_field(0xAA, bytes.fromhex(year[2:] + date)) + bmp.encode_field(0x0C, bytes.fromhex(time))
    yield Tell(Apdu(0x0401, data))
    yield Tell(messages.completion(), last=True)


def initialise(ctx: Context, command: Apdu) -> Dialogue:
    """06 93: nothing has to be fetched here."""
    request.password(command.data, ctx.till)
    return _done(ctx)


def reset(ctx: Context, command: Apdu) -> Dialogue:
    """06 18: whatever was open has been ended by then."""
    return _done(ctx)


def set_clock(ctx: Context, command: Apdu) -> Dialogue:
    """06 91: read and checked, but this terminal's clock comes from the network."""
    rest = request.password(command.data, ctx.till)
    said = {f.tag: bmp.from_bcd(f.value) for f in bmp.decode(rest) if f.tag in (0xAA, 0x0C)}
    if not {0xAA, 0x0C} <= said.keys():
        raise MalformedError("date or time is missing")
    month, day = said[0xAA] // 100 % 100, said[0xAA] % 100
    hour, minute, second = said[0x0C] // 10_000, said[0x0C] // 100 % 100, said[0x0C] % 100
    if not (1 <= month <= 12 and 1 <= day <= 31 and hour < 24 and minute < 60 and second < 60):
        raise RefusedError(codes.BAD_VALUE)
    return _clock_set(ctx, f"{said[0xAA]:06d} {said[0x0C]:06d}")


def _clock_set(ctx: Context, said: str) -> Dialogue:
    yield Do(Remark(f"the register says that it is {said}; the network's time is kept"))
    yield from _done(ctx)


def _done(ctx: Context) -> Dialogue:
    yield Reply()
    yield Tell(messages.completion(), last=True)


def display_text(ctx: Context, command: Apdu) -> Dialogue:
    """06 E0: taken; the shopper's page has its own words."""
    fields = bmp.decode(command.data)
    ctx.screen = [f.value.decode("cp437") for f in fields if f.tag in DISPLAY_LINES]
    return _shown(ctx)


def _shown(ctx: Context) -> Dialogue:
    yield Reply()
    yield Do(Remark(f"the register wants to show {len(ctx.screen)} lines of text"))  # not which: it may be a card number


def change_rate(ctx: Context, command: Apdu) -> Dialogue:
    """08 40: our answer leaves at the old rate, then the line switches."""
    if len(command.data) != 1:
        raise MalformedError("the rate is one byte")
    if not ctx.has_rate:
        raise RefusedError(codes.RATE_IMPOSSIBLE)
    rate = RATES.get(command.data[0])
    if rate is None:
        raise RefusedError(codes.BAD_VALUE)
    return _change_rate(ctx, rate)


def _change_rate(ctx: Context, rate: int) -> Dialogue:
    yield Reply()
    yield Taken(RATE_WAIT_S)  # its ACK still comes at the old rate
    yield Do(Rate(rate))
