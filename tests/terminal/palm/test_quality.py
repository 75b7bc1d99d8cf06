"""Quality falls where looks fail, and the advice fits."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from models.palm_generator import Palm, Regime, Studio
from models.palm_people import crowd
from models.palm_weather import CALM
from terminal.palm.quality import QUALITY_ADVICE_BELOW, measure, signs
from terminal.palm.types import Guidance


@pytest.fixture(scope="module")
def looks() -> list[NDArray[np.uint8]]:
    people = crowd(6_000_000, 4)
    studio = Studio(people, [Palm(i, i, Regime.MIXED) for i in range(4)], 2, CALM, 0.3)
    return [studio.view(v, i) for i in range(4) for v in range(4)]


def mean(pictures: list[NDArray[np.uint8]]) -> float:
    return float(np.mean([measure(picture).value for picture in pictures]))


def test_ordinary_looks_are_fair(looks: list[NDArray[np.uint8]]) -> None:
    assert mean(looks) > 0.5
    assert all(0.0 <= measure(look).value <= 1.0 for look in looks)


def test_darkness_noise_and_clipping_cost(looks: list[NDArray[np.uint8]]) -> None:
    plain = mean(looks)
    rng = np.random.default_rng(0)
    assert mean([(look // 16).astype(np.uint8) for look in looks]) < plain - 0.1
    assert mean([np.clip(look * 3.0, 0, 255).astype(np.uint8) for look in looks]) < plain - 0.05
    noisy = [np.clip(look + rng.normal(0, 25, look.shape), 0, 255).astype(np.uint8) for look in looks]
    assert mean(noisy) < plain - 0.1


def test_nothing_at_all_is_worthless() -> None:
    for level in (0, 255):
        assert measure(np.full((128, 128), level, np.uint8)).value < 0.3


def test_what_the_caller_knows_counts(looks: list[NDArray[np.uint8]]) -> None:
    look = looks[0]
    assert measure(look, clipped=0.4).value < measure(look).value
    assert measure(look, speed_spans_s=12.0).value < measure(look).value


def test_advice_only_where_something_is_wrong(looks: list[NDArray[np.uint8]]) -> None:
    for look in looks:
        quality = measure(look)
        assert (quality.reason is None) == (quality.value >= QUALITY_ADVICE_BELOW)
    assert measure(looks[0], clipped=0.9).reason is Guidance.DAYLIGHT
    assert measure(np.full((128, 128), 255, np.uint8)).reason is Guidance.HIGHER
    assert measure(np.full((128, 128), 3, np.uint8)).reason is not None


@pytest.mark.parametrize("shape", [(64, 64), (128, 128, 1)])
def test_other_shapes_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="canonical palm"):
        signs(np.zeros(shape, np.uint8))


def test_the_signs_are_finite_for_any_picture() -> None:
    rng = np.random.default_rng(3)
    pictures = [
        np.zeros((128, 128), np.uint8),
        np.full((128, 128), 255, np.uint8),
        rng.integers(0, 256, (128, 128), dtype=np.uint8),
    ]
    assert all(np.isfinite(signs(picture)).all() for picture in pictures)
