from __future__ import annotations

import random

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from terminal.reader.banks import CYCLE, BankTracker, level_of, plausible
from terminal.reader.frame import Light

LEVELS = {Light.PARALLEL: 90.0, Light.CROSSED: 60.0, Light.DARK: 12.0}


def truth(number: int, phase: int = 0) -> Light:
    return CYCLE[(number + phase) % 3]


def run(tracker: BankTracker, numbers: list[int], phase: int = 0, levels: dict[Light, float] | None = None) -> list[Light]:
    return [tracker.label(n, (levels or LEVELS)[truth(n, phase)]) for n in numbers]


@pytest.mark.parametrize("phase", [0, 1, 2])
@pytest.mark.parametrize("start", [0, 1, 2, 1000])
def test_the_place_is_found_within_two_cycles_whatever_the_phase(phase: int, start: int) -> None:
    numbers = list(range(start, start + 30))
    labels = run(BankTracker(), numbers, phase)
    assert labels[:5] == [Light.MIXED] * 5
    assert labels[5:] == [truth(n, phase) for n in numbers[5:]]


def test_crossed_may_be_brighter_than_parallel() -> None:
    levels = {Light.PARALLEL: 50.0, Light.CROSSED: 120.0, Light.DARK: 30.0}
    assert run(BankTracker(), list(range(20)), 1, levels)[5:] == [truth(n, 1) for n in range(5, 20)]


def test_after_a_gap_the_place_is_unknown_until_seen_again() -> None:
    """Dropped frames may also have stopped the strobe: the hardware's phase is another one after the gap."""
    tracker = BankTracker()
    run(tracker, list(range(12)), phase=0)
    assert tracker.locked
    labels = run(tracker, list(range(14, 30)), phase=2)
    assert labels[:5] == [Light.MIXED] * 5
    assert labels[5:] == [truth(n, 2) for n in range(19, 30)]


def test_a_known_beginning_needs_no_search() -> None:
    tracker = BankTracker()
    tracker.begins(7)
    assert run(tracker, list(range(7, 20)), phase=-7) == [CYCLE[i % 3] for i in range(13)]


def test_a_wrong_beginning_is_given_up_once_content_contradicts() -> None:
    tracker = BankTracker()
    tracker.begins(0)
    labels = run(tracker, list(range(30)), phase=1)
    wrong = [n for n, label in enumerate(labels) if label not in {Light.MIXED, truth(n, 1)}]
    assert all(n < 3 for n in wrong), "only before the first whole cycle"
    assert labels[10:] == [truth(n, 1) for n in range(10, 30)]


def test_a_strobe_that_slips_is_mixed_and_then_followed() -> None:
    tracker = BankTracker()
    run(tracker, list(range(15)), phase=0)
    labels = run(tracker, list(range(15, 40)), phase=1)
    for n, label in zip(range(15, 40), labels, strict=True):
        assert label in {Light.MIXED, truth(n, 1)} or n < 17
    assert labels[8:] == [truth(n, 1) for n in range(23, 40)]


def test_nothing_in_view_can_not_be_told() -> None:
    tracker = BankTracker()
    assert {tracker.label(n, 5.0 + 0.3 * (n % 3)) for n in range(60)} == {Light.MIXED}


def test_a_place_once_known_survives_an_empty_view() -> None:
    tracker = BankTracker()
    run(tracker, list(range(12)))
    empty = [tracker.label(n, 4.0) for n in range(12, 42)]
    again = run(tracker, list(range(42, 54)))
    assert [label for label in empty[9:] if label is not Light.MIXED] == [
        truth(n) for n, label in zip(range(21, 42), empty[9:], strict=True) if label is not Light.MIXED
    ]
    assert again[3:] == [truth(n) for n in range(45, 54)]


@pytest.mark.parametrize("share", [0.0, 0.3, 0.5])
def test_a_lit_frame_cut_short_is_mixed(share: float) -> None:
    tracker = BankTracker()
    run(tracker, list(range(12)))
    short = LEVELS[Light.DARK] + share * (LEVELS[Light.PARALLEL] - LEVELS[Light.DARK])
    assert truth(12) is Light.PARALLEL
    assert tracker.label(12, short) is Light.MIXED


@pytest.mark.parametrize("share", [0.4, 0.7, 1.0])
def test_a_dark_frame_that_light_reached_into_is_mixed(share: float) -> None:
    tracker = BankTracker()
    run(tracker, list(range(14)))
    reached = LEVELS[Light.DARK] + share * (LEVELS[Light.CROSSED] - LEVELS[Light.DARK])
    assert truth(14) is Light.DARK
    assert tracker.label(14, reached) is Light.MIXED


def test_a_hand_that_comes_in_is_followed() -> None:
    """Three times as bright within ten frames: no frame is labelled wrongly, and most are labelled."""
    tracker = BankTracker()
    run(tracker, list(range(9)))
    right = 0
    for n in range(9, 39):
        grown = 1 + min(n - 9, 10) * 0.2
        label = tracker.label(n, 12 + (LEVELS[truth(n)] - 12) * grown)
        assert label in {truth(n), Light.MIXED}
        right += label is truth(n)
    assert right >= 27


@settings(max_examples=150, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    phase=st.integers(0, 2),
    ambient=st.floats(0, 150),
    parallel=st.floats(25, 90),
    crossed=st.floats(25, 90),
)
def test_dropped_frames_noise_and_daylight_never_make_a_wrong_label(
    seed: int, phase: int, ambient: float, parallel: float, crossed: float
) -> None:
    rng = random.Random(seed)
    levels = {Light.DARK: ambient, Light.PARALLEL: ambient + parallel, Light.CROSSED: ambient + crossed}
    tracker, labelled, frames = BankTracker(), 0, 0
    for n in range(200):
        if rng.random() < 0.02:
            continue
        frames += 1
        label = tracker.label(n, levels[truth(n, phase)] + rng.gauss(0, 0.1))
        assert label in {truth(n, phase), Light.MIXED}
        labelled += label is not Light.MIXED
    assert labelled >= frames - 0.02 * 200 * 5 * 3, "at most two cycles are lost at each gap"


@settings(max_examples=150, deadline=None)
@given(seed=st.integers(0, 10_000), phase=st.integers(0, 2))
@example(seed=3821, phase=0)  # dark where parallel is due and the reverse, four times within seven frames
@example(seed=8425, phase=1)
def test_a_frame_with_another_light_than_its_turn_is_never_believed(seed: int, phase: int) -> None:
    """A strobe that misses or doubles a pulse: dark where lit is due, or lit where dark is due."""
    rng = random.Random(seed)
    tracker = BankTracker()
    for n in range(150):
        due = truth(n, phase)
        odd = n > 12 and rng.random() < 0.05
        seen = (Light.PARALLEL if due is Light.DARK else Light.DARK) if odd else due
        label = tracker.label(n, LEVELS[seen])
        assert label is Light.MIXED or label is seen, f"{n}: {label} believed, it was {seen}"


def test_a_cycle_without_dark_is_refused() -> None:
    with pytest.raises(ValueError, match="dark"):
        BankTracker((Light.PARALLEL, Light.CROSSED))


def test_plausible_remembers_and_judges() -> None:
    remembered: dict[Light, float] = {}
    for _ in range(3):
        assert all(plausible(remembered, light, LEVELS[light]) for light in CYCLE)
    assert not plausible(remembered, Light.PARALLEL, 20.0)
    assert not plausible(remembered, Light.DARK, 60.0)


def test_the_level_is_the_mean_of_a_sparse_grid() -> None:
    pixels = np.zeros((400, 640), np.uint8)
    pixels[:, :320] = 100
    assert level_of(pixels) == pytest.approx(50.0)
