"""What the palm pipeline says: hands, canonical palms, probes, and why there is none."""

from __future__ import annotations

import enum
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

ROI_SIDE_PX = 128
"""Side of the canonical palm in pixels."""

ROI_SIDE_SPANS = 1.4
"""Side of the canonical palm, in valley spans (index/middle valley to ring/little valley, about 42 mm on an adult)."""

ROI_GAP_SPANS = 0.15
"""From the line through the valleys down to the upper edge of the canonical palm, in valley spans."""


class Side(enum.Enum):
    """Which hand."""

    LEFT = "left"
    RIGHT = "right"


class Guidance(enum.Enum):
    """Why there is no good probe yet: what the shopper should do, most helpful first."""

    SHOW_HAND = "show_hand"  # nothing there
    PALM_UP = "palm_up"  # back of a hand, a fist: show the palm to the reader
    ONE_HAND = "one_hand"  # two hands
    OPEN_HAND = "open_hand"  # fingers hide the palm
    HIGHER = "higher"  # too close
    LOWER = "lower"  # too far
    CENTRE = "centre"  # partly outside
    FLATTER = "flatter"  # tilted too much
    HOLD_STILL = "hold_still"  # moving too fast
    DAYLIGHT = "daylight"  # too much sun on the palm
    GOOD = "good"  # keep it there


@dataclass(frozen=True, slots=True)
class Hand:
    """A palm that was found in a frame.

    Points are float32 [K, 2] as (x, y) in pixels of the frame that was searched; `valleys` has K = 3: index/middle, middle/ring,
    ring/little. `wrist` is (x, y) of the middle of the wrist end of the palm. Angles in degrees; roll 0 is fingers up.
    """

    side: Side
    valleys: NDArray[np.float32]
    wrist: NDArray[np.float32]
    confidence: float  # 0..1 that this is an open palm and the points are right
    distance_mm: float  # from the valley span, assuming 42 mm; only for guidance
    roll_deg: float
    yaw_deg: float
    pitch_deg: float

    @property
    def span_px(self) -> float:
        """Distance between the outer valleys in pixels."""
        return float(np.hypot(*(self.valleys[2] - self.valleys[0])))


@dataclass(frozen=True, slots=True)
class NoHand:
    """No usable palm in this frame, and what would help."""

    why: Guidance
    presence: float  # 0..1 that anything hand-like is in view


@dataclass(frozen=True, slots=True)
class Look:
    """One probe: a signature for each light that was seen, with where it came from and what it cost.

    Signatures are float32 [D] with L2 norm 1, or None where that light was not seen. `stages_us` holds the microseconds of each
    stage by name ("daylight", "find", "canonical", "encode", "quality"). repr() shows no signature.
    """

    frame_number: int
    captured_s: float
    side: Side
    quality: float
    model_version: str
    surface: NDArray[np.float32] | None = field(default=None, repr=False)
    veins: NDArray[np.float32] | None = field(default=None, repr=False)
    mixed: NDArray[np.float32] | None = field(default=None, repr=False)
    stages_us: dict[str, int] = field(default_factory=dict)
