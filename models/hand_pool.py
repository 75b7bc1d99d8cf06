"""Simulated hands to train the finder on: rendered once into a pool on disk, from seeds, then varied a thousand times.

Frames are square and dark behind the hand: what stands behind it, how it is turned and how it is exposed is decided anew for every
sample (models/hand_samples.py), which costs a tenth of a rendering.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rich.progress import track

from terminal.palm.types import Side
from terminal.reader.frame import Light
from terminal.simulation.conditions import Conditions, Subject
from terminal.simulation.person import Person
from terminal.simulation.scene import Pose, render

SIDE_PX = 320
"""Frames of the pool are uint8 [SIDE_PX, SIDE_PX]: 85 degrees both ways."""

POSES_PER_HAND = 4
"""A hand is drawn once (most of the cost) and seen in this many poses."""

TRAINING_SEEDS = 50_000
"""People of training are this seed and up; those below are for demonstrations, tests and evaluation."""

SUBJECTS = (Subject.PALM, Subject.BACK, Subject.FIST, Subject.PAPER)
SHARES = (0.62, 0.2, 0.12, 0.06)
VERSION = 1

RECORD = np.dtype(
    [
        ("valleys", np.float32, (3, 2)), ("wrist", np.float32, 2), ("subject", np.int8), ("left", np.bool_),
        ("yaw", np.float32), ("pitch", np.float32), ("roll", np.float32), ("distance", np.float32), ("span_mm", np.float32),
    ]
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Pool:
    """Frames uint8 [N, SIDE_PX, SIDE_PX] and what is true of each, RECORD [N]."""

    frames: NDArray[np.uint8]
    truths: NDArray[np.void]


def hand(seed: int) -> Iterator[tuple[NDArray[np.uint8], NDArray[np.void]]]:
    """POSES_PER_HAND frames of one hand, each with its RECORD."""
    rng = np.random.default_rng([seed, 0x9001])
    subject = SUBJECTS[int(rng.choice(len(SUBJECTS), p=SHARES))]
    person = Person.from_seed(TRAINING_SEEDS + seed)
    side = Side.LEFT if rng.random() < 0.5 else Side.RIGHT
    conditions = replace(Conditions.draw(rng), subject=subject, room=0.0, window=0.0, noise=0.4)
    first = Pose.draw(rng)
    for _ in range(POSES_PER_HAND):
        pose = replace(Pose.draw(rng), posture=first.posture)
        # Half of the hands are held as practised people do, so that angles near zero are not the exception.
        if rng.random() < 0.5:
            pose = replace(pose, yaw_deg=0.5 * pose.yaw_deg, pitch_deg=0.5 * pose.pitch_deg)
        distance = float(np.exp(rng.uniform(np.log(58), np.log(215))))
        x, y = rng.normal(0, 0.16 * distance, 2)
        # Exposed so that little clips: brightness is decided for each sample.
        exposure = float(np.clip((distance / 110) ** 2, 0.25, 3.5) * rng.uniform(0.8, 1.3))
        pose = replace(pose, position_mm=(float(x), float(y), distance), roll_deg=float(rng.normal(0, 25)))
        light = (Light.PARALLEL, Light.CROSSED)[int(rng.integers(2))]
        seen = render(person, side, pose, light, replace(conditions, exposure=exposure), rng, (SIDE_PX, SIDE_PX))
        record = np.zeros((), RECORD)
        truth = seen.truth
        record["valleys"], record["wrist"] = truth.valleys, truth.wrist
        record["subject"], record["left"] = SUBJECTS.index(subject), side is Side.LEFT
        record["yaw"], record["pitch"], record["roll"] = truth.yaw_deg, truth.pitch_deg, truth.roll_deg
        record["distance"], record["span_mm"] = truth.distance_mm, truth.span_mm
        yield seen.pixels, record


def pool(folder: Path, hands: int) -> Pool:
    """The pool of `hands` hands below `folder`, rendered now where it is not there yet; goes on after a kill."""
    folder.mkdir(parents=True, exist_ok=True)
    name = f"hands-v{VERSION}-{hands}"
    count = hands * POSES_PER_HAND
    frames_path, truths_path, done_path = (folder / f"{name}.{end}" for end in ("frames.npy", "truths.npy", "json"))
    done = int(json.loads(done_path.read_text())["hands"]) if done_path.is_file() else 0
    mode = "r+" if done else "w+"
    frames = np.lib.format.open_memmap(frames_path, mode=mode, dtype=np.uint8, shape=(count, SIDE_PX, SIDE_PX))
    truths = np.lib.format.open_memmap(truths_path, mode=mode, dtype=RECORD, shape=(count,))
    for seed in track(range(done, hands), description="hands to train on", disable=done == hands):
        for k, (pixels, record) in enumerate(hand(seed)):
            frames[seed * POSES_PER_HAND + k] = pixels
            truths[seed * POSES_PER_HAND + k] = record
        if seed % 50 == 49 or seed == hands - 1:
            frames.flush()
            truths.flush()
            done_path.write_text(json.dumps({"hands": seed + 1}))
    return Pool(frames, truths)
