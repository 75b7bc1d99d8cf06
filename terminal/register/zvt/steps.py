"""What a dialogue can ask of the machine that runs it.

A dialogue is a generator: it yields one step, the machine sends it what came of it. So each of ZVT's sequences reads from top to
bottom as the specification draws it, and none of them knows of lines, clocks or the core's tasks.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from terminal.register.machine import Action, Ask, Delivered, Till
from terminal.register.zvt.apdu import Apdu
from terminal.register.zvt.registration import Registration

T3_S = 5.0  # between a command and its 80 or 84
POSITIVE = Apdu(0x8000)


@dataclass(frozen=True, slots=True)
class Reply:
    """Answer the register's command with 80 or 84. Comes back at once, with None."""

    apdu: Apdu = POSITIVE


@dataclass(frozen=True, slots=True)
class Call:
    """Ask the core; comes back with its Answer. Intermediate states, aborts and enquiries are served meanwhile."""

    ask: Ask


@dataclass(frozen=True, slots=True)
class Tell:
    """Send a command of ours; comes back with the register's reply, or None where it did not reply in time.

    `last`: the dialogue ends with it, so a new command of the register is as good as a reply.
    """

    apdu: Apdu
    patience_s: float = T3_S
    last: bool = False


@dataclass(frozen=True, slots=True)
class Pause:
    """Comes back after this time, with None."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Settle:
    """The register took it; comes back when the core has written that down: True, or False where it could not."""

    delivered: Delivered


@dataclass(frozen=True, slots=True)
class Do:
    """An action that nothing comes back from."""

    action: Action


@dataclass(frozen=True, slots=True)
class Taken:
    """Comes back, with None, when the register's transport has taken our reply, or after this time."""

    patience_s: float


Step = Reply | Call | Tell | Pause | Settle | Do | Taken
Dialogue = Generator[Step, Any, None]


class GoneError(Exception):
    """Thrown into a dialogue: the register is not there any more, or has begun something else."""


class RefusedError(Exception):
    """Raised by a dialogue before its first step: answer the command with 84 and this code."""

    def __init__(self, code: int, data: bytes = b"") -> None:
        super().__init__(f"84 {code:02X}")
        self.code = code
        self.data = data


@dataclass(slots=True)
class Context:
    """What every dialogue may use."""

    till: Till
    registration: Registration
    has_rate: bool = True  # a serial line
    number: int = 0  # of the last Ask
    screen: list[str] = field(default_factory=list)  # last text of 06 E0
    wall: Callable[[], datetime] = datetime.now  # only for what is printed in records

    def next_number(self) -> int:
        """The number of the next Ask."""
        self.number += 1
        return self.number

    def year(self) -> str:
        """YYYY, for records."""
        return f"{self.wall():%Y}"

    def stamp(self) -> tuple[str, str]:
        """MMDD and HHMMSS, for records."""
        now = self.wall()
        return f"{now:%m%d}", f"{now:%H%M%S}"
