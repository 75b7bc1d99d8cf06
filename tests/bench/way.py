"""The whole way, many times: hand at rest -> register told, first-try success, and what waiting costs.

Real programs: the service and the terminal as processes of their own, TLS between them through a network that is 20 ms slower there and
back, the simulated reader at its real rate, a ZVT register on a pseudo-terminal in this process.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import re
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from rich.progress import track

from terminal.register.serial_line import SerialLine
from terminal.register.till import TillJournal, Verdict
from terminal.register.till.zvt_codec import Status
from terminal.register.till.zvt_register import OK, ZvtRegister
from terminal.simulation.conditions import Conditions
from terminal.simulation.control import ask
from terminal.simulation.stage import programs
from terminal.simulation.stage.cable import Cable
from terminal.simulation.stage.children import Child, stop_all
from terminal.simulation.stage.folder import Folder, free_port, terminal_toml
from terminal.simulation.stage.hand import Hand
from tests.bench.network import SlowNetwork, listening
from tests.bench.process import Cost, watch
from tests.bench.table import Figure, Timing

ONE_WAY_S = 0.010
SHOPPERS = 8
FIRST_SEED = 5_000
"""Simulated people whom no network was trained on: training uses seeds of its own (see models/README.md)."""

MOMENT = re.compile(r" (hand|look|told|captured)=(-?[0-9.]+)")

READY_LIMIT_S = 120.0
ENROL_LIMIT_S = 90.0
REST_LIMIT_S = 20.0
IDLE_WATCH_S = 30.0
PATIENCE_S = 12.0
LEAVING_S = 0.6


@dataclass
class Taken:
    """What the purchases brought."""

    told_ms: list[float] = field(default_factory=list)  # from rest to told, of those that were paid
    verdicts: Counter[str] = field(default_factory=Counter)
    missed: list[str] = field(default_factory=list)
    idle: Cost | None = None
    moments_ms: list[dict[str, float]] = field(default_factory=list)  # the terminal's own, of those that were acknowledged


def moments(log: str) -> list[dict[str, float]]:
    """Milliseconds since the register asked, of each acknowledged purchase, from the terminal's debug log."""
    lines = [line for line in log.splitlines() if "purchase key=" in line and " acknowledged=" in line]
    return [{name: float(ms) for name, ms in MOMENT.findall(line)} for line in lines]


class Way:
    """Sets everything up below `folder`; use with `async with`."""

    def __init__(self, folder: Path) -> None:
        self._folder = Folder(folder)
        self._cable = Cable()
        self._told_s = 0.0
        self._children: list[Child] = []
        self._stack = contextlib.AsyncExitStack()

    async def __aenter__(self) -> Way:
        self._folder.claim()
        self._stack.callback(self._folder.release)
        try:
            await self._set_up()
        except BaseException:
            await self.__aexit__()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await stop_all(self._children)
        await self._stack.aclose()

    async def _set_up(self) -> None:
        folder, port, page = self._folder, free_port(), free_port()
        self._cable.open()
        self._stack.callback(self._cable.close)
        await Child("init", programs.init(folder, port), folder.logs / "init.log").succeed(READY_LIMIT_S)
        service = Child("service", programs.serve(folder), folder.logs / "service.log")
        self._children.append(service)
        await service.start()
        await listening(port, READY_LIMIT_S)
        network = await self._stack.enter_async_context(SlowNetwork(("127.0.0.1", port), ONE_WAY_S))
        folder.terminal_toml.write_text(
            terminal_toml(
                folder, till=programs.TILL, service=f"127.0.0.1:{network.port}", register_port=self._cable.terminal_port,
                display_port=page, patience_s=PATIENCE_S, certificates=folder.identity / "certificates",
            ),
            encoding="utf-8",
        )  # fmt: skip
        for number in track(range(SHOPPERS), description="enrolling shoppers"):
            await self._enrol(FIRST_SEED + number)
        self._terminal = Child("terminal", [*programs.run(folder), "--log", "debug"], folder.logs / "terminal.log")
        self._children.append(self._terminal)
        await self._terminal.start()
        await listening(page, READY_LIMIT_S)
        self._register = await self._stack.enter_async_context(
            ZvtRegister(SerialLine(self._cable.register_port), journal=TillJournal(), answer_status=self._status)
        )
        until_s = time.monotonic() + READY_LIMIT_S
        while not (await self._register.register()).done:
            if time.monotonic() > until_s:
                raise TimeoutError(f"the terminal takes no registration:\n{self._terminal.tail()}")
            await asyncio.sleep(0.5)

    async def _enrol(self, seed: int) -> None:
        child = Child("enrol", programs.enrol(self._folder, f"S{seed}", 100_000), self._folder.logs / f"enrol-{seed}.log")
        await child.start()
        await Hand(self._folder.control).reached()
        await self._hand({"show": {"person": seed, "side": "right", "seed": 1}})
        if await child.ended(ENROL_LIMIT_S) != 0:
            raise RuntimeError(f"enrolment of shopper {seed} failed:\n{child.tail()}")

    async def _hand(self, command: dict[str, object]) -> dict[str, object]:
        return await asyncio.to_thread(ask, self._folder.control, command)

    def _status(self, status: Status) -> bytes:
        self._told_s = time.monotonic()
        return OK

    async def purchases(self, count: int, seed: int = 1) -> Taken:
        """`count` payments by enrolled shoppers, conditions drawn as a shop sees them."""
        draw, taken = random.Random(seed), Taken()
        await asyncio.sleep(5)
        if self._terminal.pid is not None:
            taken.idle = await asyncio.to_thread(watch, self._terminal.pid, IDLE_WATCH_S)
        for number in track(range(count), description="purchases"):
            person = FIRST_SEED + draw.randrange(SHOPPERS)
            await self._purchase(number, person, draw, taken)
        text = await asyncio.to_thread((self._folder.logs / "terminal.log").read_text, errors="replace")
        taken.moments_ms = moments(text)
        return taken

    async def _purchase(self, number: int, person: int, draw: random.Random, taken: Taken) -> None:
        drawn = Conditions.draw(np.random.default_rng([number, 0xBE]))
        words = {
            name: getattr(drawn, name)
            for name in ("sleeve", "sleeve_gap", "rings", "dirt", "wet", "cold", "worn", "ambient", "sun")
        }
        paying = asyncio.create_task(self._register.pay(draw.randint(100, 9_999)))
        await asyncio.sleep(draw.uniform(0.2, 0.6))
        await self._hand({"show": {"person": person, "side": "right", "seed": 1000 + number, "conditions": words}})
        result = await paying
        told_s = self._told_s
        rested_s = await self._rest()
        taken.verdicts[result.verdict.value] += 1
        if result.verdict is Verdict.DONE and rested_s is not None:
            taken.told_ms.append((told_s - rested_s) * 1e3)
        elif result.verdict is not Verdict.DONE:
            unusual = {key: round(value, 2) if isinstance(value, float) else value for key, value in words.items()}
            taken.missed.append(f"purchase {number} ended {result.verdict.value} {result.code} under {unusual}")
        await self._hand({"show": None})
        await asyncio.sleep(LEAVING_S)

    async def _rest(self) -> float | None:
        """When the hand came to rest; it may be told before."""
        until_s = time.monotonic() + REST_LIMIT_S
        while time.monotonic() < until_s:
            since = (await self._hand({"status": {}})).get("resting_since_s")
            if isinstance(since, int | float):
                return float(since)
            await asyncio.sleep(0.05)
        return None


async def _measure(folder: Path, count: int) -> Taken:
    async with Way(folder) as way:
        return await way.purchases(count)


def figures(folder: Path, count: int) -> list[Figure]:
    """The lines of the table that need the whole way."""
    taken = asyncio.run(_measure(folder, count))
    told = Timing(tuple(taken.told_ms) or (float("nan"),))
    paid = taken.verdicts["done"]
    share = 100 * paid / count
    lines = [
        Figure(
            "hand at rest -> register told",
            "median 300 ms, p99 500 ms",
            f"median {told.median:.0f} ms, p99 {told.percentile(99):.0f} ms of {len(taken.told_ms)}",
            told.median <= 300 and told.percentile(99) <= 500,
            "a contactless card: 500 ms",
            remarks=["below 0: the hand was known while it still settled, since it need only be slow enough not to blur"],
        ),
        Figure(
            "first-try success of enrolled shoppers", "99.5 %", f"{share:.1f} % of {count}: {dict(taken.verdicts)}", share >= 99.5,
            remarks=taken.missed,
        ),
    ]  # fmt: skip
    for name, first in (
        ("first word or look at a hand -> register told", "hand"),
        ("frame that decided -> register told", "captured"),
    ):
        between = Timing(
            tuple(one["told"] - one[first] for one in taken.moments_ms if {"told", first} <= one.keys()) or (float("nan"),)
        )
        seen = f"median {between.median:.0f} ms, p99 {between.percentile(99):.0f} ms of {len(between.ms)}"
        lines.append(Figure(name, "", seen, None))
    if taken.idle is not None:
        idle = taken.idle
        lines.append(
            Figure(
                "idle: waiting for a register",
                "2 % of a core, 250 MiB",
                f"{idle.core_percent:.1f} % of a core, {idle.resident_mib:.0f} MiB (with the simulated reader in it)",
                idle.core_percent <= 2 and idle.resident_mib <= 250,
            )
        )
    return lines
