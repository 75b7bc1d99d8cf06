"""The canonical palm of hands whose geometry is known exactly."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from terminal.palm.canonical import canonical_palm, roi_corners, share_inside
from terminal.palm.geometry import FINE_ORIGIN, FINE_SPAN_PX, frame_from_roi, inverse, moved, piece_from_frame, sampled
from terminal.palm.types import ROI_GAP_SPANS, ROI_SIDE_PX, ROI_SIDE_SPANS, Hand, Side
from tests.terminal.palm.hands import HEIGHT, WIDTH, hand


def painted(of: Hand, height: int = HEIGHT, width: int = WIDTH) -> np.ndarray:
    """A frame in which the grey of each point of the palm is its own place: brighter to the thumb, and to the wrist."""
    to_palm = inverse(frame_from_roi(of.valleys, of.wrist))
    x, y = np.meshgrid(np.arange(width), np.arange(height))
    place = moved(np.stack([x, y], -1), to_palm)
    grey = 60 + 0.8 * place[..., 0] + 0.4 * place[..., 1]
    return np.clip(np.rint(grey), 0, 255).astype(np.uint8)


EXPECTED = 60 + 0.8 * np.arange(ROI_SIDE_PX)[None] + 0.4 * np.arange(ROI_SIDE_PX)[:, None]


def test_the_square_lies_where_the_convention_says() -> None:
    found = hand(centre=(300, 100), span_px=100)
    corners = roi_corners(found)
    half, top = 50 * ROI_SIDE_SPANS, 100 + 100 * ROI_GAP_SPANS
    expected = [[300 - half, top], [300 + half, top], [300 + half, top + 2 * half], [300 - half, top + 2 * half]]
    np.testing.assert_allclose(corners, expected, atol=1e-3)


@pytest.mark.parametrize("side", list(Side))
def test_the_thumb_is_on_the_right_of_both_hands(side: Side) -> None:
    found = hand(side=side)
    upper_right = roi_corners(found)[1]
    thumbs_valley, little_valley = found.valleys[0], found.valleys[2]
    assert np.hypot(*(upper_right - thumbs_valley)) < np.hypot(*(upper_right - little_valley))


@pytest.mark.parametrize("side", list(Side))
@pytest.mark.parametrize("roll_deg", [0, 30, -75, 90, 180])
@pytest.mark.parametrize("span_px", [60, 110, 160])
def test_each_point_of_the_palm_comes_to_its_place(side: Side, roll_deg: float, span_px: float) -> None:
    found = hand(centre=(360, 360), side=side, roll_deg=roll_deg, span_px=span_px)
    palm = canonical_palm(painted(found, 720, 720), found)
    assert palm.shape == (ROI_SIDE_PX, ROI_SIDE_PX)
    assert palm.dtype == np.uint8
    inner = slice(3, -3)
    assert np.abs(palm.astype(float) - EXPECTED)[inner, inner].max() < 2.5


@settings(max_examples=40, deadline=None)
@given(
    st.floats(40, 400), st.floats(-180, 180), st.floats(380, 420), st.floats(380, 420), st.sampled_from(list(Side))
)  # fmt: skip
def test_scale_and_roll_never_change_the_palm(span_px: float, roll_deg: float, x: float, y: float, side: Side) -> None:
    found = hand(centre=(x, y), side=side, roll_deg=roll_deg, span_px=span_px)
    palm = canonical_palm(painted(found, 800, 800), found).astype(float)
    inside = moved(np.stack(np.meshgrid(np.arange(128), np.arange(128)), -1), frame_from_roi(found.valleys, found.wrist))
    seen = ((inside > 8) & (inside < 791)).all(-1)
    assert np.abs(palm - EXPECTED)[seen].max(initial=0) < 4.0


def test_a_left_hand_is_its_mirror_images_right_hand() -> None:
    rng = np.random.default_rng(5)
    picture = cv2.GaussianBlur(rng.integers(0, 255, (HEIGHT, WIDTH)).astype(np.uint8), (0, 0), 3)
    right = hand(centre=(310, 130), roll_deg=12)
    mirrored = np.ascontiguousarray(picture[:, ::-1])
    flip = np.array([WIDTH - 1, 0], np.float32), np.array([-1, 1], np.float32)
    left = hand(centre=(WIDTH - 1 - 310, 130), roll_deg=-12, side=Side.LEFT)
    np.testing.assert_allclose(left.valleys, flip[0] + flip[1] * right.valleys, atol=1e-3)
    difference = canonical_palm(picture, right).astype(int) - canonical_palm(mirrored, left).astype(int)
    assert np.abs(difference).max() <= 2


def test_what_lies_outside_of_the_frame_is_black_and_counted() -> None:
    found = hand(centre=(320, HEIGHT - 120), span_px=120)
    palm = canonical_palm(np.full((HEIGHT, WIDTH), 200, np.uint8), found)
    assert palm[:40].min() == 200
    assert palm[-20:].max() == 0
    assert 0.5 < share_inside(found, HEIGHT, WIDTH) < 0.95
    assert share_inside(hand(), HEIGHT, WIDTH) == pytest.approx(1.0, abs=1e-4)
    assert share_inside(hand(centre=(-900, 0)), HEIGHT, WIDTH) == pytest.approx(0.0, abs=1e-4)


def test_strided_frames_are_as_good_as_whole_ones() -> None:
    rng = np.random.default_rng(6)
    wide = rng.integers(0, 255, (HEIGHT, 2 * WIDTH)).astype(np.uint8)
    strided = wide[:, ::2]
    assert not strided.flags.c_contiguous
    np.testing.assert_array_equal(canonical_palm(strided, hand()), canonical_palm(strided.copy(), hand()))


def test_valleys_that_coincide_are_refused() -> None:
    with pytest.raises(ValueError, match="coincide"):
        canonical_palm(np.zeros((HEIGHT, WIDTH), np.uint8), hand(span_px=0.1))


def test_fine_texture_does_not_alias_when_a_large_picture_is_reduced() -> None:
    """Stripes finer than the canonical palm's pixels fade to a tenth of their contrast; they don't turn into coarse ones."""
    stripes = np.tile(np.array([0, 255], np.uint8), (1600, 800))
    palm = canonical_palm(stripes, hand(centre=(800, 300), span_px=700))
    assert palm[5:-5, 5:-5].std() < 0.1 * 127.5


@pytest.mark.parametrize("side", list(Side))
def test_a_piece_is_upright_and_a_right_hand(side: Side) -> None:
    found = hand(centre=(250, 160), roll_deg=70, span_px=80, side=side)
    matrix = piece_from_frame(found.valleys, found.wrist, side is Side.LEFT)
    valleys, wrist = moved(found.valleys, matrix), moved(found.wrist, matrix)
    np.testing.assert_allclose((valleys[0] + valleys[2]) / 2, FINE_ORIGIN, atol=1e-3)
    assert valleys[0, 0] > valleys[2, 0]
    assert abs(valleys[0, 1] - valleys[2, 1]) < 1e-3
    assert wrist[1] > valleys[0, 1]
    assert np.hypot(*(valleys[0] - valleys[2])) == pytest.approx(FINE_SPAN_PX, rel=0.06)


def test_a_piece_outside_of_the_picture_is_black() -> None:
    matrix = np.array([[0.2, 0, 5000], [0, 0.2, 5000]])
    assert sampled(np.full((100, 100), 255, np.uint8), matrix, 128).max() == 0
