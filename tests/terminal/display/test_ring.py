"""The ring says the same as the page, in bounds, and never flashes dangerously."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from terminal.checkout import Outcome, Screen
from terminal.display.ring import BRIGHT_MAX, FLASHES_PER_S_MAX, RING_PIXELS, Colour, Look, Motion, look, pixels
from terminal.display.view import View

views = st.builds(
    View,
    st.sampled_from(Screen),
    outcome=st.none() | st.sampled_from(Outcome),
    certainty=st.floats(allow_nan=True, allow_infinity=True),
)
looks = st.builds(Look, st.sampled_from(Colour), st.sampled_from(Motion), st.floats(0, 1))


def brightness(pixel: tuple[int, int, int]) -> int:
    return sum(pixel)


@given(views)
def test_every_view_has_a_look_with_progress_in_bounds(view: View) -> None:
    assert 0.0 <= look(view).progress <= 1.0


@given(looks, st.floats(0, 1e6), st.integers(1, 100))
def test_pixels_stay_within_the_supply(ring: Look, elapsed_s: float, count: int) -> None:
    lit = pixels(ring, elapsed_s, count)
    assert len(lit) == count
    assert all(0 <= part <= BRIGHT_MAX for pixel in lit for part in pixel)


def test_a_ring_without_leds_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one LED"):
        pixels(Look(Colour.YES, Motion.HOLD), 0.0, 0)


@given(st.floats(0, 1), st.floats(0, 1))
def test_more_evidence_lights_more_of_the_ring(one: float, other: float) -> None:
    less, more = sorted((one, other))
    dim, bright = (pixels(look(View(Screen.LOOKING, certainty=c)), 0.0) for c in (less, more))
    assert all(brightness(a) <= brightness(b) for a, b in zip(dim, bright, strict=True))


def test_all_evidence_lights_all_of_it_and_none_of_it_hardly_any() -> None:
    full = pixels(look(View(Screen.LOOKING, certainty=1.0)), 0.0)
    empty = pixels(look(View(Screen.LOOKING, certainty=0.0)), 0.0)
    assert len(set(full)) == 1
    assert brightness(full[0]) > 4 * max(map(brightness, empty))


@pytest.mark.parametrize("motion", list(Motion))
def test_nothing_flashes_faster_than_is_safe(motion: Motion) -> None:
    """Counts the times in ten seconds that an LED goes from its dark half to its bright half."""
    for led in (0, RING_PIXELS // 2):
        curve = [brightness(pixels(Look(Colour.STOP, motion, 0.5), i / 40)[led]) for i in range(400)]
        middle = (max(curve) + min(curve)) / 2
        rises = sum(a <= middle < b for a, b in itertools.pairwise(curve))
        assert rises <= FLASHES_PER_S_MAX * 10


def test_meanings_differ_without_colour() -> None:
    motions = {look(View(screen)).motion for screen in (Screen.PAID, Screen.DECLINED, Screen.OUT_OF_ORDER, Screen.PRESENT_PALM)}
    assert len(motions) == 4


def test_being_cancelled_is_no_reproach() -> None:
    assert look(View(Screen.CANCELLED)).colour is Colour.CALM
    assert look(View(Screen.DECLINED, outcome=Outcome.ABORTED)).colour is Colour.CALM
    assert look(View(Screen.DECLINED, outcome=Outcome.NOBODY)).colour is Colour.NO


def test_the_invitation_is_livelier_than_waiting() -> None:
    def swing(screen: Screen) -> int:
        curve = [brightness(pixels(look(View(screen)), i / 50)[0]) for i in range(100)]
        return sum(abs(b - a) for a, b in itertools.pairwise(curve))

    assert swing(Screen.PRESENT_PALM) > 2 * swing(Screen.WELCOME)
