"""The pipeline with scripted frames and a scripted finder: which frames make a look, and which words are said."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable

import numpy as np
import pytest

from terminal.config import PalmOptions
from terminal.palm.pipeline import ALONE_AFTER_S, PAIR_S_MAX, SUPERVISED_EVERY_FRAMES, PalmPipeline
from terminal.palm.quality import Quality
from terminal.palm.types import Guidance, Hand, Look, NoHand, Side
from terminal.reader.frame import Frame, Light
from tests.terminal.palm.hands import (
    PERIOD_S,
    MeanEncoder,
    ScriptedFinder,
    always_good,
    frame,
    hand,
    level_of,
    nothing,
)

P, C, D, S, M = Light.PARALLEL, Light.CROSSED, Light.DARK, Light.SINGLE, Light.MIXED
CYCLE = (P, C, D)


def still(_: int) -> Hand:
    return hand()


def pipeline(where: Callable[[int], Hand | NoHand] = still, measure: object = always_good) -> tuple[PalmPipeline, ScriptedFinder]:
    finder = ScriptedFinder(where)
    return PalmPipeline(PalmOptions(), finder, MeanEncoder(), measure), finder  # type: ignore[arg-type]


def pushed(into: PalmPipeline, frames: Iterable[Frame]) -> tuple[list[Look], list[Guidance]]:
    results = [result for one in frames for result in into.push(one)]
    return [r for r in results if isinstance(r, Look)], [r for r in results if isinstance(r, Guidance)]


def cycles(count: int, first: int = 0, levels: tuple[int, int, int] = (120, 90, 0)) -> list[Frame]:
    return [frame(first + k, CYCLE[k % 3], levels[k % 3]) for k in range(3 * count)]


def test_each_light_lands_in_its_own_signature() -> None:
    looks, words = pushed(pipeline()[0], cycles(4))
    assert len(looks) >= 3
    for look in looks:
        assert (level_of(look.surface), level_of(look.veins), look.mixed) == (120, 90, None)
        assert look.model_version == "palm-test"
        assert {"find", "canonical", "daylight", "encode", "quality"} == set(look.stages_us)
        assert all(isinstance(took, int) and took >= 0 for took in look.stages_us.values())
    assert words == [Guidance.GOOD]


def test_a_hand_that_comes_to_rest_is_seen_within_70_ms() -> None:
    rests_at = 12

    def arriving(call: int) -> Hand:
        lit = [k for k in range(60) if k % 3 != 2][call]
        return hand(centre=(320 + 30.0 * max(0, rests_at - lit), 150))

    pipe, _ = pipeline(arriving)
    looks, _ = pushed(pipe, cycles(10))
    assert looks
    assert rests_at * PERIOD_S < looks[0].captured_s <= rests_at * PERIOD_S + 0.070


def test_a_moving_hand_is_asked_to_hold_still() -> None:
    def passing(call: int) -> Hand:
        return hand(centre=(150 + 10.0 * [k for k in range(60) if k % 3 != 2][call], 150))

    pipe, _ = pipeline(passing)
    looks, words = pushed(pipe, cycles(9))
    assert looks == []
    assert Guidance.HOLD_STILL in words


def test_frames_that_straddle_a_switch_are_never_used() -> None:
    pipe, finder = pipeline()
    frames = [frame(k, M if k % 2 else CYCLE[(k // 2) % 3], 250 if k % 2 else 100) for k in range(40)]
    pushed(pipe, frames)
    assert finder.levels
    assert max(finder.levels) <= 100


def test_a_gap_does_not_pair_lights_that_are_far_apart() -> None:
    pipe, _ = pipeline()
    gap = PAIR_S_MAX + 0.01
    frames = [frame(k, (P, C)[k % 2], 100, captured_s=k * gap) for k in range(12)]
    looks, _ = pushed(pipe, frames)
    assert looks == []


def test_dropped_frames_cost_looks_but_never_mislabel() -> None:
    rng = np.random.default_rng(3)
    kept = [one for one in cycles(40) if rng.random() < 0.6]
    looks, _ = pushed(pipeline()[0], kept)
    assert looks
    for look in looks:
        if look.surface is not None and look.veins is not None:
            assert (level_of(look.surface), level_of(look.veins)) == (120, 90)


def test_every_frame_serves_one_look_at_most() -> None:
    looks, _ = pushed(pipeline()[0], cycles(30))
    numbers = [look.frame_number for look in looks]
    assert len(numbers) == len(set(numbers))
    assert 25 <= len(numbers) <= 30


def test_a_hand_that_leaves_takes_its_half_look_with_it() -> None:
    # Seen in parallel light, gone, back in crossed light: that is no look.
    answers: list[Hand | NoHand] = [hand(), hand(), NoHand(Guidance.SHOW_HAND, 0.0), hand(), NoHand(Guidance.SHOW_HAND, 0.0)]
    pipe, _ = pipeline(lambda call: answers[call])
    looks, _ = pushed(pipe, [frame(k, light) for k, light in enumerate((P, P, C, C, P))])
    assert looks == []


def test_two_hands_are_told_so_although_one_is_tracked() -> None:
    def second_comes(call: int) -> Hand | NoHand:
        searched = finder.hints[call] is None
        return NoHand(Guidance.ONE_HAND, 0.9) if searched and call > 0 else hand()

    pipe, finder = pipeline(second_comes)
    _, words = pushed(pipe, cycles(40))
    assert Guidance.ONE_HAND in words
    searched = [call for call, hint in enumerate(finder.hints) if hint is None]
    assert searched[1] == SUPERVISED_EVERY_FRAMES


def test_the_other_hand_is_another_hand() -> None:
    sides = (Side.LEFT, Side.RIGHT)
    pipe, _ = pipeline(lambda call: hand(side=sides[call % 2]))
    looks, _ = pushed(pipe, cycles(10))
    assert looks == []


def test_daylight_is_taken_away_from_both_lights() -> None:
    looks, _ = pushed(pipeline()[0], cycles(6, levels=(120, 90, 40)))
    assert (level_of(looks[-1].surface), level_of(looks[-1].veins)) == (80, 50)


def test_too_much_sun_is_a_reason_of_its_own() -> None:
    looks, words = pushed(pipeline()[0], cycles(12, levels=(250, 240, 220)))
    assert looks == []
    assert Guidance.DAYLIGHT in words


def test_one_light_alone_is_told_once_the_other_has_not_come() -> None:
    count = int(2 * ALONE_AFTER_S / PERIOD_S)
    looks, _ = pushed(pipeline()[0], [frame(k, P, 100) for k in range(count)])
    assert looks
    assert looks[0].captured_s > ALONE_AFTER_S
    assert all(look.veins is None and level_of(look.surface) == 100 for look in looks)


def test_pictures_of_one_unknown_light_make_mixed_looks_however_far_apart() -> None:
    frames = [frame(k, S, 100, captured_s=3.0 * k) for k in range(5)]
    pipe, _ = pipeline(lambda call: hand(centre=(250 + 30.0 * call, 150)))
    looks, _ = pushed(pipe, frames)
    assert [look.frame_number for look in looks] == [0, 1, 2, 3, 4]
    assert all(look.surface is None and look.veins is None and level_of(look.mixed) == 100 for look in looks)


def test_poor_palms_are_not_sent_and_say_why() -> None:
    def poor(palm: object, *, clipped: float = 0.0, speed_spans_s: float = 0.0) -> Quality:
        return Quality(0.05, Guidance.FLATTER)

    looks, words = pushed(pipeline(measure=poor)[0], cycles(20))
    assert looks == []
    assert words == [Guidance.FLATTER]


def test_no_hand_is_no_look() -> None:
    looks, words = pushed(pipeline(nothing)[0], cycles(20))
    assert looks == []
    assert words == [Guidance.SHOW_HAND]


def test_reset_forgets_the_hand_and_the_half_look() -> None:
    pipe, finder = pipeline()
    pushed(pipe, [frame(0, P), frame(1, P)])
    pipe.reset()
    looks, _ = pushed(pipe, [frame(2, C)])
    assert looks == []
    assert finder.hints[-1] is None


def test_a_look_says_nothing_of_its_signature(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        looks, _ = pushed(pipeline()[0], cycles(4))
    said = repr(looks[0]) + str(looks[0]) + caplog.text
    assert looks[0].surface is not None
    for number in [*looks[0].surface, *(looks[0].veins if looks[0].veins is not None else [])]:
        assert f"{number:.4f}" not in said
    assert "array" not in said
    assert "surface" not in said


def test_what_was_seen_is_not_kept() -> None:
    """At most the palm that waits for its other light is kept; after reset nothing at all is."""
    pipe, _ = pipeline()
    looks, _ = pushed(pipe, cycles(4))
    assert looks
    assert len(pipe._waiting) <= 1
    assert "uint8" not in repr(pipe._waiting)
    pipe.reset()
    assert not pipe._waiting
    kept = [value for value in vars(pipe).values() if isinstance(value, np.ndarray | Frame | Hand)]
    assert kept == []
