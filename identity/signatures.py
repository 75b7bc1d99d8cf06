"""Probes as they come off the wire: checked before anything is done with them."""

from __future__ import annotations

import enum
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from proto.palmpay.v1 import palm_pb2

Vector = NDArray[np.float32]

NORM_TOLERANCE = 1e-2
"""How far from 1 the L2 norm of a signature may be (half-precision encoders round)."""

MODALITIES = ("surface", "veins", "mixed")


class Side(enum.Enum):
    """Which hand; palms are enrolled for each side."""

    LEFT = "left"
    RIGHT = "right"


class BadProbe(Exception):
    """A probe can't be used; the sentence says which field and what is expected."""


@dataclass(frozen=True, slots=True)
class Signatures:
    """What one look has: float32 [D] with L2 norm 1, or None for a light that was not seen. repr() shows none of it.

    Of a template (the mean of several looks) the norm is 1 or less.
    """

    surface: Vector | None = field(default=None, repr=False)
    veins: Vector | None = field(default=None, repr=False)
    mixed: Vector | None = field(default=None, repr=False)

    def has(self) -> tuple[bool, bool, bool]:
        """Which of surface, veins, mixed are there."""
        return self.surface is not None, self.veins is not None, self.mixed is not None

    def matrix(self, dimension: int) -> Vector:
        """float32 [3, D], rows in the order of MODALITIES; zeros where there is none."""
        rows = np.zeros((3, dimension), np.float32)
        for row, vector in zip(rows, (self.surface, self.veins, self.mixed), strict=True):
            if vector is not None:
                row[:] = vector
        return rows


@dataclass(frozen=True, slots=True)
class Look:
    """One checked probe."""

    side: Side
    quality: float
    signatures: Signatures


def parse(probe: palm_pb2.Probe, dimension: int) -> Look:
    """Check a probe. Raises BadProbe."""
    sides = {palm_pb2.HAND_SIDE_LEFT: Side.LEFT, palm_pb2.HAND_SIDE_RIGHT: Side.RIGHT}
    side = sides.get(probe.side)
    if side is None:
        raise BadProbe("probe.side: HAND_SIDE_LEFT or HAND_SIDE_RIGHT is expected")
    if not 0.0 <= probe.quality <= 1.0:  # false for NaN too
        raise BadProbe("probe.quality: 0 to 1 is expected")
    signatures = Signatures(
        _vector("surface", probe.surface, dimension),
        _vector("veins", probe.veins, dimension),
        _vector("mixed", probe.mixed, dimension),
    )
    if not any(signatures.has()):
        raise BadProbe("probe: at least one of surface, veins and mixed is expected")
    return Look(side, float(probe.quality), signatures)


def _vector(name: str, raw: bytes, dimension: int) -> Vector | None:
    if not raw:
        return None
    if len(raw) != 4 * dimension:
        raise BadProbe(f"probe.{name}: {dimension} float32 ({4 * dimension} bytes) are expected, {len(raw)} bytes came")
    vector = np.frombuffer(raw, "<f4").astype(np.float32)
    if not np.isfinite(vector).all():
        raise BadProbe(f"probe.{name}: finite numbers are expected")
    with np.errstate(over="ignore"):
        norm = float(np.linalg.norm(vector.astype(np.float64)))
    if abs(norm - 1.0) > NORM_TOLERANCE:
        raise BadProbe(f"probe.{name}: an L2 norm of 1 is expected")
    return np.asarray(vector / np.float32(norm), np.float32)
