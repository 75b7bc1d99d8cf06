"""What stands on the screen when the terminal does not start: one code, one sentence, what to do. Started by palm-fault.service."""

from __future__ import annotations

import subprocess
from typing import Annotated

import typer

ASK_LIMIT_S = 10

# Codes are what a shop reads out on the telephone.
FAULTS: dict[str, tuple[str, str]] = {
    "settings": (
        "P2",
        "The settings can't be used. Put a corrected palm-terminal.toml on the card's boot partition and start again.",
    ),
    "watchdog": ("P3", "The camera gives no pictures. Check its cable and the power supply, then switch off and on."),
    "start-limit-hit": (
        "P4",
        "It failed five times in a minute. Switch off and on; if it stays, read `journalctl -u palm-terminal`.",
    ),
    "timeout": ("P5", "It took too long to start. The card may be worn out: try another one."),
}
UNKNOWN = ("P9", "Switch off and on; if it stays, read `journalctl -u palm-terminal`.")
_BAD_SETTINGS = "2"  # the terminal's exit code for a configuration error, which systemd does not try again
_ABORTED = "6"  # SIGABRT: what systemd's watchdog sends
_BY_SIGNAL = {"2", "3"}  # CLD_KILLED, CLD_DUMPED


def fault_of(result: str, code: str, status: str) -> tuple[str, str]:
    """Code and sentence for systemd's Result, ExecMainCode and ExecMainStatus: the last of five failures tells the reason."""
    if code in _BY_SIGNAL and status == _ABORTED:
        return FAULTS["watchdog"]
    if result == "exit-code" and status == _BAD_SETTINGS:
        return FAULTS["settings"]
    return FAULTS.get(result, UNKNOWN)


def ask_systemd(unit: str) -> tuple[str, str, str]:
    """Result, kind of end and status of a unit; empty where systemd does not answer."""
    command = ["systemctl", "show", "--property=Result,ExecMainCode,ExecMainStatus", unit]
    try:
        said = subprocess.run(command, capture_output=True, text=True, timeout=ASK_LIMIT_S, check=False).stdout
    except (OSError, subprocess.TimeoutExpired):
        return "", "", ""
    answers = dict(line.split("=", 1) for line in said.splitlines() if "=" in line)
    return answers.get("Result", ""), answers.get("ExecMainCode", ""), answers.get("ExecMainStatus", "")


def main(unit: Annotated[str, typer.Option(help="the unit that failed")] = "palm-terminal.service") -> None:
    """Say on the screen why the terminal does not start."""
    code, sentence = fault_of(*ask_systemd(unit))
    typer.echo(f"\n\n    OUT OF ORDER   {code}\n\n    {sentence}\n")


if __name__ == "__main__":
    typer.run(main)
