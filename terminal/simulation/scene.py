"""One frame: a prepared hand bent into its pose, lit, seen by the lens, exposed. And the truth about it.

Pose conventions: z is the distance; roll turns the hand clockwise in the picture (0: fingers up); yaw > 0 takes the picture's right side
of the hand away from the lens; pitch > 0 takes the fingertips away. Angles act on the hand as pitch after yaw, then roll.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

from terminal.palm.types import Side
from terminal.reader.frame import Light
from terminal.simulation import optics
from terminal.simulation.anatomy import Posture
from terminal.simulation.conditions import Conditions, Subject
from terminal.simulation.drawing import UNIT
from terminal.simulation.optics import F32, Camera
from terminal.simulation.person import Person
from terminal.simulation.room import room
from terminal.simulation.texture import Prepared, prepare, sheet_for

CENTRE_SPANS = 0.85
"""The middle of the palm, below the line of the valleys: what `Pose.position_mm` places."""

NEWTON_STEPS = 3
FAINT_DAYLIGHT = 0.08
"""Below this share of the reader's light, daylight is not split by polarisation."""

COVERED = 0.04
"""Reflectance above this hides a dark room behind; the darkest cloth has more. Bright rooms need the exact outline, at 1 ms a frame."""

EXPOSURE_US = 4000
GAIN = 2.0
"""The product's ordinary exposure and gain: Conditions.exposure is relative to these."""


@dataclass(frozen=True, slots=True)
class Pose:
    """Where a hand is and how it is bent. Millimetres in camera coordinates, degrees."""

    position_mm: tuple[float, float, float] = (0.0, 0.0, 110.0)
    roll_deg: float = 0.0
    yaw_deg: float = 0.0
    pitch_deg: float = 0.0
    bend: float = 0.15  # depth of the cupped palm, as a share of its width
    curl: float = 0.15  # how much the fingers bend towards the lens
    posture: Posture = field(default_factory=Posture)
    velocity_mm_s: tuple[float, float, float] = (0.0, 0.0, 0.0)

    @classmethod
    def draw(cls, rng: np.random.Generator, wild: float = 1.0) -> Pose:
        """As hands come: `wild` 1 is the spread that a finder must bear, 0.5 a practised shopper, 0 the ideal."""
        distance = float(np.clip(rng.normal(108, 10 + 26 * wild), 50, 200)) if wild > 0 else 110.0
        side = 0.25 * distance * wild
        return cls(
            position_mm=(float(rng.normal(0, side)), float(rng.normal(0, 0.6 * side)), distance),
            roll_deg=float(np.clip(rng.normal(0, 22 * wild), -95, 95)),
            yaw_deg=float(np.clip(rng.normal(0, 13 * wild), -32, 32)),
            pitch_deg=float(np.clip(rng.normal(0, 10 * wild), -27, 27)),
            bend=float(rng.uniform(0.04, 0.28)) if wild > 0 else 0.1,
            curl=float(rng.beta(1.6, 3.5)),
            posture=Posture.draw(rng),
        )


@dataclass(frozen=True, slots=True)
class Truth:
    """What is really in a frame. Points are float32 (x, y) in pixels, pixel centres at whole numbers, also where outside the frame."""

    subject: Subject
    side: Side
    palm_up: bool
    valleys: F32  # [3, 2]: index/middle, middle/ring, ring/little
    wrist: F32  # [2]
    visible: tuple[bool, bool, bool, bool]  # the three valleys and the wrist lie inside the frame
    distance_mm: float  # of the middle of the palm
    roll_deg: float
    yaw_deg: float
    pitch_deg: float
    span_mm: float
    daylight: float  # ambient light and sun on the hand, share of the reader's own light at 110 mm


@dataclass(frozen=True, slots=True)
class Rendered:
    """A frame, uint8 [height, width], and the truth about its (first) hand."""

    pixels: NDArray[np.uint8] = field(repr=False)
    truth: Truth


@dataclass(frozen=True, slots=True)
class Actor:
    """One hand in view."""

    person: Person
    side: Side
    pose: Pose
    conditions: Conditions


@dataclass(frozen=True, slots=True)
class _Placed:
    """A prepared hand in its pose: rotation [3, 3] and position [3], camera = rotation @ hand + position."""

    hand: Prepared
    pose: Pose
    rotation: NDArray[np.float64]
    position: NDArray[np.float64]
    mirror: float  # -1 where the plane's x points to the picture's left

    def height(self, u: NDArray[np.floating], v: NDArray[np.floating]) -> tuple[NDArray[np.floating], ...]:
        """Depth of the hand's surface below its plane and its two slopes, all in spans (negative: towards the lens)."""
        half = self.hand.figure.person.half_breadth
        bend = 2 * half * self.pose.bend
        n = u * (1 / half)
        steep = np.minimum(np.maximum(n, -0.85), 0.95)  # beyond, the surface goes on straight
        h = -bend * (2 * n * steep - steep**2) + bend * 0.3
        h_u = (-2 * bend / half) * steep
        up = np.maximum(0.0, -v)
        curl = 0.27 * self.pose.curl
        arm = v - 1.9
        h = h - curl * up * up + 0.12 * np.maximum(0.0, arm)
        h_v = 2 * curl * up + 0.12 * (arm > 0)
        return h, h_u, h_v

    def to_camera(self, points: NDArray[np.float64]) -> NDArray[np.float64]:
        """Plane points [.., 2] in spans to camera points [.., 3] in mm."""
        span = self.hand.figure.span_mm
        depth = self.height(points[..., 0], points[..., 1])[0]
        local = np.stack([self.mirror * points[..., 0], points[..., 1] - CENTRE_SPANS, depth], -1) * span
        return local @ self.rotation.T + self.position


def rotation(roll_deg: float, yaw_deg: float, pitch_deg: float) -> NDArray[np.float64]:
    """Rotation matrix [3, 3] of a pose."""
    r, y, p = np.deg2rad((roll_deg, yaw_deg, pitch_deg))
    about_z = np.array([[np.cos(r), -np.sin(r), 0], [np.sin(r), np.cos(r), 0], [0, 0, 1]])
    about_y = np.array([[np.cos(y), 0, -np.sin(y)], [0, 1, 0], [np.sin(y), 0, np.cos(y)]])
    about_x = np.array([[1, 0, 0], [0, np.cos(p), np.sin(p)], [0, -np.sin(p), np.cos(p)]])
    made: NDArray[np.float64] = about_z @ about_x @ about_y
    return made


def _place(hand: Prepared, pose: Pose) -> _Placed:
    return _Placed(
        hand,
        pose,
        rotation(pose.roll_deg, pose.yaw_deg, pose.pitch_deg),
        np.asarray(pose.position_mm, np.float64),
        -1.0 if hand.mirrored else 1.0,
    )


def _hit(placed: _Placed, view: Camera) -> tuple[F32, F32, F32, F32]:
    """Where each ray of the coarse grid meets the hand's surface: plane x, y (spans), camera point and normal."""
    span = np.float32(placed.hand.figure.span_mm)
    turned = placed.rotation.astype(np.float32)
    mirror = np.float32(placed.mirror)
    d = view.rays @ (turned / span)
    dx, dy, dz = mirror * d[..., 0], d[..., 1], np.maximum(d[..., 2], np.float32(0.2) / span)
    o = (-(placed.position @ placed.rotation)).astype(np.float32) / span
    ox, oy, oz = mirror * o[0], o[1] + np.float32(CENTRE_SPANS), o[2]
    scale = -oz / dz
    for _ in range(NEWTON_STEPS):
        u = np.minimum(np.maximum(ox + scale * dx, -4), 4)
        v = np.minimum(np.maximum(oy + scale * dy, -4), 6)
        h, h_u, h_v = placed.height(u, v)
        slope = dz - h_u * dx - h_v * dy
        scale = scale - (oz + scale * dz - h) / np.maximum(slope, np.float32(0.35) * dz)
    u, v = ox + scale * dx, oy + scale * dy
    _, h_u, h_v = placed.height(u, v)
    normal = np.stack([mirror * h_u, h_v, np.full_like(h_u, -1)], -1)
    normal *= (1 / np.sqrt((normal * normal).sum(-1)))[..., None]
    return u, v, view.rays * scale[..., None], normal @ turned.T


def _daylight(conditions: Conditions, u: F32, v: F32, normals: F32) -> F32 | None:
    """Daylight on the hand [rows, columns] in units of the lamp, or None where there is next to none."""
    if not conditions.daylit:
        return None
    rng = np.random.default_rng([conditions.seed, 0x5A])
    turn = rng.uniform(0, 2 * np.pi)
    towards = np.array([0.8 * np.cos(turn), 0.8 * np.sin(turn), -0.6], np.float32)
    level = np.float32(conditions.ambient) * (0.65 + 0.35 * np.maximum(normals @ towards, 0))
    if conditions.sun >= 0.003:
        edge, lean = rng.uniform(-0.2, 1.2), rng.uniform(0, 2 * np.pi)
        across = u * np.cos(lean) + (v - CENTRE_SPANS) * np.sin(lean)
        patch = 1 / (1 + np.exp(np.clip((across - edge + 0.4) * 14, -30, 30)))
        level = level + np.float32(conditions.sun) * patch.astype(np.float32)
    return level.astype(np.float32)


def _lit_picture(
    placed: _Placed, view: Camera, light: Light, conditions: Conditions, counts: float
) -> tuple[F32, NDArray[np.uint8]]:
    """The hand alone, before blur and noise, float32 [height, width]; and how much it covers, uint8."""
    u, v, points, normals = _hit(placed, view)
    sheet, hand = placed.hand.sheet, placed.hand
    where = np.empty((*u.shape, 2), np.float32)
    corner = sheet.pixel(np.zeros(2))
    where[..., 0] = u * sheet.px + np.float32(corner[0])
    # Below the drawn part the forearm goes on as it was.
    where[..., 1] = np.minimum(v * sheet.px + np.float32(corner[1]), sheet.shape[0] - 2)
    maps, fine = cv2.convertMaps(view.enlarge(where), None, cv2.CV_16SC2)
    scale = view.vignette * np.float32(counts / UNIT)
    banks = {Light.DARK: (), Light.MIXED: (Light.PARALLEL, Light.CROSSED)}.get(light, (light,))
    levels: list[tuple[NDArray[np.uint16], F32]] = []
    for bank in banks:
        # Light changes slowly over the hand: every second node will do.
        level = optics.lamp(points[::2, ::2], normals[::2, ::2], bank, conditions.glare, conditions.wet) / np.float32(len(banks))
        levels.append((hand.crossed if bank is Light.CROSSED else hand.parallel, _between(level, u.shape)))
    day = _daylight(conditions, u, v, normals)
    if day is not None and conditions.ambient + conditions.sun < FAINT_DAYLIGHT:
        # Nobody can tell how so little light is polarised.
        levels = [(picture, level + day) for picture, level in levels[:1]] + levels[1:] if levels else [(hand.parallel, day)]
    elif day is not None:
        levels += [(hand.parallel, day / 2), (hand.crossed, day / 2)]
    covered: NDArray[np.uint8] | None = cv2.remap(hand.alpha, maps, fine, cv2.INTER_LINEAR) if conditions.bright_behind else None
    total: F32 | None = None
    for picture, level in levels or [(hand.parallel, np.zeros_like(u))]:
        flat = cv2.remap(picture, maps, fine, cv2.INTER_LINEAR)
        if covered is None:
            covered = cv2.convertScaleAbs(flat, alpha=255 / (COVERED * UNIT))
        lit = cv2.multiply(flat, view.enlarge((level * scale).astype(np.float32)), dtype=cv2.CV_32F)
        total = lit if total is None else cv2.add(total, lit, dst=total)
    assert total is not None
    assert covered is not None
    return total, covered


def _between(level: F32, shape: tuple[int, ...]) -> F32:
    """Every second node back to all nodes [rows, columns], both odd."""
    rows, columns = shape
    y, x = np.arange(rows, dtype=np.float32) / 2, np.arange(columns, dtype=np.float32) / 2
    across, down = np.meshgrid(x, y)
    made: F32 = cv2.remap(level, across, down, cv2.INTER_LINEAR)
    return made


def _truth(placed: _Placed, view: Camera, actor: Actor) -> Truth:
    shape = placed.hand.figure
    pixels = view.project(placed.to_camera(np.concatenate([shape.valleys, shape.wrist[None]])))
    inside = (pixels >= 0).all(1) & (pixels[:, 0] <= view.width - 1) & (pixels[:, 1] <= view.height - 1)
    conditions, pose = actor.conditions, actor.pose
    return Truth(
        subject=conditions.subject,
        side=actor.side,
        palm_up=placed.hand.palm_up,
        valleys=pixels[:3],
        wrist=pixels[3],
        visible=(bool(inside[0]), bool(inside[1]), bool(inside[2]), bool(inside[3])),
        distance_mm=float(pose.position_mm[2]),
        roll_deg=pose.roll_deg,
        yaw_deg=pose.yaw_deg,
        pitch_deg=pose.pitch_deg,
        span_mm=shape.span_mm,
        daylight=conditions.ambient + conditions.sun,
    )


def _smear_px(pose: Pose, view: Camera, exposure_us: int) -> tuple[float, float]:
    scale = view.focal_px / max(20.0, pose.position_mm[2]) * exposure_us * 1e-6
    return pose.velocity_mm_s[0] * scale, pose.velocity_mm_s[1] * scale


def render_scene(
    actors: Sequence[Actor],
    light: Light,
    conditions: Conditions,
    rng: np.random.Generator,
    size: tuple[int, int] = (400, 640),
    exposure_us: int = EXPOSURE_US,
    gain: float = GAIN,
) -> tuple[NDArray[np.uint8], list[Truth]]:
    """A frame with any number of hands, nearer ones last. `conditions` are those of the room and of the camera."""
    view = optics.camera(*size)
    amount = conditions.exposure * exposure_us / EXPOSURE_US * gain / GAIN
    picture = room(conditions, size, light is not Light.DARK, amount)
    truths = []
    for actor in actors:
        hand = prepare(actor.person, actor.side, actor.pose.posture, actor.conditions, sheet_for(size[1]).px)
        placed = _place(hand, actor.pose)
        truths.append(_truth(placed, view, actor))
        counts = amount * optics.REFERENCE_COUNTS
        if light is Light.DARK and picture is None and not actor.conditions.daylit:
            continue  # black before black
        lit, covered = _lit_picture(placed, view, light, actor.conditions, counts)
        if picture is not None:
            bare = cv2.bitwise_not(covered)
            lit = cv2.add(lit, cv2.multiply(picture, bare, scale=1 / 255, dtype=cv2.CV_32F), dst=lit)
        distance = max(30.0, actor.pose.position_mm[2])
        confusion = 120.0 * abs(distance - optics.FOCUS_MM) / (distance * optics.FOCUS_MM)
        sigma = conditions.defocus * (0.42 + confusion) * size[1] / 640
        picture = optics.blurred(lit, sigma, _smear_px(actor.pose, view, exposure_us))
    if picture is None:
        picture = np.zeros(size, np.float32)
    return optics.exposed(picture, rng, conditions.noise, gain), truths


def render(
    person: Person,
    side: Side,
    pose: Pose,
    light: Light,
    conditions: Conditions,
    rng: np.random.Generator,
    size: tuple[int, int] = (400, 640),
    exposure_us: int = EXPOSURE_US,
    gain: float = GAIN,
) -> Rendered:
    """One hand in one light. Frames are (height, width); small ones are cheap, drawn from a smaller picture of the hand."""
    actor = Actor(person, side, pose, conditions)
    pixels, truths = render_scene([actor], light, conditions, rng, size, exposure_us, gain)
    return Rendered(pixels, truths[0])


@lru_cache(maxsize=1)
def nobody() -> Person:
    """For scenes without a hand."""
    return Person.from_seed(0)


def render_empty(
    light: Light, conditions: Conditions, rng: np.random.Generator, size: tuple[int, int] = (400, 640)
) -> NDArray[np.uint8]:
    """The room without a hand."""
    return render_scene([], light, conditions, rng, size)[0]
