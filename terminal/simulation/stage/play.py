"""What a person may do on the stage, and what is seen of it: the port between the page and the real programs."""

from __future__ import annotations

import enum
from dataclasses import dataclass, field
from typing import Protocol

from terminal.simulation.stage.reckoning import Booked, Rung, Verdict

AMOUNT_MAX_MINOR = 99_999_999
"""What fits on the register's display and in ZVT's six bytes."""


class PlayError(Exception):
    """What was asked can't be done now; the sentence says why and what to do."""


class Up(enum.Enum):
    """How a program is."""

    RUNNING = "running"
    STARTING = "starting"
    OFF = "off"


@dataclass(frozen=True, slots=True)
class Choice:
    """A hand that may be held over the ring."""

    id: str
    label: str
    note: str


CHOICES = (
    Choice("ada", "Ada", "enrolled, may spend 100.00"),
    Choice("ben", "Ben", "enrolled, may spend 20.00"),
    Choice("chloe", "Chloe", "enrolled, left hand"),
    Choice("stranger", "A stranger", "has never enrolled"),
    Choice("two", "Two hands", "which one is meant?"),
    Choice("none", "No hand", "nobody comes"),
)


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Everything that the stage's page shows. Times are local, HH:MM:SS."""

    terminal: Up = Up.STARTING
    service: Up = Up.STARTING
    shopper_url: str = ""
    hand: str = "none"
    display: tuple[str, str] = ("", "")
    busy: bool = False
    rung: tuple[Rung, ...] = ()
    ledger: tuple[Booked, ...] = ()
    verdict: Verdict = field(default_factory=lambda: Verdict(0, 0, ()))
    reading: bool = False  # the ledger is about to be read again: a difference may only be the old page
    starts: int = 0
    notice: str = ""


class Play(Protocol):
    """The stage behind the page. Each act returns when it has begun, not when it is over; each raises PlayError."""

    def snapshot(self) -> Snapshot:
        """What is on show now."""

    async def hand(self, who: str) -> None:
        """Hold a hand (the id of a Choice) over the ring."""

    async def pay(self, amount_minor: int) -> None:
        """The cashier asks for money."""

    async def abort(self) -> None:
        """The cashier presses stop."""

    async def pull_plug(self) -> None:
        """The terminal's power goes (kill -9) and comes back."""

    async def service(self, *, up: bool) -> None:
        """The identity service is killed, or comes back."""

    async def picture(self) -> bytes | None:
        """A small PNG of what the reader sees now; None when there is none."""
