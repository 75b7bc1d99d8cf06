"""What is held over the reader besides bare skin, and in what room."""

from __future__ import annotations

import enum
from dataclasses import dataclass, fields, replace
from typing import Literal

import numpy as np

Sleeve = Literal["none", "dark", "bright", "pattern"]
SLEEVES: tuple[Sleeve, ...] = ("none", "dark", "bright", "pattern")


class Subject(enum.Enum):
    """What is held over the reader."""

    PALM = "palm"
    BACK = "back"  # the same hand, turned over
    FIST = "fist"
    PAPER = "paper"
    NOTHING = "nothing"


@dataclass(frozen=True, slots=True)
class Conditions:
    """All that varies from one presentation to the next but not from frame to frame. Shares run from 0 to 1.

    `seed` decides the details: where the dirt is, which folds the sleeve has, what stands in the room.
    """

    seed: int = 0
    subject: Subject = Subject.PALM
    sleeve: Sleeve = "none"
    sleeve_gap: float = 0.4  # spans of bare skin between wrist and sleeve; below 0 the cuff covers the heel of the hand
    rings: int = 0  # number of fingers with a ring
    plaster: bool = False
    dirt: float = 0.0
    wet: float = 0.0
    cold: float = 0.2  # cold hands: thin veins
    worn: float = 0.0  # creases faded by work, weeks or dry skin
    ambient: float = 0.0  # daylight on the hand, as a share of the reader's own light at 110 mm
    sun: float = 0.0  # a patch of direct sun on the palm, same unit
    window: float = 0.0  # brightness of a window or lamp behind the hand, share of full scale
    room: float = 0.05  # how much of a cluttered room shows, 0 black .. 1 bright
    glare: float = 0.5  # gloss in parallel light
    leak: float = 0.12  # share of the other polarisation that gets through
    noise: float = 1.0  # sensor noise relative to the product's sensor
    defocus: float = 1.0  # blur relative to the product's lens
    exposure: float = 1.0  # brightness relative to the product's setting

    @property
    def daylit(self) -> bool:
        """Whether daylight on the hand is worth computing."""
        return self.ambient >= 0.003 or self.sun >= 0.003

    @property
    def bright_behind(self) -> bool:
        """Whether the outline of the hand shows against what is behind it."""
        return self.room >= 0.15 or self.window > 0

    @classmethod
    def draw(cls, rng: np.random.Generator, hard: float = 1.0) -> Conditions:
        """Conditions as a shop sees them; `hard` scales how often something is unusual (0: all ordinary)."""

        def often(chance: float) -> bool:
            return bool(rng.random() < chance * hard)

        return cls(
            seed=int(rng.integers(2**31)),
            sleeve=SLEEVES[int(rng.choice(4, p=(0.4, 0.25, 0.2, 0.15)))],
            sleeve_gap=float(rng.uniform(-0.1, 0.9)),
            rings=int(rng.integers(1, 3)) if often(0.2) else 0,
            plaster=often(0.05),
            dirt=float(rng.uniform(0.2, 1.0)) if often(0.1) else 0.0,
            wet=float(rng.uniform(0.2, 1.0)) if often(0.1) else 0.0,
            cold=float(rng.beta(1.5, 3)),
            worn=float(rng.beta(1.3, 4)),
            ambient=float(rng.exponential(0.05)) if often(0.6) else 0.0,
            sun=float(rng.uniform(0.2, 1.5)) if often(0.06) else 0.0,
            window=float(rng.uniform(0.2, 1.0)) if often(0.12) else 0.0,
            room=float(rng.beta(1.0, 4.0)),
            glare=float(rng.uniform(0.2, 0.9)),
            leak=float(rng.uniform(0.04, 0.25)),
            noise=float(rng.lognormal(0, 0.25)),
            defocus=float(rng.uniform(0.6, 1.5)),
            exposure=float(np.clip(rng.lognormal(0, 0.2), 0.5, 1.8)),
        )

    @classmethod
    def from_words(cls, words: dict[str, object], usual: Conditions | None = None) -> Conditions:
        """`usual` with what a JSON object changes; an unknown key or a wrong type raises ValueError with a sentence that names it."""
        known = {f.name: f for f in fields(cls)}
        made: dict[str, object] = {}
        default = usual or cls()
        for name, value in words.items():
            if name not in known:
                raise ValueError(f"condition {name!r} is not known. Known: {', '.join(known)}.")
            now = getattr(default, name)
            if name == "subject":
                made[name] = Subject(value)
            elif name == "sleeve":
                if value not in SLEEVES:
                    raise ValueError(f"sleeve is none, dark, bright or pattern, not {value!r}.")
                made[name] = value
            elif isinstance(now, bool) or isinstance(value, bool):
                if not (isinstance(now, bool) and isinstance(value, bool)):
                    raise ValueError(f"condition {name} is {type(now).__name__}, not {value!r}.")
                made[name] = value
            elif not isinstance(value, int | float) or not -10 <= value < 2**31:
                raise ValueError(f"condition {name} is a number, not {value!r}.")
            else:
                made[name] = type(now)(value)
        return replace(default, **made)  # type: ignore[arg-type]
