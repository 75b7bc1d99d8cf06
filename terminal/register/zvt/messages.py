"""What the terminal says: status information, completion, abort, intermediate states."""

from __future__ import annotations

from terminal.checkout import Outcome
from terminal.register.currency import numeric
from terminal.register.machine import Answer, Kind, Receipt, Totals
from terminal.register.zvt import bmp, codes, tlv
from terminal.register.zvt.apdu import Apdu
from terminal.register.zvt.bmp import Field
from terminal.register.zvt.request import Order
from terminal.register.zvt.steps import Context

CARD_NAME = b"PALM\x00"
PAID_ONLINE = b"\x60"
TEXT_BYTES_MAX = 200  # of BMP 3C: keeps the message in one short length byte
AMOUNT_MAX = 10**12 - 1
EMPTY_TOTALS = 6  # girocard, JCB, Eurocard, Amex, Visa, Diners: none of them is ours


def negative(code: int, data: bytes = b"") -> Apdu:
    """84 with an error id."""
    return Apdu(0x8400 | code, data)


def status_information(ctx: Context, order: Order, answer: Answer, code: int, *, receipt: Receipt | None = None) -> Apdu:
    """04 0F: the result of a transaction, BMP 27 first, then in the order that old registers rely on."""
    receipt = receipt or answer.receipt
    fields = {0x27: bytes((code,)), 0x29: bytes.fromhex(ctx.till.terminal_id)}
    amount = receipt.amount_minor if receipt else order.amount_minor
    if amount is not None:
        fields[0x04] = bmp.bcd(min(amount, AMOUNT_MAX), 6)
    if order.currency is not None or (order.amount_minor is None and ctx.registration.currency_sent):
        fields[0x49] = bmp.bcd(numeric(ctx.till.currency), 2)
    if receipt is not None:
        fields |= _receipt_fields(ctx, receipt)
    if code != 0 and answer.text:
        fields[0x3C] = codes.text(answer.text)[:TEXT_BYTES_MAX]
    if (ctx.registration.tlv or order.has_tlv) and code == 0:
        said = [tlv.container(0x2F, tlv.Tlv(0x1F10, b"\x00"), tlv.Tlv(0x1F11, b"\x01"))]
        if order.mirrors and receipt is not None:
            said.insert(0, tlv.Tlv(0x1F1F, (receipt.number % 10**4).to_bytes(2, "big")))
        fields[0x06] = tlv.encode(said)
    return Apdu(0x040F, bmp.encode(Field(tag, fields[tag]) for tag in bmp.STATUS_ORDER if tag in fields))


def _receipt_fields(ctx: Context, receipt: Receipt) -> dict[int, bytes]:
    fields = {
        0x0B: bmp.bcd(receipt.trace % 10**6, 3),
        0x0C: bmp.bcd(int(receipt.time), 3),
        0x0D: bmp.bcd(int(receipt.date[4:]), 2),
        0x19: PAID_ONLINE,
        0x87: bmp.bcd(receipt.number % 10**4, 2),
        0x8B: CARD_NAME,
    }
    if receipt.original_trace:
        fields[0x37] = bmp.bcd(receipt.original_trace % 10**6, 3)
    if receipt.authorisation:
        fields[0x3B] = codes.text(receipt.authorisation)[:8].ljust(8, b"\x00")
    if ctx.till.merchant:
        fields[0x2A] = codes.text(ctx.till.merchant)[:15].ljust(15, b" ")
    return fields


def totals_information(ctx: Context, totals: Totals, trace: int, stamp: tuple[str, str]) -> Apdu:
    """04 0F of an end of day: the sum, and the totals by card type with palm among "others". `stamp` is MMDD, HHMMSS."""
    palm = bytes((min(totals.count, 0xFF),)) + bmp.bcd(min(max(totals.amount_minor, 0), AMOUNT_MAX), 6)
    first, last = bmp.bcd(totals.first_receipt % 10**4, 2), bmp.bcd(totals.last_receipt % 10**4, 2)
    date, time = stamp
    fields = {
        0x27: b"\x00",
        0x04: bmp.bcd(min(max(totals.amount_minor, 0), AMOUNT_MAX), 6),
        0x0B: bmp.bcd(trace % 10**6, 3),
        0x0C: bmp.bcd(int(time), 3),
        0x0D: bmp.bcd(int(date), 2),
        0x29: bytes.fromhex(ctx.till.terminal_id),
        0x60: first + last + bytes(7 * EMPTY_TOTALS) + palm,
    }
    if ctx.registration.currency_sent:
        fields[0x49] = bmp.bcd(numeric(ctx.till.currency), 2)
    return Apdu(0x040F, bmp.encode(Field(tag, fields[tag]) for tag in bmp.STATUS_ORDER if tag in fields))


def result_code(answer: Answer, order: Order, kind: Kind) -> int:
    """BMP 27 for this answer to a request of this kind."""
    special = codes.SPECIAL.get((kind, answer.outcome))
    if special is not None:
        return special
    if answer.outcome is Outcome.BAD_AMOUNT and not order.amount_minor:
        return codes.TOO_SMALL
    return codes.RESULT[answer.outcome]


def completion(data: bytes = b"") -> Apdu:
    """06 0F; empty after a success."""
    return Apdu(0x060F, data)


def abort(code: int, data: bytes = b"") -> Apdu:
    """06 1E with a result code."""
    return Apdu(0x061E, bytes((code,)) + data)


def intermediate(ctx: Context, code: int, words: str, minutes: int) -> Apdu:
    """04 FF: what is going on, and how many minutes more the register should wait. Words only where TLV is understood."""
    data = bytes((code,)) + bmp.bcd(minutes, 1)
    if ctx.registration.tlv and words:
        data += bmp.encode_field(0x06, tlv.encode([tlv.container(0x24, tlv.Tlv(0x07, codes.text(words)))]))
    return Apdu(0x04FF, data)
