"""What stands between skin and pixels: light, focus, motion, dirt, sleeves, noise, compression."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

from terminal.palm.types import ROI_SIDE_PX

_NOISE_SIDE_PX = 1024
_AXIS = np.arange(ROI_SIDE_PX, dtype=np.float32)

Floats = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Weather:
    """How rough the world is. Shares are probabilities of a view; the rest scales what happens."""

    visible_share: float = 0.45  # of the surface views: strong lines as visible light shows them
    occlusion_share: float = 0.08
    motion_share: float = 0.12
    compression_share: float = 0.25
    coarse_share: float = 0.2
    rounded_share: float = 0.7
    fold_share: float = 0.25
    bunch_share: float = 0.2
    finish_share: float = 0.25  # of the visible views: sharpened or equalised, as cameras and public sets do
    noise: float = 1.0


CALM = Weather(
    visible_share=0.0,
    occlusion_share=0.03,
    motion_share=0.1,
    compression_share=0.0,
    coarse_share=0.0,
    fold_share=0.1,
    bunch_share=0.05,
)
"""What the terminal's own reader gives: near-infrared, no compression."""


@lru_cache(maxsize=1)
def _noise_bank() -> Floats:
    return np.random.default_rng(4_711).standard_normal((_NOISE_SIDE_PX, _NOISE_SIDE_PX)).astype(np.float32)


def _noise(rng: np.random.Generator) -> Floats:
    y, x = rng.integers(0, _NOISE_SIDE_PX - ROI_SIDE_PX, 2)
    window = _noise_bank()[y : y + ROI_SIDE_PX, x : x + ROI_SIDE_PX]
    return window.T if rng.random() < 0.5 else window


def _smooth(rng: np.random.Generator, cells: int, strength: float) -> Floats:
    coarse = (rng.standard_normal((cells, cells)) * strength).astype(np.float32)
    field: Floats = cv2.resize(coarse, (ROI_SIDE_PX, ROI_SIDE_PX), interpolation=cv2.INTER_CUBIC)
    return field


def disturb(
    rng: np.random.Generator, skin: Floats, visible: bool, weather: Weather, flicker: np.random.Generator | None = None
) -> NDArray[np.uint8]:
    """Uint8 [128, 128]: reflectance around 1.0 (float32 [128, 128]) as a camera records it; `flicker` draws the noise where it is given."""
    light = np.exp(_smooth(rng, 2, rng.uniform(0.0, 0.22)) + _smooth(rng, 4, rng.uniform(0.0, 0.1)))
    picture = skin * light
    if rng.random() < weather.rounded_share:
        picture *= _rounded(rng)
    if rng.random() < weather.fold_share:
        picture *= _folds(rng)
    if rng.random() < weather.bunch_share:
        picture *= _bunch(rng)
    if rng.random() < 0.3:
        picture += _hot_spot(rng)
    if rng.random() < 0.12:
        picture *= _dirt(rng)
    if rng.random() < weather.occlusion_share:
        picture = _occlude(rng, picture)
    picture = _optics(rng, picture, weather)
    deviation = rng.uniform(0.004, 0.013) if not visible else rng.uniform(0.005, 0.035)
    noise = _noise(flicker or rng)
    if rng.random() < 0.3:
        noise = cv2.GaussianBlur(noise, (3, 3), 0.6) * np.float32(1.5)
    picture = picture + np.float32(weather.noise * deviation) * noise
    mean = float(picture.mean())
    level = rng.uniform(55, 205) / max(mean, 0.05)
    picture = picture * np.float32(level) + np.float32(rng.uniform(-4, 12))  # ambient light that was not quite taken away
    if rng.random() < 0.3:
        picture = 255.0 * np.power(np.clip(picture, 0.0, 255.0) / 255.0, np.float32(np.exp(rng.normal(0.0, 0.3))))
    if visible and rng.random() < weather.finish_share:
        picture = _finish(rng, picture)
    recorded = np.clip(picture + 0.5, 0, 255).astype(np.uint8)
    if rng.random() < weather.compression_share:
        ok, packed = cv2.imencode(".jpg", recorded, [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(45, 96))])
        assert ok
        recorded = cv2.imdecode(packed, cv2.IMREAD_GRAYSCALE)
    return np.asarray(recorded, np.uint8)


def _rounded(rng: np.random.Generator) -> Floats:
    """What the palm's roundness and a lamp in the middle make: light falls off towards each edge, sometimes steeply."""
    falls = rng.uniform(0.0, 0.35, 4) ** 1.3 * rng.choice([1.0, 2.0], 4, p=[0.8, 0.2])
    at = np.linspace(0.0, 1.0, ROI_SIDE_PX, dtype=np.float32)
    left, right, top, bottom = (
        np.float32(fall) * np.exp(-side / np.float32(rng.uniform(0.04, 0.3)))
        for fall, side in zip(falls, (at, 1 - at, at, 1 - at), strict=True)
    )
    rounded: Floats = (1.0 - left - right)[None, :] * (1.0 - top - bottom)[:, None]
    return rounded


def _optics(rng: np.random.Generator, picture: Floats, weather: Weather) -> Floats:
    """Resolution, focus and motion."""
    if rng.random() < weather.coarse_share:  # the palm was smaller than this in the frame
        small = int(rng.integers(64, 112))
        picture = cv2.resize(picture, (small, small), interpolation=cv2.INTER_AREA)
        picture = cv2.resize(picture, (ROI_SIDE_PX, ROI_SIDE_PX), interpolation=cv2.INTER_LINEAR)
    sigma = rng.uniform(0.0, 0.8) if rng.random() < 0.75 else rng.uniform(0.8, 1.9)
    if sigma > 0.25:
        picture = cv2.GaussianBlur(picture, (0, 0), sigma)
    if rng.random() < weather.motion_share:
        length, angle = rng.uniform(2, 7), rng.uniform(0, np.pi)
        kernel = np.zeros((9, 9), np.float32)
        reach = length / 2 * np.array([np.cos(angle), np.sin(angle)])
        ends = [tuple(int(v) for v in np.rint((4 + side * reach) * 16)) for side in (-1, 1)]
        cv2.line(kernel, ends[0], ends[1], 1.0, 1, cv2.LINE_8, 4)
        picture = cv2.filter2D(picture, -1, kernel / kernel.sum(), borderType=cv2.BORDER_REFLECT_101)
    return picture


def _folds(rng: np.random.Generator) -> Floats:
    """Broad soft folds that a moving thumb or a cupped hand makes: dark, and gone in the next picture."""
    sheet = np.zeros((ROI_SIDE_PX // 2, ROI_SIDE_PX // 2), np.float32)
    for _ in range(rng.integers(1, 6)):
        start = rng.uniform(0, ROI_SIDE_PX // 2, 2)
        angle, length = rng.uniform(0, np.pi), rng.uniform(10, 45)
        end = start + length * np.array([np.cos(angle), np.sin(angle)])
        points = [tuple(int(v) for v in p) for p in (start, end)]
        cv2.line(sheet, points[0], points[1], float(rng.uniform(0.03, 0.25)), int(rng.integers(3, 9)))
    soft = cv2.GaussianBlur(sheet, (0, 0), rng.uniform(1.8, 4.5))
    folds: Floats = 1.0 - cv2.resize(soft, (ROI_SIDE_PX, ROI_SIDE_PX), interpolation=cv2.INTER_LINEAR)
    return folds


def _bunch(rng: np.random.Generator) -> Floats:
    """Skin that a drawn-in thumb pushes together: parallel soft folds over a part of the palm, here today, gone tomorrow.

    Mostly on the ball of the thumb (below, on either side), across the hand.
    """
    angle, wavelength = rng.uniform(0, np.pi), rng.uniform(6, 15)
    (y, x), radius = rng.uniform(0, ROI_SIDE_PX, 2), rng.uniform(14, 36)
    if rng.random() < 0.6:
        angle = np.pi / 2 + rng.normal(0.0, 0.3)
        y, x = ROI_SIDE_PX * rng.normal(0.8, 0.1), ROI_SIDE_PX * (0.5 + rng.choice([-1, 1]) * rng.normal(0.3, 0.1))
    across = _AXIS[None, :] * np.float32(np.sin(angle)) - _AXIS[:, None] * np.float32(np.cos(angle))
    waves = np.cos(np.float32(2 * np.pi / wavelength) * across + _smooth(rng, 6, 1.9)) * (1 + _smooth(rng, 8, 0.6))
    there = np.exp(-((_AXIS[:, None] - y) ** 2 + (_AXIS[None, :] - x) ** 2) / np.float32(2 * radius**2))
    folds: Floats = (1.0 - np.float32(rng.uniform(0.02, 0.14)) * there * waves).astype(np.float32)
    return folds


def _finish(rng: np.random.Generator, picture: Floats) -> Floats:
    """What a camera or an archive does to a picture (grey levels, float32): sharper edges, or contrast equalised from place to place."""
    if rng.random() < 0.5:
        sharp: Floats = picture + np.float32(rng.uniform(0.3, 1.2)) * (
            picture - cv2.GaussianBlur(picture, (0, 0), rng.uniform(0.8, 1.6))
        )
        return sharp
    tiles = int(rng.integers(1, 9))
    equalise = cv2.createCLAHE(float(rng.uniform(1.5, 4.0)), (tiles, tiles))
    equalised: Floats = equalise.apply(np.clip(picture, 0, 255).astype(np.uint8)).astype(np.float32)
    return equalised


def _hot_spot(rng: np.random.Generator) -> Floats:
    """A lamp's own reflection."""
    (y, x), radius = rng.uniform(0, ROI_SIDE_PX, 2), rng.uniform(8, 40)
    row, column = np.exp(-((_AXIS - y) ** 2) / (2 * radius**2)), np.exp(-((_AXIS - x) ** 2) / (2 * radius**2))
    spot: Floats = (np.float32(rng.uniform(0.05, 0.45)) * row[:, None] * column[None, :]).astype(np.float32)
    return spot


def _dirt(rng: np.random.Generator) -> Floats:
    """Specks: sweat shines, dirt does not."""
    sheet = np.zeros((ROI_SIDE_PX, ROI_SIDE_PX), np.float32)
    for _ in range(rng.integers(2, 30)):
        x, y = (int(v) for v in rng.integers(0, ROI_SIDE_PX, 2))
        cv2.circle(sheet, (x, y), int(rng.integers(1, 3)), float(rng.choice([-1, 1]) * rng.uniform(0.03, 0.3)), -1)
    soft: Floats = 1.0 + cv2.GaussianBlur(sheet, (0, 0), 0.7)
    return soft


def _occlude(rng: np.random.Generator, picture: Floats) -> Floats:
    """A plaster, a bracelet, a sleeve, or the black beyond the hand's edge."""
    if rng.random() < 0.5:
        x, y = rng.uniform(10, ROI_SIDE_PX - 10, 2)
        box = cv2.boxPoints(
            ((float(x), float(y)), (float(rng.uniform(14, 40)), float(rng.uniform(10, 22))), float(rng.uniform(0, 180)))
        )
        level = float(rng.uniform(0.6, 1.4))
    else:
        side = int(rng.integers(0, 4))
        depth = rng.uniform(4, 26, 2)
        n = ROI_SIDE_PX
        box = np.array([(0, 0), (n, 0), (n, depth[0]), (0, depth[1])], np.float32)
        for _ in range(side):
            box = np.stack([n - box[:, 1], box[:, 0]], 1)
        level = float(rng.uniform(0.0, 1.3))
    covered = picture.copy()
    cv2.fillPoly(covered, [np.rint(box).astype(np.int32)], level)
    return covered
