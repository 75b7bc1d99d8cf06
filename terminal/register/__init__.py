"""The cash register, seen from the till: protocols, lines, and the one core they are translated onto."""

from __future__ import annotations

from collections.abc import Callable

from terminal.config import RegisterOptions, Shop
from terminal.register.line import Line, LineError, open_line
from terminal.register.machine import Machine, Till
from terminal.register.session import Core, RegisterSession, SettingsStore, Tap

__all__ = ["PROTOCOLS", "Core", "Line", "LineError", "RegisterSession", "SettingsStore", "open_machine", "open_session"]

Factory = Callable[[RegisterOptions, Till], Machine]


def _echo_free(options: RegisterOptions, machine: Machine, proofs: tuple[bytes, ...], least: int) -> Machine:
    """On a serial line, behind the filter for echoing adapters. ZVT has its own; Concert's states let an echo do no harm."""
    from terminal.register.echo import EchoFree

    return EchoFree(machine, proofs, least) if options.line == "serial" else machine


def _zvt(options: RegisterOptions, till: Till) -> Machine:
    from terminal.register.zvt import open_machine as make

    return make(options, till)


def _concert(options: RegisterOptions, till: Till) -> Machine:
    from terminal.register.concert import ConcertMachine

    return ConcertMachine(till, keep_unheard=options.concert_unheard_approval == "keep")


def _concert_v3(options: RegisterOptions, till: Till) -> Machine:
    from terminal.register.concert_v3 import ConcertV3Machine

    return ConcertV3Machine(till)


def _ecr17(options: RegisterOptions, till: Till) -> Machine:
    from terminal.register.ecr17 import Ecr17Machine

    # A register's messages begin like ours, with the terminal id; code and result make the difference.
    return _echo_free(options, Ecr17Machine(till), (b"\x01", b"\x02"), 14)


def _transbank(options: RegisterOptions, till: Till) -> Machine:
    from terminal.register.transbank import TransbankMachine

    return _echo_free(options, TransbankMachine(till), (b"\x02",), 5)


# A protocol is one line here and its own file or folder. Imported only when chosen: a till speaks one of them.
PROTOCOLS: dict[str, Factory] = {
    "zvt": _zvt,
    "concert": _concert,
    "concert-v3": _concert_v3,
    "ecr17": _ecr17,
    "transbank": _transbank,
}


RESERVES = ("zvt", "ecr17")
"""Protocols that can hold an amount and charge it later: what a pump and a gate need."""


def open_machine(options: RegisterOptions, shop: Shop, settings: dict[str, str]) -> Machine:
    """The machine of the configured protocol. Raises LineError where this build has none of that name."""
    factory = PROTOCOLS.get(options.protocol)
    if factory is None:
        raise LineError(f"[register] protocol {options.protocol!r} is not in this build; there are: {', '.join(PROTOCOLS)}.")
    if shop.kind != "counter" and options.protocol not in RESERVES:
        raise LineError(
            f"[shop] kind {shop.kind!r} needs a register that can reserve and book, which {options.protocol!r} can't. "
            f'Use {" or ".join(RESERVES)}, or kind "counter".'
        )
    till = Till(
        terminal_id=options.terminal_id,
        currency=shop.currency,
        password=options.password,
        gate=shop.kind == "gate",
        settings=settings,
    )
    return factory(options, till)


def open_session(
    options: RegisterOptions, shop: Shop, core: Core, settings_store: SettingsStore, tap: Tap | None = None
) -> RegisterSession:
    """Machine, line and core put together as configured; `await session.start()` opens the line."""
    machine = open_machine(options, shop, settings_store.load(options.protocol))
    return RegisterSession(machine, open_line(options), core, settings_store, options.protocol, tap)
