"""A cash register that speaks Concert E+ (serial) or Concert V3 (TCP).

It has paid when the terminal answered `0` and that answer was acknowledged; there is no way to ask later.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping
from typing import Self

from terminal.register.line import Line
from terminal.register.till.bytes_wire import BytesWire, SilenceError, Tap, xor_of
from terminal.register.till.journal import TillJournal
from terminal.register.till.plain import PlainRegister
from terminal.register.till.result import RegisterResult, Verdict

ENQ, ACK, NAK, EOT, STX, ETX = b"\x05", b"\x06", b"\x15", b"\x04", b"\x02", b"\x03"
SIGNAL_PATIENCE_S = 1.0
OFFERS_MAX = 3
END_PATIENCE_S = 120.0
ANSWER_BYTES = 83
TYPES: Mapping[str, str] = {"pay": "0", "refund": "1", "reverse": "2"}
V3_REASONS = {"04": "refused", "06": "abandoned", "07": "not completed", "08": "time-out", "09": "format error", "13": "currency"}


class ConcertRegister(PlainRegister):
    """`async with ConcertRegister(line) as register: await register.pay(1234)`."""

    PROTOCOL = "Concert"

    def __init__(
        self, line: Line, *, waits: bool = True, currency: int = 978, journal: TillJournal | None = None, tap: Tap | None = None
    ):
        self._wire = BytesWire(line, tap)
        self._waits, self._currency = waits, currency
        self.journal = journal or TillJournal()

    async def __aenter__(self) -> Self:
        await self._wire.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._wire.close()

    async def status(self) -> RegisterResult:
        """ENQ, ACK, EOT: is anybody there."""
        try:
            await self._offer()
        except SilenceError as error:
            return RegisterResult(Verdict.UNKNOWN, "status", text=str(error))
        self._wire.write(EOT)
        return RegisterResult(Verdict.DONE, "status", text="present")

    async def pay(self, amount_minor: int) -> RegisterResult:
        """Type 0."""
        return await self._money("pay", amount_minor)

    async def refund(self, amount_minor: int) -> RegisterResult:
        """Type 1."""
        return await self._money("refund", amount_minor)

    async def reverse(self, receipt: int) -> RegisterResult:
        """Type 2: the last payment; `receipt` is its amount, since the protocol has no receipt numbers."""
        return await self._money("reverse", receipt)

    async def _money(self, request: str, amount_minor: int) -> RegisterResult:
        began = asyncio.get_running_loop().time()
        delay = "A010" if self._waits else "A011"
        body = f"01{amount_minor:08d}11{TYPES[request]}{self._currency:03d}{'':10}{delay}B010".encode("ascii")
        try:
            await self._offer()
            self._wire.write(STX + body + ETX + bytes([xor_of(body + ETX)]))
            if await self._wire.read(1, SIGNAL_PATIENCE_S, "ACK of the request") != ACK:
                return RegisterResult(Verdict.FAILED, request, text="The terminal did not understand the request.")
        except SilenceError as error:
            return RegisterResult(Verdict.FAILED, request, text=f"{error}; nothing was asked.")
        self.journal.asked(request, amount_minor, None)
        self._wire.write(EOT)
        try:
            answer = await self._answer(f"{amount_minor:08d}")
            result = self._read(request, amount_minor, answer)
        except SilenceError as error:
            result = RegisterResult(Verdict.FAILED, request, text=f"Not paid: {error}.")
        result = RegisterResult(
            result.verdict, request, result.amount_minor, result.code, result.text, authorisation=result.authorisation,
            took_s=asyncio.get_running_loop().time() - began,
        )  # fmt: skip
        self.journal.ended(result)
        return result

    async def _offer(self) -> None:
        await self._wire.opened()
        for attempt in range(OFFERS_MAX):
            self._wire.forget()
            self._wire.write(ENQ)
            try:
                if await self._wire.read(1, SIGNAL_PATIENCE_S, "ACK of our ENQ") == ACK:
                    return
            except SilenceError:
                if attempt == OFFERS_MAX - 1:
                    raise
            self._wire.write(EOT)
            await asyncio.sleep(SIGNAL_PATIENCE_S)
        raise SilenceError("the terminal is busy")

    async def _answer(self, amount: str) -> str:
        """The answer, acknowledged; one about another amount is left alone, so that the terminal undoes it."""
        while await self._wire.read(1, END_PATIENCE_S, "answer") != ENQ:
            pass
        self._wire.write(ACK)
        for _ in range(OFFERS_MAX):
            frame = await self._wire.read(ANSWER_BYTES, 3 * SIGNAL_PATIENCE_S, "answer of 83 bytes")
            if frame[:1] == STX and frame[-2:-1] == ETX and xor_of(frame[1:-1]) == frame[-1]:
                if frame[4:12] != amount.encode("ascii"):
                    raise SilenceError("the terminal answered about another amount")
                self._wire.write(ACK)
                with contextlib.suppress(SilenceError):  # the answer is ours already
                    await self._wire.read(1, SIGNAL_PATIENCE_S, "EOT after the answer")
                return frame[1:-2].decode("ascii", "replace")
            self._wire.forget()
            self._wire.write(NAK)
        raise SilenceError("the answer can't be read")

    @staticmethod
    def _read(request: str, amount_minor: int, answer: str) -> RegisterResult:
        status, text = answer[2], answer[12:67].strip()
        if status == "0" and int(answer[3:11]) == amount_minor:
            return RegisterResult(Verdict.DONE, request, amount_minor, status, text, authorisation=text.removeprefix("PALM "))
        if status == "9":
            return RegisterResult(Verdict.DONE, request, amount_minor, status, "taken into account; look at the terminal")
        return RegisterResult(Verdict.DECLINED, request, 0, status, text)


def v3_fields(data: bytes) -> dict[str, str]:
    """`TTnnnVALUE` repeated. Raises ValueError."""
    fields, text = {}, data.decode("ascii")
    while text:
        size = int(text[2:5])
        fields[text[:2]], text = text[5 : 5 + size], text[5 + size :]
    return fields


class ConcertV3Register(PlainRegister):
    """One connection for each request; `line` connects anew for each."""

    PROTOCOL = "Concert V3"

    def __init__(self, line: Line, *, currency: int = 978, journal: TillJournal | None = None, tap: Tap | None = None) -> None:
        self._line, self._tap, self._currency = line, tap, currency
        self.journal = journal or TillJournal()
        self._count = 0

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._line.close()

    async def refund(self, amount_minor: int) -> RegisterResult:
        """Action 1."""
        return await self.request("refund", amount_minor)

    async def reverse(self, receipt: int) -> RegisterResult:
        """Action 2: the last payment; `receipt` is its amount, since the protocol has no receipt numbers."""
        return await self.request("reverse", receipt)

    async def pay(self, amount_minor: int) -> RegisterResult:
        """Action 0."""
        return await self.request("pay", amount_minor)

    async def request(self, request: str, amount_minor: int) -> RegisterResult:
        """pay, refund or reverse."""
        self._count += 1
        fields = {
            "CZ": "0300", "CJ": f"{self._count:012d}", "CA": "01", "CE": f"{self._currency:03d}", "BA": "0", "CD": TYPES[request],
            "CB": str(amount_minor),
        }  # fmt: skip
        wire = BytesWire(self._line, self._tap)
        self.journal.asked(request, amount_minor, None)
        try:
            await wire.start()
            await wire.opened()
            wire.write("".join(f"{tag}{len(value):03d}{value}" for tag, value in fields.items()).encode("ascii"))
            answer = v3_fields(await wire.rest(0.2, END_PATIENCE_S, "answer"))
            done = answer.get("AE") == "10" and answer.get("CB") == str(amount_minor) and answer.get("CJ") == fields["CJ"]
            verdict, text = (Verdict.DONE, "") if done else (Verdict.DECLINED, V3_REASONS.get(answer.get("AF", ""), ""))
            result = RegisterResult(
                verdict, request, amount_minor if done else 0, answer.get("AF", ""), text, authorisation=answer.get("AC", "")
            )
        except (SilenceError, ValueError) as error:
            result = RegisterResult(Verdict.FAILED, request, text=f"Not paid: {error}.")
        finally:
            await wire.close()
        self.journal.ended(result)
        return result
