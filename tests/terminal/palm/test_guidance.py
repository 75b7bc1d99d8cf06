from __future__ import annotations

import pytest

from terminal.palm.guidance import FIRST_SETTLE_S, GONE_S, SETTLE_S, Prompter, advice
from terminal.palm.types import Guidance, Hand, NoHand
from tests.terminal.palm.hands import HEIGHT, WIDTH, hand


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (hand(), Guidance.GOOD),
        (hand(distance_mm=40, span_px=200), Guidance.HIGHER),
        (hand(span_px=30, distance_mm=300), Guidance.LOWER),
        (hand(centre=(20, 150)), Guidance.CENTRE),
        (hand(centre=(320, 60), span_px=300), Guidance.HIGHER),
        (hand(yaw_deg=40), Guidance.FLATTER),
        (hand(confidence=0.1), Guidance.OPEN_HAND),
        (NoHand(Guidance.ONE_HAND, 0.9), Guidance.ONE_HAND),
    ],
)
def test_advice(found: Hand | NoHand, expected: Guidance) -> None:
    assert advice(found, HEIGHT, WIDTH) is expected


def test_a_word_is_said_once_and_only_when_it_has_held() -> None:
    prompter = Prompter()
    assert prompter.push(Guidance.HIGHER, 0.0) is None
    assert prompter.push(Guidance.HIGHER, FIRST_SETTLE_S) is Guidance.HIGHER
    assert prompter.push(Guidance.HIGHER, 9.0) is None
    assert prompter.push(Guidance.CENTRE, 9.1) is None
    assert prompter.push(Guidance.CENTRE, 9.1 + SETTLE_S / 2) is None
    assert prompter.push(Guidance.CENTRE, 9.11 + SETTLE_S) is Guidance.CENTRE


def test_opinions_that_alternate_say_nothing() -> None:
    prompter = Prompter()
    prompter.push(Guidance.SHOW_HAND, 0.0)
    prompter.push(Guidance.SHOW_HAND, 1.0)
    words = [prompter.push((Guidance.HIGHER, Guidance.CENTRE)[k % 2], 1.0 + 0.02 * k) for k in range(200)]
    assert set(words) == {None}


def test_good_is_said_at_once_and_a_short_loss_not_at_all() -> None:
    prompter = Prompter()
    assert prompter.push(Guidance.GOOD, 0.0) is Guidance.GOOD
    assert prompter.push(Guidance.SHOW_HAND, 0.1) is None
    assert prompter.push(Guidance.SHOW_HAND, 0.05 + GONE_S) is None
    assert prompter.push(Guidance.GOOD, 0.6) is None
    assert prompter.push(Guidance.SHOW_HAND, 0.7) is None
    assert prompter.push(Guidance.SHOW_HAND, 0.71 + GONE_S) is Guidance.SHOW_HAND


def test_reset_says_everything_anew() -> None:
    prompter = Prompter()
    prompter.push(Guidance.GOOD, 0.0)
    prompter.reset()
    assert prompter.push(Guidance.GOOD, 0.1) is Guidance.GOOD
