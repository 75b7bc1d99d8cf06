"""`palm-terminal register` and `palm-terminal trace`: a cash register to play with, and captured lines in words."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from terminal.register.currency import NUMERIC_OF
from terminal.register.line import Line
from terminal.register.till import RegisterResult, TillJournal
from terminal.register.till.base import REGISTERS, CashRegister, Setup, open_register
from terminal.register.till.console import HELP, Command, CommandError, as_expected, parse, parse_script, perform, run_script, shown
from terminal.register.trace import CAPTURE_BYTES_MAX, DESCRIBERS, Transcript, read_capture

app = typer.Typer(no_args_is_help=True)

FINE, FAILED, USAGE = 0, 1, 2


def _line(port: str, baud: int, bits: str) -> tuple[Line, bool]:
    """A serial line, or a TCP connection where the port reads host:number; and whether it is serial."""
    host, colon, number = port.rpartition(":")
    if colon and number.isdecimal() and "/" not in port:
        from terminal.register.tcp_line import TcpClientLine

        return TcpClientLine(host, int(number)), False
    from terminal.register.serial_line import SerialLine

    return SerialLine(port, baud, bits), True


def _stop(sentence: str) -> typer.Exit:
    typer.echo(sentence, err=True)
    return typer.Exit(USAGE)


@app.command(context_settings={"allow_interspersed_args": True})
def register(
    command: Annotated[list[str] | None, typer.Argument(help="for example: pay 12.34; `help` lists all; none: a prompt")] = None,
    port: Annotated[str, typer.Option(help="the terminal's line: a serial device, or host:port for TCP")] = "/dev/ttyUSB0",
    protocol: Annotated[str, typer.Option(help=f"what to speak: {', '.join(REGISTERS)}")] = "zvt",
    baud: Annotated[int, typer.Option(min=300, max=115_200, help="bits a second")] = 9600,
    bits: Annotated[str, typer.Option(help="8N1, 8N2 or 7E1")] = "8N1",
    currency: Annotated[str, typer.Option(help="letters, or `none` to send none")] = "EUR",
    password: Annotated[str, typer.Option(help="six digits (ZVT)")] = "000000",  # noqa: S107 - checked by few
    journal: Annotated[Path | None, typer.Option(help="the register's own book, JSON lines; none: in memory")] = None,
    script: Annotated[Path | None, typer.Option(help="commands with what they must come to; exit 1 where one does not")] = None,
    option: Annotated[list[str] | None, typer.Option(help="the protocol's own, for example config=BE or tlv=26040A0206D3")] = None,
    trace: Annotated[bool, typer.Option("--trace", help="show the line in hex and words")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="results as JSON, one a line")] = False,
) -> None:
    """A small cash register: the other end of the cable, for a person or a script."""
    if command == ["help"]:
        typer.echo(HELP)
        return
    if protocol not in REGISTERS:
        raise _stop(f"No register here speaks {protocol!r}; there are: {', '.join(REGISTERS)}.")
    if bits not in ("8N1", "8N2", "7E1"):
        raise _stop(f"--bits {bits!r} is none of 8N1, 8N2, 7E1.")
    if currency != "none" and currency not in NUMERIC_OF:
        raise _stop(f"--currency {currency!r} is not known; there are: {', '.join(NUMERIC_OF)}, none.")
    if len(password) != 6 or not password.isdecimal():
        raise _stop("--password has six digits.")
    try:
        options = dict(o.split("=", 1) for o in option or [])
        commands = parse_script(script.read_text(encoding="utf-8")) if script is not None else []
        one = parse(" ".join(command)) if command else None
    except CommandError as error:
        raise _stop(f"{script}: {error}" if script is not None else str(error)) from None
    except OSError as error:
        raise _stop(f"{script}: can't be read ({error.strerror}).") from None
    except ValueError:
        raise _stop("--option is written NAME=VALUE.") from None
    line, serial = _line(port, baud, bits)
    setup = Setup(
        serial=serial,
        currency=None if currency == "none" else NUMERIC_OF[currency],
        password=password,
        journal=TillJournal(journal),
        tap=Transcript(protocol, "ECR", lambda said: typer.echo(said, err=True)) if trace else None,
        display=None if as_json else lambda said: typer.echo(f"  [{said}]", err=True),
        options=options,
    )
    try:
        till = open_register(protocol, line, setup)
    except ValueError as error:
        raise _stop(f"--option: {error}") from None
    raise typer.Exit(asyncio.run(_run(till, one, commands if script is not None else None, as_json=as_json)))


async def _run(till: CashRegister, one: Command | None, script: list[Command] | None, *, as_json: bool) -> int:
    def report(command: Command, result: RegisterResult, right: bool) -> None:
        mark = "" if right else f"   <-- line {command.line}: expected {' '.join(command.expected) or 'an answer'}"
        typer.echo(json.dumps(result.as_dict() | {"as_expected": right}) if as_json else shown(result) + mark)
        if not as_json:
            for text in result.lines:
                typer.echo(f"    | {text}")

    async with till as opened:
        if script is not None:
            return FINE if await run_script(opened, script, report) else FAILED
        if one is None:
            return await _prompt(opened, report)
        try:
            result = await perform(opened, one)
        except CommandError as error:
            typer.echo(str(error), err=True)
            return USAGE
        report(one, result, True)
        return FINE if result.done or (one.expected and as_expected(one, result)) else FAILED


async def _prompt(till: CashRegister, report: Callable[[Command, RegisterResult, bool], None]) -> int:
    """Commands from the keyboard; `abort` is heard while another command runs."""
    loop = asyncio.get_running_loop()
    typer.echo("A cash register. `help` says what it can do.")
    running: asyncio.Task[RegisterResult] | None = None
    while True:
        typer.echo("> ", nl=False)
        text = await loop.run_in_executor(None, sys.stdin.readline)
        if running is not None and running.done():
            running = None
        if not text or text.strip() in ("quit", "exit"):
            if running is not None:
                await till.abort()
                await running
            return FINE
        if text.strip() == "help":
            typer.echo(HELP)
            continue
        try:
            command = parse(text)
            if command is None:
                continue
            if running is not None and command.words[0] not in ("abort", "taken", "wait"):
                typer.echo("A request is open. Type `abort` to stop it.")
                continue
            task = asyncio.ensure_future(perform(till, command))
            task.add_done_callback(lambda t, c=command: _told(t, c, report))  # type: ignore[misc]
            if command.words[0] not in ("abort", "taken", "wait"):
                running = task
        except CommandError as error:
            typer.echo(str(error))


def _told(task: asyncio.Task[RegisterResult], command: Command, report: Callable[[Command, RegisterResult, bool], None]) -> None:
    if task.cancelled():
        return
    error = task.exception()
    if isinstance(error, CommandError):
        typer.echo(str(error))
    elif error is not None:
        typer.echo(f"The register failed: {error}", err=True)
    else:
        report(command, task.result(), True)


@app.command()
def trace(
    file: Annotated[Path, typer.Argument(help="a capture: binary, or a hex dump with or without directions; - for standard input")],
    protocol: Annotated[str, typer.Option(help=f"what was spoken: {', '.join(DESCRIBERS)}")] = "zvt",
) -> None:
    """A captured line in words."""
    make = DESCRIBERS.get(protocol)
    if make is None:
        raise _stop(f"No words for {protocol!r} here; there are: {', '.join(DESCRIBERS)}.")
    try:
        if str(file) == "-":
            data = sys.stdin.buffer.read(CAPTURE_BYTES_MAX)
        else:
            with file.open("rb") as capture:
                data = capture.read(CAPTURE_BYTES_MAX)
    except OSError as error:
        raise _stop(f"{file}: can't be read ({error.strerror}).") from None
    describer = make()
    count = 0
    for who, piece in read_capture(data):
        for said in describer.feed(who, piece):
            count += 1
            typer.echo(f"{said.who:3} {said.raw.hex(' ').upper()}  | {said.words}")
    if count == 0:
        typer.echo(f"{file}: nothing in it reads as {protocol}. Is it another protocol, or not a capture?", err=True)
        raise typer.Exit(FAILED)
