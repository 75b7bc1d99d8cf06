"""The stage itself: the real programs, started in order, and what a person or a script does with them."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any

import aiohttp

from terminal.register.till import RegisterResult
from terminal.simulation.stage import books, programs
from terminal.simulation.stage.cable import Cable
from terminal.simulation.stage.cashier import Cashier
from terminal.simulation.stage.children import Child, ChildError, stop_all
from terminal.simulation.stage.folder import Folder, free_port, terminal_toml
from terminal.simulation.stage.hand import Hand, HandError
from terminal.simulation.stage.play import PlayError, Snapshot, Up
from terminal.simulation.stage.reckoning import Booked, reckon

log = logging.getLogger(__name__)

INIT_DEADLINE_S = 60.0
SERVE_DEADLINE_S = 60.0
ENROL_DEADLINE_S = 120.0
ENROL_SHOW_S = 1.4
"""At enrolment the hand comes in anew this often."""
ENROL_SHOWS_MAX = 90
TERMINAL_DEADLINE_S = 90.0
LOOK_PERIOD_S = 0.25
"""Between two looks whether a program is ready."""
HEALTH_DEADLINE_S = 1.0
PLUG_PAUSE_S = 1.5
"""How long the power stays away."""
HAND_STAYS_S = 2.5
"""A hand goes away this long after the register knows how it ended: nobody keeps standing there."""
BOOKS_AFTER_S = (0.3, 2.0, 6.0)
"""When the ledger is read after something happened: capture and settling take a moment."""
PICTURE_PERIOD_S = 0.25
"""The scene is drawn by the terminal's own processor: not more often than this."""

PEOPLE = (("ada", "Ada", 10_000), ("ben", "Ben", 2_000), ("chloe", "Chloe", 10_000))
"""Who is enrolled: hand, name on the screen, limit in cents."""

Told = Callable[[str], None]


class Stage:
    """Implements `Play`. `set_up` first, `tear_down` always."""

    def __init__(self, folder: Folder, *, patience_s: float) -> None:
        self.folder = folder
        self.patience_s = patience_s
        self.service_port, self.display_port = free_port(), free_port()
        self.cable = Cable()
        self.hand_words = Hand(folder.control)
        self.cashier: Cashier | None = None
        self.server = Child("identity service", programs.serve(folder), folder.logs / "identity.log")
        self.terminal = Child("terminal", programs.run(folder), folder.logs / "terminal.log")
        self.ledger: list[Booked] = []
        self._hand = "none"
        self._terminal, self._service = Up.STARTING, Up.STARTING
        self._notice = ""
        self._tasks: set[asyncio.Task[None]] = set()
        self._books_task: asyncio.Task[None] | None = None
        self._picture: tuple[float, bytes | None] = (0.0, None)
        self._http: aiohttp.ClientSession | None = None

    # Putting it up and taking it down.

    async def set_up(self, told: Told) -> None:
        """Everything in order; `told` hears what is being done. Raises ChildError, HandError, ConnectionError."""
        self.cable.open()
        self._http = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(HEALTH_DEADLINE_S))
        told("making throw-away certificates and the service's folder")
        await self._once("init", programs.init(self.folder, self.service_port), INIT_DEADLINE_S)
        self.folder.terminal_toml.write_text(
            terminal_toml(
                self.folder, till=programs.TILL, service=f"127.0.0.1:{self.service_port}", register_port=self.cable.terminal_port,
                display_port=self.display_port, patience_s=self.patience_s, certificates=self.folder.identity / "certificates",
            ),
            encoding="utf-8",
        )  # fmt: skip
        told("starting the identity service")
        await self.start_service()
        for who, name, limit in PEOPLE:
            told(f"enrolling {name}, with consent")
            await self._enrol(who, name, limit)
        told("starting the terminal")
        self.cashier = Cashier(self.cable.register_port, self.folder.register_journal, self._purchase_ended)
        await self.cashier.open()
        await self.start_terminal()
        told("logging the cash register on")
        await self.cashier.register()
        await self.read_books()

    async def tear_down(self) -> None:
        """Stop everything, whatever state it is in."""
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self.cashier is not None:
            with suppress(TimeoutError):
                await asyncio.wait_for(self.cashier.close(), HEALTH_DEADLINE_S)
        await stop_all([self.terminal, self.server])
        if self._http is not None:
            await self._http.close()
        self.cable.close()

    async def _once(self, name: str, command: list[str], deadline_s: float) -> None:
        child = Child(f"`{' '.join(command[:2]).rsplit('/', 1)[-1]}`", command, self.folder.logs / f"{name}.log")
        try:
            await child.succeed(deadline_s)
        finally:
            await child.stop()

    async def _enrol(self, who: str, name: str, limit_minor: int) -> None:
        """The terminal's own enrolment, with that hand over the simulated reader."""
        child = Child(f"enrolment of {name}", programs.enrol(self.folder, name, limit_minor), self.folder.logs / f"enrol-{who}.log")
        try:
            await child.start()
            ended = asyncio.create_task(child.ended(ENROL_DEADLINE_S))
            shown = asyncio.create_task(self._show_again_and_again(who))
            await asyncio.wait({ended, shown}, return_when=asyncio.FIRST_COMPLETED)
            shown.cancel()
            (trouble,) = await asyncio.gather(shown, return_exceptions=True)
            if not ended.done():
                ended.cancel()
                raise trouble if isinstance(trouble, Exception) else ChildError(f"{child.name} saw no hand.\n{child.tail()}")
            if (status := ended.result()) != 0:
                raise ChildError(f"{child.name} ended with {status}.\n{child.tail()}")
        finally:
            await child.stop()

    async def _show_again_and_again(self, who: str) -> None:
        """As people are asked to: hold it there, take it away, again. Looks at one presentation only would know one pose."""
        await self.hand_words.reached()
        for _ in range(ENROL_SHOWS_MAX):
            with suppress(HandError):  # at the end the reader goes before the program has ended
                await self.hand_words.show(who)
            await asyncio.sleep(ENROL_SHOW_S)

    async def start_service(self) -> None:
        """Start the service and wait until it listens. Raises ChildError."""
        self._service = Up.STARTING
        await self.server.start()
        await self._until(self._service_listens, self.server, SERVE_DEADLINE_S)
        self._service = Up.RUNNING

    async def kill_service(self) -> None:
        """As if its machine had died."""
        await self.server.kill()
        self._service = Up.OFF

    async def start_terminal(self) -> None:
        """Start the terminal and wait until it takes purchases. Raises ChildError."""
        self._terminal = Up.STARTING
        await self.terminal.start()
        await self._until(self._terminal_is_ready, self.terminal, TERMINAL_DEADLINE_S)
        if self._hand != "none":
            with suppress(HandError):
                await self.hand_words.show(self._hand)
        self._terminal = Up.RUNNING

    def cut_power(self) -> None:
        """kill -9 of the terminal, at once."""
        self.terminal.cut()
        self._terminal = Up.OFF

    async def _until(self, ready: Callable[[], Coroutine[Any, Any, bool]], child: Child, deadline_s: float) -> None:
        """Wait until `ready`, while the child lives. Raises ChildError."""
        until_s = asyncio.get_running_loop().time() + deadline_s
        while not await ready():
            if not child.running:
                raise ChildError(f"The {child.name} ended by itself.\n{child.tail()}")
            if asyncio.get_running_loop().time() > until_s:
                raise ChildError(f"The {child.name} was not ready after {deadline_s:g} s.\n{child.tail()}")
            await asyncio.sleep(LOOK_PERIOD_S)

    async def _service_listens(self) -> bool:
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", self.service_port)
        except OSError:
            return False
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()
        return True

    async def screen(self) -> str:
        """What the terminal shows, by its health page; empty where it does not answer."""
        assert self._http is not None
        try:
            async with self._http.get(f"http://127.0.0.1:{self.display_port}/healthz") as answer:
                return str((await answer.json())["screen"])
        except (aiohttp.ClientError, TimeoutError, ValueError, KeyError):
            return ""

    async def _terminal_is_ready(self) -> bool:
        return await self.screen() not in ("", "starting", "settling")

    # The books.

    async def read_books(self) -> None:
        """The ledger as it is now; what can't be read is told on the page and leaves the old one."""
        if self._service is not Up.RUNNING:
            return
        try:
            self.ledger = await books.read(programs.ledger(self.folder))
            self._notice = ""
        except books.BooksError as error:
            self._notice = str(error)

    def _books_soon(self) -> None:
        if self._books_task is not None:
            self._books_task.cancel()
        self._books_task = self._begin(self._books_later())

    async def _books_later(self) -> None:
        began_s = asyncio.get_running_loop().time()
        for after_s in BOOKS_AFTER_S:
            await asyncio.sleep(max(0.0, began_s + after_s - asyncio.get_running_loop().time()))
            await self.read_books()

    def _purchase_ended(self, result: RegisterResult) -> None:
        self._books_soon()
        self._begin(self._hand_leaves(self._hand))

    async def _hand_leaves(self, who: str) -> None:
        await asyncio.sleep(HAND_STAYS_S)
        busy = self.cashier is not None and self.cashier.busy
        if who == self._hand and not busy:
            with suppress(PlayError):
                await self.hand("none")

    def _begin(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._over)
        return task

    def _over(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("stage: %s", error)
            self._notice = str(error).splitlines()[0]

    # Play.

    def snapshot(self) -> Snapshot:
        """See Play."""
        if self._terminal is Up.RUNNING and not self.terminal.running:
            self._terminal, self._notice = (
                Up.OFF,
                "The terminal ended by itself; its log says why. Pull its plug to start it again.",
            )
        cashier = self.cashier
        rung = cashier.rung if cashier is not None else []
        return Snapshot(
            terminal=self._terminal,
            service=self._service,
            shopper_url=f"http://127.0.0.1:{self.display_port}/" if self.terminal.starts else "",
            hand=self._hand,
            display=cashier.display if cashier is not None else ("", ""),
            busy=cashier is not None and cashier.busy,
            rung=tuple(reversed(rung)),
            ledger=tuple(reversed(self.ledger)),
            verdict=reckon([one for one in rung if one.text != "under way"], self.ledger),
            reading=self._books_task is not None and not self._books_task.done(),
            starts=self.terminal.starts,
            notice=self._notice,
        )

    async def hand(self, who: str) -> None:
        """See Play."""
        self._hand = who
        if self._terminal is not Up.RUNNING:
            return  # it is there when the reader is
        try:
            await self.hand_words.show(who)
        except HandError as error:
            raise PlayError(str(error)) from None

    async def pay(self, amount_minor: int) -> None:
        """See Play."""
        if self.cashier is None:
            raise PlayError("The register is not there yet.")
        if self.cashier.busy:
            raise PlayError("The register waits for the last purchase to end.")
        if amount_minor == 0:
            raise PlayError("Key in an amount first.")
        self.cashier.begin(amount_minor)

    async def abort(self) -> None:
        """See Play."""
        if self.cashier is None or not self.cashier.busy:
            raise PlayError("There is nothing to stop.")
        if not await self.cashier.abort():
            raise PlayError("The terminal can't stop any more: the service has been asked.")

    async def pull_plug(self) -> None:
        """See Play."""
        if self._terminal is Up.STARTING:
            raise PlayError("The terminal is starting; pull its plug when it is up.")
        self.cut_power()
        self._begin(self._power_comes_back())

    async def _power_comes_back(self) -> None:
        await self.terminal.kill()
        await asyncio.sleep(PLUG_PAUSE_S)
        await self.start_terminal()
        self._books_soon()

    async def service(self, *, up: bool) -> None:
        """See Play."""
        if up == (self._service is not Up.OFF):
            raise PlayError(f"The service is {'up' if up else 'down'} already.")
        if up:
            self._begin(self._service_comes_back())
        else:
            await self.kill_service()

    async def _service_comes_back(self) -> None:
        await self.start_service()
        self._books_soon()

    async def picture(self) -> bytes | None:
        """See Play."""
        at_s, png = self._picture
        now_s = asyncio.get_running_loop().time()
        if self._terminal is not Up.RUNNING:
            return None
        if now_s - at_s < PICTURE_PERIOD_S:
            return png
        self._picture = (now_s, png)
        try:
            png = await self.hand_words.picture()
        except HandError:
            png = None
        self._picture = (now_s, png)
        return png
