"""The whole way in real processes: the service over TLS, the terminal with the simulated reader, a ZVT register at a null-modem cable."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from terminal.register.serial_line import SerialLine
from terminal.register.till import RegisterResult
from terminal.register.till.zvt_codec import Status
from terminal.register.till.zvt_register import OK, ZvtRegister
from terminal.simulation.control import ask
from terminal.simulation.stage.cable import Cable

LIMIT_S = 60.0  # for anything that a loaded machine may take its time for
PATIENCE_S = 45.0  # of a shopper on a machine that gives the simulated reader a tenth of its frames
ENROL_CODE_MINOR = 987_654  # a payment of this amount opens enrolment
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1"}
MODELS = Path(__file__).resolve().parents[2] / "models"
NEEDED = ("hand.onnx", "palm.onnx", "palm.calibration.json")

needs_models = pytest.mark.skipif(
    not all((MODELS / name).is_file() for name in NEEDED), reason="the models are not here: `make models` makes them"
)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def program(name: str, *arguments: str) -> list[str]:
    return [sys.executable, "-m", f"{name}.cli", *arguments]


@dataclass
class Service:
    """The identity service with its folder; Ada may spend 50.00, Ben 10.00."""

    folder: Path
    port: int
    process: subprocess.Popen[bytes] | None = None

    @property
    def config(self) -> str:
        return str(self.folder / "identity.toml")

    def start(self) -> None:
        log = (self.folder / "service.log").open("ab")
        self.process = subprocess.Popen(
            program("identity", "serve", "--config", self.config), stdout=log, stderr=log, env=ENVIRONMENT
        )
        until_s = time.monotonic() + LIMIT_S
        while time.monotonic() < until_s:
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
            except OSError:
                assert self.process.poll() is None, (self.folder / "service.log").read_text()
                time.sleep(0.05)
            else:
                return
        pytest.fail("the service does not listen")

    def stop(self, how: signal.Signals = signal.SIGTERM) -> None:
        if self.process is not None:
            self.process.send_signal(signal.SIGCONT)
            self.process.send_signal(how)
            self.process.wait(LIMIT_S)
            self.process = None

    def ledger(self) -> list[dict[str, object]]:
        done = subprocess.run(
            program("identity", "ledger", "--config", self.config, "--json"), capture_output=True, text=True, timeout=LIMIT_S,
            check=True, env=ENVIRONMENT,
        )  # fmt: skip
        return [json.loads(line) for line in done.stdout.splitlines() if line.strip()]


def terminal_toml(folder: Path, service: Service, port: str, patience_s: float = PATIENCE_S, kind: str = "counter") -> Path:
    certificates = service.folder / "certificates"
    path = folder / "terminal.toml"
    path.write_text(
        f"""
[shop]
palm_patience_s = {patience_s}
kind = "{kind}"
[reader]
kind = "simulated"
control_socket = "{folder / "control"}"
[service]
address = "127.0.0.1:{service.port}"
ca = "{certificates / "ca.pem"}"
certificate = "{certificates / "till-1.pem"}"
key = "{certificates / "till-1.key"}"
backoff_max_s = 1.0
connect_deadline_s = 3.0
answer_deadline_s = 3.0
[register]
port = "{port}"
[enrolment]
code_minor = {ENROL_CODE_MINOR}
consent_text_version = "2026-11 en"
[display]
port = 0
[journal]
folder = "{folder / "journal"}"
""",
        encoding="utf-8",
    )
    return path


def show(folder: Path, who: str | None) -> None:
    """Hold a hand over the simulated reader, as soon as it answers."""
    until_s = time.monotonic() + LIMIT_S
    while True:
        try:
            said = ask(folder / "control", {"show": None if who is None else {"person": who, "side": "right"}})
        except OSError:
            if time.monotonic() > until_s:
                raise
            time.sleep(0.05)
        else:
            assert "error" not in said, said
            return


@contextmanager
def running_service(folder: Path) -> Iterator[Service]:
    service = Service(folder / "identity", free_port())
    init = program("identity", "init", str(service.folder), "--till", "till-1", "--listen", f"127.0.0.1:{service.port}")
    subprocess.run(init, check=True, capture_output=True, timeout=LIMIT_S, env=ENVIRONMENT)
    service.start()
    try:
        config = terminal_toml(folder, service, "/dev/null")
        for name, limit in (("ada", "50.00"), ("ben", "10.00")):
            command = program(
                "terminal", "enrol", "--config", str(config), "--name", name, "--payment-token", f"token-{name}", "--limit", limit,
                "--consent-text-version", "2026-11 en", "--witness", "test", "--consented",
            )  # fmt: skip
            with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=ENVIRONMENT) as child:
                show(folder, name)
                out, _ = child.communicate(timeout=2 * LIMIT_S)
            assert child.returncode == 0, out.decode()
        yield service
    finally:
        service.stop()


class Terminal:
    """A terminal's process. `restart` keeps its journal."""

    def __init__(self, folder: Path, service: Service, port: str, patience_s: float, kind: str) -> None:
        self.folder = folder
        self.config = terminal_toml(folder, service, port, patience_s, kind)
        self.log = folder / "terminal.log"
        self.process: subprocess.Popen[bytes] | None = None

    async def start(self) -> None:
        before = self._lines("ready till=")
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(  # noqa: ASYNC220 - starting takes a moment, and nothing else runs
                program("terminal", "run", "--config", str(self.config), "--log", "debug"), stdout=log, stderr=log, env=ENVIRONMENT
            )
        await self.said("ready till=", before)
        await asyncio.to_thread(show, self.folder, None)

    def _lines(self, words: str) -> int:
        return self.log.read_text(errors="replace").count(words) if self.log.exists() else 0

    async def said(self, words: str, before: int = 0) -> None:
        """Wait until the log has these words more often than `before`."""
        until_s = time.monotonic() + LIMIT_S
        while self._lines(words) <= before:
            assert time.monotonic() < until_s, f"never said {words!r}:\n{self.log.read_text()[-4000:]}"
            assert self.process is None or self.process.poll() is None, self.log.read_text()[-4000:]
            await asyncio.sleep(0.02)

    def count(self, words: str) -> int:
        return self._lines(words)

    def kill(self) -> None:
        """As a power cut."""
        assert self.process is not None
        self.process.kill()
        self.process.wait(LIMIT_S)

    async def stop(self) -> int:
        if self.process is None or self.process.poll() is not None:
            return 0
        self.process.terminate()
        return await asyncio.to_thread(self.process.wait, LIMIT_S)


@dataclass
class Way:
    service: Service
    terminal: Terminal
    register: ZvtRegister
    folder: Path
    before_reply: Callable[[Status], bool] | None = None
    at_completion: Callable[[], None] | None = None

    async def pay(self, amount_minor: int, who: str | None) -> RegisterResult:
        """The register asks, and when the shopper is asked that hand comes."""
        return await self.asks("pay", self.register.pay(amount_minor), who)

    async def asks(self, kind: str, request: Coroutine[Any, Any, RegisterResult], who: str | None) -> RegisterResult:
        """Any request that wants a palm; `kind` as the terminal's log says it."""
        before = self.terminal.count(f"register asks kind={kind}")
        task = asyncio.create_task(request)
        await self.terminal.said(f"register asks kind={kind}", before)
        if who is not None:
            await asyncio.to_thread(show, self.folder, who)
        result = await task
        if self.terminal.process is not None and self.terminal.process.poll() is None:
            await asyncio.to_thread(show, self.folder, None)
        return result

    def ledger(self, since: int = 0) -> list[dict[str, object]]:
        return self.service.ledger()[since:]


@asynccontextmanager
async def whole_way(folder: Path, service: Service, patience_s: float = PATIENCE_S, kind: str = "counter") -> AsyncIterator[Way]:
    cable = Cable()
    cable.open()
    terminal = Terminal(folder, service, cable.terminal_port, patience_s, kind)
    way: Way | None = None

    def answer(status: Status) -> bytes | None:
        assert way is not None
        return None if way.before_reply is not None and way.before_reply(status) else OK

    def tap(direction: str, data: bytes | str) -> None:
        if (
            way is not None
            and way.at_completion is not None
            and direction == "in"
            and isinstance(data, bytes)
            and b"\x06\x0f" in data
        ):
            way.at_completion()

    try:
        await terminal.start()
        async with ZvtRegister(SerialLine(cable.register_port), answer_status=answer, tap=tap) as register:
            assert (await register.register()).done
            way = Way(service, terminal, register, folder)
            yield way
    finally:
        await terminal.stop()
        cable.close()
