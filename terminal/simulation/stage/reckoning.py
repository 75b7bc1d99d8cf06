"""Do the register and the service's ledger agree to the cent? Pure: two lists in, a verdict with every difference out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Booked:
    """One purchase as the service's ledger has it; amounts in minor units. state: authorised, captured, reversed, voided, refused."""

    key: str
    at: str
    amount_minor: int
    captured_minor: int
    currency: str
    state: str
    person: str = ""
    kind: str = "pay"


@dataclass(frozen=True, slots=True)
class Rung:
    """One purchase as the register's own journal has it. paid None: the register does not know (yet) how it ended."""

    at: str
    amount_minor: int
    paid: bool | None
    text: str = ""
    receipt: int | None = None


@dataclass(frozen=True, slots=True)
class Verdict:
    """Sums in minor units, and one sentence for each difference."""

    register_minor: int
    ledger_minor: int
    differences: tuple[str, ...]

    @property
    def agree(self) -> bool:
        """True when there is nothing to explain."""
        return not self.differences


def _money(minor: int) -> str:
    return f"{minor // 100}.{minor % 100:02d}"


def reckon(register: Sequence[Rung], ledger: Sequence[Booked]) -> Verdict:
    """Compare purchase by purchase (by amount, since the register knows no keys) and in sum."""
    paid = Counter(rung.amount_minor for rung in register if rung.paid)
    kept = Counter(booked.captured_minor for booked in ledger if booked.captured_minor)
    out = []
    for amount, times in sorted((paid - kept).items()):
        out.append(f"The register has {_money(amount)} as paid {times} time(s) more than the ledger captured it.")
    for amount, times in sorted((kept - paid).items()):
        out.append(f"The ledger captured {_money(amount)} {times} time(s) more than the register has it as paid.")
    out += [
        f"The register does not know how {_money(rung.amount_minor)} at {rung.at} ended." for rung in register if rung.paid is None
    ]
    open_ones = [booked for booked in ledger if booked.state == "authorised" and booked.kind == "pay"]
    out += [
        f"The ledger still holds {_money(b.amount_minor)} of {b.at} as authorised: neither captured nor reversed."
        for b in open_ones
    ]
    for key, times in Counter(booked.key for booked in ledger).items():
        if times > 1:
            out.append(f"The ledger has the purchase {key} {times} times.")
    for booked in ledger:
        if booked.captured_minor > booked.amount_minor:
            out.append(f"The ledger captured {_money(booked.captured_minor)} of an authorised {_money(booked.amount_minor)}.")
    return Verdict(sum(a * n for a, n in paid.items()), sum(a * n for a, n in kept.items()), tuple(out))
