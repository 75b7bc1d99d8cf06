"""ZVT's numbers with their meanings, and how the product's outcomes are said in them."""

from __future__ import annotations

from terminal.checkout import Outcome
from terminal.register.machine import Kind, Note

ABORTED = 0x6C  # by key or time-out
WRONG_CURRENCY = 0x6F
RATE_IMPOSSIBLE = 0x7D
NOT_POSSIBLE = 0x83
MALFORMED = 0x9A
PLEASE_WAIT = 0x9C
PARTLY = 0x9D
RESERVATION_UNKNOWN = 0xB8
PRINTER = 0xCC
BAD_VALUE = 0xFD
FAULT = 0xFF
WRONG_PASSWORD = 0x37
TOO_SMALL = 0xC8
TOO_MUCH = 0xC3

RESULT: dict[Outcome, int] = {
    Outcome.APPROVED: 0x00,
    Outcome.ABORTED: ABORTED,
    Outcome.TIMED_OUT: ABORTED,
    Outcome.NOBODY: 0x05,  # "do not honour": what hosts say of a card they don't know
    Outcome.LIMIT: 0x33,  # 51: not sufficient funds
    Outcome.BLOCKED: 0x3E,  # 62: restricted
    Outcome.NO_SERVICE: 0xA3,
    Outcome.OWED: 0xA1,
    Outcome.BUSY: PLEASE_WAIT,
    Outcome.BAD_AMOUNT: TOO_MUCH,
    Outcome.BAD_CURRENCY: WRONG_CURRENCY,
    Outcome.READER_FAULT: 0xFC,
    Outcome.NOT_FOUND: 0xB5,
    Outcome.ALREADY_REVERSED: 0xB4,
    Outcome.NOT_SUPPORTED: NOT_POSSIBLE,
    Outcome.FAULT: FAULT,
}

# Where the request itself decides which code is meant.
SPECIAL: dict[tuple[Kind, Outcome], int] = {
    (Kind.REVERSE, Outcome.BAD_AMOUNT): 0xB5,  # reversal not possible: another amount
    (Kind.BOOK, Outcome.BAD_AMOUNT): 0xB7,  # amount of the reservation wrong
    (Kind.RELEASE, Outcome.BAD_AMOUNT): 0xB7,
    (Kind.BOOK, Outcome.NOT_FOUND): RESERVATION_UNKNOWN,
    (Kind.RELEASE, Outcome.NOT_FOUND): RESERVATION_UNKNOWN,
}

INTERMEDIATE: dict[Note, int] = {
    Note.PRESENT_PALM: 0x0A,  # "insert card": the register asks the shopper to act
    Note.LOOKING: 0x0E,
    Note.ASKING_SERVICE: 0x04,
    Note.APPROVED: 0x1C,
    Note.DECLINED: 0x1D,
    Note.REVERSING: 0x05,
}
INTERMEDIATE_TEXT: dict[Note, str] = {
    Note.PRESENT_PALM: "Please hold your palm over the reader",
    Note.LOOKING: "Please keep your palm still",
    Note.ASKING_SERVICE: "One moment please",
    Note.APPROVED: "Approved",
    Note.DECLINED: "Declined",
    Note.REVERSING: "Reversing",
}

RESULT_WORDS: dict[int, str] = {
    0x00: "ok", 0x05: "declined", 0x33: "not sufficient funds", 0x37: "wrong password", 0x3E: "blocked", 0x6B: "not registered",
    0x6C: "aborted", 0x6F: "wrong currency", 0x77: "end of day not possible", 0x78: "expired", 0x7A: "card unknown",
    0x7D: "communication error", 0x83: "function not possible", 0x9A: "protocol error", 0x9B: "dial-up fault", 0x9C: "please wait",
    0x9D: "partly delivered", 0xA1: "remote station silent", 0xA3: "no connection", 0xB1: "memory full", 0xB4: "already reversed",
    0xB5: "reversal not possible", 0xB7: "amount of the reservation wrong", 0xB8: "reservation unknown", 0xC2: "diagnosis required",
    0xC3: "amount too large", 0xC5: "payment method not supported", 0xC6: "currency not applicable", 0xC8: "amount too small",
    0xCC: "printer not ready", 0xF0: "end of day open", 0xFC: "device missing", 0xFD: "value not supported", 0xFF: "system error",
}  # fmt: skip

INTERMEDIATE_WORDS: dict[int, str] = {
    0x04: "waiting for the host", 0x05: "automatic reversal", 0x0A: "insert card (present the palm)", 0x0D: "processing error",
    0x0E: "please wait", 0x13: "payment not possible", 0x17: "please wait", 0x1C: "approved, take the goods", 0x1D: "declined",
    0xC8: "waiting for the cashier", 0xFF: "see the text",
}  # fmt: skip


def result_words(code: int) -> str:
    """What a result code says."""
    return RESULT_WORDS.get(code) or (f"host code {code}" if 0x01 <= code <= 0x63 else f"code {code:02X}")


def text(words: str) -> bytes:
    """ZVT's character set (code page 437); what it lacks becomes a question mark."""
    return words.encode("cp437", "replace")
