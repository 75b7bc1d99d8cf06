"""What the shopper is told: what a found hand should do, and words that don't flicker."""

from __future__ import annotations

from terminal.palm.canonical import share_inside
from terminal.palm.types import Guidance, Hand, NoHand

NEAR_MM = 48.0
FAR_SPAN_SHARE = 0.07
"""A hand whose valley span is less than this share of the frame's longer side is too far away: lines are no longer seen."""

SPAN_MIN_PX = 36.0
INSIDE_MIN = 0.93
"""Least share of the canonical palm that must lie within the frame."""

TILT_MAX_DEG = 33.0
"""Of yaw and of pitch."""

CONFIDENCE_MIN = 0.25

SETTLE_S = 0.25
"""A word is said when it was true for this long."""

FIRST_SETTLE_S = 0.12
"""The first word after nothing comes sooner."""

GONE_S = 0.5
"""A hand that is lost for less than this is not asked for again."""


def advice(found: Hand | NoHand, height: int, width: int) -> Guidance:
    """What would help, for a hand in a frame of this size; GOOD where nothing is wrong with its place."""
    if isinstance(found, NoHand):
        return found.why
    if found.distance_mm < NEAR_MM:
        return Guidance.HIGHER
    if share_inside(found, height, width) < INSIDE_MIN:
        # A palm that fills the frame can't be centred, only taken away.
        return Guidance.HIGHER if found.span_px > 0.42 * min(height, width) else Guidance.CENTRE
    if found.span_px < max(SPAN_MIN_PX, FAR_SPAN_SHARE * max(height, width)):
        return Guidance.LOWER
    if max(abs(found.yaw_deg), abs(found.pitch_deg)) > TILT_MAX_DEG:
        return Guidance.FLATTER
    if found.confidence < CONFIDENCE_MIN:
        return Guidance.OPEN_HAND
    return Guidance.GOOD


class Prompter:
    """Turns an opinion for each frame into words that a person can follow: each is told once, when it has held for a while."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Forget what was said."""
        self._told: Guidance | None = None
        self._meant: Guidance | None = None
        self._since_s = 0.0

    def push(self, meant: Guidance, now_s: float) -> Guidance | None:
        """The opinion at `now_s` (monotonic seconds); returns a word when it is time to say it."""
        if meant is not self._meant:
            self._meant, self._since_s = meant, now_s
        if meant is self._told:
            return None
        wait_s = SETTLE_S if self._told is not None else FIRST_SETTLE_S
        if meant is Guidance.SHOW_HAND and self._told is not None:
            wait_s = GONE_S
        if meant is Guidance.GOOD:
            wait_s = 0.0  # good news needs no second thought
        if now_s - self._since_s < wait_s:
            return None
        self._told = meant
        return meant
