"""A hand prepared for the camera: drawn once for a person, side, posture and conditions, then only bent into frames. Cached, bounded."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field, replace
from threading import Lock

import numpy as np
from numpy.typing import NDArray

from terminal.palm.types import Side
from terminal.simulation import details
from terminal.simulation.anatomy import Figure, Limb, Posture, figure
from terminal.simulation.conditions import Conditions, Subject
from terminal.simulation.drawing import F32, UNIT, Drawing, Sheet, draw_body, view_limb
from terminal.simulation.person import Person
from terminal.simulation.skin import Skin, grow

PREPARED_MAX = 4
"""Hands kept in the cache, 4 MB each at full resolution."""

SKINS_MAX = 8
SKIN_PX = 384


@dataclass(frozen=True, slots=True)
class Prepared:
    """Pictures of a hand in its own plane, as a right hand's palm (mirroring is the camera's business).

    `alpha`: uint8 [rows, columns], how far the hand covers what is behind it.
    `parallel`, `crossed`: uint16 [rows, columns], reflectance times UNIT, 0 outside the hand. Daylight shows half of each.
    """

    figure: Figure
    sheet: Sheet
    mirrored: bool
    palm_up: bool
    alpha: NDArray[np.uint8] = field(repr=False)
    parallel: NDArray[np.uint16] = field(repr=False)
    crossed: NDArray[np.uint16] = field(repr=False)


def sheet_for(width_px: int) -> Sheet:
    """Drawing resolution that suits frames of this width: enough at 70 mm, no more than 160 pixels a span."""
    return Sheet(int(np.clip(round(width_px * 0.25), 40, 160)))


class _Recent:
    """The few most recently used values; safe to use from several threads."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._kept: OrderedDict[object, object] = OrderedDict()
        self._lock = Lock()

    def __len__(self) -> int:
        return len(self._kept)

    def get(self, key: object) -> object | None:
        """The value, now the most recent one; None where it is not kept."""
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
            return self._kept.get(key)

    def put(self, key: object, value: object) -> None:
        """Keep a value, and forget the one that was asked for longest ago."""
        with self._lock:
            self._kept[key] = value
            self._kept.move_to_end(key)
            while len(self._kept) > self._most:
                self._kept.popitem(last=False)


_prepared = _Recent(PREPARED_MAX)
_skins = _Recent(SKINS_MAX)


def skin_of(person: Person, side: Side, side_px: int) -> Skin:
    """The skin of one hand, from the cache where it is there."""
    key = (person.skin_seed(side), side_px)
    kept = _skins.get(key)
    if isinstance(kept, Skin):
        return kept
    grown = grow(*key)
    half = Skin(grown.seed, grown.surface.astype(np.float32), grown.veins.astype(np.float32))
    _skins.put(key, half)
    return half


# What decides the pictures in the plane; the rest of the conditions is about light, lens and room.
_DRAWN = ("seed", "subject", "sleeve", "sleeve_gap", "rings", "plaster", "dirt", "wet", "cold", "worn", "leak")


def prepare(person: Person, side: Side, posture: Posture, conditions: Conditions, px: int = 160) -> Prepared:
    """Draw a hand, or take it from the cache of PREPARED_MAX."""
    key = (person.seed, side, posture, px, *(getattr(conditions, name) for name in _DRAWN))
    kept = _prepared.get(key)
    if isinstance(kept, Prepared):
        return kept
    made = _draw(person, side, posture, conditions, Sheet(px))
    _prepared.put(key, made)
    return made


def _folded(limbs: tuple[Limb, ...]) -> list[Limb]:
    """Fingers of a fist: four short stumps over the palm."""

    def down(point: tuple[float, float]) -> tuple[float, float]:
        return point[0], point[1] + 0.95

    return [
        replace(
            limb,
            shape=replace(limb.shape, length=limb.shape.length * 0.62, taper=0.05),
            angle_deg=0.25 * limb.angle_deg,
            base=down(limb.base),
            left=down(limb.left),
            right=down(limb.right),
        )
        for limb in limbs
    ]


def _draw(person: Person, side: Side, posture: Posture, conditions: Conditions, sheet: Sheet) -> Prepared:
    rng = np.random.default_rng([conditions.seed, person.seed, 0xD2A])
    own = np.random.default_rng([person.skin_seed(side), 0xF19])  # what belongs to the person, whatever the day
    shape = figure(person, posture)
    subject = conditions.subject
    mirrored = (side is Side.LEFT) != (subject is Subject.BACK)
    if subject is Subject.PAPER:
        drawing = details.paper(sheet, rng)
    else:
        if subject is Subject.FIST:
            folded = _folded(shape.fingers)
            across = replace(shape.thumb, angle_deg=-62.0, base=(shape.thumb.base[0] - 0.05, shape.thumb.base[1] - 0.2))
            shape = replace(shape, fingers=(folded[0], folded[1], folded[2], folded[3]), thumb=across)
        views = [view_limb(sheet, limb) for limb in (*shape.fingers, shape.thumb)]
        drawing = draw_body(shape, sheet, views)
        back = subject is Subject.BACK
        skin = skin_of(person, side, min(SKIN_PX, max(96, sheet.px * 3)))
        details.relief(drawing, skin if subject is Subject.PALM else None, own, rng)
        details.joint_creases(drawing, shape, views, own, back)
        details.wrist_creases(drawing, shape, own)
        if back:
            details.back_of_hand(drawing, shape, views, skin, own)
        elif subject is Subject.PALM:
            fine = details.NIR_SURFACE * (1 - 0.5 * conditions.worn)
            details.put_skin(drawing, skin, fine, details.NIR_VEINS * (1.15 - 0.55 * conditions.cold))
        if conditions.dirt > 0:
            details.dirt(drawing, conditions.dirt, rng)
        details.rings(drawing, shape, views, conditions.rings, rng)
        if conditions.plaster:
            details.plaster(drawing, shape, rng)
        details.sleeve(drawing, shape, conditions, rng)
    return _developed(drawing, shape, conditions, person, mirrored, subject)


def _developed(
    drawing: Drawing, shape: Figure, conditions: Conditions, person: Person, mirrored: bool, subject: Subject
) -> Prepared:
    """What each light shows: parallel the surface and some veins, crossed the veins and the leak of the surface; both lie on the form."""
    leak = np.float32(conditions.leak)
    sheen = np.float32(1 - 0.35 * conditions.wet)  # water fills the fine lines
    surface, veins = 1 + (drawing.surface - 1) * sheen, drawing.veins
    tone = np.float32(person.tone if subject is not Subject.PAPER else 1.0) * drawing.alpha * np.float32(UNIT)
    # Light that lost its polarisation came out of the depth: it softens the form and the fine lines.
    soft = np.sqrt(np.maximum(drawing.form, 0))
    parallel = drawing.form * (surface + np.float32(0.40) * (veins - 1))
    crossed = (0.55 * drawing.form + 0.45 * soft) * (veins + (np.float32(0.25) + leak) * (surface - 1))

    def stored(picture: F32) -> NDArray[np.uint16]:
        return np.clip(picture * tone, 0, 65535).astype(np.uint16)

    return Prepared(
        figure=shape,
        sheet=drawing.sheet,
        mirrored=mirrored,
        palm_up=subject is Subject.PALM,
        alpha=(drawing.alpha * 255).astype(np.uint8),
        parallel=stored(parallel),
        crossed=stored(crossed),
    )
