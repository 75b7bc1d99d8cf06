"""The visible ring as a pure function of what is on show: for the WS2812 ring's driver and for the page alike.

Colour never speaks alone: each meaning has its own motion, so that somebody who does not tell green from red sees the difference.
Nothing flashes faster than FLASHES_PER_S_MAX (WCAG 2.3.1 allows three a second).
"""

from __future__ import annotations

import enum
import math
from dataclasses import dataclass

from terminal.checkout import Outcome, Screen
from terminal.display.view import View

RING_PIXELS = 24
FLASHES_PER_S_MAX = 2.0
BREATH_S = 4.0
"""One breath of a ring that waits; about a resting person's."""
INVITE_S = 1.6
"""One breath of a ring that asks for a hand: quicker, so that it is noticed."""
TURN_S = 1.2
"""One turn of a ring that works."""
BRIGHT_MAX = 160
"""Of 255: the ring sits below somebody's eyes, and a full-white WS2812 ring of 24 draws 1.4 A."""
DIM = 0.12
"""The lowest point of a breath, as a part of BRIGHT_MAX."""

Rgb = tuple[int, int, int]


class Colour(enum.Enum):
    """What the ring means, as red, green, blue in 0..1."""

    CALM = (0.35, 0.65, 1.0)
    INVITE = (0.75, 0.85, 1.0)
    WORK = (0.25, 0.75, 1.0)
    YES = (0.1, 1.0, 0.35)
    NO = (1.0, 0.45, 0.05)
    STOP = (1.0, 0.1, 0.05)


class Motion(enum.Enum):
    """How the ring moves."""

    BREATHE = "breathe"  # slowly brighter and darker, all together
    INVITE = "invite"  # the same, quicker and stronger
    FILL = "fill"  # an arc that grows with the evidence
    TURN = "turn"  # a short arc that goes round
    HOLD = "hold"  # steady
    BLINK = "blink"  # on and off, slowly
    HALF = "half"  # two opposite arcs, steady: "not this way"


@dataclass(frozen=True, slots=True)
class Look:
    """What the ring does until the view changes. progress: 0..1, used by FILL."""

    colour: Colour
    motion: Motion
    progress: float = 0.0


_LOOKS = {
    Screen.WELCOME: (Colour.CALM, Motion.BREATHE),
    Screen.PRESENT_PALM: (Colour.INVITE, Motion.INVITE),
    Screen.LOOKING: (Colour.WORK, Motion.FILL),
    Screen.ASKING: (Colour.WORK, Motion.TURN),
    Screen.PAID: (Colour.YES, Motion.HOLD),
    Screen.REFUNDED: (Colour.YES, Motion.HOLD),
    Screen.RESERVED: (Colour.YES, Motion.HOLD),
    Screen.DECLINED: (Colour.NO, Motion.HALF),
    Screen.CANCELLED: (Colour.CALM, Motion.HALF),
    Screen.STARTING: (Colour.CALM, Motion.TURN),
    Screen.OUT_OF_ORDER: (Colour.STOP, Motion.BLINK),
    Screen.SETTLING: (Colour.CALM, Motion.TURN),
    Screen.ENROL: (Colour.INVITE, Motion.INVITE),
    Screen.ENROLLED: (Colour.YES, Motion.HOLD),
}


def look(view: View) -> Look:
    """What the ring does for this view."""
    colour, motion = _LOOKS[view.screen]
    if view.screen in (Screen.PRESENT_PALM, Screen.ENROL) and view.certainty > 0:
        motion = Motion.FILL
    if view.screen is Screen.DECLINED and view.outcome in (Outcome.ABORTED, Outcome.BUSY):
        colour = Colour.CALM
    if motion is not Motion.FILL:
        return Look(colour, motion)
    progress = view.certainty if math.isfinite(view.certainty) else 0.0
    return Look(colour, motion, min(1.0, max(0.0, progress)))


def pixels(ring: Look, elapsed_s: float, count: int = RING_PIXELS) -> list[Rgb]:
    """Red, green, blue in 0..BRIGHT_MAX of each of `count` LEDs, clockwise from the top, `elapsed_s` after the look began."""
    if count < 1:
        raise ValueError(f"a ring needs at least one LED, not {count}")
    return [_rgb(ring.colour, _level(ring, elapsed_s, (i + 0.5) / count, count)) for i in range(count)]


def _level(ring: Look, elapsed_s: float, around: float, count: int) -> float:
    """Brightness in 0..1 of the LED at `around` (0..1 of a turn)."""
    if ring.motion is Motion.HOLD:
        return 1.0
    if ring.motion in (Motion.BREATHE, Motion.INVITE):
        period_s, top = (BREATH_S, 0.6) if ring.motion is Motion.BREATHE else (INVITE_S, 1.0)
        return DIM + (top - DIM) * 0.5 * (1 - math.cos(2 * math.pi * elapsed_s / period_s))
    if ring.motion is Motion.BLINK:
        return 1.0 if (elapsed_s * FLASHES_PER_S_MAX / 2) % 1 < 0.5 else DIM
    if ring.motion is Motion.HALF:
        return 1.0 if around % 0.5 < 0.25 else DIM
    if ring.motion is Motion.TURN:
        behind = (elapsed_s / TURN_S - around) % 1
        return max(DIM, 1 - behind / 0.4)
    lit = ring.progress * count - around * count + 0.5  # the last LED of the arc comes up softly
    return max(DIM, min(1.0, lit))


def _rgb(colour: Colour, level: float) -> Rgb:
    red, green, blue = (round(part * level * BRIGHT_MAX) for part in colour.value)
    return red, green, blue
