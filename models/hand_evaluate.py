"""How well the hand finder finds: on simulated people that it has not seen, and on what is no palm.

    python -m models.hand_evaluate [--model models/hand.onnx] [--people 200] [--out DIR]

Prints found-rates by kind of subject and by size of frame, the canonical palm's error against the truth (shift, rotation, scale; these
are what the encoder must bear), and milliseconds on one core. With --out, the same as report.json.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from time import perf_counter
from typing import Annotated, Any

import cv2
import numpy as np
import typer
from numpy.typing import NDArray
from rich.progress import track

from terminal.palm.canonical import canonical_palm, roi_corners, share_inside
from terminal.palm.finder import HandFinder
from terminal.palm.guidance import advice
from terminal.palm.types import Guidance, Hand, NoHand, Side
from terminal.reader.frame import Light
from terminal.simulation.conditions import Conditions, Subject
from terminal.simulation.person import Person
from terminal.simulation.scene import Actor, Pose, render, render_empty, render_scene

HELD_OUT_SEEDS = 30_000
"""People of this seed and up; none of them is trained on."""

SIZES = ((400, 640), (400, 640), (200, 320), (480, 640), (800, 1280), (1024, 1280))
"""(height, width)."""

TIMED_FRAMES = 300
REACH_MM = (70.0, 200.0)


@dataclass(frozen=True, slots=True)
class Scene:
    """A frame, what is in it, and where: `truth` is a Hand of true points, or None where no palm may be found."""

    kind: str
    pixels: NDArray[np.uint8]
    truth: Hand | None


def true_hand(valleys: NDArray[np.float32], wrist: NDArray[np.float32], side: Side, yaw: float, pitch: float) -> Hand:
    """A Hand of points that are known."""
    return Hand(side, valleys, wrist, 1.0, 110.0, 0.0, yaw, pitch)


def scene(seed: int, size: tuple[int, int] | None = None) -> Scene:
    """One scene of a held-out person: six in ten are palms as shoppers hold them, the others must not be found."""
    rng = np.random.default_rng([seed, 0xE7A1])
    size = SIZES[int(rng.integers(len(SIZES)))] if size is None else size
    person, side = Person.from_seed(HELD_OUT_SEEDS + seed), (Side.LEFT, Side.RIGHT)[int(rng.integers(2))]
    conditions = replace(Conditions.draw(rng), sun=0.0)
    light = (Light.PARALLEL, Light.CROSSED)[int(rng.integers(2))]
    kind = ("palm", "palm", "palm", "palm", "palm", "palm", "back", "fist", "paper", "nothing", "two")[seed % 11]
    pose = Pose.draw(rng)
    distance = float(np.clip(pose.position_mm[2], *REACH_MM))
    pose = replace(pose, position_mm=(0.5 * pose.position_mm[0], 0.5 * pose.position_mm[1], distance))
    if kind == "nothing":
        return Scene(kind, render_empty(light, conditions, rng, size), None)
    if kind == "two":
        actors = []
        for k, each in enumerate((Side.LEFT, Side.RIGHT)):
            away = replace(pose, position_mm=((-1) ** k * 0.42 * 190.0, 10.0, 190.0), roll_deg=float(rng.normal(0, 15)))
            actors.append(Actor(person, each, away, conditions))
        return Scene(kind, render_scene(actors, light, conditions, rng, size)[0], None)
    if kind != "palm":
        conditions = replace(conditions, subject=Subject(kind))
    seen = render(person, side, pose, light, conditions, rng, size)
    truth = seen.truth
    if kind != "palm":
        return Scene(kind, seen.pixels, None)
    hand = true_hand(truth.valleys, truth.wrist, side, truth.yaw_deg, truth.pitch_deg)
    # A palm that the frame cuts off is to be told "centre" or "higher": found or not, both are right.
    whole = all(truth.visible[:3]) and share_inside(hand, *size) > 0.95
    return Scene("palm" if whole else "palm, cut off", seen.pixels, hand)


def error(found: Hand, truth: Hand) -> dict[str, float]:
    """How far a canonical palm lies from where it should: shift in % of the span, degrees, scale in %."""
    seen, right = roi_corners(found).astype(np.float64), roi_corners(truth).astype(np.float64)
    along, meant = seen[1] - seen[0], right[1] - right[0]
    away = (seen.mean(0) - right.mean(0)) / truth.span_px * 100
    unit = meant / np.hypot(*meant)
    turn = np.rad2deg(np.arctan2(meant[0] * along[1] - meant[1] * along[0], along @ meant))
    return {
        "shift": float(np.hypot(*away)),
        "across": float(away @ unit),
        "along": float(away @ np.array([-unit[1], unit[0]])),
        "rotation": float(turn),
        "scale": float((np.hypot(*along) / np.hypot(*meant) - 1) * 100),
        "yaw": found.yaw_deg - truth.yaw_deg,
        "pitch": found.pitch_deg - truth.pitch_deg,
    }


def evaluated(finder: HandFinder, scenes: Iterator[Scene]) -> dict[str, Any]:
    """Counts by kind and answer, and errors of what was found."""
    counts: dict[str, Counter[str]] = {}
    errors: list[dict[str, float]] = []
    wrong_hand = 0
    for one in scenes:
        found = finder.find(one.pixels)
        answer = found.why.value if isinstance(found, NoHand) else "found"
        counts.setdefault(one.kind, Counter())[answer] += 1
        if one.kind == "palm" and isinstance(found, Hand) and one.truth is not None:
            if found.side is not one.truth.side:
                wrong_hand += 1
                continue
            height, width = one.pixels.shape
            errors.append({**error(found, one.truth), "good": float(advice(found, height, width) is Guidance.GOOD)})
    table = {name: np.array([e[name] for e in errors]) for name in (errors[0] if errors else {})}
    spread = {
        name: {"median": _round(np.median(np.abs(v))), "p90": _round(np.percentile(np.abs(v), 90)), "std": _round(v.std())}
        for name, v in table.items()
        if name != "good"
    }
    return {
        "answers": {kind: dict(found.most_common()) for kind, found in sorted(counts.items())},
        "wrong_hand": wrong_hand,
        "told_good": _round(float(table["good"].mean())) if errors else None,
        "errors": spread,
    }


def _round(value: float | np.floating[Any]) -> float:
    return round(float(value), 3)


def timings(finder: HandFinder) -> dict[str, float]:
    """Median milliseconds to find and normalise, of 640x400 frames of hands, at first sight and tracked."""
    frames, hands = [], []
    for seed in range(1000):
        one = scene(seed, (400, 640))
        if one.kind == "palm" and isinstance(found := finder.find(one.pixels), Hand):
            frames.append(one.pixels)
            hands.append(found)
        if len(frames) == 20:
            break

    def median_ms(tracked: bool) -> float:
        took = []
        for k in range(TIMED_FRAMES + 10):
            picture, hint = frames[k % len(frames)], hands[k % len(frames)]
            started = perf_counter()
            found = finder.find(picture, hint if tracked else None)
            if isinstance(found, Hand):
                canonical_palm(picture, found)
            took.append(perf_counter() - started)
        return round(float(np.median(took[10:])) * 1e3, 3)

    return {"first_sight_ms": median_ms(False), "tracked_ms": median_ms(True)}


def main(
    model: Annotated[Path | None, typer.Option(help="a hand.onnx; absent: the committed one")] = None,
    people: Annotated[int, typer.Option(help="scenes, each of another person")] = 330,
    out: Annotated[Path | None, typer.Option(help="folder for report.json")] = None,
) -> None:
    """Found-rates, errors of the canonical palm, and timings, on simulated people that were not trained on."""
    cv2.setNumThreads(1)
    finder = HandFinder(model, threads=1)
    scenes = (scene(seed) for seed in track(range(people), description="scenes"))
    report = {"model": finder.model_version, "scenes": people, **evaluated(finder, scenes), "timings": timings(finder)}
    typer.echo(json.dumps(report, indent=1))
    if out is not None:
        out.mkdir(parents=True, exist_ok=True)
        (out / "report.json").write_text(json.dumps(report, indent=1), encoding="utf-8")


if __name__ == "__main__":
    typer.run(main)
