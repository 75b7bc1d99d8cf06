"""A cash register that speaks Transbank POS Integrado.

A sale stands when its `0210` says 00 and was acknowledged. Where the answer was lost the register asks for the last sale (`0250`); that
is ours only if its operation number is another than that of the last one known before.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Self

from terminal.register.line import Line
from terminal.register.till.bytes_wire import BytesWire, SilenceError, Tap, xor_of
from terminal.register.till.journal import TillJournal
from terminal.register.till.plain import PlainRegister
from terminal.register.till.result import RegisterResult, Verdict

STX, ETX, ACK, NAK = 0x02, 0x03, 0x06, 0x15
ACK_PATIENCE_S = 5.0
QUIET_S = 0.1
"""Of silence before a request: a late answer to an earlier one must not pass for this one's."""
END_PATIENCE_S = 150.0
MESSAGES_MAX = 100
"""Progress messages before an answer."""


ASK_LAST_MAX = 5
ASK_LAST_PAUSE_S = 2.0


class RefusedError(SilenceError):
    """The terminal said NAK: it has not begun."""


_NOTHING = RegisterResult(Verdict.DONE, "nothing")


class TransbankRegister(PlainRegister):
    """`async with TransbankRegister(line) as register: await register.pay(1234)`; amounts are whole pesos."""

    PROTOCOL = "Transbank"

    def __init__(self, line: Line, *, journal: TillJournal | None = None, tap: Tap | None = None) -> None:
        self._wire = BytesWire(line, tap)
        self.journal = journal or TillJournal()
        self.progress: list[str] = []
        self._last_operation: int | None = None

    async def __aenter__(self) -> Self:
        await self._wire.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._wire.close()

    async def status(self) -> RegisterResult:
        """`0100`: acknowledged, nothing more."""
        try:
            await self._send("0100")
        except SilenceError as error:
            return RegisterResult(Verdict.UNKNOWN, "status", text=str(error))
        return RegisterResult(Verdict.DONE, "status", text="present")

    async def pay(self, amount_minor: int) -> RegisterResult:
        """`0200`."""
        return await self._money("pay", amount_minor, f"0200|{amount_minor}|TICK01|||1|")

    async def reverse(self, receipt: int) -> RegisterResult:
        """`1200`."""
        return await self._money("reverse", 0, f"1200|{receipt}|")

    async def turnover(self) -> RegisterResult:
        """`0700`."""
        return await self._plain("totals", "0700||")

    async def end_of_day(self) -> RegisterResult:
        """`0500`."""
        return await self._plain("end-of-day", "0500||")

    async def repeat(self) -> RegisterResult:
        """`0250`; the receipt is the operation number."""
        try:
            await self._send("0250|")
            fields = await self._answer()
            receipt = int(fields[10]) if fields[1] == "00" and fields[10] else None
        except RefusedError as error:
            return RegisterResult(Verdict.FAILED, "last", text=str(error))
        except (SilenceError, ValueError, IndexError) as error:
            return RegisterResult(Verdict.UNKNOWN, "last", text=str(error))
        if self._last_operation is None:
            self._last_operation = receipt or 0
        return RegisterResult(
            Verdict.DONE if receipt else Verdict.FAILED, "last", code=fields[1], receipt=receipt, authorisation=fields[5]
        )

    async def _plain(self, request: str, message: str) -> RegisterResult:
        try:
            await self._send(message)
            fields = await self._answer()
        except SilenceError as error:
            return RegisterResult(Verdict.UNKNOWN, request, text=str(error))
        return RegisterResult(
            Verdict.DONE if fields[1] == "00" else Verdict.FAILED, request, code=fields[1], text=" ".join(fields[2:]).strip()
        )

    async def _money(self, request: str, amount_minor: int, message: str) -> RegisterResult:
        began = asyncio.get_running_loop().time()
        if self.journal.unresolved is not None and (await self.recover() or _NOTHING).verdict is Verdict.UNKNOWN:
            return RegisterResult(Verdict.FAILED, request, text="How the last request ended is not known yet; nothing was asked.")
        if self._last_operation is None and (await self.repeat()).verdict is Verdict.UNKNOWN:
            return RegisterResult(Verdict.FAILED, request, text="The terminal does not answer; nothing was asked.")
        self.journal.asked(request, amount_minor, self._last_operation)
        try:
            await self._send(message)
            fields = await self._answer()
            done = fields[1] == "00"
            sale = fields[0] == "0210" and done
            result = RegisterResult(
                Verdict.DONE if done else Verdict.ABORTED if fields[1] == "07" else Verdict.DECLINED,
                request,
                int(fields[6]) if sale else 0,
                fields[1],
                receipt=int(fields[10]) if sale else None,
                authorisation=fields[5] if sale else "",
                took_s=asyncio.get_running_loop().time() - began,
            )
        except RefusedError as error:
            result = RegisterResult(Verdict.FAILED, request, text=f"Not done: {error}.")
        except (SilenceError, ValueError, IndexError):
            result = await self._ask_last(request, amount_minor, self._last_operation)
        self._last_operation = result.receipt or self._last_operation
        self.journal.ended(result)
        return result

    async def recover(self) -> RegisterResult | None:
        """`0250`, where the end of the last request isn't known."""
        asked = self.journal.unresolved
        if asked is None:
            return None
        result = await self._ask_last(asked["request"], int(asked["amount_minor"]), asked["before"])
        self.journal.ended(result)
        return result

    async def _ask_last(self, request: str, amount_minor: int, before: int | None) -> RegisterResult:
        for _ in range(ASK_LAST_MAX):
            await asyncio.sleep(ASK_LAST_PAUSE_S)
            last = await self.repeat()
            if last.verdict is Verdict.UNKNOWN:
                continue
            if last.done and last.receipt not in (None, before):
                return replace(last, request=request, amount_minor=amount_minor, learnt_later=True)
            return RegisterResult(Verdict.FAILED, request, text="Not done: the terminal knows nothing of it.", learnt_later=True)
        return RegisterResult(Verdict.UNKNOWN, request, text="The terminal does not answer. Ask again before the shopper leaves.")

    async def _send(self, text: str) -> None:
        await self._wire.opened()
        body = text.encode("ascii")
        await self._wire.quiet(QUIET_S, ACK_PATIENCE_S)
        self._wire.write(bytes([STX]) + body + bytes([ETX, xor_of(body) ^ ETX]))
        while (first := (await self._wire.read(1, ACK_PATIENCE_S, "ACK of the request"))[0]) != ACK:
            if first == NAK:
                raise RefusedError("the terminal refuses the request")
            if first == STX:  # the ACK was lost, but whoever answers has the request
                self._wire.unread(bytes([first]))
                return

    async def _answer(self) -> list[str]:
        for _ in range(MESSAGES_MAX):
            frame = await self._wire.read_until(ETX, 1, END_PATIENCE_S, "answer")
            body = frame[1:-2]
            if frame[0] != STX or xor_of(body) ^ ETX != frame[-1]:
                self._wire.write(bytes([NAK]))
                continue
            self._wire.write(bytes([ACK]))
            fields = body.decode("ascii", "replace").split("|")
            if fields[0] != "0900":
                return fields
            self.progress.append(fields[1])
        raise SilenceError("the terminal reports progress without end")
