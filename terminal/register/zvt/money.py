"""The dialogues that money hangs on: payment, refund, reversal, reservations, repeat receipt.

The two-phase rule: a result stands when the register has acknowledged 04 0F and, where receipts are printed on it, every print
command. Without that it is undone. 06 0F follows only after the core has written down that the result stands.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

from terminal.checkout import Outcome
from terminal.register.currency import numeric
from terminal.register.machine import Answer, Ask, Delivered, Kind, Remark, Undelivered
from terminal.register.zvt import bmp, codes, messages, receipts, request
from terminal.register.zvt.apdu import Apdu, MalformedError
from terminal.register.zvt.request import Order
from terminal.register.zvt.steps import Call, Context, Dialogue, Do, GoneError, Pause, Reply, Settle, Step, Tell

WAIT_PAUSE_S = 2.0  # after 84 9C, before 04 0F is sent again
WAITS_MAX = 900  # of 84 9C where the register set no limit: half an hour
EURO = 978
RECEIPTS = 9999  # receipt numbers begin again after this


def pay(ctx: Context, command: Apdu) -> Dialogue:
    """06 01."""
    return _charge(ctx, Kind.PAY, request.order(command.data))


def reserve(ctx: Context, command: Apdu) -> Dialogue:
    """06 22: as a payment, but no receipt."""
    return _charge(ctx, Kind.RESERVE, request.order(command.data))


def refund(ctx: Context, command: Apdu) -> Dialogue:
    """06 31."""
    return _charge(ctx, Kind.REFUND, request.order(request.password(command.data, ctx.till)))


def reverse(ctx: Context, command: Apdu) -> Dialogue:
    """06 30, by receipt number."""
    order = request.order(request.password(command.data, ctx.till))
    return _follow_up(ctx, Kind.REVERSE, order)


def release_part(ctx: Context, command: Apdu) -> Dialogue:
    """06 23: give back `amount`, charge the rest; with receipt FF FF the question which reservations are open."""
    order = request.order(command.data)
    if order.enquiry:
        return _open_reservations(ctx)
    if order.amount_minor is None:  # nothing is given back
        return _follow_up(ctx, Kind.BOOK, order, close=True)
    if order.amount_minor == 0:
        raise MalformedError("the amount to be released is zero")
    return _follow_up(ctx, Kind.RELEASE, order, close=True)


def book(ctx: Context, command: Apdu) -> Dialogue:
    """06 24: charge `amount` of a reservation, or all of it where no amount is sent."""
    order = request.order(command.data)
    if order.amount_minor == 0:
        raise MalformedError("the amount to be booked is zero; 06 25 gives all back")
    return _follow_up(ctx, Kind.BOOK, order, close=order.amount_minor is None)


def release(ctx: Context, command: Apdu) -> Dialogue:
    """06 25: give back all of a reservation."""
    return _follow_up(ctx, Kind.RELEASE, request.order(command.data))


def repeat_receipt(ctx: Context, command: Apdu) -> Dialogue:
    """06 20: the last transaction again; this is how a register learns the truth after a lost line."""
    rest = request.password(command.data, ctx.till)
    service = {f.tag: f.value for f in bmp.decode(rest)}.get(0x03, b"\x00")[0]
    return _repeat(ctx, status=bool(service & 0x01), printed=not service & 0x02)


def _charge(ctx: Context, kind: Kind, order: Order) -> Dialogue:
    if order.amount_minor is None:
        raise MalformedError("the amount is missing, and it can't be entered here")
    return _transaction(ctx, kind, order)


def _follow_up(ctx: Context, kind: Kind, order: Order, *, close: bool = False) -> Dialogue:
    if order.receipt is None:
        raise MalformedError("the receipt number is missing")
    return _transaction(ctx, kind, order, close=close)


def _transaction(ctx: Context, kind: Kind, order: Order, *, close: bool = False) -> Dialogue:
    yield Reply()
    # An amount without a code is in euros, or in what was registered.
    says_none = order.currency is None and order.amount_minor is not None and not ctx.registration.currency_sent
    meant = EURO if says_none else order.currency
    if meant not in (None, numeric(ctx.till.currency)):
        wrong = Answer(0, Outcome.BAD_CURRENCY, text=f"Only {ctx.till.currency} is taken here.")
        yield from _failed(ctx, order, wrong, codes.WRONG_CURRENCY)
        return
    if order.last_receipt is not None:
        yield from _synchronise(ctx, order.last_receipt)
    ask = Ask(
        ctx.next_number(),
        kind,
        order.amount_minor or 0,
        ctx.till.currency,
        receipt=order.receipt,
        close=close,
        note=order.text,
    )
    answer: Answer = yield Call(ask)
    if answer.outcome is not Outcome.APPROVED:
        if answer.needs_confirmation:  # nothing was approved, so nothing can stand
            yield Do(Undelivered(answer.number, "it was not approved"))
        yield from _failed(ctx, order, answer, messages.result_code(answer, order, kind))
        return
    yield from _conclude(ctx, kind, order, answer)


def _conclude(ctx: Context, kind: Kind, order: Order, answer: Answer) -> Dialogue:
    """Tell the register, and let the result stand or undo it."""
    number, code, why, part = answer.number, codes.ABORTED, "", None
    try:
        code, why, part = yield from _acknowledged(ctx, order, answer)
        if not why and kind is not Kind.RESERVE and ctx.registration.prints() and answer.receipt is not None:
            for line in receipts.transaction(ctx, answer.receipt, part):
                reply: Apdu | None = yield Tell(line)
                if reply is None or not reply.is_positive:
                    if part is not None:
                        break  # a part of the goods has left already: that is not taken back for a printer
                    code = codes.PRINTER if reply is not None and reply.error == codes.PRINTER else codes.ABORTED
                    why = "the register did not take the receipt"
                    break
    except GoneError as gone:
        if answer.needs_confirmation:
            yield Do(Undelivered(number, str(gone)) if part is None else Delivered(number, part))
        return
    if not answer.needs_confirmation:
        kept = True
    elif why:
        yield Do(Undelivered(number, why))
        kept = False
    else:
        kept = yield Settle(Delivered(number, part))
        code = codes.FAULT
    if kept and not why:
        yield Tell(messages.completion(), last=True)
    else:
        undone = Answer(number, Outcome.FAULT, text="Not paid: the payment was reversed.")
        yield from _failed(ctx, order, undone, code)


Verdict = tuple[int, str, int | None]  # result code, why it does not stand (empty: it does), partial amount


def _acknowledged(ctx: Context, order: Order, answer: Answer) -> Generator[Step, Any, Verdict]:
    """04 0F until the register has said yes or no."""
    info = messages.status_information(ctx, order, answer, 0)
    waits = 0
    waits_max = WAITS_MAX if order.waits_max is None else order.waits_max
    while True:
        reply: Apdu | None = yield Tell(info, order.patience_s)
        if reply is None:
            return codes.ABORTED, f"the register did not acknowledge within {order.patience_s:.0f} s", None
        if reply.is_positive:
            return 0, "", None
        if reply.error == codes.PLEASE_WAIT:
            waits += 1
            if waits > waits_max:
                return codes.ABORTED, f"the register asked {waits} times for more time", None
            yield Pause(WAIT_PAUSE_S)
            continue
        if reply.error == codes.PARTLY:
            return _partly(order, answer, reply)
        return codes.ABORTED, f"the register answered {reply.control:04X}: {codes.result_words(reply.error)}", None


def _partly(order: Order, answer: Answer, reply: Apdu) -> Verdict:
    """84 9D: only a part was delivered. An amount that makes no sense undoes all."""
    whole = answer.receipt.amount_minor if answer.receipt else order.amount_minor or 0
    try:
        part = {f.tag: bmp.from_bcd(f.value) for f in bmp.decode(reply.data) if f.tag == 0x04}.get(0x04)
    except (MalformedError, bmp.UnknownBitmapError):
        part = None
    if part is None or not 0 < part <= whole:
        return codes.ABORTED, "the register said that a part was delivered, but no amount that is possible", None
    return 0, "", part


def _failed(ctx: Context, order: Order, answer: Answer, code: int) -> Dialogue:
    """04 0F with the reason, then 06 1E with the same."""
    try:
        yield Tell(messages.status_information(ctx, order, answer, code))
        yield Tell(messages.abort(code), last=True)
    except GoneError:
        return


def _synchronise(ctx: Context, seen: int) -> Dialogue:
    """TLV 1F1F: the register has missed our last receipt, so that one is undone."""
    last: Answer = yield Call(Ask(ctx.next_number(), Kind.LAST_RESULT))
    receipt = last.receipt
    if receipt is None or receipt.reversed or receipt.kind not in (Kind.PAY, Kind.REFUND, Kind.RESERVE):
        return
    if seen % RECEIPTS + 1 != receipt.number:  # 9999 is followed by 1
        return
    yield Do(Remark(f"the register has not seen receipt {receipt.number}: it is reversed"))
    kind = Kind.RELEASE if receipt.kind is Kind.RESERVE else Kind.REVERSE
    undone: Answer = yield Call(Ask(ctx.next_number(), kind, currency=receipt.currency, receipt=receipt.number))
    if undone.needs_confirmation and undone.outcome is Outcome.APPROVED:
        yield Settle(Delivered(undone.number))


def _open_reservations(ctx: Context) -> Dialogue:
    """06 23 with 87 FF FF: 06 1E B8 with the first open receipt, or FF FF. At a gate: with that of the palm's owner."""
    yield Reply()
    answer: Answer = yield Call(
        Ask(ctx.next_number(), Kind.FIND if ctx.till.gate else Kind.RESERVATIONS, currency=ctx.till.currency)
    )
    if answer.outcome not in (Outcome.APPROVED, Outcome.NOT_FOUND):
        yield Tell(messages.abort(messages.result_code(answer, Order(), Kind.FIND)), last=True)
        return
    open_ones = answer.open_reservations
    receipt = bmp.bcd(open_ones[0] % 10**4, 2) if open_ones else request.NO_RECEIPT
    data = bmp.encode_field(0x87, receipt)
    if len(open_ones) > 1 and ctx.registration.tlv:
        data += bmp.encode_field(0x06, receipts.open_list(open_ones))
    yield Tell(messages.abort(codes.RESERVATION_UNKNOWN, data), last=True)


def _repeat(ctx: Context, *, status: bool, printed: bool) -> Dialogue:
    yield Reply()
    answer: Answer = yield Call(Ask(ctx.next_number(), Kind.LAST_RESULT))
    receipt = answer.receipt
    if receipt is None:
        yield Tell(messages.abort(codes.NOT_POSSIBLE), last=True)
        return
    code = codes.RESULT[Outcome.ALREADY_REVERSED] if receipt.reversed else 0
    if status:
        yield Tell(messages.status_information(ctx, Order(), answer, code), request.ANSWER_PATIENCE_S)
    if printed and ctx.registration.prints():
        for line in receipts.transaction(ctx, receipt, None, copy=True):
            reply: Apdu | None = yield Tell(line)
            if reply is None or not reply.is_positive:
                yield Tell(messages.abort(codes.PRINTER), last=True)
                return
    yield Tell(messages.completion(), last=True)
