"""Fit the weights of terminal/palm/quality.py: `python -m models.palm_quality` prints them, with how well they predict.

Palms that were never trained on are seen in all weathers, some of the looks ruined on top; the hand lies well, since the finder judges
that. A look is poor when it is among the tenth that resemble their owner's signature (made of calm looks) least. A logistic regression
predicts that from the signs alone, for all lights together.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import cv2
import numpy as np
import typer
from numpy.typing import NDArray
from rich.progress import track

from models.evaluate import encode
from models.palm_generator import Palm, Regime, Studio
from models.palm_people import person
from models.palm_weather import CALM, Weather
from terminal.palm.encoder import Encoder
from terminal.palm.quality import signs

QUALITY_SEED = 4_000_000
_LOOKS = 6
_RIDGE = 1e-2
_ITERATIONS = 30
_POOR_SHARE = 0.1
_RUINED_SHARE = 0.2
_SPREAD = 0.4
_DIRECTIONS = (1, -1, 1, -1, -1, -1, 1, -1, 1)
_ROUGH = Weather(occlusion_share=0.15, motion_share=0.25, noise=1.5)

Floats = NDArray[np.float64]


def looks(encoder: Encoder, palms: int) -> tuple[Floats, Floats]:
    """Signs float64 [N, 9] and, for each look, its similarity's rank within its kind of light (0..1)."""
    cv2.setNumThreads(1)
    found: list[Floats] = []
    similar: dict[Regime, list[float]] = {regime: [] for regime in Regime}
    order: list[tuple[Regime, int]] = []
    for number in track(range(palms), description="taking pictures", transient=True):
        maps = person(QUALITY_SEED + number)[None]
        regime = list(Regime)[number % 3]
        calm = Studio(maps, [Palm(0, 0, regime)], number, CALM, 0.3)
        rough = Studio(maps, [Palm(0, 0, regime)], number, _ROUGH, _SPREAD)
        kept = encode(encoder, np.stack([calm.view(v, 0) for v in range(3)])).mean(axis=0)
        rng = np.random.default_rng([QUALITY_SEED, number])
        pictures = np.stack([_ruined(rng, rough.view(10 + v, 0)) for v in range(_LOOKS)])
        for picture, similarity in zip(pictures, encode(encoder, pictures) @ (kept / np.linalg.norm(kept)), strict=True):
            found.append(signs(picture))
            order.append((regime, len(similar[regime])))
            similar[regime].append(float(similarity))
    ranks = {regime: np.argsort(np.argsort(values)) / max(1, len(values) - 1) for regime, values in similar.items()}
    return np.array(found), np.array([ranks[regime][at] for regime, at in order])


def _ruined(rng: np.random.Generator, picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Now and then a look that is out of focus, in the dark, drowned in noise or over-exposed."""
    if rng.random() > _RUINED_SHARE:
        return picture
    kind = int(rng.integers(4))
    values = picture.astype(np.float32)
    if kind == 0:
        values = cv2.GaussianBlur(values, (0, 0), rng.uniform(2, 6))
    elif kind == 1:
        values = values / np.float32(rng.uniform(4, 30))
    elif kind == 2:
        values = values + rng.normal(0, rng.uniform(5, 30), values.shape).astype(np.float32)
    else:
        values = values * np.float32(rng.uniform(1.5, 4))
    return np.clip(values, 0, 255).astype(np.uint8)


def logistic(x: Floats, y: Floats) -> tuple[Floats, float]:
    """Weights [K] and bias of a ridge-penalised logistic regression, by Newton's method."""
    inside = np.column_stack([x, np.ones(len(x))])
    w = np.zeros(inside.shape[1])
    penalty = _RIDGE * len(x) * np.diag([1.0] * x.shape[1] + [0.0]) * 0.1
    for _ in range(_ITERATIONS):
        p = 1.0 / (1.0 + np.exp(-np.clip(inside @ w, -30, 30)))
        hessian = inside.T @ (inside * (p * (1 - p))[:, None]) + penalty + 1e-9 * np.eye(len(w))
        w = w + np.linalg.solve(hessian, inside.T @ (y - p) - penalty @ w)
    return w[:-1], float(w[-1])


def sensible(x: Floats, y: Floats) -> tuple[Floats, float]:
    """As `logistic`, but a sign counts only the way it must (_DIRECTIONS): one that came out the other way round is left out."""
    used = list(range(x.shape[1]))
    while True:
        weights, bias = logistic(x[:, used], y)
        wrong = [at for at, weight in zip(used, weights, strict=True) if weight * _DIRECTIONS[at] < 0]
        if not wrong:
            whole = np.zeros(x.shape[1])
            whole[used] = weights
            return whole, bias
        used = [at for at in used if at not in wrong]


def main(
    onnx: Annotated[Path | None, typer.Option(help="encoder; absent: the shipped one")] = None,
    palms: Annotated[int, typer.Option(min=30, max=20_000)] = 300,
) -> None:
    """Fit on two thirds of the palms, judge on the last third, print."""
    x, rank = looks(Encoder(onnx), palms)
    split = len(x) * 2 // 3
    weights, bias = sensible(x[:split], (rank[:split] > _POOR_SHARE).astype(float))
    score = x[split:] @ weights + bias
    good = rank[split:] > _POOR_SHARE
    above = float((score[good][:, None] > score[~good][None, :]).mean())
    typer.echo("_WEIGHTS = (" + ", ".join(f"{w:.3f}" for w in weights) + f")\n_BIAS = {bias:.3f}")
    typer.echo(f"a good look scores higher than a poor one in {100 * above:.1f} % of pairs (50 % would be chance)")
    for cut in (0.0, 0.1, 0.2, 0.3):
        kept = score >= np.quantile(score, cut)
        typer.echo(
            f"worst {100 * cut:.0f} % rejected: {100 * float((rank[split:][kept] < 0.05).mean()):.2f} % of the rest in the worst twentieth"
        )


if __name__ == "__main__":
    typer.run(main)
