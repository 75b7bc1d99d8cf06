"""Views of simulated palms at training speed: 128x128 pictures of a crowd, with everything that a reader and a hand finder do to them.

The reader of `terminal.simulation` paints whole hands; this module paints only the canonical palm, several hundred a second on one core.
A *class* is a palm under one kind of light (surface, veins, or both mixed) at one convention of cropping; a *view* is one picture of it.
Everything follows from (seed, class, view number), on every machine.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from models.palm_people import PEOPLE_CODE, PEOPLE_LEFT_SPANS, PEOPLE_PX_PER_SPAN, PEOPLE_SIDE_PX, PEOPLE_TOP_SPANS, Maps
from models.palm_weather import Weather, disturb
from terminal.palm.types import ROI_GAP_SPANS, ROI_SIDE_PX, ROI_SIDE_SPANS

_CENTRE_Y_SPANS = ROI_GAP_SPANS + ROI_SIDE_SPANS / 2
_TWIN_SHARE = 0.5
"""Of the neighbouring pairs of mixed classes, this share are twins: same creases with other veins, or the other way round."""

_AXIS = (np.arange(ROI_SIDE_PX, dtype=np.float32) + 0.5) / ROI_SIDE_PX - 0.5
_U, _V = np.meshgrid(_AXIS, _AXIS)

Picture = NDArray[np.uint8]
Floats = NDArray[np.float32]


class Regime(enum.Enum):
    """Which light a class is seen in."""

    SURFACE = "surface"  # parallel polarisation, or visible light
    VEINS = "veins"  # crossed polarisation
    MIXED = "mixed"  # near-infrared with no polariser


POLARISATIONS = (Regime.SURFACE, Regime.VEINS)
_SURFACE_SHARE, _VEINS_SHARE = 0.40, 0.22
CARELESS_SHARE = 0.25
"""Of all views, misplaced by much (up to 12 % of a side): twelve times as often as hand.onnx does it (models/hand.md)."""

_USES = 3
"""Classes that each map serves: as it is, mirrored, turned."""

_TURN_SHARES = (0.4, 0.2, 0.4)
"""Of the turned ones, by one, two and three quarters: archives mostly point fingers to a side."""

_PEGGED_SHARE, _PEGGED_SPREAD = 0.2, 0.3
"""Of the classes lie on pegs, where hands move by this share of what they do in the air."""

_OWN_SQUARE_SHARE = 0.5
_CROPS, _OFFSET_ACROSS, _OFFSETS_ALONG = (0.75, 1.2), 0.08, (-0.1, 0.22)
"""Conventions other than the canonical square: its scale, and its place in sides (along: positive towards the wrist)."""

_GLINT_SHARE = 0.35
"""Of the near-infrared views: fine lines are bright."""


@dataclass(frozen=True, slots=True)
class Palm:
    """One class: indices into the crowd for its surface and its veins, light, mirrored or not, and the archive that it lies in.

    Archives have their own conventions: which square of the palm is taken (`crop` 1.0 at `offset` 0 is the canonical one; offset in sides,
    across and along), which way up it lies (`turns` by a quarter), and how far hands move (`spread`: 1.0 in the air, less on pegs).
    """

    surface: int
    veins: int
    regime: Regime
    crop: float = 1.0
    mirrored: bool = False
    turns: int = 0
    offset: tuple[float, float] = (0.0, 0.0)
    spread: float = 1.0


@dataclass(frozen=True, slots=True)
class Pose:
    """One view's geometry: where each pixel of the picture lies in the crowd's maps. Float32 [128, 128] each, pixels of the map.

    `error` is how the picture lies beside the canonical palm, by convention and by the hand finder's error together: a pixel at p (sides of
    the picture, from its middle) shows what lies at exp(error[3]) * (R(error[2]) p + error[:2]) of the canonical palm; shift in sides, turn
    in radians, natural log of the scale. Of a palm that lies turned, in its own turned frame.
    """

    x: Floats
    y: Floats
    error: tuple[float, float, float, float]


def _archive(rng: np.random.Generator) -> tuple[float, tuple[float, float], float]:
    """Crop, offset and spread of an archive: half of them take the canonical square."""
    crop, offset = 1.0, (0.0, 0.0)
    if rng.random() < _OWN_SQUARE_SHARE:
        crop = round(float(rng.uniform(*_CROPS)), 3)
        offset = (round(float(rng.uniform(-_OFFSET_ACROSS, _OFFSET_ACROSS)), 3), round(float(rng.uniform(*_OFFSETS_ALONG)), 3))
    return crop, offset, _PEGGED_SPREAD if rng.random() < _PEGGED_SHARE else 1.0


def classes(seed: int, people: int, count: int) -> list[Palm]:
    """`count` palms out of a crowd of `people`, reproducible from `seed`. Each map serves three classes: itself and mirrored, both upright,
    and once turned by one to three quarters, so that a third of the palms lie turned; twins share one more.

    Raises ValueError when the crowd is too small: a class needs about 0.27 people.
    """
    rng = np.random.default_rng([seed, 77])
    surfaces, veins = ((int(part) for part in rng.permutation(_USES * people)) for _ in range(2))
    palms: list[Palm] = []
    try:
        for _ in range(count):
            draw = rng.random()
            regime = (
                Regime.SURFACE if draw < _SURFACE_SHARE else Regime.VEINS if draw < _SURFACE_SHARE + _VEINS_SHARE else Regime.MIXED
            )
            crop, offset, spread = _archive(rng)
            surface = next(surfaces) if regime is not Regime.VEINS else 0
            vein = next(veins) if regime is not Regime.SURFACE else 0
            use = (vein if regime is Regime.VEINS else surface) % _USES
            turns = 0 if use < 2 else int(rng.choice((1, 2, 3), p=_TURN_SHARES))
            mirrored = bool(use) if use < 2 else bool(rng.random() < 0.5)
            palm = Palm(surface // _USES, vein // _USES, regime, crop, mirrored, turns, offset, spread)
            if palms and regime is Regime.MIXED is palms[-1].regime and rng.random() < _TWIN_SHARE:
                elder = palms[-1]
                twin = replace(elder, veins=palm.veins) if rng.random() < 0.5 else replace(elder, surface=palm.surface)
                palm = twin if twin != elder else palm
            palms.append(palm)
    except StopIteration:
        raise ValueError(f"{people} people are too few for {count} classes: about {0.27 * count + 2:.0f} are needed") from None
    return palms


def pose(rng: np.random.Generator, palm: Palm, spread: float = 1.0, careless_share: float = CARELESS_SHARE) -> Pose:
    """Draw one view's geometry: the hand finder's error, tilt, cupping, and the stretch of the skin. `spread` scales all of it.

    `careless_share` of the views are misplaced by much.
    """
    spread = spread * palm.spread
    careless = rng.random() < careless_share
    shift = rng.uniform(-0.12, 0.12, 2) if careless else rng.normal(0.0, 0.028, 2)
    turn = np.radians(rng.uniform(-11, 11) if careless else rng.normal(0.0, 3.0)) * spread
    size = palm.crop * np.exp(spread * (rng.uniform(-0.12, 0.12) if careless else rng.normal(0.0, 0.035)))
    yaw, pitch = np.radians(rng.normal(0.0, 11.0, 2).clip(-30, 30)) * spread
    depth = 1.0 + _U * np.float32(0.35 * np.sin(yaw)) + _V * np.float32(0.35 * np.sin(pitch))
    bend, fold = rng.normal(0.0, 0.06, 2) * spread
    u = _U * depth
    v = _V * depth
    u = u * np.float32(1.0 / (0.5 + 0.5 * np.cos(yaw))) * (1 + np.float32(bend) * (4 * _U * _U - np.float32(0.4)))
    v = v * np.float32(1.0 / (0.5 + 0.5 * np.cos(pitch))) * (1 + np.float32(fold) * (4 * _V * _V - np.float32(0.4)))
    for cells, amplitude in ((3, 0.016), (5, 0.008)):
        strength = amplitude * spread * rng.gamma(2.0, 0.5)
        u = u + _smooth(rng, cells, strength)
        v = v + _smooth(rng, cells, strength)
    c, s = np.float32(np.cos(turn)), np.float32(np.sin(turn))
    across, along = (float(strayed * spread + apart / size) for strayed, apart in zip(shift, palm.offset, strict=True))
    x = (c * u - s * v + np.float32(across)) * np.float32(ROI_SIDE_SPANS * size)
    y = (s * u + c * v + np.float32(along)) * np.float32(ROI_SIDE_SPANS * size)
    for _ in range(palm.turns):
        x, y = y, -x
    if palm.mirrored:
        x = -x
    y = y + np.float32(_CENTRE_Y_SPANS)
    scale = np.float32(PEOPLE_PX_PER_SPAN)
    scaled = [
        ((at - np.float32(first)) * scale - np.float32(0.5)).astype(np.float32)
        for at, first in ((x, PEOPLE_LEFT_SPANS), (y, PEOPLE_TOP_SPANS))
    ]
    return Pose(scaled[0], scaled[1], (across, along, float(turn), float(np.log(size))))


def _tremble(rng: np.random.Generator, where: Pose) -> Pose:
    """The next frame of the same presentation: the hand has moved a little and the hand finder errs a little differently."""
    turn, size = rng.normal(0.0, 0.012), np.exp(rng.normal(0.0, 0.008))
    middle = np.float32(PEOPLE_SIDE_PX / 2)
    shift = rng.normal(0.0, 0.008 * ROI_SIDE_SPANS * PEOPLE_PX_PER_SPAN, 2).astype(np.float32)
    c, s = np.float32(size * np.cos(turn)), np.float32(size * np.sin(turn))
    x, y = where.x - middle, where.y - middle
    return Pose(c * x - s * y + middle + shift[0], s * x + c * y + middle + shift[1], where.error)


def _smooth(rng: np.random.Generator, cells: int, strength: float) -> Floats:
    coarse = (rng.standard_normal((cells, cells)) * strength).astype(np.float32)
    field: Floats = cv2.resize(coarse, (ROI_SIDE_PX, ROI_SIDE_PX), interpolation=cv2.INTER_CUBIC)
    return field


def look(rng: np.random.Generator, maps: Maps, where: Pose) -> Floats:
    """Float32 [128, 128]: one uint8 [P, P] map of the crowd as deviations from plain skin, seen in a pose."""
    seen = cv2.remap(maps, where.x, where.y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101)
    deviation: Floats = (seen.astype(np.float32) - np.float32(128.0)) * np.float32(1.0 / PEOPLE_CODE)
    aged = np.float32(1.0) + _smooth(rng, 4, 0.22)  # weeks between sessions: here a line fades, there a vein swells
    deviation *= np.maximum(aged, np.float32(0.25))
    return deviation


def shine(
    rng: np.random.Generator,
    surface: Floats | None,
    veins: Floats | None,
    regime: Regime,
    weather: Weather,
    flicker: np.random.Generator | None = None,
) -> Picture:
    """Uint8 [128, 128]: what a camera makes of the two maps' deviations under one kind of light.

    `flicker` draws what differs from frame to frame of one presentation (the noise); None: `rng` draws that too.
    """
    visible = regime is Regime.SURFACE and rng.random() < weather.visible_share
    strengths = {
        Regime.SURFACE: (rng.uniform(0.4, 2.3) if visible else rng.uniform(0.16, 0.85), rng.uniform(0.0, 0.08)),
        Regime.VEINS: (rng.uniform(0.0, 0.05), rng.uniform(0.18, 0.75)),
        Regime.MIXED: (rng.uniform(0.14, 0.65), rng.uniform(0.12, 0.55)),
    }[regime]
    skin = np.ones((ROI_SIDE_PX, ROI_SIDE_PX), np.float32)
    if surface is not None and not visible and rng.random() < _GLINT_SHARE:
        # Near-infrared light scatters in the skin: at some angles fine lines catch it and are brighter than what is beside them.
        fine = surface - cv2.GaussianBlur(surface, (0, 0), 2.0)
        surface = surface - np.float32(rng.uniform(0.6, 2.2)) * fine
    if surface is not None:
        skin += np.float32(strengths[0]) * surface
        relief = rng.uniform(0.0, 0.6) if rng.random() < 0.5 else 0.0  # one edge of a line turns to the lamp
        if relief > 0:
            dy, dx = rng.integers(-1, 2, 2)
            skin += np.float32(relief * strengths[0]) * (surface - np.roll(surface, (dy, dx), (0, 1)))
    if veins is not None and strengths[1] > 0.01:
        skin += np.float32(strengths[1]) * veins
    return disturb(rng, skin, visible, weather, flicker)


class Studio:
    """Takes pictures of the palms of a crowd.

    crowd: uint8 [people, 2, P, P] of `palm_people`; palms: what to photograph; weather: how rough the world is.
    """

    def __init__(
        self,
        crowd: Maps,
        palms: list[Palm],
        seed: int,
        weather: Weather | None = None,
        spread: float = 1.0,
        careless: float = CARELESS_SHARE,
    ) -> None:
        assert crowd.shape[1:] == (2, PEOPLE_SIDE_PX, PEOPLE_SIDE_PX)
        self.palms = palms
        self._crowd = crowd
        self._seed = seed
        self._weather = weather or Weather()
        self._spread, self._careless = spread, careless

    def view(self, number: int, index: int) -> Picture:
        """Uint8 [128, 128]: view `number` of palm `index`."""
        return self.placed_view(number, index)[0]

    def placed_view(self, number: int, index: int) -> tuple[Picture, tuple[float, float, float, float]]:
        """The same picture, and how it is misplaced (`Pose.error`)."""
        rng = np.random.default_rng([self._seed, index, number])
        palm = self.palms[index]
        where = pose(rng, palm, self._spread, self._careless)
        surface = look(rng, self._crowd[palm.surface, 0], where)
        veins = None if palm.regime is Regime.SURFACE else look(rng, self._crowd[palm.veins, 1], where)
        return shine(rng, surface, veins, palm.regime, self._weather), where.error

    def presentation(self, number: int, index: int, frames: int, regimes: tuple[Regime, ...] = POLARISATIONS) -> Picture:
        """Uint8 [regimes, frames, 128, 128] of one presentation of palm `index`: the hand trembles, the rest stays as it is.

        Light, focus, tilt and dirt are those of the presentation, so its frames are correlated as a reader's are. All regimes of a frame
        share its pose; which light the palm itself is listed under does not matter.
        """
        palm = self.palms[index]
        taken = []
        for frame in range(frames):
            rng = np.random.default_rng([self._seed, index, number, 3])
            flicker = np.random.default_rng([self._seed, index, number, 3, frame])
            where = _tremble(flicker, pose(rng, palm, self._spread, self._careless))
            surface, veins = (look(rng, self._crowd[at, part], where) for part, at in enumerate((palm.surface, palm.veins)))
            taken.append([shine(rng, surface, veins, regime, self._weather, flicker) for regime in regimes])
        return np.array(taken, np.uint8).swapaxes(0, 1)

    def batch(self, step: int, size: int) -> tuple[Picture, NDArray[np.int64], Floats]:
        """Uint8 [size, 128, 128], int64 [size], float32 [size, 4]: training batch `step`, two views of each of size / 2 palms.

        The last are the views' `Pose.error`.
        """
        rng = np.random.default_rng([self._seed, step, 1, 1])
        chosen = rng.choice(len(self.palms), size // 2, replace=len(self.palms) < size // 2)
        labels = np.repeat(chosen, 2)
        placed = [self.placed_view(1 + 2 * step + i % 2, int(index)) for i, index in enumerate(labels)]
        pictures, errors = np.stack([picture for picture, _ in placed]), np.array([error for _, error in placed], np.float32)
        return pictures, labels.astype(np.int64), errors
