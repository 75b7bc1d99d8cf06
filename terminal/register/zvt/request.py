"""The register's commands, read: passwords and fixed fields first, then bitmaps."""

from __future__ import annotations

from dataclasses import dataclass

from terminal.register.machine import Till
from terminal.register.zvt import bmp, codes, tlv
from terminal.register.zvt.apdu import MalformedError
from terminal.register.zvt.steps import RefusedError

NO_RECEIPT = b"\xff\xff"  # in BMP 87: which reservations are open?
ANSWER_PATIENCE_S = 30.0  # for the register's answer to 04 0F where it did not say another (BMP 01)
PASSWORD_BYTES = 3


@dataclass(frozen=True, slots=True)
class Order:
    """A request that money hangs on."""

    amount_minor: int | None = None
    currency: int | None = None  # None: not sent, which means the till's own
    receipt: int | None = None
    enquiry: bool = False  # 87 FF FF
    patience_s: float = ANSWER_PATIENCE_S
    waits_max: int | None = None  # how often the register may say 84 9C; None: as often as it likes
    text: str = ""
    has_tlv: bool = False
    mirrors: bool = False  # it sent TLV 1F1F, so our answer carries one
    last_receipt: int | None = None  # in that tag, binary: the last receipt that the register has seen


def password(data: bytes, till: Till) -> bytes:
    """Check the password in front, give back what follows. Raises MalformedError, and RefusedError where it is wrong."""
    if len(data) < PASSWORD_BYTES:
        raise MalformedError("the password is missing")
    said = data[:PASSWORD_BYTES].hex()
    if till.password is not None and said != till.password:
        raise RefusedError(codes.WRONG_PASSWORD)
    return data[PASSWORD_BYTES:]


def order(data: bytes) -> Order:
    """The bitmaps of a payment or of what follows from one. Raises MalformedError, bmp.UnknownBitmapError."""
    said: dict[int, bytes] = {f.tag: f.value for f in bmp.decode(data)}
    receipt = said.get(0x87)
    container = said.get(0x06)
    mirrored = tlv.find(container, 0x1F1F) if container else None
    timeout = said.get(0x01)
    waits = said.get(0x02)
    return Order(
        amount_minor=bmp.from_bcd(said[0x04]) if 0x04 in said else None,
        currency=bmp.from_bcd(said[0x49]) if 0x49 in said else None,
        receipt=None if receipt is None or receipt == NO_RECEIPT else bmp.from_bcd(receipt),
        enquiry=receipt == NO_RECEIPT,
        patience_s=float(timeout[0]) if timeout and timeout[0] else ANSWER_PATIENCE_S,
        waits_max=waits[0] if waits else None,
        text=said.get(0x3C, b"").decode("cp437"),
        has_tlv=container is not None,
        mirrors=mirrored is not None,
        last_receipt=int.from_bytes(mirrored, "big") if mirrored else None,
    )
