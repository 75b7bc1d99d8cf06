"""`palm-terminal`: run, doctor, enrol, check-config; and the register's own commands."""

from __future__ import annotations

import asyncio
import logging
import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from terminal.config import Config, ConfigError, load
from terminal.register.cli import app as register_app

FINE, FAILED, USAGE = 0, 1, 2
DEFAULT_CONFIG = Path("/etc/palm-terminal/terminal.toml")
LEVELS = ("debug", "info", "warning", "error")

app = typer.Typer(no_args_is_help=True, add_completion=False, help="Payment by palm: the terminal beside the cash register.")
app.registered_commands += register_app.registered_commands

ConfigOption = Annotated[Path, typer.Option("--config", help="the terminal's configuration")]
LevelOption = Annotated[str, typer.Option("--log", help=f"how much is said: {', '.join(LEVELS)}")]


def _config(path: Path) -> Config:
    try:
        return load(path)
    except ConfigError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(USAGE) from None


def _log(level: str) -> None:
    if level not in LEVELS:
        typer.echo(f"--log {level}: one of {', '.join(LEVELS)} is expected.", err=True)
        raise typer.Exit(USAGE)
    # systemd's journal has its own time stamps.
    stamp = "" if "JOURNAL_STREAM" in os.environ else "%(asctime)s "
    logging.basicConfig(
        level=level.upper(), stream=sys.stderr, format=f"{stamp}%(levelname).1s %(name)s %(message)s", datefmt="%H:%M:%S"
    )
    for noisy in ("aiohttp", "asyncio", "grpc"):
        logging.getLogger(noisy).setLevel(max(logging.INFO, logging.getLogger().level))


@app.command()
def run(config: ConfigOption = DEFAULT_CONFIG, log: LevelOption = "info") -> None:
    """Be the terminal, until SIGTERM."""
    options = _config(config)
    _log(log)
    from terminal.app import run as run_terminal

    raise typer.Exit(asyncio.run(run_terminal(options, lambda sentence: typer.echo(sentence, err=True))))


@app.command("check-config")
def check_config(config: ConfigOption = DEFAULT_CONFIG) -> None:
    """Say whether the configuration can be used, and what is wrong with it."""
    _config(config)
    typer.echo(f"{config}: fine.")


@app.command()
def doctor(
    config: ConfigOption = DEFAULT_CONFIG, as_json: Annotated[bool, typer.Option("--json", help="for a program")] = False
) -> None:
    """Look at every part, and say what to do next about each that is wrong. Stop the terminal first."""
    options = _config(config)
    _log("error")
    from terminal.doctor import examine, show

    findings = asyncio.run(examine(options))
    show(findings, as_json=as_json)
    raise typer.Exit(FAILED if any(each.well is False for each in findings) else FINE)


@app.command()
def enrol(
    name: Annotated[str, typer.Option(help="what the person wants to be called on the screen")],
    payment_token: Annotated[str, typer.Option(help="the payment provider's name for the account")],
    limit: Annotated[str, typer.Option(help="most that one purchase may cost, for example 50.00")],
    consent_text_version: Annotated[str, typer.Option(help="which text was agreed to, for example '2026-11 en'")],
    witness: Annotated[str, typer.Option(help="who saw the person agree")],
    config: ConfigOption = DEFAULT_CONFIG,
    consented: Annotated[bool, typer.Option("--consented", help="the person has read that text and agreed")] = False,
    looks: Annotated[int, typer.Option(min=10, max=40, help="good looks to take")] = 12,
) -> None:
    """Take somebody in, with consent. Stop the terminal first: the reader has one user."""
    options = _config(config)
    _log("warning")
    from terminal.enrol import EnrolStopped, enrol_here, minor_units

    if not consented and not (sys.stdin.isatty() and typer.confirm(f"Has the person read {consent_text_version!r} and agreed?")):
        typer.echo("Nobody is enrolled without consent. Ask the person, then use --consented.", err=True)
        raise typer.Exit(USAGE)
    try:
        amount = minor_units(limit)
    except ValueError as error:
        typer.echo(f"--limit: {error}", err=True)
        raise typer.Exit(USAGE) from None
    from terminal.service import Enrolling

    wanted = Enrolling(name, payment_token, amount, options.shop.currency, consent_text_version, witness)
    try:
        done = asyncio.run(enrol_here(options, wanted, looks))
    except EnrolStopped as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(FAILED) from None
    typer.echo(f"Enrolled as {done.person}: {done.probes_kept} looks kept, consistency {done.consistency:.2f}.")


def main() -> None:
    """Entry point."""
    app()


if __name__ == "__main__":
    main()
