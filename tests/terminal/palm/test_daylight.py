from __future__ import annotations

import numpy as np
import pytest

from terminal.palm.daylight import exposure_ratio, hand_at, searchable, without_daylight
from terminal.reader.frame import Frame, Light
from tests.terminal.palm.hands import frame, hand

FLAT = (128, 128)


def test_daylight_is_taken_away_and_its_share_is_known() -> None:
    lit = without_daylight(np.full(FLAT, 150, np.uint8), np.full(FLAT, 60, np.uint8))
    assert lit.palm.min() == lit.palm.max() == 90
    assert lit.ambient == pytest.approx(0.4)
    assert lit.clipped == 0
    assert not lit.too_bright


def test_a_pattern_in_the_reader_s_light_survives() -> None:
    rng = np.random.default_rng(2)
    texture = rng.integers(40, 90, FLAT).astype(np.uint8)
    lit = without_daylight(texture + 70, np.full(FLAT, 70, np.uint8))
    np.testing.assert_array_equal(lit.palm, texture)


def test_faint_daylight_is_left_alone() -> None:
    palm = np.full(FLAT, 90, np.uint8)
    assert without_daylight(palm, np.full(FLAT, 1, np.uint8)).palm is palm
    assert without_daylight(palm, None).palm is palm


def test_clipped_skin_and_a_palm_that_is_mostly_sun_are_too_bright() -> None:
    palm = np.full(FLAT, 120, np.uint8)
    palm[:40] = 255
    assert without_daylight(palm, None).too_bright
    assert without_daylight(np.full(FLAT, 120, np.uint8), np.full(FLAT, 110, np.uint8)).too_bright


def test_a_longer_exposure_gathered_more_daylight() -> None:
    lit, dark = (Frame(1, np.zeros((80, 80), np.uint8), Light.PARALLEL, 0.0, us, gain) for us, gain in ((4000, 2.0), (2000, 1.0)))
    assert exposure_ratio(lit, dark) == pytest.approx(4.0)
    assert without_daylight(np.full(FLAT, 150, np.uint8), np.full(FLAT, 20, np.uint8), 4.0).palm.max() == 70


def test_a_hand_is_searched_without_the_window_behind_it() -> None:
    lit, dark = frame(1, Light.PARALLEL, 200), frame(2, Light.DARK, 120)
    assert searchable(lit, dark).max() == 80
    assert searchable(lit, frame(2, Light.DARK, 2)) is lit.pixels
    assert searchable(lit, None) is lit.pixels


def test_where_the_hand_was_in_the_dark_is_inferred() -> None:
    first, second = hand(centre=(300, 150)), hand(centre=(306, 150))
    between = hand_at(0.5, (0.0, first), (1.0, second))
    assert between.valleys[:, 0].mean() == pytest.approx((first.valleys[:, 0].mean() + second.valleys[:, 0].mean()) / 2)
    after = hand_at(1.5, (0.0, first), (1.0, second))
    assert after.valleys[0, 0] == pytest.approx(second.valleys[0, 0] + 3)
    assert hand_at(99.0, (0.0, first), (1.0, second)).valleys[0, 0] == pytest.approx(second.valleys[0, 0] + 6)
    assert hand_at(0.5, None, (1.0, second)) is second
