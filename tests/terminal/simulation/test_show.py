from __future__ import annotations

import pytest

from terminal.palm.types import Side
from terminal.simulation.conditions import Conditions, Subject
from terminal.simulation.show import Stage

SIZE = (100, 160)


class Clock:
    def __init__(self) -> None:
        self.now_s = 50.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def stage(clock: Clock) -> Stage:
    return Stage(1, SIZE, clock)


def test_nothing_is_shown_until_somebody_is(stage: Stage) -> None:
    assert stage.actors(50.0) == []
    assert stage.resting_since_s is None
    assert stage.status() == {"showing": [], "subject": "nothing", "resting_since_s": None}
    assert stage.conditions() == stage.room


def test_a_hand_rests_from_a_moment_that_stays(stage: Stage, clock: Clock) -> None:
    stage.show("ada", seed=3)
    assert not stage.status()["resting_since_s"]
    clock.now_s += 5
    since = stage.resting_since_s
    assert since is not None
    assert 50 < since < 55
    clock.now_s += 5
    assert stage.resting_since_s == since
    assert stage.status()["showing"] == [{"person": "ada", "seed": 101, "side": "right"}]


def test_the_same_seed_makes_the_same_presentation_and_none_a_new_one(stage: Stage, clock: Clock) -> None:
    def pose(seed: int | None) -> object:
        stage.show("ben", Side.LEFT, seed)
        return stage.actors(clock.now_s + 2)[0].pose

    assert pose(3) == pose(3)
    assert pose(None) != pose(None)


def test_show_nothing_lets_the_hand_leave(stage: Stage, clock: Clock) -> None:
    stage.show_person("chloe")
    clock.now_s += 5
    stage.show_nothing()
    assert stage.resting_since_s is None
    assert len(stage.actors(clock.now_s + 0.1)) == 1
    assert stage.actors(clock.now_s + 3) == []


def test_a_hand_may_be_told_to_leave_half_way(stage: Stage, clock: Clock) -> None:
    stage.show("ada", seed=1, leaves_after_s=0.2)
    clock.now_s += 1
    assert stage.resting_since_s is None
    assert stage.actors(clock.now_s + 3) == []


def test_two_hands_are_two_people_and_nobody_rests(stage: Stage, clock: Clock) -> None:
    stage.show_two_hands()
    clock.now_s += 5
    actors = stage.actors(clock.now_s)
    assert len({actor.person.seed for actor in actors}) == 2
    assert actors[0].pose.position_mm[2] >= actors[1].pose.position_mm[2]
    assert stage.resting_since_s is None


def test_conditions_are_those_asked_for_in_this_room(stage: Stage) -> None:
    stage.show("ada", seed=1, conditions=Conditions(subject=Subject.BACK, wet=0.5))
    assert stage.conditions().wet == 0.5
    assert stage.conditions().seed == stage.room.seed, "the room does not change with the hand"
    assert stage.status()["subject"] == "back"
    stage.show("ada", seed=2)
    ordinary = stage.conditions()
    assert (ordinary.wet, ordinary.sun, ordinary.exposure, ordinary.ambient) == (0, 0, 1, stage.room.ambient)


def test_a_subject_of_nothing_shows_nothing(stage: Stage) -> None:
    stage.show("ada", seed=1, conditions=Conditions(subject=Subject.NOTHING))
    assert stage.actors(51.0) == []


def test_nobody_known_leaves_the_stage_as_it_was(stage: Stage) -> None:
    stage.show("ada", seed=1)
    with pytest.raises(ValueError, match="dora"):
        stage.show("dora")
    assert stage.status()["showing"]
