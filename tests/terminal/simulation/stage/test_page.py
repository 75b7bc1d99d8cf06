"""The stage's page in a real Chromium: a person keys in an amount, shows a hand, and sees the books."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

from terminal.desk import SENTENCES
from terminal.simulation.stage.play import Up
from terminal.simulation.stage.reckoning import Verdict
from terminal.simulation.stage.server import StageServer
from tests.terminal.display.browser import browser, needs_chromium
from tests.terminal.simulation.stage.fake import BOOKS, FakePlay

pytestmark = needs_chromium

FITS = "((lcd) => lcd.scrollWidth <= lcd.clientWidth && lcd.scrollHeight <= lcd.clientHeight)(document.getElementById('lcd'))"


async def test_a_purchase_acted_out(tmp_path: Path) -> None:
    play = FakePlay(replace(BOOKS, verdict=Verdict(1234, 1234, ())))
    server = StageServer(play, 0)
    await server.start()
    try:
        async with browser(tmp_path) as page:
            await page.look(1280, 900)
            await page.open(server.url)
            await page.until("document.querySelectorAll('#ledger tr').length === 3")
            assert "agree to the cent" in await page.ask("document.getElementById('verdict').textContent")
            for key in ("1", "2", "3", "4"):
                await page.ask(f"[...document.querySelectorAll('#keys button')].find((b) => b.textContent === '{key}').click()")
            assert "12.34" in await page.ask("document.getElementById('line1').textContent")
            await page.ask("document.getElementById('pay').click()")
            await page.until("document.getElementById('line2').textContent === 'hold out your palm'")
            assert await page.ask("document.getElementById('pay').disabled")
            await page.ask("document.querySelector('[data-id=stranger]').click()")
            await page.until("document.querySelector('[data-id=stranger]').getAttribute('aria-checked') === 'true'")
            await page.ask("document.getElementById('abort').click()")
            await page.until("document.getElementById('abort').disabled")
            await page.ask("document.getElementById('plug').click()")
            await page.until("!document.getElementById('dark').hidden")
            play.now = replace(play.now, terminal=Up.RUNNING, verdict=Verdict(1234, 0, ("The register has 12.34 more.",)))
            await page.until("document.getElementById('verdict').textContent.includes('The register has 12.34 more.')")
            assert page.trouble == []
            for width, height in ((1440, 900), (1024, 768), (420, 900)):
                await page.look(width, height)
                assert await page.ask("document.documentElement.scrollWidth <= innerWidth"), f"{width} wide"
            for sentence in sorted(SENTENCES.values(), key=len)[-3:]:
                play.now = replace(play.now, busy=True, display=(f"TOTAL{'999999.99':>15}", sentence))
                for width, height in ((1440, 900), (1280, 800), (1090, 800), (420, 900)):
                    await page.look(width, height)
                    await page.until(f"document.getElementById('line2').textContent === {json.dumps(sentence)}")
                    assert await page.ask(FITS), f"{sentence!r} is cut off on the register's display at {width} wide"
        assert play.acts == [("pay", 1234), ("hand", "stranger"), ("abort",), ("plug",)]
    finally:
        await server.stop()
