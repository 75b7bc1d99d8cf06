"""Finds the palm in a frame: a look at the whole frame made small, a close look at an upright piece of it, a closer one at each valley.

A tracked hand needs no look at the whole frame. The close look says of each piece whether it is an open palm, so a lost hand is noticed
in the frame in which it is lost, and the whole frame is searched again.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from terminal.palm.finder_network import (
    CELL_PX,
    COARSE_LONG_SIDE_PX,
    COARSE_MULTIPLE_PX,
    OFFSET_UNIT_PX,
    POINTS,
    HandNetwork,
    model_path,
)
from terminal.palm.geometry import (
    FINE_SIDE_PX,
    FINE_SPAN_PX,
    PATCH_SIDE_PX,
    STRIP_HEIGHT_PX,
    STRIP_SPAN_PX,
    STRIP_WIDTH_PX,
    inverse,
    moved,
    palm_axes,
    patch_corners,
    patches_of,
    piece_from_frame,
    sampled,
    strip_from_frame,
)
from terminal.palm.types import Guidance, Hand, NoHand, Side

FRAME_SIDE_MIN_PX = 64
FRAME_SIDE_MAX_PX = 8192

SEEN_MIN = 0.5
"""Least probability of a hand in the whole frame at which the close look is worth its time."""

HAND_MIN = 0.75
"""From this on something that is no open palm is called a hand that should show its palm; below, an empty view."""

PALM_SHARE_MIN = 0.12
"""Where less than this share of it is for a palm, it is the back of a hand or a fist."""

RIVAL_SHARE_MIN = 0.2
"""A left hand is also tried as a right one, and the other way round, where the small picture gave that this share of the likelier one."""

SECOND_PALM_MIN = 0.46
SECOND_HAND_MIN = 0.85
"""Probabilities at which a second palm, or a second hand of any kind, is believed: a forearm or a thumb also looks a little like one."""

SECOND_APART_SPANS = 2.0
"""Two centres nearer to each other than this are one hand seen twice."""

SPAN_MIN_PX = 4.0
"""Smallest valley span in pixels: below, nothing can be told."""

PALM_MIN = 0.65
"""Least probability of the close look for an open palm."""

LOST_BELOW = 0.1
"""A close look that gives an open palm less than this is not followed by another."""

SURE_MIN = 0.95
"""From this on the other hand is not tried."""

RESTARTED_PALM_MIN = 0.92
"""The same where several starts were tried: each is another chance to be fooled."""

TRACK_MIN = 0.7
"""The same for a tracked hand: below, the whole frame is searched."""

DOUBT_MAX_PX = 5.0
"""Most expected error of the valleys, in pixels of the piece (FINE_SPAN_PX to the span), at which points are believed."""

LOOKS_MAX = 3
"""Close looks at one hand in one frame: another one follows while points still move by more than SETTLED_PX."""

SETTLED_PX = 4.0

OUTSIDE_MAX_SPANS = 0.12
"""A valley may lie this far outside of the frame: its place is then inferred, not seen."""

WRIST_SPANS = (1.2, 2.6)
MIDDLE_ACROSS_SPANS = 0.13
MIDDLE_UP_SPANS = (-0.07, 0.30)
"""What hands look like, tilted ones included: the wrist's distance from the outer valleys; how far the middle valley lies off their middle,
to the side and towards the fingertips. Points that take one gap of fingers for another break these rules."""

GUESS_LENIENCY = 1.6
"""A first guess may break them by this much."""

OTHER_STARTS = ((0.0, 0.0, 1.3), (0.0, 0.0, 0.75), (0.4, 0.0, 1.0), (-0.4, 0.0, 1.0), (0.0, 0.35, 1.0), (0.0, -0.35, 1.0))
"""Where a close look starts anew when it did not end in a hand: shifted across and down by so many spans, larger or smaller."""

ADULT_SPAN_MM = 42.0
DEGREES = 30.0
"""Unit of the network's angles."""

FOCAL_WIDTHS = 0.55
"""Focal length in frame widths: an 85 degree lens. Only the distance for guidance depends on it."""

F64 = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class _Close:
    """What a close look says, points in pixels of the frame."""

    points: F64
    palm: float
    doubts_px: F64  # [3] expected error of the valleys in pixels of the piece
    moved_px: float  # how far they lie from where they were expected, in pixels of the piece
    yaw_deg: float
    pitch_deg: float
    mirrored: bool

    @property
    def doubt_px(self) -> float:
        """Mean expected error of the valleys, in pixels of the piece."""
        return float(self.doubts_px.mean())


class HandFinder:
    """Where the palm is. Keeps nothing between frames: what is tracked is given as `hint`. Used by one thread at a time."""

    def __init__(self, model: Path | None, threads: int) -> None:
        """Raises ModelError (finder_network) with a sentence where the model can't be used."""
        self._network = HandNetwork(model_path(model), threads)

    @property
    def model_version(self) -> str:
        """As the model calls itself."""
        return self._network.version

    def find(self, image: NDArray[np.uint8], hint: Hand | None = None) -> Hand | NoHand:
        """The palm in uint8 [height, width] (any stride), or why there is none. `hint`: the hand as of the frame before.

        Raises ValueError for anything that is not a grey picture of 64 to 8192 pixels a side.
        """
        _check(image)
        if hint is not None:
            points = np.concatenate([hint.valleys, hint.wrist[None]]).astype(np.float64)
            close = self._settle(image, points, hint.side is Side.LEFT, TRACK_MIN)
            if close is not None and close.doubt_px <= DOUBT_MAX_PX:
                return self._judged(image, self._closer(image, close), close.palm)
        return self._first_sight(image)

    def find_any_way_up(self, image: NDArray[np.uint8]) -> Hand | NoHand:
        """As `find` of a picture that may lie on its side or head: the surest answer of the four ways, in the picture's coordinates.

        Four times as slow; for folders of pictures, not for a reader, over which hands come from one side.
        """
        best = self.find(image)
        for quarter_turns in (1, 2, 3):
            turned = self.find(np.rot90(image, quarter_turns))
            if isinstance(turned, Hand) and (isinstance(best, NoHand) or turned.confidence > best.confidence):
                best = _turned_back(turned, quarter_turns, image.shape)
        return best

    def _first_sight(self, image: NDArray[np.uint8]) -> Hand | NoHand:
        small, scale = _small(image)
        said = self._network.whole(small)
        chances = 1.0 / (1.0 + np.exp(-said[:3]))
        # The three exclude each other: where the network can't tell them apart, they share the chance that a hand is there.
        hands = np.minimum(chances.sum(0), 1.0)
        row, column = (int(v) for v in np.unravel_index(int(hands.argmax()), hands.shape))
        presence = float(hands[row, column])
        if presence < SEEN_MIN:
            return NoHand(Guidance.SHOW_HAND, presence)
        cell = (np.array([column, row]) + 0.5) * CELL_PX - 0.5
        offsets = said[3:, row, column].reshape(POINTS, 2).astype(np.float64) * OFFSET_UNIT_PX
        if self._second(chances, cell, float(np.hypot(*(offsets[0] - offsets[2])))):
            return NoHand(Guidance.ONE_HAND, presence)
        left, right = (float(v) for v in chances[:2, row, column])
        if max(left, right) < PALM_SHARE_MIN * presence:
            return NoHand(_turn_or_show(presence), presence)
        close = self._first_close(image, (cell + offsets + 0.5) / scale - 0.5, left, right)
        if close is None:
            return NoHand(_turn_or_show(presence), presence)
        if close.doubt_px > DOUBT_MAX_PX:
            return NoHand(Guidance.OPEN_HAND, presence)
        return self._judged(image, self._closer(image, close), presence)

    def _first_close(self, image: NDArray[np.uint8], points: F64, left: float, right: float) -> _Close | None:
        """The first close look at a hand that the small picture took for a left or a right one with these chances.

        Both are tried where it was not sure, and both looks, the small and the close, have their say in which hand it is.
        """
        best: _Close | None = None
        most = 0.0
        for mirrored, chance in sorted(((True, left), (False, right)), key=lambda side: -side[1]):
            # A rival that would lose even if its close look were sure of it is not worth that look.
            if best is not None and (chance < max(most, RIVAL_SHARE_MIN * max(left, right)) or best.palm >= SURE_MIN):
                break
            close = self._settle(image, points[[2, 1, 0, 3]] if mirrored else points, mirrored, 0.0)
            if close is not None and chance * close.palm > most:
                best, most = close, chance * close.palm
        if best is not None and best.palm >= PALM_MIN:
            return best
        mirrored = left > right
        return self._started_anew(image, points[[2, 1, 0, 3]] if mirrored else points, mirrored)

    def _second(self, chances: NDArray[np.floating], cell: F64, span_px: float) -> bool:
        """Is there another hand, of any kind, well away from the one at `cell`?"""
        y, x = np.mgrid[0 : chances.shape[1], 0 : chances.shape[2]]
        away = np.hypot((x + 0.5) * CELL_PX - 0.5 - cell[0], (y + 0.5) * CELL_PX - 0.5 - cell[1])
        beside = chances[:, away > max(3.0 * CELL_PX, SECOND_APART_SPANS * span_px)]
        return bool((beside[:2].sum(0) >= SECOND_PALM_MIN).any() or (beside.sum(0) >= SECOND_HAND_MIN).any())

    def _settle(self, image: NDArray[np.uint8], points: F64, mirrored: bool, least: float = PALM_MIN) -> _Close | None:
        """Close looks, each where the one before says, until the points stay; None where they end in no open palm."""
        close: _Close | None = None
        for _ in range(LOOKS_MAX):
            if not _plausible(points, GUESS_LENIENCY):
                return None
            close = self._look(image, points, mirrored)
            if close.palm < LOST_BELOW or close.moved_px < SETTLED_PX:
                break
            points = close.points
        return close if close is not None and close.palm >= least and _plausible(close.points, 1.0) else None

    def _started_anew(self, image: NDArray[np.uint8], points: F64, mirrored: bool) -> _Close | None:
        """The surest of what close looks from a little beside the first guess end in."""
        origin, across, down = palm_axes(points[:3], points[3])
        ends = []
        for right, below, scale in OTHER_STARTS:
            start = origin + scale * (points - origin) + right * across + below * down
            close = self._settle(image, start, mirrored)
            if close is not None and close.palm >= RESTARTED_PALM_MIN:
                ends.append(close)
        return min(ends, key=lambda close: close.doubt_px, default=None)

    def _look(self, image: NDArray[np.uint8], points: F64, mirrored: bool) -> _Close:
        matrix = piece_from_frame(points[:3], points[3], mirrored)
        found, said = self._network.piece(sampled(image, matrix, FINE_SIDE_PX))
        expected = moved(points[:3], matrix)
        return _Close(
            points=moved(found, inverse(matrix)),
            palm=float(1.0 / (1.0 + np.exp(-said[POINTS]))),
            doubts_px=np.exp(said[:3].astype(np.float64)),
            moved_px=float(np.hypot(*(found[:3] - expected).T).mean()),
            yaw_deg=float(said[POINTS + 1]) * DEGREES * (-1.0 if mirrored else 1.0),
            pitch_deg=float(said[POINTS + 2]) * DEGREES,
            mirrored=mirrored,
        )

    def _closer(self, image: NDArray[np.uint8], close: _Close) -> _Close:
        """The valleys as the patches around them show them, each weighed against the close look by what both expect to be wrong by."""
        matrix = strip_from_frame(close.points[:3], close.points[3], close.mirrored)
        strip = sampled(image, matrix, STRIP_WIDTH_PX, STRIP_HEIGHT_PX)
        expected = moved(close.points[:3], matrix)
        corners = patch_corners(expected)
        found, said = self._network.patches(patches_of(strip, corners))
        times = STRIP_SPAN_PX / FINE_SPAN_PX
        coarse_trust = 1.0 / np.square(close.doubts_px * times)
        fine_trust = 1.0 / np.square(np.exp(said.astype(np.float64)))
        inside = ((expected >= corners) & (expected <= corners + PATCH_SIDE_PX - 1)).all(1)
        share = np.where(inside, fine_trust / (fine_trust + coarse_trust), 0.0)[:, None]
        valleys = expected + share * (found + corners - expected)
        doubts = np.where(inside, 1.0 / np.sqrt(fine_trust + coarse_trust) / times, close.doubts_px)
        points = np.concatenate([moved(valleys, inverse(matrix)), close.points[3:]])
        return replace(close, points=points, doubts_px=doubts)

    def _judged(self, image: NDArray[np.uint8], close: _Close, presence: float) -> Hand | NoHand:
        height, width = image.shape
        points = close.points
        span = float(np.hypot(*(points[0] - points[2])))
        slack = OUTSIDE_MAX_SPANS * span
        if (points[:3] < -slack).any() or (points[:3] > np.array([width, height]) + slack).any():
            near = span > 0.36 * max(height, width)
            return NoHand(Guidance.HIGHER if near else Guidance.CENTRE, presence)
        return hand_from_points(points, close, width)


def _turn_or_show(presence: float) -> Guidance:
    """What to ask for where there is no open palm."""
    return Guidance.PALM_UP if presence >= HAND_MIN else Guidance.SHOW_HAND


def hand_from_points(points: F64, close: _Close, width_px: int) -> Hand:
    """A Hand of four points in a frame of this width."""
    across = (points[0] - points[2]) * (-1.0 if close.mirrored else 1.0)
    roll = float(np.rad2deg(np.arctan2(across[1], across[0])))
    flat = float(np.hypot(*across)) / max(0.5, float(np.cos(np.deg2rad(close.yaw_deg))))
    sure = 1.0 / (1.0 + (close.doubt_px / (0.08 * FINE_SPAN_PX)) ** 2)
    return Hand(
        side=Side.LEFT if close.mirrored else Side.RIGHT,
        valleys=points[:3].astype(np.float32),
        wrist=points[3].astype(np.float32),
        confidence=close.palm * sure,
        distance_mm=ADULT_SPAN_MM * FOCAL_WIDTHS * width_px / flat,
        roll_deg=roll,
        yaw_deg=close.yaw_deg,
        pitch_deg=close.pitch_deg,
    )


def _check(image: NDArray[np.uint8]) -> None:
    """Refuse what is no grey picture, in words."""
    if not isinstance(image, np.ndarray) or image.dtype != np.uint8 or image.ndim != 2:
        kind = f"{image.dtype} {list(image.shape)}" if isinstance(image, np.ndarray) else type(image).__name__
        raise ValueError(f"A frame is a grey picture, uint8 [height, width], not {kind}.")
    if not FRAME_SIDE_MIN_PX <= min(image.shape) <= max(image.shape) <= FRAME_SIDE_MAX_PX:
        height, width = image.shape
        raise ValueError(
            f"A frame of {width} x {height} can't be searched: sides must be {FRAME_SIDE_MIN_PX} to {FRAME_SIDE_MAX_PX} pixels."
        )


def _small(image: NDArray[np.uint8]) -> tuple[NDArray[np.uint8], float]:
    """The frame with a long side of COARSE_LONG_SIDE_PX, its edges drawn out to fill; and the scale.

    Black instead would give a plain bright picture the edge of a thing.
    """
    height, width = image.shape
    scale = COARSE_LONG_SIDE_PX / max(height, width)
    rows, columns = max(1, round(height * scale)), max(1, round(width * scale))
    small = cv2.resize(image, (columns, rows), interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)
    full = [-(-side // COARSE_MULTIPLE_PX) * COARSE_MULTIPLE_PX for side in (rows, columns)]
    if full == [rows, columns]:
        return small, scale
    filled = cv2.copyMakeBorder(small, 0, full[0] - rows, 0, full[1] - columns, cv2.BORDER_REPLICATE)
    return filled, scale


def _plausible(points: F64, leniency: float) -> bool:
    """Could these be the valleys and the wrist of a hand? `leniency` 1 keeps to the rules of hands, more stretches them."""
    if not np.isfinite(points).all():
        return False
    origin, across, down = palm_axes(points[:3], points[3])
    square = float(across @ across)
    if square < SPAN_MIN_PX**2:
        return False
    middle = points[1] - origin
    to_side, up = float(middle @ across) / square, -float(middle @ down) / square
    wrist = float(np.hypot(*(points[3] - origin))) / float(np.sqrt(square))
    slack = 0.5 * (leniency - 1.0)
    return (
        abs(to_side) <= MIDDLE_ACROSS_SPANS + slack
        and MIDDLE_UP_SPANS[0] - slack <= up <= MIDDLE_UP_SPANS[1] + slack
        and WRIST_SPANS[0] / leniency <= wrist <= WRIST_SPANS[1] * leniency
    )


def _turned_back(hand: Hand, quarter_turns: int, shape: tuple[int, ...]) -> Hand:
    """A hand found in np.rot90(image, quarter_turns), in coordinates of the image, whose shape is given."""
    height, width = shape

    def back(points: NDArray[np.float32]) -> NDArray[np.float32]:
        x, y = points[..., 0], points[..., 1]
        if quarter_turns == 1:
            return np.stack([width - 1 - y, x], -1)
        if quarter_turns == 2:
            return np.stack([width - 1 - x, height - 1 - y], -1)
        return np.stack([y, height - 1 - x], -1)

    turned_width = height if quarter_turns % 2 else width
    roll = (hand.roll_deg + 90.0 * quarter_turns + 180.0) % 360.0 - 180.0
    return Hand(
        hand.side, back(hand.valleys), back(hand.wrist), hand.confidence, hand.distance_mm * width / turned_width, roll, hand.yaw_deg,
        hand.pitch_deg,
    )  # fmt: skip
