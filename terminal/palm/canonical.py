"""The canonical palm: the square of skin below the finger valleys, always upright, always a right hand, always the same size."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from terminal.palm.geometry import frame_from_roi, inverse, moved, sampled, scale_of
from terminal.palm.types import ROI_SIDE_PX, Hand

OVERSAMPLED_BELOW = 0.8
"""Where a pixel of the canonical palm covers more of the frame than 1 / this, twice as many samples are taken and averaged: less noise."""


def roi_corners(hand: Hand) -> NDArray[np.float32]:
    """Outer corners of the canonical palm in the frame, float32 [4, 2]: its upper left, upper right, lower right, lower left."""
    side = ROI_SIDE_PX - 0.5
    corners = np.array([[-0.5, -0.5], [side, -0.5], [side, side], [-0.5, side]])
    return moved(corners, frame_from_roi(hand.valleys, hand.wrist)).astype(np.float32)


def canonical_palm(image: NDArray[np.uint8], hand: Hand) -> NDArray[np.uint8]:
    """The palm of `hand` in uint8 [height, width] as uint8 [128, 128]; black where it lies outside of the frame.

    Fingers up, thumb on the right: left hands are mirrored. Raises ValueError for a hand whose outer valleys coincide.
    """
    if hand.span_px < 1.0:
        raise ValueError("A palm can't be normalised by valleys that coincide: find the hand again.")
    to_palm = inverse(frame_from_roi(hand.valleys, hand.wrist))
    if scale_of(to_palm) >= OVERSAMPLED_BELOW:
        return sampled(image, to_palm, ROI_SIDE_PX)
    double = to_palm * 2
    double[:, 2] += 0.5
    fine = sampled(image, double, 2 * ROI_SIDE_PX)
    return np.asarray(cv2.resize(fine, (ROI_SIDE_PX, ROI_SIDE_PX), interpolation=cv2.INTER_AREA), np.uint8)


def share_inside(hand: Hand, height: int, width: int) -> float:
    """How much of the canonical palm lies within a frame of this size, 0..1."""
    frame = np.array([[-0.5, -0.5], [width - 0.5, -0.5], [width - 0.5, height - 0.5], [-0.5, height - 0.5]], np.float32)
    corners = roi_corners(hand)
    common, _ = cv2.intersectConvexConvex(corners, frame)
    return float(common / max(1e-6, abs(cv2.contourArea(corners))))
