"""A labelled frame, and the port through which frames come."""

from __future__ import annotations

import enum
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import NDArray


class Light(enum.Enum):
    """Which light a frame was exposed in."""

    DARK = "dark"  # both banks off: daylight only
    PARALLEL = "parallel"  # polarised as the camera is: the skin's surface
    CROSSED = "crossed"  # polarised across the camera: what lies under the skin
    SINGLE = "single"  # one lamp of unknown polarisation: one-light cameras and recordings
    MIXED = "mixed"  # straddles a switch, or can't be told: never used for a probe


class Pace(enum.Enum):
    """How hard the reader works."""

    IDLE = "idle"  # waiting for a register: banks off, few frames, little power
    ACTIVE = "active"  # a shopper is expected: full rate, banks alternating


@dataclass(frozen=True, slots=True)
class Frame:
    """One exposure.

    pixels: uint8 [height, width], grey; read-only for everybody but the reader. Never written to disk or log, nor in repr().
    captured_s: `time.monotonic()` at the start of the exposure, seconds.
    number: counts exposures of the sensor; a gap means that frames were dropped.
    """

    number: int
    pixels: NDArray[np.uint8] = field(repr=False)
    light: Light
    captured_s: float
    exposure_us: int
    gain: float


class ReaderError(Exception):
    """The reader can't give frames; the sentence says what to do next."""


class ReaderStalled(ReaderError):
    """No frame came within the deadline."""


class ReaderEnded(ReaderError):
    """A recording has no more frames."""


class Reader(Protocol):
    """A camera and its light as one: frames come out already labelled.

    Used by one thread at a time. The contract test in tests/terminal/reader/ runs on every implementation.
    """

    def open(self) -> None:
        """Claim the device. Raises ReaderError with a sentence for a technician."""

    def read(self, deadline_s: float) -> Frame:
        """Wait for the next frame for at most `deadline_s` seconds. Raises ReaderStalled, ReaderEnded, ReaderError."""

    def pace(self, pace: Pace) -> None:
        """Change how hard the reader works; takes effect within half a second."""

    def close(self) -> None:
        """Give the device back; harmless when already closed."""
