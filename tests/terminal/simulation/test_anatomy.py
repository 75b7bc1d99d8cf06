from __future__ import annotations

import numpy as np
import pytest

from terminal.palm.types import Side
from terminal.simulation.anatomy import Posture, figure
from terminal.simulation.conditions import Conditions, Subject
from terminal.simulation.drawing import UNIT
from terminal.simulation.person import Person
from terminal.simulation.texture import PREPARED_MAX, Prepared, _prepared, prepare, sheet_for

OPEN = Posture(spread=0.5)


def covered(hand: Prepared, x: float, y: float) -> float:
    """Coverage 0..1 at a point of the plane."""
    column, row = np.round(hand.sheet.pixel(np.array([x, y]))).astype(int)
    return float(hand.alpha[row, column]) / 255


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("spread", [0.3, 0.9])
def test_the_valleys_are_where_the_web_ends(seed: int, spread: float) -> None:
    """Just below each valley there is skin, just above it (between the two fingers) there is none."""
    posture = Posture(spread=spread)
    hand = prepare(Person.from_seed(seed), Side.RIGHT, posture, Conditions(), 80)
    shape = hand.figure
    assert np.allclose(shape.valleys[0], (0.5, 0))
    assert np.allclose(shape.valleys[2], (-0.5, 0))
    for k, (x, y) in enumerate(shape.valleys):
        between = np.deg2rad((shape.fingers[k].angle_deg + shape.fingers[k + 1].angle_deg) / 2)
        up, right = np.array([np.sin(between), -np.cos(between)]), np.array([np.cos(between), np.sin(between)])

        def gap(height: float, at: tuple[float, float] = (x, y), up: np.ndarray = up, right: np.ndarray = right) -> float:
            return min(covered(hand, *(np.array(at) + height * up + aside * right)) for aside in np.linspace(-0.05, 0.05, 9))

        assert gap(-0.05) > 0.9
        assert gap(0.12) < 0.3
        assert gap(0.4) < 0.1


def test_fingers_lie_in_their_order_and_the_thumb_on_its_side() -> None:
    shape = figure(Person.from_seed(1), OPEN)
    assert [limb.base[0] for limb in shape.fingers] == sorted((limb.base[0] for limb in shape.fingers), reverse=True)
    assert shape.thumb.base[0] > 0.4
    assert shape.wrist[1] > 1.4


def test_fingers_together_leave_no_gap_and_do_not_move_the_valleys() -> None:
    hand = prepare(Person.from_seed(2), Side.RIGHT, Posture(spread=0.0, thumb_deg=25), Conditions(), 80)
    for x, y in hand.figure.valleys:
        column, row = np.round(hand.sheet.pixel(np.array([x, y - 0.45]))).astype(int)
        assert (hand.alpha[row, column - 4 : column + 5] > 128).sum() >= 5


def test_spreading_takes_the_valleys_apart() -> None:
    person = Person.from_seed(3)
    assert figure(person, Posture(spread=1.0)).span_mm > figure(person, Posture(spread=0.1)).span_mm


@pytest.mark.parametrize("seed", range(40))
def test_every_posture_makes_a_whole_hand(seed: int) -> None:
    rng = np.random.default_rng(seed)
    conditions = Conditions.draw(rng, hard=3.0)
    hand = prepare(Person.from_seed(seed), Side.LEFT, Posture.draw(rng), conditions, 40)
    assert 0.06 < (hand.alpha > 128).mean() < 0.6
    for picture in (hand.parallel, hand.crossed):
        lit = picture[hand.alpha > 250]
        assert 4000 < np.median(lit) < 40_000
        assert picture[hand.alpha == 0].max() < 0.01 * UNIT


def test_sleeves_hide_the_arm_and_plasters_the_skin() -> None:
    person = Person.from_seed(5)
    bare = prepare(person, Side.RIGHT, OPEN, Conditions(), 40)
    dark = prepare(person, Side.RIGHT, OPEN, Conditions(sleeve="dark"), 40)
    column, row = np.round(bare.sheet.pixel(np.array([0.0, 3.2]))).astype(int)
    assert int(dark.parallel[row, column]) < 0.6 * int(bare.parallel[row, column])


def test_left_hands_and_backs_are_mirrored_once_each() -> None:
    person = Person.from_seed(6)
    hands = {(s, b): prepare(person, s, OPEN, Conditions(subject=b), 40) for s in Side for b in (Subject.PALM, Subject.BACK)}
    assert {key: hand.mirrored for key, hand in hands.items()} == {
        (Side.RIGHT, Subject.PALM): False,
        (Side.LEFT, Subject.PALM): True,
        (Side.RIGHT, Subject.BACK): True,
        (Side.LEFT, Subject.BACK): False,
    }
    assert all(hand.palm_up is (subject is Subject.PALM) for (_, subject), hand in hands.items())


def test_the_cache_is_bounded_and_gives_the_same_hand_again() -> None:
    person = Person.from_seed(7)
    first = prepare(person, Side.RIGHT, OPEN, Conditions(), 40)
    assert prepare(person, Side.RIGHT, OPEN, Conditions(), 40) is first
    for seed in range(PREPARED_MAX + 2):
        prepare(person, Side.RIGHT, OPEN, Conditions(seed=seed + 100), 40)
    again = prepare(person, Side.RIGHT, OPEN, Conditions(), 40)
    assert again is not first
    assert (again.parallel == first.parallel).all()
    assert len(_prepared) <= PREPARED_MAX


def test_small_frames_are_drawn_small() -> None:
    assert sheet_for(160).px < sheet_for(320).px < sheet_for(640).px == sheet_for(1456).px
