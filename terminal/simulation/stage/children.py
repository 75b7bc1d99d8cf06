"""Programs that the stage starts, each in its own process group: stopped politely, killed surely, never left behind."""

from __future__ import annotations

import asyncio
import logging
import os
import shutil
import signal
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

log = logging.getLogger(__name__)

STOP_DEADLINE_S = 5.0
"""From the polite signal to the rude one."""
GONE_DEADLINE_S = 5.0
"""From the rude signal until the system must have cleaned up."""
TAIL_LINES = 12
"""Lines of a child's log in an error."""
TAIL_BYTES = 8192


class ChildError(Exception):
    """A program could not do its part; the sentence has its name, how it ended, and the end of its log."""


def _dies_with_us() -> list[str]:
    """A prefix that ends the child when this process is killed and can clean up nothing; Debian's util-linux has it."""
    setpriv = shutil.which("setpriv")
    return [setpriv, "--pdeathsig", "KILL"] if setpriv else []


class Child:
    """One program. Its output goes to `log_path`; it may be started again after it has ended."""

    def __init__(self, name: str, command: Sequence[str], log_path: Path, environment: Mapping[str, str] | None = None) -> None:
        self.name = name
        self.command = tuple(command)
        self.log_path = log_path
        self.starts = 0
        self._environment = dict(environment or {})
        self._process: asyncio.subprocess.Process | None = None

    @property
    def running(self) -> bool:
        """True from start to end of the process."""
        return self._process is not None and self._process.returncode is None

    @property
    def pid(self) -> int | None:
        """Of the running process."""
        return self._process.pid if self._process is not None and self.running else None

    async def start(self) -> None:
        """Start it. Raises ChildError where that can't be done."""
        if self.running:
            raise ChildError(f"{self.name} is running already.")
        try:
            with self.log_path.open("ab") as out:
                self._process = await asyncio.create_subprocess_exec(
                    *_dies_with_us(), *self.command, stdin=asyncio.subprocess.DEVNULL, stdout=out, stderr=out, start_new_session=True,
                    env={**os.environ, **self._environment},
                )  # fmt: skip
        except OSError as error:
            raise ChildError(f"{self.name} can't be started ({error.strerror}: {error.filename}). Run `make install`.") from None
        self.starts += 1
        log.info("stage child=%s pid=%d started", self.name, self._process.pid)

    async def ended(self, deadline_s: float) -> int:
        """Wait for its end and give its exit status. Raises ChildError when it takes longer (and kills it)."""
        assert self._process is not None
        try:
            return await asyncio.wait_for(self._process.wait(), deadline_s)
        except TimeoutError:
            await self.kill()
            raise ChildError(f"{self.name} took longer than {deadline_s:g} s.\n{self.tail()}") from None

    async def succeed(self, deadline_s: float) -> None:
        """Start it and wait for its end. Raises ChildError unless it ends with 0."""
        await self.start()
        status = await self.ended(deadline_s)
        if status != 0:
            raise ChildError(f"{self.name} ended with {status}.\n{self.tail()}")

    def signal(self, number: signal.Signals) -> None:
        """Send it to the whole group; harmless when it has ended."""
        if self._process is not None and self.running:
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, number)

    def cut(self) -> None:
        """As a power cut, without waiting for the end; `kill` waits."""
        self.signal(signal.SIGKILL)

    async def kill(self) -> None:
        """As a power cut: no warning, whole group. Harmless when it has ended."""
        self.signal(signal.SIGKILL)
        if self._process is not None:
            await asyncio.wait_for(self._process.wait(), GONE_DEADLINE_S)

    async def stop(self) -> None:
        """Ask it to end, then make it. Harmless when it has ended."""
        if self._process is None:
            return
        self.signal(signal.SIGCONT)
        self.signal(signal.SIGTERM)
        try:
            await asyncio.wait_for(self._process.wait(), STOP_DEADLINE_S)
        except TimeoutError:
            log.warning("stage child=%s did not stop in %g s: killed", self.name, STOP_DEADLINE_S)
            await self.kill()
        # Its own children are in its group; they must not outlive it either.
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)

    def tail(self) -> str:
        """The last lines of its log, for an error."""
        try:
            with self.log_path.open("rb") as file:
                file.seek(max(0, file.seek(0, os.SEEK_END) - TAIL_BYTES))
                lines = file.read().decode(errors="replace").splitlines()
        except OSError:
            return f"(no log at {self.log_path})"
        return "\n".join([f"The end of {self.log_path}:", *(f"  {line}" for line in lines[-TAIL_LINES:])])


async def stop_all(children: Sequence[Child]) -> None:
    """Stop them all at once; what goes wrong with one does not keep the others."""
    results = await asyncio.gather(*(child.stop() for child in children), return_exceptions=True)
    for child, result in zip(children, results, strict=True):
        if isinstance(result, BaseException):
            log.error("stage child=%s could not be stopped: %s", child.name, result)
