"""A register, a line and a terminal in virtual time, where bytes get lost, doubled and changed and either side loses its power."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random

from terminal.config import RegisterOptions, Shop
from terminal.register import open_machine
from terminal.register.line import LineEvents
from terminal.register.machine import Answer, Ask, Kind, Note
from terminal.register.session import RegisterSession
from terminal.register.till import RegisterResult, TillJournal, Verdict
from terminal.register.till.base import CashRegister, Setup, open_register
from tests.terminal.register.till_core import LedgerCore, MemoryStore

GAPS = ("concert", "concert-v3", "transbank")  # protocols whose last word can be lost for good; see protocols.md
FINAL_MINOR = 100  # a plain payment after everything
CHUNK_BYTES_MAX = 12  # a write arrives in pieces of at most this
LATE_S = 0.4  # longest delay of a piece by a fault: beyond T1
IDLE_WITHIN_S = 240.0  # after the line has been good again: the longest of the protocols' time-outs and some


@dataclass
class Faults:
    """How likely each byte is lost, doubled, changed or late; `left` faults in all."""

    rate: float = 0.0
    left: int = 0


class EndLine:
    """One end of the cable, as a Line."""

    def __init__(self, cable: Cable, who: int) -> None:
        self._cable = cable
        self._who = who
        self.events: LineEvents | None = None
        self.name = ("register", "terminal")[who]

    async def start(self, events: LineEvents) -> None:
        self.events = events
        self._cable.attach(self._who, self)

    def write(self, data: bytes) -> None:
        self._cable.carry(self._who, data)

    def set_rate(self, baud: int) -> None:
        pass

    def hangup(self) -> None:
        pass

    async def close(self) -> None:
        self.events = None


class Cable:
    """Both directions, in order, with faults."""

    def __init__(self, rng: Random, *, serial: bool) -> None:
        self.ends: list[EndLine | None] = [None, None]
        self.plugged = True
        self.deaf = False  # bytes vanish, and nobody is told
        self.faults = Faults()
        self._rng = rng
        self._serial = serial
        self._free_s = [0.0, 0.0]  # until when each direction is busy
        self._pull_count = 0
        self.troubled = False  # something was done to the line or to a side's power

    def carry(self, sender: int, data: bytes) -> None:
        self.troubled |= self.deaf or not self.plugged
        if not self.plugged or self.deaf or not (self._serial or all(self.ends)):
            return
        loop = asyncio.get_running_loop()
        data, late_s = self._spoil(data)
        at = 0
        while at < len(data):
            size = self._rng.randint(1, CHUNK_BYTES_MAX)
            piece, at = data[at : at + size], at + size
            due = max(loop.time(), self._free_s[sender]) + 0.001 * len(piece) + late_s
            late_s = 0.0
            self._free_s[sender] = due
            loop.call_at(due, self._arrive, 1 - sender, piece, self._pull_count)

    def _spoil(self, data: bytes) -> tuple[bytes, float]:
        faults, rng = self.faults, self._rng
        out = bytearray()
        late_s = 0.0
        for byte in data:
            if not self._serial or faults.left <= 0 or rng.random() >= faults.rate:
                out.append(byte)
                continue
            faults.left -= 1
            self.troubled = True
            match rng.randrange(4):
                case 0:
                    pass
                case 1:
                    out += bytes((byte, byte))
                case 2:
                    out.append(byte ^ 1 << rng.randrange(8))
                case _:
                    out.append(byte)
                    late_s = rng.uniform(0.0, LATE_S)
        return bytes(out), late_s

    def _arrive(self, receiver: int, piece: bytes, pull_count: int) -> None:
        end = self.ends[receiver]
        if end is not None and end.events is not None and pull_count == self._pull_count and self.plugged:
            end.events.line_received(piece)

    def attach(self, who: int, end: EndLine) -> None:
        """A side has its power. A serial port is open at once; a connection needs both sides."""
        self.ends[who] = end
        if self._serial:
            if self.plugged and end.events is not None:
                end.events.line_opened()
        else:
            self._tell_opened()

    def pull(self) -> None:
        """Both sides notice."""
        if self.plugged:
            self.plugged, self.troubled = False, True
            self._lost()

    def plug(self) -> None:
        """It is there again."""
        self.deaf = False
        if not self.plugged:
            self.plugged = True
            self._tell_opened()

    def unplug_one(self, who: int) -> None:
        """A side has lost its power: nothing reaches it any more. Over TCP the other side sees the connection close."""
        self.ends[who] = None
        self.troubled = True
        if not self._serial:
            self._lost()

    def _tell_opened(self) -> None:
        if self.plugged and (self._serial or all(self.ends)):
            for end in self.ends:
                if end is not None and end.events is not None:
                    end.events.line_opened()

    def _lost(self) -> None:
        self._pull_count += 1
        for end in self.ends:
            if end is not None and end.events is not None:
                end.events.line_lost()


@dataclass
class SlowCore(LedgerCore):
    """Takes its time, and writes down what stands some milliseconds after it was told."""

    rng: Random = field(default_factory=Random)
    write_s: float = 0.02
    think_s: float = 3.0

    async def ask(self, ask: Ask, note: Callable[[Note], None]) -> Answer:
        if ask.kind in (Kind.PAY, Kind.REFUND, Kind.REVERSE):
            self.gate = asyncio.Event()
            asyncio.get_running_loop().call_later(self.rng.uniform(0.0, self.think_s), self.gate.set)
        return await super().ask(ask, note)

    async def delivered(self, number: int, amount_minor: int | None) -> None:
        await asyncio.sleep(self.rng.uniform(0.0, self.write_s))
        await super().delivered(number, amount_minor)

    def power_cut(self) -> None:
        """What was approved and is not known to stand is undone at the next start."""
        self.open_now = 0
        for number in list(self._pending):
            self.undo(number, "power cut")


class World:
    """`await world.start()`; requests through `pay`; faults through `cable`, `cut_terminal`, `cut_register`; then `settle`."""

    def __init__(self, seed: int, protocol: str = "zvt", *, serial: bool = True, options: dict[str, str] | None = None) -> None:
        self.rng = Random(seed)
        self.protocol = protocol
        self.serial = serial
        self.cable = Cable(self.rng, serial=serial)
        self.core = SlowCore(rng=self.rng)
        self.store = MemoryStore()
        self.journal = TillJournal()
        self.results: list[RegisterResult] = []
        self.asked_minor = {FINAL_MINOR}  # amounts that the register asked for
        self._options = options or {}
        self._session: RegisterSession | None = None
        self.register: CashRegister | None = None
        self._request: asyncio.Task[None] | None = None
        self._aborts: list[asyncio.Task[bool]] = []

    async def start(self) -> None:
        await self.start_terminal()
        await self.start_register()

    async def start_terminal(self) -> None:
        options = RegisterOptions.model_validate({"protocol": self.protocol, "line": "serial" if self.serial else "tcp"})
        machine = open_machine(options, Shop(), self.store.load(self.protocol))
        session = RegisterSession(machine, EndLine(self.cable, 1), self.core, self.store, self.protocol)
        self._session = session
        await session.start()

    async def start_register(self) -> None:
        setup = Setup(serial=self.serial, journal=self.journal, options=self._options)
        self.register = open_register(self.protocol, EndLine(self.cable, 0), setup)
        await self.register.__aenter__()

    async def cut_terminal(self) -> None:
        """Its power goes; nothing is ended in order."""
        session, self._session = self._session, None
        if session is None:
            return
        self.cable.unplug_one(1)
        if session._worker is not None:
            session._worker.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await session._worker
        session._started = False
        if session._timer is not None:
            session._timer.cancel()
        self.core.power_cut()

    async def cut_register(self) -> None:
        """Its power goes; what stands in its journal is all that is left."""
        for abort in self._aborts:
            abort.cancel()
        if self._request is not None:
            self._request.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._request
            self._request = None
        for abort in self._aborts:
            abort.cancel()
        self._aborts.clear()
        if self.register is not None:
            self.cable.unplug_one(0)
            await self.register.__aexit__()
            self.register = None

    def pay(self, amount_minor: int) -> None:
        """Begin a payment; one at a time."""
        if self.register is not None and (self._request is None or self._request.done()):
            register = self.register
            self.asked_minor.add(amount_minor)

            async def request() -> None:
                self.results.append(await register.pay(amount_minor))

            self._request = asyncio.ensure_future(request())

    def abort(self) -> None:
        """The cashier presses "stop"."""
        if self.register is not None and self._request is not None and not self._request.done():
            self._aborts.append(asyncio.ensure_future(self.register.abort()))

    async def settle(self) -> None:
        """Everything is there again; the register learns what it does not know. Raises AssertionError where the rule is broken."""
        self.cable.faults.left = 0
        self.cable.plug()
        if self._session is None:
            await self.start_terminal()
        if self.register is None:
            await self.start_register()
        assert self.register is not None
        assert self._session is not None
        if self._request is not None:
            await self._request
        await asyncio.gather(*self._aborts)
        for _ in range(10):
            if self.journal.unresolved is None:
                break
            await self.register.recover()
            await asyncio.sleep(1)
        assert self.journal.unresolved is None, "the register could not learn how its request ended"
        await self._idle(self._session)
        self.check()
        self.core.outcomes.clear()
        gap_minor = self.gap_minor
        last = await self.register.pay(FINAL_MINOR)
        if last.verdict is Verdict.FAILED:  # half a frame of before may still have been in the way
            last = await self.register.pay(FINAL_MINOR)
        assert last.done, f"after all that a plain payment fails: {last}"
        await self._idle(self._session)
        self.check()
        assert self.gap_minor == gap_minor, "a plain payment on a good line is not the same on both sides"

    async def _idle(self, session: RegisterSession) -> None:
        until_s = asyncio.get_running_loop().time() + IDLE_WITHIN_S
        while session.busy or session._machine.next_deadline_s is not None:
            assert asyncio.get_running_loop().time() < until_s, "the terminal is not idle again"
            await asyncio.sleep(1)

    @property
    def gap_minor(self) -> int:
        """How much more the register believes to have taken than the ledger has."""
        return self.journal.taken_minor - self.core.taken_minor

    def _explained(self) -> bool:
        """Whether a difference is the one that the protocol documents: the last word between both was lost, and it can't be asked for.

        Concert A010 and Transbank: the register's last ACK was lost, so it has what the terminal has undone. Concert V3: besides, the
        terminal's one answer was lost on its way. Never without trouble on the line.
        """
        asked = {a.amount_minor for a in self.core.asked if a.kind is Kind.PAY}
        if not self.protocol.startswith("zvt") and asked - self.asked_minor:
            return True  # two changed bytes that cancel out in an XOR: no side can tell that the amount is another
        if self.protocol not in GAPS or not self.cable.troubled:
            return False
        undone = [r.amount_minor for r in self.core.receipts if r.reversed]
        stands = [-r.amount_minor for r in self.core.receipts if not r.reversed] if self.protocol == "concert-v3" else []
        sums = {0}
        for amount in (*undone, *stands):
            sums |= {known + amount for known in sums}
        return self.gap_minor in sums

    def check(self) -> None:
        """The money rule."""
        core = self.core
        assert not core._pending, "approved, and neither delivered nor undone"
        assert core.open_most <= 1, "the core had two requests at once"
        settled = [n for n, _ in core.delivered_calls] + [n for n, _ in core.undelivered_calls]
        assert self.gap_minor == 0 or self._explained(), (
            f"the ledger has {core.taken_minor}, the register {self.journal.taken_minor}; {len(settled)} settled"
        )

    async def close(self) -> None:
        for abort in self._aborts:
            abort.cancel()
        if self._request is not None:
            self._request.cancel()
            with contextlib.suppress(asyncio.CancelledError, Exception):
                await self._request
        if self.register is not None:
            await self.register.__aexit__()
        if self._session is not None:
            await self._session.stop()
