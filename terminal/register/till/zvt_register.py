"""A cash register that speaks ZVT.

It counts a payment as made when it has acknowledged the status information (04 0F) and seen the completion (06 0F); where the end
is lost, it asks with Repeat Receipt (06 20) and takes that as the truth: a receipt that it has not seen before, not reversed.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Self

from terminal.register.line import Line
from terminal.register.till import zvt_codec as codec
from terminal.register.till.journal import TillJournal
from terminal.register.till.result import RegisterResult, Verdict
from terminal.register.till.zvt_codec import Status, command, digits
from terminal.register.till.zvt_wire import LineGoneError, Tap, ZvtWire

LOG = logging.getLogger(__name__)

OK = b"\x80\x00\x00"
REPLY_PATIENCE_S = 7.0  # T3 is 5 s; a little more, as the terminal counts from another moment
END_PATIENCE_S = 180.0  # T4: from one sign of life to the next
AFTER_RESULT_S = 30.0  # from one message to the next when the result is here: receipts and the completion follow at once
LINE_PATIENCE_S = 5.0  # for the line to be there before a request is given up as never made
RECOVER_PAUSE_S = 2.0
RECOVER_MAX_S = 120.0  # for the terminal to be there again and to say how the last request ended
CONFIG = 0xBE  # receipts by print lines, intermediate states, no amount entry on the terminal
RECOVER_END_S = 20.0  # for the terminal to look up its last transaction
INTERMEDIATE_PATIENCE_S = 75.0  # where the terminal sends 04 FF; twice as long as it may keep quiet, and its repeats
WANTS_INTERMEDIATE = 0x08
BUSY_CODE, ABORT_CODE = 0x9C, 0x6C
HOST_CODES = range(0x01, 0x64)

INTERMEDIATE = {
    0x04: "waiting for the service", 0x05: "reversing", 0x0A: "present your palm", 0x0E: "please wait", 0x17: "please wait",
    0x1C: "approved", 0x1D: "declined",
}  # fmt: skip


@dataclass(slots=True)
class _Talk:
    """What one request has brought so far."""

    amount_minor: int | None = None  # that was asked for, where a good result has to be of just this
    status: Status | None = None
    acknowledged: bool = False  # our positive reply to a good 04 0F has left
    part: int | None = None
    lines: list[str] = field(default_factory=list)
    data: bytes = b""  # of the completion or of the abort
    end: int = 0  # 060F, 061E, or 84xx


class ZvtRegister:
    """`async with ZvtRegister(line, serial=True) as register: await register.pay(1234)`.

    `answer_status` decides the reply to a status information; None vanishes without a reply. `display` is told what a cashier reads.
    """

    def __init__(
        self,
        line: Line,
        *,
        serial: bool = True,
        config: int = CONFIG,
        currency: int | None = 978,
        password: str = "000000",  # noqa: S107 - what terminals expect that check none
        tlv: bytes | None = None,
        journal: TillJournal | None = None,
        answer_status: Callable[[Status], bytes | None] | None = None,
        display: Callable[[str], None] | None = None,
        tap: Tap | None = None,
    ) -> None:
        self._wire = ZvtWire(line, serial=serial, tap=tap)
        self._config, self._currency, self._tlv = config, currency, tlv
        self._password = bytes.fromhex(password)
        self.journal = journal or TillJournal()
        self._answer_status = answer_status
        self._display = display or (lambda _: None)
        self._lock = asyncio.Lock()
        self._abort_reply: asyncio.Future[bool] | None = None
        self.registered = False

    async def __aenter__(self) -> Self:
        await self._wire.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._wire.close()

    # Requests.

    async def register(self) -> RegisterResult:
        """06 00."""
        data = self._password + bytes((self._config,))
        if self._currency is not None:
            data += digits(self._currency, 2)
        if self._tlv is not None:
            data += b"\x06" + bytes((len(self._tlv),)) + self._tlv
        result = await self._plain("register", command(0x0600, data))
        self.registered = self.registered or result.done
        return result

    async def log_off(self) -> RegisterResult:
        """06 02."""
        self.registered = False
        return await self._plain("log-off", command(0x0602), completes=False)

    async def status(self) -> RegisterResult:
        """05 01: the terminal's version and state."""
        return await self._plain("status", command(0x0501, self._password))

    async def diagnosis(self) -> RegisterResult:
        """06 70."""
        return await self._plain("diagnosis", command(0x0670))

    async def pay(self, amount_minor: int) -> RegisterResult:
        """06 01."""
        return await self._money("pay", amount_minor, command(0x0601, self._amount(amount_minor)))

    async def refund(self, amount_minor: int) -> RegisterResult:
        """06 31."""
        return await self._money("refund", amount_minor, command(0x0631, self._password + self._amount(amount_minor)))

    async def reverse(self, receipt: int) -> RegisterResult:
        """06 30."""
        return await self._money("reverse", 0, command(0x0630, self._password + b"\x87" + digits(receipt, 2)))

    async def reserve(self, amount_minor: int) -> RegisterResult:
        """06 22."""
        return await self._money("reserve", amount_minor, command(0x0622, self._amount(amount_minor)))

    async def book(self, receipt: int, amount_minor: int) -> RegisterResult:
        """06 24: charge this much of a reservation."""
        data = b"\x87" + digits(receipt, 2) + self._amount(amount_minor)
        return await self._money("book", amount_minor, command(0x0624, data))

    async def release_part(self, receipt: int, amount_minor: int) -> RegisterResult:
        """06 23: give back this much of a reservation, the rest is charged."""
        data = b"\x87" + digits(receipt, 2) + self._amount(amount_minor)
        return await self._money("release_part", amount_minor, command(0x0623, data))

    async def release(self, receipt: int) -> RegisterResult:
        """06 25: give back a whole reservation."""
        return await self._money("release", 0, command(0x0625, b"\x87" + digits(receipt, 2)))

    async def raise_hold(self, receipt: int, amount_minor: int) -> RegisterResult:
        """ZVT extends a reservation by another one."""
        return RegisterResult(Verdict.FAILED, "raise", text="ZVT has no raise; reserve again.")

    async def reservations(self) -> RegisterResult:
        """06 23 with receipt FF FF: the number of an open reservation, if any."""
        result = await self._plain("reservations", command(0x0623, b"\x87\xff\xff"))
        if result.code != "B8":
            return result
        said = result.more.get("data", "")[2:]
        receipt = codec.number(bytes.fromhex(said[2:6])) if said.startswith("87") else None
        return replace(result, verdict=Verdict.DONE, receipt=receipt)

    async def end_of_day(self) -> RegisterResult:
        """06 50."""
        return await self._plain("end-of-day", command(0x0650, self._password))

    async def turnover(self) -> RegisterResult:
        """06 10."""
        return await self._plain("turnover", command(0x0610, self._password))

    async def repeat(self) -> RegisterResult:
        """06 20 with the status: the last transaction as the terminal knows it."""
        return await self._plain("repeat", command(0x0620, self._password + b"\x03\x01"))

    async def abort(self) -> bool:
        """06 B0 while a request of ours is open (or not): True where the terminal stops."""
        if not self._lock.locked():
            return (await self._plain("abort", command(0x06B0), completes=False)).done
        if self._abort_reply is not None:
            return False  # one is under way
        reply: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._abort_reply = reply
        try:
            await self._wire.send(command(0x06B0))
            async with asyncio.timeout(REPLY_PATIENCE_S):
                return await reply
        except (TimeoutError, LineGoneError):
            return False
        finally:
            self._abort_reply = None

    async def recover(self) -> RegisterResult | None:
        """Learn how the last request ended whose end isn't known; None where there is none, UNKNOWN where nobody answers."""
        async with self._lock:
            asked = self.journal.unresolved
            if asked is None:
                return None
            return await self._learn(asked["request"], int(asked["amount_minor"]), asked["before"])

    # How a request is made.

    def _amount(self, amount_minor: int) -> bytes:
        said = b"\x04" + digits(amount_minor, 6)
        return said if self._currency is None else said + b"\x49" + digits(self._currency, 2)

    @property
    def _end_patience_s(self) -> float:
        """A terminal that was told so sends intermediate states; then silence means that it is gone."""
        return INTERMEDIATE_PATIENCE_S if self.registered and self._config & WANTS_INTERMEDIATE else END_PATIENCE_S

    async def _plain(self, request: str, message: bytes, *, completes: bool = True) -> RegisterResult:
        """A request that no money hangs on."""
        began = asyncio.get_running_loop().time()
        async with self._lock:
            talk = _Talk()
            try:
                if not await self._wire.opened(LINE_PATIENCE_S):
                    raise LineGoneError("the line is not there")  # noqa: TRY301
                await self._talk(talk, message, completes=completes)
            except LineGoneError as error:
                return RegisterResult(Verdict.UNKNOWN, request, text=str(error))
        if talk.status is not None and talk.status.receipt is not None and request == "repeat":
            self.journal.seen(talk.status.receipt)
        return self._result(request, talk, 0, asyncio.get_running_loop().time() - began)

    async def _money(self, request: str, amount_minor: int, message: bytes) -> RegisterResult:
        """A request that money hangs on: what came of it stands in the journal before this returns."""
        began = asyncio.get_running_loop().time()
        if not await self._wire.opened(LINE_PATIENCE_S):
            return RegisterResult(Verdict.FAILED, request, text="The terminal is not there; nothing was asked.")
        if self.journal.unresolved is not None and (await self.recover() or _NOTHING).verdict is Verdict.UNKNOWN:
            return RegisterResult(Verdict.FAILED, request, text="How the last request ended is not known yet; nothing was asked.")
        if self.journal.last_receipt is None and not await self._first_receipt():
            return RegisterResult(Verdict.FAILED, request, text="The terminal does not answer; nothing was asked.")
        async with self._lock:
            before = self.journal.last_receipt
            self.journal.asked(request, amount_minor, before)
            talk = _Talk(amount_minor if request in ("pay", "refund", "reserve", "book") else None)
            try:
                await self._talk(talk, message, end_patience_s=self._end_patience_s)
                result = self._result(request, talk, amount_minor, asyncio.get_running_loop().time() - began)
                sure = talk.end != 0 and not (talk.end == 0x060F and not talk.acknowledged)
            except LineGoneError as error:
                LOG.warning("register: %s in the middle of %s", error, request)
                sure = False
            if not sure:
                result = await self._learn(request, amount_minor, before)
                result = replace(result, took_s=asyncio.get_running_loop().time() - began)
            else:
                self.journal.ended(result)
            return result

    async def _first_receipt(self) -> bool:
        """A register that has never seen a receipt asks for the last one, to know later which is new."""
        result = await self.repeat()
        if result.verdict in (Verdict.UNKNOWN, Verdict.BUSY):
            return False
        if result.receipt is None:
            self.journal.seen(0)
        return True

    async def _talk(self, talk: _Talk, message: bytes, *, completes: bool = True, end_patience_s: float = END_PATIENCE_S) -> None:
        """One dialogue from our command to its end. `talk.end` stays 0 where the terminal falls silent."""
        self._wire.forget()
        await self._wire.send(message)
        answer = await self._wire.receive(REPLY_PATIENCE_S)
        while answer is not None and answer[0] not in (0x80, 0x84):
            # Left over from before: the terminal ends its old request first.
            await self._wire.reply(answer, command(0x8483))
            answer = await self._wire.receive(REPLY_PATIENCE_S)
        if answer is None:
            return
        code = codec.code_of(answer)
        if code not in (0x8000, 0x8400):
            talk.end, talk.data = code, codec.data_of(answer)
            return
        if not completes:
            talk.end = 0x060F
            return
        while talk.end == 0:
            message_in = await self._wire.receive(AFTER_RESULT_S if talk.acknowledged else end_patience_s)
            if message_in is None:
                return
            await self._told(talk, message_in)
        await self._late_abort_reply()

    async def _late_abort_reply(self) -> None:
        """An abort that crossed the end is still answered; its answer must not be taken for that of the next command."""
        while self._abort_reply is not None and not self._abort_reply.done():
            message = await self._wire.receive(REPLY_PATIENCE_S)
            if message is None:
                return
            if message[0] in (0x80, 0x84):
                self._abort_reply.set_result(codec.code_of(message) in (0x8000, 0x8400))
            else:
                await self._wire.reply(message, command(0x8483))

    async def _told(self, talk: _Talk, message: bytes) -> None:
        """One message of the terminal inside our request."""
        code, data = codec.code_of(message), codec.data_of(message)
        if message[0] in (0x80, 0x84):
            if self._abort_reply is not None and not self._abort_reply.done():
                self._abort_reply.set_result(code in (0x8000, 0x8400))
            return
        reply: bytes | None = OK
        if code == 0x040F:
            reply = self._take_status(talk, data)
        elif code == 0x04FF:
            self._display(INTERMEDIATE.get(data[0] if data else 0, "please wait"))
        elif code == 0x06D1:
            talk.lines.append(data[1:].decode("cp437"))
        elif code == 0x06D3:
            talk.lines += _block_lines(data)
        elif code in (0x060F, 0x061E):
            talk.end, talk.data = code, data
        if reply is None:
            raise LineGoneError("the register vanished")
        try:
            await self._wire.reply(message, reply)
        except LineGoneError:
            if code != 0x060F or not talk.acknowledged:
                raise
            # The completion is here; whether the terminal hears our last word does not matter.

    def _take_status(self, talk: _Talk, data: bytes) -> bytes | None:
        try:
            status = Status.read(data)
        except ValueError as error:
            LOG.warning("register: a status that can't be read (%s)", error)
            return command(0x849A)
        if status.code == 0 and talk.amount_minor is not None and status.amount_minor != talk.amount_minor:
            LOG.warning("register: a result of another amount than was asked for is refused")
            return command(0x8400 | ABORT_CODE)
        reply = OK if self._answer_status is None else self._answer_status(status)
        if reply is None:
            return None
        talk.status = status
        code = codec.code_of(reply)
        talk.acknowledged = status.code == 0 and code in (0x8000, 0x8400, 0x849D)
        if code == 0x849D:
            talk.part = codec.number(codec.data_of(reply)[1:7])
        return reply

    def _result(self, request: str, talk: _Talk, amount_minor: int, took_s: float) -> RegisterResult:
        status = talk.status
        code = talk.data[0] if talk.end == 0x061E and talk.data else talk.end & 0xFF if talk.end >> 8 == 0x84 else 0
        if talk.end == 0x060F and status is not None:
            code = status.code
        done = talk.end == 0x060F and code == 0
        text = status.text if status is not None else ""
        more = {"data": talk.data.hex()} if talk.data else {}
        if done and request == "status":
            text, more["state"] = _version(talk.data)
        moved = amount_minor
        if status is not None and status.amount_minor is not None and (amount_minor == 0 or request == "release_part"):
            moved = status.amount_minor
        return RegisterResult(
            verdict=Verdict.DONE if done else Verdict.UNKNOWN if talk.end == 0 else _verdict(code),
            request=request,
            amount_minor=(moved if talk.part is None else talk.part) if done else 0,
            code=f"{code:02X}",
            text=text,
            receipt=status.receipt if status else None,
            trace=status.trace if status else None,
            authorisation=status.authorisation if status else "",
            lines=tuple(talk.lines),
            took_s=took_s,
            more=more,
        )

    async def _learn(self, request: str, amount_minor: int, before: int | None) -> RegisterResult:
        """Ask for the last transaction until the terminal says which it was; what it says is the truth."""
        loop = asyncio.get_running_loop()
        until = loop.time() + RECOVER_MAX_S
        self._display("finding out how the last request ended")
        while loop.time() < until:
            talk = _Talk()
            with contextlib.suppress(LineGoneError):
                if await self._wire.opened(max(0.0, until - loop.time())):
                    await self._talk(talk, command(0x0620, self._password + b"\x03\x01"), end_patience_s=RECOVER_END_S)
            if talk.end == 0x061E or (talk.end == 0x060F and talk.status is not None):
                result = self._judged(request, amount_minor, before, talk)
                self.journal.ended(result)
                return result
            await asyncio.sleep(RECOVER_PAUSE_S)
        result = RegisterResult(Verdict.UNKNOWN, request, text="The terminal does not answer. Ask again before the shopper leaves.")
        self.journal.ended(result)
        return result

    def _judged(self, request: str, amount_minor: int, before: int | None, talk: _Talk) -> RegisterResult:
        status = talk.status if talk.end == 0x060F else None
        if status is None or status.receipt is None or status.receipt == before or status.code != 0:
            receipt = status.receipt if status else None
            return RegisterResult(
                Verdict.FAILED, request, text="Not done: the terminal knows nothing of it.", receipt=receipt, learnt_later=True
            )
        moved = status.amount_minor if status.amount_minor is not None else amount_minor
        return RegisterResult(
            Verdict.DONE, request, moved, "00", "Done; learnt from the terminal.", status.receipt, status.trace, learnt_later=True
        )


_NOTHING = RegisterResult(Verdict.DONE, "nothing")


def _verdict(code: int) -> Verdict:
    if code == BUSY_CODE:
        return Verdict.BUSY
    if code == ABORT_CODE:
        return Verdict.ABORTED
    return Verdict.DECLINED if code in HOST_CODES else Verdict.FAILED


def _version(data: bytes) -> tuple[str, str]:
    """Software version and state byte of a status enquiry's completion."""
    if len(data) > 3 and data[0] >> 4 == 0xF:
        size = 100 * (data[0] & 15) + 10 * (data[1] & 15) + (data[2] & 15)
        return data[3 : 3 + size].decode("cp437"), data[3 + size : 4 + size].hex()
    return "", data[:1].hex()


def _block_lines(data: bytes) -> list[str]:
    """The text lines of a print block."""
    with contextlib.suppress(ValueError, IndexError):
        container = codec.fields(data)[0x06]
        return [
            value.decode("cp437")
            for tag, texts in codec.elements(container)
            if tag == b"\x25"
            for inner, value in codec.elements(texts)
            if inner == b"\x07"
        ]
    return []
