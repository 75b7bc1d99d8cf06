"""What every cash register here can be asked, whatever it speaks; and the choice of one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal, Protocol, Self

from terminal.register.line import Line
from terminal.register.till.journal import TillJournal
from terminal.register.till.result import RegisterResult

Tap = Callable[[Literal["in", "out", "note"], bytes | str], None]


class CashRegister(Protocol):
    """An open register. Use it with `async with`. A request that its protocol lacks ends FAILED with a sentence."""

    journal: TillJournal

    async def __aenter__(self) -> Self:
        """Open the line."""

    async def __aexit__(self, *_: object) -> None:
        """Close it."""

    async def register(self) -> RegisterResult:
        """Introduce the register to the terminal, where the protocol has that."""

    async def log_off(self) -> RegisterResult:
        """Undo `register`."""

    async def status(self) -> RegisterResult:
        """Is the terminal there and ready?"""

    async def pay(self, amount_minor: int) -> RegisterResult:
        """Ask for this amount."""

    async def refund(self, amount_minor: int) -> RegisterResult:
        """Give this amount back."""

    async def reverse(self, receipt: int) -> RegisterResult:
        """Undo a finished payment."""

    async def reserve(self, amount_minor: int) -> RegisterResult:
        """Hold this amount."""

    async def raise_hold(self, receipt: int, amount_minor: int) -> RegisterResult:
        """Hold this much more on what is held."""

    async def book(self, receipt: int, amount_minor: int) -> RegisterResult:
        """Charge this much of what is held."""

    async def release_part(self, receipt: int, amount_minor: int) -> RegisterResult:
        """Give back this much of what is held, charge the rest."""

    async def release(self, receipt: int) -> RegisterResult:
        """Give back all that is held."""

    async def reservations(self) -> RegisterResult:
        """Which reservation is open? At a gate: which one is the palm's owner's?"""

    async def end_of_day(self) -> RegisterResult:
        """Totals, and a new period begins."""

    async def turnover(self) -> RegisterResult:
        """Totals."""

    async def repeat(self) -> RegisterResult:
        """The last transaction as the terminal knows it."""

    async def diagnosis(self) -> RegisterResult:
        """The terminal checks itself."""

    async def abort(self) -> bool:
        """Stop the request that is open; False where it is too late."""

    async def recover(self) -> RegisterResult | None:
        """Learn how the last request ended whose end isn't known; None where there is none."""


@dataclass(slots=True)
class Setup:
    """What a register needs to know, besides its line."""

    serial: bool = True
    currency: int | None = 978
    password: str = "000000"  # noqa: S105 - what terminals expect that check none
    journal: TillJournal = field(default_factory=TillJournal)
    tap: Tap | None = None
    display: Callable[[str], None] | None = None
    options: dict[str, str] = field(default_factory=dict)  # the protocol's own, for example ZVT's `config`


def _zvt(line: Line, setup: Setup) -> CashRegister:
    from terminal.register.till.zvt_register import CONFIG, ZvtRegister

    tlv = setup.options.get("tlv")
    return ZvtRegister(
        line,
        serial=setup.serial,
        config=int(setup.options.get("config", f"{CONFIG:02X}"), 16),
        currency=setup.currency,
        password=setup.password,
        tlv=bytes.fromhex(tlv) if tlv is not None else None,
        journal=setup.journal,
        display=setup.display,
        tap=setup.tap,
    )


def _concert(line: Line, setup: Setup) -> CashRegister:
    from terminal.register.till.concert_register import ConcertRegister

    waits = setup.options.get("delay", "A010") != "A011"
    return ConcertRegister(line, waits=waits, currency=setup.currency or 978, journal=setup.journal, tap=setup.tap)


def _concert_v3(line: Line, setup: Setup) -> CashRegister:
    from terminal.register.till.concert_register import ConcertV3Register

    return ConcertV3Register(line, currency=setup.currency or 978, journal=setup.journal, tap=setup.tap)


def _ecr17(line: Line, setup: Setup) -> CashRegister:
    from terminal.register.till.ecr17_register import Ecr17Register

    options = setup.options
    return Ecr17Register(
        line,
        terminal_id=options.get("terminal-id", "00000000"),
        covers=options.get("lrc", "noext"),
        journal=setup.journal,
        tap=setup.tap,
    )


def _transbank(line: Line, setup: Setup) -> CashRegister:
    from terminal.register.till.transbank_register import TransbankRegister

    return TransbankRegister(line, journal=setup.journal, tap=setup.tap)


# A protocol's register is one line here and a file of its own.
REGISTERS: dict[str, Callable[[Line, Setup], CashRegister]] = {
    "zvt": _zvt,
    "concert": _concert,
    "concert-v3": _concert_v3,
    "ecr17": _ecr17,
    "transbank": _transbank,
}


def open_register(protocol: str, line: Line, setup: Setup) -> CashRegister:
    """The register that speaks this protocol. Raises ValueError with the names that there are."""
    make = REGISTERS.get(protocol)
    if make is None:
        raise ValueError(f"No register here speaks {protocol!r}; there are: {', '.join(REGISTERS)}.")
    return make(line, setup)
