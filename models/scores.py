"""What a list of cosines says: EER, TAR at a FAR, their uncertainty by identity, DET and error-versus-reject curves."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

SCORES_FARS = (1e-2, 1e-3, 1e-4, 1e-5, 1e-6)
SCORES_TAIL_MIN = 3
"""A FAR is reported when at least this many impostor scores lie beyond its threshold."""

SCORES_BINS = 2_000
_BOOTSTRAPS = 200

Scores = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Rates:
    """Shares in 0..1; `tar` by FAR, absent where there were too few impostors; `low`, `high` the 95 % interval by identity."""

    genuine: int
    impostor: int
    eer: float
    eer_low: float
    eer_high: float
    tar: dict[float, float]
    tar_low: dict[float, float]
    tar_high: dict[float, float]
    margin: float  # worst genuine minus best impostor
    effective_dimension: float  # 1 / variance of impostor cosines


def threshold(impostor: Scores, far: float) -> float | None:
    """The least cosine that at most `far` of the impostors exceed; None when there are too few to say."""
    allowed = int(len(impostor) * far + 1e-9)
    if allowed < SCORES_TAIL_MIN:
        return None
    return float(np.partition(impostor, -allowed - 1)[-allowed - 1])


def equal_error(genuine: Scores, impostor: Scores) -> float:
    """EER as a share. Raises ValueError when a list is empty."""
    if not len(genuine) or not len(impostor):
        raise ValueError("an error rate needs genuine and impostor scores: two samples of each of two palms at least")
    g, n = np.sort(genuine), np.sort(impostor)
    at = np.unique(np.concatenate([g, n[:: max(1, len(n) // 20_000)]]))
    far = 1.0 - np.searchsorted(n, at, "left") / len(n)
    frr = np.searchsorted(g, at, "left") / len(g)
    best = int(np.argmin(np.abs(far - frr)))
    return float(far[best] + frr[best]) / 2


def rates(genuine: Scores, impostor: Scores, genuine_owner: NDArray[np.int64], impostor_owner: NDArray[np.int64]) -> Rates:
    """All rates; owners (of the probes) are what the bootstrap draws, since pictures of one palm are not independent."""
    tar = {}
    for far in SCORES_FARS:
        at = threshold(impostor, far)
        if at is not None:
            tar[far] = float((genuine > at).mean())
    spread = _bootstrap(genuine, impostor, genuine_owner, impostor_owner, list(tar))
    low, high = np.quantile(spread, (0.025, 0.975), axis=0)
    return Rates(
        genuine=len(genuine),
        impostor=len(impostor),
        eer=equal_error(genuine, impostor),
        eer_low=float(low[0]),
        eer_high=float(high[0]),
        tar=tar,
        tar_low=dict(zip(tar, map(float, low[1:]), strict=True)),
        tar_high=dict(zip(tar, map(float, high[1:]), strict=True)),
        margin=float(genuine.min() - impostor.max()),
        effective_dimension=float(1.0 / max(float(np.var(impostor, dtype=np.float64)), 1e-9)),
    )


def _bootstrap(
    genuine: Scores, impostor: Scores, genuine_owner: NDArray[np.int64], impostor_owner: NDArray[np.int64], fars: list[float]
) -> NDArray[np.float64]:
    """Float64 [bootstraps, 1 + fars]: EER and TARs on identities drawn with replacement, from one histogram for each identity."""
    owners = np.unique(np.concatenate([genuine_owner, impostor_owner]))
    histograms = []
    for scores, owner in ((genuine, genuine_owner), (impostor, impostor_owner)):
        bins = np.clip(((scores + 1.0) * (SCORES_BINS / 2)).astype(np.int64), 0, SCORES_BINS - 1)
        flat = np.searchsorted(owners, owner) * SCORES_BINS + bins
        histograms.append(
            np.bincount(flat, minlength=len(owners) * SCORES_BINS).reshape(len(owners), SCORES_BINS).astype(np.float32)
        )
    rng = np.random.default_rng(0)
    draws = [np.bincount(rng.integers(0, len(owners), len(owners)), minlength=len(owners)) for _ in range(_BOOTSTRAPS)]
    weights = np.array(draws, np.float32)
    above = [np.cumsum((weights @ histogram)[:, ::-1], axis=1, dtype=np.float64)[:, ::-1] for histogram in histograms]
    found = np.zeros((_BOOTSTRAPS, 1 + len(fars)))
    for row, g, n in zip(found, *above, strict=True):
        tar, far = g / max(g[0], 1.0), n / max(n[0], 1.0)
        best = int(np.argmin(np.abs(far - (1 - tar))))
        row[0] = (far[best] + 1 - tar[best]) / 2
        row[1:] = [tar[int(np.argmax(far <= wanted))] for wanted in fars]
    return found


def det(genuine: Scores, impostor: Scores, points: int = 400) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """FAR and FRR along the threshold, float64 [points] each."""
    g, n = np.sort(genuine), np.sort(impostor)
    shares = np.logspace(np.log10(1.0 / len(n)), 0, points)
    at = n[np.clip(((1 - shares) * len(n)).astype(int), 0, len(n) - 1)]
    return shares, np.searchsorted(g, at, "right") / len(g)


def error_versus_reject(genuine: Scores, quality: Scores, at: float, shares: NDArray[np.float64]) -> NDArray[np.float64]:
    """FRR at threshold `at` after the worst `shares` of the genuine pairs by quality were left out; float64 like `shares`."""
    ordered = genuine[np.argsort(quality, kind="stable")]
    return np.array([float((ordered[int(share * len(ordered)) :] <= at).mean()) for share in shares])
