"""Programs are started, watched, stopped, and never left behind."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path

import pytest

from terminal.simulation.stage import children
from terminal.simulation.stage.children import Child, ChildError, stop_all

DEADLINE_S = 60.0

GONE_LIMIT_S = 60.0


def python(tmp_path: Path, code: str) -> Child:
    return Child("a program", [sys.executable, "-c", code], tmp_path / "log")


def alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except OSError:
        return False
    return state != "Z"


async def until_gone(pid: int) -> None:
    """A killed process that is not our own child ends a moment after the signal, when the kernel gets round to it."""
    async with asyncio.timeout(GONE_LIMIT_S):
        while alive(pid):  # noqa: ASYNC110 the kernel has no event for somebody else's child
            await asyncio.sleep(0.01)


def read(path: Path) -> str:
    return path.read_text() if path.exists() else ""


async def until_said(child: Child, word: str) -> str:
    async with asyncio.timeout(DEADLINE_S):
        while word not in (text := read(child.log_path)):  # noqa: ASYNC110 - another process writes the file
            await asyncio.sleep(0.01)
    return text


async def test_success_failure_and_the_end_of_the_log(tmp_path: Path) -> None:
    await python(tmp_path, "print('fine')").succeed(DEADLINE_S)
    with pytest.raises(ChildError, match=r"ended with 3.*\n.*\n.*fine\n.*because"):
        await python(tmp_path, "print('because'); raise SystemExit(3)").succeed(DEADLINE_S)


async def test_one_that_takes_too_long_is_killed(tmp_path: Path) -> None:
    child = python(tmp_path, "import time; time.sleep(60)")
    with pytest.raises(ChildError, match=r"longer than 0\.1 s"):
        await child.succeed(0.1)
    assert not child.running


async def test_a_program_that_does_not_exist(tmp_path: Path) -> None:
    child = Child("a program", [str(tmp_path / "nothing")], tmp_path / "log")
    with pytest.raises(ChildError, match="a program"):
        await child.succeed(DEADLINE_S)


async def test_stopping_is_polite_first(tmp_path: Path) -> None:
    code = (
        "import signal, sys, time\nsignal.signal(signal.SIGTERM, lambda *_: (print('bye'), sys.exit(0)))\n"
        "print('up', flush=True)\ntime.sleep(60)"
    )
    child = python(tmp_path, code)
    await child.start()
    await until_said(child, "up")
    await child.stop()
    await until_said(child, "bye")
    await child.stop()


async def test_one_that_does_not_listen_is_killed_with_its_own_children(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(children, "STOP_DEADLINE_S", 0.2)
    code = (
        "import os, signal, time\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\npid = os.fork()\n"
        "pid and print('child', pid, 'of', os.getpid(), flush=True)\ntime.sleep(60)"
    )
    child = python(tmp_path, code)
    await child.start()
    words = (await until_said(child, "of")).split()
    await child.stop()
    assert not child.running
    await until_gone(int(words[1]))


async def test_a_stopped_one_can_be_stopped_and_a_killed_one_started_again(tmp_path: Path) -> None:
    child = python(tmp_path, "import time; print('up', flush=True); time.sleep(60)")
    await child.start()
    with pytest.raises(ChildError, match="running already"):
        await child.start()
    child.signal(signal.SIGSTOP)
    await stop_all([child])
    await child.start()
    assert child.starts == 2
    assert child.pid is not None
    await child.kill()
    assert child.pid is None


async def test_nothing_outlives_a_stage_that_was_killed(tmp_path: Path) -> None:
    """Where setpriv exists (Debian's util-linux), the system itself ends the children of a killed stage."""
    if not children._dies_with_us():
        pytest.skip("setpriv is not installed: children of a killed stage are not ended by the system")
    code = (
        "import asyncio, sys\nfrom pathlib import Path\nfrom terminal.simulation.stage.children import Child\n"
        "async def main():\n"
        f"    child = Child('x', [sys.executable, '-c', 'import time; time.sleep(60)'], Path({str(tmp_path / 'inner')!r}))\n"
        "    await child.start()\n    print('child', child.pid, flush=True)\n    await asyncio.sleep(60)\n"
        "asyncio.run(main())"
    )
    stage = python(tmp_path, code)
    await stage.start()
    pid = int((await until_said(stage, "\n")).split()[1])
    assert alive(pid)
    os.kill(stage.pid or 0, signal.SIGKILL)
    await stage.ended(DEADLINE_S)
    async with asyncio.timeout(DEADLINE_S):
        while alive(pid):  # noqa: ASYNC110 - another process ends
            await asyncio.sleep(0.01)
