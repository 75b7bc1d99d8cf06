"""palm-identity: set the service up, run it, and ask it what an operator asks.

Exit codes: 0 fine, 1 what was asked for failed, 2 wrong usage or configuration.
"""

from __future__ import annotations

import os

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # before numpy is loaded: its threads fight those of the requests
os.environ.setdefault("OMP_NUM_THREADS", "1")

import asyncio
import datetime
import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer
from google.protobuf.json_format import MessageToDict
from rich.console import Console
from rich.table import Table

from identity import calibration, client, config, server
from identity.certificates import Authority, CertificateError
from identity.storage import StorageError
from identity.vault import VaultError, make_key_file
from proto.palmpay.v1 import enrolment_pb2, enrolment_pb2_grpc, operations_pb2, operations_pb2_grpc

app = typer.Typer(
    help="The identity service: whose palm it is, and whether that person may pay.\n\n"
    "Start with: palm-identity init shop --till till-1 --operator anna; palm-identity serve --config shop/identity.toml",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
console = Console()

PURCHASE_LETTERS = 8
"""Of a purchase's key in a table; --json has all of it."""

ConfigOption = Annotated[Path, typer.Option("--config", "-c", help="the configuration file", envvar="PALM_IDENTITY_CONFIG")]
JsonOption = Annotated[bool, typer.Option("--json", help="one JSON object a line, for programs")]
TillsOption = Annotated[list[str] | None, typer.Option("--till", help="a till that gets a certificate; may be repeated")]
OperatorsOption = Annotated[
    list[str] | None, typer.Option("--operator", help="an operator who gets a certificate; may be repeated")
]
HostsOption = Annotated[
    list[str] | None, typer.Option("--host", help="name or address by which tills reach the service; may be repeated")
]
PersonArgument = Annotated[str, typer.Argument(help="the person's name here, as `palm-identity people` shows it (p-...)")]
DEFAULT_CONFIG = Path("identity.toml")

USAGE_ERRORS = (config.ConfigError, CertificateError)
FAILURES = (client.ClientError, server.ServerError, StorageError, VaultError, calibration.CalibrationError, OSError)


@contextmanager
def _plain_errors() -> Iterator[None]:
    """Errors as sentences on standard error, with their exit codes."""
    try:
        yield
    except USAGE_ERRORS as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(2) from None
    except FAILURES as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(1) from None


@app.command()
def init(
    folder: Annotated[Path, typer.Argument(help="where to put the configuration, keys and certificates")],
    till: TillsOption = None,
    operator: OperatorsOption = None,
    host: HostsOption = None,
    listen: Annotated[str, typer.Option(help="host:port; port 0 lets the system choose")] = "127.0.0.1:7443",
    calibration_file: Annotated[
        Path | None, typer.Option("--calibration", help="the encoder's; absent: the one that came with it")
    ] = None,
    may_enrol: Annotated[
        bool, typer.Option(help="let these tills enrol people; say --no-may-enrol for a shop where only operators do")
    ] = True,
    force: Annotated[
        bool, typer.Option(help="replace configuration and certificates (never the key to the people's records)")
    ] = False,
) -> None:
    """Make FOLDER with identity.toml (every option explained), the key to the records, an authority and certificates."""
    tills, operators = till or ["till-1"], operator or ["operator"]
    with _plain_errors():
        file = folder / "identity.toml"
        if file.exists() and not force:
            raise config.ConfigError(f"{file}: is there already. Use --force to replace configuration and certificates.")
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        certificates = folder / "certificates"
        authority = Authority(certificates, force)
        authority.service(_hosts(listen, host))
        for name in tills:
            authority.till(name)
        for name in operators:
            authority.operator(name)
        key = folder / "people.key"
        if not key.exists():
            make_key_file(key)
        first = Path("certificates") / operators[0]
        values: dict[str, dict[str, object]] = {
            "service": {"listen": listen},
            "enrolment": {"tills": tills if may_enrol else []},
            "operator": {"certificate": first.with_suffix(".pem"), "key": first.with_suffix(".key")},
        }
        if calibration_file:
            values["evidence"] = {"calibration": calibration_file.resolve()}
        file.write_text(config.template(values), encoding="utf-8")
        config.load(file)
    typer.echo(f"{file}: written, with {', '.join(authority.made)} and people.key. Next: palm-identity serve --config {file}")


def _hosts(listen: str, more: list[str] | None) -> list[str]:
    host = listen.rpartition(":")[0]
    local = [] if host in ("0.0.0.0", "[::]") else [host.strip("[]")]  # noqa: S104  compared, not bound
    return list(dict.fromkeys([*local, *(more or []), "localhost", "127.0.0.1"]))


@app.command()
def certificates(
    folder: Annotated[Path, typer.Argument(help="the folder with ca.pem and ca.key; made if there is none")],
    till: TillsOption = None,
    operator: OperatorsOption = None,
    host: Annotated[
        list[str] | None, typer.Option("--host", help="make the service's certificate, for these names and addresses")
    ] = None,
    force: Annotated[bool, typer.Option(help="replace the certificates that are named (not the authority)")] = False,
) -> None:
    """Make certificates for more tills and operators, or a new one for the service.

    NAME.pem, NAME.key and ca.pem belong on the till; ca.key never leaves this machine.
    """
    with _plain_errors():
        authority = Authority(folder)
        authority.force = force
        if host:
            authority.service(host)
        for name in till or []:
            authority.till(name)
        for name in operator or []:
            authority.operator(name)
    typer.echo(f"{folder}: {', '.join(authority.made) or 'nothing to make; name a --till, an --operator or a --host'}")


@app.command()
def serve(
    config_file: ConfigOption = DEFAULT_CONFIG,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="log what is of use to a developer only")] = False,
) -> None:
    """Run the service until it is told to stop. Prints "ready on HOST:PORT" once it answers."""
    logging.basicConfig(
        level=logging.DEBUG if verbose else logging.INFO, format="%(asctime)s level=%(levelname)s from=%(name)s %(message)s"
    )
    logging.getLogger("alembic").setLevel(logging.WARNING)
    with _plain_errors():
        options = config.load(config_file)
        asyncio.run(server.serve(options, lambda address: print(f"ready on {address}", flush=True)))


@app.command()
def ledger(
    config_file: ConfigOption = DEFAULT_CONFIG,
    till: Annotated[str, typer.Option(help="only this till's")] = "",
    since_ms: Annotated[int, typer.Option(help="only what began at this Unix time in milliseconds, or later")] = 0,
    at_most: Annotated[int, typer.Option(min=1, help="lines")] = 1000,
    as_json: JsonOption = False,
) -> None:
    """Show purchases, oldest first."""
    with _plain_errors():
        options = config.load(config_file)
        with client.channel(options) as channel:
            request = operations_pb2.LedgerRequest(till=till, since_unix_ms=since_ms, at_most=at_most)
            entries = list(operations_pb2_grpc.OperationsStub(channel).Ledger(request, timeout=options.operator.answer_deadline_s))
    if as_json:
        for entry in entries:
            typer.echo(json.dumps(_entry(entry)))
        return
    _print_entries(entries)


@app.command()
def people(config_file: ConfigOption = DEFAULT_CONFIG, as_json: JsonOption = False) -> None:
    """Show who is enrolled."""
    with _plain_errors():
        options = config.load(config_file)
        with client.channel(options) as channel:
            stub = operations_pb2_grpc.OperationsStub(channel)
            found = list(stub.People(operations_pb2.PeopleRequest(at_most=1_000_000), timeout=options.operator.answer_deadline_s))
    if as_json:
        for one in found:
            typer.echo(json.dumps(_dict(one)))
        return
    table = Table("person", "called", "enrolled", "state")
    for one in found:
        state = "blocked" if one.blocked else "may pay" if one.usable else "must enrol again (other model)"
        table.add_row(one.person, one.greeting_name, _when(one.enrolled_unix_s * 1000), state)
    console.print(table)


@app.command()
def describe(person: PersonArgument, config_file: ConfigOption = DEFAULT_CONFIG, as_json: JsonOption = False) -> None:
    """Show everything that is kept on a person, for that person to see."""
    with _plain_errors():
        options = config.load(config_file)
        with client.channel(options) as channel:
            stub = enrolment_pb2_grpc.EnrolmentStub(channel)
            answer = stub.Describe(enrolment_pb2.DescribeRequest(person=person), timeout=options.operator.answer_deadline_s)
    if as_json:
        typer.echo(json.dumps(_dict(answer) | {"payments": [_entry(entry) for entry in answer.payments]}))
        return
    typer.echo(f"{answer.person}, called {answer.greeting_name!r}")
    typer.echo(
        f"agreed to {answer.consent.text_version!r} on {_when(answer.consent.given_unix_s * 1000)}, witness {answer.consent.witnessed_by!r}"
    )
    for line in answer.kept:
        typer.echo(f"- {line}")
    _print_entries(list(answer.payments))


@app.command()
def forget(
    person: PersonArgument,
    config_file: ConfigOption = DEFAULT_CONFIG,
    asked_by: Annotated[str, typer.Option(help="who asked for it")] = "the person",
    yes: Annotated[bool, typer.Option("--yes", help="don't ask")] = False,
) -> None:
    """Delete a person's signatures and what identifies them. This can't be undone; payments stay under a pseudonym."""
    if not yes:
        typer.confirm(f"Forget {person} for ever?", abort=True)
    with _plain_errors():
        options = config.load(config_file)
        with client.channel(options) as channel:
            request = enrolment_pb2.ForgetRequest(person=person, asked_by=asked_by)
            answer = enrolment_pb2_grpc.EnrolmentStub(channel).Forget(request, timeout=options.operator.answer_deadline_s)
    typer.echo(f"{person}: forgotten, {answer.signatures_deleted} templates deleted")


@app.command()
def block(
    person: PersonArgument,
    config_file: ConfigOption = DEFAULT_CONFIG,
    undo: Annotated[bool, typer.Option("--undo", help="let the person pay again")] = False,
) -> None:
    """Let a person pay no more."""
    with _plain_errors():
        options = config.load(config_file)
        with client.channel(options) as channel:
            request = operations_pb2.BlockRequest(person=person, blocked=not undo)
            operations_pb2_grpc.OperationsStub(channel).Block(request, timeout=options.operator.answer_deadline_s)
    typer.echo(f"{person}: {'may pay again' if undo else 'blocked'}")


def _entry(entry: enrolment_pb2.LedgerEntry) -> dict[str, object]:
    """Numbers as numbers: protobuf's own JSON writes 64-bit ones as strings."""
    return {name: getattr(entry, name) for name in entry.DESCRIPTOR.fields_by_name}


def _dict(message: enrolment_pb2.DescribeResponse | operations_pb2.PersonEntry) -> dict[str, object]:
    return dict(MessageToDict(message, preserving_proto_field_name=True, always_print_fields_with_no_presence=True))


def _when(unix_ms: int) -> str:
    return datetime.datetime.fromtimestamp(unix_ms / 1000).astimezone().strftime("%Y-%m-%d %H:%M:%S")


def _print_entries(entries: list[enrolment_pb2.LedgerEntry]) -> None:
    # Eighty columns hold it: a terminal without a screen of its own is read over ssh, and a pipe has no more.
    table = Table("began", "till", "kind", box=None, padding=(0, 1, 0, 0), header_style="bold underline")
    for heading in ("held", "captured", "voided"):
        table.add_column(heading, justify="right")
    for heading in ("", "state", "purchase"):
        table.add_column(heading)
    for entry in entries:
        amounts = (
            f"{minor / 100:.2f}" if minor else "" for minor in (entry.amount_minor, entry.captured_minor, entry.voided_minor)
        )
        shown = entry.purchase_key[:PURCHASE_LETTERS]
        table.add_row(_when(entry.began_unix_ms), entry.till, entry.kind, *amounts, entry.currency, entry.state, shown)
    console.print(table)


def main() -> None:
    """Entry point of `palm-identity`."""
    app()


if __name__ == "__main__":
    main()
