"""What a register knows after a request, in words that hold for every protocol."""

from __future__ import annotations

import enum
from dataclasses import asdict, dataclass, field


class Verdict(enum.Enum):
    """How a register's request ended, as the register sees it."""

    DONE = "done"  # paid, reversed, refunded, booked …: what was asked for stands
    DECLINED = "declined"
    ABORTED = "aborted"
    BUSY = "busy"  # the terminal has a request open
    FAILED = "failed"  # refused for another reason; the code says which
    UNKNOWN = "unknown"  # the terminal can't be reached, so nobody knows yet; `recover` asks again


@dataclass(frozen=True, slots=True)
class RegisterResult:
    """One finished request."""

    verdict: Verdict
    request: str  # pay, refund, reverse …
    amount_minor: int = 0  # what stands, where money moved
    code: str = ""  # the protocol's own
    text: str = ""  # for the cashier
    receipt: int | None = None
    trace: int | None = None
    authorisation: str = ""
    learnt_later: bool = False  # not from this dialogue's end, but by asking for the last result
    lines: tuple[str, ...] = ()  # of receipts printed on the register
    took_s: float = 0.0
    more: dict[str, str] = field(default_factory=dict)

    @property
    def done(self) -> bool:
        """What was asked for stands."""
        return self.verdict is Verdict.DONE

    def as_dict(self) -> dict[str, object]:
        """For --json and for journals."""
        return asdict(self) | {"verdict": self.verdict.value}
