"""Lit minus dark: what the reader's own light shows, without the sun's.

The hand moves between a lit and the dark frame, so the two are not subtracted where they were taken: each is brought into the canonical
palm by the hand's own place at its own time, and subtracted there. No hand can be found in a dark frame; its place is inferred from the
frames around it.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from terminal.palm.types import Hand
from terminal.reader.frame import Frame

CLIPPED_FROM = 250
"""Counts of 255 from which a pixel says no more than "bright"."""

CLIPPED_MAX = 0.12
AMBIENT_MAX = 0.75
"""Shares of clipped skin, and of daylight in what is seen, beyond which there is too much sun for a probe."""

FAINT_COUNTS = 1.5
"""Daylight below this is left alone: to subtract it would add the dark frame's noise and take nothing away."""

SMOOTH_PX = 1.5
"""The dark palm is smoothed: daylight on skin is smooth, and lines that it shows twice at slightly different places would be doubled."""

ROOM_COUNTS = 6.0
"""Mean of a dark frame from which it is worth subtracting from the whole picture before a hand is searched."""

_COARSE_STEP = 8


@dataclass(frozen=True, slots=True)
class Lit:
    """A canonical palm without daylight, uint8 [128, 128]; the share of daylight that was in it, and of skin that was clipped."""

    palm: NDArray[np.uint8] = field(repr=False)
    ambient: float
    clipped: float

    @property
    def too_bright(self) -> bool:
        """Is there too much sun for a probe?"""
        return self.ambient > AMBIENT_MAX or self.clipped > CLIPPED_MAX


def exposure_ratio(lit: Frame, dark: Frame) -> float:
    """How many times as much daylight the lit frame gathered as the dark one: of exposure times and gains."""
    gathered = max(1, dark.exposure_us) * max(1e-3, dark.gain)
    return lit.exposure_us * lit.gain / gathered


def without_daylight(lit: NDArray[np.uint8], dark: NDArray[np.uint8] | None, ratio: float = 1.0) -> Lit:
    """Take the dark palm from the lit one, both uint8 [128, 128] of the same skin; `ratio` as of exposure_ratio.

    Without a dark palm nothing is taken, and daylight is not known.
    """
    clipped = float(np.count_nonzero(lit >= CLIPPED_FROM)) / lit.size
    if dark is None:
        return Lit(lit, 0.0, clipped)
    day = float(dark.mean()) * ratio
    ambient = min(1.0, day / max(1.0, float(lit.mean())))
    if day < FAINT_COUNTS:
        return Lit(lit, ambient, clipped)
    smooth = cv2.GaussianBlur(dark, (0, 0), SMOOTH_PX)
    if abs(ratio - 1.0) > 0.02:
        smooth = cv2.convertScaleAbs(smooth, alpha=ratio)
    return Lit(cv2.subtract(lit, smooth), ambient, clipped)


def searchable(lit: Frame, dark: Frame | None) -> NDArray[np.uint8]:
    """The picture in which a hand is searched: without the bright window behind it, where a dark frame shows one."""
    if dark is None or dark.pixels.shape != lit.pixels.shape:
        return lit.pixels
    if float(dark.pixels[::_COARSE_STEP, ::_COARSE_STEP].mean()) < ROOM_COUNTS or abs(exposure_ratio(lit, dark) - 1.0) > 0.02:
        return lit.pixels
    return np.asarray(cv2.subtract(lit.pixels, dark.pixels), np.uint8)


def hand_at(when_s: float, before: tuple[float, Hand] | None, after: tuple[float, Hand]) -> Hand:
    """Where a hand was at `when_s`, from where it was found at two times (seconds); at most one interval beyond them."""
    if before is None or after[0] - before[0] < 1e-4:
        return after[1]
    share = float(np.clip((when_s - before[0]) / (after[0] - before[0]), -1.0, 2.0))

    def between(a: NDArray[np.float32], b: NDArray[np.float32]) -> NDArray[np.float32]:
        return (a + (b - a) * np.float32(share)).astype(np.float32)

    first, second = before[1], after[1]
    return replace(second, valleys=between(first.valleys, second.valleys), wrist=between(first.wrist, second.wrist))
