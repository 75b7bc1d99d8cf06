"""The pages in a real Chromium: they follow the terminal, fit every screen, say it aloud, and load nothing from elsewhere."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from terminal.checkout import Outcome, Screen
from terminal.config import DisplayOptions
from terminal.display.server import PageDisplay, payload
from terminal.display.view import View
from terminal.display.words import GUIDANCE, LANGUAGES
from tests.terminal.display.browser import Page, browser, needs_chromium

pytestmark = needs_chromium
SIZES = ((480, 320), (800, 480), (600, 1024), (1280, 800), (1920, 1080))

# Nothing is cut off: every text lies inside the window and above the line at the bottom.
CUT = """(() => {
  const out = [], foot = document.querySelector('footer').getBoundingClientRect();
  for (const id of ['amount', 'title', 'detail', 'second', 'code']) {
    const e = document.getElementById(id), b = e.getBoundingClientRect();
    if (!e.textContent || e.hidden) continue;
    const range = document.createRange(); range.selectNodeContents(e);
    const t = range.getBoundingClientRect();
    if (t.left < 0 || t.right > innerWidth + 1 || t.top < 0 || t.bottom > foot.top + 2) out.push(`${id}: ${e.textContent}`);
  }
  if (foot.bottom > innerHeight + 1) out.push('footer');
  return out;
})()"""


@pytest.fixture
async def page(tmp_path: Path) -> AsyncIterator[Page]:
    async with browser(tmp_path) as tab:
        yield tab


@pytest.fixture
async def display() -> AsyncIterator[PageDisplay]:
    shown = PageDisplay(
        DisplayOptions(port=0),
        status=lambda: {
            "frames_per_s": 59.7,
            "service_reachable": False,
            "purchases": [{"at": "10:15", "amount_minor": 1234, "currency": "EUR", "outcome": "approved"}],
        },
    )
    await shown.start()
    yield shown
    await shown.stop()


async def test_it_follows_the_terminal_through_a_purchase(page: Page, display: PageDisplay) -> None:
    await page.look(800, 480)
    await page.open(display.url)
    for screen, title in (
        (Screen.PRESENT_PALM, "Hold your palm over the ring"),
        (Screen.LOOKING, "Good, keep it there"),
        (Screen.PAID, "Paid"),
    ):
        display.show(screen, amount_minor=1234, currency="EUR", name="Ada", certainty=0.5)
        await page.until(f"document.getElementById('title').textContent === '{title}'")
    assert await page.ask("document.getElementById('amount').textContent") == "€12.34"
    assert await page.ask("document.getElementById('detail').textContent") == "Thank you, Ada"
    assert await page.ask("getComputedStyle(document.querySelector('.sign.yes')).opacity") == "1"
    assert page.trouble == []


async def test_the_ring_shows_the_evidence(page: Page, display: PageDisplay) -> None:
    await page.look(800, 480)
    await page.open(display.url)
    for part in (0.25, 0.75):
        display.show(Screen.LOOKING, certainty=part)
        await page.until(f"getComputedStyle(document.getElementById('arc')).strokeDasharray.startsWith('{part * 100:g}')")


async def test_it_can_be_heard(page: Page, display: PageDisplay) -> None:
    display.show(Screen.LOOKING, guidance="higher")
    await page.open(display.url)
    tree = await page.call("Accessibility.getFullAXTree")
    named = {(node["role"]["value"], node.get("name", {}).get("value", "")) for node in tree["nodes"] if not node["ignored"]}
    assert ("heading", "A little higher") in named
    assert any(role == "status" for role, _ in named)
    assert await page.ask("document.getElementById('first').getAttribute('aria-live')") == "assertive"
    assert await page.ask("document.documentElement.lang") == "en"
    assert await page.ask("document.getElementById('second').lang") == "de"


async def test_other_languages_take_turns(page: Page, display: PageDisplay) -> None:
    display.show(Screen.PAID)
    await page.open(display.url)
    for title in ("Bezahlt", "Payé"):
        await page.until(f"document.getElementById('second').textContent === '{title}'")


async def test_nothing_moves_for_those_who_asked_for_it(page: Page, display: PageDisplay) -> None:
    for screen in Screen:
        display.show(screen)
        await page.look(800, 480, still=True)
        await page.open(display.url)
        assert await page.ask("document.getAnimations().length") == 0, screen
    display.show(Screen.PRESENT_PALM)
    await page.look(800, 480, still=False)
    await page.open(display.url)
    await page.until("document.getAnimations().length > 0")


@pytest.mark.parametrize(("width", "height"), SIZES)
async def test_no_word_is_cut_off_in_any_language(page: Page, width: int, height: int) -> None:
    """Every sentence in every language as the large one, on one page: the views are put into it directly, which is quick."""
    views = [
        View(screen, 1_500_000, "EUR", name="Maximiliane-Alexandra", code="configuration")
        for screen in Screen
        if screen is not Screen.DECLINED
    ]
    views += [View(Screen.DECLINED, 1_500_000, "EUR", outcome) for outcome in Outcome]
    views += [View(Screen.LOOKING, 1_500_000, "EUR", guidance=guidance) for guidance in GUIDANCE]
    shown = PageDisplay(DisplayOptions(port=0))
    await shown.start()
    try:
        await page.look(width, height)
        await page.open(shown.url)
        build = await page.ask("now.build")
        for first in LANGUAGES:
            languages = (first, *(language for language in LANGUAGES if language != first))
            told = [payload(view, languages) | {"build": build} for view in views]
            cut = await page.ask(
                f"{json.dumps(told)}.flatMap((v) => {{ render(v); return {CUT}.map((c) => v.screen + ' ' + c); }})"
            )
            assert cut == [], f"{first} on {width}x{height}"
    finally:
        await shown.stop()


@pytest.mark.parametrize("dark", [True, False])
async def test_contrast_is_enough_for_weak_eyes(page: Page, display: PageDisplay, dark: bool) -> None:
    """WCAG AA on the flat ground: 4.5 for text, 3 for the ring and its sign."""
    await page.look(800, 480, dark=dark)
    await page.open(display.url)
    ratio = """((names) => {
      const s = getComputedStyle(document.documentElement);
      const light = (name) => {
        const hex = s.getPropertyValue(name).trim(), c = [1, 3, 5].map((i) => parseInt(hex.slice(i, i + 2), 16) / 255);
        const [r, g, b] = c.map((v) => v <= .04045 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4);
        return .2126 * r + .7152 * g + .0722 * b;
      };
      return names.map((n) => Math.min(...['--ground', '--ground-2'].map((g) => {
        const [a, b] = [light(n), light(g)].sort(); return (b + .05) / (a + .05); })));
    })"""
    for name, least in (
        ("--ink", 7.0),
        ("--ink-2", 4.5),
        ("--calm", 3.0),
        ("--invite", 3.0),
        ("--work", 3.0),
        ("--yes", 3.0),
        ("--no", 3.0),
        ("--stop", 3.0),
    ):
        assert (await page.ask(f"{ratio}(['{name}'])"))[0] >= least, name


async def test_a_terminal_that_is_gone_is_not_shown_as_paid_and_one_that_is_back_is_found(page: Page) -> None:
    first = PageDisplay(DisplayOptions(port=0))
    await first.start()
    first.show(Screen.PAID, name="Ada")
    port = int(first.url.rsplit(":", 1)[1].strip("/"))
    await page.open(first.url)
    await first.stop()
    await page.until("document.getElementById('title').textContent === 'One moment, please'")
    assert "Ada" not in await page.ask("document.body.innerText")
    second = PageDisplay(DisplayOptions(port=port))
    second.show(Screen.WELCOME)
    await second.start()
    try:
        await page.until("document.getElementById('title').textContent === 'Welcome'")
    finally:
        await second.stop()


async def test_the_technician_sees_what_is_wrong(page: Page, display: PageDisplay) -> None:
    display.show(Screen.OUT_OF_ORDER, code="reader")
    await page.look(800, 480)
    await page.open(display.url + "technician")
    await page.until("document.getElementById('sentence').textContent.includes('No frames from the camera')")
    text = await page.ask("document.body.innerText")
    assert "59.7" in text
    assert "12.34 EUR" in text
    assert await page.ask("document.querySelector('dd.bad').textContent") == "no"
    assert page.trouble == []
