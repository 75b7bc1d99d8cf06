"""Lines on skin: smooth curves, wandering paths, and a canvas that draws them with a depth and a width."""

from __future__ import annotations

import itertools

import cv2
import numpy as np
from numpy.typing import NDArray

_STEP_SPANS = 0.03
_SHIFT_BITS = 4  # cv2 draws with 1/16 of a pixel
_LEVELS = 12  # a stroke's depth is drawn in pieces of constant depth, this many at most
_WIDTHS_SPANS = (0.008, 0.014, 0.024, 0.042, 0.075)
_FULL = 250.0  # grey level that stands for a depth of _DEPTH_MAX
_DEPTH_MAX = 0.5


def curve(knots: NDArray[np.float32]) -> NDArray[np.float32]:
    """A Catmull-Rom curve through float32 [K, 2] knots, as float32 [N, 2] with a point each 0.03 spans or so. K is 2 or more."""
    ends = np.vstack([2 * knots[:1] - knots[1:2], knots, 2 * knots[-1:] - knots[-2:-1]]).astype(np.float32)
    pieces = []
    for i in range(1, len(ends) - 2):
        p0, p1, p2, p3 = ends[i - 1 : i + 3]
        n = max(3, int(np.hypot(*(p2 - p1)) / _STEP_SPANS))
        t = np.arange(n, dtype=np.float32)[:, None] / np.float32(n)
        pieces.append(0.5 * (2 * p1 + (p2 - p0) * t + (2 * p0 - 5 * p1 + 4 * p2 - p3) * t**2 + (3 * p1 - p0 - 3 * p2 + p3) * t**3))
    pieces.append(ends[-2:-1])
    return np.concatenate(pieces).astype(np.float32)


def wander(rng: np.random.Generator, start: NDArray[np.float32], heading: float, length: float, turn: float) -> NDArray[np.float32]:
    """A path of `length` spans from `start` that keeps its heading (radians) but for a smooth turn; float32 [N, 2], N is 4 or more."""
    n = max(4, int(length / _STEP_SPANS))
    knots = rng.normal(0.0, turn, max(2, int(length / 0.18) + 1))
    angles = heading + np.interp(np.linspace(0, len(knots) - 1, n), np.arange(len(knots)), np.cumsum(knots) - knots[0])
    steps = np.stack([np.cos(angles), np.sin(angles)], 1) * (length / n)
    return (np.asarray(start, np.float32) + np.cumsum(steps, 0)).astype(np.float32)


def smooth_noise(rng: np.random.Generator, n: int, cells: int) -> NDArray[np.float64]:
    """Float64 [n]: straight lines between `cells` + 1 normal deviates."""
    knots = rng.standard_normal(cells + 1)
    noise: NDArray[np.float64] = np.interp(np.linspace(0, cells, n), np.arange(cells + 1), knots)
    return noise


class Canvas:
    """A square of the hand plane on which strokes add up to a depth map.

    Strokes are kept on one 8-bit sheet for each class of width, dark and bright apart, so that one blur a sheet makes their edges soft:
    hundreds of strokes cost milliseconds. Where strokes of one sheet cross, the deeper one is seen; sheets add.
    """

    def __init__(self, side_px: int, extent_spans: float, left_spans: float, top_spans: float) -> None:
        self._scale = side_px / extent_spans
        self._origin = np.array([left_spans, top_spans], np.float32)
        self._side = side_px
        self._sheets: dict[tuple[int, bool], NDArray[np.uint8]] = {}

    def stroke(self, path: NDArray[np.float32], depth: NDArray[np.float64], width: float) -> None:
        """Draw float32 [N, 2] points (spans) with a depth at each (fraction of the skin's brightness; negative is brighter)."""
        if len(path) < 2:
            return
        level = int(np.argmin(np.abs(np.log(np.array(_WIDTHS_SPANS) / width))))
        sheet_width = _WIDTHS_SPANS[level]
        bright = float(depth.mean()) < 0
        sheet = self._sheets.setdefault((level, bright), np.zeros((self._side, self._side), np.uint8))
        scaled = np.rint((path - self._origin) * self._scale * (1 << _SHIFT_BITS)).astype(np.int32)
        thick = max(1, round(0.8 * width * self._scale))
        gain = min(1.0, 0.8 * width * self._scale) * min(1.5, width / sheet_width)
        pieces = min(_LEVELS, max(1, (len(path) - 1) // 3))
        cuts = np.linspace(0, len(path) - 1, pieces + 1).astype(int)
        strength = np.abs(depth)
        for first, last in itertools.pairwise(cuts):
            grey = float(strength[first : last + 1].mean()) * gain * (_FULL / _DEPTH_MAX)
            if grey >= 1.0:
                part = scaled[first : last + 1].reshape(-1, 1, 2)
                cv2.polylines(sheet, [part], False, min(255.0, grey), thick, cv2.LINE_AA, _SHIFT_BITS)

    def depth(self) -> NDArray[np.float32]:
        """Float32 [S, S]: how much darker the skin is (0.1 = 10 %), strokes of all widths together."""
        total = np.zeros((self._side, self._side), np.float32)
        for (level, bright), sheet in sorted(self._sheets.items()):
            sigma = 0.45 * _WIDTHS_SPANS[level] * self._scale
            soft = cv2.GaussianBlur(sheet.astype(np.float32), (0, 0), max(0.35, sigma))
            total += soft * np.float32((-1 if bright else 1) * 1.3 * _DEPTH_MAX / _FULL)
        return total
