"""The reader as optics: a wide lens, a ring of two banks of LEDs around it, and a sensor with its noise.

Camera coordinates: millimetres, x to the right of the picture, y down, z away from the lens.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import cast

import cv2
import numpy as np
from numpy.typing import NDArray

from terminal.reader.frame import Light

F32 = NDArray[np.floating]

FOCAL_WIDTHS = 0.55
"""Focal length in picture widths: 85 degrees across. A hand at 110 mm fills about half of the frame, cut at tips and wrist."""

DISTORTION = -0.035
"""Barrel distortion: radius' = radius (1 + DISTORTION radius^2), radius in focal lengths."""

FOCUS_MM = 105.0
REFERENCE_MM = 110.0
REFERENCE_COUNTS = 112.0
"""A palm of ordinary tone, flat at REFERENCE_MM, gives this many counts of 255 at the product's exposure and gain."""

RING_MM = 27.0
LEDS_PER_BANK = 6
FULL_SCALE_ELECTRONS = 26_000.0
"""Of one pixel of a 640-wide frame at gain 2, binned from the sensor's smaller ones."""

READ_NOISE_COUNTS = 0.55
BLACK_COUNTS = 1.2
TILE_SHAPE = (832, 1152)
CELL_PX = 16
"""The warp is computed every CELL_PX pixels of a 640-wide frame and interpolated between; light at every second node."""


@dataclass(frozen=True, slots=True)
class Camera:
    """A frame size with its rays. `rays`: float32 [rows, columns, 3] with z = 1, one for each node of the coarse grid."""

    height: int
    width: int
    rays: F32
    vignette: F32  # [rows, columns]

    @property
    def focal_px(self) -> float:
        """Focal length in pixels."""
        return FOCAL_WIDTHS * self.width

    def project(self, points: NDArray[np.float64]) -> F32:
        """Camera points [.., 3] in mm to pixels [.., 2]."""
        flat = points[..., :2] / np.maximum(points[..., 2:], 1.0)
        flat = flat * (1 + DISTORTION * np.minimum((flat**2).sum(-1, keepdims=True), 4.0))
        centre = np.array([(self.width - 1) / 2, (self.height - 1) / 2])
        return cast(F32, (flat * self.focal_px + centre).astype(np.float32))

    def enlarge(self, coarse: F32) -> F32:
        """A coarse grid [rows, columns(, n)] to every pixel."""
        return cast(F32, cv2.resize(coarse, (self.width, self.height), interpolation=cv2.INTER_LINEAR))


@lru_cache(maxsize=4)
def camera(height: int, width: int) -> Camera:
    """The lens at a frame size."""
    # Odd, so that every second node takes in both ends.
    rows, columns = max(11, round(height * 640 / width / CELL_PX) | 1), 640 // CELL_PX + 1
    # cv2.resize keeps pixel areas aligned: node i lies in the middle of the i-th cell.
    x = (np.arange(columns) + 0.5) * width / columns - 0.5
    y = (np.arange(rows) + 0.5) * height / rows - 0.5
    px, py = np.meshgrid((x - (width - 1) / 2) / (FOCAL_WIDTHS * width), (y - (height - 1) / 2) / (FOCAL_WIDTHS * width))
    ux, uy = px.copy(), py.copy()
    for _ in range(8):
        bend = 1 + DISTORTION * (ux**2 + uy**2)
        ux, uy = px / bend, py / bend
    cosine = 1 / np.sqrt(1 + ux**2 + uy**2)
    rays = np.stack([ux, uy, np.ones_like(ux)], -1).astype(np.float32)
    return Camera(height, width, rays, (0.35 + 0.65 * cosine**3).astype(np.float32))


@lru_cache(maxsize=2)
def _leds(light: Light) -> F32:
    """Positions [n, 3] in mm and, in a fourth column, relative power: parts differ by some percent."""
    rng = np.random.default_rng(1 if light is Light.CROSSED else 2)
    turn = np.pi / LEDS_PER_BANK if light is Light.CROSSED else 0.0
    angle = turn + np.arange(LEDS_PER_BANK) * 2 * np.pi / LEDS_PER_BANK
    power = rng.normal(1, 0.06, LEDS_PER_BANK)
    return np.stack([RING_MM * np.cos(angle), RING_MM * np.sin(angle), np.zeros(LEDS_PER_BANK), power], 1).astype(np.float32)


def _one_bank(points: F32, normals: F32, light: Light, gloss: float, sharp: float) -> F32:
    """Irradiance [..] of skin at points [.., 3] with normals [.., 3], unscaled; `gloss` adds the mirror image of each LED."""
    leds = _leds(light)
    parts = [led[:, None] for led in leds.T]  # x, y, z, power, each [n, 1]
    px, py, pz = (points[..., k].reshape(1, -1) for k in range(3))
    nx, ny, nz = (normals[..., k].reshape(1, -1) for k in range(3))
    ax, ay, az = parts[0] - px, parts[1] - py, parts[2] - pz
    near = 1 / np.sqrt(np.maximum(ax * ax + ay * ay + az * az, np.float32(100.0)))
    ax, ay, az = ax * near, ay * near, az * near
    # Wax: light that entered elsewhere leaves here, so the terminator is soft.
    lit = np.maximum((ax * nx + ay * ny + az * nz) * np.float32(0.82) + np.float32(0.18), 0)
    if gloss > 0:
        to_lens = -1 / np.sqrt(np.maximum(px * px + py * py + pz * pz, 1))
        hx, hy, hz = ax + px * to_lens, ay + py * to_lens, az + pz * to_lens
        size = np.sqrt(np.maximum(hx * hx + hy * hy + hz * hz, np.float32(1e-6)))
        mirrored = np.maximum((hx * nx + hy * ny + hz * nz) / size, np.float32(1e-3))
        lit += np.float32(gloss) * np.exp(np.float32(sharp) * np.log(mirrored))
    total: F32 = (parts[3] * lit * np.clip(-az, 0, 1) * near * near).sum(0).reshape(points.shape[:-1])
    return total


@lru_cache(maxsize=1)
def _reference() -> float:
    at, facing = np.array([[0, 0, REFERENCE_MM]], np.float32), np.array([[0, 0, -1]], np.float32)
    return float(_one_bank(at, facing, Light.PARALLEL, 0.0, 1.0)[0])


def lamp(points: F32, normals: F32, light: Light, glare: float, wet: float) -> F32:
    """How strongly a bank lights skin: 1 for a flat palm at REFERENCE_MM. Gloss shows in parallel light only."""
    polished = light in (Light.PARALLEL, Light.SINGLE)
    gloss = (0.16 * glare + 0.35 * wet) * (1.0 if polished else 0.06)
    bank = Light.CROSSED if light is Light.CROSSED else Light.PARALLEL
    return _one_bank(points, normals, bank, gloss, 14.0 + 30.0 * wet) / np.float32(_reference())


@lru_cache(maxsize=1)
def noise_tile() -> F32:
    """Standard normal noise [TILE_SHAPE]; frames take windows of it at random places."""
    return np.random.default_rng(7).standard_normal(TILE_SHAPE, np.float32)


def blurred(picture: F32, sigma_px: float, smear_px: tuple[float, float]) -> F32:
    """Defocus and motion: Gaussian of sigma, then a line of the given length. Short ones are left out: nobody would see them."""
    if sigma_px > 0.3:
        size = 3 if sigma_px < 0.7 else 5 if sigma_px < 1.2 else 2 * int(2.2 * sigma_px) + 1
        picture = cv2.GaussianBlur(picture, (size, size), sigma_px)
    length = float(np.hypot(*smear_px))
    if length > 0.8:
        size = 2 * int(min(length, 40.0) / 2 + 1) + 1
        kernel = np.zeros((size, size), np.uint8)
        half = np.array(smear_px) / length * min(length, 40.0) / 2 * 16
        middle = (size // 2) * 16
        ends = [(round(middle + sign * half[0]), round(middle + sign * half[1])) for sign in (-1, 1)]
        cv2.line(kernel, ends[0], ends[1], 255, 1, cv2.LINE_AA, 4)
        picture = cv2.filter2D(picture, -1, kernel.astype(np.float32) / max(1.0, float(kernel.sum())))
    return picture


def exposed(picture: F32, rng: np.random.Generator, noise: float, gain: float) -> NDArray[np.uint8]:
    """Counts to an 8-bit frame: shot noise, read noise, black level, clipping. `picture` is used up."""
    height, width = picture.shape
    tile = noise_tile()
    row = int(rng.integers(max(1, TILE_SHAPE[0] - height)))
    column = int(rng.integers(max(1, TILE_SHAPE[1] - width)))
    window = tile[row : row + height, column : column + width]
    if window.shape != picture.shape:  # a frame larger than the tile
        window = np.tile(tile, (height // TILE_SHAPE[0] + 1, width // TILE_SHAPE[1] + 1))[:height, :width]
    # A narrower frame is binned from more of the sensor's pixels.
    area = (width / 640) ** 2
    counts_per_electron = 255.0 / FULL_SCALE_ELECTRONS * (gain / 2) * area
    spread = cv2.sqrt(
        cv2.convertScaleAbs(picture).astype(np.float32) * np.float32(noise**2 * counts_per_electron)
        + np.float32((noise * READ_NOISE_COUNTS) ** 2 * area)
    )
    cv2.multiply(spread, window, dst=spread)
    cv2.add(picture, spread, dst=picture)
    return cast(NDArray[np.uint8], cv2.add(picture, BLACK_COUNTS, dtype=cv2.CV_8U))
