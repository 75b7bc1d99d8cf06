"""The service's ledger, read as an operator reads it: by `palm-identity ledger --json`."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from terminal.simulation.stage.reckoning import Booked

READ_DEADLINE_S = 30.0


class BooksError(Exception):
    """The ledger can't be read; the sentence says why."""


def booked(entry: Mapping[str, Any]) -> Booked:
    """One entry of the ledger's JSON, with what was undone since taken off what was captured."""
    at = datetime.fromtimestamp(int(entry["began_unix_ms"]) / 1000).astimezone().strftime("%H:%M:%S")
    return Booked(
        key=str(entry["purchase_key"]),
        at=at,
        amount_minor=int(entry["amount_minor"]),
        captured_minor=int(entry.get("captured_minor") or 0) - int(entry.get("voided_minor") or 0),
        currency=str(entry["currency"]),
        state=str(entry["state"]),
        person=str(entry.get("person") or ""),
        kind=str(entry.get("kind") or "pay"),
    )


def parse(text: str) -> list[Booked]:
    """From a JSON list, or from one object a line. Oldest first. Raises BooksError."""
    try:
        data = (
            json.loads(text) if text.lstrip().startswith("[") else [json.loads(line) for line in text.splitlines() if line.strip()]
        )
        entries: Iterable[Mapping[str, Any]] = sorted(data, key=lambda entry: int(entry["began_unix_ms"]))
        return [booked(entry) for entry in entries]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise BooksError(f"The ledger's answer is not understood ({error}).") from None


async def read(command: Sequence[str]) -> list[Booked]:
    """Ask the running service. Raises BooksError."""
    process = await asyncio.create_subprocess_exec(
        *command, stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        start_new_session=True, env={**os.environ, "GRPC_VERBOSITY": "NONE"},
    )  # fmt: skip
    try:
        out, trouble = await asyncio.wait_for(process.communicate(), READ_DEADLINE_S)
    except TimeoutError:
        raise BooksError(f"The ledger did not answer within {READ_DEADLINE_S:g} s.") from None
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode != 0:
        raise BooksError(trouble.decode(errors="replace").strip() or f"The ledger's command ended with {process.returncode}.")
    return parse(out.decode())
