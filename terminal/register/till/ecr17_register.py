"""A cash register that speaks ECR17.

It has paid when a result says `00`. Where a result, or the ACK of a request, was lost it asks for the last one (`G`); that is ours only
if its STAN is another than that of the last result known before, since `G` carries no number of the request.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Self

from terminal.register.line import Line
from terminal.register.till.bytes_wire import BytesWire, SilenceError, Tap, xor_of
from terminal.register.till.journal import TillJournal
from terminal.register.till.plain import PlainRegister
from terminal.register.till.result import RegisterResult, Verdict

STX, ETX, ACK, NAK, SOH, EOT = 0x02, 0x03, 0x06, 0x15, 0x01, 0x04
ACK_PATIENCE_S = 2.0
QUIET_S = 0.1
"""Of silence before a request: results carry no number of their request, and one of a register before its power cut may be late."""
SENDINGS_MAX = 3
END_PATIENCE_S = 180.0
ASK_LAST_MAX = 5
ASK_LAST_PAUSE_S = 2.0
RANGES = ("std", "noext", "stx", "stx_noext")
"""What the checksum covers: message; message and ETX; STX, message and ETX; STX and message."""


class RefusedError(SilenceError):
    """The terminal said NAK: it has not begun."""


_NOTHING = RegisterResult(Verdict.DONE, "nothing")


def check(body: bytes, covers: str) -> int:
    """The checksum byte, XOR from 7F."""
    first = bytes([STX]) if covers.startswith("stx") else b""
    last = bytes([ETX]) if covers in ("noext", "stx") else b""
    return xor_of(first + body + last, 0x7F)


class Ecr17Register(PlainRegister):
    """`async with Ecr17Register(line, terminal_id="12345678") as register: await register.pay(1234)`."""

    PROTOCOL = "ECR17"

    def __init__(
        self,
        line: Line,
        *,
        terminal_id: str = "00000000",
        covers: str = "noext",
        journal: TillJournal | None = None,
        tap: Tap | None = None,
    ) -> None:
        self._wire = BytesWire(line, tap)
        self._tid, self._covers = terminal_id, covers
        self.journal = journal or TillJournal()
        self.progress: list[str] = []
        self._last_stan: int | None = None  # of the newest result that the register knows

    async def __aenter__(self) -> Self:
        await self._wire.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._wire.close()

    async def status(self) -> RegisterResult:
        """`s`: 2 is operative."""
        return await self._plain("status", f"{self._tid}0s", lambda said: said[30] == "2", text=lambda said: said[31:].strip())

    async def turnover(self) -> RegisterResult:
        """`T`."""
        return await self._plain(
            "totals", f"{self._tid}0T00000001{'0' * 8}", lambda said: said[10:12] == "00", text=lambda said: said[12:28]
        )

    async def end_of_day(self) -> RegisterResult:
        """`C`."""
        return await self._plain(
            "end-of-day", f"{self._tid}0C00000001{'0' * 8}", lambda said: said[10:12] == "00", text=lambda said: said[12:28]
        )

    async def pay(self, amount_minor: int) -> RegisterResult:
        """`P`."""
        return await self._money("pay", amount_minor, f"{self._tid}0P000000010000{'0'}{amount_minor:08d}{'':128}{'0' * 8}")

    async def reserve(self, amount_minor: int) -> RegisterResult:
        """`p`; the result's receipt is the pre-authorisation's code."""
        return await self._money("reserve", amount_minor, f"{self._tid}0p000000010000{'0'}{amount_minor:08d}{'':128}{'0' * 8}")

    async def raise_hold(self, receipt: int, amount_minor: int) -> RegisterResult:
        """`i`: hold this much more."""
        text = f"{self._tid}0i0000000100000{amount_minor:08d}{'':128}{receipt:09d}{'0' * 8}"
        return await self._money("raise", amount_minor, text)

    async def reservations(self) -> RegisterResult:
        """`H`, at a gate: the reservation of whoever shows the palm stands in the place of the authorisation."""
        try:
            await self._send(f"{self._tid}0H00000001000{'0' * 18}")
            said = await self._result()
        except SilenceError as error:
            return RegisterResult(Verdict.FAILED, "reservations", text=str(error))
        if said[10:12] != "00":
            return RegisterResult(Verdict.DECLINED, "reservations", 0, said[10:12], said[12:36].strip())
        return RegisterResult(Verdict.DONE, "reservations", receipt=int(said[34:40]))

    async def book(self, receipt: int, amount_minor: int) -> RegisterResult:
        """`c`."""
        text = f"{self._tid}0c0000000100000{amount_minor:08d}{'':128}{receipt:09d}{'0' * 8}"
        return await self._money("book", amount_minor, text)

    async def refund(self, amount_minor: int) -> RegisterResult:
        """`A`."""
        return await self._money("refund", amount_minor, f"{self._tid}0A0000000100000{amount_minor:08d}{'0' * 8}")

    async def reverse(self, receipt: int) -> RegisterResult:
        """`S`: the last payment; `receipt` is its STAN, 0 for no check."""
        return await self._money("reverse", 0, f"{self._tid}0S00000001{receipt:06d}00")

    async def repeat(self) -> RegisterResult:
        """`G`."""
        try:
            await self._send(f"{self._tid}0G00000001{'0' * 4}")
            result = self._read("last", 0, await self._result())
        except SilenceError as error:
            return RegisterResult(Verdict.UNKNOWN, "last", text=str(error))
        if self._last_stan is None:
            self._last_stan = result.trace or 0
        return result

    async def _plain(
        self, request: str, message: str, good: Callable[[str], bool], *, text: Callable[[str], str]
    ) -> RegisterResult:
        try:
            await self._send(message)
            said = await self._result()
        except SilenceError as error:
            return RegisterResult(Verdict.UNKNOWN, request, text=str(error))
        return RegisterResult(Verdict.DONE if good(said) else Verdict.FAILED, request, text=text(said))

    async def _money(self, request: str, amount_minor: int, message: str) -> RegisterResult:
        began = asyncio.get_running_loop().time()
        if self.journal.unresolved is not None and (await self.recover() or _NOTHING).verdict is Verdict.UNKNOWN:
            return RegisterResult(Verdict.FAILED, request, text="How the last request ended is not known yet; nothing was asked.")
        if self._last_stan is None and (await self.repeat()).verdict is Verdict.UNKNOWN:
            return RegisterResult(Verdict.FAILED, request, text="The terminal does not answer; nothing was asked.")
        self.journal.asked(request, amount_minor, self._last_stan)
        try:
            await self._send(message)
            result = self._read(request, amount_minor, await self._result())
        except RefusedError as error:
            result = RegisterResult(Verdict.FAILED, request, text=f"{error}; nothing was asked.")
        except SilenceError:
            result = await self._ask_last(request, amount_minor, self._last_stan)
        self._last_stan = result.trace or self._last_stan
        result = RegisterResult(
            result.verdict, request, result.amount_minor, result.code, result.text, result.receipt, result.trace, result.authorisation,
            result.learnt_later, took_s=asyncio.get_running_loop().time() - began,
        )  # fmt: skip
        self.journal.ended(result)
        return result

    async def recover(self) -> RegisterResult | None:
        """`G`, where the end of the last request isn't known."""
        asked = self.journal.unresolved
        if asked is None:
            return None
        result = await self._ask_last(asked["request"], int(asked["amount_minor"]), asked["before"])
        self.journal.ended(result)
        return result

    async def _ask_last(self, request: str, amount_minor: int, before: int | None) -> RegisterResult:
        for _ in range(ASK_LAST_MAX):
            await asyncio.sleep(ASK_LAST_PAUSE_S)
            result = await self.repeat()
            if result.verdict is not Verdict.UNKNOWN:
                if result.done and result.trace == before:
                    return RegisterResult(
                        Verdict.FAILED, request, text="Not done: the terminal knows nothing of it.", learnt_later=True
                    )
                moved = amount_minor if result.done else 0
                return RegisterResult(
                    result.verdict,
                    request,
                    moved,
                    result.code,
                    result.text,
                    result.receipt,
                    result.trace,
                    result.authorisation,
                    True,
                )
        return RegisterResult(Verdict.UNKNOWN, request, text="The terminal does not answer. Ask again before the shopper leaves.")

    async def _send(self, text: str) -> None:
        await self._wire.opened()
        await self._wire.quiet(QUIET_S, ACK_PATIENCE_S)
        body = text.encode("ascii")
        for _ in range(SENDINGS_MAX):
            self._wire.forget()
            self._wire.write(bytes([STX]) + body + bytes([ETX, check(body, self._covers)]))
            try:
                first = (await self._wire.read(1, ACK_PATIENCE_S, "ACK of the request"))[0]
                if first in (SOH, STX):  # the ACK was lost, but whoever answers has the request
                    self._wire.unread(bytes([first]))
                    return
                await self._wire.read(2, ACK_PATIENCE_S, "end of the ACK")
            except SilenceError:
                continue
            if first == ACK:
                return
            if first == NAK:
                raise RefusedError("the terminal refuses the command (busy, not handled, or another terminal id)")
        raise SilenceError("the terminal does not take the request")

    async def _result(self) -> str:
        """The next application message, acknowledged; progress on the way is kept."""
        for _ in range(1000):
            first = (await self._wire.read(1, END_PATIENCE_S, "result"))[0]
            if first == SOH:
                said = await self._wire.read_until(EOT, 0, ACK_PATIENCE_S, "end of a progress message")
                self.progress.append(said[:-1].decode("ascii", "replace"))
            elif first == STX:
                frame = await self._wire.read_until(ETX, 1, ACK_PATIENCE_S, "end of the result")
                body, said_check = frame[:-2], frame[-1]
                if check(body, self._covers) == said_check:
                    self._wire.write(bytes([ACK, ETX, ACK ^ ETX ^ 0x7F]))
                    return body.decode("ascii", "replace")
                self._wire.write(bytes([NAK, ETX, NAK ^ ETX ^ 0x7F]))
        raise SilenceError("the terminal talks without end")

    @staticmethod
    def _read(request: str, amount_minor: int, said: str) -> RegisterResult:
        if said[10:12] != "00":
            return RegisterResult(Verdict.DECLINED, request, 0, said[10:12], said[12:36].strip())
        if said[9] == "e":
            return RegisterResult(
                Verdict.DONE,
                request,
                int(said[40:48]),
                "00",
                receipt=int(said[48:57]),
                trace=int(said[82:88]),
                authorisation=said[34:40],
            )
        if said[9] == "i":
            return RegisterResult(
                Verdict.DONE, request, amount_minor, "00", trace=int(said[51:57]), authorisation=said[45:51].strip()
            )
        if said[9] == "A":
            return RegisterResult(Verdict.DONE, request, amount_minor, "00", authorisation=said[34:40])
        return RegisterResult(Verdict.DONE, request, amount_minor, "00", trace=int(said[59:65]), authorisation=said[34:40].strip())
