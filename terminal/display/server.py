"""The shopper's page and the technician's, served to the terminal's own browser.

One page without any resource from elsewhere; the newest view is pushed to it as server-sent events. Only the latest view counts: a
slow browser skips, nothing queues. A page whose terminal has gone says "one moment" and comes back by itself.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
import threading
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from importlib import resources
from typing import Any

from aiohttp import web

from terminal.checkout import Outcome, Screen
from terminal.config import DisplayOptions
from terminal.display import ring, technician
from terminal.display.money import money
from terminal.display.view import View
from terminal.display.words import LANGUAGES, PROMISE, Language, sentence

log = logging.getLogger(__name__)

CLIENTS_MAX = 16
"""Pages that are fed at once: the screen, a technician, the demo."""
PUSH_PERIOD_S = 1 / 30
"""Shortest time between two pushes to one page."""
BEAT_PERIOD_S = 4.0
"""A page hears something at least this often; after three times as long it says "one moment"."""
WRITE_DEADLINE_S = 5.0
"""A page that takes no bytes for this long is dropped."""
STOP_DEADLINE_S = 2.0

CSP = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'self' http://127.0.0.1:* http://localhost:*"
)
HEADERS = {
    "Content-Security-Policy": CSP,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
    "Cross-Origin-Resource-Policy": "same-origin",
}
TYPES = {".html": "text/html", ".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
FILES = ("shopper.html", "shopper.css", "shopper.js", "technician.html", "technician.css", "technician.js")

GLYPHS = {
    Screen.WELCOME: "hand", Screen.PRESENT_PALM: "hand", Screen.LOOKING: "hand", Screen.ASKING: "wait", Screen.PAID: "yes",
    Screen.REFUNDED: "yes", Screen.RESERVED: "yes", Screen.DECLINED: "no", Screen.CANCELLED: "no", Screen.STARTING: "wait",
    Screen.OUT_OF_ORDER: "stop", Screen.SETTLING: "wait", Screen.ENROL: "hand", Screen.ENROLLED: "yes",
}  # fmt: skip


class DisplayError(Exception):
    """The page can't be served; the sentence says what to do next."""


def payload(view: View, languages: Sequence[Language]) -> dict[str, Any]:
    """What the page is told: words ready to show in each language, the ring, and nothing that it would have to decide."""
    look = ring.look(view)
    says = []
    for language in languages:
        title, detail = sentence(view, language)
        amount = "" if view.amount_minor is None else money(view.amount_minor, view.currency or "", language)
        says.append({"lang": language, "title": title, "detail": detail, "amount": amount, "promise": PROMISE[language]})
    return {
        "screen": view.screen.value,
        "guidance": (view.guidance or "") if GLYPHS[view.screen] == "hand" else "",
        "glyph": GLYPHS[view.screen],
        "colour": look.colour.name.lower(),
        "motion": look.motion.value,
        "progress": round(look.progress, 3),
        "code": view.code,
        "says": says,
    }


class PageDisplay:
    """The page. `show` may be called from any thread, before `start` and after `stop`; it never waits.

    options: where to listen. languages: the first one is shown largest. status: called for the technician's page, at most once for each
    request; see `technician.STATUS_FIELDS` for what is shown of it.
    """

    def __init__(
        self,
        options: DisplayOptions,
        languages: Sequence[Language] = LANGUAGES,
        status: Callable[[], Mapping[str, Any]] | None = None,
    ) -> None:
        self._options = options
        self._languages = tuple(languages)
        self._status = status
        self._view = View()
        self._since_s = time.monotonic()
        self._number = 0
        self._lock = threading.Lock()
        self._waking = False
        self._stopping = False
        self._loop: asyncio.AbstractEventLoop | None = None
        self._clients: set[asyncio.Event] = set()
        self._runner: web.AppRunner | None = None
        self._port = 0
        page = resources.files("terminal.display.page")
        self._files = {name: page.joinpath(name).read_bytes() for name in FILES}
        self._build = hashlib.sha256(b"".join(self._files.values())).hexdigest()[:12]

    @property
    def url(self) -> str:
        """Address of the shopper's page."""
        host = f"[{self._options.host}]" if ":" in self._options.host else self._options.host
        return f"http://{host}:{self._port}/"

    def show(
        self,
        screen: Screen,
        *,
        amount_minor: int | None = None,
        currency: str | None = None,
        outcome: Outcome | None = None,
        name: str = "",
        certainty: float = 0.0,
        guidance: str | None = None,
        code: str = "",
    ) -> None:
        """Replace what is shown. Arguments as in `View`."""
        view = View(screen, amount_minor, currency, outcome, name, certainty, guidance, code)
        with self._lock:
            if view == self._view and self._number:
                return
            self._view, self._number, self._since_s = view, self._number + 1, time.monotonic()
            if self._waking or self._loop is None or self._loop.is_closed():
                return
            self._waking = True
        self._loop.call_soon_threadsafe(self._wake)

    def _wake(self) -> None:
        with self._lock:
            self._waking = False
        for client in self._clients:
            client.set()

    async def start(self) -> None:
        """Listen. Raises DisplayError."""
        app = web.Application(middlewares=[self._guard], client_max_size=1024)
        app.router.add_get("/", self._page)
        app.router.add_get("/events", self._events)
        app.router.add_get("/technician", self._technician)
        app.router.add_get("/technician/status", self._technician_status)
        app.router.add_get("/healthz", self._health)
        app.router.add_get("/favicon.ico", self._no_icon)
        app.router.add_get("/{name}", self._file)
        self._loop, self._stopping = asyncio.get_running_loop(), False
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=STOP_DEADLINE_S)
        await runner.setup()
        try:
            await web.TCPSite(runner, self._options.host, self._options.port).start()
        except OSError as error:
            await runner.cleanup()
            where = f"{self._options.host}:{self._options.port}"
            raise DisplayError(
                f"The page can't listen on {where} ({error.strerror}). Free it, or choose [display] host and port in the configuration."
            ) from None
        self._runner = runner
        self._port = int(runner.addresses[0][1])
        log.info("display url=%s", self.url)

    async def stop(self) -> None:
        """Let the pages go and give the port back; harmless when not started."""
        runner, self._runner = self._runner, None
        self._stopping = True
        self._wake()
        if runner is not None:
            await runner.cleanup()

    @web.middleware
    async def _guard(
        self, request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        # A page on the web that resolves its own name to 127.0.0.1 must not read this one.
        asked, loopback = request.host.rsplit(":", 1)[0].strip("[]"), ("127.0.0.1", "localhost", "::1")
        if self._options.host in loopback and asked not in loopback:
            return web.Response(status=403, text="This page is for this machine only.\n", headers=HEADERS)
        return await handler(request)

    def _now(self) -> dict[str, Any]:
        return payload(self._view, self._languages) | {"build": self._build}

    async def _page(self, request: web.Request) -> web.Response:
        """The page with the newest view inside it, so that the first paint is right already."""
        inside = {"now": self._now(), "lost": payload(View(Screen.STARTING), self._languages) | {"build": self._build}}
        text = json.dumps(inside, ensure_ascii=False).replace("<", "\\u003c")
        body = self._files["shopper.html"].replace(b"{{state}}", text.encode()).replace(b"{{lang}}", self._languages[0].encode())
        return web.Response(body=body, content_type="text/html", charset="utf-8", headers=HEADERS)

    async def _file(self, request: web.Request) -> web.Response:
        name = request.match_info["name"]
        if name not in self._files or name.endswith(".html"):
            return web.Response(status=404, text="There is no such page here.\n", headers=HEADERS)
        kind = TYPES[name[name.rindex(".") :]]
        return web.Response(body=self._files[name], content_type=kind, charset="utf-8", headers=HEADERS)

    async def _no_icon(self, request: web.Request) -> web.Response:
        return web.Response(status=204, headers=HEADERS)

    async def _events(self, request: web.Request) -> web.StreamResponse:
        if len(self._clients) >= CLIENTS_MAX:
            return web.Response(status=503, text="Too many pages are open on this terminal.\n", headers=HEADERS)
        response = web.StreamResponse(headers=HEADERS | {"Content-Type": "text/event-stream"})
        await response.prepare(request)
        changed = asyncio.Event()
        self._clients.add(changed)
        try:
            await self._feed(response, changed)
        except (TimeoutError, ConnectionError) as error:
            log.debug("display page gone: %s", error or "it takes no bytes")
        finally:
            self._clients.discard(changed)
        return response

    async def _feed(self, response: web.StreamResponse, changed: asyncio.Event) -> None:
        """Push the newest view whenever it changed, and a beat when nothing did, until the terminal stops."""
        await asyncio.wait_for(response.write(b"retry: 500\n\n"), WRITE_DEADLINE_S)
        sent = -1
        while not self._stopping:
            changed.clear()
            if sent != self._number:
                sent = self._number
                data = f"data: {json.dumps(self._now(), ensure_ascii=False)}\n\n"
            else:
                data = "event: beat\ndata:\n\n"
            await asyncio.wait_for(response.write(data.encode()), WRITE_DEADLINE_S)
            try:
                await asyncio.wait_for(changed.wait(), BEAT_PERIOD_S)
            except TimeoutError:
                continue
            await asyncio.sleep(PUSH_PERIOD_S)

    async def _technician(self, request: web.Request) -> web.Response:
        return web.Response(body=self._files["technician.html"], content_type="text/html", charset="utf-8", headers=HEADERS)

    async def _technician_status(self, request: web.Request) -> web.Response:
        status, trouble = {}, ""
        if self._status is not None:
            try:
                status = dict(self._status())
            except Exception:  # the page must stay readable exactly when something else is broken
                log.exception("display status can't be read")
                trouble = "The app's status can't be read; the log has the reason."
        data = technician.shown(self._view, status) | {"trouble": trouble, "pages": len(self._clients)}
        return web.json_response(data | {"in_state_s": round(time.monotonic() - self._since_s)}, headers=HEADERS)

    async def _health(self, request: web.Request) -> web.Response:
        """200 while this terminal can take a payment or is about to; 503 when it is out of order."""
        well = self._view.screen is not Screen.OUT_OF_ORDER
        data = {"ok": well, "screen": self._view.screen.value, "code": self._view.code}
        return web.json_response(data, status=200 if well else 503, headers=HEADERS)
