"""From the looks of an enrolment to the templates that are kept of a palm."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from identity.calibration import Calibration, Kind
from identity.signatures import MODALITIES, Look, Signatures

PROBES_MIN = 5
"""Fewest looks that an enrolment may rest on."""

PROBES_MAX = 40
"""Most looks of one enrolment."""

AGREEING_SHARE_MIN = 0.6
"""Fewer looks than this share in agreement: two hands were shown, or one that never held still."""

NEAR_ENOUGH = 0.9
"""Looks whose cosine is above this show nothing that one template would not."""


class Inconsistent(Exception):
    """The looks are not all of one palm, or too poor; the sentence says what to do next."""


@dataclass(frozen=True, slots=True)
class Made:
    """Templates, the looks that they were made of, and the mean cosine between those."""

    templates: list[Signatures]
    kept: list[Look]
    consistency: float


def make(looks: list[Look], calibration: Calibration, templates_max: int) -> Made:
    """Choose the looks that agree with each other and make templates of them. Raises Inconsistent."""
    if len({look.side for look in looks}) != 1:
        raise Inconsistent("left and right hands are mixed; show one hand only and enrol again")
    has = Counter(look.signatures.has() for look in looks).most_common(1)[0][0]
    looks = [look for look in looks if look.signatures.has() == has]
    vectors = np.stack([look.signatures.matrix(calibration.dimension) for look in looks]).astype(np.float64)  # [P, 3, D]
    kind, weights = _kind(has, calibration)
    cosines = np.einsum("pmd,qmd,m->pq", vectors, vectors, weights)
    alike = calibration.kinds[kind].llr(cosines, 1.0) > 0
    agree = alike[int(alike.sum(axis=1).argmax())]  # those that agree with the look that most agree with
    if int(agree.sum()) < max(PROBES_MIN, AGREEING_SHARE_MIN * len(looks)):
        raise Inconsistent(
            f"only {int(agree.sum())} of {len(looks)} looks agree with each other; hold one hand flat and still and enrol again"
        )
    kept = [look for look, good in zip(looks, agree, strict=True) if good]
    cosines, vectors = cosines[np.ix_(agree, agree)], vectors[agree]
    consistency = float(cosines[~np.eye(len(kept), dtype=bool)].mean())
    quality = np.array([max(look.quality, 1e-3) for look in kept])
    groups = _groups(cosines, quality, templates_max)
    templates = [_mean(vectors[groups == group], quality[groups == group], has) for group in range(int(groups.max()) + 1)]
    return Made(templates, kept, consistency)


def _kind(has: tuple[bool, bool, bool], calibration: Calibration) -> tuple[Kind, NDArray[np.float64]]:
    """Which kind of score these looks have, and each modality's share in it."""
    surface, veins, mixed = has
    shares: list[tuple[Kind, bool, tuple[float, float, float]]] = [
        ("both", surface and veins, (calibration.surface_weight, 1 - calibration.surface_weight, 0.0)),
        ("surface", surface, (1.0, 0.0, 0.0)),
        ("veins", veins, (0.0, 1.0, 0.0)),
        ("mixed", mixed, (0.0, 0.0, 1.0)),
    ]
    for kind, there, share in shares:
        if there and kind in calibration.kinds:
            return kind, np.array(share)
    raise Inconsistent("the model was not measured on this kind of light; use a reader with another light")


def _groups(cosines: NDArray[np.float64], quality: NDArray[np.float64], at_most: int) -> NDArray[np.int64]:
    """Which template each look goes into: seeds far from each other (the best look first), each look to its nearest seed."""
    seeds = [int(quality.argmax())]
    while len(seeds) < at_most:
        nearest = cosines[:, seeds].max(axis=1)
        far = int(nearest.argmin())
        if nearest[far] >= NEAR_ENOUGH:
            break
        seeds.append(far)
    groups = cosines[:, seeds].argmax(axis=1)
    groups[seeds] = np.arange(len(seeds))  # a seed stays with itself where another is as near
    return np.asarray(groups, np.int64)


def _mean(vectors: NDArray[np.float64], quality: NDArray[np.float64], has: tuple[bool, bool, bool]) -> Signatures:
    """The mean of a group of looks, *not* brought back to length 1: a probe's cosine with it is the mean of its cosines with the looks.

    So strangers score on average what they score against a single look (what the calibration measured), and vary less.
    """
    mean = np.average(vectors, axis=0, weights=quality)
    return Signatures(**{name: row.astype(np.float32) for name, row, there in zip(MODALITIES, mean, has, strict=True) if there})
