"""ECR17 (Protocollo 17): messages as fields by position. Facts: registers.md 3.2; positions in comments are 1-based as there."""

from __future__ import annotations

import datetime
from dataclasses import dataclass, replace

from terminal.checkout import Outcome
from terminal.register.machine import Receipt

OK, KO, UNSUPPORTED = "00", "01", "91"
AMOUNT_MAX_MINOR = 99_999_999
ACQUIRER = "PALMPAY"
READ_BY = "CLI"  # contactless, read by the terminal: the nearest of the five that the protocol knows
CARD_TYPE = "1"
MASKED_PAN = "0" * 19
"""There is no account number; registers accept zeros."""

REQUEST_BYTES = {
    "s": 10, "P": 167, "X": 167, "p": 167, "i": 176, "c": 176, "S": 26, "A": 39, "H": 39, "C": 26, "T": 26, "G": 22,
    "E": 11, "R": 22, "U": 37,
}  # fmt: skip
"""Length of each request that is handled, the shortest one of U; the others (J, K) are refused with NAK."""

EXACT = "PXpicSA"
"""Money hangs on these, and two doubled bytes cancel out in an XOR: only the length tells that an amount has slipped."""

REASON_OF: dict[Outcome, str] = {
    Outcome.ABORTED: "OPERAZIONE ANNULLATA",
    Outcome.TIMED_OUT: "TEMPO SCADUTO",
    Outcome.NOBODY: "PALMO NON RICONOSCIUTO",
    Outcome.LIMIT: "LIMITE SUPERATO",
    Outcome.BLOCKED: "CONTO BLOCCATO",
    Outcome.NO_SERVICE: "SERVIZIO NON RAGGIUNG.",
    Outcome.OWED: "REGOLAMENTO IN CORSO",
    Outcome.BUSY: "TERMINALE OCCUPATO",
    Outcome.BAD_AMOUNT: "IMPORTO NON VALIDO",
    Outcome.BAD_CURRENCY: "VALUTA NON VALIDA",
    Outcome.READER_FAULT: "LETTORE GUASTO",
    Outcome.NOT_FOUND: "OPERAZIONE NON TROVATA",
    Outcome.ALREADY_REVERSED: "GIA' STORNATA",
    Outcome.NOT_SUPPORTED: "FUNZIONE NON DISPONIBILE",
    Outcome.FAULT: "ERRORE TERMINALE",
}


@dataclass(frozen=True, slots=True)
class Request:
    """One request of the register, as far as this terminal needs its fields."""

    terminal_id: str
    code: str
    cash_register: str = "00000000"
    more_data: bool = False  # a U message follows
    amount_minor: int = 0
    text: str = ""
    original: str = ""  # pre-authorisation code (9), or STAN (6) for S
    switch: bool = False  # E: printing on the register; R: reprint goes to the register


def parse(body: bytes) -> Request | None:
    """A request from the bytes between STX and ETX; None where code, length or digits are not those of the protocol."""
    try:
        text = body.decode("latin-1")
        code = text[9]
    except IndexError:
        return None
    if code not in REQUEST_BYTES or len(text) < REQUEST_BYTES[code] or (code in EXACT and len(text) != REQUEST_BYTES[code]):
        return None
    if not text[:8].isdecimal() or text[8] != "0":
        return None
    if code in "sU":
        return Request(text[:8], code)
    if code in "ER":
        return Request(text[:8], code, switch=text[10] == "1")
    head = Request(text[:8], code, cash_register=text[10:18], more_data=text[18:19] == "1")
    if code == "S":
        return replace(head, original=text[18:24], more_data=text[24] == "1") if text[18:24].isdecimal() else None
    if code in "CTGH":
        return head
    if not text[23:31].isdecimal():
        return None
    original = text[159:168] if code in "ic" else ""
    if code in "ic" and not original.isdecimal():
        return None
    note = text[31:159].strip() if code in "PXpic" else ""
    return replace(head, amount_minor=int(text[23:31]), text=note, original=original)


def host_time(receipt: Receipt) -> str:
    """DDDHHMM: day of the year, hours, minutes."""
    day = datetime.datetime.strptime(receipt.date, "%Y%m%d").timetuple().tm_yday
    return f"{day:03d}{receipt.time[:4]}"


def _head(terminal_id: str, code: str, result: str) -> str:
    return f"{terminal_id}0{code}{result}"


def reason(outcome: Outcome) -> str:
    """24 characters for the cashier."""
    return f"{REASON_OF.get(outcome, 'OPERAZIONE NEGATA'):<24.24}"


def _tail(receipt: Receipt | None) -> str:
    """48 card type, 49-59 acquirer, 60-65 STAN, 66-71 online id."""
    trace = receipt.trace % 1_000_000 if receipt else 0
    return f"{CARD_TYPE}{ACQUIRER:<11.11}{trace:06d}{trace:06d}"


def result_e(terminal_id: str, outcome: Outcome, receipt: Receipt | None, *, pan: str = MASKED_PAN, code_shown: bool = True) -> str:
    """`E`, 71 characters: the result of P; also the beginning of those of X, S and c."""
    if outcome is Outcome.APPROVED and receipt:
        auth = f"{receipt.authorisation:<6.6}" if code_shown else "0" * 6
        return _head(terminal_id, "E", OK) + pan + READ_BY + auth + host_time(receipt) + _tail(receipt)
    return _head(terminal_id, "E", KO) + reason(outcome) + "0" * 11 + _tail(receipt)


def _action(outcome: Outcome) -> str:
    return "000" if outcome is Outcome.APPROVED else "100"


def result_of(code: str, terminal_id: str, outcome: Outcome, receipt: Receipt | None) -> str:
    """The result message for request `code` (P X p i c S A), always of its full fixed length."""
    action = _action(outcome)
    good = outcome is Outcome.APPROVED and receipt is not None
    amount = receipt.amount_minor if receipt else 0
    if code == "X":
        return result_e(terminal_id, outcome, receipt) + action + f"{amount:08d}" + "0" * 10
    if code == "S":
        return result_e(terminal_id, outcome, receipt, code_shown=False) + action + "0" * 10
    if code == "c":
        text = result_e(terminal_id, outcome, receipt) + action
        return text[:9] + "c" + text[10:]
    if code == "H" and receipt is not None:  # a gate's way out: the code to close with stands in the place of the authorisation
        return result_e(terminal_id, outcome, replace(receipt, authorisation=f"{receipt.number:06d}"))
    if code not in "piA":
        return result_e(terminal_id, outcome, receipt)
    if code == "p":
        return _pre_authorised(terminal_id, outcome, receipt)
    length = 75 if code == "i" else 58
    if not good or receipt is None:
        return f"{_head(terminal_id, code, KO)}{reason(outcome)}".ljust(length, "0")
    auth, when = f"{receipt.authorisation:<6.6}", host_time(receipt)
    begin = _head(terminal_id, code, OK) + MASKED_PAN + READ_BY
    if code == "A":
        return begin + auth + f"{ACQUIRER:<11.11}" + when
    return begin + f"{ACQUIRER:<11.11}{auth}{receipt.trace % 1_000_000:06d}{receipt.trace % 1_000_000:06d}{when}{action}00"


def _pre_authorised(terminal_id: str, outcome: Outcome, receipt: Receipt | None) -> str:
    """`e`, 106 characters; the card type stands at 71 (the portal's 48 overlaps the amount: its misprint)."""
    end = _tail(receipt) + "0" * 12
    if outcome is Outcome.APPROVED and receipt:
        return (
            _head(terminal_id, "e", OK) + MASKED_PAN + READ_BY + f"{receipt.authorisation:<6.6}{receipt.amount_minor:08d}"
            f"{receipt.number:09d}{_action(outcome)}{host_time(receipt)}000" + end
        )
    return _head(terminal_id, "e", KO) + reason(outcome) + _action(outcome) + "0" * 31 + end


def totals_closed(terminal_id: str, outcome: Outcome, amount_minor: int) -> str:
    """`C`, 44 characters: the terminal's total and the host's, which is the same book here."""
    if outcome is Outcome.APPROVED:
        return _head(terminal_id, "C", OK) + f"{amount_minor:016d}" * 2
    return _head(terminal_id, "C", KO) + reason(outcome)[:19] + _action(outcome) + "0" * 10


def totals(terminal_id: str, outcome: Outcome, amount_minor: int) -> str:
    """`T`, 34 characters."""
    return _head(terminal_id, "T", OK if outcome is Outcome.APPROVED else KO) + f"{amount_minor:016d}" + "0" * 6


def status(terminal_id: str, now: datetime.datetime, *, operative: bool, software: str) -> str:
    """`s`: 2 is operative; the software's name comes in blocks of eight."""
    name = f"{software:<{-(-len(software) // 8) * 8}}"
    return f"{terminal_id}0s{'0' * 10}{now:%d%m%y%H%M}{'2' if operative else '0'}{name}"


def more_data(terminal_id: str, said: str) -> str:
    """`U`, the answer to additional data that asked for one: its own tags back, with nothing for this terminal to add."""
    return f"{terminal_id}0U{said[10:]}"


TICKET_LINE = 24
TICKET_BYTES_MAX = 200


def tickets(terminal_id: str, lines: list[str]) -> list[str]:
    """`S` messages: lines of 24, `}` for a new line, the last one ended by six of them and ESC."""
    text = "".join(f"{line:<.{TICKET_LINE}}\x7d" for line in lines) + "\x7d" * 5 + "\x1b"
    return [f"{terminal_id}0S{text[i : i + TICKET_BYTES_MAX]}" for i in range(0, len(text), TICKET_BYTES_MAX)]


def ticket_lines(receipt: Receipt, merchant: str) -> list[str]:
    """What is printed; nothing in it names a person or an account."""
    title = {"pay": "PAGAMENTO", "refund": "ACCREDITO", "reverse": "STORNO", "reserve": "PREAUTORIZZAZIONE", "book": "CHIUSURA"}
    return [
        *([merchant] if merchant else []),
        f"{title.get(receipt.kind.value, 'OPERAZIONE')} CON PALMO",
        f"{receipt.date[6:]}/{receipt.date[4:6]}/{receipt.date[:4]} {receipt.time[:2]}:{receipt.time[2:4]}",
        f"IMPORTO {receipt.currency} {receipt.amount_minor // 100},{receipt.amount_minor % 100:02d}",
        f"AUT. {receipt.authorisation}  OP. {receipt.trace:06d}",
    ]
