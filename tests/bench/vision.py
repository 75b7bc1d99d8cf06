"""Finding, normalising and encoding the hand, on one core, beside MediaPipe Hands on the same frames."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from terminal.config import ReaderOptions
from terminal.palm.canonical import canonical_palm
from terminal.palm.encoder import Encoder
from terminal.palm.finder import HandFinder
from terminal.palm.types import Hand
from terminal.reader.frame import Light
from terminal.simulation.reader import SimulatedReader
from tests.bench.peers.install import BENCH_FOLDER, environment
from tests.bench.table import Figure, Timing, timed

MEDIAPIPE = "mediapipe==0.10.21"
FRAMES = 300
PEER_LIMIT_S = 300


def recorded_frames(count: int = FRAMES) -> NDArray[np.uint8]:
    """Frames of a simulated hand, held over the reader as shoppers do: uint8 [count, 400, 640], same-polarised light."""
    reader = SimulatedReader(ReaderOptions(kind="simulated", rate_hz=60.0))
    reader.open()
    try:
        reader.stage.show_person("ada")
        frames: list[NDArray[np.uint8]] = []
        while len(frames) < count:
            frame = reader.read(1.0)
            if frame.light is Light.PARALLEL and reader.stage.resting_since_s is not None:
                frames.append(frame.pixels.copy())
        return np.stack(frames)
    finally:
        reader.close()


def mediapipe_figures(frames: NDArray[np.uint8]) -> dict[str, dict[str, float]] | None:
    """MediaPipe's own timings on these frames; None where it can't be installed."""
    python = environment("mediapipe", MEDIAPIPE)
    if python is None:
        return None
    path = BENCH_FOLDER / "frames.npz"
    np.savez_compressed(path, frames=frames)
    script = Path(__file__).parent / "peers" / "mediapipe_hands.py"
    done = subprocess.run(
        ["taskset", "-c", "0", str(python), str(script), str(path)],
        capture_output=True,
        text=True,
        timeout=PEER_LIMIT_S,
        check=True,
    )
    answer: dict[str, dict[str, float]] = json.loads(done.stdout.splitlines()[-1])
    return answer


def figures() -> list[Figure]:
    """The three vision lines of the table."""
    cv2.setNumThreads(1)
    frames = recorded_frames()
    finder = HandFinder(None, threads=1)
    first = timed(lambda i: _find(finder, frames[i % len(frames)], None), rounds=FRAMES)
    hints: list[Hand | None] = [None]

    def track(i: int) -> None:
        hints[0] = _find(finder, frames[i % len(frames)], hints[0])

    tracked = timed(track, rounds=FRAMES)
    hand = next(found for frame in frames if isinstance(found := finder.find(frame), Hand))
    palms = np.stack([canonical_palm(frames[0], hand)] * 2)
    encoder = Encoder(None, threads=1)
    signature = timed(lambda _: encoder.encode(palms), rounds=200)
    peer = mediapipe_figures(frames)
    return [
        _versus("find and normalise, first sight", first, 4.0, peer["first_sight"] if peer else None),
        _versus("find and normalise, tracked", tracked, 1.5, peer["tracked"] if peer else None),
        Figure("one signature, both polarisations", "8 ms", f"{signature.median:.2f} ms", signature.median <= 8.0),
    ]


def _find(finder: HandFinder, frame: NDArray[np.uint8], hint: Hand | None) -> Hand | None:
    found = finder.find(frame, hint)
    if not isinstance(found, Hand):
        return None
    canonical_palm(frame, found)
    return found


def _versus(name: str, ours: Timing, goal_ms: float, peer: dict[str, float] | None) -> Figure:
    said = "MediaPipe Hands 0.10.21 could not be installed"
    if peer:
        said = (
            f"MediaPipe Hands 0.10.21 (full): {peer['median_ms']:.1f} ms, {peer['median_ms'] / ours.median:.1f} times as long; "
            f"it found {peer['found']} of {peer['of']}"
        )
    seen = f"median {ours.median:.2f} ms, p99 {ours.percentile(99):.2f}"
    return Figure(name, f"{goal_ms:g} ms", seen, ours.median <= goal_ms, said)
