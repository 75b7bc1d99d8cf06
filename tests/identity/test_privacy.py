"""Looks for palms where none may be: in every file, in the log, in the metrics; of strangers, of the enrolled, of the forgotten."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import re
import shutil
import sqlite3
from pathlib import Path

import grpc
import numpy as np
import pytest
from prometheus_client import generate_latest

from identity.people import Known, People, Record
from identity.signatures import Side, parse
from identity.storage import open_storage, person
from identity.vault import Vault, VaultError, open_vault
from proto.palmpay.v1 import checkout_pb2 as pb
from proto.palmpay.v1 import palm_pb2
from proto.palmpay.v1.enrolment_pb2 import ForgetRequest
from tests.identity.support import DIMENSION, Palm, Served, request, served, set_up

PIECE_BYTES = 12
"""Three floats in a row: too many to be there by chance."""


def pieces(probes: list[palm_pb2.Probe]) -> list[bytes]:
    """Pieces of signatures as they would look: float32 and float64 bytes."""
    found = []
    for probe in probes:
        for raw in (probe.surface, probe.veins, probe.mixed):
            if raw:
                numbers = np.frombuffer(raw, "<f4")
                found += [raw[:PIECE_BYTES], raw[-PIECE_BYTES:], numbers[:3].astype("<f8").tobytes()]
    return found


def spelt(probes: list[palm_pb2.Probe]) -> list[str]:
    """Numbers of signatures as text would have them."""
    return [
        f"{abs(number):.5f}" for probe in probes for raw in (probe.surface, probe.veins) for number in np.frombuffer(raw, "<f4")[:2]
    ]


def files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def held_in(folder: Path, secret: bytes) -> bool:
    return secret in b"".join(files(folder).values())


def assert_nothing(service: Served, folder: Path, log: str, probes: list[palm_pb2.Probe]) -> None:
    for name, content in files(folder).items():
        for piece in pieces(probes):
            assert piece not in content, f"a signature in {name}"
    metrics = generate_latest(service.state.metrics.registry).decode()
    for piece in pieces(probes):
        assert repr(piece)[2:-1] not in log + metrics
        assert piece.hex() not in log + metrics
    for number in spelt(probes):
        assert number not in log + without_times(metrics)


def without_times(metrics: str) -> str:
    """All samples but what a clock gave: among so many digits any number of a signature turns up by chance, one run in twenty."""
    return "\n".join(line for line in metrics.splitlines() if not re.match(r"\w+_(seconds_sum|created)\b", line))


def test_only_times_are_left_out_of_the_search_for_numbers() -> None:
    kept = ["palm_probes_total 0.12345", 'palm_search_seconds_bucket{le="0.1"} 3.0', "palm_gallery_owners 0.12345"]
    times = ["palm_search_seconds_sum 0.12345", 'palm_call_seconds_sum{call="Enrol"} 0.12345', "palm_probes_created 1.79e+09"]
    assert without_times("\n".join(kept + times)).splitlines() == kept


async def test_a_stranger_leaves_no_trace(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    async with served(tmp_path) as service:
        await service.enrolment().Enrol(request(Palm(1)))
        stream, before = service.till(), files(tmp_path)
        await stream.begin()
        probes = Palm(77).probes(40)
        for one in probes:
            await stream.send(probe=one)
        assert (await stream.decision()).refused.reason == pb.REFUSAL_REASON_NOBODY
        await stream.close()
        after = files(tmp_path)
        for held in (before, after):
            held.pop("identity.sqlite-shm")  # SQLite's table of locks: reading changes it
        assert after == before, "not a byte was written"
        assert stream.key not in caplog.text
        assert_nothing(service, tmp_path, caplog.text, probes)


async def test_a_customer_is_in_no_file_in_the_clear_and_the_forgotten_in_none_at_all(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    config = set_up(tmp_path)
    async with served(tmp_path, config) as service:
        wanted = request(Palm(1), greeting_name="Annegret", payment_token="tok_secret_1")
        probes = list(wanted.probes)
        enrolled = (await service.enrolment().Enrol(wanted)).person
        shown = Palm(1).probes(10)
        stream = service.till()
        await stream.begin()
        for one in shown:
            await stream.send(probe=one)
        assert (await stream.decision()).WhichOneof("what") == "authorised"
        assert_nothing(service, tmp_path, caplog.text, probes + shown)
        for content in files(tmp_path).values():
            assert b"Annegret" not in content
            assert b"tok_secret_1" not in content
        assert "Annegret" not in caplog.text
        assert "tok_secret_1" not in caplog.text
        assert enrolled not in caplog.text

        reader = open_storage(config.storage.database)
        with reader.connect() as connection:
            row = connection.execute(person.select()).mappings().one()
        reader.dispose()
        sealed = [bytes(row["wrapped_key"]), bytes(row["sealed"])]
        there = b"".join(files(tmp_path).values())
        assert all(secret in there for secret in sealed), "they can be found while they are there"
        await service.enrolment().Forget(ForgetRequest(person=enrolled, asked_by="Annegret"))
        gone = b"".join(files(tmp_path).values())
        assert not any(secret in gone for secret in sealed)
        assert enrolled.encode() not in gone
        assert_nothing(service, tmp_path, caplog.text, probes + shown)


async def test_a_stolen_database_is_worth_nothing_without_the_key(tmp_path: Path) -> None:
    config = set_up(tmp_path)
    async with served(tmp_path, config) as service:
        await service.enrolment().Enrol(request(Palm(1)))
    engine = open_storage(config.storage.database)
    with pytest.raises(VaultError, match="key_file"):
        People(engine, Vault(b"x" * 32))
    assert len(list(People(engine, open_vault(config.storage.key_file)).everybody())) == 1
    engine.dispose()


def test_a_persons_key_opens_nothing_of_another() -> None:
    vault = Vault(b"k" * 32)
    wrapped, key = vault.new_key("p-1")
    sealed = key.seal("record", b"hello")
    assert vault.unwrap(wrapped, "p-1").open("record", sealed) == b"hello"
    for attempt in (
        lambda: vault.unwrap(wrapped, "p-2"),
        lambda: key.open("template", sealed),
        lambda: vault.new_key("p-1")[1].open("record", sealed),
        lambda: key.open("record", sealed[:-1] + bytes([sealed[-1] ^ 1])),
        lambda: key.open("record", b""),
    ):
        with pytest.raises(VaultError):
            attempt()


def test_the_key_file_is_the_owners_alone(tmp_path: Path) -> None:
    config = set_up(tmp_path)
    config.storage.key_file.chmod(0o640)
    with pytest.raises(VaultError, match="chmod 600"):
        open_vault(config.storage.key_file)
    config.storage.key_file.chmod(0o600)
    config.storage.key_file.write_bytes(b"short")
    config.storage.key_file.chmod(0o600)
    with pytest.raises(VaultError, match="32 bytes"):
        open_vault(config.storage.key_file)


def test_nothing_shows_itself_in_a_repr() -> None:
    look = parse(Palm(1).probes(1)[0], DIMENSION)
    assert "array" not in repr(look)
    record = Record(
        greeting_name="Annegret", payment_token="tok_secret", limit_minor=1, currency="EUR", consent_text_version="1",
        consent_given_unix_s=1, consent_witnessed_by="Wilma",
    )  # fmt: skip
    for shown in (repr(record), str(record), f"{record}", repr(Known("p-1", record, False, 1, 1, ("m",)))):
        assert not any(secret in shown for secret in ("Annegret", "tok_secret", "Wilma"))
    assert "0x" in repr(Vault(b"k" * 32)), "the default repr, with no key in it"


async def test_books_that_can_not_be_written_say_so_and_nothing_else(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A disk that fails: SQLAlchemy's own words would hold what was to be written, sealed key and all."""
    caplog.set_level(logging.DEBUG)
    async with served(tmp_path) as service:
        await service.enrolment().Enrol(request(Palm(1)))
        with contextlib.closing(sqlite3.connect(service.config.storage.database)) as other:
            for table in ("template", "purchase"):
                broken_disk = "SELECT RAISE(ABORT, 'database or disk is full')"
                other.execute(f"CREATE TRIGGER no_{table} BEFORE INSERT ON {table} BEGIN {broken_disk}; END")
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await service.enrolment().Enrol(request(Palm(2), greeting_name="Annegret", payment_token="tok_secret_2"))
        stream = service.till()
        await stream.begin()
        assert await stream.answer() is not None

        async def one_at_a_time() -> None:  # a client that is still writing when its stream breaks hears no reason
            for one in Palm(1).probes(40):
                await stream.send(probe=one)
                await stream.answer()

        with pytest.raises(grpc.aio.AioRpcError) as broken:
            await one_at_a_time()
        for text in (str(refused.value.details()), str(broken.value.details()), caplog.text):
            assert "database or disk is full" in text
            assert not re.search(r"INSERT|\b[pa]-[0-9a-f]{32}|tok_|Annegret|\\x", text)
        assert service.state.gallery.owners == 1


async def test_what_a_killed_service_left_in_its_log_is_gone_after_the_next_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed after the deletion was written and before the log was emptied: old pages still stand in the log."""
    config = set_up(tmp_path / "shop")
    vault, engine = open_vault(config.storage.key_file), open_storage(config.storage.database)
    people = People(engine, vault)
    record = Record(
        greeting_name="Ann", payment_token="tok", limit_minor=1, currency="EUR", consent_text_version="1", consent_given_unix_s=1,
        consent_witnessed_by="w",
    )  # fmt: skip
    looks = [look.signatures for look in Palm(1).looks(2)]
    enrolled = people.enrol("a" * 32, record, Side.RIGHT, looks, "m", 2, 1.0).person
    assert enrolled is not None
    with engine.connect() as connection:
        secret = bytes(connection.execute(person.select()).mappings().one()["wrapped_key"])
    monkeypatch.setattr("identity.people.scrub", lambda _: True)
    people.forget(enrolled)
    shutil.copytree(tmp_path / "shop", tmp_path / "after")
    engine.dispose()
    assert held_in(tmp_path / "after", secret), "this is what a kill leaves"

    again = open_storage(tmp_path / "after" / config.storage.database.name)
    assert not held_in(tmp_path / "after", secret)
    again.dispose()


async def test_bytes_that_another_program_keeps_alive_are_said_and_gone_when_it_ends(tmp_path: Path) -> None:
    """A reader (a backup) holds the log: it can't be emptied before the reader is done."""
    config = set_up(tmp_path, payments={"expiry_interval_s": 1})
    async with served(tmp_path, config) as service:
        enrolled = (await service.enrolment().Enrol(request(Palm(1)))).person
        reader = sqlite3.connect(config.storage.database, isolation_level=None)
        reader.execute("BEGIN")
        (secret,) = reader.execute("SELECT wrapped_key FROM person").fetchone()
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await service.enrolment().Forget(ForgetRequest(person=enrolled, asked_by="Ann"))
        assert refused.value.code() is grpc.StatusCode.UNAVAILABLE
        assert "another program" in str(refused.value.details())
        assert service.state.gallery.owners == 0, "nobody is recognised by it all the same"
        assert held_in(tmp_path, secret)
        reader.execute("COMMIT")
        reader.close()
        async with asyncio.timeout(60):
            while held_in(tmp_path, secret):  # noqa: ASYNC110 - the condition lives in files
                await asyncio.sleep(0.05)
