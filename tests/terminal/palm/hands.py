"""Analytic hands and scripted finders: geometry and the pipeline are tested without a network."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from terminal.palm.quality import Quality
from terminal.palm.types import Guidance, Hand, NoHand, Side
from terminal.reader.frame import Frame, Light

HEIGHT, WIDTH = 400, 640
PERIOD_S = 1 / 60


def hand(
    centre: tuple[float, float] = (320.0, 150.0),
    span_px: float = 120.0,
    roll_deg: float = 0.0,
    side: Side = Side.RIGHT,
    confidence: float = 0.9,
    distance_mm: float = 120.0,
    yaw_deg: float = 0.0,
) -> Hand:
    """A hand whose outer valleys lie symmetrically around `centre`."""
    turn = np.deg2rad(roll_deg)
    across = np.array([np.cos(turn), np.sin(turn)]) * span_px * (1 if side is Side.RIGHT else -1)
    down = np.array([-np.sin(turn), np.cos(turn)]) * span_px
    middle = np.asarray(centre)
    return Hand(
        side=side,
        valleys=np.stack([middle + across / 2, middle - 0.06 * down, middle - across / 2]).astype(np.float32),
        wrist=(middle + 1.9 * down).astype(np.float32),
        confidence=confidence,
        distance_mm=distance_mm,
        roll_deg=roll_deg,
        yaw_deg=yaw_deg,
        pitch_deg=0.0,
    )


def frame(number: int, light: Light, level: int = 100, captured_s: float | None = None, **changes: object) -> Frame:
    """A plain grey frame whose level says which it is."""
    pixels = changes.pop("pixels", None)
    assert not changes
    grey = np.full((HEIGHT, WIDTH), level, np.uint8) if pixels is None else np.asarray(pixels, np.uint8)
    return Frame(number, grey, light, number * PERIOD_S if captured_s is None else captured_s, 4000, 2.0)


@dataclass
class ScriptedFinder:
    """Answers with what `where` says for the picture's mean level; remembers what it was asked."""

    where: Callable[[int], Hand | NoHand]
    hints: list[Hand | None] = field(default_factory=list)
    levels: list[float] = field(default_factory=list)

    def find(self, image: NDArray[np.uint8], hint: Hand | None = None) -> Hand | NoHand:
        self.hints.append(hint)
        self.levels.append(float(image.mean()))
        return self.where(len(self.hints) - 1)


class MeanEncoder:
    """A signature that tells which picture it was made of: its mean level, as an angle."""

    version = "palm-test"

    def encode(self, palms: NDArray[np.uint8]) -> NDArray[np.float32]:
        angle = palms.reshape(len(palms), -1).mean(1) / 255.0
        return np.stack([np.cos(angle), np.sin(angle)], 1).astype(np.float32)


def level_of(signature: NDArray[np.float32] | None) -> int:
    """The mean level that MeanEncoder saw."""
    assert signature is not None
    return round(float(np.arctan2(signature[1], signature[0])) * 255)


def always_good(palm: NDArray[np.uint8], *, clipped: float = 0.0, speed_spans_s: float = 0.0) -> Quality:
    return Quality(0.9)


def nothing(_: int) -> NoHand:
    return NoHand(Guidance.SHOW_HAND, 0.01)
