"""How a person brings a hand over the reader, holds it there, and takes it away again.

Every move is a damped swing towards a place: the hand overshoots a little and settles. Times are seconds on the caller's clock.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from terminal.simulation.scene import Pose

REST_MM = 1.0
REST_DEG = 1.0
"""A hand is at rest once it stays this close to where it is going (the tremor comes on top)."""

MOVE_LIMIT_S = 2.0
"""No swing lasts longer."""

WRONG_DISTANCE_SHARE = 0.2
"""One presentation in five is too close or too far at first."""

State = NDArray[np.float64]  # [6]: x, y, z in mm, roll, yaw, pitch in degrees
_STEP_S = 0.002


@dataclass(frozen=True, slots=True)
class _Swing:
    """From `origin` towards `target`, starting at `begins_s`: a second-order system with damping `zeta`."""

    begins_s: float
    origin: State
    target: State
    decay_per_s: float
    zeta: float

    def at(self, when_s: float) -> State:
        t = max(0.0, when_s - self.begins_s)
        made: State = self.target + (self.origin - self.target) * self._left(t)
        return made

    def _left(self, t: float | NDArray[np.float64]) -> float | NDArray[np.float64]:
        """Share of the way that is left `t` seconds after the start; below 0 while it overshoots."""
        omega = self.decay_per_s / self.zeta * np.sqrt(1 - self.zeta**2)
        left: float | NDArray[np.float64] = np.exp(-self.decay_per_s * t) * (
            np.cos(omega * t) + self.decay_per_s / omega * np.sin(omega * t)
        )
        return left

    def rests_s(self) -> float:
        """From when on it stays within REST_MM and REST_DEG of the target."""
        way = np.abs(self.origin - self.target)
        allowed = min(REST_MM / max(way[:3].max(), 1e-9), REST_DEG / max(way[3:].max(), 1e-9))
        times = np.arange(0.0, MOVE_LIMIT_S, _STEP_S)
        moving = np.flatnonzero(np.abs(self._left(times)) > allowed)
        return self.begins_s + (float(times[moving[-1]]) + _STEP_S if moving.size else 0.0)


class Motion:
    """One presentation: comes in at `begins_s`, settles at `pose`, trembles, and leaves when told."""

    def __init__(
        self, pose: Pose, begins_s: float, rng: np.random.Generator, *, comes_in: bool = True, corrects: bool | None = None
    ) -> None:
        self._pose = pose
        self._leaves: _Swing | None = None
        self._decay, self._zeta = float(rng.uniform(7.5, 13.0)), float(rng.uniform(0.66, 0.86))
        target = _state(pose)
        # Most come from where the shopper stands: from below, else from a side.
        angle = rng.choice((90.0, 90.0, 0.0, 180.0)) + rng.normal(0, 20)
        far = float(rng.uniform(1.9, 2.3)) * pose.position_mm[2] + 60
        away = np.array([np.cos(np.deg2rad(angle)) * far, np.sin(np.deg2rad(angle)) * far, rng.uniform(-10, 40), 0, 0, 0])
        away[3:] = rng.normal(0, (9, 8, 8))
        self._outside = target + away
        wrong = rng.random() < WRONG_DISTANCE_SHARE if corrects is None else corrects
        self._swings: list[_Swing] = []
        if not comes_in:
            self._swings.append(_Swing(begins_s, target, target, self._decay, self._zeta))
        elif wrong:
            first = target.copy()
            first[2] = rng.uniform(50, 62) if rng.random() < 0.5 else rng.uniform(170, 200)
            self._swings.append(_Swing(begins_s, self._outside, first, self._decay, self._zeta))
            corrects_s = self._swings[0].rests_s() + float(rng.uniform(0.35, 0.8))
            self._swings.append(_Swing(corrects_s, first, target, self._decay, self._zeta))
        else:
            self._swings.append(_Swing(begins_s, self._outside, target, self._decay, self._zeta))
        self.begins_s = begins_s
        self.rests_s = self._swings[-1].rests_s()
        self._tremor_hz = rng.uniform(4, 10, (3, 6))
        self._tremor_phase = rng.uniform(0, 2 * np.pi, (3, 6))
        # Amplitudes in mm and degrees; 0.3 to 1 mm in all.
        self._tremor = rng.uniform(0.1, 0.34, (3, 6)) * np.array([1, 1, 1, 0.3, 0.4, 0.4])

    def leave(self, when_s: float) -> None:
        """Take the hand away at a time, now or later; the earlier one counts."""
        if self._leaves is None or when_s < self._leaves.begins_s:
            self._leaves = _Swing(when_s, self._settled(when_s), self._outside, self._decay * 0.8, self._zeta)

    def gone(self, now_s: float) -> bool:
        """The hand has left and is out of view."""
        return self._leaves is not None and now_s - self._leaves.begins_s > 5.0 / self._decay

    def resting(self, now_s: float) -> bool:
        """The hand is where it was going, and has not begun to leave."""
        return now_s >= self.rests_s and not self._leaving(now_s)

    def _leaving(self, now_s: float) -> bool:
        return self._leaves is not None and now_s >= self._leaves.begins_s

    def _settled(self, when_s: float) -> State:
        swing = next((s for s in reversed(self._swings) if when_s >= s.begins_s), self._swings[0])
        return swing.at(when_s)

    def _at(self, when_s: float) -> State:
        state = self._leaves.at(when_s) if self._leaves is not None and self._leaving(when_s) else self._settled(when_s)
        wave = np.sin(2 * np.pi * self._tremor_hz * (when_s - self.begins_s) + self._tremor_phase)
        made: State = state + (self._tremor * wave).sum(0)
        return made

    def pose(self, when_s: float) -> Pose:
        """Where the hand is, and how fast it moves."""
        state = self._at(when_s)
        speed = (self._at(when_s + _STEP_S)[:3] - state[:3]) / _STEP_S
        return replace(
            self._pose,
            position_mm=(float(state[0]), float(state[1]), max(35.0, float(state[2]))),
            roll_deg=float(state[3]),
            yaw_deg=float(state[4]),
            pitch_deg=float(state[5]),
            velocity_mm_s=(float(speed[0]), float(speed[1]), float(speed[2])),
        )


def _state(pose: Pose) -> State:
    return np.array([*pose.position_mm, pose.roll_deg, pose.yaw_deg, pose.pitch_deg], np.float64)


def resting_pose(rng: np.random.Generator) -> Pose:
    """Where a shopper who was told how ends up: 80 to 140 mm above the reader, roughly centred, roughly level."""
    drawn = Pose.draw(rng, 0.45)
    x, y, _ = drawn.position_mm
    distance = float(np.clip(rng.normal(105, 13), 80, 140))
    reach = 0.17 * distance
    return replace(
        drawn,
        position_mm=(float(np.clip(x, -reach, reach)), float(np.clip(y, -0.5 * reach, 0.5 * reach)), distance),
        roll_deg=float(np.clip(drawn.roll_deg, -30, 30)),
        yaw_deg=float(np.clip(drawn.yaw_deg, -15, 15)),
        pitch_deg=float(np.clip(drawn.pitch_deg, -12, 12)),
    )
