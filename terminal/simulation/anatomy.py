"""The outline of a hand in a posture: where palm, fingers, thumb, valleys and wrist lie in the plane of the hand.

The plane: unit is the valley span, origin the middle between the outer valleys, x to the thumb's side, y to the wrist; a right hand, palm
seen. The three valleys are construction points, so they are exact: every finger's edges start in them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from terminal.simulation.person import Finger, Person

WEB_SPANS = 0.13
"""How far the web of skin between two fingers rounds their edges off."""

STRETCH = 0.24
"""By how much the outer valleys come apart from fingers together to fingers spread wide, relative to the rest of the hand."""

APART_DEG = 1.5
"""Neighbouring fingers diverge by this at least, unless they are held together."""

ARM_END_SPANS = 4.0
"""The forearm is drawn down to here; further down it goes on unchanged."""


@dataclass(frozen=True, slots=True)
class Posture:
    """What a person does with the fingers; fixed while a hand is held out."""

    spread: float = 0.4  # 0 fingers together .. 0.4 relaxed .. 1 as wide as they go
    thumb_deg: float = 48.0  # between the thumb and "up"
    stagger_deg: tuple[float, float, float, float] = (0.0, 0.0, 0.0, 0.0)  # each finger's own deviation

    @classmethod
    def draw(cls, rng: np.random.Generator) -> Posture:
        """As shoppers hold their hands: mostly relaxed, one in eight with the fingers together, some stretched."""
        together = rng.random() < 0.125
        spread = float(rng.uniform(0.0, 0.06)) if together else float(np.clip(rng.beta(2.2, 2.6), 0.08, 1.0))
        thumb = float(rng.uniform(18, 40) if together else np.clip(rng.normal(50, 11), 24, 78))
        limit = 0.4 if together else 1.6
        stagger = tuple(float(v) for v in np.clip(rng.normal(0, limit, 4), -2 * limit, 2 * limit))
        return cls(round(spread, 3), round(thumb, 1), (stagger[0], stagger[1], stagger[2], stagger[3]))


@dataclass(frozen=True, slots=True)
class Limb:
    """A finger or thumb in place: `base` is where its axis starts, `left` and `right` are where its edges start (x, y)."""

    shape: Finger
    base: tuple[float, float]
    angle_deg: float  # clockwise from "up"
    left: tuple[float, float]
    right: tuple[float, float]
    web_left: float
    web_right: float


@dataclass(frozen=True, slots=True)
class Figure:
    """A hand in a posture. Points are float64 [.., 2] in valley spans of this posture."""

    person: Person
    posture: Posture
    fingers: tuple[Limb, Limb, Limb, Limb]
    thumb: Limb
    palm: NDArray[np.float64]  # closed outline of palm and forearm
    valleys: NDArray[np.float64]  # [3, 2]
    wrist: NDArray[np.float64]  # [2]
    wrist_half: float
    span_mm: float  # of this posture: spreading the fingers takes the valleys apart


def _rounded(points: list[tuple[float, float]], steps: int = 10) -> NDArray[np.float64]:
    """Catmull-Rom through `points`, ends included; a smooth open line."""
    p = np.asarray([points[0], *points, points[-1]], np.float64)
    t = np.linspace(0, 1, steps, endpoint=False)[:, None]
    pieces = []
    for a, b, c, d in zip(p[:-3], p[1:-2], p[2:-1], p[3:], strict=True):
        pieces.append(0.5 * (2 * b + (c - a) * t + (2 * a - 5 * b + 4 * c - d) * t**2 + (3 * b - a - 3 * c + d) * t**3))
    return np.concatenate([*pieces, p[-2:-1]])


def figure(person: Person, posture: Posture) -> Figure:
    """Put a person's hand into a posture."""
    stretch = 1 + STRETCH * (posture.spread - 0.3)
    k = 1 / stretch
    spread = posture.spread
    v0, v2 = (0.5, 0.0), (-0.5, 0.0)
    v1 = person.valley_mid
    outer_i = (0.5 + (person.outer_index[0] - 0.5) * k, person.outer_index[1] * k)
    outer_l = (-0.5 + (person.outer_little[0] + 0.5) * k, person.outer_little[1] * k)
    anchors = (outer_i, v0, v1, v2, outer_l)
    lean = (9.0 * spread - 1.6, 2.2 * spread - 0.6, -5.5 * spread + 0.4, -15.0 * spread + 2.2)
    together = max(0.0, 1 - spread / 0.12)  # touching fingers are parallel and as wide as their bases allow
    limbs: list[Limb] = []
    for i, shape in enumerate(person.fingers):
        right, left = anchors[i], anchors[i + 1]
        angle = (shape.lean_deg * (1 - 0.8 * together) + lean[i]) + posture.stagger_deg[i]
        if limbs and together < 1:  # fingers that are not together don't cross
            angle = min(angle, limbs[-1].angle_deg - APART_DEG)
        middle = ((left[0] + right[0]) / 2, (left[1] + right[1]) / 2)
        # A finger that stands free leaves room for the web on both sides, or its neighbour would hide the valley.
        turn = np.deg2rad(angle)
        room = (right[0] - left[0]) * np.cos(turn) + (right[1] - left[1]) * np.sin(turn)
        half = float(min(shape.half_width * k * (1 + 0.05 * together), room * (0.455 + 0.045 * together)))
        placed = Finger(
            shape.length * k, half, shape.taper * (1 - 0.4 * together), shape.joints, shape.lean_deg, shape.bow * (1 - together)
        )
        limbs.append(Limb(placed, middle, angle, left, right, 0.30 if i == 3 else WEB_SPANS, 0.34 if i == 0 else WEB_SPANS))
    half = person.half_breadth * k
    wrist_y, wrist_half = person.wrist_y * k, person.wrist_half * k
    open_deg = posture.thumb_deg
    # The further the thumb is abducted, the lower and further out its root, and the longer the web.
    out = (open_deg - 48) / 48
    root = (half * (0.72 + 0.05 * out), wrist_y * (0.56 + 0.04 * out))
    thumb_shape = Finger(person.thumb.length * k, person.thumb.half_width * k, 0.16, (0.36, 0.68), 0.0, person.thumb.bow - 0.08)
    angle = np.deg2rad(open_deg)
    along, across = np.array([np.sin(angle), -np.cos(angle)]), np.array([np.cos(angle), np.sin(angle)])
    start = np.asarray(root)
    upper = start + along * 0.42 * k - across * thumb_shape.half_width * 1.25
    lower = start + along * 0.20 * k + across * thumb_shape.half_width * 1.35
    thumb = Limb(thumb_shape, root, open_deg, (float(upper[0]), float(upper[1])), (float(lower[0]), float(lower[1])), 0.5, 0.6)
    web = (outer_i[0] - 0.02, outer_i[1] + (wrist_y * 0.40 - outer_i[1]) * 0.55)
    radial = [
        outer_i,
        web,
        (float(upper[0]) - 0.03, float(upper[1]) + 0.04),
        (float(start[0] + along[0] * 0.30 * k), float(start[1] + along[1] * 0.30 * k)),
        (float(lower[0]), float(lower[1])),
        (wrist_half + (half - wrist_half) * 0.75, wrist_y * 0.84),
        (wrist_half * 1.02, wrist_y * 0.98),
        (wrist_half * 0.98, wrist_y * 1.12),
        (wrist_half * 1.06, wrist_y * 1.45),
        (wrist_half * 1.22, ARM_END_SPANS + 1),
    ]
    ulnar = [
        (-wrist_half * 1.22, ARM_END_SPANS + 1),
        (-wrist_half * 1.06, wrist_y * 1.45),
        (-wrist_half * 1.0, wrist_y * 1.12),
        (-wrist_half * 1.06, wrist_y * 0.98),
        (-half * 0.90, wrist_y * 0.80),
        (-half * 0.99, wrist_y * 0.52),
        (-half * 0.97, wrist_y * 0.30),
        outer_l,
    ]
    palm = np.concatenate([[v1, v0], _rounded(radial), _rounded(ulnar), [v2]])
    return Figure(
        person=person,
        posture=posture,
        fingers=(limbs[0], limbs[1], limbs[2], limbs[3]),
        thumb=thumb,
        palm=palm,
        valleys=np.array([v0, v1, v2], np.float64),
        wrist=np.array([0.0, wrist_y], np.float64),
        wrist_half=wrist_half,
        span_mm=person.span_mm * stretch,
    )
