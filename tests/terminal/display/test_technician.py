"""The technician's page helps, and names nobody."""

from __future__ import annotations

import json

from terminal.checkout import Outcome, Screen
from terminal.display.technician import CODES, NO_SENTENCE, PURCHASE_FIELDS, PURCHASES_MAX, SENTENCES, explain, shown
from terminal.display.view import View


def test_every_screen_has_a_sentence() -> None:
    assert set(SENTENCES) == set(Screen)


def test_a_code_is_explained_and_an_unknown_one_leads_to_the_log() -> None:
    for code, sentence in CODES.items():
        assert sentence in explain(View(Screen.OUT_OF_ORDER, code=code))
    assert NO_SENTENCE in explain(View(Screen.OUT_OF_ORDER, code="x-17"))
    assert "limit" in explain(View(Screen.DECLINED, outcome=Outcome.LIMIT))


def test_only_what_names_nobody_gets_through() -> None:
    purchase = {"at": "10:15", "amount_minor": 1234, "currency": "EUR", "outcome": "approved", "name": "Ada", "person": "p-77"}
    status = {"frames_per_s": 60.0, "greeting_name": "Ada", "purchases": [purchase], "signature": [0.1]}
    data = shown(View(Screen.PAID, 1234, "EUR", name="Ada"), status)
    text = json.dumps(data)
    assert "Ada" not in text
    assert "p-77" not in text
    assert data["status"] == {"frames_per_s": 60.0}
    assert set(data["purchases"][0]) == set(PURCHASE_FIELDS)


def test_odd_statuses_do_no_harm() -> None:
    data = shown(View(), {"purchases": "none", "service": object(), "till": "x" * 10_000})
    assert data["purchases"] == []
    assert len(json.dumps(data)) < 2000
    assert len(shown(View(), {"purchases": [{"at": i} for i in range(500)]})["purchases"]) == PURCHASES_MAX
