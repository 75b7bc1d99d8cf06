"""A hand as pictures in its own plane: how it reflects light that kept its polarisation, light that lost it, and where it covers the view.

This is drawn once for a hand in a posture (tens of milliseconds); `scene` then only bends it into each frame.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from terminal.simulation.anatomy import ARM_END_SPANS, Figure, Limb

F32 = NDArray[np.floating]  # float32 by construction; arithmetic with Python numbers keeps it so

LEFT_SPANS, RIGHT_SPANS = -2.1, 2.5
TOP_SPANS, BOTTOM_SPANS = -2.7, ARM_END_SPANS
"""The part of the hand's plane that is drawn."""

UNIT = 20_000.0
"""Value of the uint16 pictures that stands for a reflectance of 1 (the ordinary palm)."""


@dataclass(frozen=True, slots=True)
class Sheet:
    """Drawing area: `px` pixels a span; x and y are float32 grids of plane coordinates."""

    px: int

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        return round((BOTTOM_SPANS - TOP_SPANS) * self.px), round((RIGHT_SPANS - LEFT_SPANS) * self.px)

    def pixel(self, points: NDArray[np.float64]) -> NDArray[np.float64]:
        """Plane coordinates [.., 2] to pixel coordinates (pixel centres are whole numbers)."""
        return (points - (LEFT_SPANS, TOP_SPANS)) * self.px - 0.5

    def grid(self, box: tuple[int, int, int, int] | None = None) -> tuple[F32, F32]:
        """x [1, w] and y [h, 1] of the pixels in box = (row, row end, column, column end)."""
        rows, columns = self.shape
        r0, r1, c0, c1 = box or (0, rows, 0, columns)
        x = (np.arange(c0, c1, dtype=np.float32) + np.float32(0.5)) / np.float32(self.px) + np.float32(LEFT_SPANS)
        y = (np.arange(r0, r1, dtype=np.float32) + np.float32(0.5)) / np.float32(self.px) + np.float32(TOP_SPANS)
        return x[None, :], y[:, None]

    def box(self, points: NDArray[np.float64], margin: float) -> tuple[int, int, int, int]:
        """Rows and columns around points, clipped to the sheet."""
        rows, columns = self.shape
        low, high = self.pixel(points.min(0) - margin), self.pixel(points.max(0) + margin)
        r0, r1 = int(np.clip(low[1], 0, rows - 1)), int(np.clip(high[1] + 2, 1, rows))
        c0, c1 = int(np.clip(low[0], 0, columns - 1)), int(np.clip(high[0] + 2, 1, columns))
        return r0, r1, c0, c1


@dataclass(slots=True)
class Drawing:
    """Being drawn: float32 [rows, columns] each. `form` is the shading by shape that both lights share."""

    sheet: Sheet
    alpha: F32
    form: F32
    surface: F32
    veins: F32


def smoothstep(low: float, high: float, value: F32) -> F32:
    """0 below `low`, 1 above `high`, smooth between."""
    t = np.clip((value - np.float32(low)) * np.float32(1 / (high - low)), 0, 1)
    made: F32 = t * t * (3 - 2 * t)
    return made


def limb_frame(limb: Limb) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Base, direction to the tip and direction to the right, each [2]."""
    angle = np.deg2rad(limb.angle_deg)
    return np.asarray(limb.base), np.array([np.sin(angle), -np.cos(angle)]), np.array([np.cos(angle), np.sin(angle)])


def limb_point(limb: Limb, along: float, across: float) -> NDArray[np.float64]:
    """Plane point [2] at a share of the length and a share of the half width."""
    base, forward, right = limb_frame(limb)
    bow = limb.shape.bow * along**2
    return base + forward * along * limb.shape.length + right * (across * limb.shape.half_width + bow)


@dataclass(frozen=True, slots=True)
class LimbView:
    """A limb on the sheet: for every pixel of its box, how far along, how far across (-1..1), and how far inside (spans)."""

    box: tuple[int, int, int, int]
    along: F32  # share of the length, 0 at the base
    across: F32
    inside: F32  # signed distance to the nearer edge, spans
    free: F32  # 0 in the palm .. 1 where the limb stands free

    @property
    def at(self) -> tuple[slice, slice]:
        """Index of the box into the sheet."""
        r0, r1, c0, c1 = self.box
        return slice(r0, r1), slice(c0, c1)


def view_limb(sheet: Sheet, limb: Limb) -> LimbView:
    """Lay a limb out on the sheet."""
    base, forward, right = limb_frame(limb)
    shape = limb.shape
    tip = base + forward * shape.length
    box = sheet.box(np.stack([base - 0.2 * forward, tip]), shape.half_width * 1.6 + abs(shape.bow))
    x, y = sheet.grid(box)
    dx, dy = x - np.float32(base[0]), y - np.float32(base[1])
    s = dx * np.float32(forward[0]) + dy * np.float32(forward[1])
    q = dx * np.float32(right[0]) + dy * np.float32(right[1])
    t = s / np.float32(shape.length)
    q = q - np.float32(shape.bow) * np.clip(t, 0, 1) ** 2

    def half(of: F32) -> F32:
        """Half width by share of the length: taper, joints a little thicker, round tip."""
        width = np.float32(shape.half_width) * (1 - np.float32(shape.taper) * np.clip(of, 0, 1) ** 1.5)
        for joint in shape.joints:
            width = width * (1 + 0.035 * np.exp(-(((of - joint) / 0.09) ** 2)))
        round_from = 1 - 1.15 * shape.half_width / shape.length
        cap = np.clip((of - np.float32(round_from)) / np.float32(1 - round_from), 0, 1)
        width = width * np.sqrt(np.maximum(0, 1 - cap**2.2))
        made: F32 = width.astype(np.float32)
        return made

    free_half = half(t)

    def edge(anchor: tuple[float, float], sign: float, web: float) -> F32:
        away = np.asarray(anchor) - base
        start, out = float(away @ forward), sign * float(away @ right)
        extra = out - float(half(np.array([start / shape.length], np.float32))[0])
        u = np.clip(1 - (s - np.float32(start)) / np.float32(web), 0, 1)
        made: F32 = free_half + np.float32(extra) * (1 - np.sqrt(np.maximum(0, 1 - u * u)))
        return made

    edge_r, edge_l = edge(limb.right, 1.0, limb.web_right), edge(limb.left, -1.0, limb.web_left)
    inside = np.minimum(edge_r - q, q + edge_l)
    inside = np.minimum(inside, s + np.float32(0.18))
    inside = np.minimum(inside, np.float32(shape.length) - s)
    middle, halves = (edge_r - edge_l) / 2, np.maximum((edge_r + edge_l) / 2, np.float32(1e-3))
    across = np.clip((q - middle) / halves, -1.5, 1.5)
    highest = max(float((np.asarray(a) - base) @ forward) for a in (limb.left, limb.right))
    free = smoothstep(highest - 0.10, highest + 0.22, s)
    return LimbView(box, t, across, inside, free)


def cover(inside: F32, px: int) -> F32:
    """Antialiased coverage from a signed distance in spans."""
    made: F32 = np.clip(inside * np.float32(px) + np.float32(0.5), 0, 1)
    return made


def _polygon(sheet: Sheet, points: NDArray[np.float64]) -> F32:
    canvas = np.zeros(sheet.shape, np.uint8)
    fixed = np.round(sheet.pixel(points) * 16).astype(np.int32)
    cv2.fillPoly(canvas, [fixed[None]], 255, cv2.LINE_AA, 4)
    return canvas.astype(np.float32) * np.float32(1 / 255)


def bump(x: F32, y: F32, at: tuple[float, float], size: tuple[float, float], tilt_deg: float = 0.0) -> F32:
    """A Gaussian hill of height 1."""
    c, s = np.cos(np.deg2rad(tilt_deg)), np.sin(np.deg2rad(tilt_deg))
    dx, dy = x - np.float32(at[0]), y - np.float32(at[1])
    u, v = (c * dx + s * dy) / np.float32(size[0]), (c * dy - s * dx) / np.float32(size[1])
    made: F32 = np.exp(-0.5 * (u * u + v * v)).astype(np.float32)
    return made


def palm_form(figure: Figure, sheet: Sheet) -> F32:
    """Shading of the palm by its own shape: hollow, balls of thumb and little finger, pads below the fingers. Around 1."""
    # Smooth: a quarter of the resolution is plenty, and four times sixteen as fast.
    small = Sheet(max(16, sheet.px // 4))
    x, y = small.grid()
    person = figure.person
    k = np.float32(1.0 + 1.6 * person.plump)
    half, wrist = person.half_breadth, figure.wrist[1]
    form = 1 - 0.13 * k * bump(x, y, (-0.02, 0.47 * wrist), (0.30, 0.46), 8)
    form += 0.11 * k * bump(x, y, (0.58 * half, 0.66 * wrist), (0.34, 0.46), 28)
    form += 0.08 * k * bump(x, y, (-0.60 * half, 0.68 * wrist), (0.26, 0.52), -6)
    for pad in (0.70, 0.27, -0.22, -0.66):
        form += 0.045 * k * bump(x, y, (pad * half / 0.92, 0.20 if abs(pad) < 0.4 else 0.32), (0.13, 0.17))
    form -= 0.10 * bump(x, y, (0.02, wrist * 1.02), (0.5, 0.10))
    form -= 0.06 * k * bump(x, y, (-0.03, wrist * 0.86), (0.07, 0.22), 4)
    made: F32 = cv2.resize(form.astype(np.float32), sheet.shape[::-1], interpolation=cv2.INTER_LINEAR)
    return made


def draw_body(figure: Figure, sheet: Sheet, limbs: list[LimbView]) -> Drawing:
    """Outline and shape of the whole hand with forearm, skin still plain."""
    alpha = _polygon(sheet, figure.palm)
    form = palm_form(figure, sheet)
    for view in limbs:
        at = view.at
        own = cover(view.inside, sheet.px)
        # A finger is a cylinder of wax: bright in the middle, darker to its edges, with a thin dark line where it touches another.
        edge = np.maximum(view.inside, 0)
        round_off = 1 - 0.30 * np.abs(view.across) ** 3 - 0.30 * np.exp(-edge * np.float32(1 / 0.022))
        tip = 1 - 0.22 * smoothstep(0.80, 1.02, view.along)
        pads = 1 + 0.03 * np.cos(view.along * np.float32(2 * np.pi / 0.30)) * (1 - np.minimum(1, np.abs(view.across)) ** 2)
        weight = own * view.free
        form[at] = form[at] * (1 - weight) + (round_off * tip * pads) * weight
        alpha[at] = np.maximum(alpha[at], own)
    # Everywhere else the outline turns away from the light.
    half = cv2.resize(alpha, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
    depth = cv2.distanceTransform((half > 0.5).astype(np.uint8), cv2.DIST_L2, 3) * np.float32(2 / sheet.px)
    rim = cv2.resize(1 - 0.34 * np.exp(-depth / np.float32(0.075)), sheet.shape[::-1], interpolation=cv2.INTER_LINEAR)
    free = np.zeros(sheet.shape, np.float32)
    for view in limbs:
        free[view.at] = np.maximum(free[view.at], view.free * cover(view.inside, sheet.px))
    form *= rim + (1 - rim) * free * np.float32(0.8)
    ones = np.ones(sheet.shape, np.float32)
    return Drawing(sheet, alpha, form, ones, ones.copy())
