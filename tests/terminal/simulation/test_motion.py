from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from terminal.simulation.motion import MOVE_LIMIT_S, WRONG_DISTANCE_SHARE, Motion, resting_pose
from terminal.simulation.optics import FOCAL_WIDTHS
from terminal.simulation.scene import Pose

BEGINS_S = 100.0


def presented(seed: int, **words: bool) -> tuple[Pose, Motion]:
    rng = np.random.default_rng(seed)
    pose = resting_pose(rng)
    return pose, Motion(pose, BEGINS_S, rng, **words)


def away_mm(motion: Motion, pose: Pose, when_s: float) -> float:
    return float(np.abs(np.subtract(motion.pose(when_s).position_mm, pose.position_mm)).max())


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**30))
def test_a_hand_comes_in_and_stays_where_it_came_to_rest(seed: int) -> None:
    pose, motion = presented(seed)
    assert BEGINS_S < motion.rests_s < BEGINS_S + 2 * MOVE_LIMIT_S + 1
    assert not motion.resting(motion.rests_s - 0.01)
    for after_s in np.linspace(0, 3, 60):
        when = motion.rests_s + after_s
        assert motion.resting(when)
        assert away_mm(motion, pose, when) < 1 + 1.1
        assert abs(motion.pose(when).roll_deg - pose.roll_deg) < 1.6
        assert np.hypot(*motion.pose(when).velocity_mm_s[:2]) < 90


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**30))
def test_it_starts_outside_of_the_view(seed: int) -> None:
    _, motion = presented(seed)
    x, y, z = motion.pose(BEGINS_S).position_mm
    sees_mm = z / FOCAL_WIDTHS / 2
    assert abs(x) > 0.9 * sees_mm or abs(y) > 0.6 * sees_mm


def test_it_overshoots_and_settles_in_the_time_that_people_take() -> None:
    settle = []
    overshoots = 0
    for seed in range(60):
        pose, motion = presented(seed, corrects=False)
        times = np.arange(BEGINS_S, motion.rests_s + 0.2, 0.01)
        path = np.array([np.subtract(motion.pose(t).position_mm, pose.position_mm)[:2] for t in times])
        start = path[0] / np.linalg.norm(path[0])
        along = path @ start
        arrives = int(np.argmax(along < 0.05 * along[0]))
        settle.append(motion.rests_s - times[arrives])
        overshoots += bool(along.min() < -1.2)
    assert np.percentile(settle, 5) > 0.05
    assert 0.15 < np.median(settle) < 0.4
    assert np.percentile(settle, 95) < 0.5
    assert overshoots > 30


def test_the_tremor_is_that_of_a_held_hand() -> None:
    swings = []
    for seed in range(20):
        _, motion = presented(seed)
        times = motion.rests_s + 1 + np.arange(0, 2, 1 / 120)
        track = np.array([motion.pose(t).position_mm for t in times])
        track -= track.mean(0)
        swings.append(np.abs(track).max())
        power = np.abs(np.fft.rfft(track[:, 0])) ** 2
        strongest = float(np.fft.rfftfreq(len(times), 1 / 120)[int(power[2:].argmax()) + 2])
        assert 3 <= strongest <= 11
    assert 0.3 < np.median(swings) < 1.1


def test_one_in_five_comes_too_close_or_too_far_first() -> None:
    wrong = 0
    for seed in range(300):
        pose, motion = presented(seed)
        middle = [motion.pose(t).position_mm[2] for t in np.arange(BEGINS_S, motion.rests_s, 0.08)]
        wrong += any(z < 66 or z > 166 for z in middle[3:]) and 70 < pose.position_mm[2] < 150
    assert WRONG_DISTANCE_SHARE * 0.6 < wrong / 300 < WRONG_DISTANCE_SHARE * 1.4


@pytest.mark.parametrize("corrects", [True, False])
def test_a_correction_is_over_before_it_counts_as_rest(corrects: bool) -> None:
    pose, motion = presented(4, corrects=corrects)
    assert away_mm(motion, pose, motion.rests_s) < 2.1
    assert (motion.rests_s - BEGINS_S > 0.7) is corrects


def test_leaving_ends_the_rest_and_the_hand_is_gone_soon() -> None:
    pose, motion = presented(5)
    later = motion.rests_s + 1
    motion.leave(later)
    assert motion.resting(later - 0.1)
    assert not motion.resting(later)
    assert away_mm(motion, pose, later + 0.25) > 20
    assert not motion.gone(later + 0.1)
    assert motion.gone(later + MOVE_LIMIT_S)


def test_a_hand_may_leave_before_it_ever_rested_and_the_earlier_order_counts() -> None:
    _, motion = presented(6)
    motion.leave(BEGINS_S + 0.2)
    motion.leave(BEGINS_S + 5)
    assert not any(motion.resting(BEGINS_S + t) for t in np.arange(0, 6, 0.05))
    assert motion.gone(BEGINS_S + 0.2 + MOVE_LIMIT_S)


def test_a_hand_that_is_simply_there_rests_at_once() -> None:
    pose, motion = presented(7, comes_in=False)
    assert motion.resting(BEGINS_S)
    assert away_mm(motion, pose, BEGINS_S) < 1.1
