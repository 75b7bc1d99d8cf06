"""The stage's server takes acts from its own page only, and says in words what can't be done."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp
import pytest

from terminal.simulation.stage.play import AMOUNT_MAX_MINOR, CHOICES
from terminal.simulation.stage.server import StageServer
from tests.terminal.simulation.stage.fake import BOOKS, FakePlay

ACT = {"X-Stage": "act"}


@asynccontextmanager
async def running(play: FakePlay) -> AsyncIterator[aiohttp.ClientSession]:
    server = StageServer(play, 0)
    await server.start()
    try:
        async with aiohttp.ClientSession(server.url, timeout=aiohttp.ClientTimeout(10)) as session:
            yield session
    finally:
        await server.stop()
        await server.stop()


async def test_acts_reach_the_play() -> None:
    play = FakePlay()
    acts: list[dict[str, object]] = [{"do": "hand", "who": choice.id} for choice in CHOICES]
    acts += [{"do": "pay", "amount_minor": 1234}, {"do": "abort"}, {"do": "plug"}, {"do": "service", "up": False}]
    async with running(play) as session:
        for act in acts:
            async with session.post("/act", json=act, headers=ACT) as answer:
                assert (await answer.json())["trouble"] == ""
    assert play.acts == [*(("hand", choice.id) for choice in CHOICES), ("pay", 1234), ("abort",), ("plug",), ("service", False)]


@pytest.mark.parametrize(
    "body",
    ["", "null", "[]", "{", '{"do": "dance"}', '{"do": "hand", "who": "eve"}', '{"do": "pay"}', '{"do": "pay", "amount_minor": "12"}',
     '{"do": "pay", "amount_minor": true}', '{"do": "pay", "amount_minor": -1}', f'{{"do": "pay", "amount_minor": {AMOUNT_MAX_MINOR + 1}}}',
     '{"do": "pay", "amount_minor": 12.5}', '{"do": ["pay"]}'],
)  # fmt: skip
async def test_what_is_no_act_is_refused_in_words(body: str) -> None:
    play = FakePlay()
    async with (
        running(play) as session,
        session.post("/act", data=body, headers=ACT | {"Content-Type": "application/json"}) as answer,
    ):
        assert answer.status == 400
        assert (await answer.json())["trouble"].startswith("That is not an act")
    assert play.acts == []


async def test_what_can_not_be_done_now_says_why() -> None:
    play = FakePlay()
    play.refusal = "The terminal has no power. Wait until it is back."
    async with running(play) as session, session.post("/act", json={"do": "plug"}, headers=ACT) as answer:
        assert answer.status == 409
        assert (await answer.json())["trouble"] == play.refusal


async def test_other_pages_and_other_names_are_refused() -> None:
    play = FakePlay()
    async with running(play) as session:
        async with session.post("/act", json={"do": "plug"}) as answer:
            assert answer.status == 403
        async with session.get("/", headers={"Host": "evil.example"}) as answer:
            assert answer.status == 403
        async with session.post("/act", data="x" * 5000, headers=ACT | {"Content-Type": "application/json"}) as answer:
            assert answer.status == 413
    assert play.acts == []


async def test_the_page_hears_of_changes() -> None:
    play = FakePlay(BOOKS)
    async with running(play) as session, session.get("/events") as answer, asyncio.timeout(60):
        first = json.loads((await answer.content.readline()).decode()[6:])
        assert first["ledger"][0]["captured_minor"] == 1234
        assert first["agree"] is True
        await play.hand("ben")
        await answer.content.readline()
        assert json.loads((await answer.content.readline()).decode()[6:])["hand"] == "ben"


async def test_the_scene_is_a_picture_or_nothing() -> None:
    play = FakePlay()
    async with running(play) as session:
        async with session.get("/scene") as answer:
            assert answer.status == 204
        play.png = b"\x89PNG"
        async with session.get("/scene") as answer:
            assert answer.content_type == "image/png"


async def test_a_taken_port_is_no_obstacle() -> None:
    first = StageServer(FakePlay(), 0)
    await first.start()
    second = StageServer(FakePlay(), int(first.url.rsplit(":", 1)[1].strip("/")))
    await second.start()
    assert first.url != second.url
    await first.stop()
    await second.stop()
