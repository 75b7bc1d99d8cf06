"""The books' storage: SQLite through SQLAlchemy Core, brought up to date by migrations.

Every commit is synced to the disk before it returns (`synchronous=FULL` in write-ahead mode); what is deleted is overwritten
(`secure_delete`), and `scrub` empties the write-ahead log, so that no deleted byte stays in a file. Transactions that write begin as
IMMEDIATE: two of them never see the same state and then both act on it.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from alembic import command
from alembic.config import Config as AlembicConfig
from sqlalchemy.engine import Connection, Engine

BUSY_TIMEOUT_MS = 5_000
"""How long a transaction waits for another process's (the command line's) before it fails."""

SCRUB_TIMEOUT_MS = 500
"""How long emptying the log waits for another process that reads it: payments wait meanwhile."""

metadata = sa.MetaData()

person = sa.Table(
    "person",
    metadata,
    sa.Column("person", sa.String(40), primary_key=True),  # opaque, random
    sa.Column("wrapped_key", sa.LargeBinary, nullable=False),  # this person's data key; destroying it is the deletion
    sa.Column("sealed", sa.LargeBinary, nullable=False),  # what identifies the person, under that key
    sa.Column("blocked", sa.Boolean, nullable=False),
    sa.Column("enrolled_unix_s", sa.BigInteger, nullable=False),
)

template = sa.Table(
    "template",
    metadata,
    sa.Column("template", sa.Integer, primary_key=True),
    sa.Column("person", sa.String(40), sa.ForeignKey("person.person", ondelete="CASCADE"), nullable=False, index=True),
    sa.Column("model_version", sa.String(64), nullable=False),
    sa.Column("sealed", sa.LargeBinary, nullable=False),  # side and signatures, under the person's data key
)

request = sa.Table(
    "request",
    metadata,
    sa.Column("request_key", sa.String(32), primary_key=True),
    sa.Column("person", sa.String(40), nullable=True),  # nothing once the person is forgotten
    sa.Column("probes_kept", sa.Integer, nullable=False),
    sa.Column("consistency", sa.Float, nullable=False),
)

purchase = sa.Table(
    "purchase",
    metadata,
    sa.Column("purchase_key", sa.String(32), primary_key=True),
    sa.Column("till", sa.String(32), nullable=False),
    sa.Column("kind", sa.String(8), nullable=False),  # pay | reserve | refund; empty for a reversal that came first
    sa.Column("amount_minor", sa.BigInteger, nullable=False),
    sa.Column("currency", sa.String(3), nullable=False),
    sa.Column("state", sa.String(12), nullable=False, index=True),
    sa.Column("captured_minor", sa.BigInteger, nullable=False),
    sa.Column("voided_minor", sa.BigInteger, nullable=False),
    sa.Column("account", sa.String(40), nullable=False, index=True),  # pseudonym of the person; the link is in person.sealed
    sa.Column("code", sa.String(6), nullable=False),
    sa.Column("began_unix_ms", sa.BigInteger, nullable=False, index=True),
    sa.Column("settled_unix_ms", sa.BigInteger, nullable=True),
    sa.Column("why", sa.String(80), nullable=False),
    sa.Column("was_authorised", sa.Boolean, nullable=False),
)

void = sa.Table(
    "void",
    metadata,
    sa.Column("void_key", sa.String(32), primary_key=True),
    sa.Column("purchase_key", sa.String(32), sa.ForeignKey("purchase.purchase_key"), nullable=False),
    sa.Column("amount_minor", sa.BigInteger, nullable=False),
    sa.Column("made_unix_ms", sa.BigInteger, nullable=False),
)


class StorageError(Exception):
    """The storage can't be used; the sentence says what to do next."""


def open_storage(path: Path) -> Engine:
    """Open (or make) the database file and bring it up to date. Raises StorageError."""
    if not path.parent.is_dir():
        raise StorageError(f"{path.parent}: no such folder. Make it with `palm-identity init`, or correct [storage] database.")
    os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))  # before SQLite makes it readable to others
    # What an error was about to write (a sealed key, an account) belongs neither into a log nor onto the wire.
    engine = sa.create_engine(
        f"sqlite:///{path}",
        connect_args={"timeout": BUSY_TIMEOUT_MS / 1000, "check_same_thread": False},
        hide_parameters=True,
    )
    sa.event.listen(engine, "connect", _prepare)
    sa.event.listen(engine, "begin", _begin)
    try:
        migrate(engine)
        scrub(engine)  # a service that was killed may have left deleted bytes there
    except sa.exc.DatabaseError as error:
        engine.dispose()
        raise StorageError(f"{path}: not usable as the service's database ({error.orig}). Restore it from a copy.") from None
    return engine


def _prepare(connection: Any, _record: Any) -> None:
    connection.isolation_level = None  # transactions are ours to begin (see _begin)
    cursor = connection.cursor()
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "secure_delete=ON", "foreign_keys=ON"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _begin(connection: Connection) -> None:
    connection.exec_driver_sql("BEGIN IMMEDIATE")


def migrate(engine: Engine) -> None:
    """Run the migrations that this database has not seen."""
    config = AlembicConfig()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    with engine.connect() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "head")


@contextmanager
def writing(engine: Engine) -> Iterator[Connection]:
    """One transaction; on the disk when the block ends, or nothing of it."""
    with engine.begin() as connection:
        yield connection


def scrub(engine: Engine) -> bool:
    """Write the log back and cut it to nothing, so that deleted bytes are in no file.

    False where another process still reads the log: then it must be tried again.
    """
    raw = engine.raw_connection()
    try:
        cursor = raw.cursor()
        cursor.execute(f"PRAGMA busy_timeout={SCRUB_TIMEOUT_MS}")
        (busy, _, _) = cursor.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        cursor.execute(f"PRAGMA busy_timeout={BUSY_TIMEOUT_MS}")
        return not busy
    finally:
        raw.close()
