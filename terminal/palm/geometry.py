"""Maps between a frame, the upright piece that the network looks at, and the canonical palm. All maps are affine, float64 [2, 3]."""

from __future__ import annotations

import math
from typing import TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray

from terminal.palm.types import ROI_GAP_SPANS, ROI_SIDE_PX, ROI_SIDE_SPANS

Map = NDArray[np.float64]
Points = NDArray[np.floating]
_T = TypeVar("_T", np.uint8, np.float32)

FINE_SIDE_PX = 128
FINE_SPAN_PX = 38.0
"""Side of the upright piece, and the valley span in it."""

FINE_ORIGIN = (63.5, 46.0)
"""Where in a piece the middle between the outer valleys lies."""

FINE_WRIST_PX = 70.0
"""How far below it the wrist of an ordinary hand lies: steadies the scale where the span is foreshortened."""

STRIP_SPAN_PX = 80.0
STRIP_WIDTH_PX, STRIP_HEIGHT_PX = 144, 80
"""An upright strip around the three valleys, at twice the piece's resolution, in whose middle the middle of the outer valleys lies."""

PATCH_SIDE_PX = 40
"""Cut out of the strip around each valley: a quarter of a span each way."""

WRIST_VOTE = 0.5
"""How much the direction to the wrist says about a hand's roll, against the valleys' line."""

ROUGHEST = 1.4
"""A bilinear map may skip at most this many source pixels from one sample to the next; beyond, the source is averaged first."""

_TINY = 1e-6


def moved(points: Points, matrix: Map) -> NDArray[np.float64]:
    """Points [.., 2] through a map."""
    return np.asarray(points, np.float64) @ matrix[:, :2].T + matrix[:, 2]


def inverse(matrix: Map) -> Map:
    """The way back. Raises ZeroDivisionError for a map that has none."""
    (a, b, x), (c, d, y) = matrix.tolist()  # by hand: numpy's own way takes ten times as long for two rows
    over = 1.0 / (a * d - b * c)
    a, b, c, d = d * over, -b * over, -c * over, a * over
    return np.array([[a, b, -(a * x + b * y)], [c, d, -(c * x + d * y)]])


def scale_of(matrix: Map) -> float:
    """How many times as long lines become, both directions taken together."""
    (a, b, _), (c, d, _) = matrix.tolist()
    return math.sqrt(abs(a * d - b * c))


def piece_from_frame(valleys: Points, wrist: Points, mirrored: bool, turn_deg: float = 0.0, scale: float = 1.0) -> Map:
    """The map from a frame to the piece around a hand: upright, FINE_SPAN_PX wide, and a right hand.

    `mirrored`: a left palm, whose thumb is on the picture's left when its fingers are up. `turn_deg` and `scale` are added, for training.
    """
    middle = 0.5 * (np.asarray(valleys[0], np.float64) + valleys[2])
    flip = -1.0 if mirrored else 1.0
    across = (np.asarray(valleys[0], np.float64) - valleys[2]) * flip
    # The valleys' line and the line to the wrist both know the direction; the second is longer but less exact.
    down = np.asarray(wrist, np.float64) - middle
    span, length = float(np.hypot(*across)), float(np.hypot(*down))
    heading = across / max(_TINY, span) + WRIST_VOTE * np.array([down[1], -down[0]]) / max(_TINY, length)
    angle = -float(np.arctan2(heading[1], heading[0])) + np.deg2rad(turn_deg)
    size = scale * 2 / (span / FINE_SPAN_PX + length / FINE_WRIST_PX + _TINY)
    c, s = size * np.cos(angle), size * np.sin(angle)
    linear = np.array([[flip * c, -flip * s], [s, c]])
    return np.concatenate([linear, (np.asarray(FINE_ORIGIN) - linear @ middle)[:, None]], 1)


def strip_from_frame(valleys: Points, wrist: Points, mirrored: bool, turn_deg: float = 0.0, scale: float = 1.0) -> Map:
    """The map from a frame to the strip around the valleys: as `piece_from_frame`, larger, and centred on them."""
    times = STRIP_SPAN_PX / FINE_SPAN_PX
    matrix = piece_from_frame(valleys, wrist, mirrored, turn_deg, scale * times)
    matrix[:, 2] += np.array([(STRIP_WIDTH_PX - 1) / 2, (STRIP_HEIGHT_PX - 1) / 2]) - FINE_ORIGIN
    return matrix


def patch_corners(valleys: Points) -> NDArray[np.int64]:
    """Upper left corners (x, y) of the patches around valleys [3, 2] in a strip, moved inside where they would leave it; int64 [3, 2]."""
    corners = np.rint(np.asarray(valleys, np.float64) - (PATCH_SIDE_PX - 1) / 2).astype(np.int64)
    return np.clip(corners, 0, [STRIP_WIDTH_PX - PATCH_SIDE_PX, STRIP_HEIGHT_PX - PATCH_SIDE_PX])


def patches_of(strip: NDArray[_T], corners: NDArray[np.int64]) -> NDArray[_T]:
    """The patches [3, PATCH_SIDE_PX, PATCH_SIDE_PX] at these corners of a strip."""
    return np.stack([strip[y : y + PATCH_SIDE_PX, x : x + PATCH_SIDE_PX] for x, y in corners])


def palm_axes(valleys: Points, wrist: Points) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Origin (middle of the outer valleys), and the frame's vectors of one span to the thumb's side and one towards the wrist; each [2]."""
    v = np.asarray(valleys, np.float64)
    origin, across = 0.5 * (v[0] + v[2]), v[0] - v[2]
    down = np.array([-across[1], across[0]])
    if float(down @ (np.asarray(wrist, np.float64) - origin)) < 0:
        down = -down
    return origin, across, down


def frame_from_roi(valleys: Points, wrist: Points) -> Map:
    """The map from pixels of the canonical palm to the frame. Left hands come out mirrored by their own geometry."""
    origin, across, down = palm_axes(valleys, wrist)
    step = ROI_SIDE_SPANS / ROI_SIDE_PX
    corner = origin + (0.5 * step - 0.5 * ROI_SIDE_SPANS) * across + (ROI_GAP_SPANS + 0.5 * step) * down
    return np.stack([across * step, down * step, corner], 1)


def sampled(image: NDArray[np.uint8], matrix: Map, side_px: int, height_px: int | None = None) -> NDArray[np.uint8]:
    """A piece of `image`, uint8 [height_px or side_px, side_px], through a map from the image to the piece; black outside of the image.

    Where the piece is coarser than the image, the image is averaged over whole pixels first, so that nothing aliases.
    """
    scale = scale_of(matrix)
    step = int(1.0 / (max(scale, _TINY) * ROUGHEST)) + 1
    size = (side_px, height_px or side_px)
    if step == 1:
        return np.asarray(cv2.warpAffine(image, matrix, size, flags=cv2.INTER_LINEAR), np.uint8)
    height, width = image.shape
    corners = moved(np.array([[0, 0], [size[0], 0], [size[0], size[1]], [0, size[1]]]), inverse(matrix))
    low = np.floor(corners.min(0) - 2 * step).astype(int)
    high = np.ceil(corners.max(0) + 2 * step).astype(int)
    x0, y0 = max(0, low[0]), max(0, low[1])
    columns, rows = (min(width, high[0]) - x0) // step, (min(height, high[1]) - y0) // step
    if columns < 1 or rows < 1:
        return np.zeros(size[::-1], np.uint8)
    part = cv2.resize(image[y0 : y0 + rows * step, x0 : x0 + columns * step], (columns, rows), interpolation=cv2.INTER_AREA)
    offset = matrix[:, :2] @ (np.array([x0, y0]) + 0.5 * (step - 1)) + matrix[:, 2]
    piece = cv2.warpAffine(part, np.concatenate([matrix[:, :2] * step, offset[:, None]], 1), size, flags=cv2.INTER_LINEAR)
    return np.asarray(piece, np.uint8)
