"""The page's server: newest view wins, bad callers get a sentence, stopping leaves nothing behind."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest

from terminal.checkout import Outcome, Screen
from terminal.config import DisplayOptions
from terminal.display import Display, RecordedDisplay, View, server
from terminal.display.server import CLIENTS_MAX, DisplayError, PageDisplay, payload
from terminal.display.words import LANGUAGES

DEADLINE_S = 60.0


@asynccontextmanager
async def running(**kwargs: Any) -> AsyncIterator[tuple[PageDisplay, aiohttp.ClientSession]]:
    display = PageDisplay(DisplayOptions(port=0), **kwargs)
    await display.start()
    try:
        async with aiohttp.ClientSession(display.url, timeout=aiohttp.ClientTimeout(DEADLINE_S)) as session:
            yield display, session
    finally:
        await display.stop()


class Listener:
    """One page's event stream."""

    def __init__(self, answer: aiohttp.ClientResponse) -> None:
        self._answer = answer

    async def next(self) -> dict[str, Any]:
        async with asyncio.timeout(DEADLINE_S):
            while True:
                line = (await self._answer.content.readline()).decode()
                assert line, "the stream ended"
                if line.startswith("data: {"):
                    return dict(json.loads(line[6:]))

    async def until(self, screen: Screen) -> dict[str, Any]:
        while (said := await self.next())["screen"] != screen.value:
            pass
        return said


async def test_the_page_hears_of_a_new_view() -> None:
    async with running() as (display, session), session.get("/events") as answer:
        listener = Listener(answer)
        assert (await listener.next())["screen"] == "starting"
        display.show(Screen.PRESENT_PALM, amount_minor=1234, currency="EUR")
        said = await listener.next()
        assert said["screen"] == "present_palm"
        assert [say["lang"] for say in said["says"]] == list(LANGUAGES)
        assert said["says"][0]["amount"] == "€12.34"


async def test_a_burst_costs_the_newest_view_nothing() -> None:
    async with running() as (display, session), session.get("/events") as answer:
        listener = Listener(answer)
        for i in range(5000):
            display.show(Screen.LOOKING, certainty=i / 5000)
        display.show(Screen.PAID)
        heard = 0
        while (await listener.next())["screen"] != "paid":
            heard += 1
        assert heard < 10


async def test_show_from_another_thread_and_before_the_start() -> None:
    display = PageDisplay(DisplayOptions(port=0))
    display.show(Screen.WELCOME)
    await display.start()
    async with aiohttp.ClientSession(display.url) as session, session.get("/events") as answer:
        listener = Listener(answer)
        assert (await listener.next())["screen"] == "welcome"
        thread = threading.Thread(target=display.show, args=(Screen.ASKING,))
        thread.start()
        assert (await listener.next())["screen"] == "asking"
        thread.join()
    await display.stop()
    display.show(Screen.PAID)


async def test_stopping_does_not_wait_for_open_pages() -> None:
    display = PageDisplay(DisplayOptions(port=0))
    await display.start()
    async with aiohttp.ClientSession(display.url) as session, session.get("/events") as answer:
        await Listener(answer).next()
        async with asyncio.timeout(DEADLINE_S):
            await display.stop()
        await display.stop()


async def test_the_first_paint_has_the_view_and_a_name_cannot_escape_into_the_page() -> None:
    async with running(languages=("de", "en")) as (display, session):
        display.show(Screen.PAID, name="</script><b>Eve")
        async with session.get("/") as answer:
            text = await answer.text()
        assert "</script><b>" not in text
        assert '<html lang="de">' in text
        state = json.loads(text.split('id="state">')[1].split("</script>")[0])
        assert state["now"]["says"][0]["title"] == "Bezahlt"
        assert state["lost"]["screen"] == "starting"


async def test_every_answer_carries_a_strict_policy() -> None:
    async with running() as (_, session):
        for path in ("/", "/technician", "/technician/status", "/healthz", "/shopper.css", "/nothing", "/events"):
            async with session.get(path) as answer:
                policy = answer.headers["Content-Security-Policy"]
                assert "default-src 'none'" in policy
                assert "unsafe" not in policy
                assert answer.headers["Cache-Control"] == "no-store"


async def test_no_page_names_anything_outside() -> None:
    for name in server.FILES:
        text = PageDisplay(DisplayOptions(port=0))._files[name].decode()
        assert "http:" not in text, name
        assert "https:" not in text, name
        assert "//" not in text.replace("// ", "").replace("//\n", ""), name


async def test_another_sites_name_for_this_machine_is_refused() -> None:
    async with running() as (_, session):
        async with session.get("/", headers={"Host": "evil.example:80"}) as answer:
            assert answer.status == 403
        async with session.get("/", headers={"Host": "localhost"}) as answer:
            assert answer.status == 200


async def test_files_outside_the_page_are_not_served() -> None:
    async with running() as (_, session):
        for path in ("/server.py", "/..%2fserver.py", "/__init__.py", "/shopper.html"):
            async with session.get(path) as answer:
                assert answer.status == 404


async def test_more_pages_than_allowed_are_told_so() -> None:
    async with running() as (_, session):
        open_pages = [await session.get("/events") for _ in range(CLIENTS_MAX)]
        for answer in open_pages:
            await Listener(answer).next()
        async with session.get("/events") as answer:
            assert answer.status == 503
            assert "Too many pages" in await answer.text()
        for answer in open_pages:
            answer.close()


async def test_health_follows_the_screen() -> None:
    async with running() as (display, session):
        display.show(Screen.WELCOME)
        async with session.get("/healthz") as answer:
            assert answer.status == 200
        display.show(Screen.OUT_OF_ORDER, code="reader")
        async with session.get("/healthz") as answer:
            assert answer.status == 503
            assert (await answer.json())["code"] == "reader"


async def test_the_technicians_page_survives_a_broken_status() -> None:
    def broken() -> dict[str, Any]:
        raise RuntimeError("p-77 is Ada")

    async with running(status=broken) as (display, session):
        display.show(Screen.PAID, name="Ada")
        async with session.get("/technician/status") as answer:
            text = await answer.text()
        assert "log has the reason" in text
        assert "Ada" not in text


async def test_a_taken_port_is_said_in_words() -> None:
    async with running() as (display, _):
        port = int(display.url.rsplit(":", 1)[1].strip("/"))
        with pytest.raises(DisplayError, match=r"choose \[display\] host and port"):
            await PageDisplay(DisplayOptions(port=port)).start()


@pytest.mark.parametrize("screen", list(Screen))
def test_every_screen_can_be_told(screen: Screen) -> None:
    for outcome in (None, *Outcome):
        told = payload(View(screen, 1, "EUR", outcome), LANGUAGES)
        assert all(say["title"] for say in told["says"])
        json.dumps(told)


def test_both_displays_fit_the_port() -> None:
    displays: list[Display] = [RecordedDisplay(), PageDisplay(DisplayOptions(port=0))]
    for display in displays:
        display.show(Screen.PAID, amount_minor=1, currency="EUR", name="Ada")


def test_the_recorder_keeps_the_order() -> None:
    recorded = RecordedDisplay()
    assert recorded.view.screen is Screen.STARTING
    for certainty in (0.1, 0.2):
        recorded.show(Screen.LOOKING, certainty=certainty)
    recorded.show(Screen.PAID, name="Ada")
    assert recorded.screens == [Screen.LOOKING, Screen.PAID]
    assert recorded.view.name == "Ada"
    assert "Ada" not in repr(recorded.view)
