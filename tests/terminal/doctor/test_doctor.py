"""Each thing that can be wrong is found, and what to do next is said."""

from __future__ import annotations

import fcntl
import json
import os
import signal
import subprocess
from pathlib import Path

import pytest
from rich.console import Console

from terminal import board
from terminal.config import Config, DisplayOptions, JournalOptions, PalmOptions, ReaderOptions, RegisterOptions, ServiceOptions
from terminal.doctor import Finding, examine, models, places, show
from terminal.doctor.examine import certificates, reader, service


def test_the_table_says_what_to_do_next_and_keeps_brackets() -> None:
    console = Console(record=True, width=120, file=open(os.devnull, "w"))  # noqa: SIM115
    show(
        [Finding("disk", True, "fine"), Finding("service", False, "gone", "Correct [service] address.")],
        as_json=False,
        console=console,
    )
    text = console.export_text()
    assert "Correct [service] address." in text
    assert "1 wrong: service." in text


def test_as_json_it_is_for_a_program(capsys: pytest.CaptureFixture[str]) -> None:
    show([Finding("disk", None, "slow", "A better card helps.")], as_json=True)
    said = json.loads(capsys.readouterr().out)
    assert said["well"] is True
    assert said["findings"][0]["next"] == "A better card helps."


def test_a_disk_that_can_be_written_is_timed(tmp_path: Path) -> None:
    config = Config(journal=JournalOptions(folder=tmp_path / "new"))
    assert "a record takes" in places.disk(config).found
    assert list((tmp_path / "new").iterdir()) == []


def test_a_journal_in_use_and_a_disk_that_cannot_be_are_said(tmp_path: Path) -> None:
    config = Config(journal=JournalOptions(folder=tmp_path))
    handle = os.open(tmp_path / "journal.lock", os.O_CREAT | os.O_RDWR)
    fcntl.flock(handle, fcntl.LOCK_EX)
    finding = places.disk(config)
    os.close(handle)
    assert finding.well is None
    assert "Stop it first" in finding.next
    (tmp_path / "file").write_text("")
    broken = places.disk(Config(journal=JournalOptions(folder=tmp_path / "file" / "x")))
    assert (broken.well, "data partition" in broken.next) == (False, True)


def test_a_port_that_is_not_there_is_said(tmp_path: Path) -> None:
    (finding,) = places.register(RegisterOptions(port=str(tmp_path / "ttyUSB9")))
    assert (finding.well, "Plug the adapter in" in finding.next) == (False, True)


def test_a_port_that_is_free_and_one_that_is_taken() -> None:
    import serial

    master, slave = os.openpty()
    options = RegisterOptions(port=os.ttyname(slave))
    assert places.register(options)[0].well is True
    other = serial.Serial(options.port, exclusive=True)
    taken = places.register(options)[0]
    other.close()
    os.close(master)
    os.close(slave)
    assert (taken.well, "Another program has it" in taken.next) == (False, True)


def test_an_adapter_that_waits_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    timer = tmp_path / "ttyUSB0" / "device" / "latency_timer"
    timer.parent.mkdir(parents=True)
    timer.write_text("16\n")
    monkeypatch.setattr(places, "SYS_TTY", tmp_path)
    (finding,) = places._latency(Path("/dev/ttyUSB0"))
    assert (finding.well, "udev rule" in finding.next) == (None, True)
    timer.write_text("1\n")
    assert places._latency(Path("/dev/ttyUSB0"))[0].well is True


def test_a_page_whose_port_is_taken_is_said() -> None:
    import socket

    with socket.create_server(("127.0.0.1", 0)) as server:
        assert places.page(DisplayOptions(port=server.getsockname()[1])).well is False
    assert places.page(DisplayOptions(port=0)).well is True


def test_a_model_that_is_missing_is_said(tmp_path: Path) -> None:
    (finding,) = models.look(PalmOptions(palm_model=tmp_path / "palm.onnx", hand_model=tmp_path / "hand.onnx"))
    assert finding.well is False
    assert "Put the released" in finding.next


def test_a_library_that_dies_takes_only_the_child(monkeypatch: pytest.MonkeyPatch) -> None:
    died = subprocess.CompletedProcess([], -signal.SIGILL, "", "")
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: died)
    (finding,) = models.look(PalmOptions())
    assert "SIGILL" in finding.found
    assert "onnxruntime does not run on this board" in finding.next


def test_a_faster_encoder_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    said = {"version": "palm-1", "load_s": 1.0, "encode_ms": 30.0, "find_ms": 3.0, "other": "palm.int8.onnx", "other_ms": 10.0}
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: subprocess.CompletedProcess([], 0, json.dumps(said), ""))
    findings = models.look(PalmOptions())
    assert findings[0].well is True
    assert "palm.int8.onnx takes 10.0 ms" in findings[1].next


def test_a_reader_that_is_not_there_is_said(tmp_path: Path) -> None:
    (finding,) = reader(Config(reader=ReaderOptions(kind="replay", replay_path=tmp_path / "none")))
    assert finding.well is False


def test_a_simulated_reader_shows_all_lights() -> None:
    (finding,) = reader(Config(reader=ReaderOptions(kind="simulated")))
    assert all(word in finding.found for word in ("parallel", "crossed", "dark", "frames/s"))
    assert finding.well is not True, "in a shop this would be a mistake"


async def test_certificates_and_a_service_that_are_not_there_are_said(tmp_path: Path) -> None:
    options = ServiceOptions(
        address="127.0.0.1:9",
        ca=tmp_path / "ca.pem",
        certificate=tmp_path / "t.pem",
        key=tmp_path / "t.key",
        connect_deadline_s=0.5,
    )
    config = Config(service=options)
    assert "Copy this till's certificates" in certificates(config)[0].next
    assert (await service(config)).well is False


async def test_everything_is_looked_at_even_when_all_of_it_is_wrong(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(models, "look", lambda _: [Finding("models", False, "none")])
    config = Config(
        reader=ReaderOptions(kind="replay", replay_path=tmp_path / "none"),
        journal=JournalOptions(folder=tmp_path / "journal"),
        cash_register=RegisterOptions(port=str(tmp_path / "none")),
        display=DisplayOptions(port=0),
        service=ServiceOptions(address="127.0.0.1:9", ca=tmp_path / "ca.pem", connect_deadline_s=0.5),
    )
    findings = {finding.part: finding for finding in await examine(config)}
    assert {
        "configuration",
        "versions",
        "supply",
        "models",
        "reader",
        "disk",
        "register",
        "page",
        "clock",
        "certificates",
        "service",
    } <= set(findings)
    assert all(finding.next for finding in findings.values() if finding.well is False and finding.part != "models")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("0x0", ()),
        ("0x50005", ("under-voltage now", "throttled now", "under-voltage since the start", "throttled since the start")),
    ],
)
def test_the_boards_supply_is_read_from_its_file(tmp_path: Path, text: str, said: tuple[str, ...]) -> None:
    path = tmp_path / "get_throttled"
    path.write_text(text)
    assert board.throttled(path) == said
    assert board.throttled(tmp_path / "none") is None
