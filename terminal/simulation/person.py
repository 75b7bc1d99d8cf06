"""A simulated person: the shape of both hands, their skin's tone and age, all from one seed."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from terminal.palm.types import Side

SPAN_MM = 42.0
"""Valley span of an ordinary adult: index/middle valley to ring/little valley."""

CHILD_SHARE = 0.05
OLD_SHARE = 0.2


@dataclass(frozen=True, slots=True)
class Finger:
    """One finger, in valley spans of its own hand; `lean_deg` is where it points when the hand is relaxed (to the thumb: positive)."""

    length: float
    half_width: float
    taper: float  # share of the width that is lost up to the tip
    joints: tuple[float, float]  # the two creases, as shares of the length
    lean_deg: float
    bow: float  # sideways curvature, spans at the tip


@dataclass(frozen=True, slots=True)
class Person:
    """Geometry and skin of one person, right hand, palm seen; the left hand is its mirror image with a skin of its own.

    Lengths are in valley spans of a relaxed hand unless the name has a unit. Fingers run index, middle, ring, little.
    """

    seed: int
    age_years: int
    span_mm: float
    fingers: tuple[Finger, Finger, Finger, Finger]
    thumb: Finger
    valley_mid: tuple[float, float]  # the valley of middle and ring finger, with the outer two at (0.5, 0) and (-0.5, 0)
    outer_index: tuple[float, float]  # where the index finger's outer edge leaves the palm
    outer_little: tuple[float, float]
    half_breadth: float  # of the palm, at its middle
    wrist_y: float  # of the crease of the wrist
    wrist_half: float
    plump: float  # 0 bony .. 1 round: how much the pads stand out
    tone: float  # reflectance at 850 nm relative to the ordinary palm
    wrinkled: float  # 0 young .. 1 old: creases at joints, knuckles, back of the hand

    @classmethod
    def from_seed(cls, seed: int) -> Person:
        """The same person for the same seed, today and tomorrow. Raises ValueError for a negative seed."""
        if seed < 0:
            raise ValueError(f"{seed} is no person: seeds are 0 or more.")
        rng = np.random.default_rng([seed, 0xA4D])
        kind = rng.random()
        if kind < CHILD_SHARE:
            age, span = int(rng.integers(8, 15)), rng.uniform(32, 38)
        elif kind < CHILD_SHARE + OLD_SHARE:
            age, span = int(rng.integers(62, 92)), rng.normal(SPAN_MM, 2.6)
        else:
            age, span = int(rng.integers(15, 62)), rng.normal(SPAN_MM, 2.8)
        slim = float(np.clip(rng.normal(1.0, 0.06), 0.86, 1.14))
        long = float(np.clip(rng.normal(1.0, 0.06), 0.86, 1.14))

        def finger(length: float, half_width: float, lean_deg: float) -> Finger:
            return Finger(
                length=length * long * rng.normal(1, 0.03),
                half_width=half_width * slim * rng.normal(1, 0.025),
                taper=float(rng.uniform(0.12, 0.26)),
                joints=(float(rng.normal(0.43, 0.02)), float(rng.normal(0.72, 0.015))),
                lean_deg=lean_deg + rng.normal(0, 1.5),
                bow=float(rng.normal(0, 0.03)),
            )

        fingers = (
            finger(1.66, 0.222, 3.0),
            finger(1.86, 0.232, 0.5),
            finger(1.72, 0.222, -2.0),
            finger(1.36, 0.190, -6.0),
        )
        thumb = finger(1.42, 0.245, 0.0)
        return cls(
            seed=seed,
            age_years=age,
            span_mm=float(np.clip(span, 30.0, 50.0)),
            fingers=fingers,
            thumb=thumb,
            valley_mid=(float(rng.normal(0.01, 0.025)), float(rng.normal(-0.07, 0.025))),
            outer_index=(0.5 + 0.42 * slim * float(rng.normal(1, 0.04)), float(rng.normal(0.20, 0.03))),
            outer_little=(-0.5 - 0.37 * slim * float(rng.normal(1, 0.04)), float(rng.normal(0.27, 0.04))),
            half_breadth=float(np.clip(rng.normal(0.89, 0.05) * slim, 0.75, 1.06)),
            wrist_y=float(np.clip(rng.normal(1.90, 0.11) * (0.5 + 0.5 * long), 1.65, 2.3)),
            wrist_half=float(np.clip(rng.normal(0.66, 0.05) * slim, 0.52, 0.82)),
            plump=float(np.clip(rng.normal(0.5, 0.2), 0, 1)),
            tone=float(np.clip(rng.normal(1.0, 0.10), 0.72, 1.28)),
            wrinkled=float(np.clip((age - 25) / 60 + rng.normal(0, 0.1), 0, 1)),
        )

    def skin_seed(self, side: Side) -> int:
        """Seed of the skin of one hand: both hands of a person differ as two people's do."""
        return int(np.random.SeedSequence([self.seed, 0 if side is Side.RIGHT else 1]).generate_state(1)[0] >> 1)
