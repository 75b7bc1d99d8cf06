"""What the register said of itself in 06 00; kept over restarts."""

from __future__ import annotations

from dataclasses import dataclass

ECR_PRINTS_PAYMENTS = 0x02
ECR_PRINTS_ADMIN = 0x04
WANTS_INTERMEDIATE = 0x08
PRINTS_LINES = 0x80  # receipts come by 06 D1 or 06 D3; else the register makes its own from 04 0F
DEFAULT_CONFIG = 0x86  # before any registration, and after a log-off

NO_VERSION = 0x02  # service bit of a status enquiry: leave the software version out


@dataclass(frozen=True, slots=True)
class Registration:
    """Configuration bits, currency, and whether TLV containers and print blocks are understood."""

    registered: bool = False
    config: int = DEFAULT_CONFIG
    currency_sent: bool = False
    service: int = 0
    tlv: bool = False
    commands: frozenset[int] = frozenset()  # that the register takes, from TLV tag 26
    columns: int = 0  # of its printer, from TLV tag 12; 0: not said

    @property
    def intermediate(self) -> bool:
        """04 FF is wanted."""
        return self.registered and bool(self.config & WANTS_INTERMEDIATE)

    def prints(self, *, admin: bool = False) -> bool:
        """Receipts of this sort go to the register as print commands."""
        wanted = PRINTS_LINES | (ECR_PRINTS_ADMIN if admin else ECR_PRINTS_PAYMENTS)
        return self.registered and self.config & wanted == wanted

    @property
    def print_blocks(self) -> bool:
        """06 D3 rather than 06 D1."""
        return self.tlv and 0x06D3 in self.commands

    def settings(self) -> dict[str, str]:
        """For the store."""
        if not self.registered:
            return {}
        return {
            "config": f"{self.config:02X}",
            "currency_sent": str(int(self.currency_sent)),
            "service": f"{self.service:02X}",
            "tlv": str(int(self.tlv)),
            "commands": " ".join(f"{c:04X}" for c in sorted(self.commands)),
            "columns": str(self.columns),
        }

    @classmethod
    def from_settings(cls, settings: dict[str, str]) -> Registration:
        """From the store; what can't be read counts as never registered, so that the till still starts."""
        if "config" not in settings:
            return cls()
        try:
            return cls(
                registered=True,
                config=int(settings["config"], 16) & 0xFF,
                currency_sent=settings.get("currency_sent") == "1",
                service=int(settings.get("service", "0"), 16) & 0xFF,
                tlv=settings.get("tlv") == "1",
                commands=frozenset(int(c, 16) for c in settings.get("commands", "").split()),
                columns=int(settings.get("columns", "0")),
            )
        except ValueError:
            return cls()
