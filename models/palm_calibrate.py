"""What a cosine is worth: `python -m models.palm_calibrate` writes palm.calibration.json, which the identity service reads.

The file's format and the model of a score are those of identity/calibration.py, which says why; neither imports the other, a test
compares them.
One kept signature is compared with the frames of one later presentation: genuine pairs, and pairs of different palms.
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from statistics import NormalDist
from typing import Annotated, Any

import numpy as np
import typer
from numpy.typing import NDArray

from models.evaluate import EVALUATE_FRAMES, EVALUATE_PALMS_MAX, Presented, present
from terminal.palm.encoder import Encoder

CALIBRATE_SEED = 2_000_000
"""People of the calibration: neither trained on nor those of the evaluation."""

CALIBRATE_IMPOSTORS_MAX = 100_000
CALIBRATE_FLOOR = 0.01
"""Least standard deviation between pairs that is claimed."""

_DIGITS = 5

Cosines = NDArray[np.float64]


def fit(genuine: Cosines, impostor: Cosines) -> dict[str, Any]:
    """One kind's entry of the file, from cosines [groups, frames] of each class; groups are independent pairs, frames 2 or more.

    Raises ValueError for fewer than 20 groups of a class.
    """
    if min(len(genuine), len(impostor)) < 20 or min(genuine.shape[1], impostor.shape[1]) < 2:
        raise ValueError("a calibration needs 20 groups of each class and 2 frames a group at least")
    within2 = max(float(c.var(axis=1, ddof=1).mean()) for c in (genuine, impostor))
    kind: dict[str, Any] = {}
    for name, cosines in (("genuine", genuine), ("impostor", impostor)):
        means = cosines.mean(axis=1)
        centre = float(means.mean())
        total = float(means.std(ddof=1))
        if name == "impostor":
            centre = max(0.0, centre)
            total = max(total, _overbound(means, centre))
        between = math.sqrt(max(total**2 - within2 / cosines.shape[1], CALIBRATE_FLOOR**2))
        values = {"mean": centre, "between": between, "within": math.sqrt(within2)}
        kind[name] = {key: round(value, _DIGITS) for key, value in values.items()}
        kind[name] |= {"groups": int(cosines.shape[0]), "frames": int(cosines.shape[1])}
    kind["effective_dimension"] = round(1.0 / max(float(impostor.var()), 1e-6), 1)
    return kind


def _overbound(means: Cosines, centre: float) -> float:
    """The deviation of the normal distribution whose upper tail lies above the measured one, down to the last ten impostors."""
    largest, share = 0.0, 1e-2
    while share * means.size >= 10:
        largest = max(largest, (float(np.quantile(means, 1 - share)) - centre) / NormalDist().inv_cdf(1 - share))
        share /= 10
    return largest


def cosines(seen: Presented, impostors: int) -> dict[str, tuple[Cosines, Cosines]]:
    """For each kind the genuine [palms, frames] and impostor [impostors, frames] cosines of first enrolled frame and probe frames."""
    palms = len(seen.surface)
    rng = np.random.default_rng(0)
    kept = rng.integers(0, palms, impostors)
    other = (kept + rng.integers(1, palms, impostors)) % palms
    found = {}
    for name, light in (("surface", seen.surface), ("veins", seen.veins), ("mixed", seen.mixed)):
        genuine = np.einsum("pd,pfd->pf", light[:, 0, 0], light[:, 1])
        strange = np.concatenate(
            [
                np.einsum("pd,pfd->pf", light[a, 0, 0], light[b, 1])
                for a, b in zip(np.array_split(kept, 40), np.array_split(other, 40), strict=True)
            ]
        )
        found[name] = genuine.astype(np.float64), strange.astype(np.float64)
    return found


def surface_weight(kinds: dict[str, tuple[Cosines, Cosines]]) -> float:
    """The weight of the surface that separates the classes best (largest d'), on a grid of 0.05."""

    def separation(weight: float) -> float:
        genuine, impostor = (weight * kinds["surface"][c] + (1 - weight) * kinds["veins"][c] for c in (0, 1))
        return float((genuine.mean() - impostor.mean()) / math.sqrt(genuine.mean(1).var() + impostor.mean(1).var()))

    return max((round(0.05 * step, 2) for step in range(4, 17)), key=separation)


def main(
    onnx: Annotated[Path | None, typer.Option(help="encoder; absent: the shipped one")] = None,
    out: Annotated[Path, typer.Option()] = Path(__file__).parent / "palm.calibration.json",
    palms: Annotated[int, typer.Option(min=20, max=EVALUATE_PALMS_MAX)] = 600,
) -> None:
    """Simulate palms, fit each kind, write the file."""
    encoder = Encoder(onnx)
    seen = present(encoder, palms, CALIBRATE_SEED)
    kinds = cosines(seen, min(CALIBRATE_IMPOSTORS_MAX, palms * (palms - 1)))
    weight = surface_weight(kinds)
    both = [weight * kinds["surface"][c] + (1 - weight) * kinds["veins"][c] for c in (0, 1)]
    content = {
        "format": 1,
        "model_version": encoder.version,
        "dimension": encoder.dimension,
        "surface_weight": weight,
        "kinds": {name: fit(*pair) for name, pair in (*kinds.items(), ("both", (both[0], both[1])))},
        "made_by": f"python -m models.palm_calibrate --palms {palms}",
        "measured_on": f"{palms} simulated palms that were never trained on, 2 presentations of {EVALUATE_FRAMES} frames each",
    }
    out.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    typer.echo(json.dumps(content["kinds"], indent=1))


if __name__ == "__main__":
    typer.run(main)
