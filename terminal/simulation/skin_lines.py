"""The lines of a palm, drawn on a canvas of the hand plane: principal and secondary creases, long fine lines, grids, wrinkles.

Units as in `terminal.simulation.skin`: one span is the distance of the outer valleys, +x runs to the thumb's side, +y to the wrist.
What real palms of research sets show at 128 px a side: creases of two or three pixels, and, just as telling, many nearly straight lines of
one pixel that cross each other at all angles, and patches where two families of parallel lines make a grid.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from terminal.simulation.strokes import Canvas, curve, smooth_noise, wander

_LIFE_CENTRE = (0.72, 1.22)  # the ball of the thumb: skin lines turn around it
_SIMIAN_SHARE = 0.04
_LOOSE_SHARE = 0.15
_THENAR = (0.52, 1.28)
LONG_FINE_MAX = 70
"""Of the long fine lines of one palm."""

Points = NDArray[np.float32]


def _log_uniform(rng: np.random.Generator, low: float, high: float) -> float:
    return float(np.exp(rng.uniform(np.log(low), np.log(high))))


def principal(shared: np.random.Generator, rng: np.random.Generator, canvas: Canvas) -> None:
    """Heart, head and life line; one person in twenty-five has a simian crease in place of the first two.

    `shared` draws their course, which relatives have nearly in common; `rng` draws the rest. The two may be one generator.
    """
    for line in _courses(shared):
        own = line if shared is rng else _nudged(rng, line)
        depth, width = rng.uniform(0.1, 0.3), _log_uniform(rng, 0.012, 0.036)
        _crease(rng, canvas, own, depth, width)
        for _ in range(rng.integers(0, 4)):  # forks and side lines leave a crease at a small angle
            at = int(rng.integers(len(own) // 5, len(own) - 5))
            along = own[at + 4] - own[at - 4] if at >= 4 else own[4] - own[0]
            heading = float(np.arctan2(along[1], along[0])) + rng.choice([-1, 1]) * rng.uniform(0.25, 0.8)
            fork = wander(rng, own[at], heading, rng.uniform(0.12, 0.5), 0.35)
            _crease(rng, canvas, fork, depth * rng.uniform(0.3, 0.75), width * rng.uniform(0.4, 0.8))


def _courses(rng: np.random.Generator) -> list[Points]:
    """The principal lines' courses, without depth.

    People differ less in them than one would think: in research sets, the mean over a hundred strangers' palms still shows all three lines.
    Most people keep within two millimetres of the mean, one in seven strays twice as far.
    """
    loose = 2.0 if rng.random() < _LOOSE_SHARE else 1.0

    def jitter(points: list[tuple[float, float]], spread: float) -> Points:
        moved = np.asarray(points, np.float32) + rng.normal(0.0, loose * spread, (len(points), 2)).astype(np.float32)
        return curve(moved)

    lift, tilt, bend = (loose * rng.normal(0.0, spread) for spread in (0.03, 0.04, 0.045))
    start_y = 0.56 + loose * rng.normal(0.0, 0.04)
    reach, end_y = float(np.clip(rng.normal(0.22, 0.17), -0.05, 0.62)), rng.normal(0.17, 0.06)
    heart = jitter([(-1.1, 0.57 + lift), (-0.65, 0.49 + lift), (-0.25, 0.41 + lift + tilt / 2), (reach, end_y + tilt)], 0.02)
    gap = max(0.0, rng.normal(0.02, 0.04))
    end_x = rng.uniform(-0.85, -0.4)
    end = (end_x, 0.8 - 0.45 * (end_x + 0.3) + bend + rng.normal(0.0, 0.06))
    head = jitter([(1.05, start_y - gap), (0.5, 0.59 + bend / 2), (0.05, 0.67 + bend), (-0.3, 0.8 + bend), end], 0.022)
    life_x, foot = loose * rng.normal(-0.06, 0.055), rng.normal(-0.03, 0.08)
    life = jitter(
        [
            (1.05, start_y),
            (0.65, 0.6 + bend / 3),
            (0.32, 0.8 + bend / 4),
            (life_x + 0.15, 1.06),
            (life_x, 1.38),
            (life_x + foot, 1.7),
            (life_x + 2 * foot + 0.04, 1.95),
        ],
        0.022,
    )
    if rng.random() < _SIMIAN_SHARE:
        return [jitter([(-1.1, 0.6), (-0.4, 0.58 + lift), (0.3, 0.52 + tilt), (1.05, start_y)], 0.03), life]
    return [heart, head, life]


def _nudged(rng: np.random.Generator, line: Points) -> Points:
    """A relative's line: the same course but for a shift and a slow bend of about a millimetre."""
    n = len(line)
    bend = np.stack([smooth_noise(rng, n, 3), smooth_noise(rng, n, 3)], 1) * 0.014 + rng.normal(0.0, 0.016, 2)
    return (line + bend).astype(np.float32)


def _crease(rng: np.random.Generator, canvas: Canvas, line: Points, depth: float, width: float) -> None:
    """One crease as skin shows it: uneven in depth, sometimes broken, doubled, chained or lit at one edge."""
    n = len(line)
    taper = np.clip(np.minimum(np.arange(n) + 2, n + 1 - np.arange(n)) / (0.22 * n), 0.15, 1.0)
    profile = taper * np.clip(1.0 + 0.3 * smooth_noise(rng, n, 7) + 0.25 * smooth_noise(rng, n, 25), 0.05, 2.0)
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


def secondary(rng: np.random.Generator, canvas: Canvas) -> None:
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


def thenar(rng: np.random.Generator, canvas: Canvas) -> None:
    """The crepe on the ball of the thumb: soft folds side by side, across the hand, and fine lines across the folds."""
    strength = _log_uniform(rng, 0.012, 0.1)
    centre = np.asarray(_THENAR) + rng.normal(0.0, 0.07, 2)
    heading, spacing, reach = rng.normal(0.08, 0.2), rng.uniform(0.035, 0.085), rng.uniform(0.2, 0.42)
    across = np.array([-np.sin(heading), np.cos(heading)])
    for offset in np.arange(-reach, reach, spacing):
        half = rng.uniform(0.15, 0.42) * np.sqrt(max(0.05, 1.0 - (offset / reach) ** 2))
        start = centre + across * (offset + rng.normal(0.0, 0.25 * spacing)) - np.array([half, 0.0]) + rng.normal(0.0, 0.05, 2)
        path = wander(rng, start.astype(np.float32), heading + rng.normal(0.0, 0.1), 2 * half, 0.15)
        fade = np.sin(np.linspace(0.15, np.pi - 0.15, len(path))) * np.clip(1 + 0.5 * smooth_noise(rng, len(path), 4), 0, 2)
        canvas.stroke(path, strength * rng.uniform(0.4, 1.4) * fade, spacing * rng.uniform(0.15, 0.5))
    if rng.random() < 0.8:
        _hatch(rng, canvas, centre, heading + np.pi / 2 + rng.normal(0.0, 0.25), strength * rng.uniform(0.3, 0.9))


def wrinkles(rng: np.random.Generator, canvas: Canvas) -> None:
    """Some hundred short fine lines that follow the skin's grain or cross it; how many and how deep is the person's own."""
    scale = rng.uniform(0.7, 1.8)
    cross = rng.uniform(0.15, 0.5)
    hot = rng.uniform((-0.9, 0.0), (0.9, 1.8), (6, 2))  # lines gather where the skin folds
    for _ in range(int(rng.uniform(40, 220))):
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
    along = float(grain(np.float32(centre[0]), np.float32(centre[1])))
    return along + rng.normal(0.0, 0.28) + (np.pi / 2 if rng.random() < cross else 0.0) + np.pi * int(rng.integers(2))


def _wrinkle(
    rng: np.random.Generator, canvas: Canvas, start: NDArray[np.float64], heading: float, length: float, depth: float
) -> None:
    """One short fine line; one in eight is brighter than the skin beside it."""
    path = wander(rng, start.astype(np.float32), heading, length, 0.22)
    n = len(path)
    fade = np.sin(np.linspace(0.15, np.pi - 0.15, n)) * np.clip(1 + 0.4 * smooth_noise(rng, n, 4), 0, 2)
    bright = -0.5 if rng.random() < 0.12 else 1.0
    canvas.stroke(path, bright * depth * fade, rng.uniform(0.006, 0.018))


def grain(x: NDArray[np.float32] | np.float32, y: NDArray[np.float32] | np.float32) -> NDArray[np.float32]:
    """Direction of the skin's grain in radians: across under the fingers, turning around the ball of the thumb, oblique at the edge."""
    around = np.arctan2(y - _LIFE_CENTRE[1], x - _LIFE_CENTRE[0]) + np.pi / 2
    near = np.exp(-((x - _LIFE_CENTRE[0]) ** 2 + (y - _LIFE_CENTRE[1]) ** 2) / 0.55)
    fingers = 1.0 / (1.0 + np.exp((y - 0.25) * 9.0)) * 1.35  # below the fingers wrinkles run along the hand
    oblique = 0.25 + 0.35 * np.tanh(y - 0.9) - 0.2 * x
    c = near * np.cos(2 * around) + (1 - near) * np.cos(2 * (oblique + fingers))
    s = near * np.sin(2 * around) + (1 - near) * np.sin(2 * (oblique + fingers))
    direction: NDArray[np.float32] = (0.5 * np.arctan2(s, c)).astype(np.float32)
    return direction


def long_fine(rng: np.random.Generator, canvas: Canvas) -> None:
    """Nearly straight lines, thin and long, that cross the creases and each other; some people have few of them, some dozens."""
    count = int(rng.gamma(1.8, 10.0))
    strength = rng.uniform(0.5, 1.6)
    fans = rng.uniform(0.0, np.pi, 3)  # a hand folds in a few directions: most of its fine lines follow one of them
    for _ in range(min(count, LONG_FINE_MAX)):
        start = rng.uniform((-1.05, 0.0), (1.0, 1.8)).astype(np.float32)
        heading = fans[rng.integers(3)] + rng.normal(0.0, 0.2) if rng.random() < 0.7 else rng.uniform(0.0, np.pi)
        path = wander(rng, start, heading + np.pi * int(rng.integers(2)), 0.2 + rng.gamma(2.0, 0.22), 0.07)
        _crease(rng, canvas, path, strength * rng.uniform(0.025, 0.12), _log_uniform(rng, 0.007, 0.017))


def grids(rng: np.random.Generator, canvas: Canvas) -> None:
    """Patches in which two families of parallel lines cross, mostly on the ball of the thumb and at the hand's edge."""
    for _ in range(rng.integers(0, 5)):
        home = ((0.6, 1.2), (-0.75, 1.0), (0.0, 1.3), (0.3, 0.25), (-0.5, 0.2))[int(rng.integers(5))]
        centre = np.asarray(home) + rng.normal(0.0, 0.18, 2)
        heading = rng.uniform(0.0, np.pi)
        families = ((heading, 1.0), (heading + rng.uniform(0.7, 1.6), rng.uniform(0.3, 1.0)))
        for turn, weight in families[: 1 + int(rng.random() < 0.7)]:
            _hatch(rng, canvas, centre, turn, weight * rng.uniform(0.02, 0.08))


def _hatch(rng: np.random.Generator, canvas: Canvas, centre: NDArray[np.float64], heading: float, depth: float) -> None:
    """Parallel fine lines around a centre."""
    spacing, length, reach = rng.uniform(0.028, 0.08), rng.uniform(0.2, 0.6), rng.uniform(0.12, 0.35)
    along, across = np.array([np.cos(heading), np.sin(heading)]), np.array([-np.sin(heading), np.cos(heading)])
    for offset in np.arange(-reach, reach, spacing):
        if rng.random() < 0.2:
            continue
        half = length * np.sqrt(max(0.05, 1.0 - (offset / reach) ** 2)) / 2
        start = centre + across * (offset + rng.normal(0.0, 0.2 * spacing)) - along * (half + rng.normal(0.0, 0.06))
        _wrinkle(
            rng, canvas, start, heading + rng.normal(0.0, 0.06), 2 * half * rng.uniform(0.7, 1.2), depth * rng.uniform(0.4, 1.4)
        )
