"""The command lines of the programs on the stage, in one place."""

from __future__ import annotations

from terminal.simulation.stage.folder import Folder, program

TILL = "till-1"
CONSENT = "demo 2026-11 en"


def init(folder: Folder, port: int) -> list[str]:
    """Make the service's folder with throw-away certificates."""
    return [program("palm-identity"), "init", str(folder.identity), "--till", TILL, "--listen", f"127.0.0.1:{port}"]


def serve(folder: Folder) -> list[str]:
    """Run the identity service."""
    return [program("palm-identity"), "serve", "--config", str(folder.identity / "identity.toml")]


def ledger(folder: Folder) -> list[str]:
    """The service's books as JSON."""
    return [program("palm-identity"), "ledger", "--config", str(folder.identity / "identity.toml"), "--json"]


def forget(folder: Folder, person: str) -> list[str]:
    """Forget somebody."""
    return [program("palm-identity"), "forget", person, "--config", str(folder.identity / "identity.toml"), "--yes"]


def enrol(folder: Folder, name: str, limit_minor: int) -> list[str]:
    """Enrol whoever holds a hand over the reader, with the consent that these people of nobody's have given."""
    return [
        program("palm-terminal"), "enrol", "--config", str(folder.terminal_toml), "--name", name,
        "--payment-token", f"demo-{name.lower()}", "--limit", f"{limit_minor // 100}.{limit_minor % 100:02d}",
        "--consent-text-version", CONSENT, "--witness", "the stage", "--consented",
    ]  # fmt: skip


def run(folder: Folder) -> list[str]:
    """Run the payment terminal."""
    return [program("palm-terminal"), "run", "--config", str(folder.terminal_toml)]
