"""What lies on a drawn hand: creases of the joints, the palm's own skin, knuckles and nails, sleeve, ring, plaster, dirt."""

from __future__ import annotations

import cv2
import numpy as np

from terminal.simulation.anatomy import Figure
from terminal.simulation.conditions import Conditions
from terminal.simulation.drawing import F32, Drawing, LimbView, Sheet, bump, cover, limb_point, smoothstep
from terminal.simulation.skin import SKIN_EXTENT_SPANS, SKIN_X_SPANS, SKIN_Y_SPANS, Skin

NIR_SURFACE = 0.30
NIR_VEINS = 0.50
"""Near-infrared light shows about a third of the depths that `skin` draws for visible light."""


def blotches(rng: np.random.Generator, shape: tuple[int, int], cells: float) -> F32:
    """Smooth noise of about unit variance, `cells` cells along the shorter side."""
    size = max(2, round(cells * shape[0] / min(shape))) + 2, max(2, round(cells * shape[1] / min(shape))) + 2
    made: F32 = cv2.resize(rng.standard_normal(size).astype(np.float32), shape[::-1], interpolation=cv2.INTER_CUBIC)
    return made


def put_skin(drawing: Drawing, skin: Skin, surface: float, veins: float) -> None:
    """Lay the palm's skin on the hand; it fades out towards the borders of the square that it is known in."""
    sheet = drawing.sheet
    corners = np.array([(SKIN_X_SPANS[0], SKIN_Y_SPANS[0]), (SKIN_X_SPANS[1], SKIN_Y_SPANS[1])])
    (c0, r0), (c1, r1) = np.round(sheet.pixel(corners)).astype(int)
    side = (c1 - c0, r1 - r0)
    way = cv2.INTER_AREA if side[0] < skin.side_px else cv2.INTER_CUBIC
    margin = np.minimum(np.linspace(0, SKIN_EXTENT_SPANS, side[0], dtype=np.float32), SKIN_EXTENT_SPANS)
    x_fade = smoothstep(0.0, 0.15, np.minimum(margin, margin[::-1]))
    rows = np.linspace(0, SKIN_EXTENT_SPANS, side[1], dtype=np.float32)
    fade = x_fade[None, :] * smoothstep(0.0, 0.5, np.minimum(rows, 2 * rows[::-1]))[:, None]
    at = slice(r0, r1), slice(c0, c1)
    for target, source, depth in ((drawing.surface, skin.surface, surface), (drawing.veins, skin.veins, veins)):
        target[at] += np.float32(depth) * fade * (cv2.resize(source, side, interpolation=way) - 1)


RELIEF = ((5.0, 0.060), (13.0, 0.044), (27.0, 0.028), (56.0, 0.009))
"""Soft unevenness of flesh and its light: (cells across the drawn width, standard deviation). Public palms grow in contrast with scale."""

RELIEF_OF_THE_DAY = 0.35
"""Share (of the variance) that changes from one presentation to the next, with the tension of the hand."""


def relief(drawing: Drawing, skin: Skin | None, own: np.random.Generator, today: np.random.Generator) -> None:
    """Shade the form by what lies between the skin's fine lines and the hand's shape: pads, folds beside creases, mottled flesh."""
    small = Sheet(max(16, drawing.sheet.px // 2))
    uneven = np.zeros(small.shape, np.float32)
    for cells, strength in RELIEF:
        lasting = np.float32(strength * (1 - RELIEF_OF_THE_DAY) ** 0.5 * own.uniform(0.8, 1.25)) * blotches(own, small.shape, cells)
        uneven += lasting + np.float32(strength * RELIEF_OF_THE_DAY**0.5) * blotches(today, small.shape, cells)
    uneven -= np.float32(1.6) * (uneven * uneven - np.float32(np.mean(uneven * uneven)))  # hollows are deeper than pads are bright
    if skin is not None:  # a crease lies in a fold that is several times as wide
        fold = Drawing(small, uneven, uneven, np.ones(small.shape, np.float32), np.ones(small.shape, np.float32))
        put_skin(fold, skin, 1.0, 0.0)
        uneven += np.float32(0.9 * NIR_SURFACE) * (cv2.GaussianBlur(fold.surface, (0, 0), 0.045 * small.px) - 1)
    drawing.form *= 1 + cv2.resize(uneven, drawing.sheet.shape[::-1], interpolation=cv2.INTER_LINEAR)


def joint_creases(drawing: Drawing, figure: Figure, views: list[LimbView], rng: np.random.Generator, back: bool) -> None:
    """The creases of the finger joints (palm) or the wrinkles above them (back), and each finger's own fine texture."""
    wrinkled = figure.person.wrinkled
    for limb, view in zip((*figure.fingers, figure.thumb), views, strict=True):
        at = view.at
        t, q = view.along, view.across
        lines = np.zeros(t.shape, np.float32)
        # where the finger leaves the palm, then its two joints; a joint shows two or three lines
        places = [(0.075, 0.6, 1), (limb.shape.joints[0], 1.0, 2), (limb.shape.joints[1], 0.9, 1)]
        for where, depth, count in places:
            many = count + int(rng.random() < 0.5) + (2 + int(3 * wrinkled) if back else 0)
            for _ in range(many):
                arch = rng.normal(0, 0.012) + rng.normal(0.006, 0.012) * (1 - q**2)
                offset = where + rng.normal(0, 0.045 if back else 0.014)
                width = rng.uniform(0.006, 0.012)
                lines += np.float32(depth * rng.uniform(0.4, 1.0) / many**0.5) * np.exp(
                    -(((t - np.float32(offset) - arch) / np.float32(width)) ** 2)
                )
        inside = cover(view.inside, drawing.sheet.px)
        grain = blotches(rng, t.shape, 14) * 0.010 + blotches(rng, t.shape, 5) * 0.014
        strength = 0.07 * (0.6 + 0.8 * wrinkled) * (1.2 if back else 1.0)
        weight = inside * np.maximum(view.free, 0.25)
        drawing.surface[at] += weight * (grain - np.float32(strength) * lines)
        shade = blotches(rng, t.shape, 3) * 0.025
        vessel = np.exp(-(((q - rng.uniform(-0.5, 0.5) - 0.3 * blotches(rng, t.shape, 1)) / 0.12) ** 2)) * 0.03
        drawing.veins[at] += weight * (shade - vessel - np.float32(0.5 * strength) * lines)


def wrist_creases(drawing: Drawing, figure: Figure, rng: np.random.Generator) -> None:
    """Two or three thin lines across the wrist, and the forearm's own veins."""
    sheet = drawing.sheet
    box = sheet.box(np.array([figure.wrist - 0.3, figure.wrist + np.array((0.0, 1.2))]), figure.wrist_half + 0.2)
    x, y = sheet.grid(box)
    at = slice(box[0], box[1]), slice(box[2], box[3])
    lines: F32 = np.zeros((y.size, x.size), np.float32)
    for k in range(int(rng.integers(2, 4))):
        middle = figure.wrist[1] + 0.09 * k + rng.normal(0, 0.02)
        curve = middle + rng.normal(0.05, 0.04) * (x / figure.wrist_half) ** 2 + rng.normal(0, 0.03) * x
        lines += np.float32(rng.uniform(0.4, 1.0)) * np.exp(-(((y - curve) / np.float32(0.018)) ** 2))
    drawing.surface[at] -= 0.06 * lines
    drawing.veins[at] -= 0.03 * lines
    below = smoothstep(float(figure.wrist[1]) - 0.1, float(figure.wrist[1]) + 0.3, y)
    for _ in range(3):
        course = rng.uniform(-0.4, 0.4) + rng.normal(0, 0.15) * (y - figure.wrist[1])
        drawing.veins[at] -= below * np.float32(rng.uniform(0.02, 0.06)) * np.exp(-(((x - course) / np.float32(0.06)) ** 2))


def back_of_hand(drawing: Drawing, figure: Figure, views: list[LimbView], skin: Skin, rng: np.random.Generator) -> None:
    """Turn the drawn palm over: knuckles, tendons, strong veins, nails; no creases."""
    sheet = drawing.sheet
    x, y = sheet.grid()
    put_skin(drawing, skin, 0.02, 0.9 * NIR_VEINS)
    relief = np.zeros(sheet.shape, np.float32)
    half = figure.person.half_breadth
    for knuckle in (0.66, 0.24, -0.2, -0.6):
        centre = (knuckle * half / 0.92, 0.42 + 0.25 * abs(knuckle))
        relief += 0.10 * bump(x, y, centre, (0.15, 0.14)) - 0.10 * bump(x, y, (centre[0], centre[1] - 0.22), (0.12, 0.09))
        tendon = x - centre[0] * (1 - 0.35 * np.clip(y - 0.4, 0, 2))
        relief += 0.05 * np.exp(-((tendon / np.float32(0.05)) ** 2)) * smoothstep(0.3, 0.6, y) * (1 - smoothstep(1.2, 1.8, y))
    relief += 0.012 * blotches(rng, sheet.shape, 60)
    drawing.form *= 1 + relief
    for limb, view in zip((*figure.fingers, figure.thumb), views, strict=True):
        at = view.at
        length = (view.along - np.float32(0.885)) / np.float32(0.5 * limb.shape.half_width / limb.shape.length * 1.7)
        shape = length**4 + (view.across / 0.72) ** 4
        nail = smoothstep(0.85, 1.0, 1 / np.maximum(shape, 0.05)) * cover(view.inside, sheet.px)
        rim = np.exp(-(((shape - 1) / 0.35) ** 2)) * cover(view.inside, sheet.px)
        drawing.form[at] *= 1 + 0.16 * nail - 0.18 * rim


def sleeve(drawing: Drawing, figure: Figure, conditions: Conditions, rng: np.random.Generator) -> None:
    """Cloth around wrist and forearm, wider than the arm, with its cuff, its folds and the shadow inside."""
    if conditions.sleeve == "none":
        return
    sheet = drawing.sheet
    x, y = sheet.grid()
    top = figure.wrist[1] + conditions.sleeve_gap
    wide = figure.wrist_half * rng.uniform(1.12, 1.45)
    grow = rng.uniform(0.02, 0.16)
    slant = rng.normal(0, 0.12)
    edge = top + slant * x + rng.uniform(0.02, 0.14) * (x / wide) ** 2
    folds = 0.03 * np.interp(y.ravel(), np.linspace(0, 5, 26), rng.standard_normal(26)).astype(np.float32)[:, None]
    inside = np.minimum(y - edge, wide + grow * np.maximum(0, y - top) + folds - np.abs(x))
    own = cover(inside.astype(np.float32), sheet.px)
    across = np.abs(x) / (wide + grow * np.maximum(0, y - top))
    level = {"dark": rng.uniform(0.06, 0.22), "bright": rng.uniform(0.55, 1.15), "pattern": rng.uniform(0.3, 0.8)}[
        conditions.sleeve
    ]
    cloth = (1 - 0.5 * np.clip(across, 0, 1) ** 3) * (
        1 + 0.10 * blotches(rng, sheet.shape, 6) + 0.05 * blotches(rng, sheet.shape, 16)
    )
    if rng.random() < 0.6:  # knitted cuff
        ribs = 1 + 0.06 * np.cos(x * np.float32(2 * np.pi / rng.uniform(0.05, 0.11)))
        cuff = 1 - smoothstep(0.0, 0.05, (y - edge - rng.uniform(0.3, 0.9)).astype(np.float32))
        cloth = cloth * (1 + (ribs - 1) * cuff) * (1 - 0.12 * (1 - cuff))
    if conditions.sleeve == "pattern":
        turn = rng.uniform(0, np.pi)
        wave = np.sin((x * np.cos(turn) + y * np.sin(turn)) * np.float32(2 * np.pi / rng.uniform(0.12, 0.5)))
        cloth = cloth * (1 + rng.uniform(0.2, 0.5) * np.sign(wave) * smoothstep(0.0, 0.4, np.abs(wave)))
    cloth = cloth * level * (1 + 0.25 * np.exp(-(((y - edge) / np.float32(0.05)) ** 2)))
    shadow = 1 - 0.55 * smoothstep(-0.22, 0.0, (y - edge).astype(np.float32)) * (y > figure.wrist[1] - 0.3)
    drawing.form *= np.where(own < 1, shadow, 1)
    drawing.alpha[:] = np.maximum(drawing.alpha, own)
    drawing.form[:] = drawing.form * (1 - own) + cloth * own
    for layer in (drawing.surface, drawing.veins):
        layer[:] = layer * (1 - own) + own


def rings(drawing: Drawing, figure: Figure, views: list[LimbView], count: int, rng: np.random.Generator) -> None:
    """Metal around fingers: dark with a bright streak."""
    for i in rng.permutation(4)[: max(0, min(4, count))]:
        view, limb = views[i], figure.fingers[i]
        at = view.at
        where, width = rng.uniform(0.14, 0.27), rng.uniform(0.05, 0.12) / limb.shape.length
        band = cover((np.float32(width / 2) - np.abs(view.along - np.float32(where))) * limb.shape.length, drawing.sheet.px)
        band *= cover(view.inside + np.float32(0.02), drawing.sheet.px)
        streak = rng.uniform(0.2, 0.5) + rng.uniform(0.6, 1.6) * np.exp(-(((view.across - rng.uniform(-0.5, 0.5)) / 0.25) ** 2))
        drawing.form[at] = drawing.form[at] * (1 - band) + streak * band
        for layer in (drawing.surface, drawing.veins):
            layer[at] = layer[at] * (1 - band) + band


def plaster(drawing: Drawing, figure: Figure, rng: np.random.Generator) -> None:
    """A strip with its pad, anywhere on palm or fingers: hides what is below."""
    sheet = drawing.sheet
    x, y = sheet.grid()
    if rng.random() < 0.5:
        at = (rng.uniform(-0.6, 0.6), rng.uniform(0.3, 1.5))
    else:
        limb = figure.fingers[int(rng.integers(4))]
        point = limb_point(limb, float(rng.uniform(0.2, 0.8)), 0.0)
        at = (float(point[0]), float(point[1]))
    turn = rng.uniform(0, np.pi)
    dx, dy = x - np.float32(at[0]), y - np.float32(at[1])
    u, v = dx * np.cos(turn) + dy * np.sin(turn), dy * np.cos(turn) - dx * np.sin(turn)
    inside = np.minimum(rng.uniform(0.35, 0.6) - np.abs(u), rng.uniform(0.16, 0.24) - np.abs(v)).astype(np.float32)
    own = cover(inside, sheet.px) * drawing.alpha
    level = rng.uniform(0.75, 1.35) * (1 + 0.08 * (np.abs(u) < 0.15) - 0.15 * np.exp(-np.maximum(inside, 0) / np.float32(0.02)))
    drawing.form[:] = drawing.form * (1 - own) + drawing.form * level * own
    for layer in (drawing.surface, drawing.veins):
        layer[:] = layer * (1 - own) + own


def dirt(drawing: Drawing, amount: float, rng: np.random.Generator) -> None:
    """Smears, and a stroke of ink now and then; carbon is dark at 850 nm, most inks are not."""
    shape = drawing.sheet.shape
    cloud = blotches(rng, shape, 5) + 0.7 * blotches(rng, shape, 13) + 0.4 * blotches(rng, shape, 34)
    smear = smoothstep(1.0 - 0.9 * amount, 2.4, cloud) * np.float32(0.30 * amount)
    for layer in (drawing.surface, drawing.veins):
        layer *= 1 - smear
    if rng.random() < 0.5:
        canvas = np.zeros(shape, np.uint8)
        start = drawing.sheet.pixel(np.array([rng.uniform(-0.7, 0.7), rng.uniform(0.1, 1.6)]))
        path = start + np.cumsum(rng.normal(0, 0.12 * drawing.sheet.px, (6, 2)), 0)
        cv2.polylines(canvas, [np.round(path).astype(np.int32)], False, 255, max(1, drawing.sheet.px // 60), cv2.LINE_AA)
        for layer in (drawing.surface, drawing.veins):
            layer *= 1 - canvas.astype(np.float32) * np.float32(rng.uniform(0.05, 0.3) * amount / 255)


def paper(sheet: Sheet, rng: np.random.Generator) -> Drawing:
    """A sheet of paper, a receipt or a card with lines of print."""
    x, y = sheet.grid()
    wide, high = rng.uniform(0.7, 1.9), rng.uniform(0.8, 2.4)
    inside = np.minimum(wide - np.abs(x), high - np.abs(y - 0.7)).astype(np.float32)
    alpha = cover(inside, sheet.px)
    form = np.full(sheet.shape, rng.uniform(0.9, 1.6), np.float32) * (1 + 0.04 * blotches(rng, sheet.shape, 3))
    pitch = rng.uniform(0.1, 0.3)
    words = blotches(rng, sheet.shape, 60) > 0
    print_ = (np.cos(y * np.float32(2 * np.pi / pitch)) > 0.5) & (np.abs(x) < wide * 0.8) & words
    form *= 1 - np.float32(rng.uniform(0.1, 0.7)) * print_
    ones = np.ones(sheet.shape, np.float32)
    return Drawing(sheet, alpha, form, ones, ones.copy())
