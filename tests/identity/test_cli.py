"""The command line as an operator uses it: the real program in processes of its own, killed and started again."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import grpc
import pytest
from typer.testing import CliRunner

from identity.cli import app
from identity.config import load
from proto.palmpay.v1 import checkout_pb2 as pb
from tests.identity.support import Palm, Served, TillStream, calibrated, credentials, request, served, set_up

READY_TIMEOUT_S = 60


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    calibrated().save(tmp_path / "calibration.json")
    folder = tmp_path / "shop"
    arguments = ["init", str(folder), "--till", "till-1", "--operator", "demo", "--listen", "127.0.0.1:0"]
    done = CliRunner().invoke(app, [*arguments, "--calibration", str(tmp_path / "calibration.json")])
    assert done.exit_code == 0, done.output
    return folder


@contextmanager
def serving(shop: Path) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    command = [sys.executable, "-m", "identity.cli", "serve", "--config", str(shop / "identity.toml")]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        line = process.stdout.readline()  # the test's own time-out bounds this
        assert line.startswith("ready on 127.0.0.1:"), line
        yield line.removeprefix("ready on ").strip(), process
    finally:
        process.kill()
        process.wait(READY_TIMEOUT_S)
        process.stdout.close()


def invoke(shop: Path, *arguments: str) -> tuple[int, str]:
    done = CliRunner().invoke(app, [arguments[0], "--config", str(shop / "identity.toml"), *arguments[1:]])
    return done.exit_code, done.output


def till(shop: Path, address: str) -> Served:
    return Served(address, shop / "certificates", None, load(shop / "identity.toml"))  # type: ignore[arg-type]


async def test_init_serve_enrol_pay_kill_restart_ledger_forget_stop(shop: Path) -> None:
    """What was answered before a kill -9 is in the books after it."""
    ann = Palm(1)
    with serving(shop) as (address, process):
        service = till(shop, address)
        person = (await service.enrolment().Enrol(request(ann))).person
        captured, open_one = service.till(), service.till()
        await captured.pay(ann, 500)
        await captured.settle(capture=pb.Capture(purchase_key=captured.key))
        await open_one.pay(ann, 700)
        process.send_signal(signal.SIGKILL)
        process.wait(READY_TIMEOUT_S)
        for channel in service.channels:
            await channel.close()
    assert invoke(shop, "ledger")[0] == 1, "the address that a killed service left behind leads nowhere"
    with serving(shop) as (address, process):
        service = till(shop, address)
        later = service.till()
        assert (await later.settle(capture=pb.Capture(purchase_key=open_one.key))).captured.amount_minor == 700
        code, output = invoke(shop, "ledger", "--json")
        assert code == 0
        entries = [json.loads(line) for line in output.splitlines()]
        assert [(entry["state"], entry["captured_minor"]) for entry in entries] == [("captured", 500), ("captured", 700)]
        shown = invoke(shop, "ledger")[1]
        assert any(all(word in line for word in ("till-1", "pay", "5.00", "EUR", "captured")) for line in shown.splitlines())
        assert person in json.loads(invoke(shop, "people", "--json")[1])["person"]
        assert invoke(shop, "people")[0] == 0
        assert "AES-GCM" in invoke(shop, "describe", person)[1]
        assert len(json.loads(invoke(shop, "describe", person, "--json")[1])["payments"]) == 2
        assert invoke(shop, "block", person)[0] == 0
        assert invoke(shop, "block", person, "--undo")[0] == 0
        assert invoke(shop, "forget", person, "--yes")[0] == 0
        assert invoke(shop, "forget", person, "--yes")[0] == 1
        for channel in service.channels:
            await channel.close()
        process.send_signal(signal.SIGTERM)
        assert process.wait(READY_TIMEOUT_S) == 0
    code, output = invoke(shop, "ledger")
    assert code == 1
    assert "isn't running" in output


async def test_pings_as_often_as_tills_send_them_are_permitted(tmp_path: Path) -> None:
    """A till's ping every 30 s against a bound of 10 s, here both thirty times faster: the connection stays, on an idle stream."""
    config = set_up(tmp_path)
    quick = config.model_copy(update={"service": config.service.model_copy(update={"ping_interval_min_s": 0.33})})
    async with served(tmp_path, quick) as service:
        options = [
            ("grpc.keepalive_time_ms", 1_000),
            ("grpc.keepalive_timeout_ms", 5_000),
            ("grpc.keepalive_permit_without_calls", 1),
            ("grpc.http2.max_pings_without_data", 0),
        ]
        async with grpc.aio.secure_channel(service.address, credentials(service.certificates, "till-1"), options) as channel:
            stream = TillStream(channel, "till-1")
            await stream.begin(patience_ms=4_500)
            assert (await stream.answer()) is not None
            refused = await stream.decision()  # nothing but pings went over the line for 4.5 s
            assert refused.refused.reason == pb.REFUSAL_REASON_UNSURE
            assert channel.get_state() is grpc.ChannelConnectivity.READY


def test_init_replaces_nothing_by_accident(shop: Path, tmp_path: Path) -> None:
    key = (shop / "people.key").read_bytes()
    done = CliRunner().invoke(app, ["init", str(shop)])
    assert done.exit_code == 2
    assert "--force" in done.output
    done = CliRunner().invoke(app, ["init", str(shop), "--force"])
    assert done.exit_code == 0
    assert (shop / "people.key").read_bytes() == key, "the key to the people's records is never replaced"
    for secret in [shop / "people.key", *(shop / "certificates").glob("*.key")]:
        assert secret.stat().st_mode & 0o077 == 0


def test_more_certificates_later(shop: Path) -> None:
    done = CliRunner().invoke(app, ["certificates", str(shop / "certificates"), "--till", "till-9", "--operator", "eve"])
    assert done.exit_code == 0
    assert (shop / "certificates" / "till-9.pem").exists()
    again = CliRunner().invoke(app, ["certificates", str(shop / "certificates"), "--till", "till-9"])
    assert again.exit_code == 2


def test_errors_are_sentences_with_their_exit_codes(shop: Path, tmp_path: Path) -> None:
    assert CliRunner().invoke(app, ["serve", "--config", str(tmp_path / "none.toml")]).exit_code == 2
    config = shop / "identity.toml"
    config.write_text(config.read_text() + "\n[nonsense]\n")
    done = CliRunner().invoke(app, ["serve", "--config", str(config)])
    assert done.exit_code == 2
    assert "nonsense" in done.output
    (tmp_path / "calibration.json").unlink()
    config.write_text(config.read_text().replace("[nonsense]", ""))
    done = CliRunner().invoke(app, ["serve", "--config", str(config)])
    assert done.exit_code == 1
    assert "calibration" in done.output


def test_help_teaches() -> None:
    done = CliRunner().invoke(app, ["--help"])
    assert done.exit_code == 0
    for command in ("init", "certificates", "serve", "ledger", "people", "describe", "forget", "block"):
        assert command in done.output
    assert "--install-completion" in done.output


def test_blas_is_bound_to_one_thread() -> None:
    code = "import identity.cli, os; print(os.environ['OPENBLAS_NUM_THREADS'])"
    environment = {name: value for name, value in os.environ.items() if "NUM_THREADS" not in name}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.strip() == "1"
