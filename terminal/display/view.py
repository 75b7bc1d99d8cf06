"""What is on show right now, the port through which the app says so, and a recorder of it for tests."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

from terminal.checkout import Outcome, Screen

RECORDED_MAX = 10_000
"""Views that a RecordedDisplay keeps; the oldest go first."""


@dataclass(frozen=True, slots=True)
class View:
    """Everything that the shopper's screen and the ring depend on.

    amount_minor: minor units (cents), None where no amount is shown. currency: ISO 4217.
    name: what the person chose to be called on a screen; shown with PAID, REFUNDED, RESERVED and ENROLLED only, not in repr().
    certainty: 0..1, how far the evidence is; for the ring only.
    guidance: the value of a `terminal.palm.types.Guidance` ("higher"); a string since display does not know the palm pipeline.
    code: for the technician, with OUT_OF_ORDER.
    """

    screen: Screen = Screen.STARTING
    amount_minor: int | None = None
    currency: str | None = None
    outcome: Outcome | None = None
    name: str = field(default="", repr=False)
    certainty: float = 0.0
    guidance: str | None = None
    code: str = ""


class Display(Protocol):
    """What the shopper sees. `show` never waits and never raises; only the latest view counts."""

    def show(
        self,
        screen: Screen,
        *,
        amount_minor: int | None = None,
        currency: str | None = None,
        outcome: Outcome | None = None,
        name: str = "",
        certainty: float = 0.0,
        guidance: str | None = None,
        code: str = "",
    ) -> None:
        """Replace what is shown. Arguments as in `View`."""


class RecordedDisplay:
    """Keeps every view that was shown, oldest first; for tests."""

    def __init__(self) -> None:
        self.views: list[View] = []

    def show(
        self,
        screen: Screen,
        *,
        amount_minor: int | None = None,
        currency: str | None = None,
        outcome: Outcome | None = None,
        name: str = "",
        certainty: float = 0.0,
        guidance: str | None = None,
        code: str = "",
    ) -> None:
        """Keep it."""
        self.views.append(View(screen, amount_minor, currency, outcome, name, certainty, guidance, code))
        del self.views[:-RECORDED_MAX]

    @property
    def view(self) -> View:
        """What is on show now; STARTING before anything was shown."""
        return self.views[-1] if self.views else View()

    @property
    def screens(self) -> list[Screen]:
        """The screens in order, repetitions left out."""
        out: list[Screen] = []
        for view in self.views:
            if not out or out[-1] is not view.screen:
                out.append(view.screen)
        return out
