"""Whose hand is over the simulated reader: words for its control socket."""

from __future__ import annotations

import asyncio
import base64
from pathlib import Path

from terminal.simulation.control import ask

SIDES = {"chloe": "left"}
"""Those of the demo who use their left hand, at enrolment and at the till."""
REACH_DEADLINE_S = 30.0
REACH_PAUSE_S = 0.1


class HandError(Exception):
    """The simulated reader can't be reached, or refused; the sentence says which."""


def words(who: str, *, leaves_after_s: float | None = None) -> object:
    """What follows "show" for the id of a Choice."""
    if who == "none":
        return None
    if who == "two":
        return "two_hands"
    return {"person": who, "side": SIDES.get(who, "right")} | ({} if leaves_after_s is None else {"leaves_after_s": leaves_after_s})


class Hand:
    """Talks to one simulated reader. Each call opens its own connection, so the reader may end and come back."""

    def __init__(self, socket: Path) -> None:
        self._socket = socket

    async def _ask(self, command: dict[str, object]) -> dict[str, object]:
        try:
            said = await asyncio.to_thread(ask, self._socket, command)
        except (OSError, ValueError) as error:
            raise HandError(f"The simulated reader does not answer on {self._socket} ({error}).") from None
        if "error" in said:
            raise HandError(str(said["error"]))
        return said

    async def show(self, who: str, *, leaves_after_s: float | None = None) -> None:
        """Hold that hand over the reader. Raises HandError."""
        await self._ask({"show": words(who, leaves_after_s=leaves_after_s)})

    async def picture(self) -> bytes:
        """A small PNG of the scene. Raises HandError."""
        return base64.b64decode(str((await self._ask({"picture": {}}))["png"]))

    async def reached(self, deadline_s: float = REACH_DEADLINE_S) -> None:
        """Wait until the reader answers. Raises HandError."""
        until_s = asyncio.get_running_loop().time() + deadline_s
        while True:
            try:
                await self._ask({"status": {}})
            except HandError:
                if asyncio.get_running_loop().time() > until_s:
                    raise
                await asyncio.sleep(REACH_PAUSE_S)
            else:
                return
