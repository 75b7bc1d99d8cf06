"""Every field of every small protocol's messages survives the way there and back: what one end writes, the other reads."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from terminal.checkout import Outcome
from terminal.register import concert, transbank
from terminal.register import ecr17_messages as ecr17
from terminal.register.machine import Kind, Receipt
from terminal.register.stx_frames import lrc
from terminal.register.till.ecr17_register import Ecr17Register
from terminal.register.till.result import Verdict

AMOUNTS = st.integers(0, 99_999_999)
DIGITS = "0123456789"
LETTERS = DIGITS + "ABCDEFGHJKLMNPQRSTUVWXYZ"
TIDS = st.text(DIGITS, min_size=8, max_size=8)
TEXTS = st.text(LETTERS + " .,-", max_size=128)
RECEIPTS = st.builds(
    Receipt,
    number=st.integers(1, 9999),
    trace=st.integers(1, 999_999),
    kind=st.just(Kind.PAY),
    amount_minor=AMOUNTS,
    currency=st.just("EUR"),
    authorisation=st.text(LETTERS, min_size=1, max_size=6),
    date=st.dates().filter(lambda d: d.year >= 1000).map(lambda d: f"{d:%Y%m%d}"),
    time=st.times().map(lambda t: f"{t:%H%M%S}"),
)


@given(st.sampled_from("PXp"), TIDS, TIDS, AMOUNTS, TEXTS, st.booleans())
def test_ecr17_payments(code: str, tid: str, cash: str, amount: int, text: str, more: bool) -> None:
    said = f"{tid}0{code}{cash}{'1' if more else '0'}0000{amount:08d}{text:>128}{'0' * 8}"
    request = ecr17.parse(said.encode("ascii"))
    assert request == ecr17.Request(tid, code, cash, more, amount, text.strip())


@given(st.sampled_from("ic"), TIDS, AMOUNTS, TEXTS, st.integers(0, 999_999_999))
def test_ecr17_on_a_reservation(code: str, tid: str, amount: int, text: str, original: int) -> None:
    said = f"{tid}0{code}0000000100000{amount:08d}{text:>128}{original:09d}{'0' * 8}"
    request = ecr17.parse(said.encode("ascii"))
    assert request is not None
    assert (request.amount_minor, int(request.original), request.text) == (amount, original, text.strip())


@given(TIDS, st.text(DIGITS, min_size=6, max_size=6), st.booleans(), st.sampled_from("CTG"))
def test_ecr17_others(tid: str, stan: str, switch: bool, plain: str) -> None:
    flag = "1" if switch else "0"
    reversal = ecr17.parse(f"{tid}0S00000001{stan}{flag}0".encode())
    assert reversal is not None
    assert (reversal.original, reversal.more_data) == (stan, switch)
    assert ecr17.parse(f"{tid}0E{flag}".encode()) == ecr17.Request(tid, "E", switch=switch)
    assert ecr17.parse(f"{tid}0R{flag}0{'0' * 10}".encode()) == ecr17.Request(tid, "R", switch=switch)
    assert ecr17.parse(f"{tid}0s".encode()) == ecr17.Request(tid, "s")
    request = ecr17.parse(f"{tid}0{plain}00000001{flag}{'0' * 7}".encode())
    assert request is not None
    assert (request.code, request.more_data) == (plain, switch)


@given(st.sampled_from("PXpicSA"), TIDS, RECEIPTS)
def test_ecr17_results(code: str, tid: str, receipt: Receipt) -> None:
    read = Ecr17Register._read("x", receipt.amount_minor, ecr17.result_of(code, tid, Outcome.APPROVED, receipt))
    assert (read.verdict, read.amount_minor) == (Verdict.DONE, receipt.amount_minor)
    if code != "A":
        assert read.trace == receipt.trace
    if code != "S":
        assert read.authorisation.strip() == receipt.authorisation
    if code == "p":
        assert read.receipt == receipt.number


@given(st.sampled_from("PXpicSA"), TIDS, st.sampled_from([o for o in Outcome if o is not Outcome.APPROVED]))
def test_ecr17_refusals(code: str, tid: str, outcome: Outcome) -> None:
    read = Ecr17Register._read("x", 1, ecr17.result_of(code, tid, outcome, None))
    assert (read.verdict, read.amount_minor, read.code) == (Verdict.DECLINED, 0, "01")
    assert read.text == ecr17.REASON_OF[outcome]


PRINTABLE = st.characters(min_codepoint=0x20, max_codepoint=0x7E)


@given(
    pos=st.text(DIGITS, min_size=2, max_size=2),
    amount=AMOUNTS,
    answer=st.sampled_from("01"),
    mode=st.sampled_from("1C2356899AOUF0"),
    kind=st.sampled_from("0124"),
    private=st.text(PRINTABLE, min_size=10, max_size=10),
    delay=st.sampled_from([None, "A010", "A011"]),
    text=st.text(PRINTABLE, max_size=80),
)
def test_concert(pos: str, amount: int, answer: str, mode: str, kind: str, private: str, delay: str | None, text: str) -> None:
    body = f"{pos}{amount:08d}{answer}{mode}{kind}978{private}{f'{delay}B010' if delay else ''}".encode("ascii")
    request = concert.Request.parse(body)
    assert request == concert.Request(pos, amount, answer == "1", mode, kind, "978", private, delay == "A011")
    frame = request.answer("0", text)
    said = frame[1:-2].decode("ascii")
    assert len(frame) == (83 if answer == "1" else 28)
    assert lrc(frame[1:-1]) == frame[-1]
    assert (said[:2], said[2], int(said[3:11]), said[11]) == (pos, "0", amount, mode)
    assert (said[-13:-10], said[-10:]) == ("978", private)
    if answer == "1":
        assert said[12:67] == f"{text:<55.55}"


@given(RECEIPTS, TIDS, st.text(LETTERS, max_size=20))
def test_transbank(receipt: Receipt, tid: str, ticket: str) -> None:
    fields = transbank.frame(transbank.sale("0210", "00", tid, receipt, ticket))[1:-2].decode("ascii").split("|")
    assert len(fields) == 20
    assert (fields[3], fields[4], fields[5], int(fields[6])) == (tid, ticket, receipt.authorisation, receipt.amount_minor)
    assert int(fields[10]) == receipt.number
    assert fields[15][4:] + fields[15][2:4] + fields[15][:2] == receipt.date
    assert fields[16] == receipt.time
