"""Receipts as print commands: 06 D1 line by line, or one 06 D3 block where the register takes it."""

from __future__ import annotations

from collections.abc import Iterable

from terminal.register.machine import Kind, Receipt, Totals
from terminal.register.zvt import bmp, codes, tlv
from terminal.register.zvt.apdu import Apdu
from terminal.register.zvt.steps import Context

NORMAL, CENTRED, DOUBLE_WIDTH, CUT = 0x00, 0x40, 0x20, 0x81
COLUMNS = 24  # of a register's printer that has not said
COLUMNS_MIN, COLUMNS_MAX = 16, 80
MERCHANT, CUSTOMER, ADMIN = 0x01, 0x02, 0x03  # TLV 1F07
LINES_MAX = 40

Line = tuple[int, str]

_TITLES = {
    Kind.PAY: "PAYMENT",
    Kind.REFUND: "REFUND",
    Kind.REVERSE: "REVERSAL",
    Kind.RESERVE: "RESERVATION",
    Kind.BOOK: "PAYMENT",
    Kind.RELEASE: "RELEASE",
}


def money(amount_minor: int, currency: str) -> str:
    """12.34 EUR."""
    sign = "-" if amount_minor < 0 else ""
    return f"{sign}{abs(amount_minor) // 100}.{abs(amount_minor) % 100:02d} {currency}"


def _lines(ctx: Context, receipt: Receipt, part: int | None, who: str, *, copy: bool) -> list[Line]:
    date = f"{receipt.date[6:8]}.{receipt.date[4:6]}.{receipt.date[:4]}"
    time = f"{receipt.time[:2]}:{receipt.time[2:4]}:{receipt.time[4:6]}"
    lines = [
        (CENTRED, who),
        (CENTRED, _TITLES.get(receipt.kind, "PAYMENT")),
        (CENTRED, "Palm"),
        (NORMAL, f"Terminal  {ctx.till.terminal_id}"),
        (NORMAL, f"Receipt   {receipt.number:04d}"),
        (NORMAL, f"Trace     {receipt.trace % 10**6:06d}"),
        (NORMAL, f"{date} {time}"),
        (NORMAL, ""),
        (DOUBLE_WIDTH, money(part if part is not None else receipt.amount_minor, receipt.currency)),
        (NORMAL, ""),
    ]
    if receipt.authorisation:
        lines.append((NORMAL, f"Auth.     {receipt.authorisation}"))
    if ctx.till.merchant:
        lines.append((NORMAL, f"Merchant  {ctx.till.merchant}"))
    if receipt.reversed:
        lines.append((CENTRED, "REVERSED"))
    if copy:
        lines.append((CENTRED, "COPY"))
    return lines


def transaction(ctx: Context, receipt: Receipt, part: int | None, *, copy: bool = False) -> list[Apdu]:
    """Merchant's and customer's receipt of one transaction, each ended by a cut."""
    out: list[Apdu] = []
    for sort, who in ((MERCHANT, "Merchant's receipt"), (CUSTOMER, "Customer's receipt")):
        out += _printed(ctx, sort, _lines(ctx, receipt, part, who, copy=copy))
    return out


def end_of_day(ctx: Context, totals: Totals, *, closed: bool) -> list[Apdu]:
    """The totals, for the drawer."""
    lines: list[Line] = [
        (CENTRED, "END OF DAY" if closed else "TURNOVER"),
        (NORMAL, f"Terminal  {ctx.till.terminal_id}"),
        (NORMAL, f"Receipts  {totals.first_receipt:04d}-{totals.last_receipt:04d}"),
        (NORMAL, f"Payments  {totals.count}"),
        (NORMAL, f"Refunds   {totals.refunds}: {money(totals.refunds_minor, totals.currency)}"),
        (DOUBLE_WIDTH, money(totals.amount_minor, totals.currency)),
    ]
    return _printed(ctx, ADMIN, lines)


def _printed(ctx: Context, sort: int, lines: Iterable[Line]) -> list[Apdu]:
    columns = min(max(ctx.registration.columns or COLUMNS, COLUMNS_MIN), COLUMNS_MAX)
    shown = [(attribute, words[:columns]) for attribute, words in lines][:LINES_MAX]
    if ctx.registration.print_blocks:
        inside = [e for attribute, words in shown for e in (tlv.Tlv(0x09, bytes((attribute,))), tlv.Tlv(0x07, codes.text(words)))]
        inside.append(tlv.Tlv(0x09, bytes((CUT,))))
        block = tlv.encode([tlv.Tlv(0x1F07, bytes((sort,))), tlv.container(0x25, *inside)])
        return [Apdu(0x06D3, bmp.encode_field(0x06, block))]
    out = [Apdu(0x06D1, bytes((attribute,)) + codes.text(words)) for attribute, words in shown]
    return [*out, Apdu(0x06D1, bytes((CUT,)))]


def open_list(open_ones: Iterable[int]) -> bytes:
    """TLV 23: the receipt numbers of the open reservations."""
    return tlv.encode([tlv.container(0x23, *(tlv.Tlv(0x08, bmp.bcd(number % 10**4, 2)) for number in open_ones))])
