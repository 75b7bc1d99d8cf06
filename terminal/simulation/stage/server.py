"""The stage's page on localhost: the register's keys, the hands, the terminal's own page inside a frame, and the books."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from dataclasses import asdict
from importlib import resources
from typing import Any

from aiohttp import web

from terminal.simulation.stage.play import AMOUNT_MAX_MINOR, CHOICES, Play, PlayError, Snapshot

LOOK_PERIOD_S = 0.1
"""How often the stage is looked at for the page; equal snapshots are not sent."""
BEAT_PERIOD_S = 4.0
CLIENTS_MAX = 8
STOP_DEADLINE_S = 1.0
BODY_MAX_BYTES = 1024
LOOPBACK = ("127.0.0.1", "localhost", "::1")
FILES = {"stage.css": "text/css", "stage.js": "text/javascript"}
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' blob: data:; "
    "frame-src http://127.0.0.1:* http://localhost:*; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}


def told(snapshot: Snapshot) -> dict[str, Any]:
    """The snapshot as the page wants it."""
    data = asdict(snapshot)
    return data | {"terminal": snapshot.terminal.value, "service": snapshot.service.value, "agree": snapshot.verdict.agree}


class StageServer:
    """Serves one `Play`. Only for this machine: other hosts' names and other pages' requests are refused."""

    def __init__(self, play: Play, port: int, host: str = "127.0.0.1") -> None:
        self._play, self._host, self._port = play, host, port
        self._clients = 0
        self._stopping = asyncio.Event()
        self._runner: web.AppRunner | None = None
        page = resources.files("terminal.simulation.stage.page")
        self._files = {name: page.joinpath(name).read_bytes() for name in ("stage.html", *FILES)}

    @property
    def url(self) -> str:
        """Address of the page, once started."""
        return f"http://{self._host}:{self._port}/"

    async def start(self) -> None:
        """Listen; where the port is taken, on one that is free."""
        app = web.Application(middlewares=[self._guard], client_max_size=BODY_MAX_BYTES)
        app.router.add_get("/", self._page)
        app.router.add_get("/events", self._events)
        app.router.add_get("/scene", self._scene)
        app.router.add_post("/act", self._act)
        app.router.add_get("/{name}", self._file)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=STOP_DEADLINE_S)
        await self._runner.setup()
        try:
            await web.TCPSite(self._runner, self._host, self._port).start()
        except OSError:
            await web.TCPSite(self._runner, self._host, 0).start()
        self._port = int(self._runner.addresses[0][1])

    async def stop(self) -> None:
        """Give the port back; harmless when not started."""
        self._stopping.set()
        runner, self._runner = self._runner, None
        if runner is not None:
            await runner.cleanup()

    @web.middleware
    async def _guard(
        self, request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        if request.host.rsplit(":", 1)[0].strip("[]") not in LOOPBACK:
            return web.Response(status=403, text="The stage is for this machine only.\n", headers=HEADERS)
        # A page from elsewhere can send a simple form here, but neither this header nor this origin.
        if request.method == "POST" and request.headers.get("X-Stage") != "act":
            return web.Response(status=403, text="Only the stage's own page may act.\n", headers=HEADERS)
        return await handler(request)

    async def _page(self, request: web.Request) -> web.Response:
        hands = json.dumps([asdict(choice) for choice in CHOICES]).replace("<", "\\u003c")
        body = self._files["stage.html"].replace(b"{{hands}}", hands.encode())
        return web.Response(body=body, content_type="text/html", charset="utf-8", headers=HEADERS)

    async def _file(self, request: web.Request) -> web.Response:
        name = request.match_info["name"]
        if name not in FILES:
            return web.Response(status=404, text="There is no such page here.\n", headers=HEADERS)
        return web.Response(body=self._files[name], content_type=FILES[name], charset="utf-8", headers=HEADERS)

    async def _events(self, request: web.Request) -> web.StreamResponse:
        if self._clients >= CLIENTS_MAX:
            return web.Response(status=503, text="The stage is open in too many windows.\n", headers=HEADERS)
        response = web.StreamResponse(headers=HEADERS | {"Content-Type": "text/event-stream"})
        await response.prepare(request)
        self._clients += 1
        try:
            await self._feed(response)
        except ConnectionError:
            pass  # the window was closed
        finally:
            self._clients -= 1
        return response

    async def _feed(self, response: web.StreamResponse) -> None:
        clock, sent, sent_s = asyncio.get_running_loop().time, "", 0.0
        while not self._stopping.is_set():
            text = json.dumps(told(self._play.snapshot()))
            if text != sent or clock() - sent_s > BEAT_PERIOD_S:
                await response.write(f"data: {text}\n\n".encode())
                sent, sent_s = text, clock()
            try:
                await asyncio.wait_for(self._stopping.wait(), LOOK_PERIOD_S)
            except TimeoutError:
                continue

    async def _scene(self, request: web.Request) -> web.Response:
        picture = await self._play.picture()
        if picture is None:
            return web.Response(status=204, headers=HEADERS)
        return web.Response(body=picture, content_type="image/png", headers=HEADERS)

    async def _act(self, request: web.Request) -> web.Response:
        try:
            await self._do(await request.json())
        except PlayError as error:
            return web.json_response({"trouble": str(error)}, status=409, headers=HEADERS)
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            return web.json_response({"trouble": f"That is not an act: {error}"}, status=400, headers=HEADERS)
        return web.json_response({"trouble": ""}, headers=HEADERS)

    async def _do(self, act: dict[str, Any]) -> None:
        what = act["do"]
        if what == "hand":
            if act["who"] not in {choice.id for choice in CHOICES}:
                raise ValueError(f"there is no hand called {act['who']!r}")
            await self._play.hand(act["who"])
        elif what == "pay":
            amount = act["amount_minor"]
            if type(amount) is not int or not 0 <= amount <= AMOUNT_MAX_MINOR:
                raise ValueError(f"an amount is 0 to {AMOUNT_MAX_MINOR} cents")
            await self._play.pay(amount)
        elif what == "abort":
            await self._play.abort()
        elif what == "plug":
            await self._play.pull_plug()
        elif what == "service":
            await self._play.service(up=bool(act["up"]))
        else:
            raise ValueError(f"nobody knows how to {what!r}")
