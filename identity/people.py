"""People: their sealed records and templates, enrolled, described, blocked, forgotten.

What identifies a person (the name on the screen, the payment account, consent, the pseudonym in the ledger, the templates) is sealed
under that person's own key. Forgetting deletes the key with everything under it; purchases stay in the ledger under a pseudonym that
nothing links to a person any more.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import sqlalchemy as sa
from pydantic import BaseModel, ConfigDict
from sqlalchemy.engine import Engine

from identity.signatures import MODALITIES, Side, Signatures
from identity.storage import person as person_table
from identity.storage import request as request_table
from identity.storage import scrub, writing
from identity.storage import template as template_table
from identity.vault import DataKey, Vault


class Record(BaseModel):
    """What is kept on a person, sealed. `account` is the pseudonym under which purchases stand in the ledger."""

    model_config = ConfigDict(frozen=True, hide_input_in_errors=True)

    greeting_name: str
    payment_token: str
    limit_minor: int
    currency: str
    consent_text_version: str
    consent_given_unix_s: int
    consent_witnessed_by: str
    account: str = ""

    def __repr__(self) -> str:
        return "Record(sealed)"

    __str__ = __repr__


@dataclass(frozen=True, slots=True)
class Known:
    """A person as the service needs them to answer."""

    person: str
    record: Record
    blocked: bool
    enrolled_unix_s: int
    templates: int
    model_versions: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Enrolled:
    """What came of an enrolment request; `person` is None once that person was forgotten."""

    person: str | None
    probes_kept: int
    consistency: float


class People:
    """The records. Methods are called from one thread at a time."""

    def __init__(self, engine: Engine, vault: Vault) -> None:
        self._engine, self._vault = engine, vault
        self.scrubbed = True
        """False while bytes of somebody forgotten are still in the database's log."""
        self._by_account = {known.record.account: known.person for known in self.everybody()}

    def enrol(
        self,
        request_key: str,
        record: Record,
        side: Side,
        templates: list[Signatures],
        model_version: str,
        kept: int,
        consistency: float,
    ) -> Enrolled:
        """Store a person; on the disk when this returns. A request key seen before returns what came of it then."""
        with writing(self._engine) as connection:
            if (before := self._request(connection, request_key)) is not None:
                return before
            person = "p-" + secrets.token_hex(16)
            account = "a-" + secrets.token_hex(16)
            wrapped, key = self._vault.new_key(person)
            sealed = key.seal("record", record.model_copy(update={"account": account}).model_dump_json().encode())
            connection.execute(
                sa.insert(person_table).values(
                    person=person, wrapped_key=wrapped, sealed=sealed, blocked=False, enrolled_unix_s=int(time.time())
                )
            )
            for signatures in templates:
                packed = key.seal("template", _pack(side, signatures))
                connection.execute(sa.insert(template_table).values(person=person, model_version=model_version, sealed=packed))
            connection.execute(
                sa.insert(request_table).values(request_key=request_key, person=person, probes_kept=kept, consistency=consistency)
            )
        self._by_account[account] = person
        return Enrolled(person, kept, consistency)

    def enrolled_by(self, request_key: str) -> Enrolled | None:
        """What came of an earlier enrolment request; None if there was none."""
        with self._engine.connect() as connection:
            return self._request(connection, request_key)

    def known(self, person: str) -> Known | None:
        """A person's record; None if there is none. Raises VaultError where it can't be opened."""
        return next(self._read(sa.select(person_table).where(person_table.c.person == person)), None)

    def holder_of(self, account: str) -> Known | None:
        """The person behind a pseudonym of the ledger; None once forgotten."""
        person = self._by_account.get(account)
        return None if person is None else self.known(person)

    def everybody(self, at_most: int = -1) -> Iterator[Known]:
        """All people, oldest enrolment first."""
        return self._read(sa.select(person_table).order_by(person_table.c.enrolled_unix_s, person_table.c.person).limit(at_most))

    def palms(self, model_version: str) -> Iterator[tuple[str, Side, list[Signatures]]]:
        """Templates made by one model, by person and side; for filling the gallery."""
        with self._engine.connect() as connection:
            keys = {row.person: row.wrapped_key for row in connection.execute(sa.select(person_table))}
            rows = connection.execute(
                sa.select(template_table).where(template_table.c.model_version == model_version).order_by(template_table.c.person)
            ).all()
        palms: dict[tuple[str, Side], list[Signatures]] = {}
        opened: dict[str, DataKey] = {}
        for row in rows:
            key = opened.setdefault(row.person, self._vault.unwrap(keys[row.person], row.person))
            side, signatures = _unpack(key.open("template", row.sealed))
            palms.setdefault((row.person, side), []).append(signatures)
        for (person, side), templates in palms.items():
            yield person, side, templates

    def block(self, person: str, blocked: bool) -> bool:
        """Let a person pay no more, or again. Returns whether there is such a person."""
        with writing(self._engine) as connection:
            chosen = sa.update(person_table).where(person_table.c.person == person)
            return connection.execute(chosen.values(blocked=blocked)).rowcount > 0

    def forget(self, person: str) -> int | None:
        """Delete the person's key, record and templates. Returns the number of templates; None: no such person.

        They are in no file any more when this returns, unless `scrubbed` is False.
        """
        known = self.known(person)
        if known is None:
            return None
        with writing(self._engine) as connection:
            deleted = connection.execute(sa.delete(template_table).where(template_table.c.person == person)).rowcount
            connection.execute(sa.update(request_table).where(request_table.c.person == person).values(person=None))
            connection.execute(sa.delete(person_table).where(person_table.c.person == person))
        self._by_account.pop(known.record.account, None)
        self.scrub()
        return int(deleted)

    def scrub(self) -> bool:
        """Empty the database's log of what was deleted; whether that could be done."""
        self.scrubbed = scrub(self._engine)
        return self.scrubbed

    def _read(self, chosen: sa.Select[tuple[object, ...]]) -> Iterator[Known]:
        people = chosen.with_only_columns(person_table.c.person).subquery()
        counted = (
            sa.select(template_table.c.person, template_table.c.model_version, sa.func.count().label("number"))
            .where(template_table.c.person.in_(sa.select(people.c.person)))
            .group_by(template_table.c.person, template_table.c.model_version)
        )
        with self._engine.connect() as connection:
            rows = connection.execute(chosen).mappings().all()
            counts: dict[str, dict[str, int]] = {}
            for one in connection.execute(counted):
                counts.setdefault(one.person, {})[one.model_version] = one.number
        for row in rows:
            key = self._vault.unwrap(row["wrapped_key"], row["person"])
            record = Record.model_validate_json(key.open("record", row["sealed"]))
            versions = counts.get(row["person"], {})
            yield Known(row["person"], record, row["blocked"], row["enrolled_unix_s"], sum(versions.values()), tuple(versions))

    @staticmethod
    def _request(connection: sa.Connection, request_key: str) -> Enrolled | None:
        row = connection.execute(sa.select(request_table).where(request_table.c.request_key == request_key)).mappings().first()
        return None if row is None else Enrolled(row["person"], row["probes_kept"], row["consistency"])


def _pack(side: Side, signatures: Signatures) -> bytes:
    """One byte for the side, one with a bit for each modality that is there, then float32 little-endian rows."""
    there = [(bit, vector) for bit, name in enumerate(MODALITIES) if (vector := getattr(signatures, name)) is not None]
    head = bytes([0 if side is Side.LEFT else 1, sum(1 << bit for bit, _ in there)])
    return head + b"".join(vector.astype("<f4").tobytes() for _, vector in there)


def _unpack(packed: bytes) -> tuple[Side, Signatures]:
    names = [name for bit, name in enumerate(MODALITIES) if packed[1] >> bit & 1]
    rows = np.frombuffer(packed[2:], "<f4").astype(np.float32).reshape(len(names), -1)
    return (Side.RIGHT if packed[0] else Side.LEFT), Signatures(**dict(zip(names, rows, strict=True)))
