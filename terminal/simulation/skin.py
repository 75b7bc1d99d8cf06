"""The skin of a person who never existed: what the light sees on the palm, and the veins under it.

Two maps over the hand plane, multiplicative around 1.0: `surface` (creases, wrinkles, fine texture) and `veins` (the vein tree and the
mottling of deeper tissue). One unit is the valley span (about 42 mm); the origin is the middle between the outer valleys, +x runs to the
thumb's side, +y to the wrist. Depths are those of strong visible light; near-infrared light shows about a third of them, which is for the
caller to scale: `1 + strength * (map - 1)`.

Anatomy from textbooks of hand surgery and palmistry's plain vocabulary (heart, head, life line).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

from terminal.simulation.strokes import Canvas, curve, wander

SKIN_X_SPANS = (-1.5, 1.5)
SKIN_Y_SPANS = (-1.0, 2.0)
SKIN_EXTENT_SPANS = 3.0
"""The maps cover this square of the hand plane, in valley spans."""

SKIN_SIDE_PX = 384
SKIN_SIDE_PX_MIN = 64
SKIN_SIDE_PX_MAX = 1024

_TEXTURE_TILE_PX = 512
_TEXTURE_ORIENTATIONS = 8
_TEXTURE_WAVELENGTHS_SPANS = (0.028, 0.055, 0.11)
_LIFE_CENTRE = (0.78, 1.15)  # the ball of the thumb: skin lines turn around it

Points = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Skin:
    """A person's palm. `surface` and `veins` are float32 [S, S], 1.0 = plain skin, darker below 1; same seed, same skin."""

    seed: int
    surface: NDArray[np.float32] = field(repr=False)
    veins: NDArray[np.float32] = field(repr=False)

    @property
    def side_px(self) -> int:
        """Side of both maps in pixels."""
        return int(self.surface.shape[0])


def grow(seed: int, side_px: int = SKIN_SIDE_PX) -> Skin:
    """Grow the skin of person `seed` (0 or more). Raises ValueError for a side outside SKIN_SIDE_PX_MIN..SKIN_SIDE_PX_MAX."""
    if not SKIN_SIDE_PX_MIN <= side_px <= SKIN_SIDE_PX_MAX:
        raise ValueError(f"side_px must be {SKIN_SIDE_PX_MIN} to {SKIN_SIDE_PX_MAX}, not {side_px}")
    surface_rng, veins_rng = (np.random.default_rng([seed, part]) for part in (1, 2))
    return Skin(seed, _surface(surface_rng, side_px), _veins(veins_rng, side_px))


def _surface(rng: np.random.Generator, side_px: int) -> NDArray[np.float32]:
    """Creases, wrinkles and texture, each with this person's own strength."""
    canvas = Canvas(side_px, SKIN_EXTENT_SPANS, SKIN_X_SPANS[0], SKIN_Y_SPANS[0])
    _principal_lines(rng, canvas)
    _secondary_lines(rng, canvas)
    _wrinkles(rng, canvas)
    lines = canvas.depth()
    texture = _texture(rng, side_px)
    worn = 1.0 - 0.35 * _blotches(rng, side_px, 5).clip(-1.0, 1.0)  # skin is not equally lined everywhere
    relief = _blotches(rng, side_px, 9) * 0.03 + _blotches(rng, side_px, 22) * 0.024 + _blotches(rng, side_px, 48) * 0.014
    surface = 1.0 - rng.uniform(0.75, 1.3) * worn * lines + rng.uniform(0.5, 1.5) * worn * texture + relief
    limited: NDArray[np.float32] = np.clip(surface, 0.3, 1.5).astype(np.float32)
    return limited


def _principal_lines(rng: np.random.Generator, canvas: Canvas) -> None:
    """Heart, head and life line; one person in twenty-five has a simian crease in place of the first two."""

    def jitter(points: list[tuple[float, float]], spread: float) -> Points:
        moved = np.asarray(points, np.float32) + rng.normal(0.0, spread, (len(points), 2)).astype(np.float32)
        return curve(moved)

    lift, tilt = rng.normal(0.0, 0.09), rng.normal(0.0, 0.11)
    start_y = 0.58 + rng.normal(0.0, 0.08)
    reach = rng.uniform(0.05, 0.62)
    heart = jitter(
        [(-1.1, 0.55 + lift), (-0.6, 0.5 + lift), (-0.15, 0.38 + lift + tilt / 2), (reach, rng.uniform(0.02, 0.34) + tilt)], 0.045
    )
    gap = max(0.0, rng.normal(0.03, 0.05))
    bend = rng.normal(0.0, 0.12)
    end_x = rng.uniform(-0.85, -0.2)
    head = jitter(
        [(1.05, start_y - gap), (0.45, 0.62 + bend / 2), (-0.05, 0.8 + bend), (end_x, 0.95 + bend + rng.normal(0.0, 0.14))], 0.045
    )
    life_x = rng.normal(0.12, 0.12)
    life = jitter(
        [
            (1.05, start_y),
            (0.6, 0.62 + bend / 3),
            (life_x + 0.12, 0.98),
            (life_x, 1.35),
            (life_x + 0.12, 1.72),
            (life_x + 0.25, 1.95),
        ],
        0.045,
    )
    lines = [heart, head, life]
    if rng.random() < 0.04:
        lines = [jitter([(-1.1, 0.6), (-0.4, 0.58 + lift), (0.3, 0.52 + tilt), (1.05, start_y)], 0.05), life]
    for line in lines:
        depth, width = rng.uniform(0.09, 0.26), rng.uniform(0.018, 0.04)
        _crease(rng, canvas, line, depth, width)
        for _ in range(rng.integers(0, 4)):  # forks and side lines leave a crease at a small angle
            at = int(rng.integers(len(line) // 5, len(line) - 5))
            along = line[at + 4] - line[at - 4] if at >= 4 else line[4] - line[0]
            heading = float(np.arctan2(along[1], along[0])) + rng.choice([-1, 1]) * rng.uniform(0.25, 0.8)
            fork = wander(rng, line[at], heading, rng.uniform(0.12, 0.5), 0.35)
            _crease(rng, canvas, fork, depth * rng.uniform(0.3, 0.75), width * rng.uniform(0.4, 0.8))


def _crease(rng: np.random.Generator, canvas: Canvas, line: Points, depth: float, width: float) -> None:
    """One crease as skin shows it: uneven in depth, sometimes broken, doubled, chained or lit at one edge."""
    n = len(line)
    taper = np.clip(np.minimum(np.arange(n) + 2, n + 1 - np.arange(n)) / (0.22 * n), 0.15, 1.0)
    profile = taper * np.clip(1.0 + 0.3 * _smooth_noise(rng, n, 7) + 0.25 * _smooth_noise(rng, n, 25), 0.05, 2.0)
    if rng.random() < 0.25:
        gap = int(rng.integers(n // 6, n - 1))
        profile[gap : gap + max(2, n // 14)] *= rng.uniform(0.0, 0.4)
        line = line.copy()
        line[gap:] += rng.normal(0.0, 0.02, 2).astype(np.float32)
    canvas.stroke(line, depth * profile, width)
    if rng.random() < 0.35:
        shift = rng.choice([-1, 1]) * rng.uniform(0.03, 0.07)
        first, last = sorted(rng.integers(0, n, 2))
        if last - first > 6:
            canvas.stroke(line[first:last] + np.float32(shift), depth * 0.6 * profile[first:last], width * 0.6)
    if rng.random() < 0.5:  # the edge that catches the light
        canvas.stroke(line + np.float32(rng.choice([-1, 1]) * (0.012 + 0.6 * width)), -0.3 * depth * profile, width * 0.6)


def _secondary_lines(rng: np.random.Generator, canvas: Canvas) -> None:
    """Fate, sun and health lines, the girdle, the rings around the ball of the thumb, the edge of the hand."""
    for x, top, chance in ((0.05, 0.35, 0.7), (-0.28, 0.4, 0.55), (-0.55, 0.6, 0.45), (0.3, 0.3, 0.3)):
        for _ in range(1 + int(rng.random() < 0.4)):
            if rng.random() < chance:
                y0, y1 = sorted(rng.uniform(top, 1.9, 2))
                ends = np.array(
                    [(x + rng.normal(0, 0.12), y0), (x * 0.6 + rng.normal(0, 0.12), (y0 + y1) / 2), (0.1 + rng.normal(0, 0.2), y1)]
                )
                _crease(rng, canvas, curve(ends.astype(np.float32)), rng.uniform(0.03, 0.12), rng.uniform(0.01, 0.025))
    for _ in range(rng.integers(2, 9)):  # around the ball of the thumb
        radius, start, sweep = rng.uniform(0.2, 0.75), rng.uniform(1.6, 4.2), rng.uniform(0.4, 1.6)
        angles = np.linspace(start, start + sweep, 6)
        ring = np.stack([_LIFE_CENTRE[0] + radius * np.cos(angles), _LIFE_CENTRE[1] + radius * 0.9 * np.sin(angles)], 1)
        ring += rng.normal(0.0, 0.03, ring.shape)
        _crease(rng, canvas, curve(ring.astype(np.float32)), rng.uniform(0.02, 0.1), rng.uniform(0.008, 0.022))
    for _ in range(rng.integers(1, 8)):  # in from the edge of the hand, and the girdle under the fingers
        side, y = -1.05, rng.uniform(0.5, 1.6)
        if rng.random() < 0.3:
            side, y = -0.5, rng.uniform(0.02, 0.3)
        path = wander(rng, np.array([side, y], np.float32), rng.normal(0.1, 0.35), rng.uniform(0.3, 0.9), 0.3)
        _crease(rng, canvas, path, rng.uniform(0.02, 0.1), rng.uniform(0.008, 0.022))


def _wrinkles(rng: np.random.Generator, canvas: Canvas) -> None:
    """Some hundred short fine lines that follow the skin's grain or cross it; how many and how deep is the person's own."""
    scale = rng.uniform(0.7, 1.8)
    cross = rng.uniform(0.15, 0.5)
    hot = rng.uniform((-0.9, 0.0), (0.9, 1.8), (6, 2))  # lines gather where the skin folds
    for _ in range(int(rng.uniform(80, 240))):
        centre = hot[rng.integers(6)] + rng.normal(0, 0.22, 2) if rng.random() < 0.5 else rng.uniform((-1.0, -0.05), (1.0, 1.9))
        _wrinkle(rng, canvas, centre, _heading(rng, centre, cross), 0.06 + rng.exponential(0.15), scale * rng.uniform(0.02, 0.11))
    for _ in range(rng.integers(5, 22)):  # folds lie side by side, as in crepe
        centre = rng.uniform((-0.9, -0.05), (0.9, 1.8))
        heading, spacing, length = _heading(rng, centre, cross), rng.uniform(0.03, 0.075), rng.uniform(0.1, 0.45)
        across = np.array([-np.sin(heading), np.cos(heading)])
        depth = scale * rng.uniform(0.02, 0.1)
        for i in range(rng.integers(4, 13)):
            start = centre + across * spacing * (i + rng.normal(0, 0.2)) + rng.normal(0, 0.04, 2)
            _wrinkle(
                rng, canvas, start, heading + rng.normal(0, 0.1), length * rng.uniform(0.5, 1.3), depth * rng.uniform(0.4, 1.3)
            )


def _heading(rng: np.random.Generator, centre: NDArray[np.float64], cross: float) -> float:
    """Along the grain at a place, or across it with probability `cross`; radians."""
    grain = float(_grain(np.float32(centre[0]), np.float32(centre[1])))
    return grain + rng.normal(0.0, 0.28) + (np.pi / 2 if rng.random() < cross else 0.0) + np.pi * int(rng.integers(2))


def _wrinkle(
    rng: np.random.Generator, canvas: Canvas, start: NDArray[np.float64], heading: float, length: float, depth: float
) -> None:
    """One short fine line; one in eight is brighter than the skin beside it."""
    path = wander(rng, start.astype(np.float32), heading, length, 0.22)
    n = len(path)
    fade = np.sin(np.linspace(0.15, np.pi - 0.15, n)) * np.clip(1 + 0.4 * _smooth_noise(rng, n, 4), 0, 2)
    bright = -0.5 if rng.random() < 0.12 else 1.0
    canvas.stroke(path, bright * depth * fade, rng.uniform(0.006, 0.018))


def _grain(x: NDArray[np.float32] | np.float32, y: NDArray[np.float32] | np.float32) -> NDArray[np.float32]:
    """Direction of the skin's grain in radians: across under the fingers, turning around the ball of the thumb, oblique at the edge."""
    around = np.arctan2(y - _LIFE_CENTRE[1], x - _LIFE_CENTRE[0]) + np.pi / 2
    near = np.exp(-((x - _LIFE_CENTRE[0]) ** 2 + (y - _LIFE_CENTRE[1]) ** 2) / 0.55)
    fingers = 1.0 / (1.0 + np.exp((y - 0.25) * 9.0)) * 1.35  # below the fingers wrinkles run along the hand
    oblique = 0.25 + 0.35 * np.tanh(y - 0.9) - 0.2 * x
    c = near * np.cos(2 * around) + (1 - near) * np.cos(2 * (oblique + fingers))
    s = near * np.sin(2 * around) + (1 - near) * np.sin(2 * (oblique + fingers))
    direction: NDArray[np.float32] = (0.5 * np.arctan2(s, c)).astype(np.float32)
    return direction


@lru_cache(maxsize=4)
def _texture_bank(side_px: int) -> NDArray[np.float32]:
    """Float32 [scales, orientations, T, T]: band-limited noise with one direction each, unit variance; the same on every machine."""
    rng = np.random.default_rng(20_260)
    size = _TEXTURE_TILE_PX
    fy, fx = np.meshgrid(np.fft.fftfreq(size), np.fft.rfftfreq(size), indexing="ij")
    radius, angle = np.hypot(fx, fy) + 1e-9, np.arctan2(fy, fx)
    bank = np.empty((len(_TEXTURE_WAVELENGTHS_SPANS), _TEXTURE_ORIENTATIONS, size, size), np.float32)
    for s, wavelength in enumerate(_TEXTURE_WAVELENGTHS_SPANS):
        centre = SKIN_EXTENT_SPANS / (wavelength * side_px)
        radial = np.exp(-(np.log(radius / centre) ** 2) / (2 * 0.38**2))
        for o in range(_TEXTURE_ORIENTATIONS):
            normal = np.pi * o / _TEXTURE_ORIENTATIONS + np.pi / 2  # a line's spectrum lies across the line
            turn = np.cos(2 * (angle - normal))
            band = radial * np.exp((turn - 1.0) * 2.6)
            noise = np.fft.irfft2(np.fft.rfft2(rng.standard_normal((size, size))) * band, s=(size, size))
            bank[s, o] = noise / noise.std()
    return bank


@lru_cache(maxsize=4)
def _grid(side_px: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    step = SKIN_EXTENT_SPANS / side_px
    axis = (np.arange(side_px, dtype=np.float32) + 0.5) * np.float32(step)
    x, y = np.meshgrid(axis + np.float32(SKIN_X_SPANS[0]), axis + np.float32(SKIN_Y_SPANS[0]))
    return x, y


def _texture(rng: np.random.Generator, side_px: int) -> NDArray[np.float32]:
    """Fine texture along this person's grain: random windows of the bank, blended by direction."""
    bank = _texture_bank(side_px)
    x, y = _grid(side_px)
    direction = _grain(x, y) + 0.6 * _blotches(rng, side_px, 5)
    result = np.zeros((side_px, side_px), np.float32)
    strengths = np.array([0.016, 0.024, 0.026]) * rng.uniform(0.4, 1.5, 3)
    isotropic = rng.uniform(0.03, 0.25)
    weights = [
        np.exp((np.cos(2 * (direction - np.pi * o / _TEXTURE_ORIENTATIONS)) - 1) * 3.0) + isotropic
        for o in range(_TEXTURE_ORIENTATIONS)
    ]
    norm = 1.0 / np.sqrt(sum(w * w for w in weights))
    for s, strength in enumerate(strengths):
        total = np.zeros_like(result)
        for o, weight in enumerate(weights):
            total += weight * _window(rng, bank[s, o], side_px)
        total *= norm
        result += np.float32(strength) * (total - 0.25 * (total * total - 1.0))  # lines are dark: a skewed texture
    return result


def _window(rng: np.random.Generator, tile: NDArray[np.float32], side_px: int) -> NDArray[np.float32]:
    """A random periodic window of a tile, turned by 180 degrees half of the time (which keeps its direction)."""
    dy, dx = rng.integers(0, _TEXTURE_TILE_PX, 2)
    rows, cols = (np.arange(side_px) + dy) % _TEXTURE_TILE_PX, (np.arange(side_px) + dx) % _TEXTURE_TILE_PX
    cut: NDArray[np.float32] = tile[rows][:, cols]
    if rng.random() < 0.5:
        cut = cut[::-1, ::-1]
    return cut


def _blotches(rng: np.random.Generator, side_px: int, cells: int) -> NDArray[np.float32]:
    """Smooth isotropic noise of unit variance with `cells` cells across the map."""
    coarse = rng.standard_normal((cells + 3, cells + 3)).astype(np.float32)
    fine: NDArray[np.float32] = cv2.resize(coarse, (side_px, side_px), interpolation=cv2.INTER_CUBIC)
    return fine


def _smooth_noise(rng: np.random.Generator, n: int, cells: int) -> NDArray[np.float64]:
    knots = rng.standard_normal(cells + 1)
    noise: NDArray[np.float64] = np.interp(np.linspace(0, cells, n), np.arange(cells + 1), knots)
    return noise


def _veins(rng: np.random.Generator, side_px: int) -> NDArray[np.float32]:
    """The superficial arch, digital and metacarpal veins, thenar and hypothenar trees, with branches that thin out; over mottled tissue."""
    canvas = Canvas(side_px, SKIN_EXTENT_SPANS, SKIN_X_SPANS[0], SKIN_Y_SPANS[0])
    arch_y = rng.normal(0.68, 0.12)
    arch = np.array([(-0.95, arch_y + 0.35), (-0.4, arch_y), (0.15, arch_y - 0.08), (0.7, arch_y + 0.12), (1.1, arch_y + 0.4)])
    trunks = [(curve((arch + rng.normal(0, 0.07, arch.shape)).astype(np.float32)), rng.uniform(0.04, 0.075))]
    for valley in (0.5, 0.0, -0.5, -0.9, 0.95):  # from each gap of the fingers towards the wrist, converging
        for _ in range(1 + int(rng.random() < 0.35)):
            start = np.array([valley + rng.normal(0, 0.09), rng.uniform(-0.1, 0.15)], np.float32)
            aim = np.array([valley * rng.uniform(0.2, 0.8) + rng.normal(0, 0.15), 1.9])
            heading = float(np.arctan2(aim[1] - start[1], aim[0] - start[0]))
            trunks.append((wander(rng, start, heading, rng.uniform(0.6, 2.0), 0.22), rng.uniform(0.03, 0.075)))
    for _ in range(rng.integers(5, 11)):  # thenar, hypothenar and wrist: no two hands agree
        start = rng.uniform((-1.0, 0.3), (1.0, 2.0)).astype(np.float32)
        trunks.append((wander(rng, start, rng.uniform(0, 2 * np.pi), rng.uniform(0.4, 1.4), 0.25), rng.uniform(0.025, 0.065)))
    budget = 90  # branches in all
    while trunks and budget > 0:
        path, width = trunks.pop(0)
        n = len(path)
        thinning = np.linspace(1.0, rng.uniform(0.4, 0.9), n) * np.clip(1 + 0.25 * _smooth_noise(rng, n, 6), 0.2, 1.8)
        deep = np.clip(1 + 0.5 * _smooth_noise(rng, n, 3), 0.1, 1.8)  # a vein dives under and comes up again
        canvas.stroke(path, rng.uniform(0.09, 0.22) * (width / 0.05) ** 0.7 * thinning * deep, width)
        for _ in range(rng.poisson(1.1 if width > 0.035 else 0.5)):
            at = int(rng.integers(2, max(3, n - 3)))
            along = path[min(at + 2, n - 1)] - path[at - 2]
            heading = float(np.arctan2(along[1], along[0])) + rng.choice([-1, 1]) * rng.uniform(0.4, 1.2)
            if width > 0.018:
                trunks.append((wander(rng, path[at], heading, rng.uniform(0.2, 0.9), 0.32), width * rng.uniform(0.45, 0.8)))
                budget -= 1
    vessels = canvas.depth()
    mottling = _blotches(rng, side_px, 7) * 0.03 + _blotches(rng, side_px, 14) * 0.018 + _blotches(rng, side_px, 30) * 0.01
    soft = cv2.GaussianBlur(vessels, (0, 0), 0.012 * side_px / SKIN_EXTENT_SPANS * rng.uniform(0.8, 1.6))
    limited: NDArray[np.float32] = np.clip(1.0 - soft + mottling, 0.3, 1.4).astype(np.float32)
    return limited
