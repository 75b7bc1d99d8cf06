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

from terminal.simulation import skin_lines
from terminal.simulation.strokes import Canvas, curve, smooth_noise, wander

SKIN_X_SPANS = (-1.5, 1.5)
SKIN_Y_SPANS = (-1.0, 2.0)
SKIN_EXTENT_SPANS = 3.0
"""The maps cover this square of the hand plane, in valley spans."""

SKIN_SIDE_PX = 384
SKIN_SIDE_PX_MIN = 64
SKIN_SIDE_PX_MAX = 1024

_TEXTURE_TILE_PX = 512
_TEXTURE_ORIENTATIONS = 8
_TEXTURE_STRENGTHS = (0.2, 1.4)  # of the smoothest and the roughest skin
_TEXTURE_WAVELENGTHS_SPANS = (0.028, 0.055, 0.11)


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


def grow(seed: int, side_px: int = SKIN_SIDE_PX, family: int | None = None) -> Skin:
    """Grow the skin of person `seed` (0 or more).

    `family`: people of one family have nearly the same principal lines and differ in all the rest; None: everybody is of their own.
    Raises ValueError for a side outside SKIN_SIDE_PX_MIN..SKIN_SIDE_PX_MAX.
    """
    if not SKIN_SIDE_PX_MIN <= side_px <= SKIN_SIDE_PX_MAX:
        raise ValueError(f"side_px must be {SKIN_SIDE_PX_MIN} to {SKIN_SIDE_PX_MAX}, not {side_px}")
    surface_rng, veins_rng = (np.random.default_rng([seed, part]) for part in (1, 2))
    shared = None if family is None else np.random.default_rng([family, 3])
    return Skin(seed, _surface(surface_rng, side_px, shared), _veins(veins_rng, side_px))


def _surface(rng: np.random.Generator, side_px: int, shared: np.random.Generator | None) -> NDArray[np.float32]:
    """Creases, wrinkles and texture, each with this person's own strength."""
    canvas = Canvas(side_px, SKIN_EXTENT_SPANS, SKIN_X_SPANS[0], SKIN_Y_SPANS[0])
    skin_lines.principal(shared or rng, rng, canvas)
    skin_lines.secondary(rng, canvas)
    skin_lines.long_fine(rng, canvas)
    skin_lines.grids(rng, canvas)
    skin_lines.thenar(rng, canvas)
    skin_lines.wrinkles(rng, canvas)
    lines = canvas.depth()
    texture = _texture(rng, side_px)
    worn = 1.0 - 0.35 * _blotches(rng, side_px, 5).clip(-1.0, 1.0)  # skin is not equally lined everywhere
    relief = _blotches(rng, side_px, 9) * 0.03 + _blotches(rng, side_px, 22) * 0.024 + _blotches(rng, side_px, 48) * 0.014
    surface = (
        1.0 - rng.uniform(0.75, 1.3) * worn * lines + float(np.exp(rng.uniform(np.log(0.2), np.log(1.4)))) * worn * texture + relief
    )
    limited: NDArray[np.float32] = np.clip(surface, 0.3, 1.5).astype(np.float32)
    return limited


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
    direction = skin_lines.grain(x, y) + 0.6 * _blotches(rng, side_px, 5)
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
            trunks.append((wander(rng, start, heading, rng.uniform(0.6, 2.0), 0.22), rng.uniform(0.025, 0.07)))
    for _ in range(rng.integers(6, 15)):  # thenar, hypothenar and wrist: no two hands agree
        start = rng.uniform((-1.0, 0.3), (1.0, 2.0)).astype(np.float32)
        trunks.append((wander(rng, start, rng.uniform(0, 2 * np.pi), rng.uniform(0.3, 1.2), 0.4), rng.uniform(0.025, 0.065)))
    trunks += _links(rng, [path for path, _ in trunks])
    budget = 90  # branches in all
    while trunks and budget > 0:
        path, width = trunks.pop(0)
        n = len(path)
        thinning = np.linspace(1.0, rng.uniform(0.4, 0.9), n) * np.clip(1 + 0.25 * smooth_noise(rng, n, 6), 0.2, 1.8)
        deep = np.clip(1 + 0.7 * smooth_noise(rng, n, 5), 0.1, 2.0)  # a vein dives under and comes up again
        canvas.stroke(path, rng.uniform(0.09, 0.22) * (width / 0.05) ** 0.7 * thinning * deep, width)
        for _ in range(rng.poisson(1.1 if width > 0.035 else 0.5)):
            at = int(rng.integers(2, max(3, n - 3)))
            along = path[min(at + 2, n - 1)] - path[at - 2]
            heading = float(np.arctan2(along[1], along[0])) + rng.choice([-1, 1]) * rng.uniform(0.4, 1.2)
            if width > 0.018:
                trunks.append((wander(rng, path[at], heading, rng.uniform(0.2, 0.9), 0.32), width * rng.uniform(0.45, 0.8)))
                budget -= 1
    vessels = canvas.depth()
    mottling = _blotches(rng, side_px, 7) * 0.03 + _blotches(rng, side_px, 14) * 0.026 + _blotches(rng, side_px, 30) * 0.018
    soft = cv2.GaussianBlur(vessels, (0, 0), 0.012 * side_px / SKIN_EXTENT_SPANS * rng.uniform(0.8, 1.6))
    limited: NDArray[np.float32] = np.clip(1.0 - soft + mottling, 0.3, 1.4).astype(np.float32)
    return limited


def _links(rng: np.random.Generator, trunks: list[NDArray[np.float32]]) -> list[tuple[NDArray[np.float32], float]]:
    """Veins from one trunk to a neighbouring one: what closes the net's meshes, half a centimetre to one and a half wide."""
    places = np.concatenate([path[::3] for path in trunks])
    links = []
    for _ in range(rng.integers(10, 30)):
        start = places[rng.integers(len(places))]
        apart = np.hypot(*(places - start).T)
        near = places[(apart > 0.12) & (apart < 0.4)]
        if len(near) == 0:
            continue
        end = near[rng.integers(len(near))]
        middle = 0.5 * (start + end) + rng.normal(0.0, 0.06, 2)
        links.append((curve(np.stack([start, middle, end]).astype(np.float32)), float(rng.uniform(0.018, 0.05))))
    return links
