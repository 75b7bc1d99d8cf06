"""What the lens sees behind the hand: mostly black, now and then a window, a lamp, clothes, a face, shelves. Nothing in it is real."""

from __future__ import annotations

from functools import lru_cache
from typing import cast

import cv2
import numpy as np
from numpy.typing import NDArray

from terminal.simulation.conditions import Conditions

ROOM_COUNTS = 90.0
"""Brightness of a light object in a bright room (`Conditions.room` 1), counts of 255."""


def _shapes(rng: np.random.Generator, height: int, width: int) -> NDArray[np.float32]:
    """A clutter of soft and hard things, 0..1."""
    canvas = np.zeros((height, width), np.float32)
    field = cv2.resize(rng.uniform(0, 0.5, (5, 7)).astype(np.float32), (width, height), interpolation=cv2.INTER_CUBIC)
    canvas += np.clip(field, 0, 1)
    for _ in range(int(rng.integers(2, 12))):
        centre = (int(rng.uniform(-0.1, 1.1) * width), int(rng.uniform(-0.1, 1.1) * height))
        size = (max(2, int(rng.uniform(0.02, 0.35) * width)), max(2, int(rng.uniform(0.02, 0.3) * width)))
        level, turn = float(rng.uniform(0.0, 1.0)), float(rng.uniform(0, 180))
        kind = rng.integers(4)
        if kind == 0:
            cv2.ellipse(canvas, centre, size, turn, 0, 360, level, -1, cv2.LINE_AA)
        elif kind == 1:
            box = cv2.boxPoints((centre, (2.0 * size[0], 1.3 * size[1]), turn))
            cv2.fillConvexPoly(canvas, box.astype(np.int32), level, cv2.LINE_AA)
        elif kind == 2:  # stripes: shelves, blinds, a striped shirt
            for k in range(int(rng.integers(3, 9))):
                offset = int(k * size[1] * 0.5)
                end = (centre[0] + 2 * size[0], centre[1] + offset + int(rng.normal(0, 3)))
                cv2.line(canvas, (centre[0], centre[1] + offset), end, level, max(1, size[1] // 8), cv2.LINE_AA)
        else:  # fingers-like bars are what a finder must not fall for
            for k in range(int(rng.integers(2, 5))):
                start = (centre[0] + int(k * size[0] * 0.4), centre[1])
                cv2.line(
                    canvas,
                    start,
                    (start[0] + int(rng.normal(0, 9)), start[1] - size[1] * 2),
                    level,
                    max(2, size[0] // 4),
                    cv2.LINE_AA,
                )
    return canvas


@lru_cache(maxsize=4)
def _picture(seed: int, size: tuple[int, int], clutter: float, window: float) -> NDArray[np.uint8]:
    """Counts of 255 at the ordinary exposure, uint8 [height, width]."""
    rng = np.random.default_rng([seed, 0x400])
    height, width = size
    canvas = _shapes(rng, height, width) * np.float32(clutter * ROOM_COUNTS)
    if window > 0:
        centre = (int(rng.uniform(0, 1) * width), int(rng.uniform(0, 1) * height))
        box = cv2.boxPoints((centre, (rng.uniform(0.1, 0.6) * width, rng.uniform(0.1, 0.5) * width), rng.uniform(-30, 30)))
        pane = np.zeros(size, np.float32)
        cv2.fillConvexPoly(pane, box.astype(np.int32), 1.0, cv2.LINE_AA)
        canvas = np.maximum(canvas, pane * np.float32(255 * window))
        canvas += cv2.resize(cv2.blur(cv2.resize(pane, (80, 50)), (25, 25)), (width, height)) * np.float32(30 * window)
    canvas = cv2.GaussianBlur(canvas, (0, 0), float(rng.uniform(0.8, 3.0)) * width / 640)
    made: NDArray[np.uint8] = cv2.convertScaleAbs(canvas)
    return made


def room(conditions: Conditions, size: tuple[int, int], lit: bool, amount: float) -> NDArray[np.float32] | None:
    """The background in counts, float32 [height, width]; None where it is black. The reader's own light adds a little."""
    if conditions.room < 0.004 and conditions.window <= 0:
        return None
    picture = _picture(conditions.seed, size, round(conditions.room, 3), round(conditions.window, 3))
    share = (1.0 if lit else 0.7) * amount
    return cast(NDArray[np.float32], cv2.multiply(picture, np.full(1, share, np.float32), dtype=cv2.CV_32F))
