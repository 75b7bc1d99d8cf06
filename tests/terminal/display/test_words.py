"""Every sentence exists in every language, is short enough to be read, and says no more than it may."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from terminal.checkout import Outcome, Screen
from terminal.display.view import View
from terminal.display.words import (
    GUIDANCE,
    LANGUAGES,
    NAME_LENGTH_MAX,
    OUTCOMES,
    PROMISE,
    SCREENS,
    THANKED,
    Sentence,
    printable,
    sentence,
)
from terminal.palm.types import Guidance

TITLE_LENGTH_MAX = 46
DETAIL_LENGTH_MAX = 78
EVERYTHING = [("screen", s, SCREENS[s]) for s in SCREENS] + [("outcome", o, OUTCOMES[o]) for o in OUTCOMES]
ALL_SAID = EVERYTHING + [("guidance", g, GUIDANCE[g]) for g in GUIDANCE]


def test_every_screen_outcome_and_guidance_has_words() -> None:
    assert set(SCREENS) == set(Screen)
    assert set(OUTCOMES) == set(Outcome)
    assert set(GUIDANCE) == {guidance.value for guidance in Guidance}
    assert set(PROMISE) == set(LANGUAGES)


@pytest.mark.parametrize(
    ("kind", "key", "said"), ALL_SAID, ids=[f"{kind}-{getattr(key, 'value', key)}" for kind, key, _ in ALL_SAID]
)
def test_no_language_is_missing_or_too_long(kind: str, key: object, said: dict[str, Sentence]) -> None:
    assert set(said) == set(LANGUAGES)
    for language, (title, detail) in said.items():
        assert 0 < len(title) <= TITLE_LENGTH_MAX, language
        assert len(detail) <= DETAIL_LENGTH_MAX, language
        assert title == title.strip()
        assert detail == detail.strip()
        assert "'" not in title + detail, f"{language}: a typewriter's apostrophe"
    assert len({bool(detail) for _, detail in said.values()}) == 1, "a detail is missing in one language"


def test_languages_differ_from_each_other() -> None:
    for _, key, said in ALL_SAID:
        assert len({title for title, _ in said.values()}) == len(LANGUAGES), key


def test_a_terminal_that_waits_for_a_hand_asks_for_it() -> None:
    assert sentence(View(Screen.PRESENT_PALM), "en").title == "Hold your palm over the ring"
    assert sentence(View(Screen.PRESENT_PALM, guidance="show_hand"), "en").title == "Hold your palm over the ring"


def test_guidance_replaces_the_title_only_while_a_hand_is_wanted() -> None:
    assert sentence(View(Screen.LOOKING, guidance="higher"), "en").title == "A little higher"
    assert sentence(View(Screen.LOOKING, guidance="daylight"), "en").title == "Too much sun"
    assert sentence(View(Screen.PAID, guidance="higher"), "en").title == "Paid"
    assert sentence(View(Screen.LOOKING, guidance="something newer"), "en") == SCREENS[Screen.LOOKING]["en"]


def test_enrolment_keeps_its_own_sentence_until_there_is_something_to_correct() -> None:
    assert sentence(View(Screen.ENROL, guidance="show_hand"), "en").detail == "So that we know your hand next time"
    assert sentence(View(Screen.ENROL, guidance="lower"), "en").title == "A little lower"


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("screen", list(Screen))
def test_a_name_is_shown_only_with_thanks(screen: Screen, language: str) -> None:
    said = sentence(View(screen, outcome=Outcome.LIMIT if screen is Screen.DECLINED else None, name="Zaphod"), language)  # type: ignore[arg-type]
    assert ("Zaphod" in said.detail) is (screen in THANKED)
    assert "Zaphod" not in said.title


def test_a_declined_account_is_nobody_elses_business() -> None:
    for outcome in (Outcome.LIMIT, Outcome.BLOCKED):
        words = " ".join(" ".join(said) for said in OUTCOMES[outcome].values()).lower()
        for word in ("limit", "account", "konto", "compte", "conto", "blocked", "gesperrt", "bloqué", "bloccat", "credit"):
            assert word not in words.split(), f"{outcome.value} says {word}"


def test_every_refusal_says_what_to_do_or_that_nothing_was_charged() -> None:
    said = {outcome: " ".join(OUTCOMES[outcome]["en"]).lower() for outcome in Outcome if outcome is not Outcome.APPROVED}
    for outcome, words in said.items():
        assert any(w in words for w in ("another way", "nothing was charged", "ask at the till", "one moment", "undone before")), (
            outcome
        )


@given(st.text(max_size=200))
def test_a_name_cannot_break_the_page(name: str) -> None:
    clean = printable(name)
    assert len(clean) <= NAME_LENGTH_MAX
    assert clean == clean.strip()
    assert all(letter.isprintable() for letter in clean)
