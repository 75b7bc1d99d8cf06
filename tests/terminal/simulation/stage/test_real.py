"""`make run` for real: service, terminal and register as programs of their own, in a folder of the test's."""

from __future__ import annotations

import asyncio
import re
import signal
import sys
from pathlib import Path

import aiohttp
import pytest

from terminal.simulation.stage.play import CHOICES

READY_DEADLINE_S = 240.0
MORNING_DEADLINE_S = 420.0
STOP_DEADLINE_S = 30.0
PATIENCE_S = "15"
"""Twice what a person's machine needs: the gate shares its cores."""
PICTURES = (b"\x89PNG", b"\xff\xd8\xff", b"BM")
"""How files of pictures begin."""


def left_behind(folder: Path) -> list[str]:
    """Command lines of processes that name the folder; none may be there when the stage has gone."""
    out = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                line = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            except OSError:
                continue
            if str(folder) in line:
                out.append(line)
    return out


async def begin(folder: Path, *options: str) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable, "-m", "terminal.simulation.stage", "--folder", str(folder), "--no-browser", *options,
        stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip


async def end(process: asyncio.subprocess.Process) -> str:
    """Ctrl-C, where it has not ended yet, and what it still said."""
    if process.returncode is None:
        process.send_signal(signal.SIGINT)
    try:
        out, _ = await asyncio.wait_for(process.communicate(), STOP_DEADLINE_S)
    finally:
        if process.returncode is None:
            process.kill()
    return out.decode()


def no_pictures(folder: Path) -> None:
    """No palm lies on the disk: no picture of any kind, whatever its name."""
    for path in folder.rglob("*"):
        if path.is_file():
            assert not path.read_bytes()[:4].startswith(PICTURES), path


@pytest.mark.slow
@pytest.mark.timeout(MORNING_DEADLINE_S + 60)
async def test_the_morning_agrees_to_the_cent(tmp_path: Path) -> None:
    process = await begin(tmp_path / "run", "--script", "morning", "--patience-s", PATIENCE_S)
    try:
        out, _ = await asyncio.wait_for(process.communicate(), MORNING_DEADLINE_S)
    finally:
        if process.returncode is None:
            await end(process)
    text = out.decode()
    assert process.returncode == 0, text
    assert "agree to the cent" in text
    assert left_behind(tmp_path / "run") == []
    no_pictures(tmp_path / "run")


@pytest.mark.slow
@pytest.mark.timeout(READY_DEADLINE_S + 120)
async def test_a_person_acts_and_ctrl_c_leaves_nothing_behind(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    process = await begin(folder, "--port", "0")
    assert process.stdout is not None
    try:
        url, said = "", ""
        async with asyncio.timeout(READY_DEADLINE_S):
            while not url:
                line = (await process.stdout.readline()).decode()
                assert line, said
                said += line
                found = re.search(r"(http://127\.0\.0\.1:\d+/)\s", line)
                url = found[1] if found else ""
        async with aiohttp.ClientSession(url, headers={"X-Stage": "act"}) as session:
            for choice in CHOICES:
                async with session.post("/act", json={"do": "hand", "who": choice.id}) as answer:
                    assert (await answer.json())["trouble"] == ""
            async with session.get("/scene") as answer:
                assert (await answer.read()).startswith(b"\x89PNG")
            async with session.post("/act", json={"do": "abort"}) as answer:
                assert "nothing to stop" in (await answer.json())["trouble"]
    finally:
        text = await end(process)
    assert process.returncode == 0, text
    assert "nothing is left running" in text
    assert left_behind(folder) == []
    no_pictures(folder)
