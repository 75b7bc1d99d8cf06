"""The stage before the simulated reader: which hand is shown, since when, and when it came to rest."""

from __future__ import annotations

import ctypes
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache
from threading import Lock

import numpy as np

from terminal.palm.types import Side
from terminal.simulation.conditions import Conditions, Subject
from terminal.simulation.motion import Motion, resting_pose
from terminal.simulation.people import name_of, seed_of
from terminal.simulation.person import Person
from terminal.simulation.scene import Actor
from terminal.simulation.texture import prepare, sheet_for

HANDS_MAX = 2
"""In view at once."""

APART_MM = 62.0
"""Two hands lie this far to either side of the middle."""


@dataclass(frozen=True, slots=True)
class Part:
    """One hand in the play."""

    person: Person
    side: Side
    conditions: Conditions
    motion: Motion


@lru_cache(maxsize=1)
def _trimmer() -> Callable[[int], int]:
    """glibc's malloc_trim; elsewhere nothing needs it."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    return trim if trim is not None else lambda _: 0


def _give_back_memory() -> None:
    """Drawing a hand takes 40 MB for a moment, which the C library would keep for ever; a terminal has 250 MiB in all."""
    _trimmer()(0)


class Stage:
    """What is over the reader. Safe to use from several threads; a hand is drawn before it comes in, in the caller's time."""

    def __init__(self, room_seed: int, size: tuple[int, int] = (400, 640), clock: Callable[[], float] = time.monotonic) -> None:
        self.size = size  # of the frames, (height, width): hands are drawn to suit it
        self._clock = clock
        self._px = sheet_for(size[1]).px
        self._lock = Lock()
        self._cast: list[Part] = []
        self._leaving: list[Part] = []
        self._count = 0
        rng = np.random.default_rng([room_seed, 0x57A6])
        self._room = Conditions(
            seed=int(rng.integers(2**31)), room=float(rng.uniform(0.02, 0.12)), ambient=float(rng.uniform(0, 0.03))
        )

    @property
    def room(self) -> Conditions:
        """Light, clutter and camera where nobody says otherwise."""
        return self._room

    def ordinary(self, seed: int) -> Conditions:
        """A presentation in which nothing is unusual, in this stage's room: sleeve, creases, warmth of the hand vary with the seed."""
        drawn = Conditions.draw(np.random.default_rng([seed, 0xC0]), hard=0.0)
        return replace(
            drawn, room=self._room.room, ambient=self._room.ambient, noise=1.0, defocus=1.0, exposure=1.0, leak=0.12, glare=0.5
        )

    def show(
        self,
        person: str | int,
        side: Side = Side.RIGHT,
        seed: int | None = None,
        conditions: Conditions | None = None,
        *,
        comes_in: bool = True,
        corrects: bool | None = None,
        leaves_after_s: float | None = None,
    ) -> None:
        """Let a person hold a hand over the reader; a hand that is there leaves at once.

        `seed` decides pose, motion and (where not given) conditions; without one every presentation is a new one. `corrects`: comes
        too close or too far at first (None: one in five). Raises ValueError for a person who is not known.
        """
        who = Person.from_seed(seed_of(person))
        seed = self._next_seed() if seed is None else seed
        asked = conditions if conditions is not None else self.ordinary(seed)
        rng = np.random.default_rng([who.seed, seed, 0x3A0])
        pose = resting_pose(rng)
        prepare(who, side, pose.posture, asked, self._px)
        _give_back_memory()
        with self._lock:
            now = self._clock()
            motion = Motion(pose, now, rng, comes_in=comes_in, corrects=corrects)
            self._cast, self._leaving = [Part(who, side, asked, motion)], []
            if leaves_after_s is not None:
                motion.leave(now + leaves_after_s)

    def show_person(self, person: str | int, side: Side = Side.RIGHT, seed: int | None = None) -> None:
        """`show` with ordinary conditions."""
        self.show(person, side, seed)

    def show_two_hands(self, left: str | int = "ada", right: str | int = "ben", seed: int | None = None) -> None:
        """Two people at once, one hand each, side by side."""
        seed = self._next_seed() if seed is None else seed
        parts = []
        for k, (who, side) in enumerate(((left, Side.RIGHT), (right, Side.LEFT))):
            person = Person.from_seed(seed_of(who))
            rng = np.random.default_rng([person.seed, seed, k])
            pose = resting_pose(rng)
            place = (APART_MM * (2 * k - 1), pose.position_mm[1], 125.0 + 8 * k)
            pose = replace(pose, position_mm=place, roll_deg=0.3 * pose.roll_deg)
            asked = replace(self.ordinary(seed + k), sleeve="none")
            prepare(person, side, pose.posture, asked, self._px)
            parts.append((person, side, asked, pose, rng))
        _give_back_memory()
        with self._lock:
            now = self._clock()
            self._cast = [Part(p, s, c, Motion(pose, now, rng, corrects=False)) for p, s, c, pose, rng in parts]
            self._leaving = []

    def show_nothing(self) -> None:
        """Whatever is there leaves."""
        with self._lock:
            now = self._clock()
            for part in self._cast:
                part.motion.leave(now)
            self._leaving, self._cast = self._cast, []

    def _next_seed(self) -> int:
        with self._lock:
            self._count += 1
            return self._count

    @property
    def resting_since_s(self) -> float | None:
        """`time.monotonic()` since when the (only) hand has been at rest; None while it moves, or when there is none, or two."""
        with self._lock:
            if len(self._cast) != 1:
                return None
            motion = self._cast[0].motion
            return motion.rests_s if motion.resting(self._clock()) else None

    def actors(self, when_s: float) -> list[Actor]:
        """The hands in view at a time, farther ones first."""
        with self._lock:
            self._leaving = [part for part in self._leaving if not part.motion.gone(when_s)]
            parts = [part for part in (*self._leaving, *self._cast) if not part.motion.gone(when_s)]
        shown = [p for p in parts[:HANDS_MAX] if p.conditions.subject is not Subject.NOTHING]
        actors = [Actor(p.person, p.side, p.motion.pose(when_s), p.conditions) for p in shown]
        return sorted(actors, key=lambda actor: -actor.pose.position_mm[2])

    def conditions(self) -> Conditions:
        """Those of room and camera: of the hand that is shown, over the stage's own room."""
        with self._lock:
            part = next(iter((*self._cast, *self._leaving)), None)
        return self._room if part is None else replace(part.conditions, seed=self._room.seed)

    def status(self) -> dict[str, object]:
        """What is shown, as words and numbers for a page or a script."""
        with self._lock:
            cast = list(self._cast)
        return {
            "showing": [{"person": name_of(p.person.seed), "seed": p.person.seed, "side": p.side.value} for p in cast],
            "subject": cast[0].conditions.subject.value if cast else Subject.NOTHING.value,
            "resting_since_s": self.resting_since_s,
        }
