"""The canonical palm of simulated hands against aggregate statistics of public near-infrared palms: contrast by scale."""

from __future__ import annotations

from functools import lru_cache

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from terminal.palm.types import ROI_GAP_SPANS, ROI_SIDE_PX, ROI_SIDE_SPANS, Side
from terminal.reader.frame import Light
from terminal.simulation.conditions import Conditions
from terminal.simulation.motion import resting_pose
from terminal.simulation.person import Person
from terminal.simulation.scene import Rendered, render

PEOPLE = 7
SIGMAS_PX = (0, 1, 2, 4, 8, 16)
# Medians of contactless near-infrared sets, % of the mean, and how far a simulation may be from them either way.
PUBLIC = {(0, 1): (0.55, 0.82), (1, 2): (0.50, 0.62), (2, 4): (0.93, 1.11), (4, 8): (1.5, 1.9), (8, 16): (2.3, 3.3)}
SLACK = 1.35


def canonical(frame: Rendered) -> NDArray[np.float64]:
    """The square below the valleys as float64 [128, 128], fingers up, as a right hand, by the truth's points."""
    a, b = frame.truth.valleys[0].astype(np.float64), frame.truth.valleys[2].astype(np.float64)
    across = a - b
    span = float(np.hypot(*across))
    across /= span
    down = np.array([-across[1], across[0]]) * (1 if frame.truth.side is Side.RIGHT else -1)
    side = ROI_SIDE_SPANS * span
    corner = (a + b) / 2 + down * ROI_GAP_SPANS * span - across * side / 2
    source = np.array([corner, corner + across * side, corner + down * side], np.float32)
    target = np.array([(-0.5, -0.5), (ROI_SIDE_PX - 0.5, -0.5), (-0.5, ROI_SIDE_PX - 0.5)], np.float32)
    smooth = cv2.GaussianBlur(frame.pixels, (0, 0), max(0.3, 0.35 * side / ROI_SIDE_PX))
    warped = cv2.warpAffine(smooth, cv2.getAffineTransform(source, target), (ROI_SIDE_PX, ROI_SIDE_PX), flags=cv2.INTER_LINEAR)
    return np.asarray(warped, np.float64)


@lru_cache(maxsize=2)
def palms(light: Light) -> tuple[NDArray[np.float64], ...]:
    rng = np.random.default_rng(5)
    made = []
    for seed in range(PEOPLE):
        pose, conditions = resting_pose(rng), Conditions(seed=seed, room=0.0)
        frame = render(Person.from_seed(seed), list(Side)[seed % 2], pose, light, conditions, rng)
        if all(frame.truth.visible[:3]):
            made.append(canonical(frame))
    assert len(made) >= PEOPLE - 3
    return tuple(made)


def contrast(palm: NDArray[np.float64], low: float, high: float) -> float:
    relative = palm / palm.mean()
    fine = relative if low == 0 else cv2.GaussianBlur(relative, (0, 0), low)
    return float((fine - cv2.GaussianBlur(relative, (0, 0), high))[8:-8, 8:-8].std() * 100)


@pytest.mark.parametrize("light", [Light.PARALLEL, Light.CROSSED])
@pytest.mark.parametrize("band", PUBLIC, ids=str)
def test_contrast_at_each_scale_is_that_of_public_palms(band: tuple[int, int], light: Light) -> None:
    seen = float(np.median([contrast(palm, *band) for palm in palms(light)]))
    low, high = PUBLIC[band]
    assert low / SLACK <= seen <= high * SLACK


@pytest.mark.parametrize("light", [Light.PARALLEL, Light.CROSSED])
def test_brightness_and_its_range_are_those_of_public_palms(light: Light) -> None:
    means = [float(palm.mean()) for palm in palms(light)]
    assert 60 <= np.median(means) <= 200
    whole = float(np.median([(palm / palm.mean())[8:-8, 8:-8].std() for palm in palms(light)]))
    assert 0.08 <= whole <= 0.22


def test_lines_are_darker_than_the_skin() -> None:
    skews = []
    for palm in palms(Light.PARALLEL):
        relative = palm / palm.mean()
        band = (cv2.GaussianBlur(relative, (0, 0), 1) - cv2.GaussianBlur(relative, (0, 0), 4))[8:-8, 8:-8]
        skews.append(float(((band - band.mean()) ** 3).mean() / band.std() ** 3))
    assert np.median(skews) < -0.1
