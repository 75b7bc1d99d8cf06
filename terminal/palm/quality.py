"""How much a canonical palm can be trusted: a number that predicts whether it will be recognised, and what would help.

Cheap signs of trouble, each in 0..1: too dark or too bright, clipped, blurred or without lines, noise as strong as the lines, covered in
part. Their weights were fitted on simulated palms (`python -m models.palm_quality`): value is the chance, under the conditions that were
simulated, that a look like this is not among the tenth that resemble their owner's signature least. The card models/palm.md shows
errors versus rejects. Soft focus counts little because the encoder bears it: up to a blur of 4 pixels it knows its palms.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from terminal.palm.types import ROI_SIDE_PX, Guidance

QUALITY_CLIPPED_FROM = 252
QUALITY_BLACK_TO = 10
QUALITY_ADVICE_BELOW = 0.5
"""Below this value the shopper is told what would help."""

_BLOCKS = 16  # a side: parts of the palm are judged by blocks of 8 pixels
_NAMES = ("lines", "noise", "distinct", "bright", "clipped", "black", "oriented", "uneven", "sharp")
_WEIGHTS = (1.267, -0.896, 0.414, -0.519, -0.290, -0.772, 1.149, -0.321, 0.000)
_BIAS = 3.662


@dataclass(frozen=True, slots=True)
class Quality:
    """value: 0 (useless) .. 1 (as good as it gets); reason: what would help, None when nothing is wrong."""

    value: float
    reason: Guidance | None = None


def signs(palm: NDArray[np.uint8]) -> NDArray[np.float64]:
    """What `measure` judges by, float64 [9], all roughly -3..3. palm: uint8 [128, 128]. Raises ValueError for another shape."""
    if palm.shape != (ROI_SIDE_PX, ROI_SIDE_PX) or palm.dtype != np.uint8:
        raise ValueError(f"a canonical palm is uint8 [{ROI_SIDE_PX}, {ROI_SIDE_PX}], not {palm.dtype} {palm.shape}")
    clipped = float(np.count_nonzero(palm >= QUALITY_CLIPPED_FROM)) / palm.size
    black = float(np.count_nonzero(palm <= QUALITY_BLACK_TO)) / palm.size
    grey = palm.astype(np.float32)
    mean = float(grey.mean())
    unit = 1.0 / max(mean, 4.0)
    grain = grey - cv2.blur(grey, (3, 3))
    half = cv2.resize(grey, (ROI_SIDE_PX // 2, ROI_SIDE_PX // 2), interpolation=cv2.INTER_AREA)
    smooth = cv2.blur(half, (3, 3))
    band = smooth - cv2.blur(smooth, (9, 9))
    edges = half - smooth
    dx, dy = cv2.Sobel(half, cv2.CV_32F, 1, 0, ksize=3), cv2.Sobel(half, cv2.CV_32F, 0, 1, ksize=3)
    xx, yy, xy = (_by_block(product) for product in (dx * dx, dy * dy, dx * dy))
    oriented = np.sqrt((xx - yy) ** 2 + 4.0 * xy * xy) / (xx + yy + 1e-6)  # 1: one direction in the block, 0: all alike
    fine, crisp, lines = (np.sqrt(_by_block(part * part)) * unit for part in (grain, edges, band))
    distinct = lines / np.maximum(fine, 2e-4)
    return np.array(
        [
            min(0.5, math.log(float(np.median(lines)) / 0.01 + 0.02)),  # more than enough contrast is no better: it may be noise
            max(0.3, math.log(float(np.median(fine)) / 0.006 + 0.02)),  # less than ordinary noise is no better: it may be blur
            min(0.7, math.log(float(np.median(distinct)) + 0.01)),
            abs(math.log(max(mean, 1.0) / 120.0)),
            min(1.0, 6.0 * clipped),
            min(1.0, 6.0 * black),
            min(1.0, 4.0 * float(np.median(oriented)) - 2.0),
            min(2.0, 4.0 * float(_by_block(half).std()) * unit),
            min(0.0, math.log(float(np.median(crisp / np.maximum(lines, 1e-4))) / 0.4 + 0.02)) * 4.0,  # below 0: out of focus
        ]
    )


def _by_block(picture: NDArray[np.float32]) -> NDArray[np.float32]:
    """Means over blocks, float32 [16, 16]."""
    return np.asarray(cv2.resize(picture, (_BLOCKS, _BLOCKS), interpolation=cv2.INTER_AREA), np.float32)


def measure(palm: NDArray[np.uint8], *, clipped: float = 0.0, speed_spans_s: float = 0.0) -> Quality:
    """Quality of one canonical palm, uint8 [128, 128], in about 0.2 ms.

    clipped: share of the palm (0..1) that was clipped before the dark frame was taken away, where the caller knows it;
    speed_spans_s: how fast the hand moves, in valley spans a second. Raises ValueError for another shape.
    """
    found = signs(palm)
    score = _BIAS + float(np.dot(found, _WEIGHTS))
    value = 1.0 / (1.0 + math.exp(-max(-30.0, min(30.0, score))))
    value *= min(1.0, math.exp(found[0]) * 5.0)  # below 0.2 % of contrast there is nothing to know a palm by
    value *= max(0.0, 1.0 - 1.5 * max(0.0, clipped - 0.02))
    value *= 1.0 / (1.0 + (speed_spans_s / 12.0) ** 2)
    return Quality(value, None if value >= QUALITY_ADVICE_BELOW else _advice(palm, found, clipped, speed_spans_s))


def _advice(palm: NDArray[np.uint8], found: NDArray[np.float64], clipped: float, speed_spans_s: float) -> Guidance:
    """What would help most."""
    named = dict(zip(_NAMES, found, strict=True))
    if clipped > 0.1:
        return Guidance.DAYLIGHT
    if named["clipped"] > 0.3:
        return Guidance.HIGHER
    if named["black"] > 0.3:
        return Guidance.CENTRE
    if float(palm.mean()) < 30.0:
        return Guidance.LOWER
    return Guidance.HOLD_STILL if speed_spans_s > 3.0 or named["sharp"] < -0.8 else Guidance.FLATTER
